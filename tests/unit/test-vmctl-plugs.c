/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of plugging, with a scripted QEMU, keeper and agent: in what order they are asked, and what is undone
 * when one of them says no, says nothing that makes sense, or goes. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake-qmp.h"
#include "frame-peer.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor-net.h"
#include "vmctl/supervisor-plug.h"
#include "vmctl/supervisor-snapshot.h"

typedef struct {
  char *path, *more;
  VmDirs dirs;
  VmSupervisor sup;
  Peer agent;
  int keeper; /* the other end */
  FakeQmp *fake;
  QmpSchema *schema;
} Fixture;

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

static void
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

static void
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

static void
start_qemu (Fixture *f, const char *script)
{
  int fd;

  f->fake = fake_qmp_start (script, f->schema, &fd);
  f->sup.qmp = qmp_client_new (fd, &qmp_handlers, f);
}

static void
plug (Fixture *f, const char *word, guint fail_after)
{
  VmPlugSpec spec;

  g_assert_true (vm_plug_spec_parse_word (word, "/", &spec, NULL));
  vm_plugs_plug (f->sup.plugs, &spec, fail_after, NULL);
}

static void
plug_dir (Fixture *f)
{
  g_autofree char *word = g_strconcat ("dir=", f->more, ":/data", NULL);

  plug (f, word, 0);
}

static gsize
n_devices (Fixture *f)
{
  return json_object_array_length (f->sup.record->devices);
}

/* What the log says, which is where it can be seen that a job is over. */
static void
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

/* The request that came, with '|' between its words. */
static void
expect_keeper (Fixture *f, const char *text)
{
  char request[9000];
  ssize_t n;

  turn ();
  n = recv (f->keeper, request, sizeof request, MSG_DONTWAIT);
  g_assert_cmpint (n, >, 0);
  for (ssize_t i = 0; i < n; i++)
    if (request[i] == '\0')
      request[i] = '|';
  request[n] = '\0';
  g_assert_cmpstr (request, ==, text);
}

/* The same, whenever it comes. */
static void
until_asked (Fixture *f, const char *text)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  char byte;

  while (recv (f->keeper, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_main_context_iteration (NULL, FALSE);
  }
  expect_keeper (f, text);
}

static void
expect_no_keeper (Fixture *f)
{
  char byte;

  turn ();
  g_assert_cmpint (recv (f->keeper, &byte, 1, MSG_DONTWAIT), <, 0);
}

/* A change with these words, '|' behind each; its number. */
static guint32
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

static void
answer_change (Fixture *f, guint32 number, guint32 code, const char *text)
{
  guint8 payload[256];

  frame_put_u32 (payload, number);
  frame_put_u32 (payload + 4, code);
  memcpy (payload + 8, text, strlen (text));
  peer_send (&f->agent, FRAME_CHANGED, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload, 8 + strlen (text));
  turn ();
}

