/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's relays: a fake agent on one side, real sockets of the host on the other. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/relays.h"

#define FIRST FRAME_CHANNEL_RELAY
#define IN FRAME_STDIN
#define OUT FRAME_STDOUT

typedef struct {
  char *path;
  int dir, listener, server; /* the host's socket and the connection to it */
  VmLog *log;
  VmPlan *plan;
  VmRelays *relays;
  Peer agent;
  VmLink *link;
  GString *broken;
} Fixture;

static void
got_broken (const char *why, gpointer data)
{
  g_string_append_printf (((Fixture *)data)->broken, "%s;", why);
}

static void
agent_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  g_assert_true (vm_relays_wants (header));
  vm_relays_frame (((Fixture *)data)->relays, header, payload);
}

static void
agent_closed (VmLink *link, const char *why, gpointer data)
{
  vm_relays_set_agent (((Fixture *)data)->relays, NULL);
}

static const VmLinkHandlers agent_handlers = {.frame = agent_frame, .closed = agent_closed};

static void
add_mount (VmPlan *plan, VmMountKind kind, const char *dir, const char *name)
{
  VmMount *mount = g_new0 (VmMount, 1);

  mount->kind = kind;
  mount->source = g_build_filename (dir, name, NULL);
  mount->target = g_strdup (mount->source);
  g_ptr_array_add (plan->mounts, mount);
}

/* Relays 0: the socket "real"; 1: "gone"; 2: a link to it; 3: a link to it in "rw", which the sandbox can
 * write. */
static void
set_up (Fixture *f, gconstpointer data)
{
  f->path = g_dir_make_tmp ("vmctl-relays-XXXXXX", NULL);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->server = -1;
  f->listener = vm_fd_listen_unix (f->dir, "real", SOCK_STREAM, NULL);
  g_assert_cmpint (f->listener, >=, 0);
  g_assert_true (vm_fd_set_nonblocking (f->listener, TRUE, NULL));
  g_assert_cmpint (mkdirat (f->dir, "rw", 0700), ==, 0);
  g_assert_cmpint (symlinkat ("rw/../real", f->dir, "link"), ==, 0);
  g_assert_cmpint (symlinkat ("../real", f->dir, "rw/link"), ==, 0);
  f->log = vm_log_open (f->dir, "log", VM_LOG_LIMIT, NULL);
  f->plan = g_new0 (VmPlan, 1);
  f->plan->mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  add_mount (f->plan, VM_MOUNT_RELAY, f->path, "real");
  add_mount (f->plan, VM_MOUNT_RW, f->path, "rw");
  add_mount (f->plan, VM_MOUNT_RELAY, f->path, "gone");
  add_mount (f->plan, VM_MOUNT_RELAY, f->path, "link");
  add_mount (f->plan, VM_MOUNT_RELAY, f->path, "rw/link");
  f->broken = g_string_new (NULL);
  f->relays = vm_relays_new (f->plan, f->log, got_broken, f);
  f->link = vm_link_new (peer_connect (&f->agent), FALSE, &agent_handlers, f);
  vm_relays_set_agent (f->relays, f->link);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_relays_free (f->relays);
  vm_link_free (f->link);
  peer_clear (&f->agent);
  vm_plan_free (f->plan);
  vm_log_free (f->log);
  vm_fd_clear (&f->server);
  vm_fd_clear (&f->listener);
  close (f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
  g_string_free (f->broken, TRUE);
}

static void
open_relay (Fixture *f, guint slot, guint32 index)
{
  peer_send_u32 (&f->agent, FRAME_RELAY_OPEN, FIRST + slot, IN, index);
}

/* The main context turns until it is there. */
static int
accept_one (Fixture *f)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  int fd;

  do {
    turn ();
    fd = accept4 (f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  } while (fd < 0 && errno == EAGAIN);
  g_assert_cmpint (fd, >=, 0);
  return fd;
}

static void
open_served (Fixture *f, guint slot)
{
  open_relay (f, slot, 0);
  vm_fd_clear (&f->server);
  f->server = accept_one (f);
}

/* Exactly this comes out of `fd`. */
static void
expect_read (int fd, const char *text)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  char data[64];
  gsize got = 0;

  while (got < strlen (text)) {
    ssize_t n = read (fd, data + got, sizeof data - got);

    g_assert_cmpint (n, !=, 0);
    got += n > 0 ? (gsize)n : 0;
    turn ();
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  }
  g_assert_cmpmem (data, got, text, strlen (text));
}

