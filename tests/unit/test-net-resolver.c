/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/resolver.c and upstream.c, with name servers of the test's own, in a network of its own. The
 * clock is the test's: nothing here waits for time. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns-message.h"
#include "vmctl/net/resolver.h"

enum { A = 1, TXT = 16, AAAA = 28, HTTPS = 65, ANY = 255, PATIENCE_MS = 60000 };

#define HEAD "vmctl-net-policy 2\n"
#define SERVERS "nameserver 127.0.0.1\nnameserver 127.0.0.2\n"
#define LIST                                                                                                 \
  HEAD "mode list\n" SERVERS "allow name a.example any 0-0 a.example\nallow name *.b.example tcp 443-443 "   \
       "b\n"

typedef struct {
  int udp, tcp;
  struct sockaddr_in peer; /* of the last question */
  GByteArray *question;
} Server;

typedef struct {
  NetShared shared;
  NetResolver *resolver;
  NetPoll poll;
  Server servers[2];
  guint n_replies;
  char *reply; /* the last one */
  gsize reply_length;
  NetAsker asker;
  guint n_refused;
  char *refused;
} Fixture;

/* The network: only loopback, and all of 127.0.0.0/8. False: it may not be made here. */
static gboolean
make_network (void)
{
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  gboolean works;
  int fd;

  if (unshare (CLONE_NEWNET) < 0 && unshare (CLONE_NEWUSER | CLONE_NEWNET) < 0)
    return FALSE;
  fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  works = fd >= 0 && ioctl (fd, SIOCSIFFLAGS, &request) == 0;
  (void)close (fd);
  return works;
}

static struct sockaddr_in
address (guint32 host, guint16 port)
{
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons (port), .sin_addr.s_addr = htonl (host)};
}

static int
bound_socket (int type, guint32 host, guint16 port)
{
  struct sockaddr_in in = address (host, port);
  int fd = socket (AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), ==, 0);
  g_assert_cmpint (bind (fd, (struct sockaddr *)&in, sizeof in), ==, 0);
  if (type == SOCK_STREAM)
    g_assert_cmpint (listen (fd, 5), ==, 0);
  return fd;
}

/* The sandbox's side */

static void
take_reply (void *data, const NetAsker *asker, const uint8_t *message, size_t length)
{
  Fixture *f = data;

  g_free (f->reply);
  f->reply = dns_text (message, length);
  f->reply_length = length;
  f->asker = *asker;
  f->n_replies++;
}

static void
take_refusal (void *data, const char *protocol, const char *name, uint32_t to, uint16_t port,
              const char *rule)
{
  Fixture *f = data;

  g_assert_cmpstr (protocol, ==, "dns");
  g_assert_cmpuint (to, ==, 0);
  g_assert_cmpuint (port, ==, 53);
  g_assert_cmpuint (strlen (rule), >, 0);
  g_free (f->refused);
  f->refused = g_strdup (name);
  f->n_refused++;
}

static void
set_policy (Fixture *f, const char *text)
{
  net_policy_clear (&f->shared.policy);
  g_assert_true (net_policy_parse (text, strlen (text), &f->shared.policy, NULL));
}

static void
set_up (Fixture *f, gconstpointer policy)
{
  f->shared.learned = net_learned_new ();
  f->shared.log.fd = -1;
  f->shared.now_ms = 1000000;
  f->shared.tell_refused = take_refusal;
  f->shared.tell_data = f;
  set_policy (f, policy);
  f->resolver = net_resolver_new (&f->shared, take_reply, f);
  for (guint i = 0; i < 2; i++) {
    f->servers[i].udp = bound_socket (SOCK_DGRAM, INADDR_LOOPBACK + i, 53);
    f->servers[i].tcp = bound_socket (SOCK_STREAM, INADDR_LOOPBACK + i, 53);
    f->servers[i].question = g_byte_array_new ();
  }
}

