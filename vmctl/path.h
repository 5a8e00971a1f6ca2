/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Absolute paths as text: nothing here looks at a disk. */
#pragma once

#include <glib.h>

/* `path` is `dir` or lies below it. Both absolute, without a trailing slash. */
gboolean vm_path_is_within (const char *path, const char *dir);

/* The way from one directory to another: "../libexec/vmctl". Both absolute and plain. (transfer full) */
char *vm_path_relative (const char *from, const char *to);

/* The basename of a path with each byte outside [A-Za-z0-9._-] replaced by '-', beginning with a letter or a
 * digit, 1 to 48 bytes: a name for a sandbox or a folder. (transfer full) */
char *vm_path_to_name (const char *path);
