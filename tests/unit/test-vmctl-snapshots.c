/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of snapshots, as those of plugging (test-vmctl-plugs.c). What is planned: test-vmctl-snapshot.c; the
 * guest's part: tests/vm/snapshot.sh. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/scratch.h"
#include "plugs-host.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor-snapshot.h"

/* Snapshots: QEMU's part of one, with the agent's between its commands. */

#define TARGET                                                                                               \
  "handshake\nexpect add-fd fds=1 {\"fdset-id\":15}\nreturn {\"fdset-id\":15,\"fd\":9}\n"                    \
  "expect blockdev-add {\"node-name\":\"snapshot\",\"driver\":\"qcow2\",\"backing\":null}\n"
#define COPY                                                                                                 \
  "expect transaction "                                                                                      \
  "{\"actions\":[{\"type\":\"blockdev-backup\",\"data\":{\"job-id\":\"snapshot\",\"device\":"                \
  "\"scratch\",\"target\":\"snapshot\",\"sync\":\"top\",\"auto-dismiss\":false}}]}\n"
#define JOBS(status, more)                                                                                   \
  "expect query-jobs\nreturn "                                                                               \
  "[{\"id\":\"other\",\"type\":\"backup\",\"status\":\"running\",\"current-progress\":0,"                    \
  "\"total-progress\":1},{\"id\":\"snapshot\",\"type\":\"backup\",\"status\":\"" status                      \
  "\",\"current-progress\":1,\"total-progress\":2" more "}]\n"
#define DISMISS "expect job-dismiss {\"id\":\"snapshot\"}\nreturn\n"
#define CANCEL "expect job-cancel {\"id\":\"snapshot\"}\n"
#define TARGET_AWAY                                                                                          \
  "expect blockdev-del {\"node-name\":\"snapshot\"}\nreturn\nexpect remove-fd "                              \
  "{\"fdset-id\":15}\nreturn\nignore\n"

/* A sandbox with a disk, and an empty one to make overlays of. */
static void
give_disk (Fixture *f)
{
  g_autofree char *overlay = g_build_filename (f->path, "ext4-64.overlay", NULL);
  VmPlan *plan = f->sup.plan;

  plan->disk = 64 << 20;
  plan->disk_base = g_build_filename (f->path, "ext4-64.qcow2", NULL);
  g_assert_true (g_file_set_contents (overlay, "empty", -1, NULL));
  g_assert_true (g_file_set_contents (plan->disk_base, "base", -1, NULL));
}

static void
snapshot (Fixture *f, const char *arguments)
{
  g_autoptr (json_object) object = vm_json_parse_object (arguments, strlen (arguments), NULL);

  g_assert_nonnull (object);
  vm_control_snapshot_create (&f->sup, object, NULL);
}

static gboolean
has_file (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->path, "snapshots", name, "root.qcow2", NULL);

  return g_file_test (path, G_FILE_TEST_IS_REGULAR);
}

static json_object *
nth_snapshot (Fixture *f, gsize n)
{
  return json_object_array_get_idx (f->sup.record->snapshots, n);
}

/* Up to the freeze, which is answered with `code`. */
static void
freeze (Fixture *f, guint32 code)
{
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  g_assert_true (vm_json_bool (nth_snapshot (f, 0), "half-done", FALSE));
  answer_change (f, expect_change (f, "freeze|10000|"), code, "");
}

static void
test_snapshot (Fixture *f, gconstpointer data)
{
  give_disk (f);
  start_qemu (f, TARGET "return\n" COPY "return\n" JOBS (
                     "running", "") "event JOB_STATUS_CHANGE "
                                    "{\"id\":\"snapshot\",\"status\":\"concluded\"}\n" JOBS ("concluded", "")
                                        DISMISS TARGET_AWAY);
  snapshot (f, "{}");
  freeze (f, 0);
  answer_change (f, expect_change (f, "thaw|"), 0, "4321");
  until_logged (f, "snapshot s1");
  g_assert_cmpuint (json_object_array_length (f->sup.record->snapshots), ==, 1);
  g_assert_false (vm_json_bool (nth_snapshot (f, 0), "half-done", FALSE));
  g_assert_cmpint (vm_json_int (nth_snapshot (f, 0), "frozen-us", 0), ==, 4321);
  g_assert_cmpstr (f->sup.record->snapshot, ==, "s1");
  g_assert_true (has_file (f, "s1"));
  g_assert_cmpuint (n_devices (f), ==, 0);
}