static void
tear_down (Fixture *f, gconstpointer policy)
{
  net_resolver_free (f->resolver);
  net_learned_free (f->shared.learned);
  net_policy_clear (&f->shared.policy);
  for (guint i = 0; i < 2; i++) {
    (void)close (f->servers[i].udp);
    (void)close (f->servers[i].tcp);
    g_byte_array_unref (f->servers[i].question);
  }
  g_free (f->poll.fds);
  g_free (f->reply);
  g_free (f->refused);
}

static void
ask_message (Fixture *f, gboolean tcp, const GByteArray *message)
{
  const NetAsker asker = {.tcp = tcp, .port = 4000, .connection = 17};

  net_resolver_ask (f->resolver, &asker, message->data, message->len);
}

static void
ask (Fixture *f, const char *name, guint type)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, name, type);

  ask_message (f, FALSE, message);
}

static void
fill (Fixture *f)
{
  f->poll.n = 0;
  f->poll.timeout_ms = -1;
  net_resolver_fill (f->resolver, &f->poll);
}

/* One turn of the loop, with something to read. */
static void
turn (Fixture *f)
{
  fill (f);
  g_assert_cmpint (poll (f->poll.fds, f->poll.n, PATIENCE_MS), >, 0);
  net_resolver_serve (f->resolver, &f->poll);
}

/* And one with the time having passed, and nothing to read. */
static void
pass (Fixture *f, gint64 ms)
{
  fill (f);
  f->shared.now_ms += ms;
  g_assert_cmpint (poll (f->poll.fds, f->poll.n, 0), ==, 0);
  net_resolver_serve (f->resolver, &f->poll);
}

static void
wait_reply (Fixture *f, const char *expected)
{
  guint before = f->n_replies;

  while (f->n_replies == before)
    turn (f);
  g_assert_cmpstr (f->reply, ==, expected);
}

/* What `name` and `type` are answered with at once. */
static void
assert_here (Fixture *f, const char *name, guint type, guint rcode)
{
  g_autofree char *expected = g_strdup_printf ("7 %u %s%s %u\n", rcode, name, *name != '\0' ? "." : "", type);
  guint before = f->n_replies;

  ask (f, name, type);
  g_assert_cmpuint (f->n_replies, ==, before + 1);
  g_assert_cmpstr (f->reply, ==, expected);
}

/* The name servers' */

static gboolean
has_question (const Server *server)
{
  struct pollfd fds[] = {{server->udp, POLLIN, 0}, {server->tcp, POLLIN, 0}};

  return poll (fds, 2, 0) > 0;
}

static void
assert_nothing_asked (const Fixture *f)
{
  g_assert_false (has_question (&f->servers[0]));
  g_assert_false (has_question (&f->servers[1]));
}

static void
assert_readable (int fd)
{
  struct pollfd pollfd = {fd, POLLIN, 0};

  g_assert_cmpint (poll (&pollfd, 1, PATIENCE_MS), ==, 1);
}

static void
take_question (Server *server)
{
  guint8 bytes[2000];
  socklen_t length = sizeof server->peer;
  ssize_t n;

  assert_readable (server->udp);
  n = recvfrom (server->udp, bytes, sizeof bytes, 0, (struct sockaddr *)&server->peer, &length);
  g_assert_cmpint (n, >, 12);
  g_byte_array_set_size (server->question, 0);
  g_byte_array_append (server->question, bytes, (guint)n);
}

static NetDnsQuestion
question_of (const Server *server)
{
  NetDnsQuestion q;

  g_assert_cmpint (net_dns_read_question (server->question->data, server->question->len, &q), ==, 0);
  return q;
}

/* The head and the question of an answer to the last question. */
static GByteArray *
answer_to (const Server *server, guint flags)
{
  NetDnsQuestion q = question_of (server);

  return dns_new (q.id, DNS_ANSWER | flags, q.name, q.type);
}

static void
send_from (int fd, const Server *to, const GByteArray *message)
{
  g_assert_cmpint (
      sendto (fd, message->data, message->len, 0, (const struct sockaddr *)&to->peer, sizeof to->peer), ==,
      message->len);
}

