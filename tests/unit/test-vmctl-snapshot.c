/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots: of what there can be one, how it is called, its steps, its file. The jobs are in
 * test-vmctl-snapshots.c, the guest's part in tests/vm/snapshot.sh. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"
#include "vmctl/snapshot.h"

typedef struct {
  VmPlan *plan;
  VmSnapshotFacts facts;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->plan = vm_plan_new ();
  f->plan->isolation = VM_ISOLATION_VM;
  f->plan->disk = 64 << 20;
  f->plan->state_dir = g_strdup ("/state");
  f->facts = (VmSnapshotFacts){.plan = f->plan,
                               .snapshots = json_object_new_array (),
                               .devices = json_object_new_array (),
                               .freeze_ms = 500,
                               .now = 7};
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_plan_free (f->plan);
  json_object_put (f->facts.snapshots);
  json_object_put (f->facts.devices);
}

static void
have (json_object *list, const char *text)
{
  json_object *object = vm_json_parse_object (text, strlen (text), NULL);

  g_assert_nonnull (object);
  json_object_array_add (list, object);
}

static void
refused (Fixture *f, const char *name, VmErrorCode code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_snapshot_plan_make (name, &f->facts, &error));
  g_assert_error (error, VM_ERROR, (int)code);
  if (strstr (error->message, text) == NULL)
    g_error ("'%s' is not in: %s", text, error->message);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  have (f->facts.snapshots, "{\"id\":\"one\"}");
  refused (f, "one", VM_ERROR_EXISTS, "vmctl snapshot rm");
  refused (f, "a/b", VM_ERROR_USAGE, "is no name");
}

static void
test_no_disk (Fixture *f, gconstpointer data)
{
  f->plan->disk = 0;
  refused (f, NULL, VM_ERROR_UNSUPPORTED, "--disk none");
  f->plan->isolation = VM_ISOLATION_CONTAINER;
  refused (f, NULL, VM_ERROR_UNSUPPORTED, "a container");
  f->plan->isolation = VM_ISOLATION_NAMESPACE;
  refused (f, NULL, VM_ERROR_UNSUPPORTED, "namespaces");
  f->plan->isolation = VM_ISOLATION_NONE;
  refused (f, NULL, VM_ERROR_UNSUPPORTED, "null driver");
}

/* The host's own systemd: the disk is the scratch disk, as without an image. */
static void
test_host_systemd (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = NULL;

  f->plan->image.name = g_strdup ("host-systemd");
  f->plan->image.init = g_strdup ("/usr/lib/systemd/systemd");
  plan = vm_snapshot_plan_make (NULL, &f->facts, NULL);
  g_assert_nonnull (plan);
  f->plan->disk = 0;
  refused (f, NULL, VM_ERROR_UNSUPPORTED, "--disk none");
}

static void
test_too_many (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < VM_SNAPSHOTS_MAX; i++)
    have (f->facts.snapshots, "{\"id\":\"x\"}");
  refused (f, NULL, VM_ERROR_BUSY, "64 snapshots");
}

