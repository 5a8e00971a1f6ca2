/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's side of the agent's connection, with an agent that is scripted and hostile. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/supervisor-plug.h"

typedef struct {
  char *path;
  VmSupervisor sup;
  Peer agent;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;

  f->path = g_dir_make_tmp ("vmctl-supervisor-XXXXXX", NULL);
  sup->runtime_fd = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sup->log = vm_log_open (sup->runtime_fd, "supervisor.log", VM_LOG_LIMIT, NULL);
  sup->output_log = vm_log_open (sup->runtime_fd, "output.log", VM_LOG_LIMIT, NULL);
  sup->plan = g_new0 (VmPlan, 1);
  sup->plan->mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  sup->driver = &vm_driver_null;
  sup->record = vm_record_new ();
  sup->record->id = g_strdup ("abcd1234");
  vm_supervisor_make_sessions (sup);
  vm_supervisor_connect_agent (sup, peer_connect (&f->agent));
  peer_send_raw (&f->agent, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;

  vm_sessions_free (sup->sessions);
  vm_relays_free (sup->relays);
  vm_forwards_free (sup->forwards);
  vm_lines_free (sup->lines);
  vm_plugs_free (sup->plugs);
  vm_link_free (sup->agent);
  peer_clear (&f->agent);
  vm_log_free (sup->log);
  vm_log_free (sup->output_log);
  vm_plan_free (sup->plan);
  vm_record_free (sup->record);
  vm_fd_clear (&sup->runtime_fd);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

static void
say_hello (Fixture *f)
{
  guint8 payload[8] = {0};

  frame_put_u32 (payload, FRAME_VERSION);
  peer_send (&f->agent, FRAME_HELLO, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload, sizeof payload);
}

static void
expect_greeting (Fixture *f)
{
  static const FrameType answer[] = {FRAME_HELLO, FRAME_SEED, FRAME_CLOCK, FRAME_SETUP};

  for (guint i = 0; i < G_N_ELEMENTS (answer); i++)
    peer_expect (&f->agent, answer[i], FRAME_CHANNEL_CONTROL, FRAME_STDIN);
  peer_expect_nothing (&f->agent);
}

static void
expect_broken (Fixture *f)
{
  turn ();
  g_assert_cmpint (f->sup.record->reason, ==, VM_REASON_AGENT_BROKEN);
  g_assert_cmpint (f->sup.stop_step, !=, VM_STOP_NOT);
}

static void
test_hello (Fixture *f, gconstpointer data)
{
  say_hello (f);
  expect_greeting (f);
  g_assert_cmpint (f->sup.record->reason, ==, VM_REASON_NONE);
}

/* It would be greeted, seeded and set up as often as it likes. */
static void
test_hello_twice (Fixture *f, gconstpointer data)
{
  say_hello (f);
  expect_greeting (f);
  say_hello (f);
  expect_broken (f);
  peer_expect_nothing (&f->agent); /* no second answer */
}

/* A new connection begins anew. */
static void
test_hello_again (Fixture *f, gconstpointer data)
{
  say_hello (f);
  expect_greeting (f);
  g_clear_pointer (&f->sup.agent, vm_link_free);
  peer_clear (&f->agent);
  vm_supervisor_connect_agent (&f->sup, peer_connect (&f->agent));
  peer_send_raw (&f->agent, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
  say_hello (f);
  expect_greeting (f);
  g_assert_cmpint (f->sup.record->reason, ==, VM_REASON_NONE);
}

static void
test_relay_before_hello (Fixture *f, gconstpointer data)
{
  peer_send_u32 (&f->agent, FRAME_RELAY_OPEN, FRAME_CHANNEL_RELAY, FRAME_STDIN, 0);
  expect_broken (f);
}

/* The plan has none. */
static void
test_relay_index (Fixture *f, gconstpointer data)
{
  say_hello (f);
  expect_greeting (f);
  peer_send_u32 (&f->agent, FRAME_RELAY_OPEN, FRAME_CHANNEL_RELAY, FRAME_STDIN, 0);
  expect_broken (f);
}

static void
test_relay_on_control (Fixture *f, gconstpointer data)
{
  say_hello (f);
  expect_greeting (f);
  peer_send_u32 (&f->agent, FRAME_RELAY_OPEN, FRAME_CHANNEL_CONTROL, FRAME_STDIN, 0);
  expect_broken (f);
}

/* The meta dir */

static VmMount *
add_mount (Fixture *f, VmMountKind kind, const char *source, const char *target)
{
  VmMount *m = g_new0 (VmMount, 1);

  m->kind = kind;
  m->source = g_build_filename (f->path, source, NULL);
  m->target = g_strdup (target);
  m->mode = kind == VM_MOUNT_RELAY ? 0 : 0640;
  g_ptr_array_add (f->sup.plan->mounts, m);
  return m;
}

static void
make_plan (Fixture *f, const char *driver)
{
  VmPlan *plan = f->sup.plan;
  const char *text = "text";
  char **fields[] = {&plan->user, &plan->group, &plan->shell, &plan->hostname};
  char **paths[] = {&plan->home, &plan->project, &plan->cwd};

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    *fields[i] = g_strdup (text);
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    *paths[i] = g_strdup ("/home/text");
  plan->environment = g_new0 (char *, 1);
  plan->secrets = g_new0 (char *, 1);
  plan->runtime_dir = g_strdup ("/run/dir");
  f->sup.driver = vm_driver_find (driver);
  plan->isolation = f->sup.driver->isolation;
}

/* The words of `mounts`, with a blank behind each. */
static char *
written_mounts (Fixture *f)
{
  gsize length;
  char *words = vm_file_read (f->sup.runtime_fd, "meta/mounts", 1 << 20, &length, NULL);

  for (gsize i = 0; i < length; i++)
    if (words[i] == '\0')
      words[i] = ' ';
  return words;
}

static void
write_meta (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (vm_supervisor_make_meta (&f->sup, &error) && vm_supervisor_write_meta (&f->sup, &error));
  g_assert_no_error (error);
}

static void
put (Fixture *f, const char *name, const char *content, gssize length)
{
  g_autofree char *path = g_build_filename (f->path, name, NULL);

  g_assert_true (g_file_set_contents (path, content, length, NULL));
}

/* What is gone, no file, a link, or too large is left out, and the log says so. */
static void
test_copies (Fixture *f, gconstpointer data)
{
  g_autofree char *mounts = NULL, *content = NULL, *log = NULL;
  gsize length;

  make_plan (f, "bwrap");
  put (f, "good", "a\0b\n", 4);
  put (f, "large", "", 0);
  g_assert_cmpint (symlinkat ("good", f->sup.runtime_fd, "link"), ==, 0);
  g_assert_cmpint (mkfifoat (f->sup.runtime_fd, "fifo", 0600), ==, 0);
  {
    vm_autofd fd = openat (f->sup.runtime_fd, "large", O_WRONLY | O_CLOEXEC);
    g_assert_cmpint (ftruncate (fd, (16 << 20) + 1), ==, 0);
  }
  add_mount (f, VM_MOUNT_COPY, "gone", "/home/text/gone");
  add_mount (f, VM_MOUNT_COPY, "link", "/home/text/link");
  add_mount (f, VM_MOUNT_COPY, "fifo", "/home/text/fifo");
  add_mount (f, VM_MOUNT_COPY, "large", "/home/text/large");
  add_mount (f, VM_MOUNT_COPY, ".", "/home/text/dir");
  add_mount (f, VM_MOUNT_COPY, "good", "/home/text/good");
  write_meta (f);
  mounts = written_mounts (f);
  g_assert_cmpstr (mounts, ==, "file files/0 /home/text/good 0640 ");
  content = vm_file_read (f->sup.runtime_fd, "meta/files/0", 100, &length, NULL);
  g_assert_cmpmem (content, length, "a\0b\n", 4);
  log = vm_file_read (f->sup.runtime_fd, "supervisor.log", 1 << 20, NULL, NULL);
  for (const char *const *name = (const char *const[]){"gone", "link", "fifo", "large", NULL}; *name != NULL;
       name++) {
    g_autofree char *path = g_build_filename (f->path, *name, NULL);

    g_assert_nonnull (strstr (log, path));
  }
}

/* Numbered in the order of the plan, for a VM among all that it has to do itself. */
static void
test_relays (Fixture *f, gconstpointer data)
{
  g_autofree char *mounts = NULL;

  make_plan (f, "qemu");
  add_mount (f, VM_MOUNT_RELAY, "one", "/run/one");
  add_mount (f, VM_MOUNT_DIR, "", "/home/text");
  add_mount (f, VM_MOUNT_RELAY, "two", "/tmp/two")->mode = 0666;
  write_meta (f);
  mounts = written_mounts (f);
  g_assert_cmpstr (mounts, ==, "relay 0 /run/one 0600 dir /home/text 0640 user relay 1 /tmp/two 0666 ");
}

/* Nothing of the host's is replaced. */
static void
test_null_driver (Fixture *f, gconstpointer data)
{
  g_autofree char *mounts = NULL;

  make_plan (f, "null");
  put (f, "good", "x", 1);
  add_mount (f, VM_MOUNT_RELAY, "one", "/run/one");
  add_mount (f, VM_MOUNT_DIR, "", "/home/text");
  add_mount (f, VM_MOUNT_COPY, "good", "/etc/good");
  write_meta (f);
  mounts = written_mounts (f);
  g_assert_cmpstr (mounts, ==,
                   "relay 0 /run/dir/root/run/one 0600 file files/0 /run/dir/root/etc/good 0640 ");
}

static void
test_too_many_relays (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  make_plan (f, "qemu");
  for (guint i = 0; i <= FRAME_RELAYS_MAX; i++)
    add_mount (f, VM_MOUNT_RELAY, "one", "/run/one");
  g_assert_false (vm_supervisor_make_meta (&f->sup, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
}

/* Starting again */

static void
test_failures (Fixture *f, gconstpointer data)
{
  static const VmReason failures[] = {VM_REASON_GUEST_PANIC,  VM_REASON_AGENT_TIMEOUT, VM_REASON_AGENT_FAILED,
                                      VM_REASON_AGENT_BROKEN, VM_REASON_VMM_SIGNAL,    VM_REASON_VMM_FAILED,
                                      VM_REASON_WATCHDOG,     VM_REASON_OUT_OF_MEMORY};
  static const VmReason ends[] = {VM_REASON_NONE,           VM_REASON_STOPPED,     VM_REASON_CLIENT_GONE,
                                  VM_REASON_GUEST_SHUTDOWN, VM_REASON_GUEST_RESET, VM_REASON_SUPERVISOR_LOST,
                                  VM_REASON_START_FAILED};
  VmRecord *record = f->sup.record;

  for (guint i = 0; i < G_N_ELEMENTS (failures); i++) {
    record->reason = failures[i];
    g_assert_true (vm_supervisor_is_failure (record));
  }
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) {
    record->reason = ends[i];
    g_assert_false (vm_supervisor_is_failure (record));
  }
  record->reason = VM_REASON_EXITED;
  record->status = 0;
  g_assert_false (vm_supervisor_is_failure (record));
  record->status = 1;
  g_assert_true (vm_supervisor_is_failure (record));
}

static void
test_delays (Fixture *f, gconstpointer data)
{
  static const guint want[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

  for (guint i = 0; i < G_N_ELEMENTS (want); i++)
    g_assert_cmpuint (vm_supervisor_restart_delay (i), ==, want[i]);
  g_assert_cmpuint (vm_supervisor_restart_delay (G_MAXUINT), ==, 60000);
}

/* The plan's number, only without a client's foreground, and never after a stop. */
static void
test_again_refused (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;

  sup->record->reason = VM_REASON_GUEST_PANIC;
  sup->record->detached = TRUE;
  g_assert_false (vm_supervisor_again (sup));
  sup->plan->restart_max = 2;
  sup->record->failures = 2;
  g_assert_false (vm_supervisor_again (sup));
  sup->record->failures = 0;
  sup->record->detached = FALSE;
  g_assert_false (vm_supervisor_again (sup));
  sup->record->detached = TRUE;
  sup->again = VM_AGAIN_NEVER;
  g_assert_false (vm_supervisor_again (sup));
  g_assert_cmpuint (sup->record->restarts, ==, 0);
}

int
main (int argc, char **argv)
{
#define ADD(name, function) g_test_add ("/vmctl/supervisor/" name, Fixture, NULL, set_up, function, tear_down)
  g_test_init (&argc, &argv, NULL);
  ADD ("hello", test_hello);
  ADD ("hello-twice", test_hello_twice);
  ADD ("hello-again", test_hello_again);
  ADD ("relay-before-hello", test_relay_before_hello);
  ADD ("relay-index", test_relay_index);
  ADD ("relay-on-control", test_relay_on_control);
  ADD ("copies", test_copies);
  ADD ("relays", test_relays);
  ADD ("null-driver", test_null_driver);
  ADD ("too-many-relays", test_too_many_relays);
  ADD ("failures", test_failures);
  ADD ("restart-delays", test_delays);
  ADD ("again-refused", test_again_refused);
  return g_test_run ();
}
