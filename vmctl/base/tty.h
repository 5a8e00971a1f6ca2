/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's terminal: raw mode that is always undone, its size, and whether colour is wanted. */
#pragma once

#include <glib.h>
#include <termios.h>

typedef struct {
  int fd; /* borrowed */
  gboolean active;
  struct termios saved;
} VmTty;

/* Puts a terminal into raw mode. Not a terminal: `active` stays FALSE and that is success. The saved state is
 * also restored by vm_tty_restore_all(), which is async-signal-safe, so a fatal signal handler may call it.
 */
gboolean vm_tty_raw (VmTty *tty, int fd, GError **error);

/* Restores the settings, and undoes modes that a program inside may have left (alternate screen, mouse,
 * bracketed paste, hidden cursor). Once is enough, twice is harmless. */
void vm_tty_restore (VmTty *tty);
void vm_tty_restore_all (void);

/* Rows and columns, 24 x 80 where the terminal does not say. */
void vm_tty_size (int fd, guint16 *ret_rows, guint16 *ret_columns);

/* TRUE if `fd` is a terminal, NO_COLOR is unset or empty, and TERM is not "dumb". */
gboolean vm_tty_wants_colour (int fd);
