/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of vmctl's own: made 0600 in 0700 directories, replaced as a whole, read with a bound, removed
 * without following links. */
#pragma once

#include <glib.h>

/* mkdir -p with mode 0700 for what is made. An existing last component must be a directory (no symbolic
 * link), owned by this uid and writable by nobody else; otherwise the error names it and the mend. */
gboolean vm_file_make_private_dir (const char *path, GError **error);

/* A descriptor (O_PATH-free, for *at calls) of such a directory; -1 on error. */
int vm_file_open_private_dir (const char *path, GError **error);

/* Replaces `name` below `dir_fd` by these bytes: temporary file, fsync if `durable`, rename. Old or new,
 * never half. */
gboolean vm_file_replace (int dir_fd, const char *name, const void *data, gsize length, guint mode,
                          gboolean durable, GError **error);
/* Writes to the disk what was replaced without `durable`: for when nobody waits any more. Until then a power
 * cut may lose it. */
void vm_file_sync (int dir_fd, const char *name);

/* Reads a regular file of at most `max` bytes without following a link at `name`. (transfer full), NUL after
 * the data. A FIFO, directory, or larger file is an error. */
char *vm_file_read (int dir_fd, const char *name, gsize max, gsize *ret_length, GError **error);

/* Removes `name` below `dir_fd` with everything in it, however deep and whatever its modes are. Never follows
 * a symbolic link, never enters another mount (BUSY). Absent is success. */
gboolean vm_file_remove_tree (int dir_fd, const char *name, GError **error);

/* "64M", "2G", "512", "1.5GiB", "16g" -> bytes; units K M G T (powers of 1024), plain number = bytes * `unit`
 * (1 for bytes, 1 << 20 for MiB). FALSE and a USAGE error that names `what` for anything else, overflow, or
 * zero. */
gboolean vm_size_parse (const char *text, guint64 unit, const char *what, guint64 *ret_bytes, GError **error);

/* "1.5 GiB", "312 MiB", "17 B". (transfer full) */
char *vm_size_format (guint64 bytes);