static void
answer_a (const Server *server, guint32 with)
{
  g_autoptr (GByteArray) message = answer_to (server, 0);

  dns_put_a (message, NULL, 60, with);
  send_from (server->udp, server, message);
}

static void
answer_rcode (const Server *server, guint rcode)
{
  g_autoptr (GByteArray) message = answer_to (server, rcode);

  send_from (server->udp, server, message);
}

/* Tests */

static void
test_ask (Fixture *f, gconstpointer policy)
{
  NetDnsQuestion q;

  ask (f, "A.example", A);
  take_question (&f->servers[0]);
  q = question_of (&f->servers[0]);
  g_assert_cmpstr (q.name, ==, "a.example");
  g_assert_cmpuint (q.type, ==, A);
  g_assert_true (q.edns);
  g_assert_true (q.wants_recursion);
  fill (f);
  g_assert_cmpint (f->poll.timeout_ms, ==, 2000);
  answer_a (&f->servers[0], 0x01020304);
  wait_reply (f, "7 0 A.example. 1\nA.example. 1 60 1.2.3.4\n");
  g_assert_false (f->asker.tcp);
  g_assert_cmpuint (f->asker.port, ==, 4000);
  g_assert_true (net_learned_has (f->shared.learned, "a.example", 0x01020304, f->shared.now_ms));
  g_assert_cmpuint (f->shared.count.questions, ==, 1);
  g_assert_cmpuint (f->n_refused, ==, 0);
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, 0); /* nothing is left open */
  assert_nothing_asked (f);
}

/* Learned for the name that was asked for, private or not, and for HTTPS's hints, too. */
static void
test_learn (Fixture *f, gconstpointer policy)
{
  g_autoptr (GByteArray) message = NULL;

  ask (f, "x.b.example", HTTPS);
  take_question (&f->servers[0]);
  message = answer_to (&f->servers[0], 0);
  dns_put_alias (message, NULL, 5, "elsewhere.example");
  dns_put_record (message, "elsewhere.example", HTTPS, 60, "\0\1\0\0\4\0\4\12\0\0\1", 11);
  send_from (f->servers[0].udp, &f->servers[0], message);
  wait_reply (f, "7 0 x.b.example. 65\nx.b.example. 5 60 elsewhere.example.\n"
                 "elsewhere.example. 65 60 000100000400040a000001\n");
  g_assert_true (net_learned_has (f->shared.learned, "x.b.example", 0x0a000001, f->shared.now_ms));
  g_assert_false (net_learned_has (f->shared.learned, "elsewhere.example", 0x0a000001, f->shared.now_ms));
}

static void
test_list (Fixture *f, gconstpointer policy)
{
  static const char *const names[] = {
      "evil.com", "a.example.evil.com",  "nota.example", "b.example", "x.a.example",
      "example",  "secret.attacker.tld",
  };
  static const guint types[] = {A, TXT, AAAA, HTTPS, 47};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (gsize t = 0; t < G_N_ELEMENTS (types); t++) {
      assert_here (f, names[i], types[t], 3);
      g_assert_cmpstr (f->refused, ==, names[i]);
    }
  g_assert_cmpuint (f->n_refused, ==, G_N_ELEMENTS (names) * G_N_ELEMENTS (types));
  g_assert_cmpuint (f->shared.count.refused, ==, f->n_refused);
  assert_nothing_asked (f);
}

