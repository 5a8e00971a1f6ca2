/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be changed in an image, as people write it. */
#include "images/step.h"

#include <string.h>

#include "vmctl/base/error.h"

static void
refused (const char *name, const char *value, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (image_step_parse (name, value, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  if (strstr (error->message, part) == NULL)
    g_error ("'%s' is not in '%s'", part, error->message);
}

static void
taken (const char *name, const char *value, ImageStepKind kind, const char *path, const char *rest)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageStep) step = image_step_parse (name, value, &error);

  g_assert_no_error (error);
  g_assert_cmpint (step->kind, ==, kind);
  g_assert_cmpstr (step->path, ==, path);
  g_assert_cmpstr (step->value, ==, rest);
  g_assert_cmpstr (image_step_name (kind), ==, name);
}

static void
test_paths (void)
{
  static const struct {
    const char *path, *wanted; /* NULL: refused */
  } rows[] = {{"/", "/"},        {"/a", "/a"},  {"//a///b/", "/a/b"}, {"/a b\n\xff", "/a b\n\xff"},
              {"/...", "/..."},  {"", NULL},    {"a", NULL},          {"../a", NULL},
              {"/a/../b", NULL}, {"/..", NULL}, {"/./a", NULL},       {"/a/.", NULL}};

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *path = image_step_path (rows[i].path, &error);

    g_assert_cmpstr (path, ==, rows[i].wanted);
    g_assert_true ((error != NULL) == (rows[i].wanted == NULL));
  }
  g_assert_cmpstr (image_step_base ("/a/b"), ==, "b");
  g_assert_null (image_step_base ("/"));
}

static void
test_taken (void)
{
  taken ("upload", "a:b:/c//d", IMAGE_STEP_UPLOAD, "/c/d", "a:b");
  taken ("write", "/etc/motd:a:/b\n", IMAGE_STEP_WRITE, "/etc/motd", "a:/b\n");
  taken ("write", "/empty:", IMAGE_STEP_WRITE, "/empty", "");
  taken ("mkdir", "/srv/a/", IMAGE_STEP_MKDIR, "/srv/a", "");
  taken ("delete", "/srv", IMAGE_STEP_DELETE, "/srv", "");
  taken ("hostname", "a-1.example", IMAGE_STEP_HOSTNAME, "", "a-1.example");
  taken ("run-command", "true; :", IMAGE_STEP_RUN_COMMAND, "", "true; :");
}

static void
test_refused (void)
{
  g_autofree char *longest = g_strnfill (65, 'a');

  refused ("upload", "file", "FILE:PATH");
  refused ("upload", "file:path", "FILE:PATH");
  refused ("upload", ":/path", "FILE:PATH");
  refused ("upload", "file:/", "'/' itself");
  refused ("upload", "file:/a/../b", "'..'");
  refused ("write", "/etc/motd", "PATH:TEXT");
  refused ("write", "motd:x", "begin with '/'");
  refused ("delete", "/", "'/' itself");
  refused ("delete", "//", "'/' itself");
  refused ("delete", "etc", "begin with '/'");
  refused ("mkdir", "", "begin with '/'");
  refused ("hostname", "", "--hostname");
  refused ("hostname", "a b", "--hostname");
  refused ("hostname", "a\nb", "--hostname");
  refused ("hostname", "-a", "--hostname");
  refused ("hostname", longest, "--hostname");
  refused ("run-command", "", "no command");
  refused ("install", "x", "'install'");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/step/paths", test_paths);
  g_test_add_func ("/images/step/taken", test_taken);
  g_test_add_func ("/images/step/refused", test_refused);
  return g_test_run ();
}
