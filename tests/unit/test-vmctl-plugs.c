/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of plugging, with a scripted QEMU, keeper and agent: in what order they are asked, and what is undone
 * when one of them says no, says nothing that makes sense, or goes. Snapshots: test-vmctl-snapshots.c. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugs-host.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-net.h"

static void
plug_dir (Fixture *f)
{
  g_autofree char *word = g_strconcat ("dir=", f->more, ":/data", NULL);

  plug (f, word, 0);
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
  return g_test_run ();
}
