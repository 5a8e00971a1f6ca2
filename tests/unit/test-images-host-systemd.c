/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/host-systemd.h"

#include <string.h>
#include <unistd.h>

#include "images/store.h"
#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"

static void
put (Fixture *f, const char *path)
{
  g_free (fixture_write_text (f, path, "x"));
}

static char *
find (Fixture *f, GError **error)
{
  return image_host_systemd_find (f->dir, error);
}

static void
test_find (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *found = NULL;

  g_assert_null (find (f, &error));
  fixture_assert_error (&error, "no systemd", "apt install systemd", NULL);
  put (f, "lib/systemd/systemd");
  g_assert_null (find (f, &error));
  fixture_assert_error (&error, "/lib/systemd/systemd-journald", NULL);
  put (f, "lib/systemd/systemd-journald");
  g_assert_null (find (f, &error));
  fixture_assert_error (&error, "system/multi-user.target", NULL);
  put (f, "lib/systemd/system/multi-user.target");
  found = find (f, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (found, ==, "/lib/systemd/systemd");
}

static void
test_usr_comes_first (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *found = NULL;

  put (f, "lib/systemd/systemd");
  put (f, "usr/lib/systemd/systemd");
  put (f, "usr/lib/systemd/systemd-journald");
  put (f, "usr/lib/systemd/system/multi-user.target");
  found = find (f, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (found, ==, "/usr/lib/systemd/systemd");
  g_assert_false (image_host_systemd_has_bus (f->dir));
  put (f, "usr/bin/dbus-daemon");
  g_assert_true (image_host_systemd_has_bus (f->dir));
}

static void
test_nixos (Fixture *f, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;

  put (f, "etc/NIXOS");
  put (f, "run/current-system/systemd/lib/systemd/systemd");
  g_assert_null (find (f, &error));
  fixture_assert_error (&error, "NixOS", "vmctl image build debian:", NULL);
}

/* In the store of a host that has one. */
static void
test_build (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *here = image_host_systemd_find ("", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = NULL, again = NULL;

  if (here == NULL) {
    g_test_skip ("this host has no systemd");
    return;
  }
  g_assert_true (image_host_systemd_build (data, NULL, FALSE, &info, &error));
  g_assert_no_error (error);
  g_assert_true (info->is_host);
  g_assert_cmpstr (info->init, ==, here);
  g_assert_cmpstr (info->names[0], ==, "host-systemd");
  g_assert_true (image_host_systemd_check (info, &error));
  g_assert_cmpint (image_store_open (info, &error), ==, -1);
  g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  g_assert_true (image_host_systemd_build (data, "other", FALSE, &again, &error));
  g_assert_cmpstr (again->id, ==, info->id);
  g_assert_cmpuint (g_strv_length (again->names), ==, 2);
  g_assert_false (image_host_systemd_build (data, "a/b", FALSE, &again, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_clear_error (&error);
  g_assert_true (image_store_remove (data, again, &error));
  g_assert_no_error (error);
}

static void
test_changed (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = fixture_path (f, "data"), *here = image_host_systemd_find ("", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = NULL;

  if (here == NULL) {
    g_test_skip ("this host has no systemd");
    return;
  }
  g_assert_true (image_host_systemd_build (data, NULL, FALSE, &info, &error));
  g_free (info->init);
  info->init = g_strdup ("/home/somebody/init");
  g_assert_false (image_host_systemd_check (info, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

/* A template is of the units and libraries that there were. */
static void
test_state (Fixture *f, gconstpointer unused)
{
  static const char *const brought[] = {"usr/lib/systemd/system/new.service", "usr/lib64/libnew.so",
                                        "usr/local/lib/systemd/system/own.service"};
  const char *init = "/usr/lib/systemd/systemd";
  g_autofree char *before = NULL, *same = NULL, *replaced = NULL;
  g_autofree char *program = fixture_path (f, "usr/lib/systemd/systemd");

  put (f, "usr/lib/systemd/systemd");
  put (f, "usr/lib/systemd/system/multi-user.target");
  put (f, "usr/lib64/libc.so.6");
  before = image_host_systemd_state (f->dir, init);
  same = image_host_systemd_state (f->dir, init);
  g_assert_cmpstr (before, ==, same);
  for (gsize i = 0; i < G_N_ELEMENTS (brought); i++) {
    g_autofree char *after = NULL;

    put (f, brought[i]);
    after = image_host_systemd_state (f->dir, init);
    g_assert_cmpstr (before, !=, after);
    g_free (before);
    before = g_steal_pointer (&after);
  }
  g_assert_true (g_file_set_contents (program, "another", -1, NULL));
  replaced = image_host_systemd_state (f->dir, init);
  g_assert_cmpstr (before, !=, replaced);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/host-systemd/find", test_find);
  fixture_test ("/host-systemd/usr-comes-first", test_usr_comes_first);
  fixture_test ("/host-systemd/nixos", test_nixos);
  fixture_test ("/host-systemd/build", test_build);
  fixture_test ("/host-systemd/changed", test_changed);
  fixture_test ("/host-systemd/state", test_state);
  return g_test_run ();
}
