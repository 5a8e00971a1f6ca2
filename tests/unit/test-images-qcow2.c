/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/qcow2-head.h"

#include <string.h>

#include "images/import.h"
#include "vmctl/base/error.h"

enum { LENGTH = 1024, FILE_SIZE = 1 << 20 };

static void
put (guint8 *at, guint n, guint64 value)
{
  for (guint i = 0; i < n; i++)
    at[i] = (guint8)(value >> 8 * (n - 1 - i));
}

/* As qemu-img makes one of 1 GiB, without the list of feature names. */
static void
make (guint8 *h, guint version)
{
  memset (h, 0, LENGTH);
  memcpy (h, "QFI\xfb", 4);
  put (h + 4, 4, version);
  put (h + 20, 4, 16);
  put (h + 24, 8, (guint64)1 << 30);
  put (h + 36, 4, 2);
  put (h + 40, 8, 0x30000);
  put (h + 48, 8, 0x10000);
  put (h + 56, 4, 1);
  if (version < 3)
    return;
  put (h + 96, 4, 4);
  put (h + 100, 4, 112);
}

static void
test_takes (void)
{
  ImageQcow2Head head = {0};
  g_autoptr (GError) error = NULL;
  guint8 h[LENGTH];

  make (h, 2);
  g_assert_true (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  make (h, 3);
  put (h + 60, 4, 3);           /* snapshots */
  put (h + 112, 4, 0x23852875); /* bitmaps */
  put (h + 116, 4, 24);
  g_assert_true (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  g_assert_cmpuint (head.size, ==, (guint64)1 << 30);
  g_assert_cmpuint (head.snapshots, ==, 3);
  g_assert_true (head.bitmaps && !head.dirty && !head.zstd);
  /* 10 TiB are allowed: 20480 tables of 512 MiB each. */
  make (h, 3);
  put (h + 24, 8, (guint64)10 << 40);
  put (h + 36, 4, 20480);
  g_assert_true (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  put (h + 72, 8, 1 << 3 | 1);
  h[104] = 1;
  g_assert_true (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  g_assert_true (head.zstd && head.dirty);
}

typedef struct {
  guint at, n;
  guint64 value;
  int code;
  const char *word;
} Case;

static void
test_refuses (void)
{
  static const Case cases[] = {
      {0, 4, 0x12345678, VM_ERROR_INVALID, "no qcow2"},
      {4, 4, 4, VM_ERROR_UNSUPPORTED, "version 4"},
      {4, 4, 1, VM_ERROR_UNSUPPORTED, "version 1"},
      {20, 4, 8, VM_ERROR_INVALID, "clusters"},
      {20, 4, 22, VM_ERROR_INVALID, "clusters"},
      {20, 4, 0xffffffff, VM_ERROR_INVALID, "clusters"},
      {24, 8, 0, VM_ERROR_UNSUPPORTED, "no size"},
      {24, 8, ((guint64)16 << 40) + 512, VM_ERROR_UNSUPPORTED, "16 TiB"},
      {24, 8, G_MAXUINT64, VM_ERROR_UNSUPPORTED, "16 TiB"},
      {32, 4, 1, VM_ERROR_UNSUPPORTED, "encrypted"},
      {32, 4, 2, VM_ERROR_UNSUPPORTED, "encrypted"},
      {36, 4, 1, VM_ERROR_INVALID, "first table"},
      {36, 4, 0xffffffff, VM_ERROR_INVALID, "first table"},
      {40, 8, 0x30001, VM_ERROR_INVALID, "first table"},
      {40, 8, (guint64)1 << 62, VM_ERROR_INVALID, "first table"},
      {40, 8, FILE_SIZE, VM_ERROR_INVALID, "first table"},
      {60, 4, 70000, VM_ERROR_INVALID, "snapshots"},
      {72, 8, 1 << 1, VM_ERROR_UNSUPPORTED, "corrupt"},
      {72, 8, 1 << 2, VM_ERROR_UNSUPPORTED, "another file"},
      {72, 8, (guint64)1 << 63, VM_ERROR_UNSUPPORTED, "0x8000000000000000"},
      {72, 8, 1 << 5, VM_ERROR_UNSUPPORTED, "0x20"},
      {96, 4, 7, VM_ERROR_INVALID, "reference counts"},
      {100, 4, 96, VM_ERROR_INVALID, "length"},
      {100, 4, 0xfffffff8, VM_ERROR_INVALID, "length"},
      {112, 8, (guint64)0x44415441 << 32 | 8, VM_ERROR_UNSUPPORTED, "another file"},
      {112, 8, (guint64)0x0537be77 << 32 | 16, VM_ERROR_UNSUPPORTED, "encrypted"},
      {112, 8, (guint64)0x6803f857 << 32 | 0xffffffff, VM_ERROR_INVALID, "extensions"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    ImageQcow2Head head = {0};
    guint8 h[LENGTH];

    make (h, 3);
    put (h + cases[i].at, cases[i].n, cases[i].value);
    g_test_message ("%u at %u", i, cases[i].at);
    g_assert_false (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
    g_assert_error (error, VM_ERROR, cases[i].code);
    g_assert_nonnull (strstr (error->message, cases[i].word));
    g_assert_cmpuint (head.size, ==, 0);
  }
}

/* The name of a backing file: a path, json:, another protocol, or one that is not where it should be. */
static void
test_backing (void)
{
  static const char *const names[] = {"/etc/shadow", "json:{\"driver\":\"file\"}", "nbd://host/x",
                                      "base.qcow2"};
  g_autoptr (GError) error = NULL;
  ImageQcow2Head head;
  guint8 h[LENGTH];

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    for (guint version = 2; version <= 3; version++) {
      make (h, version);
      put (h + 8, 8, 600);
      put (h + 16, 4, strlen (names[i]));
      memcpy (h + 600, names[i], strlen (names[i]));
      g_assert_false (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
      g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, names[i]));
      g_clear_error (&error);
    }
  put (h + 16, 4, 1024);
  g_assert_false (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  put (h + 8, 8, G_MAXUINT64);
  put (h + 16, 4, 10);
  g_assert_false (image_qcow2_parse (h, sizeof h, FILE_SIZE, &head, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

static void
put_name (guint8 *h, guint64 at, const char *name, gsize length)
{
  put (h + 8, 8, at);
  put (h + 16, 4, length);
  memcpy (h + at, name, length);
}

static void
put_format (guint8 *h, gsize at, const char *format)
{
  put (h + at, 4, 0xe2792aca);
  put (h + at + 4, 4, strlen (format));
  memcpy (h + at + 8, format, strlen (format));
}

/* One that may be over another is told, byte for byte, and with what it is said to be. */
static void
test_overlay (void)
{
  static const char odd[] = "json:{\xff\n\"x\"";
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;
  ImageQcow2Head head = {0};
  guint8 h[LENGTH];

  make (h, 3);
  g_assert_true (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
  g_assert_null (name);
  for (guint version = 2; version <= 3; version++) {
    gsize extensions = version == 2 ? 72 : 112;

    make (h, version);
    put_name (h, 600, odd, strlen (odd));
    g_assert_true (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
    g_assert_cmpstr (name, ==, odd);
    g_assert_false (head.backing_is_other);
    put_format (h, extensions, "qcow2");
    g_clear_pointer (&name, g_free);
    g_assert_true (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
    g_assert_false (head.backing_is_other);
    put_format (h, extensions, "raw");
    g_clear_pointer (&name, g_free);
    g_assert_true (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
    g_assert_true (head.backing_is_other);
    g_clear_pointer (&name, g_free);
  }
}

static void
test_overlay_refused (void)
{
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;
  ImageQcow2Head head = {0};
  guint8 h[LENGTH];

  make (h, 3);
  put_name (h, 600, "/a\0b", 4);
  g_assert_false (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  put_name (h, 600, "/a/b", 4);
  put (h + 72, 8, 1 << 2); /* and its data is elsewhere */
  g_assert_false (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  make (h, 3);
  put_name (h, LENGTH - 4, "/a/b", 4);
  put (h + 16, 4, 5);
  g_assert_false (image_qcow2_parse_overlay (h, sizeof h, FILE_SIZE, &head, &name, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_null (name);
  g_assert_cmpuint (head.size, ==, 0);
}

static void
test_cut (void)
{
  guint8 h[LENGTH];

  make (h, 3);
  for (gsize length = 0; length < 112; length++) {
    g_autoptr (GError) error = NULL;
    g_autofree guint8 *exact = g_memdup2 (h, length);
    ImageQcow2Head head;

    g_assert_false (image_qcow2_parse (exact, length, FILE_SIZE, &head, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  }
}

static void
test_sniff (void)
{
  const char *what;
  guint8 h[LENGTH];

  make (h, 3);
  g_assert_cmpstr (image_import_sniff (h, sizeof h, FILE_SIZE, &what), ==, "qcow2");
  memset (h, 0, sizeof h);
  g_assert_null (image_import_sniff (h, sizeof h, FILE_SIZE, &what));
  g_assert_null (what);
  memcpy (h + 257, "ustar", 5);
  g_assert_cmpstr (image_import_sniff (h, sizeof h, FILE_SIZE, &what), ==, "tar");
  memcpy (h, "KDMV", 4);
  g_assert_cmpstr (image_import_sniff (h, sizeof h, FILE_SIZE, &what), ==, "vmdk");
  memcpy (h, "# Disk DescriptorFile", 21);
  g_assert_null (image_import_sniff (h, sizeof h, FILE_SIZE, &what));
  g_assert_nonnull (strstr (what, "other files"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/qcow2/takes", test_takes);
  g_test_add_func ("/images/qcow2/refuses", test_refuses);
  g_test_add_func ("/images/qcow2/backing", test_backing);
  g_test_add_func ("/images/qcow2/overlay", test_overlay);
  g_test_add_func ("/images/qcow2/overlay-refused", test_overlay_refused);
  g_test_add_func ("/images/qcow2/cut", test_cut);
  g_test_add_func ("/images/qcow2/sniff", test_sniff);
  return g_test_run ();
}
