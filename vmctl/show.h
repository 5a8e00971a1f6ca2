/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that several verbs show alike. Strings that come back are (transfer full), and may hold foreign
 * bytes: they are escaped where they are printed. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/record.h"

/* "7s", "3m", "2h5m", "4d1h". */
char *vm_show_duration (gint64 microseconds);
/* What really holds: "vm (kvm)", "vm (tcg: no security boundary)", "none (for tests only)". */
char *vm_show_isolation (const VmRecord *record);
/* What the user must know about it in a sentence; NULL: nothing. (static) */
const char *vm_show_isolation_note (const VmRecord *record);
/* "running", "starting (boot)", and of an ended one "exited (3)" or the reason's name. */
char *vm_show_state (const VmRecord *record);
/* The command as a shell would take it, at most `max` bytes (0: all); "(login shell)". */
char *vm_show_command (char **command, gsize max);
/* Since when, or how long ago it ended: "3m", "3m ago". */
char *vm_show_age (const VmRecord *record);

/* For reading only: escaped for a terminal, but a backslash is not doubled. At most `max` bytes (-1: all). */
char *vm_show_safe (const char *text, gssize max);
/* The same for a text of several lines: its newlines stay. */
char *vm_show_safe_lines (const char *text);

/* Prints an object to stdout, indented, and drops it. */
void vm_show_json (json_object *take_object);
/* "vmctl: warning: ..." on stderr for each. */
void vm_show_problems (GPtrArray *problems);
