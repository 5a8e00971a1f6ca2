/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/dnstcp.c on a real libslirp: the test is the sandbox's TCP, frame by frame, and the resolver. */
#include <arpa/inet.h>
#include <glib.h>
#include <string.h>

#include "vmctl/net/dnstcp.h"
#include "vmctl/net/make.h"

enum { ETHER = 14, IP = 20, TCP = 20, START_MS = 1000000 };

static const guint8 guest_mac[6] = {2, 0, 0, 0, 0, 1};

/* The sandbox's end of a connection. */
typedef struct {
  guint16 port;
  guint32 next, expected; /* sequence numbers: to be sent, to come */
  gboolean reset, finished;
  GByteArray *bytes; /* that came */
} Client;

typedef struct {
  unsigned connection;
  GByteArray *message;
} Question;

typedef struct {
  NetShared shared;
  Slirp *slirp;
  NetDnsTcp *dns;
  gint64 slirp_ms;
  guint16 window; /* of the sandbox's ends */
  GPtrArray *clients;
  GArray *questions;
} Fixture;

static Fixture *the_fixture; /* for the resolver, of which there is only this */

void
net_resolver_ask (NetResolver *resolver, const NetAsker *asker, const uint8_t *message, size_t length)
{
  Question question = {.connection = asker->connection, .message = g_byte_array_new ()};

  g_assert_true (asker->tcp);
  g_byte_array_append (question.message, message, (guint)length);
  g_array_append_val (the_fixture->questions, question);
}

/* What the sandbox gets */

static Client *
client_of (Fixture *f, guint port)
{
  for (guint i = f->clients->len; i > 0; i--) {
    Client *client = f->clients->pdata[i - 1]; /* the latest with that port */

    if (client->port == port)
      return client;
  }
  g_assert_not_reached ();
}

static guint
get (const guint8 *bytes, gsize at, guint n)
{
  guint value = 0;

  for (guint i = 0; i < n; i++)
    value = value << 8 | bytes[at + i];
  return value;
}

static void
assert_checksums (const guint8 *bytes, gsize length)
{
  guint32 pseudo = get (bytes, 26, 2) + get (bytes, 28, 2) + get (bytes, 30, 2) + get (bytes, 32, 2) + 6 +
                   (guint32)(length - ETHER - IP);

  g_assert_cmpuint (net_checksum (bytes + ETHER, IP, 0), ==, 0);
  g_assert_cmpuint (net_checksum (bytes + ETHER + IP, length - ETHER - IP, pseudo), ==, 0);
}

static void
take_frame (void *data, const guint8 *bytes, gsize length)
{
  Fixture *f = data;
  Client *client;
  guint header, flags;
  guint32 sequence;

  g_assert_cmphex (get (bytes, 26, 4), ==, NET_NAMESERVER);
  g_assert_cmpuint (get (bytes, 34, 2), ==, 53);
  length = ETHER + get (bytes, 16, 2);
  assert_checksums (bytes, length);
  client = client_of (f, get (bytes, 36, 2));
  header = get (bytes, 46, 1) >> 4 << 2;
  flags = get (bytes, 47, 1);
  sequence = get (bytes, 38, 4);
  if (flags & NET_RST)
    client->reset = TRUE;
  if (flags & NET_SYN)
    client->expected = sequence + 1;
  if (sequence == client->expected && length > ETHER + IP + header) {
    g_byte_array_append (client->bytes, bytes + ETHER + IP + header, (guint)(length - ETHER - IP - header));
    client->expected += (guint32)(length - ETHER - IP - header);
  }
  if (flags & NET_FIN) {
    g_assert_cmpuint (sequence, ==, client->expected);
    client->expected++;
    client->finished = TRUE;
  }
}

/* libslirp's calls */

