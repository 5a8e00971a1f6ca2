/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/control.c: both ends of the socket are here. */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/net/control.h"

#define OPEN "vmctl-net-policy 2\nmode public\n"

typedef struct {
  int outer;
  NetControl control;
  NetPolicy policy;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  int ends[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
  f->outer = ends[0];
  f->control = (NetControl){.fd = ends[1]};
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  net_policy_clear (&f->policy);
  if (f->outer >= 0)
    (void)close (f->outer);
  (void)close (f->control.fd);
}

static void
tell (const Fixture *f, const char *text, gssize length)
{
  size_t n = length < 0 ? strlen (text) : (size_t)length;

  g_assert_cmpint (send (f->outer, text, n, MSG_NOSIGNAL), ==, n);
}

static void
hear (const Fixture *f, const char *expected)
{
  char text[4096];
  ssize_t n = recv (f->outer, text, sizeof text - 1, MSG_DONTWAIT);

  if (n >= 0)
    text[n] = '\0';
  g_assert_cmpstr (n >= 0 ? text : NULL, ==, expected);
}

static void
test_policy (Fixture *f, gconstpointer data)
{
  net_control_hello (&f->control);
  hear (f, "hello 1");
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_NOTHING);
  g_assert_false (f->control.gone);
  tell (f, "policy 7\n" OPEN "allow name a.example any 0-0 x\n", -1);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_POLICY);
  hear (f, NULL); /* it does not hold yet */
  net_control_done (&f->control);
  hear (f, "policy 7 ok");
  g_assert_cmpuint (f->policy.names.n, ==, 1);
  tell (f, "policy 8\n" OPEN, -1);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_POLICY);
  net_control_done (&f->control);
  hear (f, "policy 8 ok");
  g_assert_cmpuint (f->policy.names.n, ==, 0);
}

static void
test_bad_policy (Fixture *f, gconstpointer data)
{
  tell (f, "policy 1\n" OPEN, -1);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_POLICY);
  net_control_done (&f->control);
  hear (f, "policy 1 ok");
  tell (f, "policy 2\nvmctl-net-policy 2\nmode anything\n", -1);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_NOTHING);
  hear (f, "policy 2 bad 2");
  g_assert_cmpint (f->policy.mode, ==, NET_MODE_PUBLIC);
}

/* A policy that did not come whole is none, even if it was cut between two lines. */
static void
test_too_long (Fixture *f, gconstpointer data)
{
  const int room = 1 << 20;
  g_autoptr (GString) text = g_string_new ("policy 3\n" OPEN);

  (void)setsockopt (f->outer, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  while (text->len <= NET_CONTROL_MAX)
    g_string_append (text, "nameserver 1.1.1.1\n");
  tell (f, text->str, (gssize)text->len);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_NOTHING);
  hear (f, "policy 0 bad 0");
  g_assert_cmpint (f->policy.mode, ==, NET_MODE_LIST);
}

static void
test_nonsense (Fixture *f, gconstpointer data)
{
  static const char *const table[] = {
      "x",           "policy",       "policy ",          "policy 1",
      "policy \n",   "policy x\n",   "policy -1\n" OPEN, "policy 12345678901\n" OPEN,
      "policy 1 \n", "stats please", "statsx",           "POLICY 1\n" OPEN};

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    tell (f, table[i], -1);
    g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_NOTHING);
    hear (f, NULL);
    g_assert_cmpint (f->policy.mode, ==, NET_MODE_LIST);
  }
  g_assert_false (f->control.gone);
}

/* What was meant for the helper before this one. */
static void
test_old_policy (Fixture *f, gconstpointer data)
{
  tell (f, "policy 1\n" OPEN, -1);
  tell (f, "stats", -1);
  net_control_hello (&f->control);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_NOTHING);
  g_assert_cmpint (f->policy.mode, ==, NET_MODE_LIST);
  hear (f, "hello 1");
}

static void
test_says (Fixture *f, gconstpointer data)
{
  tell (f, "stats", -1);
  g_assert_cmpint (net_control_receive (&f->control, &f->policy), ==, NET_CONTROL_STATS);
  net_control_stats (&f->control, "flows=3 refused=1");
  hear (f, "stats flows=3 refused=1");
  net_control_refused (&f->control, 5000, "tcp", "a.example", 0x01020304, 443, "not on the list");
  hear (f, "refused tcp a.example 1.2.3.4 443 not on the list");
  net_control_refused (&f->control, 5000, "dns", "a.example", 0, 53, "not on the list");
  hear (f, "refused dns a.example - 53 not on the list");
  net_control_refused (&f->control, 5000, "udp", NULL, 0x0a000001, 1, "private");
  hear (f, "refused udp - 10.0.0.1 1 private");
}

static void
test_rate (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 100; i++)
    net_control_refused (&f->control, 5000 + i, "udp", NULL, 1, 1, "x");
  for (guint i = 0; i < NET_CONTROL_REFUSALS_PER_SECOND; i++)
    hear (f, "refused udp - 0.0.0.1 1 x");
  hear (f, NULL);
  net_control_refused (&f->control, 6000, "udp", NULL, 1, 1, "x");
  hear (f, "refused udp - 0.0.0.1 1 x");
}

/* Nobody reads: nothing waits. Nobody is there: nothing ends. */
static void
test_full_and_gone (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 10000; i++)
    net_control_stats (&f->control, "flows=1");
  (void)close (f->outer);
  f->outer = -1;
  while (net_control_receive (&f->control, &f->policy) != NET_CONTROL_NOTHING)
    continue;
  g_assert_true (f->control.gone);
  net_control_hello (&f->control);
}

#define ADD(name, test) g_test_add ("/net/control/" name, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("policy", test_policy);
  ADD ("bad-policy", test_bad_policy);
  ADD ("too-long", test_too_long);
  ADD ("nonsense", test_nonsense);
  ADD ("old-policy", test_old_policy);
  ADD ("says", test_says);
  ADD ("rate", test_rate);
  ADD ("full-and-gone", test_full_and_gone);
  return g_test_run ();
}
