/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/tty.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmctl/base/error.h"

/* A fatal signal must find the terminal without arguments. Only one terminal is ever raw in a process. */
static VmTty *volatile raw_tty;

/* Leave the alternate screen, mouse and focus reporting, bracketed paste, application keys; show the cursor,
 * plain colours. Leaving the alternate screen restores the cursor also where there is none to leave, so the
 * cursor is saved first (each screen has its own): it must not jump. */
static const char reset_modes[] =
    "\0337\033[?1049l\033[?1000l\033[?1002l\033[?1003l\033[?1004l\033[?1006l\033[?2004l\033[?1l\033>"
    "\033[?25h\033[0m";

gboolean
vm_tty_raw (VmTty *tty, int fd, GError **error)
{
  struct termios raw;

  memset (tty, 0, sizeof *tty);
  tty->fd = fd;
  if (!isatty (fd))
    return TRUE;
  if (tcgetattr (fd, &tty->saved) < 0)
    return vm_error_errno (error, errno, "cannot read the terminal's settings");
  raw = tty->saved;
  cfmakeraw (&raw);
  /* First the way back: a signal between these lines finds it. */
  tty->active = TRUE;
  raw_tty = tty;
  if (tcsetattr (fd, TCSADRAIN, &raw) == 0)
    return TRUE;
  tty->active = FALSE;
  raw_tty = NULL;
  return vm_error_errno (error, errno, "cannot make the terminal raw");
}

void
vm_tty_restore (VmTty *tty)
{
  int saved = errno;

  if (tty->active) {
    tty->active = FALSE;
    raw_tty = NULL;
    /* The reset string goes out by the old output settings' device even if nobody reads: a failure changes
     * nothing. */
    if (write (tty->fd, reset_modes, sizeof reset_modes - 1) < 0)
      errno = 0;
    (void)tcsetattr (tty->fd, TCSANOW, &tty->saved);
  }
  errno = saved;
}

void
vm_tty_restore_all (void)
{
  VmTty *tty = raw_tty;

  if (tty != NULL)
    vm_tty_restore (tty);
}

void
vm_tty_size (int fd, guint16 *ret_rows, guint16 *ret_columns)
{
  struct winsize size = {0};

  if (ioctl (fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0) {
    size.ws_row = 24;
    size.ws_col = 80;
  }
  *ret_rows = size.ws_row;
  *ret_columns = size.ws_col;
}

gboolean
vm_tty_wants_colour (int fd)
{
  const char *no_colour = g_getenv ("NO_COLOR"), *term = g_getenv ("TERM");

  if (no_colour != NULL && *no_colour != '\0')
    return FALSE;
  return isatty (fd) && term != NULL && strcmp (term, "dumb") != 0;
}