static ssize_t
send_packet (const void *bytes, size_t length, void *data)
{
  Fixture *f = data;
  g_autofree guint8 *copy = g_memdup2 (bytes, length);

  if (get (copy, 12, 2) == 0x0800 && net_dnstcp_incoming (f->dns, copy, length))
    take_frame (f, copy, length);
  return (ssize_t)length;
}

static void
guest_error (const char *message, void *data)
{
}

static int64_t
clock_ns (void *data)
{
  return ((Fixture *)data)->slirp_ms * 1000000;
}

static void *
timer_new (SlirpTimerCb call, void *call_data, void *data)
{
  return g_malloc (1);
}

static void
timer_free (void *timer, void *data)
{
  g_free (timer);
}

static void
timer_mod (void *timer, int64_t expires, void *data)
{
}

static void
ignore_fd (int fd, void *data)
{
}

static void
notify (void *data)
{
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = notify,
};

/* So that libslirp knows where the sandbox is. */
static void
say_hello (Fixture *f)
{
  guint8 arp[60] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x08\x06\0\1\x08\0\6\4\0\1\2\0\0\0\0\1\12\0\2\17\0\0"
                   "\0\0\0\0\12\0\2\2";

  slirp_input (f->slirp, arp, sizeof arp);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  const SlirpConfig config = {
      .version = 4,
      .in_enabled = true,
      .vnetwork.s_addr = htonl (NET_NETWORK),
      .vnetmask.s_addr = htonl (0xffffff00),
      .vhost.s_addr = htonl (NET_GATEWAY),
      .vnameserver.s_addr = htonl (NET_NAMESERVER),
      .vdhcp_start.s_addr = htonl (NET_GUEST),
      .if_mtu = NET_MTU,
      .if_mru = NET_MTU,
      .disable_host_loopback = true,
      .disable_dns = true,
  };

  the_fixture = f;
  f->window = 65535;
  f->slirp_ms = f->shared.now_ms = START_MS;
  memcpy (f->shared.guest_mac, guest_mac, 6);
  f->clients = g_ptr_array_new ();
  f->questions = g_array_new (FALSE, FALSE, sizeof (Question));
  f->slirp = slirp_new (&config, &callbacks, f);
  f->dns = net_dnstcp_new (f->slirp, &f->shared, NULL, take_frame, f);
  say_hello (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  slirp_cleanup (f->slirp);
  net_dnstcp_free (f->dns);
  for (guint i = 0; i < f->clients->len; i++) {
    Client *client = f->clients->pdata[i];

    g_byte_array_unref (client->bytes);
    g_free (client);
  }
  g_ptr_array_unref (f->clients);
  for (guint i = 0; i < f->questions->len; i++)
    g_byte_array_unref (g_array_index (f->questions, Question, i).message);
  g_array_unref (f->questions);
}

/* What the sandbox sends */

static void
send_segment (Fixture *f, const Client *client, guint32 sequence, guint flags, const void *bytes,
              gsize length)
{
  static guint8 frame[NET_FRAME_MAX];
  const NetEnds ends = {.guest_mac = guest_mac,
                        .source = NET_GUEST,
                        .source_port = client->port,
                        .destination = NET_NAMESERVER,
                        .destination_port = 53};
  const NetSegment segment = {.sequence = sequence,
                              .acknowledged = flags & NET_ACK ? client->expected : 0,
                              .flags = (uint8_t)flags,
                              .window = f->window};
  NetFrame parsed;
  const char *why;

  if (length > 0)
    memcpy (frame + NET_MADE_TCP, bytes, length);
  length = net_make_tcp (&ends, &segment, frame, length);
  g_assert_true (net_frame_parse (frame, length, &parsed, &why));
  net_dnstcp_outgoing (f->dns, &parsed);
}

static void
say (Fixture *f, Client *client, const void *bytes, gsize length)
{
  send_segment (f, client, client->next, NET_ACK, bytes, length);
  client->next += (guint32)length;
}

/* Until nothing comes any more. */
static void
acknowledge (Fixture *f, Client *client)
{
  guint32 before;

  do {
    before = client->expected;
    say (f, client, NULL, 0);
  } while (client->expected != before);
}

static Client *
begin (Fixture *f, guint port)
{
  Client *client = g_new0 (Client, 1);

  client->port = (guint16)port;
  client->next = 5000 + 1000 * f->clients->len;
  client->bytes = g_byte_array_new ();
  g_ptr_array_add (f->clients, client);
  send_segment (f, client, client->next++, NET_SYN, NULL, 0);
  return client;
}

static Client *
connect_client (Fixture *f, guint port)
{
  Client *client = begin (f, port);

  g_assert_cmpuint (client->expected, !=, 0);
  g_assert_false (client->reset);
  acknowledge (f, client);
  return client;
}

static void
finish (Fixture *f, Client *client)
{
  send_segment (f, client, client->next++, NET_FIN | NET_ACK, NULL, 0);
}

static void
say_question (Fixture *f, Client *client, const char *text)
{
  guint8 bytes[300] = {0, (guint8)strlen (text)};

  memcpy (bytes + 2, text, strlen (text));
  say (f, client, bytes, 2 + strlen (text));
}

/* The resolver's */

static void
assert_asked (Fixture *f, guint i, const char *text)
{
  const GByteArray *message;

  g_assert_cmpuint (f->questions->len, >, i);
  message = g_array_index (f->questions, Question, i).message;
  g_assert_cmpmem (message->data, message->len, text, strlen (text));
}

static void
answer (Fixture *f, guint i, const void *bytes, gsize length)
{
  const NetAsker asker = {.tcp = true, .connection = g_array_index (f->questions, Question, i).connection};

  net_dnstcp_reply (f->dns, &asker, bytes, length);
}

static void
assert_came (const Client *client, const char *bytes, gsize length)
{
  g_assert_cmpmem (client->bytes->data, client->bytes->len, bytes, length);
}

/* How many connections libslirp has. */
static guint
count_in_slirp (Fixture *f)
{
  g_autofree char *info = slirp_connection_info (f->slirp);
  guint n = 0;

  for (const char *at = info; (at = strstr (at, "TCP[")) != NULL; at++)
    n++;
  return n;
}

/* Tests */

static void
test_ask (Fixture *f, gconstpointer data)
{
  Client *client = connect_client (f, 40000);

  g_assert_cmpuint (count_in_slirp (f), ==, 1);
  say_question (f, client, "question");
  assert_asked (f, 0, "question");
  g_assert_cmpuint (f->questions->len, ==, 1);
  answer (f, 0, "answer", 6);
  assert_came (client, "\0\6answer", 8);
  say_question (f, client, "more");
  assert_asked (f, 1, "more");
  answer (f, 1, "yes", 3);
  assert_came (client, "\0\6answer\0\3yes", 13);
  acknowledge (f, client);
  g_assert_false (client->finished);
  finish (f, client);
  g_assert_true (client->finished);
  g_assert_false (client->reset);
  acknowledge (f, client);
  g_assert_false (client->reset);
  g_assert_cmpuint (count_in_slirp (f), ==, 0);
}

/* Two at once, and one byte by byte. */
static void
test_pieces (Fixture *f, gconstpointer data)
{
  static const char bytes[] = "\0\3one\0\3two\0\5three";
  Client *client = connect_client (f, 40000);

  say (f, client, bytes, 10);
  assert_asked (f, 0, "one");
  assert_asked (f, 1, "two");
  for (guint i = 10; i < sizeof bytes - 1; i++) {
    g_assert_cmpuint (f->questions->len, ==, 2);
    say (f, client, bytes + i, 1);
  }
  assert_asked (f, 2, "three");
  answer (f, 2, "3", 1); /* in any order */
  answer (f, 0, "1", 1);
  answer (f, 1, "2", 1);
  acknowledge (f, client);
  assert_came (client, "\0\0013\0\0011\0\0012", 9);
}

/* The sandbox has said all, and still gets its answers. */
static void
test_half_closed (Fixture *f, gconstpointer data)
{
  Client *client = connect_client (f, 40000);

  say_question (f, client, "question");
  finish (f, client);
  acknowledge (f, client);
  g_assert_false (client->finished);
  answer (f, 0, "answer", 6);
  g_assert_false (client->finished);
  acknowledge (f, client);
  assert_came (client, "\0\6answer", 8);
  g_assert_true (client->finished);
  g_assert_false (client->reset);
  g_assert_cmpuint (count_in_slirp (f), ==, 0);
}

/* However long that takes. */
static void
test_half_closed_slow (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (40000);
  Client *client;

  f->window = 4000;
  client = connect_client (f, 40000);
  say_question (f, client, "question");
  finish (f, client);
  answer (f, 0, bytes, 40000);
  acknowledge (f, client);
  g_assert_cmpuint (client->bytes->len, ==, 40002);
  g_assert_true (client->finished);
}

static void
test_largest (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc (NET_DNS_MAX);
  Client *client = connect_client (f, 40000);

  for (guint i = 0; i < NET_DNS_MAX; i++)
    bytes[i] = (guint8)(i * 31 + (i >> 8));
  say_question (f, client, "question");
  answer (f, 0, bytes, NET_DNS_MAX);
  acknowledge (f, client);
  g_assert_cmpuint (client->bytes->len, ==, 2 + NET_DNS_MAX);
  g_assert_cmpuint (get (client->bytes->data, 0, 2), ==, NET_DNS_MAX);
  g_assert_cmpmem (client->bytes->data + 2, NET_DNS_MAX, bytes, NET_DNS_MAX);
}

/* Who asks and does not read is reset, and others are not. */
static void
test_not_reading (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (NET_DNS_MAX);
  Client *client = connect_client (f, 40000), *other = connect_client (f, 40001);
  Client stuck = *client; /* what it acknowledges stays */

  for (guint i = 0; i < 10; i++) {
    say_question (f, other, "question");
    answer (f, f->questions->len - 1, bytes, NET_DNS_MAX);
    acknowledge (f, other);
    if (client->reset)
      continue;
    say (f, &stuck, "\0\1q", 3);
    answer (f, f->questions->len - 1, bytes, NET_DNS_MAX);
  }
  g_assert_true (client->reset);
  g_assert_false (other->reset);
  g_assert_cmpuint (other->bytes->len, ==, 10 * (2 + NET_DNS_MAX));
  g_assert_cmpuint (count_in_slirp (f), ==, 1);
}

static void
test_several (Fixture *f, gconstpointer data)
{
  Client *clients[NET_DNSTCP_SLOTS];

  for (guint i = 0; i < NET_DNSTCP_SLOTS; i++) {
    g_autofree char *text = g_strdup_printf ("question %u", i);

    clients[i] = connect_client (f, 40000 + i);
    say_question (f, clients[i], text);
    assert_asked (f, i, text);
  }
  for (guint i = NET_DNSTCP_SLOTS; i > 0; i--) {
    char text[] = {(char)('a' + i - 1), '\0'};

    answer (f, i - 1, text, 1);
  }
  for (guint i = 0; i < NET_DNSTCP_SLOTS; i++) {
    char text[] = {'\0', '\1', (char)('a' + i)};

    assert_came (clients[i], text, 3);
  }
}

/* One more than there are slots: the one that was silent for longest goes. */
static void
test_too_many (Fixture *f, gconstpointer data)
{
  Client *clients[NET_DNSTCP_SLOTS + 1];

  for (guint i = 0; i < NET_DNSTCP_SLOTS; i++) {
    f->shared.now_ms++;
    clients[i] = connect_client (f, 40000 + i);
    say_question (f, clients[i], "question");
  }
  f->shared.now_ms++;
  acknowledge (f, clients[0]);
  clients[NET_DNSTCP_SLOTS] = connect_client (f, 50000);
  for (guint i = 0; i <= NET_DNSTCP_SLOTS; i++)
    g_assert_cmpint (clients[i]->reset, ==, i == 1);
  say_question (f, clients[NET_DNSTCP_SLOTS], "question");
  answer (f, 1, "late", 4); /* nobody's any more */
  g_assert_cmpuint (clients[1]->bytes->len, ==, 0);
  g_assert_cmpuint (clients[NET_DNSTCP_SLOTS]->bytes->len, ==, 0);
  answer (f, NET_DNSTCP_SLOTS, "mine", 4);
  assert_came (clients[NET_DNSTCP_SLOTS], "\0\4mine", 6);
  g_assert_cmpuint (count_in_slirp (f), ==, NET_DNSTCP_SLOTS);
}

/* The same port again, after a connection that the sandbox does not know any more. */
static void
test_same_port (Fixture *f, gconstpointer data)
{
  Client *old = connect_client (f, 40000), *new;

  say_question (f, old, "old");
  send_segment (f, old, old->next - 6, NET_SYN, NULL, 0); /* its own once more, late */
  say_question (f, old, "more");
  assert_asked (f, 1, "more");
  g_assert_false (old->reset);
  new = connect_client (f, 40000);
  answer (f, 0, "old", 3);
  g_assert_cmpuint (new->bytes->len, ==, 0);
  say_question (f, new, "new");
  answer (f, 2, "new", 3);
  assert_came (new, "\0\3new", 5);
  g_assert_cmpuint (count_in_slirp (f), ==, 1);
}

static void
test_broken (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *bytes;
    gsize length;
  } cases[] = {{"\0\0", 2}, {"\377\377", 2}, {"\0\3one\0\0", 7}, {"\77\377", 2}};

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Client *client = connect_client (f, 40000 + i);

    say (f, client, cases[i].bytes, cases[i].length);
    g_assert_true (client->reset);
    g_assert_cmpuint (count_in_slirp (f), ==, 0);
  }
  g_assert_cmpuint (f->questions->len, ==, 1);
}

