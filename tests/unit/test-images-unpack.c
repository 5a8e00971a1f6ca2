/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/unpack.h"

#include <glib/gstdio.h>
#include <string.h>

#include "images/elfcheck.h"
#include "images/lzop.h"
#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"

/* `sized`: the kernel's build adds the plain size. */
typedef struct {
  const char *name;
  const char *words[8];
  gboolean sized;
} Packer;

static const Packer packers[] = {
    {"gzip", {"gzip", "-1", "-n", "-c"}, FALSE},
    {"xz", {"xz", "--check=crc32", "--x86", "--lzma2=preset=0,dict=1MiB", "-c"}, TRUE},
    {"zstd", {"zstd", "-q", "-c"}, TRUE},
    {"lz4", {"lz4", "-l", "-c", "-q"}, TRUE},
    {"lzo", {"lzop", "-c"}, TRUE},
    {"bzip2", {"bzip2", "-1", "-c"}, TRUE},
    {"lzma", {"xz", "--format=lzma", "-0", "-c"}, TRUE},
};

static void
append_size (GByteArray *bytes, gsize size)
{
  guint8 text[4] = {(guint8)size, (guint8)(size >> 8), (guint8)(size >> 16), (guint8)(size >> 24)};

  g_byte_array_append (bytes, text, sizeof text);
}

/* The payload of a bzImage; NULL (and a message) if the tool is not installed. */
static GByteArray *
pack (Fixture *f, const Packer *packer, const GByteArray *plain)
{
  GByteArray *packed = fixture_compress (f, packer->words, plain->data, plain->len);

  if (packed == NULL)
    g_test_message ("'%s' is not installed", packer->words[0]);
  else if (packer->sized)
    append_size (packed, plain->len);
  return packed;
}

/* Unpacks a file into "out" of the fixture. */
static gboolean
unpack (Fixture *f, const void *data, gsize length, GError **error)
{
  g_autofree char *in = fixture_write (f, "in", data, length), *path = fixture_path (f, "out");
  g_auto (ImageOutput) out = {.fd = -1};

  return image_output_open (&out, path, error) && image_unpack_kernel (in, &out, NULL, NULL, error) &&
         image_output_commit (&out, error);
}

static void
assert_output (Fixture *f, const GByteArray *expected)
{
  g_autofree char *path = fixture_path (f, "out");
  g_autoptr (GByteArray) out = fixture_read (path);

  g_assert_cmpmem (out->data, out->len, expected->data, expected->len);
  g_assert_cmpuint (fixture_count (f->dir, ".part-"), ==, 0);
}

/* Refused with these words; and nothing is left. */
static void
assert_refused (Fixture *f, const void *data, gsize length, const char *word)
{
  g_autofree char *path = fixture_path (f, "out");
  g_autoptr (GError) error = NULL;

  g_assert_false (unpack (f, data, length, &error));
  fixture_assert_error (&error, word, NULL);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_cmpuint (fixture_count (f->dir, ".part-"), ==, 0);
}

static void
test_formats (Fixture *f, gconstpointer unused)
{
  /* More than one block of each format. */
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (9 << 20, TRUE);

  for (guint i = 0; i < G_N_ELEMENTS (packers); i++) {
    g_autoptr (GByteArray) payload = pack (f, &packers[i], vmlinux), image = NULL;
    g_autoptr (GError) error = NULL;

    if (payload == NULL)
      continue;
    g_assert_cmpstr (image_unpack_format (payload->data, payload->len), ==, packers[i].name);
    image = fixture_bzimage ("6.1.0", payload->data, payload->len);
    (void)unpack (f, image->data, image->len, &error);
    g_assert_no_error (error);
    assert_output (f, vmlinux);
  }
}

