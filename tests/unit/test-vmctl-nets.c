/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy that changes in a sandbox with two network cards. The test is both of their helpers, and the
 * client that wants the change. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame-peer.h"
#include "qmp/server.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"
#include "vmctl/supervisor-net-private.h"
#include "vmctl/supervisor-plug.h"

enum { FIRST, MORE, HELPERS };

#define RULE "deny name x.example any 0-0 deny:x.example"

typedef struct {
  char *path;
  VmSupervisor sup;
  QmpServer *server;
  int client;           /* of the control socket */
  int control[HELPERS]; /* as the helpers have it */
} Fixture;

static void
on_command (QmpServer *server, QmpPeer *peer, const char *name, json_object *arguments, QmpRequest *request,
            gpointer data)
{
  vm_supervisor_change_net (&((Fixture *)data)->sup, arguments, request);
}

static const QmpServerHandlers handlers = {.command = on_command};

static void
add_helper (Fixture *f, guint n, const char *card)
{
  int ends[2];

  g_assert_true (vm_fd_socketpair (SOCK_SEQPACKET, ends, NULL));
  vm_net_helper_add (&f->sup, card, ends[0])->up = TRUE;
  f->control[n] = ends[1];
}

static void
set_up (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;
  int fd;

  f->path = g_dir_make_tmp ("vmctl-nets-XXXXXX", NULL);
  sup->driver = &vm_driver_qemu;
  sup->runtime_fd = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  sup->log = vm_log_open (sup->runtime_fd, "supervisor.log", VM_LOG_LIMIT, NULL);
  sup->record = vm_record_new ();
  sup->record->id = g_strdup ("abcd1234");
  sup->plan = vm_plan_new ();
  sup->plan->id = g_strdup ("abcd1234");
  sup->plan->isolation = VM_ISOLATION_VM;
  sup->plan->net = VM_NET_PUBLIC;
  sup->plugs = vm_plugs_new (sup);
  add_helper (f, FIRST, NULL);
  add_helper (f, MORE, "nic0");
  fd = vm_fd_listen_unix (sup->runtime_fd, "control", SOCK_STREAM, NULL);
  g_assert_cmpint (fd, >=, 0);
  f->server = qmp_server_new (fd, json_object_new_object (), &handlers, f);
  f->client = vm_fd_connect_unix (sup->runtime_fd, "control", SOCK_STREAM, NULL);
  g_assert_cmpint (f->client, >=, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  VmSupervisor *sup = &f->sup;

  vm_plugs_free (sup->plugs);
  vm_supervisor_close_net (sup);
  qmp_server_free (f->server);
  vm_log_free (sup->log);
  vm_plan_free (sup->plan);
  vm_record_free (sup->record);
  vm_fd_clear (&sup->runtime_fd);
  vm_fd_clear (&f->client);
  for (guint i = 0; i < HELPERS; i++)
    vm_fd_clear (&f->control[i]);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

/* What has come by now; "": nothing. */
static char *
hear (int fd)
{
  char text[8192];
  ssize_t n;

  turn ();
  n = recv (fd, text, sizeof text, MSG_DONTWAIT);
  return g_strndup (text, n > 0 ? (gsize)n : 0);
}

/* A policy with the rule, or without it. Its number. (transfer full) */
static char *
expect_policy (Fixture *f, guint helper, gboolean with_rule)
{
  g_autofree char *text = hear (f->control[helper]);

  g_assert_true (g_str_has_prefix (text, "policy "));
  g_assert_cmpint (strstr (text, RULE) != NULL, ==, with_rule);
  return g_strndup (text + strlen ("policy "), strcspn (text + strlen ("policy "), "\n"));
}

static void
answer (Fixture *f, guint helper, const char *serial, const char *what)
{
  g_autofree char *text = g_strdup_printf ("policy %s %s", serial, what);

  g_assert_cmpint (send (f->control[helper], text, strlen (text), 0), ==, (gssize)strlen (text));
  turn ();
}

static void
expect_silence (int fd)
{
  g_autofree char *text = hear (fd);

  g_assert_cmpstr (text, ==, "");
}

static void
ask (Fixture *f)
{
  static const char request[] = "{\"execute\":\"qmp_capabilities\"}\n"
                                "{\"execute\":\"net-change\",\"arguments\":{\"deny\":[\"x.example\"]}}\n";
  g_autofree char *before = NULL;

  g_assert_cmpint (write (f->client, request, strlen (request)), ==, (gssize)strlen (request));
  turn ();
  before = hear (f->client); /* the greeting, and that it was taken */
  g_assert_null (strstr (before, "error"));
}

static void
expect_reply (Fixture *f, const char *wanted, gboolean is_changed)
{
  g_autofree char *text = hear (f->client);

  g_assert_nonnull (strstr (text, wanted));
  g_assert_cmpint (g_strv_contains ((const char *const *)f->sup.plan->net_rules, RULE), ==, is_changed);
  g_assert_cmpint (g_strv_contains ((const char *const *)f->sup.record->net_rules, RULE), ==, is_changed);
}

static void
test_both (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *more = NULL;

  ask (f);
  first = expect_policy (f, FIRST, TRUE);
  more = expect_policy (f, MORE, TRUE);
  answer (f, MORE, more, "ok");
  answer (f, FIRST, "1", "ok"); /* of an older one */
  answer (f, MORE, more, "ok");
  expect_silence (f->client);
  g_assert_false (g_strv_contains ((const char *const *)f->sup.plan->net_rules, RULE));
  answer (f, FIRST, first, "ok");
  expect_reply (f, "\"return\"", TRUE);
  expect_silence (f->control[FIRST]);
}

/* What one of them has taken it gives back. */
static void
test_one_refuses (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *more = NULL, *again = NULL;

  ask (f);
  first = expect_policy (f, FIRST, TRUE);
  more = expect_policy (f, MORE, TRUE);
  answer (f, FIRST, first, "ok");
  answer (f, MORE, more, "bad 3");
  again = expect_policy (f, FIRST, FALSE);
  expect_reply (f, "refused the rules; nothing was changed", FALSE);
  answer (f, FIRST, again, "ok");
  expect_silence (f->client);
}

/* One that is started again meanwhile is told the new one, and has to take it. */
static void
test_one_begins (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *lost = NULL, *more = NULL;

  ask (f);
  first = expect_policy (f, FIRST, TRUE);
  lost = expect_policy (f, MORE, TRUE);
  answer (f, FIRST, first, "ok");
  vm_supervisor_net_said (&f->sup, "nic nic0 restarted signal 9");
  g_assert_cmpint (send (f->control[MORE], "hello 1", 7, 0), ==, 7);
  more = expect_policy (f, MORE, TRUE);
  expect_silence (f->client);
  answer (f, MORE, more, "ok");
  expect_reply (f, "\"return\"", TRUE);
}

/* One that has gone has to take nothing; when all have, there is nothing to change. */
static void
test_one_goes (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *more = NULL;

  ask (f);
  first = expect_policy (f, FIRST, TRUE);
  more = expect_policy (f, MORE, TRUE);
  answer (f, FIRST, first, "ok");
  if (data != NULL)
    vm_supervisor_net_said (&f->sup, data);
  else
    vm_supervisor_remove_nic (&f->sup, "nic0");
  expect_reply (f, "\"return\"", TRUE);
}

static void
test_all_go (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *more = NULL;

  ask (f);
  first = expect_policy (f, FIRST, TRUE);
  more = expect_policy (f, MORE, TRUE);
  vm_supervisor_net_said (&f->sup, "net down signal 9");
  expect_silence (f->client);
  vm_supervisor_net_said (&f->sup, "nic nic0 down signal 9");
  expect_reply (f, "network has ended; nothing was changed", FALSE);
  g_assert_nonnull (vm_supervisor_net_problem (&f->sup));
}

static void
got_stats (json_object *stats, gpointer data)
{
  *(json_object **)data = json_object_get (stats);
}

static void
test_stats (Fixture *f, gconstpointer data)
{
  g_autoptr (json_object) stats = NULL;

  vm_supervisor_ask_net_stats (&f->sup, got_stats, &stats);
  for (guint i = 0; i < HELPERS; i++) {
    g_autofree char *question = hear (f->control[i]);

    g_assert_cmpstr (question, ==, "stats");
    g_assert_null (stats);
    g_assert_cmpint (send (f->control[i], "stats flows=2 dns=5", 19, 0), ==, 19);
    turn ();
  }
  g_assert_cmpint (vm_json_int (stats, "flows", 0), ==, 4);
  g_assert_cmpint (vm_json_int (stats, "dns", 0), ==, 10);
  g_clear_pointer (&stats, json_object_put);
  vm_supervisor_ask_net_stats (&f->sup, got_stats, &stats);
  g_assert_cmpint (send (f->control[FIRST], "stats flows=1", 13, 0), ==, 13);
  turn ();
  vm_supervisor_remove_nic (&f->sup, "nic0"); /* it never answers */
  g_assert_cmpint (vm_json_int (stats, "flows", 0), ==, 1);
}

#define ADD(name, data, function) g_test_add ("/vmctl/nets/" name, Fixture, data, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("both", NULL, test_both);
  ADD ("one-refuses", NULL, test_one_refuses);
  ADD ("one-begins", NULL, test_one_begins);
  ADD ("one-goes", NULL, test_one_goes);
  ADD ("one-ends", "nic nic0 down status 1", test_one_goes);
  ADD ("all-go", NULL, test_all_go);
  ADD ("stats", NULL, test_stats);
  return g_test_run ();
}
