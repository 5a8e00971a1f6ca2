/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/lzop.h"

#include <lzo/lzo1x.h>
#include <string.h>

#include "vmctl/base/error.h"

enum {
  FLAG_ADLER32_D = 0x1, /* a checksum of each block's plain bytes ... */
  FLAG_ADLER32_C = 0x2, /* ... of its compressed bytes */
  FLAG_EXTRA_FIELD = 0x40,
  FLAG_CRC32_D = 0x100,
  FLAG_CRC32_C = 0x200,
  FLAG_MULTIPART = 0x400,
  FLAG_FILTER = 0x800,
  VERSION_LEVELS = 0x0940, /* from here on the header has three more fields */
  BLOCK_MAX = 64 << 20,
};

static const guint8 magic[9] = {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'};

/* Numbers are big-endian. Reading past the end gives zeros and sets `broken`. */
typedef struct {
  const guint8 *at, *end;
  gboolean broken;
} Reader;

static const guint8 *
take (Reader *r, gsize n)
{
  const guint8 *here = r->at;

  if (r->broken || n > (gsize)(r->end - r->at)) {
    r->broken = TRUE;
    return NULL;
  }
  r->at += n;
  return here;
}

static guint32
take_number (Reader *r, gsize n)
{
  const guint8 *p = take (r, n);
  guint32 value = 0;

  for (gsize i = 0; p != NULL && i < n; i++)
    value = value << 8 | p[i];
  return value;
}

gboolean
image_lzop_is (const guint8 *data, gsize length)
{
  return length >= sizeof magic && memcmp (data, magic, sizeof magic) == 0;
}

static gboolean
read_header (Reader *r, guint32 *ret_flags, GError **error)
{
  guint32 version, method;

  (void)take (r, sizeof magic);
  version = take_number (r, 2);
  (void)take (r, version >= VERSION_LEVELS ? 4 : 2); /* version of the library, version needed */
  method = take_number (r, 1);
  (void)take (r, version >= VERSION_LEVELS ? 1 : 0); /* level */
  *ret_flags = take_number (r, 4);
  (void)take (r, version >= VERSION_LEVELS ? 12 : 8); /* mode, mtime */
  (void)take (r, take_number (r, 1));                 /* name */
  (void)take (r, 4);                                  /* checksum of the header */
  if (*ret_flags & FLAG_EXTRA_FIELD) {
    (void)take (r, take_number (r, 4));
    (void)take (r, 4);
  }
  if (r->broken)
    return vm_error (error, VM_ERROR_INVALID, "lzo data is cut off in its header");
  if (method < 1 || method > 3 || (*ret_flags & (FLAG_FILTER | FLAG_MULTIPART)) != 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "lzo method %u with flags 0x%x is not known", method,
                     *ret_flags);
  return TRUE;
}

typedef struct {
  guint32 plain_size, packed_size, adler, crc;
} Block;

/* FALSE at the end mark, and when broken. */
static gboolean
read_block_header (Reader *r, guint32 flags, Block *b)
{
  gboolean stored;

  b->plain_size = take_number (r, 4);
  if (b->plain_size == 0)
    return FALSE;
  b->packed_size = take_number (r, 4);
  stored = b->packed_size == b->plain_size;
  b->adler = flags & FLAG_ADLER32_D ? take_number (r, 4) : 0;
  b->crc = flags & FLAG_CRC32_D ? take_number (r, 4) : 0;
  (void)take (r, flags & FLAG_ADLER32_C && !stored ? 4 : 0);
  (void)take (r, flags & FLAG_CRC32_C && !stored ? 4 : 0);
  if (b->plain_size > BLOCK_MAX || b->packed_size > b->plain_size)
    r->broken = TRUE;
  return !r->broken;
}

static gboolean
unpack_block (Reader *r, guint32 flags, const Block *b, ImageSink sink, gpointer user, GError **error)
{
  const guint8 *packed = take (r, b->packed_size), *plain = packed;
  g_autofree guint8 *buffer = NULL;
  lzo_uint size = b->plain_size;

  if (packed == NULL)
    return vm_error (error, VM_ERROR_INVALID, "lzo data is cut off");
  if (b->packed_size != b->plain_size) {
    plain = buffer = g_malloc (b->plain_size);
    if (lzo1x_decompress_safe (packed, b->packed_size, buffer, &size, NULL) != LZO_E_OK ||
        size != b->plain_size)
      return vm_error (error, VM_ERROR_INVALID, "lzo data is damaged");
  }
  if ((flags & FLAG_ADLER32_D && lzo_adler32 (1, plain, size) != b->adler) ||
      (flags & FLAG_CRC32_D && lzo_crc32 (0, plain, size) != b->crc))
    return vm_error (error, VM_ERROR_INVALID, "lzo data is damaged: wrong checksum");
  return sink (plain, size, user, error);
}

gboolean
image_lzop_read (const guint8 *data, gsize length, ImageSink sink, gpointer user, GError **error)
{
  Reader r = {.at = data, .end = data + length};
  guint32 flags;
  Block block;

  if (lzo_init () != LZO_E_OK)
    return vm_error (error, VM_ERROR_FAILED, "liblzo2 does not start");
  if (!read_header (&r, &flags, error))
    return FALSE;
  while (read_block_header (&r, flags, &block))
    if (!unpack_block (&r, flags, &block, sink, user, error))
      return FALSE;
  if (r.broken)
    return vm_error (error, VM_ERROR_INVALID, "lzo data is cut off");
  return TRUE;
}