static void
test_names (void)
{
  static const char *const good[] = {"a", "9", "before-upgrade_2.1",
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890123"};
  static const char *const bad[] = {"",
                                    ".",
                                    "..",
                                    ".a",
                                    "-a",
                                    "_a",
                                    "a/b",
                                    "a b",
                                    "\xc3\xa4",
                                    "a\n",
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345678901234"};

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (vm_snapshot_is_name (good[i]));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (vm_snapshot_is_name (bad[i]));
}

static const char *
command_of (const VmPlugPlan *plan, guint i)
{
  return vm_json_str (((VmPlugStep *)g_ptr_array_index (plan->steps, i))->act, "command", "");
}

static guint
step_of (const VmPlugPlan *plan, const char *command, guint from)
{
  for (guint i = from; i < plan->steps->len; i++)
    if (g_str_equal (command_of (plan, i), command))
      return i;
  g_assert_not_reached ();
}

/* The copy begins between freeze and thaw, and a freeze is thawed whatever fails. */
static void
test_steps (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = NULL;
  guint freeze, copy, thaw;
  gboolean is_covered = FALSE;

  have (f->facts.snapshots, "{\"id\":\"s1\"}");
  f->facts.parent = "s1";
  plan = vm_snapshot_plan_make (NULL, &f->facts, NULL);
  g_assert_cmpstr (plan->id, ==, "s2");
  g_assert_cmpstr (vm_json_str (plan->device, "parent", ""), ==, "s1");
  g_assert_cmpint (vm_json_int (plan->device, "created", 0), ==, 7);
  freeze = step_of (plan, "freeze", 0);
  copy = step_of (plan, "transaction", freeze);
  thaw = step_of (plan, "thaw", copy);
  g_assert_cmpuint (copy, ==, freeze + 1);
  g_assert_cmpuint (thaw, ==, copy + 1);
  for (guint i = 0; i < freeze; i++) {
    const VmPlugStep *step = g_ptr_array_index (plan->steps, i);

    is_covered |= step->undo != NULL && g_str_equal (vm_json_str (step->undo, "command", ""), "thaw");
  }
  g_assert_true (is_covered);
  g_assert_cmpuint (json_object_array_length (plan->unplug), ==, 1);
  g_assert_cmpuint (json_object_array_length (plan->abandon), >, 3);
}

static json_object *
argument (const VmPlugPlan *plan, guint i, const char *key)
{
  json_object *act = ((VmPlugStep *)g_ptr_array_index (plan->steps, i))->act;

  return json_object_object_get (vm_json_object (act, "arguments"), key);
}

static void
plug_some (Fixture *f)
{
  have (f->facts.devices, "{\"id\":\"root\",\"kind\":\"dir\"}");
  have (f->facts.devices, "{\"id\":\"disk7\",\"kind\":\"disk\",\"read-only\":true}");
  have (f->facts.devices, "{\"id\":\"root\",\"kind\":\"disk\",\"source\":\"/srv/a\",\"format\":\"raw\"}");
  have (f->facts.devices, "{\"id\":\"disk9\",\"kind\":\"disk\",\"size\":1048576,\"nth\":2}");
}

static void
is_action (json_object *actions, gsize i, const char *disk, const char *copy, const char *sync)
{
  json_object *data = vm_json_object (json_object_array_get_idx (actions, i), "data");

  g_assert_cmpstr (vm_json_str (data, "device", ""), ==, disk);
  g_assert_cmpstr (vm_json_str (data, "target", ""), ==, copy);
  g_assert_cmpstr (vm_json_str (data, "job-id", ""), ==, copy);
  g_assert_cmpstr (vm_json_str (data, "sync", ""), ==, sync);
}

/* One transaction for all that can be written to, while every file system stands still. */
static void
test_plugged (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = NULL;
  guint copy;
  json_object *actions, *disks;

  plug_some (f);
  plan = vm_snapshot_plan_make ("one", &f->facts, NULL);
  copy = step_of (plan, "transaction", 0);
  actions = argument (plan, copy, "actions");
  g_assert_cmpuint (json_object_array_length (actions), ==, 3);
  is_action (actions, 0, "scratch", "snapshot", "top");
  is_action (actions, 1, "plug-root", "snapshot-root", "full");
  is_action (actions, 2, "plug-disk9", "snapshot-disk9", "full");
  g_assert_cmpstr (command_of (plan, copy - 1), ==, "freeze");
  g_assert_cmpstr (json_object_to_json_string_ext (
                       json_object_object_get (((VmPlugStep *)g_ptr_array_index (plan->steps, copy - 1))->act,
                                               "arguments"),
                       JSON_C_TO_STRING_PLAIN),
                   ==, "[\"500\",\"all\"]");
  g_assert_cmpuint (step_of (plan, "room", 0), <, step_of (plan, "make", 0));
  g_assert_cmpuint (json_object_array_length (argument (plan, step_of (plan, "finish", copy), "others")), ==,
                    2);
  disks = vm_json_array (plan->device, "disks");
  g_assert_cmpstr (
      json_object_to_json_string_ext (disks, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), ==,
      "[{\"id\":\"root\",\"source\":\"/srv/a\",\"format\":\"raw\",\"copy\":\"/state/snapshots/one/"
      "plugged-root.qcow2\"},{\"id\":\"disk9\",\"format\":\"qcow2\",\"copy\":\"/state/snapshots/one/"
      "plugged-disk9.qcow2\",\"nth\":2}]");
}

/* As many descriptors as disks, and what is half done is undone for each. */
static void
test_plugged_undone (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = NULL;
  g_autoptr (GHashTable) sets = g_hash_table_new (NULL, NULL);
  guint removed = 0;

  plug_some (f);
  plan = vm_snapshot_plan_make ("one", &f->facts, NULL);
  for (guint i = 0; i < plan->steps->len; i++)
    if (g_str_equal (command_of (plan, i), "add-fd"))
      g_hash_table_add (sets, GINT_TO_POINTER (json_object_get_int (argument (plan, i, "fdset-id"))));
  g_assert_cmpuint (g_hash_table_size (sets), ==, 3);
  for (gsize i = 0; i < json_object_array_length (plan->abandon); i++) {
    const char *command = vm_json_str (json_object_array_get_idx (plan->abandon, i), "command", "");

    removed += g_str_equal (command, "remove-fd") || g_str_equal (command, "blockdev-del");
  }
  g_assert_cmpuint (removed, ==, 6);
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (plan->abandon, 0), "command", ""), ==, "cancel");
}

