/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that hold a session do alike: choose a terminal, run it, and turn its end into an exit
 * status. */
#pragma once

#include <glib.h>

#include "vmctl/client.h"
#include "vmctl/record.h"
#include "vmctl/spec.h"
#include "vmctl/terminal.h"
#include "vmctl/verb.h"

/* YES and NO as told; AUTO: stdin and stdout are terminals. YES without a terminal is an error. */
gboolean vm_attached_wants_tty (VmTtyMode mode, gboolean *ret_tty, GError **error);

typedef struct {
  char **argv;     /* NULL: the user's shell */
  char **env;      /* words of --env; NULL: none */
  const char *cwd; /* inside; a relative one begins at the project; NULL: where the main command started */
  gboolean root, tty;
  gboolean quiet;    /* what the network refuses is not told */
} VmAttachedCommand; /* all borrowed */

/* Runs a command in a running sandbox with our streams, to its end. The exit status, or -1 and error: USAGE
 * for what cannot be passed on as it is, NOT_FOUND if the sandbox ended before anything of the command had
 * happened. */
int vm_attached_exec (VmContext *context, const VmRecord *record, const VmAttachedCommand *command,
                      GError **error);

typedef struct {
  gboolean tty, steal;
  gboolean starting; /* it is ours, being started: its end is waited for, and its warnings are shown */
  gboolean quiet;    /* what the network refuses is not told */
} VmAttachedHow;

/* Holds the main command (or the serial console) of a sandbox to its end, or until detached. */
int vm_attached_main (VmContext *context, const VmRecord *record, const VmAttachedHow *how, GError **error);

/* TRUE if the main command runs and no client holds it. */
gboolean vm_attached_main_is_free (VmContext *context, const VmRecord *record);
