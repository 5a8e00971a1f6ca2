/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels of an image, and the modules that vmctl may load with them. */
#pragma once

#include "images/ext/nbd.h"
#include "images/layout.h"

/* Their versions, newest last: vmlinuz-VERSION in the root's /boot, at the top of another ext partition (a
 * /boot of its own), /usr/lib/modules/VERSION/vmlinuz, and NixOS's. At most a few. (transfer full) */
char **image_look_kernels (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs);

/* Writes them below the directory `dir_fd` as boot/vmlinuz-VERSION, with lib/modules/VERSION/{modules.dep,
 * modules.builtin} and the files of the modules named (canonical names) and of what they need. What an image
 * lacks is left out. */
gboolean image_kernel_extract (ImageNbd *nbd, GArray *partitions, const ImagePartition *root, ext2_filsys fs,
                               const char *const *modules, int dir_fd, GError **error);
