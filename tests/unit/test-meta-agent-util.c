/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>

#include "meta/agent/util.h"

static void
test_unescape_mount (void)
{
  static const struct {
    const char *from, *to;
  } cases[] = {{"", ""},
               {"/home/ada/src", "/home/ada/src"},
               {"/a\\040b/c\\011d", "/a b/c\td"},
               {"/new\\012line", "/new\nline"},
               {"/back\\134040slash", "/back\\040slash"}, /* decoded once */
               {"/high\\377", "/high\377"},
               {"/cut\\04", "/cut\\04"},
               {"/cut\\", "/cut\\"},
               {"/no\\400octal\\08x", "/no\\400octal\\08x"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup (cases[i].from);

    unescape_mount (path);
    g_assert_cmpstr (path, ==, cases[i].to);
  }
}

static void
test_read_line (void)
{
  static const struct {
    const char *content, *line;
  } cases[] = {{"one\n", "one"}, {"one", "one"}, {"one\ntwo\n", "one"},
               {"", ""},         {"\n", ""},     {"12345678\n", "1234567"}};
  g_autofree char *dir = g_dir_make_tmp ("vmctl-util-XXXXXX", NULL),
                  *path = g_build_filename (dir, "f", NULL);
  char text[8];

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_assert_true (g_file_set_contents (path, cases[i].content, -1, NULL));
    g_assert_cmpint (read_line (path, text, sizeof text), ==, 0);
    g_assert_cmpstr (text, ==, cases[i].line);
  }
  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (read_line (path, text, sizeof text), ==, -ENOENT);
  g_assert_cmpstr (text, ==, "");
  g_assert_cmpint (g_remove (dir), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta/agent-util/unescape-mount", test_unescape_mount);
  g_test_add_func ("/meta/agent-util/read-line", test_read_line);
  return g_test_run ();
}