static void
test_skip_plugged (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = NULL, none = NULL;

  none = vm_snapshot_plan_make ("one", &f->facts, NULL);
  plug_some (f);
  f->facts.skip_plugged = TRUE;
  plan = vm_snapshot_plan_make ("one", &f->facts, NULL);
  g_assert_cmpuint (plan->steps->len, ==, none->steps->len);
  g_assert_null (vm_json_array (plan->device, "disks"));
}

/* What the agent says of the time is not believed beyond what it can be. */
static void
test_result (Fixture *f, gconstpointer data)
{
  static const char *const lies[] = {"500001", "-1", "1e3", "", "99999999999999999999", NULL};
  g_autoptr (VmPlugPlan) plan = vm_snapshot_plan_make (NULL, &f->facts, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (lies); i++) {
    vm_snapshot_take_result (plan, lies[i], 500);
    g_assert_cmpint (vm_json_int (plan->device, "frozen-us", -1), ==, -1);
  }
  vm_snapshot_take_result (plan, "500000", 500);
  g_assert_cmpint (vm_json_int (plan->device, "frozen-us", -1), ==, 500000);
}

static void
test_leave (Fixture *f, gconstpointer data)
{
  g_autofree char *parent = g_strdup ("b");

  have (f->facts.snapshots, "{\"id\":\"a\"}");
  have (f->facts.snapshots, "{\"id\":\"b\",\"parent\":\"a\"}");
  have (f->facts.snapshots, "{\"id\":\"c\",\"parent\":\"b\"}");
  vm_snapshot_leave (f->facts.snapshots, &parent, "b");
  g_assert_cmpstr (parent, ==, "a");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->facts.snapshots, 2), "parent", ""), ==, "a");
  json_object_array_del_idx (f->facts.snapshots, 1, 1);
  vm_snapshot_leave (f->facts.snapshots, &parent, "a");
  g_assert_null (parent);
  g_assert_null (vm_json_str (json_object_array_get_idx (f->facts.snapshots, 1), "parent", NULL));
}

