/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/record.h"

static VmRecord *
full_record (void)
{
  VmRecord *r = vm_record_new ();

  r->id = g_strdup ("ab12cd34");
  r->name = g_strdup ("na\"me\n");
  r->project = g_strdup ("/home/u/a, b");
  r->driver = g_strdup ("qemu");
  r->isolation = g_strdup ("vm");
  r->accel = g_strdup ("kvm");
  r->profile = g_strdup ("shell");
  r->image = g_strdup ("debian");
  r->keep = g_strdup ("tools");
  r->command = g_strdupv ((char *[]){(char *)"make", (char *)"", (char *)"-j 2", NULL});
  r->state = VM_STATE_STOPPING;
  r->step = g_strdup ("up");
  r->reason = VM_REASON_VMM_SIGNAL;
  r->text = g_strdup ("text");
  r->status = 9;
  r->created = 1700000000000001;
  r->started = 1700000000000002;
  r->ended = 1700000000000003;
  vm_process_self (&r->supervisor);
  vm_process_self (&r->keeper);
  r->detached = r->serial = TRUE;
  r->memory = G_GUINT64_CONSTANT (5) << 30;
  r->disk = G_GUINT64_CONSTANT (16) << 30;
  r->cpus = 3;
  r->processes = 77;
  r->restart_max = 5;
  r->restarts = 4;
  r->failures = 3;
  r->restart_why = g_strdup ("a reason");
  json_object_array_add (r->snapshots, json_object_new_string ("s1"));
  r->snapshot = g_strdup ("s1");
  r->paused_why = g_strdup ("no room");
  g_strfreev (r->groups);
  r->groups = g_strdupv ((char *[]){(char *)"/sys/fs/cgroup/vmctl-ab12cd34", NULL});
  g_strfreev (r->unkept);
  r->unkept = g_strdupv ((char *[]){(char *)"nobody keeps it", NULL});
  g_strfreev (r->passed_over);
  r->passed_over = g_strdupv ((char *[]){(char *)"qemu: no; do", NULL});
  r->net = g_strdup ("public");
  json_object_array_add (r->devices, vm_json_parse_object ("{\"id\":\"dir0\"}", 13, NULL));
  g_strfreev (r->warnings);
  r->warnings = g_strdupv ((char *[]){(char *)"one", (char *)"two", NULL});
  return r;
}

static char *
line_of (const VmRecord *record)
{
  g_autoptr (json_object) object = vm_record_to_json (record);

  return vm_json_line (object);
}

static VmRecord *
again (const VmRecord *record)
{
  g_autoptr (json_object) object = vm_record_to_json (record);
  g_autoptr (GError) error = NULL;
  VmRecord *read = vm_record_from_json (object, &error);

  g_assert_no_error (error);
  return read;
}

static void
test_round_trip (void)
{
  g_autoptr (VmRecord) record = full_record (), read = again (record);
  g_autofree char *before = line_of (record), *after = line_of (read);

  g_assert_cmpstr (before, ==, after);
  g_assert_cmpstr (read->command[1], ==, "");
  g_assert_cmpint (read->keeper.pid, ==, getpid ());
  g_assert_cmpuint (read->memory, ==, G_GUINT64_CONSTANT (5) << 30);
  g_assert_cmpstr (read->warnings[1], ==, "two");
  g_assert_true (read->detached && read->serial);
}

static void
test_least (void)
{
  static const char text[] =
      "{\"format\":1,\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}";
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (VmRecord) read = vm_record_from_json (object, NULL);

  g_assert_nonnull (read);
  g_assert_null (read->command);
  g_assert_cmpint (read->status, ==, -1);
  g_assert_cmpint (read->reason, ==, VM_REASON_NONE);
  g_assert_cmpint (read->keeper.pid, ==, 0);
  g_assert_nonnull (read->warnings);
  g_assert_null (read->warnings[0]);
}

static void
test_states (void)
{
  for (int i = VM_STATE_STARTING; i <= VM_STATE_ENDED; i++) {
    g_autoptr (VmRecord) record = full_record (), read = NULL;

    record->state = (VmState)i;
    read = again (record);
    g_assert_cmpint (read->state, ==, i);
  }
}

/* Every reason has a name that is read back, and words for people. */
static void
test_reasons (void)
{
  for (int i = VM_REASON_NONE; i <= VM_REASON_OUT_OF_MEMORY; i++) {
    g_autoptr (VmRecord) record = full_record (), read = NULL;
    g_autofree char *with = NULL, *without = NULL;

    record->reason = (VmReason)i;
    record->status = i == VM_REASON_EXITED || i == VM_REASON_VMM_SIGNAL ? 7 : -1;
    read = again (record);
    g_assert_cmpint (read->reason, ==, i);
    g_assert_cmpint (read->status, ==, record->status);
    with = vm_record_reason_text (read);
    g_assert_nonnull (with);
    g_assert_cmpuint (strlen (with), >, 5);
    if (i != VM_REASON_EXITED && i != VM_REASON_VMM_SIGNAL)
      g_assert_true (g_str_has_suffix (with, ": text"));
    g_clear_pointer (&read->text, g_free);
    without = vm_record_reason_text (read);
    g_assert_null (strstr (without, "text"));
  }
}

