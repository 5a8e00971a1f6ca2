/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completion scripts for shells, generated from the table of verbs. Words that only the moment knows (the
 * names of sandboxes, profiles) a script gets from the hidden verb `vmctl complete KIND`. */
#pragma once

#include <glib.h>

#include "vmctl/verb.h"

/* (transfer full) */
char *vm_completion_bash (void);
char *vm_completion_zsh (void);
char *vm_completion_fish (void);

/* What a verb's positional argument is: "sandbox" of "sandbox...". `repeats`: every one, not only the first.
 * NULL: nothing is known of it. (transfer full) */
char *vm_completion_kind (const VmVerb *verb, gboolean *repeats);
/* Kinds that a shell knows by itself. */
gboolean vm_completion_is_path (const char *kind);
/* `text` for a place between single quotes of a POSIX shell or zsh: ' becomes '\''. (transfer full) */
char *vm_completion_quote (const char *text);