/* More than is kept, in one segment. */
static void
test_too_much (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (60000);
  Client *client = connect_client (f, 40000);

  bytes[0] = 0x3f;
  say (f, client, bytes, 60000);
  g_assert_true (client->reset);
  g_assert_cmpuint (f->questions->len, ==, 0);
  client = connect_client (f, 40001);
  bytes[0] = 0x3f;
  bytes[1] = 0xfe; /* the largest question that there may be */
  say (f, client, bytes, 2 + 0x3ffe);
  g_assert_false (client->reset);
  g_assert_cmpuint (f->questions->len, ==, 1);
}

static void
test_no_connection (Fixture *f, gconstpointer data)
{
  Client client = {.port = 40000, .next = 77, .bytes = g_byte_array_new ()};

  g_ptr_array_add (f->clients, g_memdup2 (&client, sizeof client));
  send_segment (f, &client, 77, NET_ACK, "\0\1q", 3);
  g_assert_true (((Client *)f->clients->pdata[0])->reset);
  g_assert_cmpuint (f->questions->len, ==, 0);
  send_segment (f, &client, 77, NET_RST, NULL, 0); /* is not answered */
  send_segment (f, &client, 77, NET_SYN | NET_ACK, NULL, 0);
  g_assert_cmpuint (count_in_slirp (f), ==, 0);
}

