/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What somebody who mistyped a word may have meant. */
#pragma once

#include <glib.h>

/* The word of a NULL-terminated list that is nearest, if it is at most two letters off; else NULL. (borrowed
 * from the list) */
const char *vm_guess (const char *word, const char *const *list);
