/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-png WIDTH HEIGHT: pixels on stdin (red, green, blue), a PNG on stdout. A program of its own, so that
 * neither the supervisor nor anything else of vmctl links libpng, or waits for it. The pixels are foreign,
 * their number is not. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE_MAX = 16384 };

static unsigned
parse_side (const char *text)
{
  char *end;
  unsigned long value = strtoul (text, &end, 10);

  return *text >= '0' && *text <= '9' && *end == '\0' && value <= SIDE_MAX ? (unsigned)value : 0;
}

int
main (int argc, char **argv)
{
  png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB, .flags = PNG_IMAGE_FLAG_FAST};
  unsigned char *pixels;
  size_t n;

  image.width = argc == 3 ? parse_side (argv[1]) : 0;
  image.height = argc == 3 ? parse_side (argv[2]) : 0;
  n = (size_t)image.width * image.height * 3;
  pixels = n > 0 ? malloc (n) : NULL;
  if (pixels == NULL || fread (pixels, 1, n, stdin) != n) {
    fprintf (stderr, "vmctl-png: a part of vmctl, not for use by hand\n");
    return 2;
  }
  if (!png_image_write_to_stdio (&image, stdout, 0, pixels, 0, NULL) || fflush (stdout) != 0) {
    fprintf (stderr, "vmctl-png: %s\n", image.message);
    return 1;
  }
  return 0;
}