static void
no_snapshot (Fixture *f, const char *why)
{
  until_logged (f, why);
  g_assert_cmpuint (json_object_array_length (f->sup.record->snapshots), ==, 0);
  g_assert_false (has_file (f, "one"));
  g_assert_null (f->sup.record->snapshot);
}

/* QEMU is not asked for a copy of what moves; and that it does not stand still is made sure of. */
static void
test_not_frozen (Fixture *f, gconstpointer data)
{
  give_disk (f);
  start_qemu (f, TARGET "return\n" TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  freeze (f, 16);
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  no_snapshot (f, "one: inside: Device or resource busy");
}

static void
test_no_copy (Fixture *f, gconstpointer data)
{
  give_disk (f);
  start_qemu (f, TARGET "return\n" COPY "error GenericError no, it cannot\n" TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  freeze (f, 0);
  answer_change (f, expect_change (f, "thaw|"), 0, "1");
  no_snapshot (f, "one: no, it cannot");
}

/* The agent's guard was quicker: something may have been written meanwhile. */
static void
test_thawed_early (Fixture *f, gconstpointer data)
{
  give_disk (f);
  start_qemu (f, TARGET "return\n" COPY "return\n" CANCEL "return\n" JOBS ("aborting", "")
                     JOBS ("concluded", ",\"error\":\"cancelled\"") DISMISS TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  freeze (f, 0);
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  no_snapshot (f, "one: inside: Connection timed out");
}

static void
test_copy_fails (Fixture *f, gconstpointer data)
{
  give_disk (f);
  start_qemu (f, TARGET "return\n" COPY
                        "return\n" JOBS ("concluded", ",\"error\":\"No space left on device\"") DISMISS CANCEL
              "error GenericError Job not found\nexpect query-jobs\nreturn []\n" TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  freeze (f, 0);
  answer_change (f, expect_change (f, "thaw|"), 0, "1");
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  no_snapshot (f, "one: the copy failed: No space left on device");
}

static void
test_snapshot_taken_over (Fixture *f, gconstpointer data)
{
  static const char text[] =
      "{\"id\":\"one\",\"name\":\"one\",\"kind\":\"snapshot\",\"half-done\":true,\"unplug\":[{\"at\":\"job\","
      "\"command\":\"cancel\",\"arguments\":{\"id\":\"snapshot\"}},{\"at\":\"agent\",\"command\":\"thaw\","
      "\"arguments\":[]},{\"at\":\"here\",\"command\":\"remove-snapshot\",\"arguments\":[\"one\"]}]}";

  give_disk (f);
  vm_fd_clear (&(int){vm_snapshot_file_new (f->sup.state_fd, f->sup.plan, "one", NULL)});
  g_assert_true (has_file (f, "one"));
  start_qemu (f, "handshake\n" CANCEL "return\nexpect query-jobs\nreturn []\nignore\n");
  json_object_array_add (f->sup.record->snapshots, vm_json_parse_object (text, strlen (text), NULL));
  vm_plugs_take_over (f->sup.plugs);
  vm_plugs_agent_up (f->sup.plugs);
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  no_snapshot (f, "removed snapshot one");
}

/* With a disk that was plugged. */

#define OTHER_SIZES(actual)                                                                                  \
  "expect query-named-block-nodes {\"flat\":true}\nreturn "                                                  \
  "[{\"node-name\":\"scratch\",\"image\":{\"virtual-size\":67108864,\"actual-size\":196608}},{\"node-"       \
  "name\":"                                                                                                  \
  "\"plug-disk0\",\"image\":{\"virtual-size\":1048576,\"actual-size\":" actual "}}]\n"
#define OTHER_TARGET                                                                                         \
  OTHER_SIZES ("4096")                                                                                       \
  OTHER_SIZES ("4096")                                                                                       \
  "expect add-fd fds=1 {\"fdset-id\":101}\nreturn {\"fdset-id\":101,\"fd\":9}\n"                             \
  "expect blockdev-add {\"node-name\":\"snapshot-disk0\",\"driver\":\"qcow2\",\"backing\":null}\nreturn\n"
#define BOTH                                                                                                 \
  "expect transaction "                                                                                      \
  "{\"actions\":[{\"type\":\"blockdev-backup\",\"data\":{\"job-id\":\"snapshot\",\"device\":"                \
  "\"scratch\",\"target\":\"snapshot\",\"sync\":\"top\",\"auto-dismiss\":false}},{\"type\":\"blockdev-"      \
  "backup\","                                                                                                \
  "\"data\":{\"job-id\":\"snapshot-disk0\",\"device\":\"plug-disk0\",\"target\":\"snapshot-disk0\","         \
  "\"sync\":"                                                                                                \
  "\"full\",\"auto-dismiss\":false}}]}\nreturn\n"
#define BOTH_JOBS(first, second, more)                                                                       \
  "expect query-jobs\nreturn "                                                                               \
  "[{\"id\":\"snapshot-disk0\",\"type\":\"backup\",\"status\":\"" second                                     \
  "\",\"current-progress\":1,\"total-progress\":2" more                                                      \
  "},{\"id\":\"snapshot\",\"type\":\"backup\",\"status\":\"" first                                           \
  "\",\"current-progress\":2,\"total-progress\":2}]\n"
#define OTHER_DISMISS "expect job-dismiss {\"id\":\"snapshot-disk0\"}\nreturn\n"
#define OTHER_CANCEL "expect job-cancel {\"id\":\"snapshot-disk0\"}\n"
#define OTHER_NODE "expect blockdev-del {\"node-name\":\"snapshot-disk0\"}\nreturn\n"
#define OTHER_FDSET "expect remove-fd {\"fdset-id\":101}\nreturn\n"

static void
give_plugged_disk (Fixture *f)
{
  static const char text[] =
      "{\"id\":\"disk0\",\"kind\":\"disk\",\"source\":\"/srv/a\",\"format\":\"raw\",\"unplug\":[]}";

  give_disk (f);
  json_object_array_add (f->sup.record->devices, vm_json_parse_object (text, strlen (text), NULL));
}

/* The file for the copy is there before anything stands still. */
static void
freeze_all (Fixture *f, const char *name)
{
  guint32 number = expect_change (f, "thaw|");

  g_assert_true (has_file (f, name));
  g_assert_cmpuint (vm_snapshot_disk_bytes (f->sup.state_fd, name, "disk0"), >, 0);
  answer_change (f, number, 110, "");
  answer_change (f, expect_change (f, "freeze|10000|all|"), 0, "");
}

static void
test_snapshot_plugged (Fixture *f, gconstpointer data)
{
  json_object *disk;

  give_plugged_disk (f);
  start_qemu (
      f, TARGET "return\n" OTHER_TARGET BOTH BOTH_JOBS (
             "concluded", "running", "") "event JOB_STATUS_CHANGE "
                                         "{\"id\":\"snapshot-disk0\",\"status\":\"concluded\"}\n" BOTH_JOBS (
                                             "concluded", "concluded", "") DISMISS OTHER_DISMISS
      "expect blockdev-del {\"node-name\":\"snapshot\"}\nreturn\n"
      "expect remove-fd {\"fdset-id\":15}\nreturn\n" OTHER_NODE OTHER_FDSET "ignore\n");
  snapshot (f, "{}");
  freeze_all (f, "s1");
  answer_change (f, expect_change (f, "thaw|"), 0, "4321");
  until_logged (f, "snapshot s1");
  disk = json_object_array_get_idx (vm_json_array (nth_snapshot (f, 0), "disks"), 0);
  g_assert_cmpstr (vm_json_str (disk, "id", ""), ==, "disk0");
  g_assert_cmpstr (vm_json_str (disk, "source", ""), ==, "/srv/a");
  g_assert_cmpstr (vm_json_str (disk, "format", ""), ==, "raw");
  g_assert_true (g_str_has_suffix (vm_json_str (disk, "copy", ""), "/snapshots/s1/plugged-disk0.qcow2"));
  g_assert_true (g_file_test (vm_json_str (disk, "copy", ""), G_FILE_TEST_IS_REGULAR));
  g_assert_cmpint (vm_json_int (disk, "bytes", 0), >, 0);
}

/* One of the copies fails: the other one does not go on. */
static void
test_one_copy_fails (Fixture *f, gconstpointer data)
{
  give_plugged_disk (f);
  start_qemu (f, TARGET "return\n" OTHER_TARGET BOTH BOTH_JOBS (
                     "running", "concluded", ",\"error\":\"No space left on device\"") OTHER_DISMISS CANCEL
              "return\n" OTHER_CANCEL "error GenericError Job not found\n" JOBS ("concluded", "")
                  DISMISS OTHER_NODE OTHER_FDSET TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  freeze_all (f, "one");
  answer_change (f, expect_change (f, "thaw|"), 0, "1");
  answer_change (f, expect_change (f, "thaw|"), 110, "");
  no_snapshot (f, "one: the copy of 'disk0' failed: No space left on device");
  g_assert_cmpuint (vm_snapshot_disk_bytes (f->sup.state_fd, "one", "disk0"), ==, 0);
}

/* Nothing stands still for what has no room. */
static void
test_no_room (Fixture *f, gconstpointer data)
{
  give_plugged_disk (f);
  start_qemu (f, TARGET "return\n" OTHER_SIZES ("4611686018427387904") TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  no_snapshot (f, "--skip-plugged");
  peer_expect_nothing (&f->agent);
}

static void
test_unknown_disk (Fixture *f, gconstpointer data)
{
  give_plugged_disk (f);
  start_qemu (
      f, TARGET "return\n" OTHER_SIZES (
             "4096") "expect query-named-block-nodes\nreturn [{\"node-name\":\"plug-disk0\"}]\n" TARGET_AWAY);
  snapshot (f, "{\"name\":\"one\"}");
  no_snapshot (f, "one: QEMU knows nothing of the plugged disk 'disk0'");
}

/* A restore brings disks back: before, and in the place of, what the plan plugs. */
static void
test_restore_plugged (Fixture *f, gconstpointer data)
{
  static const char *const words[] = {"{\"kind\":\"disk\",\"size\":1073741824}",
                                      "{\"kind\":\"disk\",\"source\":\"/srv/a\"}", NULL};
  static const char text[] = "{\"disks\":[{\"id\":\"disk0\"},{\"id\":\"disk1\",\"nth\":2}]}";
  g_autoptr (json_object) object = vm_json_parse_object (text, strlen (text), NULL);
  VmPlugs *plugs = f->sup.plugs;
  VmPlugJob *job;

  f->sup.agent_up = FALSE; /* it has not started again */
  f->sup.plan->plugs = g_strdupv ((char **)words);
  vm_plugs_begin_anew (plugs);
  g_assert_cmpuint (plugs->ours, ==, 2);
  vm_plugs_restore (plugs, "first", vm_json_array (object, "disks"));
  g_assert_cmpuint (plugs->ours, ==, 3);
  g_assert_cmpuint (g_queue_get_length (&plugs->jobs), ==, 3);
  job = g_queue_peek_nth (&plugs->jobs, 0);
  g_assert_cmpstr (job->spec.id, ==, "disk0");
  g_assert_cmpstr (job->spec.snapshot, ==, "first");
  g_assert_true (job->is_ours);
  job = g_queue_peek_nth (&plugs->jobs, 1);
  g_assert_cmpstr (job->spec.id, ==, "disk1");
  g_assert_null (job->spec.source);
  g_assert_cmpuint (job->nth, ==, 2);
  job = g_queue_peek_nth (&plugs->jobs, 2);
  g_assert_null (job->spec.snapshot);
  g_assert_cmpuint (job->nth, ==, 1);
}

#define PLUGGED                                                                                              \
  "handshake\nexpect add-fd fds=1 {\"fdset-id\":16}\nreturn {\"fdset-id\":16,\"fd\":9}\n"                    \
  "expect blockdev-add {\"node-name\":\"plug-disk0\",\"driver\":\"qcow2\",\"backing\":null}\nreturn\n"       \
  "expect device_add {\"id\":\"plug-disk0\",\"bus\":\"port0\",\"drive\":\"plug-disk0\"}\nreturn\nignore\n"

/* What is plugged again QEMU has written once: it may not name other files, and else it is a disk without a
 * file. */
static void
test_take_disk (Fixture *f, gconstpointer data)
{
  g_autofree char *dir = g_build_filename (f->path, "next-plugged", NULL);
  g_autofree char *file = g_build_filename (dir, "plugged-disk0.qcow2", NULL);
  g_autoptr (json_object) object = vm_json_parse_object ("{\"disks\":[{\"id\":\"disk0\"}]}", 26, NULL);
  json_object *device;
  vm_autofd fd = -1;

  g_assert_cmpint (mkdir (dir, 0700), ==, 0);
  fd = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  g_assert_true (image_scratch_format (fd, 1 << 20, NULL));
  if (data != NULL)
    g_assert_cmpint (pwrite (fd, "\1", 1, 15), ==, 1);
  else
    start_qemu (f, PLUGGED);
  vm_plugs_restore (f->sup.plugs, "first", vm_json_array (object, "disks"));
  f->sup.plugs->ours++; /* one more is to come: the command waits */
  vm_plugs_next (f->sup.plugs);
  if (data != NULL) {
    until_logged (f, "backing file");
    g_assert_cmpuint (n_devices (f), ==, 0);
    return;
  }
  answer_change (f, expect_change (f, "disk|disk0|"), 0, "/dev/vdb");
  until_logged (f, "plugged disk0");
  device = json_object_array_get_idx (f->sup.record->devices, 0);
  g_assert_cmpstr (vm_json_str (device, "snapshot", ""), ==, "first");
  g_assert_cmpuint (f->sup.plugs->ours, ==, 1);
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));
}

/* The sandbox starts again, and they stay. */
static void
test_snapshots_stay (Fixture *f, gconstpointer data)
{
  static const char text[] = "{\"id\":\"one\",\"name\":\"one\",\"kind\":\"snapshot\",\"unplug\":[]}";

  json_object_array_add (f->sup.record->snapshots, vm_json_parse_object (text, strlen (text), NULL));
  vm_plugs_begin_anew (f->sup.plugs);
  g_assert_cmpuint (json_object_array_length (f->sup.record->snapshots), ==, 1);
}

#define ADD(name, function) g_test_add ("/vmctl/snapshots/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("made", test_snapshot);
  ADD ("not-frozen", test_not_frozen);
  ADD ("no-copy", test_no_copy);
  ADD ("thawed-early", test_thawed_early);
  ADD ("copy-fails", test_copy_fails);
  ADD ("taken-over", test_snapshot_taken_over);
  ADD ("plugged", test_snapshot_plugged);
  ADD ("one-copy-fails", test_one_copy_fails);
  ADD ("no-room", test_no_room);
  ADD ("unknown-disk", test_unknown_disk);
  ADD ("restore-plugged", test_restore_plugged);
  ADD ("take-disk", test_take_disk);
  g_test_add ("/vmctl/snapshots/take-disk-refused", Fixture, "yes", set_up, test_take_disk, tear_down);
  ADD ("stay", test_snapshots_stay);
  return g_test_run ();
}
