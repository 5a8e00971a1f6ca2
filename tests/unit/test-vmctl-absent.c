/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/absent.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/file.h"
#include "vmctl/plan-parts.h"

typedef struct {
  char *dir;
  char *state;
  VmPlan plan;
} Fixture;

static char *
at (Fixture *f, const char *name)
{
  return g_build_filename (f->dir, name, NULL);
}

static void
add (Fixture *f, VmMountKind kind, const char *name)
{
  g_autofree char *path = at (f, name);

  vm_plan_add_inside (&f->plan, kind, path, TRUE, "project");
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("absent-XXXXXX", NULL);
  f->state = g_dir_make_tmp ("state-XXXXXX", NULL);
  f->plan.id = g_strdup ("ab12cd34");
  f->plan.project = g_strdup (f->dir);
  f->plan.mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  vm_plan_add_rw (&f->plan, f->dir, f->dir, "project");
  add (f, VM_MOUNT_ABSENT, ".envrc");
  add (f, VM_MOUNT_ABSENT, ".claude/settings.json");
  add (f, VM_MOUNT_ABSENT, ".claude/settings.local.json");
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  const char *const names[] = {
      ".envrc",   ".claude/settings.json", ".claude/settings.local.json", ".claude/mine", ".claude",
      "elsewhere"};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = at (f, names[i]);

    if (g_remove (path) < 0)
      continue;
  }
  g_assert_cmpint (g_rmdir (f->dir), ==, 0);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->state, NULL));
  g_ptr_array_unref (f->plan.mounts);
  g_free (f->plan.id);
  g_free (f->plan.project);
  g_free (f->state);
  g_free (f->dir);
}

static mode_t
mode_of (Fixture *f, const char *name)
{
  g_autofree char *path = at (f, name);
  struct stat st;

  return lstat (path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
make (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vm_absent_make (f->state, &f->plan, &error));
  g_assert_no_error (error);
}

static void
test_comes_and_goes (Fixture *f, gconstpointer data)
{
  make (f);
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 01555);
  g_assert_cmpint (mode_of (f, ".claude/settings.json"), ==, 01555);
  vm_absent_clean (f->state, "ab12cd34");
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 0);
  g_assert_cmpint (mode_of (f, ".claude"), ==, 0);
}

/* The last one on a project takes them away, whichever came first. */
static void
test_two_on_a_project (Fixture *f, gconstpointer data)
{
  make (f);
  g_free (f->plan.id);
  f->plan.id = g_strdup ("second00");
  make (f);
  vm_absent_clean (f->state, "ab12cd34");
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 01555);
  vm_absent_clean (f->state, "ab12cd34"); /* it has gone already */
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 01555);
  vm_absent_clean (f->state, "second00");
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 0);
}

static void
test_after_a_power_cut (Fixture *f, gconstpointer data)
{
  g_autofree char *list = g_build_filename (f->state, "absent", "ab12cd34", NULL), *text = NULL;
  char *boot;

  make (f);
  vm_absent_sweep (f->state); /* it runs */
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 01555);
  g_assert_true (g_file_get_contents (list, &text, NULL, NULL));
  boot = strstr (text, "\"boot-id\"");
  g_assert_nonnull (boot);
  boot = strchr (strchr (boot, ':'), '"') + 1;
  *boot = *boot == 'x' ? 'y' : 'x';
  g_assert_true (g_file_set_contents (list, text, -1, NULL));
  vm_absent_sweep (f->state);
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 0);
  g_assert_cmpint (mode_of (f, ".claude"), ==, 0);
  g_assert_false (g_file_test (list, G_FILE_TEST_EXISTS));
}

/* A list is a file that may be broken: it leads nowhere but below its own base. */
static void
test_bad_list (Fixture *f, gconstpointer data)
{
  g_autofree char *list = g_build_filename (f->state, "absent", "ab12cd34", NULL), *text = NULL;
  g_autofree char *other = at (f, "elsewhere");

  make (f);
  g_assert_cmpint (g_mkdir (other, 0700), ==, 0);
  g_assert_cmpint (g_chmod (other, 01555), ==, 0);
  text = g_strdup_printf ("{\"project\": \"%s\", \"names\": [\"%s/.claude\", \"%s\", \"%s\"]}", f->dir,
                          f->dir, other, f->dir);
  g_assert_true (g_file_set_contents (list, text, -1, NULL));
  vm_absent_clean (f->state, "ab12cd34");
  g_assert_cmpint (mode_of (f, "elsewhere"), ==, 01555);
}

/* What others put beside ours stays, and the directory is an ordinary one then. */
static void
test_keeps_what_came (Fixture *f, gconstpointer data)
{
  g_autofree char *mine = at (f, ".claude/mine");

  make (f);
  g_assert_true (g_file_set_contents (mine, "x", 1, NULL));
  vm_absent_clean (f->state, "ab12cd34");
  g_assert_cmpint (mode_of (f, ".claude/settings.json"), ==, 0);
  g_assert_cmpint (mode_of (f, ".claude"), ==, 0755);
  g_assert_true (g_file_test (mine, G_FILE_TEST_EXISTS));
}

/* The user's own, an empty directory too, is not ours to take away. */
static void
test_keeps_the_users (Fixture *f, gconstpointer data)
{
  g_autofree char *own = at (f, ".envrc");

  g_assert_cmpint (g_mkdir (own, 0755), ==, 0);
  make (f);
  vm_absent_clean (f->state, "ab12cd34");
  g_assert_cmpint (mode_of (f, ".envrc"), ==, 0755);
}

static void
test_follows_no_link (Fixture *f, gconstpointer data)
{
  g_autofree char *link = at (f, ".claude"), *elsewhere = at (f, "elsewhere");
  g_autofree char *victim = at (f, "elsewhere/settings.json");
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir (elsewhere, 0755), ==, 0);
  g_assert_cmpint (symlink ("elsewhere", link), ==, 0);
  g_assert_false (vm_absent_make (f->state, &f->plan, &error));
  g_assert_nonnull (strstr (error->message, ".claude/settings.json"));
  g_assert_false (g_file_test (victim, G_FILE_TEST_EXISTS));
  vm_absent_clean (f->state, "ab12cd34");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/vmctl/absent/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("comes-and-goes", test_comes_and_goes);
  ADD ("two-on-a-project", test_two_on_a_project);
  ADD ("after-a-power-cut", test_after_a_power_cut);
  ADD ("bad-list", test_bad_list);
  ADD ("keeps-what-came", test_keeps_what_came);
  ADD ("keeps-the-users", test_keeps_the_users);
  ADD ("follows-no-link", test_follows_no_link);
#undef ADD
  return g_test_run ();
}
