/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/boot.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/modules.h"
#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"

static void
add_kernel (Fixture *f, const char *relative, const char *version)
{
  g_autoptr (GByteArray) image = fixture_bzimage (version, (const guint8 *)"0123456789abcdef", 16);
  g_autofree char *path = fixture_write (f, relative, image->data, image->len);
}

/* Modules as Debian has them; `suffix` is ".ko" or ".ko.xz". NULL `without`: all. */
static void
add_modules (Fixture *f, const char *dir, const char *suffix, const char *without)
{
  static const struct {
    const char *path, *needs;
  } modules[] = {
      {"kernel/drivers/virtio/virtio_ring", ""},
      {"kernel/drivers/virtio/virtio", "kernel/drivers/virtio/virtio_ring"},
      {"kernel/drivers/virtio/virtio_pci", "kernel/drivers/virtio/virtio kernel/drivers/virtio/virtio_ring"},
      {"kernel/net/9p/9pnet", ""},
      {"kernel/net/9p/9pnet_virtio", "kernel/net/9p/9pnet kernel/drivers/virtio/virtio_ring"},
      {"kernel/fs/9p/9p", "kernel/net/9p/9pnet"},
      {"kernel/fs/overlayfs/overlay", ""},
      {"kernel/drivers/char/virtio_console", ""},
      {"kernel/drivers/block/virtio_blk", ""},
      {"kernel/fs/ext4/ext4", ""},
      {"kernel/crypto/crc32c_generic", ""},
      {"kernel/drivers/net/virtio-net", ""},
      {"kernel/drivers/net/other_net", ""}};
  g_autoptr (GString) dep = g_string_new (NULL);
  g_autofree char *list = g_build_filename (dir, "modules.dep", NULL), *written = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (modules); i++) {
    g_auto (GStrv) needs = g_strsplit (modules[i].needs, " ", -1);
    g_autofree char *name = g_strconcat (modules[i].path, suffix, NULL);
    g_autofree char *relative = g_build_filename (dir, name, NULL), *base = g_path_get_basename (name);
    g_autofree char *path = NULL;

    if (without != NULL && g_str_has_prefix (base, without) && base[strlen (without)] == '.')
      continue;
    path = fixture_write_text (f, relative, "module");
    g_string_append_printf (dep, "%s:", name);
    for (guint n = 0; needs[n] != NULL && *needs[n] != '\0'; n++)
      g_string_append_printf (dep, " %s%s", needs[n], suffix);
    g_string_append (dep, "\n");
  }
  written = fixture_write_text (f, list, dep->str);
}

static void
expect (Fixture *f, const char *override, const char *version, const char *path, const char *modules)
{
  g_autofree char *full = fixture_path (f, path), *full_modules = fixture_path (f, modules);
  g_autoptr (GError) error = NULL;
  ImageKernel kernel = {NULL};

  (void)image_kernel_find (f->dir, override, &kernel, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (kernel.version, ==, version);
  g_assert_cmpstr (kernel.path, ==, full);
  g_assert_cmpstr (kernel.modules_dir, ==, full_modules);
  g_assert_nonnull (kernel.modules);
  image_kernel_clear (&kernel);
  image_kernel_clear (&kernel); /* reusable */
}

static void
test_debian (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "boot/vmlinuz-6.1.0-56-amd64", "6.1.0-56-amd64");
  add_modules (f, "lib/modules/6.1.0-56-amd64", ".ko", NULL);
  expect (f, NULL, "6.1.0-56-amd64", "boot/vmlinuz-6.1.0-56-amd64", "lib/modules/6.1.0-56-amd64");
}

static void
test_fedora (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "usr/lib/modules/6.5.6-300.fc39.x86_64/vmlinuz", "6.5.6-300.fc39.x86_64");
  add_modules (f, "usr/lib/modules/6.5.6-300.fc39.x86_64", ".ko.xz", NULL);
  expect (f, NULL, "6.5.6-300.fc39.x86_64", "usr/lib/modules/6.5.6-300.fc39.x86_64/vmlinuz",
          "usr/lib/modules/6.5.6-300.fc39.x86_64");
}

/* Its /boot kernel has no version in its name; the header has. */
static void
test_arch (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "boot/vmlinuz-linux", "6.6.7-arch1-1");
  add_modules (f, "usr/lib/modules/6.6.7-arch1-1", ".ko.zst", NULL);
  expect (f, NULL, "6.6.7-arch1-1", "boot/vmlinuz-linux", "usr/lib/modules/6.6.7-arch1-1");
}