static void
expect_read_end (int fd)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  char byte;
  ssize_t n;

  while ((n = read (fd, &byte, 1)) < 0 && errno == EAGAIN) {
    turn ();
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  }
  g_assert_cmpint (n, <=, 0);
}

static void
put (int fd, const char *text)
{
  g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
}

/* Writes what the socket takes, up to `n` bytes. */
static gsize
put_bulk (int fd, gsize n)
{
  g_autofree char *data = g_malloc0 (65536);
  gsize done = 0;

  for (ssize_t r; done < n; done += (gsize)r) {
    r = send (fd, data, MIN (n - done, 65536), MSG_NOSIGNAL);
    if (r < 0 && errno == EAGAIN) {
      if (!g_main_context_iteration (NULL, FALSE))
        return done;
      r = 0;
    }
    g_assert_cmpint (r, >=, 0);
  }
  return done;
}

static void
expect_fine (Fixture *f)
{
  turn ();
  g_assert_cmpstr (f->broken->str, ==, "");
}

/* How often the log says that a relay was refused. */
static guint
refusals (Fixture *f)
{
  g_autofree char *text = vm_file_read (f->dir, "log", 1 << 20, NULL, NULL);
  guint n = 0;

  for (const char *at = text; (at = strstr (at, "refused")) != NULL; at++)
    n++;
  return n;
}

static void
test_both_ways (Fixture *f, gconstpointer data)
{
  open_relay (f, 0, 0);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "at once", 7);
  f->server = accept_one (f);
  expect_read (f->server, "at once");
  put (f->server, "\n\t answer \xff");
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, IN, "\n\t answer \xff");
  peer_expect_nothing (&f->agent);
  expect_fine (f);
}

static void
test_half_close_inside (Fixture *f, gconstpointer data)
{
  open_served (f, 0);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "ask", 3);
  peer_send (&f->agent, FRAME_EOF, FIRST, OUT, NULL, 0);
  expect_read (f->server, "ask");
  expect_read_end (f->server);
  put (f->server, "late");
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, IN, "late");
  vm_fd_clear (&f->server);
  peer_expect (&f->agent, FRAME_EOF, FIRST, IN);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  peer_send (&f->agent, FRAME_CLOSE, FIRST, IN, NULL, 0);
  open_served (f, 0); /* the number is free again */
  expect_fine (f);
}

static void
test_half_close_outside (Fixture *f, gconstpointer data)
{
  open_served (f, 0);
  put (f->server, "bye");
  g_assert_cmpint (shutdown (f->server, SHUT_WR), ==, 0);
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, IN, "bye");
  peer_expect (&f->agent, FRAME_EOF, FIRST, IN);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "more", 4);
  expect_read (f->server, "more");
  peer_expect_nothing (&f->agent);
  peer_send (&f->agent, FRAME_EOF, FIRST, OUT, NULL, 0);
  expect_read_end (f->server);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  expect_fine (f);
}

/* The last words of a client that left at once still count. */
static void
test_close_inside (Fixture *f, gconstpointer data)
{
  open_relay (f, 0, 0);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "fire", 4);
  peer_send (&f->agent, FRAME_CLOSE, FIRST, IN, NULL, 0);
  f->server = accept_one (f);
  expect_read (f->server, "fire");
  expect_read_end (f->server);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  open_served (f, 0);
  expect_fine (f);
}

/* The server does not read: the writer inside must learn it, as it would from EPIPE. */
static void
test_unread (Fixture *f, gconstpointer data)
{
  open_served (f, 0);
  g_assert_cmpint (shutdown (f->server, SHUT_RD), ==, 0);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "x", 1);
  peer_expect (&f->agent, FRAME_EOF, FIRST, OUT);
  put (f->server, "y");
  peer_expect_text (&f->agent, FRAME_DATA, FIRST, IN, "y");
  peer_send (&f->agent, FRAME_EOF, FIRST, IN, NULL, 0); /* nor does the client */
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  g_assert_cmpint (send (f->server, "z", 1, MSG_NOSIGNAL), ==, -1);
  expect_fine (f);
}

