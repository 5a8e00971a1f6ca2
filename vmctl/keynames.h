/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys as QMP names them (QKeyCode), on a US keyboard, and the symbols that X has for them. Pure. */
#pragma once

#include <glib.h>

typedef struct {
  const char *qcode; /* static; NULL ends a list */
  gboolean down;
} VmKeyStroke;

/* The X keysym of a key by its QKeyCode; 0: not known here. */
guint32 vm_key_symbol (const char *qcode);

/* What is pressed and let go, in order, to type one character: ASCII 32 to 126, newline and tab. (transfer
 * full) NULL: no key of a US keyboard has it. */
VmKeyStroke *vm_keys_for_char (gunichar character);
/* The same for "ctrl-l", "alt-F4", "ctrl-shift-t", "Return", "a": keys with '-' between them, all held until
 * the last is down. A key is a QKeyCode, one of the usual names for one, or a character. (transfer full) NULL
 * and USAGE with the word that is no key. */
VmKeyStroke *vm_keys_for_combination (const char *text, GError **error);
