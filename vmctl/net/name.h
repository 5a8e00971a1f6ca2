/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host names: one canonical form, and patterns on label boundaries. Pure, libc only; vmctl uses it too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
  NET_NAME_MAX = 253,                   /* RFC 1035, without the last dot */
  NET_NAME_SIZE = NET_NAME_MAX + 1,     /* with the NUL */
  NET_PATTERN_SIZE = NET_NAME_SIZE + 2, /* with "*." */
};

/* `length` bytes of `text` as a canonical name: lower case ASCII letters, digits, '-' and '_', labels of 1 to
 * 63 bytes, one last dot taken off. False, and *out is "": anything else, such as NUL bytes, blanks, '%',
 * non-ASCII
 * ("xn--" is how such names are written), an empty label, and what a resolver would take for an address: a
 * last label that is a number in any notation. */
bool net_name_canonical (const char *text, size_t length, char out[NET_NAME_SIZE]);

/* The same for a pattern: a name, or "*." and a name. */
bool net_name_pattern (const char *text, size_t length, char out[NET_PATTERN_SIZE]);

/* Both canonical. "*.a.b" matches every name below a.b, at any depth, and not a.b. */
bool net_name_matches (const char *pattern, const char *name);
