/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A child is the client; its standard streams, its terminal and its connection end here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "frame-peer.h"
#include "vmctl/base/fd.h"
#include "vmctl/terminal.h"

enum { MAIN = FRAME_CHANNEL_MAIN, PATIENCE_MS = 60000 };
#define IN FRAME_STDIN
#define OUT FRAME_STDOUT
#define ERR FRAME_STDERR

typedef struct {
  Peer peer;
  int in, out, err; /* our ends; with a terminal in == out == its master, err is -1 */
  int result;
  pid_t pid;
} Fixture;

static void
client (int stream, const VmTerminalOptions *options, int result_fd)
{
  VmTerminalResult result;

  if (!vm_terminal_run (stream, options, &result, NULL) ||
      write (result_fd, &result, sizeof result) != sizeof result)
    _exit (1);
  _exit (0);
}

static void
start (Fixture *f, int in, int out, int err, const VmTerminalOptions *options)
{
  int stream = peer_connect (&f->peer), result[2];

  g_assert_cmpint (pipe2 (result, O_CLOEXEC), ==, 0);
  f->result = result[0];
  f->pid = fork ();
  if (f->pid == 0) {
    (void)signal (SIGPIPE, SIG_IGN);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    dup2 (in, 0);
    dup2 (out, 1);
    dup2 (err, 2);
    (void)vm_fd_clear (&f->peer.fd);
    vm_fd_clear (&f->in);
    vm_fd_clear (&f->out);
    vm_fd_clear (&f->err);
    close (in);
    close (out);
    close (err);
    client (stream, options, result[1]);
  }
  close (result[1]);
  close (stream);
}

static void
start_pipes (Fixture *f)
{
  VmTerminalOptions options = {0};
  int in[2], out[2], err[2];

  g_assert_cmpint (pipe2 (in, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (out, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (err, O_CLOEXEC), ==, 0);
  f->in = in[1];
  f->out = out[0];
  f->err = err[0];
  start (f, in[0], out[1], err[1], &options);
  close (in[0]);
  close (out[1]);
  close (err[1]);
}

static void
start_tty (Fixture *f)
{
  VmTerminalOptions options = {.tty = TRUE, .may_detach = TRUE, .detach_key = 0x1d};
  int slave, copies[2];

  f->in = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_assert_cmpint (grantpt (f->in), ==, 0);
  g_assert_cmpint (unlockpt (f->in), ==, 0);
  slave = open (ptsname (f->in), O_RDWR | O_NOCTTY | O_CLOEXEC);
  copies[0] = fcntl (slave, F_DUPFD_CLOEXEC, 3);
  copies[1] = fcntl (slave, F_DUPFD_CLOEXEC, 3);
  f->out = f->err = -1;
  start (f, slave, copies[0], copies[1], &options);
  close (copies[0]);
  close (copies[1]);
  close (slave);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  if (f->pid > 0) {
    kill (f->pid, SIGKILL);
    waitpid (f->pid, NULL, 0);
  }
  peer_clear (&f->peer);
  vm_fd_clear (&f->in);
  vm_fd_clear (&f->out);
  vm_fd_clear (&f->err);
  vm_fd_clear (&f->result);
}

/* The client has ended like this. */
static VmTerminalResult
assert_end (Fixture *f, VmTerminalEnd end)
{
  struct pollfd p = {.fd = f->result, .events = POLLIN};
  VmTerminalResult result = {0};

  g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
  g_assert_cmpint (read (f->result, &result, sizeof result), ==, sizeof result);
  g_assert_cmpint (result.end, ==, end);
  waitpid (f->pid, NULL, 0);
  f->pid = 0;
  return result;
}

static void
assert_reads (int fd, const char *expected)
{
  char text[256];
  gsize n = strlen (expected), got = 0;

  while (got < n) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t r;

    g_assert_cmpint (poll (&p, 1, PATIENCE_MS), ==, 1);
    r = read (fd, text + got, n - got);
    g_assert_cmpint (r, >, 0);
    got += (gsize)r;
  }
  g_assert_cmpmem (text, n, expected, n);
}

static void
send_much (Fixture *f, FrameStream stream)
{
  g_autofree char *block = g_malloc0 (FRAME_PAYLOAD_MAX);

  for (int i = 0; i < FRAME_WINDOW / FRAME_PAYLOAD_MAX; i++)
    peer_send (&f->peer, FRAME_DATA, MAIN, stream, block, FRAME_PAYLOAD_MAX);
}

static void
test_streams (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "out", 3);
  peer_send (&f->peer, FRAME_DATA, MAIN, ERR, "err", 3);
  assert_reads (f->out, "out");
  assert_reads (f->err, "err");
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, OUT, 3);
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, ERR, 3);
  g_assert_cmpint (write (f->in, "in", 2), ==, 2);
  peer_expect_text (&f->peer, FRAME_DATA, MAIN, IN, "in");
  vm_fd_clear (&f->in);
  peer_expect (&f->peer, FRAME_EOF, MAIN, IN);
  peer_exit (&f->peer, MAIN, FRAME_EXIT_STATUS, 42);
  g_assert_cmpint (assert_end (f, VM_TERMINAL_EXITED).status, ==, 42);
}

