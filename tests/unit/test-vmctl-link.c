/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/link.h"

typedef struct {
  Peer peer;
  VmLink *link;
  GString *log;        /* what happened: "frame 1/2/0:text;" "greeted;" "closed why;" */
  const char *free_at; /* frees the link when this happens */
  guint frames;
} Fixture;

static void
note (Fixture *f, const char *what)
{
  if (f->free_at != NULL && g_str_has_prefix (what, f->free_at))
    g_clear_pointer (&f->link, vm_link_free);
}

static void
got_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Fixture *f = data;

  g_assert_true (link == f->link);
  f->frames++;
  if (header->length < 100)
    g_string_append_printf (f->log, "frame %u/%u/%u:%.*s;", header->type, header->channel, header->stream,
                            (int)header->length, payload);
  note (f, "frame");
}

static void
got_closed (VmLink *link, const char *why, gpointer data)
{
  Fixture *f = data;

  g_string_append_printf (f->log, "closed %s;", why != NULL ? why : "-");
  note (f, "closed");
}

static void
got_greeted (VmLink *link, gpointer data)
{
  Fixture *f = data;

  g_string_append (f->log, "greeted;");
  note (f, "greeted");
}

static const VmLinkHandlers handlers = {.frame = got_frame, .closed = got_closed, .greeted = got_greeted};

static void
connect_link (Fixture *f, gboolean preamble)
{
  int fd = peer_connect (&f->peer);

  f->log = g_string_new (NULL);
  f->link = vm_link_new (fd, preamble, &handlers, f);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  connect_link (f, GPOINTER_TO_INT (data));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_link_free (f->link);
  peer_clear (&f->peer);
  g_string_free (f->log, TRUE);
}

static void
assert_log (Fixture *f, const char *expected)
{
  turn ();
  g_assert_cmpstr (f->log->str, ==, expected);
}

static gsize
encode (guint8 *out, FrameType type, guint32 channel, FrameStream stream, const char *text)
{
  FrameHeader header = {.length = (guint32)strlen (text), .channel = channel, .type = type, .stream = stream};

  frame_header_encode (out, &header);
  memcpy (out + FRAME_HEADER_SIZE, text, header.length);
  return FRAME_HEADER_SIZE + header.length;
}

static void
test_both_ways (Fixture *f, gconstpointer data)
{
  peer_send (&f->peer, FRAME_DATA, 3, FRAME_STDERR, "hello", 5);
  peer_send (&f->peer, FRAME_EOF, 3, FRAME_STDERR, NULL, 0);
  assert_log (f, "frame 13/3/2:hello;frame 14/3/2:;");
  vm_link_send (f->link, FRAME_DATA, 7, FRAME_STDOUT, "there", 5);
  vm_link_send_u32 (f->link, FRAME_CREDIT, 7, FRAME_STDIN, 0x01020304);
  vm_link_send_size (f->link, 7, 24, 80);
  peer_expect_text (&f->peer, FRAME_DATA, 7, FRAME_STDOUT, "there");
  peer_expect_u32 (&f->peer, FRAME_CREDIT, 7, FRAME_STDIN, 0x01020304);
  peer_expect (&f->peer, FRAME_RESIZE, 7, FRAME_STDIN);
  g_assert_cmpuint (frame_get_u16 (f->peer.payload->data), ==, 24);
  g_assert_cmpuint (frame_get_u16 (f->peer.payload->data + 2), ==, 80);
  peer_close (&f->peer);
  assert_log (f, "frame 13/3/2:hello;frame 14/3/2:;closed -;");
}

/* However the bytes are cut. */
static void
test_split (void)
{
  guint8 bytes[200];
  gsize n = encode (bytes, FRAME_DATA, 1, FRAME_STDOUT, "first");

  n += encode (bytes + n, FRAME_EOF, 1, FRAME_STDOUT, "");
  n += encode (bytes + n, FRAME_DATA, 2, FRAME_STDERR, "second");
  for (gsize cut = 0; cut <= n; cut++) {
    Fixture f = {0};

    connect_link (&f, FALSE);
    peer_send_raw (&f.peer, bytes, cut);
    turn ();
    peer_send_raw (&f.peer, bytes + cut, n - cut);
    assert_log (&f, "frame 13/1/1:first;frame 14/1/1:;frame 13/2/2:second;");
    tear_down (&f, NULL);
  }
}

