/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/nbd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { CHUNK = 64 << 10, CHUNKS = 256 };

#define MAGIC "NBDMAGIC"
#define OPTION_MAGIC "IHAVEOPT"
enum { OPTION_EXPORT_NAME = 1, FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
#define REQUEST_MAGIC 0x25609513U
#define REPLY_MAGIC 0x67446698U

/* Chunks of the disk that were read, each in the one place where it can be. */
struct ImageNbd {
  int fd; /* owned */
  guint64 size;
  guint64 held[CHUNKS]; /* the number of the chunk and 1; 0: none */
  guint8 *chunks;       /* owned */
  GPtrArray *windows;   /* owned; of Window, for as long as file systems are open */
};

static void
put (guint8 *at, guint n, guint64 value)
{
  for (guint i = 0; i < n; i++)
    at[i] = (guint8)(value >> 8 * (n - 1 - i));
}

static guint64
get (const guint8 *at, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value = value << 8 | at[i];
  return value;
}

static gboolean
read_all (int fd, gpointer to, gsize length)
{
  guint8 *at = to;

  while (length > 0) {
    ssize_t n = read (fd, at, length);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return FALSE;
    at += n;
    length -= (gsize)n;
  }
  return TRUE;
}

static gboolean
shake_hands (ImageNbd *nbd)
{
  guint8 greeting[18], option[20] = {0}, reply[10];

  if (!read_all (nbd->fd, greeting, sizeof greeting) || memcmp (greeting, MAGIC OPTION_MAGIC, 16) != 0 ||
      (get (greeting + 16, 2) & NO_ZEROES) == 0)
    return FALSE;
  put (option, 4, FIXED_NEWSTYLE | NO_ZEROES);
  memcpy (option + 4, OPTION_MAGIC, 8);
  put (option + 12, 4, OPTION_EXPORT_NAME);
  if (!vm_fd_write_all (nbd->fd, option, sizeof option, NULL) || !read_all (nbd->fd, reply, sizeof reply))
    return FALSE;
  nbd->size = get (reply, 8);
  return nbd->size < G_MAXINT64;
}

ImageNbd *
image_nbd_new (int take_fd, GError **error)
{
  g_autoptr (ImageNbd) nbd = g_new0 (ImageNbd, 1);

  nbd->fd = take_fd;
  nbd->chunks = g_malloc ((gsize)CHUNK * CHUNKS);
  nbd->windows = g_ptr_array_new_with_free_func (g_free);
  if (!shake_hands (nbd)) {
    vm_error (error, VM_ERROR_CHILD, "qemu-nbd does not serve the disk");
    return NULL;
  }
  return g_steal_pointer (&nbd);
}

void
image_nbd_free (ImageNbd *nbd)
{
  if (nbd == NULL)
    return;
  vm_fd_clear (&nbd->fd);
  g_free (nbd->chunks);
  g_ptr_array_unref (nbd->windows);
  g_free (nbd);
}

guint64
image_nbd_size (const ImageNbd *nbd)
{
  return nbd->size;
}

static gboolean
fetch (ImageNbd *nbd, guint64 at, gpointer to, gsize length)
{
  guint8 request[28] = {0}, reply[16];

  put (request, 4, REQUEST_MAGIC);
  put (request + 16, 8, at);
  put (request + 24, 4, length);
  return vm_fd_write_all (nbd->fd, request, sizeof request, NULL) &&
         read_all (nbd->fd, reply, sizeof reply) && get (reply, 4) == REPLY_MAGIC &&
         get (reply + 4, 4) == 0 && read_all (nbd->fd, to, length);
}

static const guint8 *
chunk_of (ImageNbd *nbd, guint64 number)
{
  guint slot = (guint)(number % CHUNKS);
  guint8 *chunk = nbd->chunks + (gsize)slot * CHUNK;
  guint64 at = number * CHUNK;

  if (nbd->held[slot] == number + 1)
    return chunk;
  nbd->held[slot] = 0;
  if (!fetch (nbd, at, chunk, (gsize)MIN ((guint64)CHUNK, nbd->size - at)))
    return NULL;
  nbd->held[slot] = number + 1;
  return chunk;
}

gboolean
image_nbd_read (guint64 at, gpointer to, gsize length, gpointer data)
{
  ImageNbd *nbd = data;
  guint8 *out = to;

  if (at > nbd->size || length > nbd->size - at)
    return FALSE;
  while (length > 0) {
    gsize offset = (gsize)(at % CHUNK), n = MIN (length, CHUNK - offset);
    const guint8 *chunk = chunk_of (nbd, at / CHUNK);

    if (chunk == NULL)
      return FALSE;
    memcpy (out, chunk + offset, n);
    out += n;
    at += n;
    length -= n;
  }
  return TRUE;
}

/* libext2fs's I/O manager. Its `open` has nothing but a name: that is where the window and the disk are. */

typedef struct {
  ImageNbd *nbd; /* borrowed */
  guint64 start, length;
} Window;

static struct struct_io_manager window_manager;

static errcode_t
window_open (const char *name, int flags, io_channel *ret)
{
  io_channel channel;
  Window *window;
  gpointer at;
  errcode_t code;

  if ((flags & IO_FLAG_RW) != 0)
    return EROFS;
  if (sscanf (name, "%p", &at) != 1)
    return EXT2_ET_BAD_DEVICE_NAME;
  code = ext2fs_get_memzero (sizeof *channel, &channel);
  if (code != 0)
    return code;
  window = at;
  channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
  channel->manager = &window_manager;
  channel->block_size = 1024;
  channel->refcount = 1;
  channel->private_data = window;
  *ret = channel;
  return 0;
}

static errcode_t
window_close (io_channel channel)
{
  if (--channel->refcount > 0)
    return 0;
  ext2fs_free_mem (&channel);
  return 0;
}

static errcode_t
window_set_blksize (io_channel channel, int size)
{
  channel->block_size = size;
  return 0;
}

/* A negative count is one of bytes. */
static errcode_t
window_read_blk64 (io_channel channel, unsigned long long block, int count, void *data)
{
  const Window *w = channel->private_data;
  guint64 each = (guint64)channel->block_size;
  guint64 length = count < 0 ? (guint64) - (gint64)count : (guint64)count * each;

  if (block > w->length / each || length > w->length - block * each)
    return EXT2_ET_SHORT_READ;
  return image_nbd_read (w->start + block * each, data, (gsize)length, w->nbd) ? 0 : EXT2_ET_SHORT_READ;
}

static errcode_t
window_read_blk (io_channel channel, unsigned long block, int count, void *data)
{
  return window_read_blk64 (channel, block, count, data);
}

static errcode_t
window_write_blk64 (io_channel channel, unsigned long long block, int count, const void *data)
{
  return EROFS;
}

static errcode_t
window_write_blk (io_channel channel, unsigned long block, int count, const void *data)
{
  return EROFS;
}

static errcode_t
window_flush (io_channel channel)
{
  return 0;
}

static struct struct_io_manager window_manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "a window of an NBD disk",
    .open = window_open,
    .close = window_close,
    .set_blksize = window_set_blksize,
    .read_blk = window_read_blk,
    .write_blk = window_write_blk,
    .flush = window_flush,
    .read_blk64 = window_read_blk64,
    .write_blk64 = window_write_blk64,
};

ext2_filsys
image_nbd_open_ext (ImageNbd *nbd, guint64 start, guint64 length, GError **error)
{
  Window *window = g_new0 (Window, 1);
  g_autofree char *name = g_strdup_printf ("%p", (gpointer)window);
  ext2_filsys fs = NULL;
  errcode_t code;

  *window = (Window){.nbd = nbd, .start = start, .length = length};
  g_ptr_array_add (nbd->windows, window);
  code =
      ext2fs_open2 (name, NULL, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0, &window_manager, &fs);
  if (code == 0)
    return fs;
  vm_error (error, VM_ERROR_INVALID, "cannot read the ext file system: %s", error_message (code));
  return NULL;
}