/* Cut in the middle (of the file, and of the payload alone), and with damaged bytes. */
static void
test_damaged (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (300000, TRUE);

  for (guint i = 0; i < G_N_ELEMENTS (packers); i++) {
    g_autoptr (GByteArray) payload = pack (f, &packers[i], vmlinux), whole = NULL, cut = NULL;
    guint half;

    if (payload == NULL)
      continue;
    half = payload->len / 2;
    whole = fixture_bzimage ("6.1.0", payload->data, payload->len);
    assert_refused (f, whole->data, whole->len / 2, "outside the file");
    cut = fixture_bzimage ("6.1.0", payload->data, half);
    memcpy (cut->data + cut->len - 17 - 4, payload->data + payload->len - 4, 4);
    assert_refused (f, cut->data, cut->len, "in'");
    for (guint at = 200; at < half; at += half / 3)
      memset (whole->data + whole->len - 17 - payload->len + at, 0xa5, 8);
    assert_refused (f, whole->data, whole->len, "in'");
  }
}

static void
test_wrong_sizes (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (100000, TRUE);
  g_autoptr (GByteArray) payload = pack (f, &packers[1], vmlinux), image = NULL;
  static const struct {
    guint32 size;
    const char *word;
  } cases[] = {{0xffffffff, "the most is 512 MiB"},
               {(512 << 20) + 1, "the most is 512 MiB"},
               {50000, "more than the 50000 bytes"},
               {0, "nothing"},
               {400 << 20, "where it claims"}};

  if (payload == NULL) {
    g_test_skip ("'xz' is not installed");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_byte_array_set_size (payload, payload->len - 4);
    append_size (payload, cases[i].size);
    g_clear_pointer (&image, g_byte_array_unref);
    image = fixture_bzimage ("6.1.0", payload->data, payload->len);
    assert_refused (f, image->data, image->len, cases[i].word);
  }
}

/* Header fields that lead outside. */
static void
test_header (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) image = fixture_bzimage ("6.1.0", (const guint8 *)"some payload of any kind", 24);
  g_autoptr (GByteArray) copy = g_byte_array_new ();
  static const struct {
    guint at;
    guint8 byte;
    const char *word;
  } cases[] = {{0x202, 'X', "neither a bzImage nor"},
               {0x206, 7, "too old"},
               {0x1f1, 255, "outside"},
               {0x24b, 0xff, "outside"},
               {0x24f, 0xff, "outside"},
               {0x24c, 0, "outside"},
               {0x250, 0, "compression is not known"}};

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_byte_array_set_size (copy, 0);
    g_byte_array_append (copy, image->data, image->len);
    copy->data[cases[i].at] = cases[i].byte;
    assert_refused (f, copy->data, copy->len, cases[i].word);
  }
  assert_refused (f, "", 0, "neither a bzImage nor");
  assert_refused (f, "#!/bin/sh\n", 10, "neither a bzImage nor");
}

static void
test_not_a_kernel_inside (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) plain = g_byte_array_new (), payload = NULL, image = NULL;

  g_byte_array_append (plain, (const guint8 *)"just some text, and no kernel at all", 36);
  payload = pack (f, &packers[0], plain);
  if (payload == NULL) {
    g_test_skip ("'gzip' is not installed");
    return;
  }
  image = fixture_bzimage ("6.1.0", payload->data, payload->len);
  assert_refused (f, image->data, image->len, "no kernel");
}

/* QEMU cannot start it by its vmlinux, but by the bzImage. */
static void
test_no_pvh (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (100000, FALSE);
  g_autoptr (GByteArray) payload = pack (f, &packers[0], vmlinux), image = NULL;
  g_autoptr (GError) error = NULL;

  if (payload == NULL) {
    g_test_skip ("'gzip' is not installed");
    return;
  }
  image = fixture_bzimage ("6.1.0", payload->data, payload->len);
  (void)unpack (f, image->data, image->len, &error);
  g_assert_no_error (error);
  assert_output (f, image);
}

static void
test_vmlinux (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) good = fixture_vmlinux (100000, TRUE), no_pvh = fixture_vmlinux (100000, FALSE);
  g_autofree char *path = fixture_path (f, "out");
  g_autoptr (GError) error = NULL;

  assert_refused (f, no_pvh->data, no_pvh->len, "no PVH entry");
  assert_refused (f, good->data, good->len - 1, "outside the file");
  assert_refused (f, good->data, 30, "cut off");
  (void)unpack (f, good->data, good->len, &error);
  g_assert_no_error (error);
  assert_output (f, good);
  g_assert_cmpint (g_unlink (path), ==, 0);
  good->data[18] = 183; /* aarch64 */
  assert_refused (f, good->data, good->len, "not for x86-64");
}

