/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/qcow2-head.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"

enum {
  HEAD_V2 = 72,
  HEAD_V3 = 104,
  CLUSTER_BITS_MIN = 9,
  CLUSTER_BITS_MAX = 21,
  BACKING_MAX = 1023,
  SNAPSHOTS_MAX = 65536,
  EXTENSIONS_MAX = 64,
  L1_BYTES_MAX = 32 << 20, /* QEMU's own bound */
};

/* Incompatible features; the rest of the bits is not known. */
enum {
  FEATURE_DIRTY = 1 << 0,
  FEATURE_CORRUPT = 1 << 1,
  FEATURE_DATA_FILE = 1 << 2,
  FEATURE_COMPRESSION = 1 << 3,
  FEATURE_EXTENDED_L2 = 1 << 4,
  FEATURES = FEATURE_DIRTY | FEATURE_CORRUPT | FEATURE_DATA_FILE | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2,
};

#define EXTENSION_END 0
#define EXTENSION_BACKING_FORMAT 0xe2792acaU
#define EXTENSION_FEATURES 0x6803f857U
#define EXTENSION_BITMAPS 0x23852875U
#define EXTENSION_ENCRYPTION 0x0537be77U
#define EXTENSION_DATA_FILE 0x44415441U

typedef struct {
  const guint8 *data;
  gsize length;
} Bytes;

/* Big-endian. The caller has checked that they are there. */
static guint64
number (const Bytes *b, gsize at, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value = value << 8 | b->data[at + i];
  return value;
}

gboolean
image_qcow2_is (const guint8 *data, gsize length)
{
  return length >= 4 && memcmp (data, "QFI\xfb", 4) == 0;
}

static gboolean
unsound (GError **error, const char *why)
{
  return vm_error (error, VM_ERROR_INVALID, "its qcow2 header is not sound: %s", why);
}

/* The name of another file that QEMU would open in the user's name; NULL: none. */
static gboolean
read_backing (const Bytes *b, char **ret, GError **error)
{
  guint64 at = number (b, 8, 8), length = number (b, 16, 4);

  *ret = NULL;
  if (at == 0)
    return length == 0 || unsound (error, "the name of its backing file is nowhere");
  if (length > BACKING_MAX || at > b->length || length > b->length - at)
    return unsound (error, "the name of its backing file is out of bounds");
  if (memchr (b->data + at, '\0', (gsize)length) != NULL)
    return unsound (error, "the name of its backing file has an end before its end");
  if (length > 0)
    *ret = g_strndup ((const char *)b->data + at, (gsize)length);
  return TRUE;
}

gboolean
image_qcow2_refuse_backing (const char *backing, GError **error)
{
  g_autofree char *shown = vm_escape_terminal (backing, -1, 200);

  return vm_error (error, VM_ERROR_UNSUPPORTED,
                   "it is only what differs from another file, '%s', and vmctl opens no file that an image "
                   "names; make one of both where you trust them: qemu-img convert -O qcow2 IMAGE WHOLE",
                   shown);
}

static gboolean
check_features (guint64 incompatible, GError **error)
{
  if ((incompatible & FEATURE_CORRUPT) != 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "it is marked as corrupt; look at it with: qemu-img check -f qcow2 IMAGE");
  if ((incompatible & FEATURE_DATA_FILE) != 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "its data is in another file, and vmctl opens no file that an image names; make one of "
                     "both where you trust them: qemu-img convert -O qcow2 IMAGE WHOLE");
  if ((incompatible & ~(guint64)FEATURES) != 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "it has features that vmctl does not know (bits 0x%" G_GINT64_MODIFIER "x)",
                     incompatible & ~(guint64)FEATURES);
  return TRUE;
}

static gboolean
check_encryption (const Bytes *b, GError **error)
{
  return number (b, 32, 4) == 0 ||
         vm_error (error, VM_ERROR_UNSUPPORTED,
                   "it is encrypted; decrypt it with: qemu-img convert --object secret,... -O qcow2");
}

static gboolean
check_size (const Bytes *b, guint64 file_size, const ImageQcow2Head *head, GError **error)
{
  guint64 l1_entries = number (b, 36, 4), l1_at = number (b, 40, 8),
          cluster = (guint64)1 << head->cluster_bits;
  guint64 l2_entries = cluster / (head->extended_l2 ? 16 : 8);
  guint64 needed = (head->size + cluster * l2_entries - 1) / (cluster * l2_entries);

  if (head->size == 0)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "its disk has no size");
  if (head->size > IMAGE_SIZE_MAX)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "its disk is larger than 16 TiB, the most that vmctl takes");
  if (l1_entries * 8 > L1_BYTES_MAX || l1_entries < needed)
    return unsound (error, "its first table is too large, or too small for its disk");
  if (l1_at % cluster != 0 || l1_at > file_size || l1_entries * 8 > file_size - l1_at)
    return unsound (error, "its first table is not in the file");
  return TRUE;
}