static void
test_dir (Fixture *f, gconstpointer data)
{
  g_autofree char *bind = g_strconcat ("bind|", f->more, "|dir0|rw", NULL);
  json_object *device;

  plug_dir (f);
  expect_keeper (f, bind);
  g_assert_true (vm_json_bool (json_object_array_get_idx (f->sup.record->devices, 0), "half-done", FALSE));
  peer_expect_nothing (&f->agent);
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  answer_change (f, expect_change (f, "bind|door/dir0|/data|rw|"), 0, "");
  until_logged (f, "plugged dir0");
  device = json_object_array_get_idx (f->sup.record->devices, 0);
  g_assert_cmpstr (vm_json_str (device, "target", ""), ==, "/data");
  g_assert_false (vm_json_bool (device, "half-done", FALSE));
  vm_plugs_unplug (f->sup.plugs, "dir0", NULL);
  answer_change (f, expect_change (f, "unbind|/data|"), 0, "");
  expect_keeper (f, "unbind|dir0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

static void
test_keeper_refuses (Fixture *f, gconstpointer data)
{
  plug_dir (f);
  turn ();
  vm_plugs_keeper_said (f->sup.plugs, "error cannot mount: Permission denied");
  until_logged (f, "plug: dir0: cannot mount: Permission denied");
  peer_expect_nothing (&f->agent);
  g_assert_cmpuint (n_devices (f), ==, 0);
}

static void
test_agent_refuses (Fixture *f, gconstpointer data)
{
  g_autofree char *bind = g_strconcat ("bind|", f->more, "|dir0|rw", NULL);

  plug_dir (f);
  expect_keeper (f, bind);
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  answer_change (f, expect_change (f, "bind|door/dir0|/data|rw|"), 17, "a \033[1mlie");
  expect_keeper (f, "unbind|dir0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "plug: dir0: inside: File exists; a \\x1b[1mlie");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* What it says about nothing, it says in vain. */
static void
test_agent_babbles (Fixture *f, gconstpointer data)
{
  guint32 number;

  answer_change (f, 0, 0, "");
  answer_change (f, 1, 0, "early");
  plug_dir (f);
  turn ();
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  number = expect_change (f, "bind|door/dir0|/data|rw|");
  answer_change (f, number + 1, 5, "another's");
  answer_change (f, 0, 5, "");
  peer_send (&f->agent, FRAME_CHANGED, FRAME_CHANNEL_CONTROL, FRAME_STDIN, "1234567", 7);
  turn ();
  g_assert_true (vm_json_bool (json_object_array_get_idx (f->sup.record->devices, 0), "half-done", FALSE));
  answer_change (f, number, 0, "");
  until_logged (f, "plugged dir0");
  answer_change (f, number, 5, "twice");
  g_assert_cmpuint (n_devices (f), ==, 1);
}

static void
test_agent_goes (Fixture *f, gconstpointer data)
{
  plug_dir (f);
  turn ();
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  (void)expect_change (f, "bind|door/dir0|/data|rw|");
  vm_plugs_give_up (f->sup.plugs, "the agent inside has gone");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "plug: dir0: the agent inside has gone");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* One after the other. */
static void
test_queue (Fixture *f, gconstpointer data)
{
  g_autofree char *bind = g_strconcat ("bind|", f->more, "|dir0|rw", NULL);

  plug_dir (f);
  vm_plugs_unplug (f->sup.plugs, "dir0", NULL);
  vm_plugs_unplug (f->sup.plugs, "nothing", NULL);
  expect_keeper (f, bind);
  expect_no_keeper (f);
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  answer_change (f, expect_change (f, "bind|door/dir0|/data|rw|"), 0, "");
  answer_change (f, expect_change (f, "unbind|/data|"), 0, "");
  expect_keeper (f, "unbind|dir0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "nothing was plugged as 'nothing'");
}

static void
test_paused (Fixture *f, gconstpointer data)
{
  f->sup.record->state = VM_STATE_PAUSED;
  plug_dir (f);
  until_logged (f, "is paused");
  expect_no_keeper (f);
}

#define NO "error GenericError no, it cannot\n"
#define OPEN "handshake\nexpect add-fd fds=1 {\"fdset-id\":16}\nreturn {\"fdset-id\":16,\"fd\":9}\n"
#define NODE "expect blockdev-add {\"node-name\":\"plug-disk0\",\"driver\":\"qcow2\"}\n"
#define DEVICE "expect device_add {\"id\":\"plug-disk0\",\"bus\":\"port0\",\"drive\":\"plug-disk0\"}\n"
#define AWAY                                                                                                 \
  "expect device_del {\"id\":\"plug-disk0\"}\nreturn\nevent DEVICE_DELETED "                                 \
  "{\"device\":\"plug-disk0\",\"path\":\"/machine/peripheral/plug-disk0\"}\n"
#define NODE_AWAY "expect blockdev-del {\"node-name\":\"plug-disk0\"}\nreturn\n"
#define CLOSE "expect remove-fd {\"fdset-id\":16}\nreturn\nignore\n"

/* QEMU says no at each of its steps. */
static void
test_qemu_refuses (Fixture *f, gconstpointer data)
{
  start_qemu (f, data);
  plug (f, "disk=1G", 0);
  until_logged (f, "plug: disk0: no, it cannot");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* All is well, and then it is told that it was not. */
static void
test_undone (Fixture *f, gconstpointer data)
{
  start_qemu (f, OPEN NODE "return\n" DEVICE "return\n" AWAY NODE_AWAY CLOSE);
  plug (f, "disk=1G", 4);
  until_logged (f, "behind step 4");
  peer_expect_nothing (&f->agent);
  g_assert_cmpuint (n_devices (f), ==, 0);
}

static void
plug_disk (Fixture *f, const char *script)
{
  start_qemu (f, script);
  plug (f, "disk=1G", 0);
  answer_change (f, expect_change (f, "disk|disk0|"), 0, "/dev/vdb");
  until_logged (f, "plugged disk0");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->sup.record->devices, 0), "inside", ""), ==,
                   "/dev/vdb");
}

static void
test_disk (Fixture *f, gconstpointer data)
{
  plug_disk (f, OPEN NODE "return\n" DEVICE "return\n" AWAY NODE_AWAY CLOSE);
  vm_plugs_unplug (f->sup.plugs, "disk0", NULL);
  until_logged (f, "unplugged disk0");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

#define REFUSED                                                                                              \
  "expect device_del\nreturn\nevent DEVICE_UNPLUG_GUEST_ERROR "                                              \
  "{\"device\":\"plug-disk0\",\"path\":\"/x\"}\n"

/* It is asked again some times; then the device stays, and can be asked for again. */
static void
test_guest_refuses (Fixture *f, gconstpointer data)
{
  plug_disk (f, OPEN NODE
             "return\n" DEVICE
             "return\n" REFUSED REFUSED REFUSED REFUSED REFUSED REFUSED REFUSED REFUSED AWAY NODE_AWAY CLOSE);
  vm_plugs_unplug (f->sup.plugs, "disk0", NULL);
  until_logged (f, "unplug: disk0: the guest refuses to release it");
  g_assert_cmpuint (n_devices (f), ==, 1);
  vm_plugs_unplug (f->sup.plugs, "disk0", NULL);
  until_logged (f, "unplugged disk0");
}

/* Memory that is just being taken into use is busy. */
static void
test_guest_is_busy (Fixture *f, gconstpointer data)
{
  plug_disk (f,
             OPEN NODE "return\n" DEVICE "return\nexpect device_del\nreturn\nevent DEVICE_UNPLUG_GUEST_ERROR "
                       "{\"device\":\"other\",\"path\":\"/x\"}\nevent DEVICE_UNPLUG_GUEST_ERROR "
                       "{\"device\":\"plug-disk0\",\"path\":\"/x\"}\nevent MEM_UNPLUG_ERROR "
                       "{\"device\":\"plug-disk0\",\"msg\":\"x\"}\n" AWAY NODE_AWAY CLOSE);
  vm_plugs_unplug (f->sup.plugs, "disk0", NULL);
  until_logged (f, "unplugged disk0");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

#define MODULE_DEL "expect device_del {\"id\":\"plug-dimm0\"}\nreturn\n"

/* The wish to take a module of memory away may not reach the guest. */
static void
test_wish_is_lost (Fixture *f, gconstpointer data)
{
  f->sup.plan->memory = G_GUINT64_CONSTANT (512) << 20;
  f->sup.plan->memory_max = G_GUINT64_CONSTANT (1) << 30;
  start_qemu (f, "handshake\nexpect object-add {\"id\":\"plug-mem0\"}\nreturn\n"
                 "expect device_add {\"id\":\"plug-dimm0\"}\nreturn\n" MODULE_DEL MODULE_DEL
                 "event DEVICE_DELETED {\"device\":\"plug-dimm0\",\"path\":\"/x\"}\n"
                 "expect object-del {\"id\":\"plug-mem0\"}\nreturn\nignore\n");
  plug (f, "mem=1G", 3);
  until_logged (f, "behind step 3");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* Or it has, and QEMU is at it, which is no reason to give up; or nobody says so, and it has gone. */
static void
test_wish_is_heard (Fixture *f, gconstpointer data)
{
  f->sup.plan->memory = G_GUINT64_CONSTANT (512) << 20;
  f->sup.plan->memory_max = G_GUINT64_CONSTANT (1) << 30;
  start_qemu (f, "handshake\nexpect object-add {\"id\":\"plug-mem0\"}\nreturn\n"
                 "expect device_add {\"id\":\"plug-dimm0\"}\nreturn\n" MODULE_DEL
                 "expect device_del {\"id\":\"plug-dimm0\"}\n"
                 "error GenericError Device plug-dimm0 is already in the process of unplug\n"
                 "expect device_del {\"id\":\"plug-dimm0\"}\nerror DeviceNotFound not found\n"
                 "expect object-del {\"id\":\"plug-mem0\"}\nreturn\nignore\n");
  plug (f, "mem=1G", 3);
  until_logged (f, "behind step 3");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

static void
plug_less (Fixture *f, const char *script)
{
  f->sup.plan->memory = f->sup.plan->memory_max = G_GUINT64_CONSTANT (1) << 30;
  start_qemu (f, script);
  plug (f, "mem=256M", 0);
}

#define BALLOON "handshake\nexpect balloon {\"value\":268435456}\n"
#define ASKED "expect query-balloon\n"

/* The guest gives back what it can: when nothing changes any more, that is the result. */
static void
test_balloon (Fixture *f, gconstpointer data)
{
  GString *script = g_string_new (BALLOON "return\n" ASKED "return {\"actual\":1073741824}\n");

  for (guint i = 0; i < 21; i++)
    g_string_append (script, ASKED "return {\"actual\":536870912}\n");
  g_string_append (script, "ignore\n");
  plug_less (f, script->str);
  answer_change (f, expect_change (f, "balloon|"), 0, "");
  until_logged (f, "plugged mem");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->sup.record->devices, 0), "inside", ""), ==,
                   "512");
  g_string_free (script, TRUE);
}

static void
test_no_balloon (Fixture *f, gconstpointer data)
{
  plug_less (f, BALLOON "error DeviceNotActive No balloon device has been activated\nignore\n");
  answer_change (f, expect_change (f, "balloon|"), 0, "");
  answer_change (f, expect_change (f, "memory|1024|"), 0, "1024");
  until_logged (f, "plug: mem: the machine has no balloon");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* What a supervisor that was killed has left half done is undone, though some of it was never done. */
static void
test_take_over (Fixture *f, gconstpointer data)
{
  static const char text[] =
      "{\"id\":\"dir0\",\"kind\":\"dir\",\"half-done\":true,\"unplug\":[{\"at\":\"agent\",\"command\":"
      "\"unbind\","
      "\"arguments\":[\"/data\"]},{\"at\":\"keeper\",\"command\":\"unbind\",\"arguments\":[\"dir0\"]}]}";

  json_object_array_add (f->sup.record->devices, vm_json_parse_object (text, strlen (text), NULL));
  vm_plugs_take_over (f->sup.plugs);
  vm_plugs_agent_up (f->sup.plugs);
  answer_change (f, expect_change (f, "unbind|/data|"), 2, "");
  expect_keeper (f, "unbind|dir0");
  vm_plugs_keeper_said (f->sup.plugs, "error cannot unmount: No such file or directory");
  g_assert_cmpuint (n_devices (f), ==, 0);
}

/* What was plugged is gone with the machine; what the plan has comes again, and before everything else. */
static void
test_begin_anew (Fixture *f, gconstpointer data)
{
  static const char text[] = "{\"id\":\"serial0\",\"kind\":\"serial\",\"unplug\":[{\"at\":\"qmp\","
                             "\"command\":\"device_del\",\"arguments\":"
                             "{\"id\":\"plug-serial0\"}},{\"at\":\"here\",\"command\":\"unlink\","
                             "\"arguments\":[\"serial-a.sock\"]}]}";
  g_autofree char *bind = g_strconcat ("bind|", f->more, "|dir0|rw", NULL);
  g_autofree char *plug =
      g_strconcat ("{\"kind\":\"dir\",\"source\":\"", f->more, "\",\"target\":\"/data\"}", NULL);
  char *plugs[] = {plug, NULL};
  g_autofree char *socket = g_build_filename (f->path, "serial-a.sock", NULL);

  g_assert_true (g_file_set_contents (socket, "", 0, NULL));
  json_object_array_add (f->sup.record->devices, vm_json_parse_object (text, strlen (text), NULL));
  plug_dir (f);
  expect_keeper (f, bind);
  f->sup.plan->plugs = g_strdupv (plugs);
  f->sup.agent_up = FALSE;
  vm_plugs_begin_anew (f->sup.plugs);
  g_assert_cmpuint (n_devices (f), ==, 0);
  g_assert_false (g_file_test (socket, G_FILE_TEST_EXISTS));
  g_assert_true (vm_plugs_hold_command (f->sup.plugs));
  expect_no_keeper (f);
  f->sup.agent_up = TRUE;
  vm_plugs_agent_up (f->sup.plugs);
  expect_keeper (f, bind);
}

/* Network cards: what the keeper gets for a vmctl-net, which the test then is */

enum { PACKETS, CONTROL, PEER, LOG, PASSED };

static void
take_nic (Fixture *f, int fds[PASSED])
{
  g_autoptr (GArray) got = g_array_new (FALSE, FALSE, sizeof (int));
  static const char wanted[] = "nic\0nic0";
  char request[64];

  turn ();
  g_assert_cmpint (vm_fd_recv (f->keeper, request, sizeof request, got), ==, sizeof wanted - 1);
  g_assert_cmpint (memcmp (request, wanted, sizeof wanted - 1), ==, 0);
  g_assert_cmpuint (got->len, ==, PASSED);
  memcpy (fds, got->data, sizeof (int) * PASSED);
  vm_plugs_keeper_said (f->sup.plugs, "ok");
}

static void
close_passed (int fds[PASSED])
{
  for (guint i = 0; i < PASSED; i++)
    vm_fd_clear (&fds[i]);
}

/* It says hello, is told this policy, and takes it. */
static void
take_policy (int control, const char *wanted)
{
  g_autofree char *answer = NULL;
  char text[8192];
  ssize_t n;

  g_assert_cmpint (send (control, "hello 1", 7, 0), ==, 7);
  turn ();
  n = recv (control, text, sizeof text - 1, MSG_DONTWAIT);
  g_assert_cmpint (n, >, 0);
  text[n] = '\0';
  g_assert_true (g_str_has_prefix (text, "policy "));
  g_assert_nonnull (strstr (text, wanted));
  answer = g_strdup_printf ("%.*s ok", (int)strcspn (text, "\n"), text);
  g_assert_cmpint (send (control, answer, strlen (answer), 0), ==, (gssize)strlen (answer));
}

static void
begin_without_net (Fixture *f)
{
  f->sup.plan->net = VM_NET_NONE;
  f->sup.began_without_net = TRUE;
}

static void
assert_no_net (Fixture *f)
{
  g_assert_cmpint (f->sup.plan->net, ==, VM_NET_NONE);
  g_assert_cmpstr (f->sup.record->net, ==, "none");
  g_assert_null (f->sup.net);
  g_assert_cmpuint (n_devices (f), ==, 0);
}

#define NIC                                                                                                  \
  "handshake\nexpect getfd fds=1 {\"fdname\":\"plug-nic0\"}\nreturn\nexpect netdev_add "                     \
  "{\"id\":\"plug-nic0\"}\n"                                                                                 \
  "return\nexpect device_add {\"id\":\"plug-nic0\",\"netdev\":\"plug-nic0\",\"bus\":\"port0\"}\n"
#define NIC_AWAY                                                                                             \
  "expect device_del {\"id\":\"plug-nic0\"}\nreturn\nevent DEVICE_DELETED {\"device\":\"plug-nic0\","        \
  "\"path\":\"/x\"}\nexpect netdev_del {\"id\":\"plug-nic0\"}\nreturn\nignore\n"
#define NIC_GONE                                                                                             \
  "expect netdev_del {\"id\":\"plug-nic0\"}\nreturn\nexpect closefd\nerror GenericError it is "              \
  "used\nignore\n"
#define NIC_CHANGE "nic|52:54:01:e3:b0:00|10.0.2.15/24|10.0.2.2|"

static void
got_stats (json_object *stats, gpointer data)
{
  *(gint64 *)data = vm_json_int (stats, "flows", -1);
}

static void
test_nic (Fixture *f, gconstpointer data)
{
  gint64 flows = 0;
  int fds[PASSED];

  begin_without_net (f);
  start_qemu (f, NIC "return\n" NIC_AWAY);
  plug (f, "nic=allow:a.example", 0);
  g_assert_cmpstr (f->sup.record->net, ==, "list");
  take_nic (f, fds);
  take_policy (fds[CONTROL], "allow name a.example any 0-0 a.example");
  answer_change (f, expect_change (f, NIC_CHANGE), 0, "eth0");
  until_logged (f, "plugged nic0");
  vm_supervisor_ask_net_stats (&f->sup, got_stats, &flows);
  g_assert_cmpint (recv (fds[CONTROL], (char[5]){0}, 5, MSG_DONTWAIT), ==, 5);
  g_assert_cmpint (send (fds[CONTROL], "stats flows=3", 13, 0), ==, 13);
  turn ();
  g_assert_cmpint (flows, ==, 3);
  vm_plugs_unplug (f->sup.plugs, "nic0", NULL);
  until_asked (f, "unnic|nic0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "unplugged nic0");
  assert_no_net (f);
  close_passed (fds);
}

/* Of a sandbox that has a policy it is the card's; and what that sandbox has without it stays. */
static void
test_nic_more (Fixture *f, gconstpointer data)
{
  int fds[PASSED];

  f->sup.plan->net = VM_NET_PUBLIC;
  start_qemu (f, NIC NO NIC_GONE);
  plug (f, "nic", 0);
  take_nic (f, fds);
  take_policy (fds[CONTROL], "mode public");
  until_asked (f, "unnic|nic0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "plug: nic0: no, it cannot");
  g_assert_cmpint (f->sup.plan->net, ==, VM_NET_PUBLIC);
  g_assert_cmpuint (n_devices (f), ==, 0);
  vm_plugs_unplug (f->sup.plugs, "nic", NULL);
  until_logged (f, "'nic': that is the machine's own");
  close_passed (fds);
}

static void
test_nic_refused (Fixture *f, gconstpointer data)
{
  begin_without_net (f);
  plug (f, "nic", 0);
  turn ();
  vm_plugs_keeper_said (f->sup.plugs, "error cannot start vmctl-net: File exists");
  until_logged (f, "plug: nic0: cannot start vmctl-net: File exists");
  assert_no_net (f);
}

/* A helper that ends before it goes by a policy is no network. */
static void
test_nic_helper_ends (Fixture *f, gconstpointer data)
{
  int fds[PASSED];

  begin_without_net (f);
  plug (f, "nic", 0);
  take_nic (f, fds);
  vm_supervisor_net_said (&f->sup, "nic other down status 1");
  vm_supervisor_net_said (&f->sup, "nic nic0 restarted signal 9");
  vm_supervisor_net_said (&f->sup, "nic nic0");
  expect_no_keeper (f);
  vm_supervisor_net_said (&f->sup, "nic nic0 down status 1");
  expect_keeper (f, "unnic|nic0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "plug: nic0: the network's helper of the card 'nic0' ended (status 1)");
  assert_no_net (f);
  close_passed (fds);
}

/* What it is told is taken back, where a later step fails. */
static void
test_nic_undone (Fixture *f, gconstpointer data)
{
  int fds[PASSED];

  begin_without_net (f);
  plug (f, "nic", 3);
  take_nic (f, fds);
  take_policy (fds[CONTROL], "mode public");
  until_asked (f, "unnic|nic0");
  vm_plugs_keeper_said (f->sup.plugs, "ok");
  until_logged (f, "behind step 3");
  assert_no_net (f);
  close_passed (fds);
}

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

/* The sandbox starts again, and they stay. */
static void
test_snapshots_stay (Fixture *f, gconstpointer data)
{
  static const char text[] = "{\"id\":\"one\",\"name\":\"one\",\"kind\":\"snapshot\",\"unplug\":[]}";

  json_object_array_add (f->sup.record->snapshots, vm_json_parse_object (text, strlen (text), NULL));
  vm_plugs_begin_anew (f->sup.plugs);
  g_assert_cmpuint (json_object_array_length (f->sup.record->snapshots), ==, 1);
}

#define ADD(name, function) g_test_add ("/vmctl/plugs/" name, Fixture, NULL, set_up, function, tear_down)
#define REFUSES(name, script)                                                                                \
  g_test_add ("/vmctl/plugs/qemu-refuses-" name, Fixture, script, set_up, test_qemu_refuses, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("dir", test_dir);
  ADD ("keeper-refuses", test_keeper_refuses);
  ADD ("agent-refuses", test_agent_refuses);
  ADD ("agent-babbles", test_agent_babbles);
  ADD ("agent-goes", test_agent_goes);
  ADD ("queue", test_queue);
  ADD ("paused", test_paused);
  REFUSES ("descriptor", "handshake\nexpect add-fd fds=1\n" NO "ignore\n");
  REFUSES ("node", OPEN NODE NO CLOSE);
  REFUSES ("device", OPEN NODE "return\n" DEVICE NO NODE_AWAY CLOSE);
  ADD ("undone", test_undone);
  ADD ("disk", test_disk);
  ADD ("guest-refuses", test_guest_refuses);
  ADD ("guest-is-busy", test_guest_is_busy);
  ADD ("wish-is-lost", test_wish_is_lost);
  ADD ("wish-is-heard", test_wish_is_heard);
  ADD ("balloon", test_balloon);
  ADD ("no-balloon", test_no_balloon);
  ADD ("take-over", test_take_over);
  ADD ("begin-anew", test_begin_anew);
  ADD ("nic", test_nic);
  ADD ("nic-more", test_nic_more);
  ADD ("nic-refused", test_nic_refused);
  ADD ("nic-helper-ends", test_nic_helper_ends);
  ADD ("nic-undone", test_nic_undone);
  ADD ("snapshot", test_snapshot);
  ADD ("snapshot-not-frozen", test_not_frozen);
  ADD ("snapshot-no-copy", test_no_copy);
  ADD ("snapshot-thawed-early", test_thawed_early);
  ADD ("snapshot-copy-fails", test_copy_fails);
  ADD ("snapshot-taken-over", test_snapshot_taken_over);
  ADD ("snapshots-stay", test_snapshots_stay);
  return g_test_run ();
}
