/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The initramfs: the agent as /init, modules as /modules/NN-name.ko in the order in which to load them, the
 * empty directories that the agent mounts on, and /dev/console and /dev/null. Same input, same bytes. */
#pragma once

#include <glib.h>

#include "images/boot.h"
#include "images/output.h"

/* `modules`: files as image_modules_resolve() gives them, NULL-terminated; at most 99. Packed ones are
 * unpacked. */
gboolean image_initramfs_write (ImageOutput *out, const char *agent, const char *const *modules,
                                ImageProgress progress, gpointer data, GError **error);
