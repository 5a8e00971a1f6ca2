/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks that doctor and up share, and which QEMU is new enough. */
#include "vmctl/base/error.h"
#include "vmctl/checks-parts.h"
#include "vmctl/driver.h"
#include "vmctl/qemu-version.h"

static void
check_parsed (const char *said, const char *want)
{
  g_autofree char *version = vm_qemu_version_parse (said);

  g_assert_cmpstr (version, ==, want);
}

static void
parsed (void)
{
  check_parsed ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", "7.2.22");
  check_parsed ("QEMU emulator version 10.0.0-rc1\n", "10.0.0");
  check_parsed ("QEMU emulator version 8.2\n", "8.2");
  check_parsed ("bwrap version 7.2", NULL);
  check_parsed ("QEMU emulator version \n", NULL);
  check_parsed ("QEMU emulator version .5\n", NULL);
  check_parsed ("QEMU emulator version 1111111111111111111111111111111111111\n", NULL);
  check_parsed ("", NULL);
}

static void
enough (void)
{
  g_assert_true (vm_qemu_version_is_enough ("7.2.0"));
  g_assert_true (vm_qemu_version_is_enough ("7.2"));
  g_assert_true (vm_qemu_version_is_enough ("7.10.1"));
  g_assert_true (vm_qemu_version_is_enough ("10.0.0"));
  g_assert_false (vm_qemu_version_is_enough ("7.1.99"));
  g_assert_false (vm_qemu_version_is_enough ("6.9"));
  g_assert_false (vm_qemu_version_is_enough ("7"));
  g_assert_false (vm_qemu_version_is_enough (""));
}

/* What up says is what doctor says: why, and the mend behind it. */
static void
same_words (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmCheck) check = NULL;

  g_assert_true (vm_check_require (vm_check_new ("a", "A", VM_CHECK_OK, g_strdup ("w"), NULL), &error));
  g_assert_true (vm_check_require (vm_check_new ("a", "A", VM_CHECK_WARNING, g_strdup ("w"), "m"), &error));
  g_assert_no_error (error);
  g_assert_false (
      vm_check_require (vm_check_new ("a", "A", VM_CHECK_FAILED, g_strdup ("w"), "m; n"), &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_HOST);
  g_assert_cmpstr (error->message, ==, "w; m; n");
  check = vm_check_new_error ("a", "A", VM_CHECK_FAILED, g_steal_pointer (&error));
  g_assert_cmpstr (check->why, ==, "w");
  g_assert_cmpstr (check->mend, ==, "m; n");
  g_assert_false (vm_check_require (vm_check_new ("a", "A", VM_CHECK_FAILED, g_strdup ("w"), NULL), &error));
  g_assert_cmpstr (error->message, ==, "w");
}

static void
check_probe (const VmHost *host, const char *part)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = vm_driver_qemu.probe (host, &error);

  g_assert_true (ok == (part == NULL));
  if (part != NULL)
    g_assert_nonnull (g_strstr_len (error->message, -1, part));
}

static void
probe (void)
{
  VmHost host = {.qemu = (char *)"/usr/bin/qemu-system-x86_64",
                 .bwrap = (char *)"/usr/bin/bwrap",
                 .agent = (char *)"/x/vmctl-agent",
                 .keeper = (char *)"/x/vmctl-keeper",
                 .kernel = (char *)"/boot/vmlinuz",
                 .kernel_version = (char *)"6.1"};

  check_probe (&host, NULL); /* the version is not known: up asks before */
  host.qemu_version = (char *)"7.2.22";
  check_probe (&host, NULL);
  host.qemu_version = (char *)"7.1.0";
  check_probe (&host, "is QEMU 7.1.0, which is too old; install QEMU 7.2");
  host.qemu_version = NULL;
  host.qemu = NULL;
  check_probe (&host, "'qemu-system-x86_64' is missing; install it");
  host.qemu = (char *)"/usr/bin/qemu-system-x86_64";
  host.bwrap = NULL;
  check_probe (&host, "apt install bubblewrap");
  host.bwrap = (char *)"/usr/bin/bwrap";
  host.agent = NULL;
  check_probe (&host, "vmctl-agent");
  host.agent = (char *)"/x/vmctl-agent";
  host.keeper = NULL;
  check_probe (&host, "vmctl-keeper");
  host.keeper = (char *)"/x/vmctl-keeper";
  host.kernel = NULL;
  check_probe (&host, "apt install linux-image-amd64");
  host.kernel_problem = (char *)"no kernel: that is why; do this";
  check_probe (&host, "no kernel: that is why; do this");
}

static void
explained (void)
{
  g_autofree char *other = vm_check_explain_child ("bwrap: Can't find source path /x: No such file");
  g_autofree char *namespaces = vm_check_explain_child ("bwrap: No permissions to create new namespace");

  g_assert_cmpstr (other, ==, "bwrap: Can't find source path /x: No such file");
  g_assert_true (g_str_has_prefix (namespaces, "bwrap: No permissions to create new namespace; "));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/qemu-version/parsed", parsed);
  g_test_add_func ("/vmctl/qemu-version/enough", enough);
  g_test_add_func ("/vmctl/checks/same-words", same_words);
  g_test_add_func ("/vmctl/checks/probe", probe);
  g_test_add_func ("/vmctl/checks/explained", explained);
  return g_test_run ();
}
