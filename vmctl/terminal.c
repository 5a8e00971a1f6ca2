/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * One main loop: the stream's frames, our stdin, our signals. stdin is read only while the window allows;
 * what arrives for stdout and stderr is credited back once it has really been written, so that whoever does
 * not read stalls the command and nothing else. Signals reach the command: as keys on a terminal, as SIGNAL
 * frames without one. The first thing that ends it decides the result. */
#include "vmctl/terminal.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/tty.h"
#include "vmctl/keys.h"
#include "vmctl/link.h"
#include "vmctl/output.h"

enum { READ_BLOCK = 32768, CHANNEL = FRAME_CHANNEL_MAIN };

typedef struct {
  const VmTerminalOptions *options; /* borrowed */
  VmTerminalResult *result;         /* borrowed */
  VmLink *link;                     /* owned */
  VmOutput *outputs[FRAME_STREAMS]; /* owned; [STDIN] is NULL */
  gsize window;                     /* bytes of stdin that may still be sent */
  guint stdin_tag, signal_tag, key_timer;
  int signal_fd;
  VmKeys keys;
  VmTty tty;
  gboolean done, started, exited, stdin_ended, status_shown;
} Terminal;

static void read_stdin (Terminal *t);

static void
finish (Terminal *t, VmTerminalEnd end)
{
  if (t->done)
    return;
  t->done = TRUE;
  t->result->end = end;
}

static void
clear_status (Terminal *t)
{
  if (t->status_shown)
    (void)!write (STDERR_FILENO, "\r\033[K", 4);
  t->status_shown = FALSE;
}

/* Output */

static FrameStream
stream_of (Terminal *t, VmOutput *output)
{
  return output == t->outputs[FRAME_STDERR] ? FRAME_STDERR : FRAME_STDOUT;
}

static void
finish_if_written (Terminal *t)
{
  if (t->exited && vm_output_pending (t->outputs[FRAME_STDOUT]) == 0 &&
      vm_output_pending (t->outputs[FRAME_STDERR]) == 0)
    finish (t, VM_TERMINAL_EXITED);
}

static void
output_drained (VmOutput *output, gsize bytes, gpointer data)
{
  Terminal *t = data;

  vm_link_send_u32 (t->link, FRAME_CREDIT, CHANNEL, stream_of (t, output), (guint32)bytes);
  finish_if_written (t);
}

/* The command's next write fails as it would in a pipe on the host. */
static void
output_failed (VmOutput *output, int err, gpointer data)
{
  Terminal *t = data;

  vm_link_send (t->link, FRAME_EOF, CHANNEL, stream_of (t, output), NULL, 0);
}

static const VmOutputHandlers output_handlers = {.drained = output_drained, .failed = output_failed};

/* Frames */

static void
got_exit (Terminal *t, const FrameHeader *header, const guint8 *payload)
{
  guint32 value = header->length == 8 ? frame_get_u32 (payload + 4) : 0;

  t->exited = TRUE;
  t->result->status = header->length == 8 ? frame_exit_code (payload[0], value) : 125;
  if (header->length == 8 && (payload[0] == FRAME_EXIT_ERRNO || payload[0] == FRAME_EXIT_CWD)) {
    t->result->exec_errno = (int)value;
    t->result->bad_cwd = payload[0] == FRAME_EXIT_CWD;
  }
  finish_if_written (t);
}

static void
got_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Terminal *t = data;

  if (header->channel != CHANNEL)
    return;
  clear_status (t);
  t->started = TRUE;
  t->result->taken |= header->type == FRAME_STARTED || header->type == FRAME_DATA;
  if (header->type == FRAME_DATA && header->stream != FRAME_STDIN) {
    vm_output_write (t->outputs[header->stream], payload, header->length);
    if (t->options->wrote != NULL)
      t->options->wrote (payload, header->length, t->options->data);
  } else if (header->type == FRAME_CREDIT && header->length == 4) {
    t->window = MIN (t->window + frame_get_u32 (payload), FRAME_WINDOW);
    read_stdin (t);
  } else if (header->type == FRAME_EXIT)
    got_exit (t, header, payload);
  else if (header->type == FRAME_CLOSE)
    finish (t, VM_TERMINAL_DETACHED); /* another terminal has taken over */
}

static void
stream_closed (VmLink *link, const char *why, gpointer data)
{
  Terminal *t = data;

  if (!t->exited)
    finish (t, VM_TERMINAL_LOST);
}

static const VmLinkHandlers link_handlers = {.frame = got_frame, .closed = stream_closed};

/* Input */

static void
detach (Terminal *t)
{
  vm_link_send (t->link, FRAME_CLOSE, CHANNEL, FRAME_STDIN, NULL, 0);
  vm_link_flush (t->link, 1000);
  finish (t, VM_TERMINAL_DETACHED);
}

static gboolean
key_waited (gpointer data)
{
  Terminal *t = data;

  t->key_timer = 0;
  detach (t);
  return G_SOURCE_REMOVE;
}

/* While the guest boots there is nobody to send a signal to: the wish to end is carried out here, by going
 * away. */
static void
give_up (Terminal *t, int number)
{
  t->result->status = 128 + number;
  finish (t, VM_TERMINAL_EXITED);
}

static void
typed (Terminal *t, const guint8 *bytes, gsize length)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  gboolean leave = vm_keys_feed (&t->keys, bytes, length, out);

  if (t->key_timer != 0)
    g_source_remove (t->key_timer);
  t->key_timer = 0;
  if (out->len > 0) {
    vm_link_send (t->link, FRAME_DATA, CHANNEL, FRAME_STDIN, out->data, out->len);
    t->window -= out->len;
  }
  if (leave)
    detach (t);
  else if (t->keys.pending)
    t->key_timer = g_timeout_add (VM_KEYS_WAIT_MS, key_waited, t);
}

