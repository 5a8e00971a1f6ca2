/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that somebody else chose (paths, guest output, QEMU's words) on their way to a terminal or an option.
 */
#pragma once

#include <glib.h>

/* For a terminal: printable UTF-8 stays, everything else (control bytes, C1, invalid UTF-8, bidi marks)
 * becomes \xNN, \n, \t or \u{NNNN}. A backslash is doubled. At most `max` bytes of input (-1: all); a cut is
 * shown as "...". (transfer full) */
char *vm_escape_terminal (const char *bytes, gssize length, gssize max);

/* As one word that a POSIX shell reads back as the same bytes; plain words stay bare. For display and logs.
 * (transfer full) */
char *vm_escape_shell (const char *word);

/* A value inside a QEMU comma list (`path=VALUE`): each comma doubled. Refuses nothing else, since QEMU takes
 * everything else verbatim. (transfer full) */
char *vm_escape_comma (const char *value);
