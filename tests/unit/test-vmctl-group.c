/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a control group may be made, on made-up hierarchies; what a plan makes of it; what is never removed.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/group.h"

typedef struct {
  char *root; /* owned; a directory that plays /sys/fs/cgroup */
  VmGroups groups;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->root = g_dir_make_tmp ("vmctl-group-XXXXXX", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_file_remove_tree (AT_FDCWD, f->root, NULL);
  g_free (f->root);
  vm_groups_clear (&f->groups);
}

/* A group with its files: who is in it, what it has, what it hands down. */
static void
put (Fixture *f, const char *path, const char *members, const char *controllers, const char *down)
{
  g_autofree char *dir = g_build_filename (f->root, path, NULL);
  const char *const files[][2] = {
      {"cgroup.procs", members}, {"cgroup.controllers", controllers}, {"cgroup.subtree_control", down}};

  g_assert_cmpint (g_mkdir_with_parents (dir, 0755), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *file = g_build_filename (dir, files[i][0], NULL);

    g_assert_true (g_file_set_contents (file, files[i][1], -1, NULL));
  }
}

static void
find (Fixture *f, const char *mounts, const char *self, gboolean has_systemd)
{
  g_auto (GStrv) parts = g_strsplit (mounts, "@", -1);
  g_autofree char *text = g_strjoinv (f->root, parts);

  vm_groups_clear (&f->groups);
  vm_groups_find (text, self, getuid (), has_systemd, &f->groups);
}

static void
assert_dir (Fixture *f, VmGroupPart part, const char *path)
{
  g_autofree char *want = path != NULL ? g_build_filename (f->root, path, NULL) : NULL;

  g_assert_cmpstr (f->groups.dirs[part], ==, want);
}

#define V2 "30 22 0:27 / @ rw,relatime - cgroup2 cgroup2 rw\n"

/* The usual place: a session's scope, where we are, in a slice of ours that hands controllers down. */
static void
unified_above (Fixture *f, gconstpointer data)
{
  put (f, "", "1\n", "cpu memory pids", "cpu memory pids");
  put (f, "app.slice", "", "cpu memory pids", "memory pids");
  put (f, "app.slice/term.scope", "77\n", "memory pids", "");
  find (f, V2, "0::/app.slice/term.scope\n", TRUE);
  if (getuid () == 0) { /* root's own is the system's, unless it carries a mark */
    g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
    find (f, V2, "0::/app.slice/term.scope\n", FALSE);
  }
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_UNIFIED);
  /* Nobody is in the slice, so it may hand down whatever it has. */
  assert_dir (f, VM_GROUP_MEMORY, "app.slice");
  assert_dir (f, VM_GROUP_CPU, "app.slice");
  assert_dir (f, VM_GROUP_PIDS, "app.slice");
  assert_dir (f, VM_GROUP_FREEZER, "app.slice");
}

