/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A bzImage is: a boot sector and set-up code with a header (Documentation/x86/boot.rst), then the protected
 * mode kernel, inside which lies the payload: a vmlinux, compressed. The header says where and how long. The
 * payload ends with the plain size as 4 bytes: gzip has that by itself, for the other formats the kernel's
 * build adds it, and it has to be cut off. */
#include "images/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/elfcheck.h"
#include "images/lzop.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

typedef struct archive Archive;
static void
archive_done (Archive *a)
{
  (void)archive_read_free (a);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Archive, archive_done)

typedef struct {
  const char *name, *magic;
  gsize magic_size;
  int filter; /* libarchive's; -1: our own reader */
} Format;

static const Format formats[] = {
    {"gzip", "\x1f\x8b\x08", 3, ARCHIVE_FILTER_GZIP},
    {"xz",
     "\xfd"
     "7zXZ",
     6, ARCHIVE_FILTER_XZ},
    {"zstd", "\x28\xb5\x2f\xfd", 4, ARCHIVE_FILTER_ZSTD},
    {"lz4", "\x02\x21\x4c\x18", 4, ARCHIVE_FILTER_LZ4}, /* the legacy frame */
    {"lz4", "\x04\x22\x4d\x18", 4, ARCHIVE_FILTER_LZ4},
    {"lzo", "\x89LZO", 5, -1},
    {"bzip2", "BZh", 3, ARCHIVE_FILTER_BZIP2},
    {"lzma", "\x5d\0\0", 3, ARCHIVE_FILTER_LZMA},
};

static const Format *
find_format (const guint8 *data, gsize length)
{
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (length >= formats[i].magic_size && memcmp (data, formats[i].magic, formats[i].magic_size) == 0)
      return &formats[i];
  return NULL;
}

const char *
image_unpack_format (const guint8 *data, gsize length)
{
  const Format *format = find_format (data, length);

  return format != NULL ? format->name : NULL;
}

static gboolean
archive_failed (Archive *a, const Format *format, GError **error)
{
  const char *why = archive_error_string (a);

  return vm_error (error, VM_ERROR_INVALID, "%s data is damaged or cut off: %s", format->name,
                   why != NULL ? why : "unknown error");
}

/* Exactly this one filter: what is inside is never taken for something compressed once more. */
static gboolean
unpack_archive (const Format *format, const guint8 *data, gsize length, ImageSink sink, gpointer user,
                GError **error)
{
  g_autoptr (Archive) a = archive_read_new ();
  struct archive_entry *entry;
  const void *block;
  gsize size;
  la_int64_t offset;
  int result;

  if (archive_read_set_format (a, ARCHIVE_FORMAT_RAW) != ARCHIVE_OK ||
      archive_read_append_filter (a, format->filter) != ARCHIVE_OK ||
      archive_read_open_memory (a, data, length) != ARCHIVE_OK ||
      archive_read_next_header (a, &entry) != ARCHIVE_OK)
    return archive_failed (a, format, error);
  while ((result = archive_read_data_block (a, &block, &size, &offset)) == ARCHIVE_OK)
    if (!sink (block, size, user, error))
      return FALSE;
  return result == ARCHIVE_EOF || archive_failed (a, format, error);
}

gboolean
image_unpack (const guint8 *data, gsize length, ImageSink sink, gpointer user, GError **error)
{
  const Format *format = find_format (data, length);

  if (format == NULL)
    return vm_error (error, VM_ERROR_INVALID, "its compression is not known (it begins with %02x %02x %02x)",
                     length > 0 ? data[0] : 0, length > 1 ? data[1] : 0, length > 2 ? data[2] : 0);
  if (format->filter < 0)
    return image_lzop_read (data, length, sink, user, error);
  return unpack_archive (format, data, length, sink, user, error);
}

static guint8 *
read_input (const char *path, gsize max, gsize *ret_length, GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  char *data;

  if (fd < 0 || fstat (fd, &st) < 0) {
    vm_error_errno (error, errno, "cannot read '%s'", path);
    return NULL;
  }
  if (!S_ISREG (st.st_mode)) {
    vm_error (error, VM_ERROR_INVALID, "cannot read '%s': not a regular file", path);
    return NULL;
  }
  data = vm_fd_read_all (fd, max, ret_length, error);
  if (data == NULL)
    g_prefix_error (error, "'%s': ", path);
  return (guint8 *)data;
}

typedef struct {
  GByteArray *bytes;
  gsize max;
} Memory;

static gboolean
to_memory (const void *data, gsize length, gpointer user, GError **error)
{
  Memory *memory = user;

  if (length > memory->max - memory->bytes->len)
    return vm_error (error, VM_ERROR_INVALID, "unpacks to more than %" G_GSIZE_FORMAT " MiB",
                     memory->max >> 20);
  g_byte_array_append (memory->bytes, data, (guint)length);
  return TRUE;
}

GByteArray *
image_unpack_file (const char *path, gsize max, GError **error)
{
  gsize length = 0;
  g_autofree guint8 *data = read_input (path, max, &length, error);
  g_autoptr (GByteArray) bytes = NULL;
  Memory memory;

  if (data == NULL)
    return NULL;
  if (find_format (data, length) == NULL)
    return g_byte_array_new_take (g_steal_pointer (&data), length);
  bytes = g_byte_array_new ();
  memory = (Memory){.bytes = bytes, .max = max};
  if (!image_unpack (data, length, to_memory, &memory, error)) {
    g_prefix_error (error, "'%s': ", path);
    return NULL;
  }
  return g_steal_pointer (&bytes);
}