static void
test_gone (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 5; i++) {
    open_relay (f, 3, 1);
    peer_send (&f->agent, FRAME_DATA, FIRST + 3, OUT, "crossed", 7);
    peer_expect (&f->agent, FRAME_CLOSE, FIRST + 3, IN);
    peer_send (&f->agent, FRAME_CLOSE, FIRST + 3, IN, NULL, 0);
  }
  g_assert_cmpuint (refusals (f), ==, 1);
  vm_fd_clear (&f->listener);
  g_assert_cmpint (renameat (f->dir, "real", f->dir, "gone"), ==, 0); /* a socket that nobody listens on */
  open_relay (f, 3, 1);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST + 3, IN);
  expect_fine (f);
}

static void
test_links (Fixture *f, gconstpointer data)
{
  open_relay (f, 0, 2);
  f->server = accept_one (f);
  g_assert_cmpuint (refusals (f), ==, 0);
  open_relay (f, 1, 3);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST + 1, IN);
  g_assert_cmpuint (refusals (f), ==, 1);
  /* What is no socket is not opened, whatever it is. */
  g_assert_cmpint (unlinkat (f->dir, "real", 0), ==, 0);
  g_assert_cmpint (mkfifoat (f->dir, "real", 0600), ==, 0);
  open_relay (f, 2, 0);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST + 2, IN);
  expect_fine (f);
}

/* A server that does not read stalls its own connection only, and costs a window. */
static void
test_stalled_server (Fixture *f, gconstpointer data)
{
  static const char bulk[FRAME_PAYLOAD_MAX];
  vm_autofd stalled = -1;
  gsize credit = FRAME_WINDOW, sent = 0;

  open_served (f, 0);
  stalled = vm_fd_steal (&f->server);
  for (; credit > 0; credit -= MIN (credit, sizeof bulk)) {
    peer_send (&f->agent, FRAME_DATA, FIRST, OUT, bulk, MIN (credit, sizeof bulk));
    sent += MIN (credit, sizeof bulk);
    turn ();
  }
  open_served (f, 1);
  peer_send (&f->agent, FRAME_DATA, FIRST + 1, OUT, "quick", 5);
  expect_read (f->server, "quick");
  expect_fine (f);
  for (gsize got = 0; got < sent;) { /* it wakes up: everything is there */
    char block[65536];
    ssize_t n = read (stalled, block, sizeof block);

    g_assert_true (n > 0 || (n < 0 && errno == EAGAIN));
    got += n > 0 ? (gsize)n : 0;
    turn ();
  }
  peer_expect (&f->agent, FRAME_CREDIT, FIRST, OUT);
  expect_fine (f);
}

static void
test_stalled_client (Fixture *f, gconstpointer data)
{
  gsize sent;

  open_served (f, 0);
  sent = put_bulk (f->server, 8 << 20);
  g_assert_cmpuint (sent, >=, FRAME_WINDOW);
  g_assert_cmpuint (sent, <, 8 << 20);
  peer_expect_data (&f->agent, FIRST, IN, FRAME_WINDOW);
  peer_expect_nothing (&f->agent);
  peer_send_u32 (&f->agent, FRAME_CREDIT, FIRST, IN, 1000);
  peer_expect_data (&f->agent, FIRST, IN, 1000);
  peer_expect_nothing (&f->agent);
  /* It hangs up while there is no credit: nothing spins, and nothing is lost. */
  vm_fd_clear (&f->server);
  turn ();
  peer_expect_nothing (&f->agent);
  for (gsize got = FRAME_WINDOW + 1000; got < sent;) {
    guint32 n = (guint32)MIN (sent - got, 100000);
    peer_send_u32 (&f->agent, FRAME_CREDIT, FIRST, IN, n);
    peer_expect_data (&f->agent, FIRST, IN, n);
    got += n;
  }
  peer_send_u32 (&f->agent, FRAME_CREDIT, FIRST, IN, 1);
  peer_expect (&f->agent, FRAME_EOF, FIRST, IN);
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  expect_fine (f);
}