/* Every byte of the headers and notes changed: refused or not, but never a read outside (the sanitizers see
 * it). */
static void
test_elf_survives (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (64, TRUE);
  gboolean pvh;

  for (guint at = 4; at < vmlinux->len - 64; at++)
    for (guint value = 0; value < 256; value += 51) {
      g_autofree guint8 *copy = g_memdup2 (vmlinux->data, vmlinux->len);

      copy[at] = (guint8)value;
      (void)image_elf_check_kernel (copy, vmlinux->len, &pvh, NULL);
    }
  for (guint length = 0; length < vmlinux->len; length++) {
    g_autofree guint8 *copy = g_memdup2 (vmlinux->data, length);

    g_assert_false (image_elf_check_kernel (copy, length, &pvh, NULL));
  }
}

static gboolean
swallow (const void *data, gsize length, gpointer user, GError **error)
{
  *(gsize *)user += length;
  return TRUE;
}

/* Our own reader of lzop files: cut at each byte it fails, with each byte changed it stays inside. */
static void
test_lzop_survives (Fixture *f, gconstpointer unused)
{
  static const char *const words[] = {"lzop", "-9", "-c", NULL};
  g_autoptr (GByteArray) plain = fixture_module (600), packed = NULL;
  gsize got = 0;

  packed = fixture_compress (f, words, plain->data, plain->len);
  if (packed == NULL) {
    g_test_skip ("'lzop' is not installed");
    return;
  }
  g_assert_true (image_lzop_read (packed->data, packed->len, swallow, &got, NULL));
  g_assert_cmpuint (got, ==, plain->len);
  for (guint length = 0; length < packed->len; length++) {
    g_autofree guint8 *copy = g_memdup2 (packed->data, length);

    g_assert_false (image_lzop_read (copy, length, swallow, &got, NULL));
  }
  for (guint at = 9; at < packed->len; at++) {
    g_autofree guint8 *copy = g_memdup2 (packed->data, packed->len);

    copy[at] ^= 0x80;
    (void)image_lzop_read (copy, packed->len, swallow, &got, NULL);
  }
}

static void
test_this_host (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = fixture_path (f, "out");
  g_autoptr (GByteArray) image = NULL, vmlinux = NULL;
  g_autoptr (GError) error = NULL;
  ImageKernel kernel = {NULL};
  gboolean pvh = FALSE;

  if (!image_kernel_find ("", NULL, &kernel, &error)) {
    g_test_skip (error->message);
    return;
  }
  image = fixture_read (kernel.path);
  (void)unpack (f, image->data, image->len, &error);
  g_assert_no_error (error);
  vmlinux = fixture_read (path);
  g_assert_cmpuint (vmlinux->len, >, image->len);
  g_assert_true (image_elf_check_kernel (vmlinux->data, vmlinux->len, &pvh, &error));
  g_assert_true (pvh);
  image_kernel_clear (&kernel);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/unpack/formats", test_formats);
  fixture_test ("/images/unpack/damaged", test_damaged);
  fixture_test ("/images/unpack/wrong-sizes", test_wrong_sizes);
  fixture_test ("/images/unpack/header", test_header);
  fixture_test ("/images/unpack/not-a-kernel-inside", test_not_a_kernel_inside);
  fixture_test ("/images/unpack/no-pvh-keeps-bzimage", test_no_pvh);
  fixture_test ("/images/unpack/vmlinux", test_vmlinux);
  fixture_test ("/images/elfcheck/survives-any-byte", test_elf_survives);
  fixture_test ("/images/lzop/survives-any-byte", test_lzop_survives);
  fixture_test ("/images/unpack/this-host", test_this_host);
  return g_test_run ();
}
