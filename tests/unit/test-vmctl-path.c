/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/path.h"

static void
test_relative (void)
{
  static const struct {
    const char *from, *to, *way;
  } cases[] = {{"/usr/local/bin", "/usr/local/libexec/vmctl", "../libexec/vmctl"},
               {"/usr/bin", "/usr/lib/vmctl", "../lib/vmctl"},
               {"/usr/bin", "/usr/lib/x86_64-linux-gnu/vmctl", "../lib/x86_64-linux-gnu/vmctl"},
               {"/usr/bin", "/usr/bin/vmctl", "vmctl"},
               {"/usr/bin", "/usr/bin", "."},
               {"/usr/bin", "/opt/vmctl", "../../opt/vmctl"},
               {"/usr/bin", "/usr/binary", "../binary"},
               {"/", "/libexec/vmctl", "libexec/vmctl"},
               {"/bin", "/", ".."}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *way = vm_path_relative (cases[i].from, cases[i].to);

    g_assert_cmpstr (way, ==, cases[i].way);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/path/relative", test_relative);
  return g_test_run ();
}
