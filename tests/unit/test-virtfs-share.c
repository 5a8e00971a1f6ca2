/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>

#include "virtfs/share.h"

static void
assert_words (const VirtfsShare *share, const char *fsdev, const char *device)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  const char *const *words;

  virtfs_share_argv (share, argv);
  words = vm_argv_words (argv);
  g_assert_cmpuint (g_strv_length ((char **)words), ==, 4);
  g_assert_cmpstr (words[0], ==, "-fsdev");
  g_assert_cmpstr (words[1], ==, fsdev);
  g_assert_cmpstr (words[2], ==, "-device");
  g_assert_cmpstr (words[3], ==, device);
}

static void
test_read_only (void)
{
  VirtfsShare share = {.id = "ro", .path = "/export/ro", .tag = "vmctl.ro", .read_only = TRUE};

  assert_words (&share, "local,id=ro,path=/export/ro,security_model=none,multidevs=remap,readonly=on",
                "{\"driver\":\"virtio-9p-pci\",\"fsdev\":\"ro\",\"mount_tag\":\"vmctl.ro\"}");
}

/* A path with ",path=/etc" in it once was an option: QEMU exported /etc. */
static void
test_commas (void)
{
  VirtfsShare share = {.id = "rw", .path = "/a,path=/etc", .tag = "t"};

  assert_words (&share, "local,id=rw,path=/a,,path=/etc,security_model=none,multidevs=remap",
                "{\"driver\":\"virtio-9p-pci\",\"fsdev\":\"rw\",\"mount_tag\":\"t\"}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/virtfs/share/read-only", test_read_only);
  g_test_add_func ("/virtfs/share/commas-are-doubled", test_commas);
  return g_test_run ();
}
