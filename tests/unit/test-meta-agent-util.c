/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>

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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta/agent-util/unescape-mount", test_unescape_mount);
  return g_test_run ();
}
