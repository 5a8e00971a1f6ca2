/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/prune.h"

typedef struct {
  char *path;
  VmDirs dirs;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  static const char *const subs[] = {"run", "state", "cache", "cache/kernels"};

  f->path = g_dir_make_tmp ("vmctl-prune-XXXXXX", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (subs); i++) {
    g_autofree char *dir = g_build_filename (f->path, subs[i], NULL);

    g_assert_cmpint (mkdir (dir, 0700), ==, 0);
  }
  f->dirs.runtime = g_build_filename (f->path, "run", NULL);
  f->dirs.state = g_build_filename (f->path, "state", NULL);
  f->dirs.cache = g_build_filename (f->path, "cache", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_free (f->dirs.runtime);
  g_free (f->dirs.state);
  g_free (f->dirs.cache);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

static char *
kernels (Fixture *f, const char *name)
{
  return g_build_filename (f->dirs.cache, "kernels", name, NULL);
}

static GPtrArray *
find (Fixture *f)
{
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  VmPruneOptions options = {.cache = TRUE};
  GPtrArray *items = vm_prune_find (&f->dirs, &options, problems, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (problems->len, ==, 0);
  return items;
}

/* As whoever builds a kernel does it. */
static int
lock_as_builder (Fixture *f)
{
  g_autofree char *dir = kernels (f, NULL);
  vm_autofd fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  return flock (fd, LOCK_EX | LOCK_NB) == 0 ? vm_fd_steal (&fd) : -1;
}

/* Nobody can build between the look and the removal. */
static void
test_lock (Fixture *f, gconstpointer data)
{
  g_autofree char *kernel = kernels (f, "0123.vmlinux");
  GPtrArray *items;
  vm_autofd fd = -1;

  g_assert_true (g_file_set_contents (kernel, "x", 1, NULL));
  items = find (f);
  g_assert_cmpuint (items->len, ==, 1);
  g_assert_cmpint (lock_as_builder (f), ==, -1);
  g_assert_true (vm_prune_remove (g_ptr_array_index (items, 0), NULL));
  g_assert_cmpint (lock_as_builder (f), ==, -1);
  g_assert_cmpint (access (kernel, F_OK), ==, -1);
  g_ptr_array_unref (items);
  fd = lock_as_builder (f);
  g_assert_cmpint (fd, >=, 0);
}

/* What is being built is left alone. */
static void
test_building (Fixture *f, gconstpointer data)
{
  g_autofree char *kernel = kernels (f, "0123.vmlinux");
  vm_autofd fd = lock_as_builder (f);
  g_autoptr (GPtrArray) items = NULL;

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (g_file_set_contents (kernel, "x", 1, NULL));
  items = find (f);
  g_assert_cmpuint (items->len, ==, 0);
}

/* It is a directory; a file of that place is none. */
static void
check_directory (Fixture *f, const char *sub, const char *kind)
{
  g_autofree char *dir = g_build_filename (f->dirs.cache, sub, NULL);
  g_autofree char *key = g_build_filename (dir, "0123456789abcdef0123456789abcdef", NULL);
  g_autofree char *ram = g_build_filename (key, "ram", NULL), *other = g_build_filename (dir, "file", NULL);
  g_autoptr (GPtrArray) items = NULL;
  const VmPruneItem *item;

  g_assert_true (mkdir (dir, 0700) == 0 && mkdir (key, 0700) == 0);
  g_assert_true (g_file_set_contents (ram, "x", 1, NULL) && g_file_set_contents (other, "x", 1, NULL));
  items = find (f);
  g_assert_cmpuint (items->len, ==, 1);
  item = g_ptr_array_index (items, 0);
  g_assert_cmpstr (item->kind, ==, kind);
  g_assert_cmpuint (item->bytes, >, 0);
  g_assert_true (vm_prune_remove (item, NULL));
  g_assert_cmpint (access (key, F_OK), ==, -1);
  g_assert_cmpint (access (other, F_OK), ==, 0);
}

static void
test_template (Fixture *f, gconstpointer data)
{
  check_directory (f, "templates", "template");
}

static void
test_appliance (Fixture *f, gconstpointer data)
{
  check_directory (f, "guestfs", "appliance");
}

int
main (int argc, char **argv)
{
#define ADD(name, function) g_test_add ("/vmctl/prune/" name, Fixture, NULL, set_up, function, tear_down)
  g_test_init (&argc, &argv, NULL);
  ADD ("lock", test_lock);
  ADD ("building", test_building);
  ADD ("template", test_template);
  ADD ("appliance", test_appliance);
  return g_test_run ();
}