/* The server's queue is full: the relay waits, without anybody else waiting. */
static void
test_busy_server (Fixture *f, gconstpointer data)
{
  vm_autofd one = -1;

  g_assert_cmpint (listen (f->listener, 0), ==, 0);
  open_relay (f, 0, 0);
  open_relay (f, 1, 0);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "0", 1);
  peer_send (&f->agent, FRAME_DATA, FIRST + 1, OUT, "1", 1);
  peer_expect_nothing (&f->agent);
  one = accept_one (f);
  expect_read (one, "0");
  f->server = accept_one (f);
  expect_read (f->server, "1");
  g_assert_cmpuint (refusals (f), ==, 0);
  expect_fine (f);
}

static guint
count_fds (void)
{
  DIR *dir = opendir ("/proc/self/fd");
  guint n = 0;

  while (readdir (dir) != NULL)
    n++;
  closedir (dir);
  return n;
}

static void
test_loop (Fixture *f, gconstpointer data)
{
  guint before;

  turn ();
  before = count_fds ();
  for (guint i = 0; i < 2000; i++) {
    open_relay (f, i % 2, 0);
    peer_send (&f->agent, FRAME_DATA, FIRST + i % 2, OUT, "x", 1);
    peer_send (&f->agent, FRAME_CLOSE, FIRST + i % 2, IN, NULL, 0);
    close (accept_one (f));
    peer_expect (&f->agent, FRAME_CLOSE, FIRST + i % 2, IN);
  }
  expect_fine (f);
  g_assert_cmpuint (count_fds (), ==, before);
}

static void
test_cap_and_loss (Fixture *f, gconstpointer data)
{
  guint before = count_fds ();
  int servers[FRAME_RELAYS_MAX];

  for (guint i = 0; i < FRAME_RELAYS_MAX; i++) {
    open_relay (f, i, 0);
    servers[i] = accept_one (f);
  }
  expect_fine (f);
  peer_close (&f->agent);
  for (guint i = 0; i < FRAME_RELAYS_MAX; i++) {
    expect_read_end (servers[i]);
    close (servers[i]);
  }
  g_assert_cmpuint (count_fds (), ==, before - 1); /* the peer's */
  expect_fine (f);
}

/* What a hostile agent may say, each on a new connection with relay 0 open as FIRST. */
static const struct {
  const char *name;
  FrameType type;
  guint32 channel;
  FrameStream stream;
  gsize length;
} hostile[] = {
    {"index", FRAME_RELAY_OPEN, FIRST + 1, IN, 4}, /* 0x78787878 */
    {"short-open", FRAME_RELAY_OPEN, FIRST + 1, IN, 3},
    {"long-open", FRAME_RELAY_OPEN, FIRST + 1, IN, 5},
    {"open-stream", FRAME_RELAY_OPEN, FIRST + 1, OUT, 4},
    {"duplicate", FRAME_RELAY_OPEN, FIRST, IN, 4},
    {"channel-low", FRAME_RELAY_OPEN, FIRST - 1, IN, 4},
    {"channel-main", FRAME_RELAY_OPEN, FRAME_CHANNEL_MAIN, IN, 4},
    {"channel-high", FRAME_RELAY_OPEN, FIRST + FRAME_RELAYS_MAX, IN, 4},
    {"not-open", FRAME_DATA, FIRST + 1, OUT, 1},
    {"not-open-close", FRAME_CLOSE, FIRST + 1, IN, 0},
    {"wrong-stream", FRAME_DATA, FIRST, IN, 1},
    {"third-stream", FRAME_DATA, FIRST, FRAME_STDERR, 1},
    {"empty", FRAME_DATA, FIRST, OUT, 0},
    {"eof-payload", FRAME_EOF, FIRST, OUT, 1},
    {"eof-stream", FRAME_EOF, FIRST, FRAME_STDERR, 0},
    {"credit-unsent", FRAME_CREDIT, FIRST, IN, 4},
    {"credit-stream", FRAME_CREDIT, FIRST, OUT, 4},
    {"credit-short", FRAME_CREDIT, FIRST, IN, 3},
    {"close-payload", FRAME_CLOSE, FIRST, IN, 1},
    {"exit", FRAME_EXIT, FIRST, IN, 8},
    {"open", FRAME_OPEN, FIRST, IN, 0},
    {"hello", FRAME_HELLO, FIRST, IN, 8},
};