static void
test_odd_names (Fixture *f, gconstpointer policy)
{
  static const char *const names[][2] = {
      {"evil\\.com.a.example", "evil\\046com.a.example"},
      {"b\303\274cher.example", "b\\195\\188cher.example"},
      {"a b.example", "a\\032b.example"},
      {"2130706433", "2130706433"},
      {"0x7f.1", "0x7f.1"},
      {"*.example", "*.example"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    guint before = f->n_refused;

    ask (f, names[i][0], A);
    g_assert_true (g_str_has_prefix (f->reply, "7 3 "));
    g_assert_cmpuint (f->n_refused, ==, before + 1);
    g_assert_cmpstr (f->refused, ==, names[i][1]);
  }
  assert_nothing_asked (f);
}

static void
test_public (Fixture *f, gconstpointer policy)
{
  assert_here (f, "evil.com", A, 3);
  assert_here (f, "x.evil.org", A, 3);
  g_assert_cmpuint (f->n_refused, ==, 2);
  assert_nothing_asked (f);
  ask (f, "anything.example", A);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], 3);
  wait_reply (f, "7 3 anything.example. 1\n");
  g_assert_cmpuint (f->n_refused, ==, 2);
}

/* What is known without asking. */
static void
test_here (Fixture *f, gconstpointer policy)
{
  g_autoptr (GByteArray) chaos = dns_new (7, DNS_QUESTION, "a.example", TXT);
  guint types[] = {AAAA, 46, 47, 48, 43, 10, 99, 12345};

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    assert_here (f, "a.example", types[i], 0);
  for (guint type = 251; type <= ANY; type++)
    assert_here (f, "a.example", type, 5);
  dns_set16 (chaos, chaos->len - 2, 3);
  ask_message (f, FALSE, chaos);
  g_assert_cmpstr (f->reply, ==, "7 5 a.example. 16\n");
  assert_here (f, "", 2, 0); /* the root */
  assert_here (f, "15.2.0.10.in-addr.arpa", 12, 3);
  assert_here (f, "2.0.10.in-addr.arpa", 6, 3);
  g_assert_cmpuint (f->n_refused, ==, 0);
  assert_nothing_asked (f);
}

static void
test_host (Fixture *f, gconstpointer policy)
{
  assert_here (f, "host.vmctl.internal", A, 3);
  g_assert_cmpstr (f->refused, ==, "host.vmctl.internal");
  set_policy (f, LIST "hostport 5432\n");
  ask (f, "Host.vmctl.internal", A);
  g_assert_cmpstr (f->reply, ==, "7 0 Host.vmctl.internal. 1\nHost.vmctl.internal. 1 300 10.0.2.2\n");
  g_assert_cmpstr (net_learned_name (f->shared.learned, NET_GATEWAY, f->shared.now_ms), ==,
                   "host.vmctl.internal");
  assert_here (f, "host.vmctl.internal", AAAA, 0);
  assert_here (f, "host.vmctl.internal", ANY, 5);
  assert_here (f, "vmctl.internal", A, 3);
  assert_here (f, "other.vmctl.internal", A, 3);
  assert_here (f, "a.host.vmctl.internal", A, 3);
  g_assert_cmpuint (f->n_refused, ==, 1);
  set_policy (f, HEAD "mode public\n" SERVERS);
  assert_here (f, "other.vmctl.internal", A, 3);
  assert_nothing_asked (f);
  ask (f, "metadata.google.internal", A); /* not ours */
  take_question (&f->servers[0]);
}

static void
test_nonsense (Fixture *f, gconstpointer policy)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);

  dns_set16 (message, 2, DNS_ANSWER);
  ask_message (f, FALSE, message);
  g_assert_cmpuint (f->n_replies, ==, 0);
  dns_set16 (message, 2, 0x2900); /* an update */
  ask_message (f, FALSE, message);
  g_assert_cmpstr (f->reply, ==, "7 4 \n");
  dns_set16 (message, 2, DNS_QUESTION);
  g_byte_array_set_size (message, message->len - 1);
  ask_message (f, FALSE, message);
  g_assert_cmpstr (f->reply, ==, "7 1 \n");
  g_byte_array_set_size (message, 11);
  ask_message (f, FALSE, message);
  g_assert_cmpuint (f->n_replies, ==, 2);
  assert_nothing_asked (f);
}