static void
test_reason_text (void)
{
  g_autoptr (VmRecord) r = full_record ();
  g_autofree char *killed = NULL, *filtered = NULL, *exited = NULL, *panic = NULL;

  killed = vm_record_reason_text (r);
  g_assert_cmpstr (killed, ==, "QEMU was killed by signal 9 (Killed)");
  r->status = 31;
  filtered = vm_record_reason_text (r);
  g_assert_nonnull (strstr (filtered, "seccomp"));
  r->reason = VM_REASON_EXITED;
  r->status = 3;
  exited = vm_record_reason_text (r);
  g_assert_cmpstr (exited, ==, "exited with 3");
  r->reason = VM_REASON_GUEST_PANIC;
  panic = vm_record_reason_text (r);
  g_assert_cmpstr (panic, ==, "guest kernel panic: text");
}

static void
test_refused (void)
{
  static const char *const bad[] = {
      "{}",
      "[]",
      "1",
      "{\"format\":2,\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":\"1\",\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"../../x.\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"AB12CD34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"ab12cd3\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":7,\"name\":\"n\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"ab12cd34\",\"project\":\"/p\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"ab12cd34\",\"name\":\"n\",\"state\":\"running\"}",
      "{\"format\":1,\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"dancing\"}",
      "{\"format\":1,\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\"}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (json_object) object = vm_json_parse (bad[i], strlen (bad[i]), NULL);
    g_autoptr (GError) error = NULL;

    g_assert_nonnull (object);
    g_assert_null (vm_record_from_json (object, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  }
}

/* Members of wrong types are as if they were not there. */
static void
test_wrong_types (void)
{
  static const char text[] =
      "{\"format\":1,\"id\":\"ab12cd34\",\"name\":\"n\",\"project\":\"/p\",\"state\":\"ended\",\"command\":5,"
      "\"reason\":[],\"created\":\"x\",\"supervisor\":{\"pid\":\"1\"},\"keeper\":7,\"detached\":1,"
      "\"warnings\":{\"a\":1},\"net\":[],\"step\":{}}";
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (VmRecord) read = vm_record_from_json (object, NULL);

  g_assert_nonnull (read);
  g_assert_null (read->command);
  g_assert_cmpint (read->created, ==, 0);
  g_assert_cmpint (read->supervisor.pid, ==, 0);
  g_assert_false (read->detached);
  g_assert_null (read->warnings[0]);
}

static void
test_files (void)
{
  static const char *const broken[] = {"", "null", "{", "[]", "{\"format\":1}", "\377"};
  g_autofree char *path = g_dir_make_tmp ("vmctl-record-XXXXXX", NULL);
  int dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_autoptr (VmRecord) record = full_record (), read = NULL;
  g_autofree char *large = g_strnfill (2 << 20, ' ');
  g_autoptr (GError) error = NULL;
  struct stat st;

  g_assert_null (vm_record_read (dir, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_assert_true (vm_record_write (record, dir, TRUE, NULL));
  g_assert_true (vm_record_write (record, dir, FALSE, NULL));
  g_assert_cmpint (fstatat (dir, "record.json", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
  read = vm_record_read (dir, NULL);
  g_assert_cmpstr (read->name, ==, record->name);
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_clear_error (&error);
    g_assert_true (vm_file_replace (dir, "record.json", broken[i], strlen (broken[i]), 0600, FALSE, NULL));
    g_assert_null (vm_record_read (dir, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  }
  g_clear_error (&error);
  g_assert_true (vm_file_replace (dir, "record.json", large, 2 << 20, 0600, FALSE, NULL));
  g_assert_null (vm_record_read (dir, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  close (dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, path, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/record/round-trip", test_round_trip);
  g_test_add_func ("/vmctl/record/least", test_least);
  g_test_add_func ("/vmctl/record/states", test_states);
  g_test_add_func ("/vmctl/record/reasons", test_reasons);
  g_test_add_func ("/vmctl/record/reason-text", test_reason_text);
  g_test_add_func ("/vmctl/record/refused", test_refused);
  g_test_add_func ("/vmctl/record/wrong-types", test_wrong_types);
  g_test_add_func ("/vmctl/record/files", test_files);
  return g_test_run ();
}