static void
test_hostile (Fixture *f, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);

  open_served (f, 0);
  expect_fine (f);
  peer_send (&f->agent, hostile[i].type, hostile[i].channel, hostile[i].stream, "xxxxxxxx",
             hostile[i].length);
  turn ();
  g_assert_cmpstr (f->broken->str, !=, "");
  expect_read_end (f->server); /* nothing is left open */
  g_string_truncate (f->broken, 0);
  open_relay (f, 5, 0); /* and nothing is opened any more */
  expect_fine (f);
  g_assert_cmpint (accept4 (f->listener, NULL, NULL, SOCK_CLOEXEC), ==, -1);
}

static void
expect_broken (Fixture *f)
{
  turn ();
  g_assert_cmpstr (f->broken->str, ==, "a frame that makes no sense for a relay;");
}

static void
test_beyond_credit (Fixture *f, gconstpointer data)
{
  static const char bulk[FRAME_PAYLOAD_MAX];
  guint sent = 0;

  open_relay (f, 0, 1); /* gone: it never takes anything */
  peer_expect (&f->agent, FRAME_CLOSE, FIRST, IN);
  for (; sent < FRAME_WINDOW; sent += FRAME_PAYLOAD_MAX)
    peer_send (&f->agent, FRAME_DATA, FIRST, OUT, bulk, FRAME_PAYLOAD_MAX);
  expect_fine (f);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, bulk, 1);
  expect_broken (f);
}

static void
test_after_eof (Fixture *f, gconstpointer data)
{
  open_served (f, 0);
  peer_send (&f->agent, FRAME_EOF, FIRST, OUT, NULL, 0);
  expect_fine (f);
  peer_send (&f->agent, FRAME_DATA, FIRST, OUT, "x", 1);
  expect_broken (f);
}

static void
test_eof_twice (Fixture *f, gconstpointer data)
{
  open_served (f, 0);
  peer_send (&f->agent, FRAME_EOF, FIRST, IN, NULL, 0);
  expect_fine (f);
  peer_send (&f->agent, FRAME_EOF, FIRST, IN, NULL, 0);
  expect_broken (f);
}

/* An agent that has said CLOSE may not go on, nor reuse the number before it has the other's. */
static void
test_after_close (Fixture *f, gconstpointer data)
{
  static const char bulk[FRAME_PAYLOAD_MAX];

  open_served (f, 0);
  for (guint i = 0; i < 4; i++)
    peer_send (&f->agent, FRAME_DATA, FIRST, OUT, bulk, FRAME_PAYLOAD_MAX);
  turn ();
  peer_send (&f->agent, FRAME_CLOSE, FIRST, IN, NULL, 0);
  turn ();
  open_relay (f, 0, 0); /* the server has not read it all */
  turn ();
  g_assert_cmpstr (f->broken->str, ==, "a relay that is open already;");
}

static void
test_no_agent (Fixture *f, gconstpointer data)
{
  vm_relays_set_agent (f->relays, NULL); /* before its hello */
  open_relay (f, 0, 0);
  turn ();
  g_assert_cmpstr (f->broken->str, ==, "a relay out of place;");
}

int
main (int argc, char **argv)
{
#define ADD(name, function) g_test_add ("/vmctl/relays/" name, Fixture, NULL, set_up, function, tear_down)
  g_test_init (&argc, &argv, NULL);
  ADD ("both-ways", test_both_ways);
  ADD ("half-close-inside", test_half_close_inside);
  ADD ("half-close-outside", test_half_close_outside);
  ADD ("close-inside", test_close_inside);
  ADD ("unread", test_unread);
  ADD ("gone", test_gone);
  ADD ("links", test_links);
  ADD ("stalled-server", test_stalled_server);
  ADD ("stalled-client", test_stalled_client);
  ADD ("busy-server", test_busy_server);
  ADD ("loop", test_loop);
  ADD ("cap-and-loss", test_cap_and_loss);
  ADD ("beyond-credit", test_beyond_credit);
  ADD ("after-eof", test_after_eof);
  ADD ("eof-twice", test_eof_twice);
  ADD ("after-close", test_after_close);
  ADD ("no-agent", test_no_agent);
  for (guint i = 0; i < G_N_ELEMENTS (hostile); i++) {
    g_autofree char *name = g_strconcat ("/vmctl/relays/hostile/", hostile[i].name, NULL);

    g_test_add (name, Fixture, GUINT_TO_POINTER (i), set_up, test_hostile, tear_down);
  }
  return g_test_run ();
}
