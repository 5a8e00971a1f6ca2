/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* On a pseudo terminal of our own. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/tty.h"

typedef struct {
  int master, slave;
} Pty;

static void
set_up (Pty *p, gconstpointer data)
{
  p->master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_assert_cmpint (p->master, >=, 0);
  g_assert_cmpint (grantpt (p->master), ==, 0);
  g_assert_cmpint (unlockpt (p->master), ==, 0);
  p->slave = open (ptsname (p->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_assert_cmpint (p->slave, >=, 0);
}

static void
tear_down (Pty *p, gconstpointer data)
{
  close (p->master);
  close (p->slave);
}

static gboolean
is_raw (Pty *p)
{
  struct termios now;

  g_assert_cmpint (tcgetattr (p->slave, &now), ==, 0);
  return (now.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

/* What the terminal was sent. */
static char *
sent (Pty *p)
{
  char *text = g_malloc0 (4097);

  vm_fd_set_nonblocking (p->master, TRUE, NULL);
  if (read (p->master, text, 4096) < 0)
    *text = '\0';
  return text;
}

static void
test_raw (Pty *p, gconstpointer data)
{
  struct termios before, after;
  g_autofree char *text = NULL, *again = NULL;
  VmTty tty;

  tcgetattr (p->slave, &before);
  g_assert_true (vm_tty_raw (&tty, p->slave, NULL));
  g_assert_true (tty.active);
  g_assert_true (is_raw (p));
  errno = EBUSY;
  vm_tty_restore (&tty);
  g_assert_cmpint (errno, ==, EBUSY);
  tcgetattr (p->slave, &after);
  g_assert_cmpmem (&before, sizeof before, &after, sizeof after);
  text = sent (p);
  g_assert_nonnull (strstr (text, "\033[?25h"));
  /* The cursor is saved before the alternate screen is left, which restores it. */
  g_assert_true (strstr (text, "\0337") != NULL && strstr (text, "\0337") < strstr (text, "\033[?1049l"));
  vm_tty_restore (&tty);
  again = sent (p);
  g_assert_cmpstr (again, ==, "");
}

static void
test_restore_all (Pty *p, gconstpointer data)
{
  VmTty tty;

  vm_tty_restore_all ();
  g_assert_true (vm_tty_raw (&tty, p->slave, NULL));
  vm_tty_restore_all ();
  g_assert_false (is_raw (p));
  g_assert_false (tty.active);
  vm_tty_restore (&tty);
}

static void
test_no_terminal (void)
{
  vm_autofd fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  guint16 rows = 0, columns = 0;
  VmTty tty;

  g_assert_true (vm_tty_raw (&tty, fd, NULL));
  g_assert_false (tty.active);
  vm_tty_restore (&tty);
  vm_tty_size (fd, &rows, &columns);
  g_assert_cmpuint (rows, ==, 24);
  g_assert_cmpuint (columns, ==, 80);
  g_assert_false (vm_tty_wants_colour (fd));
}

static void
test_size (Pty *p, gconstpointer data)
{
  struct winsize size = {.ws_row = 50, .ws_col = 132};
  guint16 rows, columns;

  vm_tty_size (p->slave, &rows, &columns); /* a new one has no size */
  g_assert_cmpuint (rows, ==, 24);
  ioctl (p->master, TIOCSWINSZ, &size);
  vm_tty_size (p->slave, &rows, &columns);
  g_assert_cmpuint (rows, ==, 50);
  g_assert_cmpuint (columns, ==, 132);
}

static void
test_colour (Pty *p, gconstpointer data)
{
  g_unsetenv ("NO_COLOR");
  g_setenv ("TERM", "xterm", TRUE);
  g_assert_true (vm_tty_wants_colour (p->slave));
  g_setenv ("NO_COLOR", "", TRUE);
  g_assert_true (vm_tty_wants_colour (p->slave));
  g_setenv ("NO_COLOR", "1", TRUE);
  g_assert_false (vm_tty_wants_colour (p->slave));
  g_unsetenv ("NO_COLOR");
  g_setenv ("TERM", "dumb", TRUE);
  g_assert_false (vm_tty_wants_colour (p->slave));
  g_unsetenv ("TERM");
  g_assert_false (vm_tty_wants_colour (p->slave));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/base/tty/" name, Pty, NULL, set_up, func, tear_down)
  ADD ("raw", test_raw);
  ADD ("restore-all", test_restore_all);
  g_test_add_func ("/base/tty/no-terminal", test_no_terminal);
  ADD ("size", test_size);
  ADD ("colour", test_colour);
  return g_test_run ();
}
