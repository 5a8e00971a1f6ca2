/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completion scripts for shells, generated from the table of verbs. Words that only the moment knows (the
 * names of sandboxes, profiles) a script gets from the hidden verb `vmctl complete KIND [ARGUMENTS]`, which
 * is told the arguments that are there already.
 *
 * What a kind's name ends in has a meaning:
 *
 *   plug-  the argument before it is added: "plug-dir", "plug-usb"
 *   plug=  words KEY=VALUE; the kind of VALUE is "plug-KEY"
 *
 * "dir", "plug-dir" and "file", "plug-disk" are paths, which every shell knows by itself. */
#pragma once

#include <glib.h>

#include "vmctl/verb.h"

/* (transfer full) */
char *vm_completion_bash (void);
char *vm_completion_zsh (void);
char *vm_completion_fish (void);

/* What a verb's positional arguments are: {"sandbox", "device"} of "sandbox device...". `repeats`: the last
 * of them is that of all that follow. Empty: nothing is known of them. (transfer full) */
char **vm_completion_kinds (const VmVerb *verb, gboolean *repeats);
/* `text` for a place between single quotes of a POSIX shell or zsh: ' becomes '\''. (transfer full) */
char *vm_completion_quote (const char *text);
