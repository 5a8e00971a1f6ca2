/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is made on the host before a start, and what is refused. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/make.h"
#include "vmctl/plan-parts.h"

typedef struct {
  char *root; /* owned; a temporary directory, real path */
  char *state;
  VmPlan *plan;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *made = g_dir_make_tmp ("vmctl-make-XXXXXX", NULL);
  char *real = realpath (made, NULL);

  f->root = g_strdup (real);
  free (real);
  f->state = g_build_filename (f->root, "state", NULL);
  f->plan = vm_plan_new ();
  f->plan->uid = getuid ();
  f->plan->gid = getgid ();
  f->plan->runtime_dir = g_build_filename (f->root, "run", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_plan_free (f->plan);
  vm_file_remove_tree (AT_FDCWD, f->root, NULL);
  g_free (f->root);
  g_free (f->state);
  g_clear_error (&f->error);
}

static char *
at (const Fixture *f, const char *name)
{
  return g_build_filename (f->root, name, NULL);
}

static void
want (Fixture *f, VmMakeKind kind, const char *name, const char *source, const char *content)
{
  g_autofree char *path = at (f, name), *from = source != NULL ? at (f, source) : NULL;

  vm_plan_add_make (f->plan, kind, path, from, content);
}

static gboolean
run (Fixture *f)
{
  return vm_make_all (f->plan, f->state, &f->error);
}

static guint
mode_of (const Fixture *f, const char *name)
{
  g_autofree char *path = at (f, name);
  struct stat st;

  g_assert_cmpint (lstat (path, &st), ==, 0);
  return st.st_mode;
}

static void
assert_holds (const Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = at (f, name), *there = NULL;

  g_assert_true (g_file_get_contents (path, &there, NULL, NULL));
  g_assert_cmpstr (there, ==, text);
}

static void
test_makes (Fixture *f, gconstpointer data)
{
  want (f, VM_MAKE_DIR, "home/.claude/projects", NULL, NULL);
  want (f, VM_MAKE_FILE, "home/.claude/.credentials.json", NULL, "{}\n");
  want (f, VM_MAKE_DIR, "state/projects/p/bin", NULL, NULL);
  want (f, VM_MAKE_MARK, "state/projects/p/project", NULL, "/p");
  g_assert_true (run (f));
  g_assert_cmpuint (mode_of (f, "home/.claude"), ==, S_IFDIR | 0700);
  g_assert_cmpuint (mode_of (f, "home/.claude/projects"), ==, S_IFDIR | 0700);
  g_assert_cmpuint (mode_of (f, "home/.claude/.credentials.json"), ==, S_IFREG | 0600);
  g_assert_cmpuint (mode_of (f, "state/projects/p/bin"), ==, S_IFDIR | 0700);
  assert_holds (f, "home/.claude/.credentials.json", "{}\n");
  assert_holds (f, "state/projects/p/project", "/p");
  /* Once more: what is there stays. */
  g_autofree char *path = at (f, "home/.claude/.credentials.json");
  g_assert_true (g_file_set_contents (path, "mine", -1, NULL));
  g_assert_true (run (f));
  assert_holds (f, "home/.claude/.credentials.json", "mine");
}

static void
test_links (Fixture *f, gconstpointer data)
{
  g_autofree char *link = at (f, "home"), *elsewhere = at (f, "elsewhere"), *inner = at (f, "elsewhere/x");

  g_assert_cmpint (mkdir (elsewhere, 0700), ==, 0);
  g_assert_cmpint (symlink (elsewhere, link), ==, 0);
  want (f, VM_MAKE_DIR, "home/x", NULL, NULL);
  g_assert_false (run (f));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_HOST);
  g_assert_nonnull (strstr (f->error->message, "symbolic link"));
  g_assert_cmpint (access (inner, F_OK), ==, -1);
}

static void
test_file_is_link (Fixture *f, gconstpointer data)
{
  g_autofree char *link = at (f, "file"), *canary = at (f, "canary");

  g_assert_cmpint (symlink (canary, link), ==, 0);
  want (f, VM_MAKE_FILE, "file", NULL, "x");
  g_assert_false (run (f));
  g_assert_nonnull (strstr (f->error->message, "not a regular file"));
  g_assert_cmpint (access (canary, F_OK), ==, -1);
}