/* Each server in turn, twice; then SERVFAIL. */
static void
test_silent (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  for (guint try = 0; try < 4; try++) {
    take_question (&f->servers[try % 2]);
    pass (f, 1999);
    assert_nothing_asked (f);
    g_assert_cmpuint (f->n_replies, ==, 0);
    pass (f, 1);
  }
  g_assert_cmpstr (f->reply, ==, "7 2 a.example. 1\n");
  answer_a (&f->servers[1], 0x01020304); /* too late */
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, 0);
  g_assert_false (net_learned_has (f->shared.learned, "a.example", 0x01020304, f->shared.now_ms));
}

/* Nobody listens at the first: the second is asked at once. */
static void
test_absent (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  while (!has_question (&f->servers[0]))
    turn (f);
  take_question (&f->servers[0]);
  answer_a (&f->servers[0], 0x01020304);
  wait_reply (f, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n");
  set_policy (f, HEAD "mode public\nnameserver 127.0.0.3\n");
  ask (f, "a.example", A);
  wait_reply (f, "7 2 a.example. 1\n");
  set_policy (f, HEAD "mode public\n");
  assert_here (f, "a.example", A, 2); /* none at all */
}

static void
test_failing (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], 5);
  turn (f);
  take_question (&f->servers[1]);
  answer_rcode (&f->servers[1], 2);
  turn (f);
  take_question (&f->servers[0]);
  g_assert_cmpuint (f->n_replies, ==, 0);
  answer_a (&f->servers[0], 0x01020304);
  wait_reply (f, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n");
}

/* A server that does not know EDNS is asked without it. */
static void
test_no_edns (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], 1);
  turn (f);
  take_question (&f->servers[0]);
  g_assert_false (question_of (&f->servers[0]).edns);
  answer_rcode (&f->servers[0], 1); /* that was not it */
  turn (f);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], 1);
  wait_reply (f, "7 2 a.example. 1\n");
}

/* Neither another sender, nor another id, nor another question. */
static void
test_spoofed (Fixture *f, gconstpointer policy)
{
  int other_port = bound_socket (SOCK_DGRAM, INADDR_LOOPBACK, 5353);
  int other_address = bound_socket (SOCK_DGRAM, INADDR_LOOPBACK + 9, 53);
  g_autoptr (GByteArray) message = NULL, wrong_name = NULL;
  NetDnsQuestion q;

  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  message = answer_to (&f->servers[0], 0);
  dns_put_a (message, NULL, 60, 0x06060606);
  send_from (other_port, &f->servers[0], message);
  send_from (other_address, &f->servers[0], message);
  q = question_of (&f->servers[0]);
  dns_set16 (message, 0, q.id ^ 1U);
  send_from (f->servers[0].udp, &f->servers[0], message);
  wrong_name = dns_new (q.id, DNS_ANSWER, "b.example", A);
  dns_put_a (wrong_name, NULL, 60, 0x06060606);
  send_from (f->servers[0].udp, &f->servers[0], wrong_name);
  answer_a (&f->servers[0], 0x01020304);
  wait_reply (f, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n");
  g_assert_null (net_learned_name (f->shared.learned, 0x06060606, f->shared.now_ms));
  (void)close (other_port);
  (void)close (other_address);
}

/* Ids and ports are not to be guessed. */
static void
test_random (Fixture *f, gconstpointer policy)
{
  g_autoptr (GHashTable) ids = g_hash_table_new (NULL, NULL), ports = g_hash_table_new (NULL, NULL);
  guint steps = 0, last = 0;

  for (guint i = 0; i < 100; i++) {
    guint port;

    ask (f, "a.example", A);
    take_question (&f->servers[0]);
    port = ntohs (f->servers[0].peer.sin_port);
    g_hash_table_add (ids, GUINT_TO_POINTER (question_of (&f->servers[0]).id + 1U));
    g_hash_table_add (ports, GUINT_TO_POINTER (port));
    steps += port - last < 10;
    last = port;
    answer_rcode (&f->servers[0], 3);
    wait_reply (f, "7 3 a.example. 1\n");
  }
  g_assert_cmpuint (g_hash_table_size (ids), >, 90);
  g_assert_cmpuint (g_hash_table_size (ports), >, 50);
  g_assert_cmpuint (steps, <, 20);
}

/* TCP */

static int
accept_connection (Server *server)
{
  int fd;

  assert_readable (server->tcp);
  fd = accept (server->tcp, NULL, NULL);
  g_assert_cmpint (fd, >=, 0);
  return fd;
}

static void
read_question (Server *server, int fd)
{
  guint8 bytes[600];
  ssize_t n;

  assert_readable (fd);
  n = read (fd, bytes, sizeof bytes);
  g_assert_cmpint (n, >, 14);
  g_assert_cmpint (bytes[0] << 8 | bytes[1], ==, n - 2);
  g_byte_array_set_size (server->question, 0);
  g_byte_array_append (server->question, bytes + 2, (guint)n - 2);
}

static void
write_bytes (int fd, const void *bytes, gsize length)
{
  g_assert_cmpint (write (fd, bytes, length), ==, (gssize)length);
}

static int
ask_by_tcp (Fixture *f)
{
  int fd;

  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], DNS_TC);
  turn (f);
  fd = accept_connection (&f->servers[0]);
  turn (f); /* connected */
  read_question (&f->servers[0], fd);
  g_assert_cmpstr (question_of (&f->servers[0]).name, ==, "a.example");
  return fd;
}

