/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a disk that qemu-nbd serves (NBD's doc/proto.md, the fixed newstyle handshake), and libext2fs on
 * it. One request at a time; the server is one of ours, in its jail, and believed no more than the disk. */
#pragma once

#include <ext2fs/ext2fs.h>
#include <glib.h>

typedef struct ImageNbd ImageNbd;

/* Takes the connected socket. NULL and error. */
ImageNbd *image_nbd_new (int take_fd, GError **error);
void image_nbd_free (ImageNbd *nbd);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageNbd, image_nbd_free)

guint64 image_nbd_size (const ImageNbd *nbd);
/* An ImageReadFunc; `data` is the ImageNbd. */
gboolean image_nbd_read (guint64 at, gpointer to, gsize length, gpointer data);

/* The ext file system in that part of the disk, read-only, and as long as `nbd` lives. NULL and error. */
ext2_filsys image_nbd_open_ext (ImageNbd *nbd, guint64 start, guint64 length, GError **error);
