/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client of the X server inside says (meta/agent/xclient.h). All of it is foreign. Pure. */
#pragma once

#include <glib.h>

enum { VM_PICTURE_SIDE_MAX = 16384 };

typedef struct {
  guint width, height;  /* 1 to VM_PICTURE_SIDE_MAX */
  guint x, y;           /* the pointer, on the screen */
  const guint8 *pixels; /* borrowed from the output; width * height * 3 bytes, if they were wanted */
  gsize n;              /* that many */
} VmPicture;

/* "screen WIDTH HEIGHT X Y\n", and with `wants_pixels` exactly as many as that makes. INVALID for all else.
 */
gboolean vm_picture_parse (GBytes *output, gboolean wants_pixels, VmPicture *ret, GError **error);