static void
test_statuses (void)
{
  static const struct {
    guint8 kind;
    guint32 value;
    int status, err;
    gboolean bad_cwd;
  } cases[] = {{FRAME_EXIT_STATUS, 0, 0, 0},
               {FRAME_EXIT_SIGNAL, 9, 137, 0},
               {FRAME_EXIT_ERRNO, ENOENT, 127, ENOENT},
               {FRAME_EXIT_ERRNO, EACCES, 126, EACCES},
               {FRAME_EXIT_CWD, ENOENT, 126, ENOENT, TRUE}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    Fixture f = {0};
    VmTerminalResult result;

    start_pipes (&f);
    peer_exit (&f.peer, MAIN, cases[i].kind, cases[i].value);
    result = assert_end (&f, VM_TERMINAL_EXITED);
    g_assert_cmpint (result.status, ==, cases[i].status);
    g_assert_cmpint (result.exec_errno, ==, cases[i].err);
    g_assert_cmpint (result.bad_cwd, ==, cases[i].bad_cwd);
    tear_down (&f, NULL);
  }
}

/* Output that was sent before the end is written before the end, however slowly it is read. */
static void
test_exit_waits_for_output (Fixture *f, gconstpointer data)
{
  gsize got = 0;
  char block[65536];

  start_pipes (f);
  send_much (f, OUT);
  peer_exit (&f->peer, MAIN, FRAME_EXIT_STATUS, 0);
  peer_close (&f->peer); /* the supervisor may be gone by then */
  while (got < FRAME_WINDOW) {
    ssize_t n = read (f->out, block, sizeof block);

    g_assert_cmpint (n, >, 0);
    got += (gsize)n;
  }
  (void)assert_end (f, VM_TERMINAL_EXITED);
}

/* `vmctl exec S -- seq 1000000 | head -1`: the reader has gone, before or behind the command's end. */
static void
test_reader_gone (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  vm_fd_clear (&f->out);
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "x", 1);
  peer_expect (&f->peer, FRAME_EOF, MAIN, OUT); /* the command's next write fails, too */
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, OUT, 1);
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "yy", 2);
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, OUT, 2);
  peer_exit (&f->peer, MAIN, FRAME_EXIT_SIGNAL, SIGPIPE);
  g_assert_cmpint (assert_end (f, VM_TERMINAL_EXITED).status, ==, 128 + SIGPIPE);
}

static void
test_reader_gone_late (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  send_much (f, OUT);
  peer_expect (&f->peer, FRAME_CREDIT, MAIN, OUT); /* the pipe is full, the rest waits */
  peer_exit (&f->peer, MAIN, FRAME_EXIT_STATUS, 0);
  peer_send (&f->peer, FRAME_DATA, MAIN, ERR, "behind", 6);
  assert_reads (f->err, "behind"); /* so the exit has been read */
  vm_fd_clear (&f->out);
  (void)assert_end (f, VM_TERMINAL_EXITED);
}

/* A stalled stdout does not hold up stderr. */
static void
test_stalled (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  send_much (f, OUT);
  peer_send (&f->peer, FRAME_DATA, MAIN, ERR, "still", 5);
  assert_reads (f->err, "still");
}

/* stdin is read as far as the window goes, and no further. */
static void
test_window (Fixture *f, gconstpointer data)
{
  g_autofree char *block = g_malloc0 (65536);
  gsize got = 0, put = 0;

  start_pipes (f);
  g_assert_true (vm_fd_set_nonblocking (f->in, TRUE, NULL));
  while (got < FRAME_WINDOW - 1) {
    ssize_t n = write (f->in, block, 65536);

    put += n > 0 ? (gsize)n : 0;
    peer_expect (&f->peer, FRAME_DATA, MAIN, IN);
    got += f->peer.payload->len;
  }
  g_assert_cmpuint (got, <=, FRAME_WINDOW);
  put += (gsize)MAX (0, write (f->in, block, 1000));
  peer_send (&f->peer, FRAME_DATA, MAIN, ERR, "x", 1); /* a round trip: it has had its chance */
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, ERR, 1);
  peer_send_u32 (&f->peer, FRAME_CREDIT, MAIN, IN, (guint32)got);
  while (got < put) {
    peer_expect (&f->peer, FRAME_DATA, MAIN, IN);
    got += f->peer.payload->len;
  }
}

static void
test_lost (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "x", 1);
  peer_expect (&f->peer, FRAME_CREDIT, MAIN, OUT);
  peer_close (&f->peer);
  (void)assert_end (f, VM_TERMINAL_LOST);
}

