/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A command that the supervisor runs inside for itself, such as a question to the X server there. It is a
 * session like any other, whose client is in this process; what it says is foreign, and bounded. */
#pragma once

#include <glib.h>

#include "vmctl/session.h"

/* Once. `output` (borrowed) is its stdout; NULL, and an error, if it could not be started, ended with
 * anything but 0 (then its stderr is the text, escaped), said more than it may, or took too long. */
typedef void (*VmInnerDone) (GBytes *output, const GError *error, gpointer data);

/* At most `max` bytes of output are taken, in at most `timeout_ms`. FALSE: `done` is not called. */
gboolean vm_inner_run (VmSessions *sessions, const char *const *argv, gsize max, guint timeout_ms,
                       VmInnerDone done, gpointer data, GError **error);
