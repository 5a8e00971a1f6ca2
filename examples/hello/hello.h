/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Writes "Hello, NAME!" into `out`, cut to `size` bytes with the NUL. Without a name (NULL or "") it greets
 * the world. Returns the whole length, as snprintf does. */
int hello_greet (char *out, size_t size, const char *name);

/* How many words there are in `text`; spaces, tabs and newlines separate them. */
size_t hello_count_words (const char *text);