/* Byte by byte. */
static void
test_tcp (Fixture *f, gconstpointer policy)
{
  int fd = ask_by_tcp (f);
  g_autoptr (GByteArray) message = answer_to (&f->servers[0], 0);
  guint8 length[2];

  dns_put_a (message, NULL, 60, 0x01020304);
  length[0] = 0;
  length[1] = (guint8)message->len;
  for (guint i = 0; i < 2; i++) {
    write_bytes (fd, length + i, 1);
    turn (f);
  }
  for (guint i = 0; i < message->len; i++) {
    g_assert_cmpuint (f->n_replies, ==, 0);
    write_bytes (fd, message->data + i, 1);
    turn (f);
  }
  g_assert_cmpstr (f->reply, ==, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n");
  (void)close (fd);
}

/* Closed, cut once more, an answer to another question, none at all: the next server is asked. */
static void
test_tcp_failing (Fixture *f, gconstpointer policy)
{
  static const char *const what[] = {"closed", "half", "cut", "foreign", "empty", "silent"};

  for (gsize i = 0; i < G_N_ELEMENTS (what); i++) {
    int fd = ask_by_tcp (f);
    g_autoptr (GByteArray) message = answer_to (&f->servers[0], 0);
    guint8 length[2] = {0, (guint8)message->len};

    if (i == 1)
      write_bytes (fd, "\0\50x", 3);
    if (i == 2)
      dns_set16 (message, 2, DNS_ANSWER | DNS_TC);
    if (i == 3)
      dns_set16 (message, 0, question_of (&f->servers[0]).id ^ 1U);
    if (i == 4)
      write_bytes (fd, "\0\0", 2);
    if (i == 2 || i == 3)
      write_bytes (fd, length, 2);
    if (i == 2 || i == 3)
      write_bytes (fd, message->data, message->len);
    if (i < 2)
      (void)close (fd);
    if (i == 5)
      pass (f, NET_RESOLVER_TRY_MS);
    while (!has_question (&f->servers[1]))
      turn (f);
    take_question (&f->servers[1]);
    answer_a (&f->servers[1], 0x01020304);
    wait_reply (f, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n");
    if (i >= 2)
      (void)close (fd);
  }
}

static void
test_tcp_refused (Fixture *f, gconstpointer policy)
{
  (void)close (f->servers[0].tcp);
  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  answer_rcode (&f->servers[0], DNS_TC);
  while (!has_question (&f->servers[1]))
    turn (f);
  take_question (&f->servers[1]);
  f->servers[0].tcp = bound_socket (SOCK_STREAM, INADDR_LOOPBACK, 53);
}

/* Size */

static void
answer_large (Fixture *f, gboolean tcp, guint edns, const char *expected)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A), answer = NULL;

  if (edns > 0)
    dns_put_edns (message, edns);
  ask_message (f, tcp, message);
  take_question (&f->servers[0]);
  answer = answer_to (&f->servers[0], 0);
  for (guint i = 0; i < 60; i++)
    dns_put_a (answer, NULL, 60, 0x01020300 + i);
  send_from (f->servers[0].udp, &f->servers[0], answer);
  while (f->reply == NULL)
    turn (f);
  g_assert_true (g_str_has_prefix (f->reply, expected));
  g_clear_pointer (&f->reply, g_free);
}