static void
unified_handed_down (Fixture *f, gconstpointer data)
{
  put (f, "", "1\n", "cpu memory pids", "memory pids");
  put (f, "a", "77\n", "memory pids", "");
  find (f, V2, "0::/a\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_UNIFIED);
  assert_dir (f, VM_GROUP_MEMORY, "");
  assert_dir (f, VM_GROUP_CPU, NULL); /* is not handed down, and there are members */
}

/* v2 without controllers keeps no limit, but whatever is in a group of it can be frozen. */
static void
unified_freezer (Fixture *f, gconstpointer data)
{
  put (f, "", "1\n", "", "");
  put (f, "a", "77\n", "", "");
  find (f, V2, "0::/a\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_UNIFIED);
  assert_dir (f, VM_GROUP_FREEZER, "/a");
  assert_dir (f, VM_GROUP_MEMORY, NULL);
  assert_dir (f, VM_GROUP_PIDS, NULL);
}

/* A path that leads out of what is mounted, or is not there. */
static void
unified_useless (Fixture *f, gconstpointer data)
{
  put (f, "", "", "memory pids", "memory pids");
  find (f, V2, "0::/../a\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
  find (f, V2, "5:memory:/a\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
}

/* A container sees its own part of the tree as the whole. */
static void
unified_part (Fixture *f, gconstpointer data)
{
  put (f, "", "", "memory pids", "");
  find (f, "30 22 0:27 /docker/x @ rw - cgroup2 cgroup2 rw\n", "0::/docker/x\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_UNIFIED);
  assert_dir (f, VM_GROUP_PIDS, "");
  find (f, "30 22 0:27 /docker/x @ rw - cgroup2 cgroup2 rw\n", "0::/docker/xy\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
}

static void
v1 (Fixture *f, gconstpointer data)
{
  static const char mounts[] = "31 30 0:28 / @/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                               "34 30 0:31 / @/with\\040space rw - cgroup cgroup rw,memory\n"
                               "38 30 0:35 / @/pids rw - cgroup cgroup rw,pids\n"
                               "39 30 0:36 / @/systemd rw - cgroup cgroup rw,name=systemd\n"
                               "40 30 0:37 / @/unified rw - cgroup2 cgroup2 rw\n";
  static const char self[] = "9:name=systemd:/\n8:pids:/\n4:memory:/box\n1:cpu,cpuacct:/\n0::/\n";

  put (f, "cpu,cpuacct", "1\n", "", "");
  put (f, "with space/box", "1\n", "", "");
  put (f, "pids", "1\n", "", "");
  put (f, "unified", "1\n", "", "");
  find (f, mounts, self, FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_V1);
  assert_dir (f, VM_GROUP_MEMORY, "with space/box");
  assert_dir (f, VM_GROUP_CPU, "cpu,cpuacct");
  assert_dir (f, VM_GROUP_PIDS, "pids");
  assert_dir (f, VM_GROUP_FREEZER, NULL); /* not mounted */
}

static void
nothing (Fixture *f, gconstpointer data)
{
  find (f, "", "", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
  find (f, "nonsense\n30 22\n1 2 3 4 5 6 7 - cgroup2\n- - - - - - -", ":::\n0:\n", FALSE);
  g_assert_cmpint (f->groups.kind, ==, VM_GROUP_NONE);
  g_assert_null (vm_groups_to_json (&f->groups));
}

/* Plans */

static const char host_text[] =
    "{\"user\":\"ada\",\"group\":\"ada\",\"uid\":1000,\"gid\":1000,\"home\":\"/home/ada\",\"shell\":\"/bin/"
    "bash\","
    "\"hostname\":\"engine\",\"cwd\":\"/\",\"memory\":8589934592,\"cpus\":8,\"kvm\":false,\"qemu\":\"/usr/"
    "bin/q\","
    "\"bwrap\":\"/usr/bin/bwrap\",\"keeper\":\"/k\",\"agent\":\"/a\",\"kernel\":\"/boot/v\",\"vmlinux\":\"/c/"
    "v\","
    "\"initramfs\":\"/c/i\",\"disk-base\":\"/c/d\",\"runtime-dir\":\"/run/user/1000/vmctl\","
    "\"state-dir\":\"/home/ada/.local/state/vmctl\",\"cache-dir\":\"/home/ada/.cache/vmctl\","
    "\"data-dir\":\"/home/ada/.local/share/vmctl\",\"config-dir\":\"/home/ada/.config/vmctl\","
    "\"root\":[{\"path\":\"/usr\",\"dir\":true},{\"path\":\"/bin\",\"link\":\"usr/bin\",\"dir\":true}],"
    "\"environment\":[\"PATH=/usr/bin\"],\"project\":{\"path\":\"/home/ada/p\",\"uid\":1000},\"groups\":%s}";

#define ALL "\"memory\":\"/c\",\"cpu\":\"/c\",\"pids\":\"/c\",\"freezer\":\"/c\""

static VmPlan *
plan_for (const char *driver, const char *groups, guint processes)
{
  g_auto (GStrv) parts = g_strsplit (host_text, "%s", 2);
  g_autofree char *text = g_strjoinv (groups, parts);
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (GError) error = NULL;
  VmSpec spec = {.driver = (char *)driver, .memory = 1 << 30, .cpus = 2, .processes = processes};
  VmProfile profile = {.name = (char *)"shell", .grants = (char *[]){NULL}};
  VmHost host = {0};
  VmPlan *plan;

  g_assert_true (vm_host_from_json (object, &host, NULL));
  plan = vm_plan_make (&spec, &profile, &host, "ab12cd34", "p", &error);
  g_assert_no_error (error);
  vm_host_clear (&host);
  return plan;
}

/* The words of the launch, joined, up to the word that the keeper runs. */
static char *
head_of (const VmPlan *plan)
{
  VmLaunch launch = {0};
  g_autoptr (GError) error = NULL;
  char *text, *end;

  g_assert_true (vm_driver_find (plan->driver)->render (plan, &launch, &error));
  text = g_strjoinv (" ", (char **)vm_argv_words (launch.argv));
  vm_launch_clear (&launch);
  end = strstr (text, " -- /usr/bin/bwrap");
  if (end != NULL)
    *end = '\0';
  return text;
}

static void
plan_v1 (void)
{
  g_autoptr (VmPlan) plan = plan_for (
      "bwrap", "{\"kind\":\"v1\",\"memory\":\"/m/x\",\"cpu\":\"/c\",\"pids\":\"/p\",\"freezer\":\"/f\"}", 0);
  g_auto (GStrv) dirs = vm_groups_list (&plan->groups);
  g_autofree char *all = g_strjoinv (" ", dirs), *head = head_of (plan);
  VmGroupLimits limits;

  g_assert_cmpstr (all, ==, "/m/x/vmctl-ab12cd34 /c/vmctl-ab12cd34 /p/vmctl-ab12cd34 /f/vmctl-ab12cd34");
  g_assert_cmpuint (plan->processes, ==, VM_SPEC_PROCESSES_DEFAULT);
  g_assert_null (*plan->unkept);
  g_assert_true (vm_plan_makes_groups (plan));
  g_assert_true (
      g_str_has_prefix (head, "/k --go 3 --listen 4 --dir 5 --group 6 --group 7 --group 8 --group 9"));
  vm_plan_group_limits (plan, &limits);
  g_assert_cmpuint (limits.memory, ==, 1 << 30);
  g_assert_cmpuint (limits.cpus, ==, 2);
  g_assert_cmpuint (limits.processes, ==, VM_SPEC_PROCESSES_DEFAULT);
  g_assert_false (limits.together);
}

static void
plan_unified (void)
{
  g_autoptr (VmPlan) plan = plan_for ("bwrap", "{\"kind\":\"unified\"," ALL "}", 100);
  g_auto (GStrv) dirs = vm_groups_list (&plan->groups);
  g_autofree char *head = head_of (plan);

  g_assert_cmpuint (g_strv_length (dirs), ==, 1);
  g_assert_cmpstr (dirs[0], ==, "/c/vmctl-ab12cd34");
  g_assert_cmpuint (plan->processes, ==, 100);
  g_assert_true (g_str_has_prefix (head, "/k --go 3 --listen 4 --dir 5 --group 6 --door"));
}

/* The scope is made around the keeper, which then makes none itself. */
static void
plan_systemd (void)
{
  g_autoptr (VmPlan) plan =
      plan_for ("bwrap", "{\"kind\":\"systemd\",\"command\":\"/usr/bin/systemd-run\"," ALL "}", 100);
  g_autoptr (VmPlan) some = plan_for (
      "bwrap", "{\"kind\":\"systemd\",\"command\":\"/r\",\"system\":true,\"pids\":\"/c\",\"freezer\":\"/c\"}",
      0);
  g_autofree char *head = head_of (plan), *less = head_of (some);

  g_assert_false (vm_plan_makes_groups (plan));
  g_assert_cmpstr (plan->groups.dirs[VM_GROUP_FREEZER], ==, "/c/vmctl-ab12cd34.scope");
  if (strstr (head, " --netns") != NULL)
    *strstr (head, " --netns") = '\0';
  g_assert_cmpstr (head, ==,
                   "/usr/bin/systemd-run --user --scope --quiet --collect --unit=vmctl-ab12cd34 "
                   "--slice=app.slice --property=MemoryMax=1073741824 --property=MemorySwapMax=0 "
                   "--property=TasksMax=100 --property=CPUQuota=200% -- /k --go 3 --listen 4 --dir 5 --door "
                   "/run/user/1000/vmctl/ab12cd34/door");
  g_assert_true (g_str_has_prefix (less, "/r --scope --quiet --collect --unit=vmctl-ab12cd34 "
                                         "--slice=system.slice --property=TasksMax=4096 -- /k "));
  g_assert_true (g_str_has_prefix (some->unkept[0], "memory and CPU limits are not kept: "));
}

/* What nobody keeps is said, and only that. */
static void
plan_none (void)
{
  g_autoptr (VmPlan) plan = plan_for ("bwrap", "null", 0);
  g_autoptr (VmPlan) most = plan_for ("bwrap", "{\"kind\":\"v1\",\"memory\":\"/m\",\"cpu\":\"/c\"}", 0);
  g_autofree char *head = head_of (plan);

  g_assert_true (g_str_has_prefix (plan->unkept[0], "memory, CPU and process limits are not kept: "));
  g_assert_true (g_str_has_prefix (most->unkept[0], "process limits are not kept: "));
  g_assert_true (g_str_has_prefix (head, "/k --go 3 --listen 4 --dir 5 --door"));
}

/* A machine keeps its own limits; the group is for QEMU. */
static void
plan_vm (void)
{
  g_autoptr (VmPlan) plan = plan_for ("qemu", "{\"kind\":\"unified\"," ALL "}", 0);
  g_autoptr (VmPlan) bare = plan_for ("qemu", "null", 0);
  g_autoptr (VmPlan) asked = plan_for ("qemu", "null", 100);
  VmGroupLimits limits;

  vm_plan_group_limits (plan, &limits);
  g_assert_cmpuint (limits.memory, >=, (G_GUINT64_CONSTANT (1) << 30) + (G_GUINT64_CONSTANT (512) << 20));
  g_assert_cmpuint (limits.cpus, ==, 0);
  g_assert_cmpuint (limits.processes, >=, 256);
  g_assert_true (limits.together);
  g_assert_cmpuint (plan->processes, ==, 0);
  g_assert_null (*bare->unkept);
  g_assert_true (g_str_has_prefix (asked->unkept[0], "the process limit is not kept: a virtual machine"));
}

/* Only a sandbox's own name is ever removed; what is absent is no error. */
static void
removing (Fixture *f, gconstpointer data)
{
  static const char *const foreign[] = {
      "vmctl",          "vmctl-",          "vmctl-ab12cd3",       "vmctl-ab12cd345",
      "vmctl-AB12CD34", "xvmctl-ab12cd34", "vmctl-ab12cd34.slice"};
  g_autofree char *gone = g_build_filename (f->root, "vmctl-ab12cd34", NULL);
  g_autofree char *below = g_build_filename (gone, "payload", "deeper", NULL);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (foreign); i++) {
    g_autofree char *dir = g_build_filename (f->root, foreign[i], NULL);
    const char *const list[] = {dir, NULL};

    g_assert_cmpint (mkdir (dir, 0700), ==, 0);
    g_assert_true (vm_group_remove (list, &error));
    g_assert_no_error (error);
    g_assert_true (g_file_test (dir, G_FILE_TEST_IS_DIR));
  }
  for (int i = 0; i < 2; i++) { /* with what was made in it; and again, when there is nothing */
    const char *const list[] = {gone, NULL};

    if (i == 0)
      g_assert_cmpint (g_mkdir_with_parents (below, 0700), ==, 0);
    g_assert_true (vm_group_remove (list, &error));
    g_assert_no_error (error);
    g_assert_false (g_file_test (gone, G_FILE_TEST_EXISTS));
  }
}

static void
put_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
expect_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL), *got = NULL;

  g_assert_true (g_file_get_contents (path, &got, NULL, NULL));
  g_assert_true (g_str_has_prefix (got, text));
}

/* On files that only play a group. What is cached of files does not count as used. */
static void
changing (Fixture *f, gconstpointer data)
{
  VmGroups groups = {.kind = VM_GROUP_UNIFIED};
  g_autoptr (GError) error = NULL;

  g_assert_false (vm_group_limit (&groups, &(VmGroupLimits){.cpus = 1}, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  groups.dirs[VM_GROUP_MEMORY] = groups.dirs[VM_GROUP_CPU] = f->root;
  put_file (f->root, "memory.current", "1000000000\n");
  put_file (f->root, "memory.stat", "anon 1\ninactive_file 300000000\nactive_file 200000000\n");
  put_file (f->root, "memory.max", "max       \n");
  put_file (f->root, "cpu.max", "max       \n");
  g_assert_false (vm_group_limit (&groups, &(VmGroupLimits){.memory = 499999999}, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
  expect_file (f->root, "memory.max", "max");
  g_clear_error (&error);
  g_assert_true (vm_group_limit (&groups, &(VmGroupLimits){.memory = 500000000}, &error));
  expect_file (f->root, "memory.max", "500000000");
  expect_file (f->root, "cpu.max", "max");
  g_assert_true (vm_group_limit (&groups, &(VmGroupLimits){.cpus = 3}, &error));
  expect_file (f->root, "cpu.max", "300000 100000");
}

static void
no_freezer (void)
{
  VmGroups groups = {.kind = VM_GROUP_V1};
  g_autoptr (GError) error = NULL;

  g_assert_false (vm_group_freeze (&groups, TRUE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
  g_assert_false (vm_group_is_frozen (&groups));
  g_assert_cmpuint (vm_group_oom_kills (&groups), ==, 0);
  g_assert_cmpuint (vm_group_refused (&groups), ==, 0);
}

#define ADD(name, test) g_test_add ("/vmctl/group/" name, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("unified-above", unified_above);
  ADD ("unified-handed-down", unified_handed_down);
  ADD ("unified-freezer", unified_freezer);
  ADD ("unified-useless", unified_useless);
  ADD ("unified-part", unified_part);
  ADD ("v1", v1);
  ADD ("nothing", nothing);
  ADD ("removing", removing);
  ADD ("changing", changing);
  g_test_add_func ("/vmctl/group/plan-v1", plan_v1);
  g_test_add_func ("/vmctl/group/plan-unified", plan_unified);
  g_test_add_func ("/vmctl/group/plan-systemd", plan_systemd);
  g_test_add_func ("/vmctl/group/plan-none", plan_none);
  g_test_add_func ("/vmctl/group/plan-vm", plan_vm);
  g_test_add_func ("/vmctl/group/no-freezer", no_freezer);
  return g_test_run ();
}