/* A reset of the sandbox's, wherever it says that it is. */
static void
test_reset (Fixture *f, gconstpointer data)
{
  Client *client = connect_client (f, 40000);

  say_question (f, client, "question");
  send_segment (f, client, client->next + 1000000, NET_RST, NULL, 0);
  g_assert_cmpuint (count_in_slirp (f), ==, 0);
  answer (f, 0, "answer", 6);
  g_assert_cmpuint (client->bytes->len, ==, 0);
  g_assert_false (client->reset);
}

/* Thousands of them, half open, with odd numbers, or not closed: libslirp keeps none but those of the slots.
 */
static void
test_flood (Fixture *f, gconstpointer data)
{
  Client *last;

  for (guint i = 0; i < 3000; i++) {
    Client *client = begin (f, 1024 + i * 7 % 5000);

    f->shared.now_ms += i % 2;
    if (i % 3 == 0)
      acknowledge (f, client);
    if (i % 5 == 0)
      say_question (f, client, "question");
    if (i % 7 == 0)
      send_segment (f, client, client->next + i * 77777, NET_ACK | NET_FIN, "x", 1);
    if (i % 11 == 0)
      finish (f, client);
    g_assert_cmpuint (count_in_slirp (f), <=, NET_DNSTCP_SLOTS);
  }
  last = connect_client (f, 60000);
  say_question (f, last, "still?");
  assert_asked (f, f->questions->len - 1, "still?");
  answer (f, f->questions->len - 1, "yes", 3);
  assert_came (last, "\0\3yes", 5);
}