static void
test_large (Fixture *f, gconstpointer policy)
{
  answer_large (f, FALSE, 0, "7 0 cut a.example. 1\n");
  g_assert_cmpuint (f->reply_length, <=, 512);
  answer_large (f, FALSE, 900, "7 0 cut edns a.example. 1\n");
  answer_large (f, FALSE, 1232, "7 0 edns a.example. 1\na.example. 1 60 1.2.3.0\n");
  answer_large (f, TRUE, 0, "7 0 a.example. 1\na.example. 1 60 1.2.3.0\n");
  g_assert_true (f->asker.tcp);
  g_assert_cmpuint (f->asker.connection, ==, 17);
}

/* Limits */

static guint
ask_many (Fixture *f, guint n)
{
  guint before = f->n_replies;

  for (guint i = 0; i < n; i++)
    ask (f, "a.example", A);
  return f->n_replies - before;
}

static void
test_rate (Fixture *f, gconstpointer policy)
{
  g_assert_cmpuint (ask_many (f, 200), ==, 0);
  g_assert_cmpuint (ask_many (f, 5), ==, 5);
  g_assert_cmpstr (f->reply, ==, "7 5 a.example. 1\n");
  assert_here (f, "a.example", AAAA, 0); /* what goes to nobody is not counted */
  assert_here (f, "evil.com", A, 3);
  f->shared.now_ms += 100;
  g_assert_cmpuint (ask_many (f, 25), ==, 5);
  f->shared.now_ms += 3;
  g_assert_cmpuint (ask_many (f, 1), ==, 1);
  f->shared.now_ms += 3; /* parts of a question add up */
  g_assert_cmpuint (ask_many (f, 1), ==, 0);
}

/* The oldest goes for a new one. */
static void
test_waiting (Fixture *f, gconstpointer policy)
{
  for (guint i = 0; i < NET_RESOLVER_WAITING_MAX + 1; i++) {
    g_autofree char *name = g_strdup_printf ("n%u.b.example", i);

    g_assert_cmpuint (f->n_replies, ==, 0);
    f->shared.now_ms += 5;
    ask (f, name, A);
  }
  g_assert_cmpuint (f->n_replies, ==, 1);
  g_assert_cmpstr (f->reply, ==, "7 2 n0.b.example. 1\n");
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, NET_RESOLVER_WAITING_MAX);
}

/* What is asked already is not asked again, and everybody is answered. */
static void
test_together (Fixture *f, gconstpointer policy)
{
  g_autoptr (GByteArray) other = dns_new (8, DNS_QUESTION, "A.Example", A);

  ask (f, "a.example", A);
  ask (f, "a.example", A);
  dns_put_edns (other, 1232);
  ask_message (f, TRUE, other);
  take_question (&f->servers[0]);
  assert_nothing_asked (f);
  ask (f, "a.example", TXT); /* another question */
  take_question (&f->servers[0]);
  g_assert_cmpuint (question_of (&f->servers[0]).type, ==, TXT);
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, 2);
  pass (f, NET_RESOLVER_TRY_MS); /* the next server is asked once, too */
  take_question (&f->servers[1]);
  answer_a (&f->servers[1], 0x01020304);
  take_question (&f->servers[1]);
  assert_nothing_asked (f);
  turn (f);
  g_assert_cmpuint (f->n_replies, ==, 3);
  g_assert_cmpstr (f->reply, ==, "7 0 a.example. 1\na.example. 1 60 1.2.3.4\n"); /* the first comes last */
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, 1);
}