static void
test_mark (Fixture *f, gconstpointer data)
{
  want (f, VM_MAKE_MARK, "state/projects/p/project", NULL, "/a/p");
  g_assert_true (run (f));
  g_ptr_array_set_size (f->plan->makes, 0);
  want (f, VM_MAKE_MARK, "state/projects/p/project", NULL, "/b/p");
  g_assert_false (run (f));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_HOST);
  g_assert_nonnull (strstr (f->error->message, "/a/p"));
  g_assert_nonnull (strstr (f->error->message, "/b/p"));
}

static gpointer
mark_as_first (gpointer data)
{
  const Fixture *f = data;
  GError *error = NULL;

  (void)vm_make_all (f->plan, f->state, &error);
  return error;
}

/* Eight starts that are all the first: none may see the mark of another half written. */
static void
test_mark_together (Fixture *f, gconstpointer data)
{
  want (f, VM_MAKE_MARK, "state/projects/p/project", NULL, "/a/p");
  for (int round = 0; round < 100; round++) {
    g_autofree char *mark = at (f, "state/projects/p/project");
    GThread *threads[8];

    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
      threads[i] = g_thread_new ("first", mark_as_first, f);
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++) {
      g_autoptr (GError) error = g_thread_join (threads[i]);

      g_assert_no_error (error);
    }
    assert_holds (f, "state/projects/p/project", "/a/p");
    g_assert_cmpint (unlink (mark), ==, 0);
  }
}

/* A mark that a full disk or a power cut left empty says nothing, and must not lock the project out. */
static void
test_mark_empty (Fixture *f, gconstpointer data)
{
  g_autofree char *mark = at (f, "state/projects/p/project");

  want (f, VM_MAKE_MARK, "state/projects/p/project", NULL, "/a/p");
  g_assert_true (run (f));
  g_assert_cmpint (truncate (mark, 0), ==, 0);
  g_assert_true (run (f));
  assert_holds (f, "state/projects/p/project", "/a/p");
}

/* family, address, number, name, cookie */
static const char wanted[] = "\1\0\0\4host\0\1"
                             "7\0\4NAME\0\3AAA";
static const char other[] = "\1\0\0\4host\0\1"
                            "8\0\4NAME\0\3BBB";
static const char internet[] = "\0\0\0\4\12\0\0\1\0\1"
                               "7\0\4NAME\0\3CCC";
static const char any[] = "\xff\xff\0\0\0\0\0\4NAME\0\3DDD";
static const char picked[] = "\xff\xff\0\0\0\1"
                             "7\0\4NAME\0\3AAA\xff\xff\0\0\0\1"
                             "7\0\4NAME\0\3DDD";

static void
test_cookies (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) file = g_byte_array_new ();
  g_autofree char *path = at (f, ".Xauthority"), *out = at (f, "run/xauthority"), *there = NULL;
  gsize length;

#define PUT(part) g_byte_array_append (file, (const guint8 *)part, sizeof part - 1)
  PUT (other);
  PUT (wanted);
  PUT (internet);
  PUT (any);
  PUT ("\1\0\0\11cut");
#undef PUT
  g_assert_true (g_file_set_contents (path, (const char *)file->data, file->len, NULL));
  want (f, VM_MAKE_XAUTH, "run/xauthority", ".Xauthority", "7");
  g_assert_true (run (f));
  g_assert_true (g_file_get_contents (out, &there, &length, NULL));
  g_assert_cmpmem (there, length, picked, sizeof picked - 1);
  g_assert_cmpuint (mode_of (f, "run/xauthority"), ==, S_IFREG | 0600);
}

/* Whatever the file holds, there is an end and nothing is read beyond it. */
static void
test_cookies_cut (Fixture *f, gconstpointer data)
{
  for (gsize n = 0; n < sizeof wanted - 1; n++) {
    g_autofree guint8 *bytes = g_memdup2 (wanted, MAX (n, 1));
    g_autoptr (GByteArray) cookies = vm_make_pick_cookies (bytes, n, "7");

    g_assert_cmpuint (cookies->len, ==, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/vmctl/make/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("makes", test_makes);
  ADD ("links", test_links);
  ADD ("file-is-link", test_file_is_link);
  ADD ("mark", test_mark);
  ADD ("mark-together", test_mark_together);
  ADD ("mark-empty", test_mark_empty);
  ADD ("cookies", test_cookies);
  ADD ("cookies-cut", test_cookies_cut);
  return g_test_run ();
}
