/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/picture.h"

static gboolean
parse (const char *text, gsize more, gboolean wants_pixels, VmPicture *ret, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree guint8 *pixels = g_malloc0 (more + 1);
  g_autoptr (GBytes) output = NULL;

  g_byte_array_append (bytes, (const guint8 *)text, (guint)strlen (text));
  g_byte_array_append (bytes, pixels, (guint)more);
  output = g_bytes_new (bytes->data, bytes->len);
  return vm_picture_parse (output, wants_pixels, ret, error);
}

static void
test_good (void)
{
  g_autoptr (GError) error = NULL;
  VmPicture picture;

  g_assert_true (parse ("screen 4 2 3 1\n", 24, TRUE, &picture, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (picture.width, ==, 4);
  g_assert_cmpuint (picture.height, ==, 2);
  g_assert_cmpuint (picture.x, ==, 3);
  g_assert_cmpuint (picture.y, ==, 1);
  g_assert_cmpuint (picture.n, ==, 24);
  g_assert_true (parse ("screen 640 480 0 0\n", 0, FALSE, &picture, &error));
  /* A pointer that is nowhere is at the edge. */
  g_assert_true (parse ("screen 640 480 -5 99999\n", 0, FALSE, &picture, &error));
  g_assert_cmpuint (picture.x, ==, 0);
  g_assert_cmpuint (picture.y, ==, 479);
}

static void
assert_bad (const char *text, gsize more)
{
  g_autoptr (GError) error = NULL;
  VmPicture picture;

  g_test_message ("%s and %u bytes", text, (unsigned)more);
  g_assert_false (parse (text, more, TRUE, &picture, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

static void
test_bad (void)
{
  static const char *const texts[] = {
      "",
      "\n",
      "screen",
      "screen 4 2 3 1",
      "screen 4 2 3\n",
      "screen 4 2 3 1 x\n",
      "screen 0 2 3 1\n",
      "screen -4 -2 3 1\n",
      "screen 16385 1 0 0\n",
      "screen 99999999999 1 0 0\n",
      "picture 4 2 3 1\n",
      "                                                                screen 4 2 3 1\n"};

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    assert_bad (texts[i], 24);
  assert_bad ("screen 4 2 3 1\n", 23);
  assert_bad ("screen 4 2 3 1\n", 25);
  assert_bad ("screen 4 2 3 1\n", 0);
  assert_bad ("screen 16384 16384 0 0\n", 24);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/picture/good", test_good);
  g_test_add_func ("/vmctl/picture/bad", test_bad);
  return g_test_run ();
}