static void
test_busy (Fixture *f, gconstpointer data)
{
  Client *client;

  g_assert_false (net_dnstcp_busy (f->dns));
  client = connect_client (f, 40000);
  g_assert_true (net_dnstcp_busy (f->dns));
  f->shared.now_ms += NET_DNSTCP_BUSY_MS - 1;
  g_assert_true (net_dnstcp_busy (f->dns));
  f->shared.now_ms++;
  g_assert_false (net_dnstcp_busy (f->dns));
  acknowledge (f, client);
  g_assert_true (net_dnstcp_busy (f->dns));
  finish (f, client);
  g_assert_false (net_dnstcp_busy (f->dns));
}

/* Other frames of libslirp's are none of ours; some from the slots' address are nobody's. */
static void
test_other_frames (Fixture *f, gconstpointer data)
{
  guint8 frame[NET_MADE_TCP], before[NET_MADE_TCP];
  NetEnds ends = {.guest_mac = guest_mac,
                  .to_guest = true,
                  .source = 0x01020304,
                  .source_port = NET_DNSTCP_PORT,
                  .destination = NET_GUEST,
                  .destination_port = 40000};
  const NetSegment segment = {.sequence = 1, .flags = NET_ACK};
  gsize length = net_make_tcp (&ends, &segment, frame, 0);

  memcpy (before, frame, sizeof before);
  for (gsize n = 0; n <= length; n++) {
    g_autofree guint8 *copy = g_memdup2 (frame, n);

    g_assert_true (net_dnstcp_incoming (f->dns, copy, n));
    g_assert_cmpmem (copy, n, before, n);
  }
  ends.source = NET_DNSTCP_ADDRESS;
  for (guint port = NET_DNSTCP_PORT - 1; port <= NET_DNSTCP_PORT + NET_DNSTCP_SLOTS; port++) {
    ends.source_port = (guint16)port;
    length = net_make_tcp (&ends, &segment, frame, 0);
    g_assert_false (net_dnstcp_incoming (f->dns, frame, length));
  }
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
      {"ask", test_ask},
      {"pieces", test_pieces},
      {"half-closed", test_half_closed},
      {"half-closed-slow", test_half_closed_slow},
      {"largest", test_largest},
      {"not-reading", test_not_reading},
      {"several", test_several},
      {"too-many", test_too_many},
      {"same-port", test_same_port},
      {"broken", test_broken},
      {"too-much", test_too_much},
      {"no-connection", test_no_connection},
      {"reset", test_reset},
      {"flood", test_flood},
      {"busy", test_busy},
      {"other-frames", test_other_frames},
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strconcat ("/net/dnstcp/", tests[i].path, NULL);

    g_test_add (path, Fixture, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run ();
}