static void
test_together_in_vain (Fixture *f, gconstpointer policy)
{
  g_autoptr (GByteArray) other = dns_new (8, DNS_QUESTION, "A.Example", A);

  ask (f, "a.example", A);
  ask_message (f, TRUE, other);
  set_policy (f, HEAD "mode public\n");
  pass (f, NET_RESOLVER_TRY_MS);
  g_assert_cmpuint (f->n_replies, ==, 2);
  g_assert_cmpstr (f->reply, ==, "7 2 a.example. 1\n");
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, 0);
}

/* The one that asked is given up for another, and those that waited with it. */
static void
test_together_oldest (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  ask (f, "a.example", A);
  for (guint i = 0; i < NET_RESOLVER_WAITING_MAX - 1; i++) {
    g_autofree char *name = g_strdup_printf ("n%u.b.example", i);

    g_assert_cmpuint (f->n_replies, ==, 0);
    f->shared.now_ms += 5;
    ask (f, name, A);
  }
  g_assert_cmpuint (f->n_replies, ==, 2);
  ask (f, "a.example", A); /* begins anew */
  fill (f);
  g_assert_cmpuint (f->poll.n, ==, NET_RESOLVER_WAITING_MAX);
}

/* The policy changes while a question is under way. */
static void
test_policy_changes (Fixture *f, gconstpointer policy)
{
  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  set_policy (f, HEAD "mode list\n" SERVERS);
  answer_a (&f->servers[0], 0x01020304);
  wait_reply (f, "7 3 a.example. 1\n");
  g_assert_cmpuint (f->n_refused, ==, 1);
  g_assert_null (net_learned_name (f->shared.learned, 0x01020304, f->shared.now_ms));
  set_policy (f, LIST);
  ask (f, "a.example", A);
  take_question (&f->servers[0]);
  set_policy (f, HEAD "mode public\n"); /* no name server any more */
  pass (f, NET_RESOLVER_TRY_MS);
  g_assert_cmpstr (f->reply, ==, "7 2 a.example. 1\n");
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run) (Fixture *f, gconstpointer policy);
    const char *policy;
  } tests[] = {
      {"ask", test_ask, LIST},
      {"learn", test_learn, LIST},
      {"list", test_list, LIST},
      {"odd-names", test_odd_names, HEAD "mode public\n" SERVERS},
      {"public", test_public,
       HEAD "mode public\n" SERVERS
            "deny name evil.com any 0-0 evil.com\ndeny name *.evil.org any 0-0 evil\n"},
      {"here", test_here, LIST},
      {"host", test_host, LIST},
      {"nonsense", test_nonsense, LIST},
      {"silent", test_silent, LIST},
      {"absent", test_absent, HEAD "mode public\nnameserver 127.0.0.3\nnameserver 127.0.0.1\n"},
      {"failing", test_failing, LIST},
      {"no-edns", test_no_edns, HEAD "mode public\nnameserver 127.0.0.1\n"},
      {"spoofed", test_spoofed, LIST},
      {"random", test_random, LIST},
      {"tcp", test_tcp, LIST},
      {"tcp-failing", test_tcp_failing, LIST},
      {"tcp-refused", test_tcp_refused, LIST},
      {"large", test_large, LIST},
      {"rate", test_rate, LIST},
      {"waiting", test_waiting, LIST},
      {"together", test_together, LIST},
      {"together-in-vain", test_together_in_vain, LIST},
      {"together-oldest", test_together_oldest, LIST},
      {"policy-changes", test_policy_changes, LIST},
  };

  g_test_init (&argc, &argv, NULL);
  if (!make_network ()) {
    printf ("1..0 # SKIP no network of its own can be made: %s\n", g_strerror (errno));
    return 77;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/net/resolver/", tests[i].path, NULL);

    g_test_add (path, Fixture, tests[i].policy, set_up, tests[i].run, tear_down);
  }
  return g_test_run ();
}