static guint32
get_u32 (const guint8 *p)
{
  return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

typedef struct {
  const guint8 *data;
  gsize length;
  guint32 plain_size;
} Payload;

static gboolean
find_payload (const guint8 *image, gsize length, Payload *ret, GError **error)
{
  const char *format;
  guint64 start, size;

  if (length < 0x250 || memcmp (image + 0x202, "HdrS", 4) != 0)
    return vm_error (error, VM_ERROR_INVALID, "neither a bzImage nor an ELF kernel");
  if ((image[0x206] | image[0x207] << 8) < 0x208)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "boot protocol %u.%02u is too old (2.08 is needed)",
                     image[0x207], image[0x206]);
  start = ((image[0x1f1] != 0 ? image[0x1f1] : 4) + 1) * G_GUINT64_CONSTANT (512) + get_u32 (image + 0x248);
  size = get_u32 (image + 0x24c);
  if (size < 16 || start > length || size > length - start)
    return vm_error (error, VM_ERROR_INVALID, "its payload lies outside the file; is it cut off?");
  *ret = (Payload){.data = image + start, .length = size, .plain_size = get_u32 (image + start + size - 4)};
  format = image_unpack_format (ret->data, size);
  if (format == NULL)
    return TRUE; /* image_unpack() says so */
  if (strcmp (format, "gzip") != 0)
    ret->length -= 4;
  if (ret->plain_size == 0)
    return vm_error (error, VM_ERROR_INVALID, "it claims to unpack to nothing; is it damaged?");
  if (ret->plain_size > IMAGE_KERNEL_MAX)
    return vm_error (error, VM_ERROR_INVALID, "it claims to unpack to %u MiB; the most is %u MiB",
                     ret->plain_size >> 20, (unsigned)IMAGE_KERNEL_MAX >> 20);
  return TRUE;
}

typedef struct {
  ImageOutput *out;
  guint32 plain_size;
  ImageProgress progress;
  gpointer data;
  int percent;
} ToOutput;

static gboolean
to_output (const void *data, gsize length, gpointer user, GError **error)
{
  ToOutput *to = user;
  int percent;

  if (length > to->plain_size - to->out->size)
    return vm_error (error, VM_ERROR_INVALID, "it unpacks to more than the %u bytes that it claims",
                     to->plain_size);
  if (!image_output_write (to->out, data, length, error))
    return FALSE;
  percent = (int)(to->out->size * 100 / to->plain_size);
  if (to->progress != NULL && percent >= to->percent + 10) {
    to->progress ("unpacking the kernel", percent, to->data);
    to->percent = percent;
  }
  return TRUE;
}

static gboolean
check_written (ImageOutput *out, gboolean *ret_pvh, GError **error)
{
  g_autoptr (GMappedFile) map = g_mapped_file_new_from_fd (out->fd, FALSE, error);

  if (map == NULL)
    return FALSE;
  return image_elf_check_kernel ((const guint8 *)g_mapped_file_get_contents (map),
                                 g_mapped_file_get_length (map), ret_pvh, error);
}

static gboolean
unpack_bzimage (const guint8 *image, gsize length, ImageOutput *out, ImageProgress progress, gpointer data,
                GError **error)
{
  ToOutput to = {.out = out, .progress = progress, .data = data};
  gboolean pvh = FALSE;
  Payload payload = {NULL};

  if (!find_payload (image, length, &payload, error))
    return FALSE;
  to.plain_size = payload.plain_size;
  if (!image_unpack (payload.data, payload.length, to_output, &to, error))
    return FALSE;
  if (out->size != payload.plain_size)
    return vm_error (error, VM_ERROR_INVALID,
                     "it unpacks to %" G_GUINT64_FORMAT " bytes where it claims %u; is it damaged?",
                     out->size, payload.plain_size);
  if (!check_written (out, &pvh, error)) {
    g_prefix_error (error, "what it unpacks to is no kernel: ");
    return FALSE;
  }
  if (pvh)
    return TRUE;
  if (progress != NULL)
    progress ("the kernel has no PVH entry: QEMU will boot its bzImage", -1, data);
  return image_output_truncate (out, error) && image_output_write (out, image, length, error);
}

static gboolean
copy_vmlinux (const guint8 *image, gsize length, ImageOutput *out, GError **error)
{
  gboolean pvh = FALSE;

  if (!image_elf_check_kernel (image, length, &pvh, error))
    return FALSE;
  if (!pvh)
    return vm_error (error, VM_ERROR_UNSUPPORTED,
                     "it has no PVH entry (CONFIG_PVH), so QEMU cannot start it; give its bzImage");
  return image_output_write (out, image, length, error);
}

gboolean
image_unpack_kernel (const char *path, ImageOutput *out, ImageProgress progress, gpointer data,
                     GError **error)
{
  gsize length = 0;
  g_autofree guint8 *image = read_input (path, IMAGE_KERNEL_MAX, &length, error);
  gboolean ok;

  if (image == NULL)
    return FALSE;
  if (progress != NULL)
    progress ("unpacking the kernel", 0, data);
  ok = image_elf_is (image, length) ? copy_vmlinux (image, length, out, error)
                                    : unpack_bzimage (image, length, out, progress, data, error);
  if (!ok)
    g_prefix_error (error, "'%s': ", path);
  return ok;
}