static void
test_nixos (Fixture *f, gconstpointer unused)
{
  g_autofree char *run = fixture_mkdir (f, "run"), *link = fixture_path (f, "run/current-system");
  g_autofree char *list = fixture_path (f, "nix/store/sys/kernel-modules/lib/modules/6.1.64/modules.dep");
  g_autofree char *real = fixture_path (f, "nix/store/sys/dep");

  add_kernel (f, "nix/store/sys/kernel", "6.1.64");
  add_modules (f, "nix/store/sys/kernel-modules/lib/modules/6.1.64", ".ko.xz", NULL);
  g_assert_cmpint (symlink ("../nix/store/sys", link), ==, 0);
  /* In the store the lists may be links too. */
  g_assert_cmpint (rename (list, real), ==, 0);
  g_assert_cmpint (symlink ("../../../../dep", list), ==, 0);
  expect (f, NULL, "6.1.64", "run/current-system/kernel",
          "run/current-system/kernel-modules/lib/modules/6.1.64");
}

static void
test_newest (Fixture *f, gconstpointer unused)
{
  static const char *const versions[] = {"6.1.0-9-amd64",  "6.1.0-56-cloud-amd64", "6.1.0-56-amd64",
                                         "6.1.0-10-amd64", "5.19.0-99-amd64",      "6.1.0-56-rt-amd64"};

  for (guint i = 0; i < G_N_ELEMENTS (versions); i++) {
    g_autofree char *kernel = g_strconcat ("boot/vmlinuz-", versions[i], NULL);
    g_autofree char *modules = g_strconcat ("lib/modules/", versions[i], NULL);

    add_kernel (f, kernel, versions[i]);
    add_modules (f, modules, ".ko", NULL);
  }
  expect (f, NULL, "6.1.0-56-amd64", "boot/vmlinuz-6.1.0-56-amd64", "lib/modules/6.1.0-56-amd64");
}

static void
test_ten_after_nine (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64");
  add_modules (f, "lib/modules/6.1.0-9-amd64", ".ko", NULL);
  add_kernel (f, "boot/vmlinuz-6.1.0-10-amd64", "6.1.0-10-amd64");
  add_modules (f, "lib/modules/6.1.0-10-amd64", ".ko", NULL);
  expect (f, NULL, "6.1.0-10-amd64", "boot/vmlinuz-6.1.0-10-amd64", "lib/modules/6.1.0-10-amd64");
}

/* The newest one lacks 9p: the older one is taken. */
static void
test_falls_back (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64");
  add_modules (f, "lib/modules/6.1.0-9-amd64", ".ko", NULL);
  add_kernel (f, "boot/vmlinuz-6.1.0-10-amd64", "6.1.0-10-amd64");
  add_modules (f, "lib/modules/6.1.0-10-amd64", ".ko", "9p");
  expect (f, NULL, "6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", "lib/modules/6.1.0-9-amd64");
}

static void
test_builtin (Fixture *f, gconstpointer unused)
{
  g_autofree char *list = NULL;

  add_kernel (f, "boot/vmlinuz-6.9.1", "6.9.1");
  add_modules (f, "lib/modules/6.9.1", ".ko", "virtio_pci");
  list = fixture_write_text (f, "lib/modules/6.9.1/modules.builtin",
                             "kernel/drivers/virtio/virtio-pci.ko\nkernel/lib/some.ko\n");
  expect (f, NULL, "6.9.1", "boot/vmlinuz-6.9.1", "lib/modules/6.9.1");
}

static void
test_crc32c_is_optional (Fixture *f, gconstpointer unused)
{
  add_kernel (f, "boot/vmlinuz-6.15.1", "6.15.1");
  add_modules (f, "lib/modules/6.15.1", ".ko", "crc32c_generic");
  expect (f, NULL, "6.15.1", "boot/vmlinuz-6.15.1", "lib/modules/6.15.1");
}

static void
test_override (Fixture *f, gconstpointer unused)
{
  g_autofree char *own = fixture_path (f, "else/bzImage"), *old = fixture_path (f, "boot/vmlinuz-6.1.0-9");

  add_kernel (f, "boot/vmlinuz-6.1.0-10", "6.1.0-10");
  add_modules (f, "lib/modules/6.1.0-10", ".ko", NULL);
  add_kernel (f, "boot/vmlinuz-6.1.0-9", "6.1.0-9");
  add_modules (f, "lib/modules/6.1.0-9", ".ko", NULL);
  add_kernel (f, "else/bzImage", "6.7.0-own");
  add_modules (f, "else/lib/modules/6.7.0-own", ".ko", NULL);
  expect (f, old, "6.1.0-9", "boot/vmlinuz-6.1.0-9", "lib/modules/6.1.0-9");
  expect (f, own, "6.7.0-own", "else/bzImage", "else/lib/modules/6.7.0-own");
}

static void
assert_fails (Fixture *f, const char *override, GError **error)
{
  ImageKernel kernel = {NULL};

  g_assert_false (image_kernel_find (f->dir, override, &kernel, error));
  g_assert_error (*error, VM_ERROR, VM_ERROR_HOST);
  g_assert_null (kernel.path);
}

