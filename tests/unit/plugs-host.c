/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugs-host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/plan-parts.h"
#include "vmctl/supervisor-net.h"

static void
agent_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Fixture *f = data;

  vm_plugs_agent_said (f->sup.plugs, header, payload);
}

static void
agent_closed (VmLink *link, const char *why, gpointer data)
{
}

static const VmLinkHandlers agent_handlers = {.frame = agent_frame, .closed = agent_closed};

static void
qmp_event (QmpClient *client, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Fixture *f = data;

  vm_plugs_event (f->sup.plugs, name, event_data);
}

static const QmpClientHandlers qmp_handlers = {.event = qmp_event};

static void
make_plan (Fixture *f)
{
  VmPlan *plan = f->sup.plan = vm_plan_new ();

  plan->isolation = VM_ISOLATION_VM;
  plan->home = g_strdup ("/home/ada");
  plan->project = g_strdup ("/home/ada/p");
  plan->runtime_dir = g_strdup (f->path);
  plan->state_dir = g_strdup (f->path);
}

void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *real = g_dir_make_tmp ("vmctl-plugs-XXXXXX", NULL);
  VmSupervisor *sup = &f->sup;
  int ends[2];

  f->path = g_steal_pointer (&real);
  f->more = g_build_filename (f->path, "more", NULL);
  g_assert_cmpint (g_mkdir_with_parents (f->more, 0700), ==, 0);
  f->dirs =
      (VmDirs){.runtime = (char *)"/r", .state = (char *)"/s", .cache = (char *)"/c", .config = (char *)"/g"};
  sup->dirs = &f->dirs;
  sup->driver = &vm_driver_qemu;
  sup->runtime_fd = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sup->state_fd = fcntl (sup->runtime_fd, F_DUPFD_CLOEXEC, 3);
  sup->log = vm_log_open (sup->runtime_fd, "supervisor.log", VM_LOG_LIMIT, NULL);
  sup->record = vm_record_new ();
  sup->record->id = g_strdup ("abcd1234");
  sup->record->state = VM_STATE_RUNNING;
  make_plan (f);
  g_assert_true (vm_fd_socketpair (SOCK_SEQPACKET, ends, NULL));
  sup->keeper_fd = ends[0];
  f->keeper = ends[1];
  sup->agent = vm_link_new (peer_connect (&f->agent), FALSE, &agent_handlers, f);
  sup->agent_up = TRUE;
  sup->plugs = vm_plugs_new (sup);
  f->schema =
      fake_qmp_load_schema (g_test_get_filename (G_TEST_DIST, "tests/data/qmp-schema-7.2.json", NULL), NULL);
  g_assert_nonnull (f->schema);
}

void
tear_down (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;

  g_clear_pointer (&sup->qmp, qmp_client_free);
  vm_plugs_free (sup->plugs);
  vm_supervisor_close_net (sup);
  if (f->fake != NULL)
    fake_qmp_join (f->fake);
  qmp_schema_free (f->schema);
  vm_link_free (sup->agent);
  peer_clear (&f->agent);
  vm_log_free (sup->log);
  vm_plan_free (sup->plan);
  vm_record_free (sup->record);
  vm_fd_clear (&sup->runtime_fd);
  vm_fd_clear (&sup->state_fd);
  vm_fd_clear (&sup->keeper_fd);
  vm_fd_clear (&f->keeper);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
  g_free (f->more);
}

void
start_qemu (Fixture *f, const char *script)
{
  int fd;

  f->fake = fake_qmp_start (script, f->schema, &fd);
  f->sup.qmp = qmp_client_new (fd, &qmp_handlers, f);
}

void
plug (Fixture *f, const char *word, guint fail_after)
{
  VmPlugSpec spec;

  g_assert_true (vm_plug_spec_parse_word (word, "/", &spec, NULL));
  vm_plugs_plug (f->sup.plugs, &spec, fail_after, NULL);
}

gsize
n_devices (Fixture *f)
{
  return json_object_array_length (f->sup.record->devices);
}

void
until_logged (Fixture *f, const char *text)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;

  for (;;) {
    g_autofree char *log = vm_file_read (f->sup.runtime_fd, "supervisor.log", 1 << 20, NULL, NULL);

    if (log != NULL && strstr (log, text) != NULL)
      return;
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_main_context_iteration (NULL, FALSE);
  }
}

guint32
expect_change (Fixture *f, const char *text)
{
  g_autofree char *words = NULL;
  gsize n;

  peer_expect (&f->agent, FRAME_CHANGE, FRAME_CHANNEL_CONTROL, FRAME_STDIN);
  g_assert_cmpuint (f->agent.payload->len, >, 4);
  n = f->agent.payload->len - 4;
  words = g_malloc (n + 1);
  memcpy (words, f->agent.payload->data + 4, n);
  words[n] = '\0';
  for (gsize i = 0; i < n; i++)
    if (words[i] == '\0')
      words[i] = '|';
  g_assert_cmpstr (words, ==, text);
  return frame_get_u32 (f->agent.payload->data);
}

void
answer_change (Fixture *f, guint32 number, guint32 code, const char *text)
{
  guint8 payload[256];

  frame_put_u32 (payload, number);
  frame_put_u32 (payload + 4, code);
  memcpy (payload + 8, text, strlen (text));
  peer_send (&f->agent, FRAME_CHANGED, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload, 8 + strlen (text));
  turn ();
}