static void
test_files (void)
{
  g_autofree char *path = g_dir_make_tmp ("vmctl-snapshot-XXXXXX", NULL);
  g_autofree char *base = g_build_filename (path, "ext4-64.qcow2", NULL),
                  *overlay = g_build_filename (path, "ext4-64.overlay", NULL),
                  *keep = g_build_filename (path, "kept", NULL), *text = NULL, *next = NULL, *restored = NULL;
  vm_autofd dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
  g_autoptr (VmPlan) plan = vm_plan_new ();
  g_autoptr (GError) error = NULL;
  struct stat st;

  plan->disk_base = g_strdup (base);
  plan->state_dir = g_strdup (path);
  next = vm_snapshot_next_disk (plan);
  g_assert_cmpint (vm_snapshot_file_new (dir, plan, "one", &error), ==, -1); /* no empty disk: no snapshot */
  g_assert_nonnull (error);
  g_assert_true (vm_snapshot_file_remove (dir, "one", NULL));
  g_assert_true (g_file_set_contents (overlay, "empty", -1, NULL));
  fd = vm_snapshot_file_new (dir, plan, "one", NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0600);
  g_assert_cmpint (fcntl (fd, F_GETFL) & O_ACCMODE, ==, O_RDWR);
  g_assert_cmpint (vm_snapshot_file_new (dir, plan, "one", NULL), ==, -1); /* and it keeps the one there is */
  g_assert_cmpint (pwrite (fd, "more", 4, 5), ==, 4);
  for (guint i = 0; i < 2; i++) { /* what a copy before has left does not matter */
    g_assert_true (vm_snapshot_file_copy (dir, "one", NULL, NULL));
    g_assert_true (g_file_get_contents (next, &text, NULL, NULL));
    g_assert_cmpstr (text, ==, "emptymore");
    g_clear_pointer (&text, g_free);
  }
  g_assert_false (vm_snapshot_file_copy (dir, "two", NULL, NULL));
  plan->image.keep = g_strdup (keep);
  restored = vm_snapshot_next_disk (plan);
  g_assert_false (vm_snapshot_file_copy (dir, "one", keep, NULL)); /* the kept disk has gone */
  g_assert_cmpint (mkdir (keep, 0700), ==, 0);
  g_assert_true (vm_snapshot_file_copy (dir, "one", keep, NULL));
  g_assert_true (g_file_get_contents (restored, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "emptymore");
  g_assert_true (vm_snapshot_file_remove (dir, "one", NULL));
  g_assert_true (vm_snapshot_file_remove (dir, "one", NULL));
  vm_snapshot_files_remove_all (dir);
  g_assert_false (g_file_test (next, G_FILE_TEST_EXISTS));
  g_assert_true (vm_file_remove_tree (AT_FDCWD, path, NULL));
}

static void
test_disks (void)
{
  g_autofree char *path = g_dir_make_tmp ("vmctl-snapshot-XXXXXX", NULL);
  g_autofree char *file = vm_snapshot_disk_path (path, "one", "disk0"), *all = NULL;
  vm_autofd dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, taken = -1;
  g_autoptr (json_object) disks = json_object_new_array ();
  g_autoptr (GError) error = NULL;
  struct stat st;

  have (disks, "{\"id\":\"disk0\"}");
  g_assert_cmpint (vm_snapshot_disk_new (dir, "one", "disk0", 1 << 20, &error), ==, -1); /* no snapshot */
  g_assert_nonnull (error);
  all = g_path_get_dirname (file);
  g_assert_cmpint (g_mkdir_with_parents (all, 0700), ==, 0);
  g_assert_cmpint (vm_snapshot_disk_new (dir, "one", "disk0", 0, NULL), ==, -1);
  g_assert_cmpint (vm_snapshot_disk_new (dir, "one", "disk0", (guint64)17 << 40, NULL), ==, -1);
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));
  fd = vm_snapshot_disk_new (dir, "one", "disk0", 512, NULL); /* however small the user's is */
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (stat (file, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0600);
  g_assert_cmpuint (vm_snapshot_disk_bytes (dir, "one", "disk0"), >, 0);
  g_assert_cmpint (vm_snapshot_disk_new (dir, "one", "disk0", 512, NULL), ==,
                   -1); /* it keeps the one there is */
  g_assert_true (vm_snapshot_disks_copy (dir, "one", disks, NULL));
  g_assert_false (vm_snapshot_disks_are_chosen (dir));
  g_assert_true (
      vm_snapshot_disks_copy (dir, "one", disks, NULL)); /* what one before has left does not matter */
  g_assert_true (vm_snapshot_disks_choose (dir, NULL));
  g_assert_true (vm_snapshot_disks_are_chosen (dir));
  taken = vm_snapshot_disks_take (dir, "disk0", NULL);
  g_assert_cmpint (fstat (taken, &st), ==, 0);
  g_assert_cmpuint (st.st_nlink, ==, 0);
  g_assert_cmpint (vm_snapshot_disks_take (dir, "disk0", NULL), ==, -1);
  vm_snapshot_disks_forget (dir);
  g_assert_false (vm_snapshot_disks_are_chosen (dir));
  have (disks, "{\"id\":\"disk1\"}");
  g_assert_false (vm_snapshot_disks_copy (dir, "one", disks, NULL)); /* all or nothing */
  g_assert_false (vm_snapshot_disks_choose (dir, NULL));
  g_assert_true (g_file_test (file, G_FILE_TEST_EXISTS));
  g_assert_true (vm_file_remove_tree (AT_FDCWD, path, NULL));
}

#define ADD(name, function) g_test_add ("/vmctl/snapshot/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/snapshot/names", test_names);
  g_test_add_func ("/vmctl/snapshot/files", test_files);
  g_test_add_func ("/vmctl/snapshot/disks", test_disks);
  ADD ("refused", test_refused);
  ADD ("no-disk", test_no_disk);
  ADD ("host-systemd", test_host_systemd);
  ADD ("too-many", test_too_many);
  ADD ("steps", test_steps);
  ADD ("plugged", test_plugged);
  ADD ("plugged-undone", test_plugged_undone);
  ADD ("skip-plugged", test_skip_plugged);
  ADD ("result", test_result);
  ADD ("leave", test_leave);
  return g_test_run ();
}