/* Every candidate is listed with its own reason. */
static void
test_reasons (Fixture *f, gconstpointer unused)
{
  g_autofree char *not_a_file = fixture_mkdir (f, "boot/vmlinuz-6.1.0-4");
  g_autofree char *no_modules = fixture_path (f, "boot/vmlinuz-6.1.0-3");
  g_autofree char *no_9p = fixture_path (f, "boot/vmlinuz-6.1.0-2"), *lost = NULL, *broken = NULL;
  g_autoptr (GError) error = NULL;

  add_kernel (f, "boot/vmlinuz-6.1.0-3", "6.1.0-3");
  add_kernel (f, "boot/vmlinuz-6.1.0-2", "6.1.0-2");
  add_modules (f, "lib/modules/6.1.0-2", ".ko", "9p");
  add_kernel (f, "boot/vmlinuz-6.1.0-1", "6.1.0-1");
  add_modules (f, "lib/modules/6.1.0-1", ".ko", NULL);
  lost = fixture_path (f, "lib/modules/6.1.0-1/kernel/net/9p/9pnet.ko");
  g_assert_cmpint (unlink (lost), ==, 0);
  broken = fixture_write_text (f, "boot/vmlinuz-mine", "not a kernel");
  assert_fails (f, NULL, &error);
  fixture_assert_error (&error, not_a_file, "not a regular file", no_modules, "no modules", no_9p,
                        "no module '9p'", lost, "No such file", broken, "apt install linux-image-amd64",
                        NULL);
  assert_fails (f, no_9p, &error);
  fixture_assert_error (&error, no_9p, "no module '9p'", NULL);
}

static void
test_nothing (Fixture *f, gconstpointer unused)
{
  g_autofree char *missing = fixture_path (f, "boot/vmlinuz-1");
  g_autoptr (GError) error = NULL;

  assert_fails (f, NULL, &error);
  fixture_assert_error (&error, "no kernel found", f->dir, "apt install linux-image-amd64", NULL);
  assert_fails (f, missing, &error);
  fixture_assert_error (&error, missing, "No such file", NULL);
}

/* As Ubuntu ships them. Root may read everything, so root becomes somebody else here. */
static void
test_unreadable (Fixture *f, gconstpointer unused)
{
  gboolean root = geteuid () == 0;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  Fixture own;

  if (root)
    g_assert_cmpint (seteuid (65534), ==, 0);
  fixture_init (&own, NULL);
  path = fixture_path (&own, "boot/vmlinuz-6.1.0-1");
  add_kernel (&own, "boot/vmlinuz-6.1.0-1", "6.1.0-1");
  add_modules (&own, "lib/modules/6.1.0-1", ".ko", NULL);
  g_assert_cmpint (chmod (path, 0), ==, 0);
  assert_fails (&own, NULL, &error);
  fixture_clear (&own, NULL);
  if (root)
    g_assert_cmpint (seteuid (0), ==, 0);
  fixture_assert_error (&error, path, "sudo chmod 0644", NULL);
}

/* What is needed comes first, each file once, '-' and '_' equal. */
static void
test_load_order (Fixture *f, gconstpointer unused)
{
  static const char *const names[] = {"9pnet_virtio", "9p", "virtio_pci", "virtio_net", NULL};
  static const char *const order[] = {"virtio_ring", "9pnet",      "9pnet_virtio", "9p",
                                      "virtio",      "virtio_pci", "virtio_net"};
  g_autofree char *dir = fixture_path (f, "m");
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) files = NULL;

  add_modules (f, "m", ".ko.gz", NULL);
  files = image_modules_resolve (dir, names, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (files), ==, G_N_ELEMENTS (order));
  for (guint i = 0; i < G_N_ELEMENTS (order); i++) {
    g_autofree char *name = image_module_name (files[i]);

    g_assert_cmpstr (name, ==, order[i]);
    g_assert_true (g_str_has_prefix (files[i], dir));
  }
}

static void
test_this_host (void)
{
  g_autoptr (GError) error = NULL;
  ImageKernel kernel = {NULL};

  if (!image_kernel_find ("", NULL, &kernel, &error)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_cmpuint (g_strv_length (kernel.modules), >=, 1);
  image_kernel_clear (&kernel);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/kernel/debian", test_debian);
  fixture_test ("/images/kernel/fedora", test_fedora);
  fixture_test ("/images/kernel/arch", test_arch);
  fixture_test ("/images/kernel/nixos", test_nixos);
  fixture_test ("/images/kernel/newest-plain-flavour", test_newest);
  fixture_test ("/images/kernel/ten-after-nine", test_ten_after_nine);
  fixture_test ("/images/kernel/falls-back-to-usable", test_falls_back);
  fixture_test ("/images/kernel/builtin", test_builtin);
  fixture_test ("/images/kernel/crc32c-is-optional", test_crc32c_is_optional);
  fixture_test ("/images/kernel/override", test_override);
  fixture_test ("/images/kernel/reasons", test_reasons);
  fixture_test ("/images/kernel/nothing", test_nothing);
  fixture_test ("/images/kernel/unreadable", test_unreadable);
  fixture_test ("/images/modules/load-order", test_load_order);
  g_test_add_func ("/images/kernel/this-host", test_this_host);
  return g_test_run ();
}
