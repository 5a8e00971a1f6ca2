/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client's side of a session: this process's stdin, stdout, stderr and terminal on one end, a command
 * inside on the other. */
#pragma once

#include <glib.h>

#include "vmctl/client.h"

typedef struct {
  gboolean tty;    /* the command has a terminal: ours goes raw, keys go through as they are */
  char detach_key; /* with may_detach; e.g. 0x1d for Ctrl-] */
  gboolean may_detach;
  /* Called with what the command has written to its output; NULL: nobody wants to know. */
  void (*wrote) (const guint8 *bytes, gsize length, gpointer data);
  gpointer data;
  const char *status; /* shown on a terminal until the first sign of life (borrowed); NULL: nothing */
} VmTerminalOptions;

typedef enum {
  VM_TERMINAL_EXITED,   /* `status` is the command's, as the shell counts */
  VM_TERMINAL_DETACHED, /* by the key, or by a hang-up of the terminal */
  VM_TERMINAL_LOST,     /* the stream ended without an exit status */
} VmTerminalEnd;

typedef struct {
  VmTerminalEnd end;
  int status;
  int exec_errno;   /* the command could not be started: why; else 0 */
  gboolean taken;   /* it has begun, or has some of our input */
  gboolean bad_cwd; /* it was the directory that it was to start in */
} VmTerminalResult;

/* Takes `stream`. Runs the main context until the session ends for this client. The terminal is always put
 * back. */
gboolean
vm_terminal_run (int take_stream, const VmTerminalOptions *options, VmTerminalResult *ret, GError **error);

/* A raw byte pipe between this terminal and `stream` (the serial console), until the detach key or its end.
 */
gboolean vm_terminal_run_raw (int take_stream, char detach_key, VmTerminalEnd *ret_end, GError **error);
