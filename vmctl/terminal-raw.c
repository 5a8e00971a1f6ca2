/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial console: bytes both ways, no frames, no exit status. */
#include "vmctl/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/tty.h"
#include "vmctl/keys.h"

enum { BLOCK = 16384 };

/* FALSE: done, *end says how. */
static gboolean
from_console (int stream, VmTerminalEnd *end)
{
  guint8 block[BLOCK];
  ssize_t n = read (stream, block, sizeof block);

  if (n < 0 && errno == EINTR)
    return TRUE;
  if (n <= 0) {
    *end = VM_TERMINAL_LOST;
    return FALSE;
  }
  if (vm_fd_write_all (STDOUT_FILENO, block, (gsize)n, NULL))
    return TRUE;
  *end = VM_TERMINAL_DETACHED; /* nobody reads us any more */
  return FALSE;
}

static gboolean
from_keys (int stream, VmKeys *keys, gboolean *stdin_open, VmTerminalEnd *end)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint8 block[BLOCK];
  ssize_t n = read (STDIN_FILENO, block, sizeof block);
  gboolean leave;

  if (n < 0 && errno == EINTR)
    return TRUE;
  if (n <= 0) {
    *stdin_open = FALSE; /* what was piped in has been typed; the console is shown until it ends */
    return TRUE;
  }
  leave = vm_keys_feed (keys, block, (gsize)n, out);
  if (!vm_fd_write_all (stream, out->data, out->len, NULL))
    return TRUE; /* shows as the stream's end */
  if (leave)
    *end = VM_TERMINAL_DETACHED;
  return !leave;
}

static VmTerminalEnd
copy_both_ways (int stream, int signal_fd, VmKeys *keys)
{
  VmTerminalEnd end = VM_TERMINAL_LOST;
  gboolean stdin_open = TRUE;

  for (;;) {
    struct pollfd fds[] = {{.fd = stream, .events = POLLIN},
                           {.fd = stdin_open ? STDIN_FILENO : -1, .events = POLLIN},
                           {.fd = signal_fd, .events = POLLIN}};
    int r = poll (fds, G_N_ELEMENTS (fds), keys->pending ? VM_KEYS_WAIT_MS : -1);

    if (r < 0 && errno != EINTR)
      return VM_TERMINAL_LOST;
    if (r == 0 || fds[2].revents != 0)
      return VM_TERMINAL_DETACHED;
    if (fds[0].revents != 0 && !from_console (stream, &end))
      return end;
    if (fds[1].revents != 0 && !from_keys (stream, keys, &stdin_open, &end))
      return end;
  }
}

gboolean
vm_terminal_run_raw (int take_stream, char detach_key, VmTerminalEnd *ret_end, GError **error)
{
  vm_autofd stream = take_stream, signal_fd = -1;
  VmKeys keys = {.key = isatty (STDIN_FILENO) ? detach_key : 0};
  VmTty tty;
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGHUP);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  (void)sigprocmask (SIG_BLOCK, &signals, NULL);
  signal_fd = signalfd (-1, &signals, SFD_CLOEXEC);
  if (signal_fd < 0)
    return vm_error_errno (error, errno, "cannot watch signals");
  if (!vm_tty_raw (&tty, STDIN_FILENO, error))
    return FALSE;
  *ret_end = copy_both_ways (stream, signal_fd, &keys);
  vm_tty_restore (&tty);
  (void)sigprocmask (SIG_UNBLOCK, &signals, NULL);
  return TRUE;
}