static void
test_preamble (Fixture *f, gconstpointer data)
{
  guint8 bytes[100];
  gsize n = encode (bytes, FRAME_DATA, 1, FRAME_STDOUT, "x");
  g_autofree char *garbage = g_strnfill (300000, '\177');

  peer_send_raw (&f->peer, bytes, n); /* the tail of an older connection */
  peer_send_raw (&f->peer, garbage, strlen (garbage));
  peer_send_raw (&f->peer, FRAME_PREAMBLE, 7);
  assert_log (f, "");
  peer_send_raw (&f->peer, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
  assert_log (f, "greeted;");
  peer_send_raw (&f->peer, bytes, n);
  assert_log (f, "greeted;frame 13/1/1:x;");
}

static void
test_preamble_with_frame (Fixture *f, gconstpointer data)
{
  guint8 bytes[100];
  gsize n;

  memcpy (bytes, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
  n = FRAME_PREAMBLE_SIZE + encode (bytes + FRAME_PREAMBLE_SIZE, FRAME_DATA, 1, FRAME_STDOUT, "x");
  peer_send_raw (&f->peer, bytes, n);
  assert_log (f, "greeted;frame 13/1/1:x;");
}

static void
test_malformed (void)
{
  static const guint8 bad[][FRAME_HEADER_SIZE] = {
      {1, 0, 1, 0, 1, 0, 0, 0, FRAME_DATA},         /* too long */
      {0, 0, 0, 0, 1, 0, 0, 0, 0},                  /* no type */
      {0, 0, 0, 0, 1, 0, 0, 0, FRAME_TYPE_MAX + 1}, /* unknown type */
      {0, 0, 0, 0, 1, 0, 0, 0, FRAME_DATA, 3},      /* unknown stream */
      {0, 0, 0, 0, 1, 0, 0, 0, FRAME_DATA, 1, 1},   /* not zero */
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    Fixture f = {0};

    connect_link (&f, FALSE);
    peer_send (&f.peer, FRAME_DATA, 1, FRAME_STDOUT, "x", 1);
    peer_send_raw (&f.peer, bad[i], FRAME_HEADER_SIZE);
    peer_send (&f.peer, FRAME_DATA, 1, FRAME_STDOUT, "y", 1);
    assert_log (&f, "frame 13/1/1:x;closed malformed frame;");
    vm_link_send (f.link, FRAME_DATA, 1, FRAME_STDIN, "z", 1); /* on a dead link: nothing */
    g_assert_cmpuint (vm_link_queued (f.link), ==, 0);
    tear_down (&f, NULL);
  }
}

/* The owner may free the link in each of its callbacks; no callback follows. */
static void
test_free_inside (void)
{
  static const struct {
    const char *at, *log;
  } cases[] = {{"greeted", "greeted;"},
               {"frame", "greeted;frame 13/1/1:a;"},
               {"closed", "greeted;frame 13/1/1:a;frame 13/1/1:b;closed malformed frame;"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    Fixture f = {.free_at = cases[i].at};
    guint8 bytes[100] = FRAME_PREAMBLE, broken[FRAME_HEADER_SIZE] = {0};
    gsize n = FRAME_PREAMBLE_SIZE;

    connect_link (&f, TRUE);
    n += encode (bytes + n, FRAME_DATA, 1, FRAME_STDOUT, "a");
    n += encode (bytes + n, FRAME_DATA, 1, FRAME_STDOUT, "b");
    memcpy (bytes + n, broken, sizeof broken);
    peer_send_raw (&f.peer, bytes, n + sizeof broken);
    assert_log (&f, cases[i].log);
    g_assert_null (f.link);
    tear_down (&f, NULL);
  }
}

static void
test_free_at_eof (Fixture *f, gconstpointer data)
{
  f->free_at = "closed";
  peer_close (&f->peer);
  assert_log (f, "closed -;");
  g_assert_null (f->link);
}

/* A peer that stalls gets everything once it reads again, in order. */
static void
test_queue (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *block = g_malloc (FRAME_PAYLOAD_MAX);
  guint n = 0;

  while (vm_link_queued (f->link) < 8 * FRAME_PAYLOAD_MAX) {
    memset (block, (int)('a' + n % 26), FRAME_PAYLOAD_MAX);
    vm_link_send (f->link, FRAME_DATA, n++, FRAME_STDIN, block, FRAME_PAYLOAD_MAX);
  }
  vm_link_send (f->link, FRAME_EOF, n, FRAME_STDIN, NULL, 0);
  for (guint i = 0; i < n; i++) {
    peer_expect (&f->peer, FRAME_DATA, i, FRAME_STDIN);
    g_assert_cmpuint (f->peer.payload->len, ==, FRAME_PAYLOAD_MAX);
    g_assert_cmpint (f->peer.payload->data[0], ==, 'a' + i % 26);
    g_assert_cmpint (f->peer.payload->data[FRAME_PAYLOAD_MAX - 1], ==, 'a' + i % 26);
  }
  peer_expect (&f->peer, FRAME_EOF, n, FRAME_STDIN);
  g_assert_cmpuint (vm_link_queued (f->link), ==, 0);
}

/* One that never reads does not take all memory. */
static void
test_queue_bound (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *block = g_malloc0 (FRAME_PAYLOAD_MAX);

  for (guint i = 0; i < 4000; i++)
    vm_link_send (f->link, FRAME_DATA, 1, FRAME_STDIN, block, FRAME_PAYLOAD_MAX);
  g_assert_cmpuint (vm_link_queued (f->link), <, 64 << 20);
  assert_log (f, "closed too much waits to be sent;");
}

static gpointer
read_late (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  char block[65536];
  gsize all = 0;
  ssize_t n;

  while ((n = read (fd, block, sizeof block)) > 0 || (n < 0 && errno == EAGAIN))
    all += n > 0 ? (gsize)n : 0;
  return GSIZE_TO_POINTER (all);
}

static void
test_flush (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *block = g_malloc0 (FRAME_PAYLOAD_MAX);
  gint64 before = g_get_monotonic_time ();
  GThread *reader;
  guint n;

  for (n = 0; vm_link_queued (f->link) < 8 * FRAME_PAYLOAD_MAX; n++)
    vm_link_send (f->link, FRAME_DATA, 1, FRAME_STDIN, block, FRAME_PAYLOAD_MAX);
  vm_link_flush (f->link, 50); /* nobody reads: not for ever */
  g_assert_cmpint (g_get_monotonic_time () - before, >=, 50000);
  g_assert_cmpuint (vm_link_queued (f->link), >, 0);
  reader = g_thread_new ("reader", read_late, GINT_TO_POINTER (f->peer.fd));
  vm_link_flush (f->link, 20000);
  g_assert_cmpuint (vm_link_queued (f->link), ==, 0);
  g_clear_pointer (&f->link, vm_link_free);
  g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (reader)), ==,
                    n * (FRAME_HEADER_SIZE + (gsize)FRAME_PAYLOAD_MAX));
}

static void
test_finish (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *block = g_malloc0 (FRAME_PAYLOAD_MAX);
  guint n;

  for (n = 0; vm_link_queued (f->link) < FRAME_PAYLOAD_MAX; n++)
    vm_link_send (f->link, FRAME_DATA, 1, FRAME_STDIN, block, FRAME_PAYLOAD_MAX);
  vm_link_finish (f->link);
  for (guint i = 0; i < n; i++)
    peer_expect (&f->peer, FRAME_DATA, 1, FRAME_STDIN);
  peer_expect_end (&f->peer);
  peer_send (&f->peer, FRAME_DATA, 1, FRAME_STDOUT, "late", 4); /* the other direction goes on */
  assert_log (f, "frame 13/1/1:late;");
  peer_close (&f->peer);
  assert_log (f, "frame 13/1/1:late;closed -;");
}

/* A peer that shuts its reading side only: no spinning, no growing, and its words are still heard. */
static void
test_deaf_peer (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *block = g_malloc0 (FRAME_PAYLOAD_MAX);
  guint turns = 0;

  g_assert_cmpint (shutdown (f->peer.fd, SHUT_RD), ==, 0);
  for (guint i = 0; i < 100; i++)
    vm_link_send (f->link, FRAME_DATA, 1, FRAME_STDIN, block, FRAME_PAYLOAD_MAX);
  while (g_main_context_iteration (NULL, FALSE))
    g_assert_cmpuint (++turns, <, 100);
  g_assert_cmpuint (vm_link_queued (f->link), ==, 0);
  peer_send (&f->peer, FRAME_DATA, 1, FRAME_STDOUT, "x", 1);
  assert_log (f, "frame 13/1/1:x;");
}

/* What a peer said before it went is heard, though it cannot be answered any more. */
static void
test_last_words (Fixture *f, gconstpointer data)
{
  peer_send (&f->peer, FRAME_DATA, 1, FRAME_STDOUT, "bye", 3);
  g_string_truncate (f->log, 0);
  f->frames = 0;
  peer_send_raw (&f->peer, "", 0);
  /* Not turned in between: the frame is still in the socket when the answer fails. */
  {
    guint8 bytes[100];
    gsize n = encode (bytes, FRAME_DATA, 1, FRAME_STDOUT, "last");

    g_assert_cmpint (send (f->peer.fd, bytes, n, 0), ==, (gssize)n);
  }
  peer_close (&f->peer);
  vm_link_send (f->link, FRAME_DATA, 1, FRAME_STDIN, "answer", 6);
  assert_log (f, "frame 13/1/1:last;closed -;");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, preamble, func)                                                                            \
  g_test_add ("/vmctl/link/" name, Fixture, GINT_TO_POINTER (preamble), set_up, func, tear_down)
  ADD ("both-ways", FALSE, test_both_ways);
  g_test_add_func ("/vmctl/link/split", test_split);
  ADD ("preamble", TRUE, test_preamble);
  ADD ("preamble-with-frame", TRUE, test_preamble_with_frame);
  g_test_add_func ("/vmctl/link/malformed", test_malformed);
  g_test_add_func ("/vmctl/link/free-inside", test_free_inside);
  ADD ("free-at-eof", FALSE, test_free_at_eof);
  ADD ("queue", FALSE, test_queue);
  ADD ("queue-bound", FALSE, test_queue_bound);
  ADD ("flush", FALSE, test_flush);
  ADD ("finish", FALSE, test_finish);
  ADD ("deaf-peer", FALSE, test_deaf_peer);
  ADD ("last-words", FALSE, test_last_words);
  return g_test_run ();
}