static void
test_stolen (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  peer_send (&f->peer, FRAME_CLOSE, MAIN, IN, NULL, 0);
  peer_close (&f->peer);
  (void)assert_end (f, VM_TERMINAL_DETACHED);
}

static void
test_signal (Fixture *f, gconstpointer data)
{
  start_pipes (f);
  peer_send_u32 (&f->peer, FRAME_STARTED, MAIN, IN, 1);
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "x", 1);
  peer_expect (&f->peer, FRAME_CREDIT, MAIN, OUT);
  kill (f->pid, SIGTERM);
  peer_expect_u32 (&f->peer, FRAME_SIGNAL, MAIN, IN, SIGTERM);
}

/* A terminal */

static gboolean
is_raw (Fixture *f)
{
  struct termios now;

  g_assert_cmpint (tcgetattr (f->in, &now), ==, 0);
  return (now.c_lflag & ICANON) == 0;
}

/* After the first output of the command the terminal is raw and watched. */
static void
wait_until_ready (Fixture *f)
{
  peer_send (&f->peer, FRAME_DATA, MAIN, OUT, "$ ", 2);
  assert_reads (f->in, "$ ");
  peer_expect_u32 (&f->peer, FRAME_CREDIT, MAIN, OUT, 2);
  g_assert_true (is_raw (f));
}

static void
test_tty (Fixture *f, gconstpointer data)
{
  struct winsize size = {.ws_row = 50, .ws_col = 132};

  start_tty (f);
  wait_until_ready (f);
  g_assert_cmpint (write (f->in, "\003ls\r", 4), ==, 4); /* as it is typed */
  peer_expect_text (&f->peer, FRAME_DATA, MAIN, IN, "\003ls\r");
  g_assert_cmpint (ioctl (f->in, TIOCSWINSZ, &size), ==, 0);
  kill (f->pid, SIGWINCH);
  peer_expect (&f->peer, FRAME_RESIZE, MAIN, IN);
  g_assert_cmpuint (frame_get_u16 (f->peer.payload->data), ==, 50);
  g_assert_cmpuint (frame_get_u16 (f->peer.payload->data + 2), ==, 132);
  peer_exit (&f->peer, MAIN, FRAME_EXIT_STATUS, 0);
  (void)assert_end (f, VM_TERMINAL_EXITED);
  g_assert_false (is_raw (f));
}

static void
test_detach_key (Fixture *f, gconstpointer data)
{
  start_tty (f);
  wait_until_ready (f);
  g_assert_cmpint (write (f->in, "a\035\035b\035d", 6), ==, 6);
  peer_expect_text (&f->peer, FRAME_DATA, MAIN, IN, "a\035b");
  peer_expect (&f->peer, FRAME_CLOSE, MAIN, IN);
  (void)assert_end (f, VM_TERMINAL_DETACHED);
  g_assert_false (is_raw (f));
}

/* The key alone, with nothing behind it. */
static void
test_detach_key_alone (Fixture *f, gconstpointer data)
{
  start_tty (f);
  wait_until_ready (f);
  g_assert_cmpint (write (f->in, "\035", 1), ==, 1);
  peer_expect (&f->peer, FRAME_CLOSE, MAIN, IN);
  (void)assert_end (f, VM_TERMINAL_DETACHED);
}

static void
test_hangup (Fixture *f, gconstpointer data)
{
  start_tty (f);
  wait_until_ready (f);
  vm_fd_clear (&f->in);
  peer_expect (&f->peer, FRAME_CLOSE, MAIN, IN);
  (void)assert_end (f, VM_TERMINAL_DETACHED);
}

/* Our own crash leaves no raw terminal behind. */
static void
test_crash (Fixture *f, gconstpointer data)
{
  start_tty (f);
  wait_until_ready (f);
  kill (f->pid, SIGSEGV);
  waitpid (f->pid, NULL, 0);
  f->pid = 0;
  g_assert_false (is_raw (f));
}

int
main (int argc, char **argv)
{
  (void)signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmctl/terminal/" name, Fixture, NULL, NULL, func, tear_down)
  ADD ("streams", test_streams);
  g_test_add_func ("/vmctl/terminal/statuses", test_statuses);
  ADD ("exit-waits-for-output", test_exit_waits_for_output);
  ADD ("reader-gone", test_reader_gone);
  ADD ("reader-gone-late", test_reader_gone_late);
  ADD ("stalled", test_stalled);
  ADD ("window", test_window);
  ADD ("lost", test_lost);
  ADD ("stolen", test_stolen);
  ADD ("signal", test_signal);
  ADD ("tty", test_tty);
  ADD ("detach-key", test_detach_key);
  ADD ("detach-key-alone", test_detach_key_alone);
  ADD ("hangup", test_hangup);
  ADD ("crash", test_crash);
  return g_test_run ();
}
