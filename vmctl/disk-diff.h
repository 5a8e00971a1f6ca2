/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kept disk has changed, for people and programs. */
#pragma once

#include <glib.h>

/* `records` (images/guestfs/diff.h) to stdout: "A PATH" lines, with control characters escaped; with `null`
 * as they are, and a NUL after each; or an array of objects. They come out of a jail: INVALID, and nothing is
 * printed, if they are anything else. */
gboolean vm_disk_diff_print (const char *records, gsize length, gboolean json, gboolean null, GError **error);