/* The list of extensions between the header and the first cluster's end. */
static gboolean
check_extensions (const Bytes *b, gsize at, ImageQcow2Head *head, GError **error)
{
  gsize end = MIN (b->length, (gsize)1 << head->cluster_bits);

  for (guint i = 0; i < EXTENSIONS_MAX && end - at >= 8; i++) {
    guint64 type = number (b, at, 4), length = number (b, at + 4, 4);

    if (type == EXTENSION_END)
      return TRUE;
    at += 8;
    if (length > end - at)
      return unsound (error, "one of its extensions is out of bounds");
    if (type == EXTENSION_DATA_FILE)
      return check_features (FEATURE_DATA_FILE, error);
    if (type == EXTENSION_ENCRYPTION)
      return vm_error (error, VM_ERROR_UNSUPPORTED, "it is encrypted");
    if (type == EXTENSION_BACKING_FORMAT)
      head->backing_is_other = length != 5 || memcmp (b->data + at, "qcow2", 5) != 0;
    head->bitmaps = head->bitmaps || type == EXTENSION_BITMAPS;
    length = (length + 7) / 8 * 8;
    at += MIN (length, end - at);
  }
  return end - at < 8 || unsound (error, "it has too many extensions");
}

static gboolean
parse_v3 (const Bytes *b, ImageQcow2Head *head, gsize *ret_length, GError **error)
{
  guint64 incompatible, order, length;

  if (b->length < HEAD_V3)
    return unsound (error, "it is cut off");
  incompatible = number (b, 72, 8);
  order = number (b, 96, 4);
  length = number (b, 100, 4);
  if (!check_features (incompatible, error))
    return FALSE;
  if (order > 6)
    return unsound (error, "the width of its reference counts");
  if (length < HEAD_V3 || length > (guint64)1 << head->cluster_bits || length > b->length || length % 8 != 0)
    return unsound (error, "the length of its header");
  if ((incompatible & FEATURE_COMPRESSION) != 0 && (length <= 104 || b->data[104] > 1))
    return vm_error (error, VM_ERROR_UNSUPPORTED, "it is compressed in a way that vmctl does not know");
  head->dirty = (incompatible & FEATURE_DIRTY) != 0;
  head->extended_l2 = (incompatible & FEATURE_EXTENDED_L2) != 0;
  head->zstd = (incompatible & FEATURE_COMPRESSION) != 0 && b->data[104] == 1;
  *ret_length = (gsize)length;
  return TRUE;
}

gboolean
image_qcow2_parse_overlay (const guint8 *data, gsize length, guint64 file_size, ImageQcow2Head *ret,
                           char **ret_backing, GError **error)
{
  Bytes b = {.data = data, .length = MIN (length, file_size)};
  ImageQcow2Head head = {0};
  g_autofree char *backing = NULL;
  gsize head_length = HEAD_V2;

  if (!image_qcow2_is (b.data, b.length))
    return vm_error (error, VM_ERROR_INVALID, "it is no qcow2 file");
  if (b.length < HEAD_V2)
    return unsound (error, "it is cut off");
  head.version = (guint)number (&b, 4, 4);
  head.cluster_bits = (guint)number (&b, 20, 4);
  head.size = number (&b, 24, 8);
  head.snapshots = (guint)number (&b, 60, 4);
  if (head.version != 2 && head.version != 3)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "it is qcow2 of version %u; vmctl takes 2 and 3",
                     head.version);
  if (head.cluster_bits < CLUSTER_BITS_MIN || head.cluster_bits > CLUSTER_BITS_MAX)
    return unsound (error, "the size of its clusters");
  if (head.snapshots > SNAPSHOTS_MAX)
    return unsound (error, "it has too many snapshots");
  if (head.version == 3 && !parse_v3 (&b, &head, &head_length, error))
    return FALSE;
  if (!check_encryption (&b, error) || !read_backing (&b, &backing, error) ||
      !check_size (&b, file_size, &head, error) || !check_extensions (&b, head_length, &head, error))
    return FALSE;
  *ret = head;
  *ret_backing = g_steal_pointer (&backing);
  return TRUE;
}

gboolean
image_qcow2_parse (const guint8 *data, gsize length, guint64 file_size, ImageQcow2Head *ret, GError **error)
{
  g_autofree char *backing = NULL;
  ImageQcow2Head head;

  if (!image_qcow2_parse_overlay (data, length, file_size, &head, &backing, error))
    return FALSE;
  if (backing != NULL)
    return image_qcow2_refuse_backing (backing, error);
  *ret = head;
  return TRUE;
}