static gboolean
stdin_ready (int fd, GIOCondition condition, gpointer data)
{
  Terminal *t = data;
  guint8 block[READ_BLOCK];
  /* The detach key may add one byte to what was read. */
  ssize_t n = read (STDIN_FILENO, block, MIN (sizeof block, t->window - 1));

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  t->result->taken |= n > 0;
  if (n <= 0) {
    t->stdin_tag = 0;
    if (t->tty.active)
      detach (t); /* our terminal was hung up */
    else
      vm_link_send (t->link, FRAME_EOF, CHANNEL, FRAME_STDIN, NULL, 0);
    t->stdin_ended = TRUE;
    return G_SOURCE_REMOVE;
  }
  if (t->tty.active && !t->started && t->options->status != NULL && memchr (block, 3, (gsize)n) != NULL)
    give_up (t, SIGINT); /* Ctrl-C: a raw terminal makes no signal of it */
  else
    typed (t, block, (gsize)n);
  if (t->window > 1 && !t->done)
    return G_SOURCE_CONTINUE;
  t->stdin_tag = 0;
  return G_SOURCE_REMOVE;
}

/* Watches stdin while there is room in the window. */
static void
read_stdin (Terminal *t)
{
  if (t->stdin_tag == 0 && t->window > 1 && !t->stdin_ended && !t->done)
    t->stdin_tag = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, stdin_ready, t);
}

/* Signals */

static void
got_signal (Terminal *t, int number)
{
  guint16 rows, columns;

  if (number == SIGWINCH) {
    if (t->options->tty) {
      vm_tty_size (STDIN_FILENO, &rows, &columns);
      vm_link_send_size (t->link, CHANNEL, rows, columns);
    }
    return;
  }
  if (number == SIGHUP && t->options->may_detach && t->options->tty) {
    detach (t);
    return;
  }
  if (!t->started && number != SIGUSR1 && number != SIGUSR2)
    give_up (t, number);
  else
    vm_link_send_u32 (t->link, FRAME_SIGNAL, CHANNEL, FRAME_STDIN, (guint32)number);
}

static gboolean
signal_ready (int fd, GIOCondition condition, gpointer data)
{
  struct signalfd_siginfo info;

  if (read (fd, &info, sizeof info) == sizeof info)
    got_signal (data, (int)info.ssi_signo);
  return G_SOURCE_CONTINUE;
}

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/* What our caller has made us ignore (nohup, a background job of a script) stays ignored. */
static void
take_signals (sigset_t *ret_set)
{
  struct sigaction old;

  sigemptyset (ret_set);
  for (guint i = 0; i < G_N_ELEMENTS (forwarded); i++)
    if (sigaction (forwarded[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaddset (ret_set, forwarded[i]);
  (void)sigprocmask (SIG_BLOCK, ret_set, NULL);
}

static void
restore_and_die (int number)
{
  vm_tty_restore_all ();
  (void)signal (number, SIG_DFL);
  (void)raise (number);
}

/* What cannot be forwarded but must not leave the terminal raw: our own crash. */
static void
guard_terminal (void)
{
  static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    (void)signal (fatal[i], restore_and_die);
}

static void
show_status (Terminal *t)
{
  if (t->options->status == NULL || !isatty (STDERR_FILENO))
    return;
  (void)!write (STDERR_FILENO, t->options->status, strlen (t->options->status));
  t->status_shown = TRUE;
}

static void
clear_terminal (Terminal *t, const sigset_t *signals)
{
  guint *tags[] = {&t->stdin_tag, &t->signal_tag, &t->key_timer};

  for (guint i = 0; i < G_N_ELEMENTS (tags); i++)
    if (*tags[i] != 0)
      g_source_remove (*tags[i]);
  clear_status (t);
  vm_tty_restore (&t->tty);
  vm_link_free (t->link);
  vm_output_free (t->outputs[FRAME_STDOUT]);
  vm_output_free (t->outputs[FRAME_STDERR]);
  vm_fd_clear (&t->signal_fd);
  (void)sigprocmask (SIG_UNBLOCK, signals, NULL);
}

gboolean
vm_terminal_run (int take_stream, const VmTerminalOptions *options, VmTerminalResult *ret, GError **error)
{
  Terminal t = {.options = options, .result = ret, .window = FRAME_WINDOW};
  sigset_t signals;
  gboolean ok;

  memset (ret, 0, sizeof *ret);
  t.keys.key = options->may_detach && options->tty ? options->detach_key : 0;
  take_signals (&signals);
  t.signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  t.link = vm_link_new (take_stream, FALSE, &link_handlers, &t);
  t.outputs[FRAME_STDOUT] = vm_output_new (STDOUT_FILENO, &output_handlers, &t);
  t.outputs[FRAME_STDERR] = vm_output_new (STDERR_FILENO, &output_handlers, &t);
  guard_terminal ();
  ok = !options->tty || vm_tty_raw (&t.tty, STDIN_FILENO, error);
  if (ok) {
    t.signal_tag = g_unix_fd_add (t.signal_fd, G_IO_IN, signal_ready, &t);
    show_status (&t);
    read_stdin (&t);
    while (!t.done)
      g_main_context_iteration (NULL, TRUE);
  }
  clear_terminal (&t, &signals);
  return ok;
}
