/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/picture.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/base/error.h"

enum { HEADER_MAX = 64 };

static gboolean
parse_header (const char *line, VmPicture *ret)
{
  int x, y;
  char end;

  if (sscanf (line, "screen %5u %5u %6d %6d%c", &ret->width, &ret->height, &x, &y, &end) != 4 ||
      ret->width == 0 || ret->height == 0 || ret->width > VM_PICTURE_SIDE_MAX ||
      ret->height > VM_PICTURE_SIDE_MAX)
    return FALSE;
  ret->x = (guint)CLAMP (x, 0, (int)ret->width - 1);
  ret->y = (guint)CLAMP (y, 0, (int)ret->height - 1);
  return TRUE;
}

gboolean
vm_picture_parse (GBytes *output, gboolean wants_pixels, VmPicture *ret, GError **error)
{
  gsize n;
  const char *data = g_bytes_get_data (output, &n),
             *end = n > 0 ? memchr (data, '\n', MIN (n, HEADER_MAX)) : NULL;
  g_autofree char *line = end != NULL ? g_strndup (data, (gsize)(end - data)) : NULL;

  *ret = (VmPicture){0};
  if (line == NULL || !parse_header (line, ret))
    return vm_error (error, VM_ERROR_INVALID, "the screen inside answers nonsense");
  n -= (gsize)(end + 1 - data);
  if (wants_pixels && n != (gsize)ret->width * ret->height * 3)
    return vm_error (error, VM_ERROR_INVALID, "the screen inside sends another number of pixels than it has");
  ret->pixels = (const guint8 *)end + 1;
  ret->n = n;
  return TRUE;
}
