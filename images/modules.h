/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files a set of kernel modules consists of, read from modules.dep and modules.builtin as depmod(8)
 * writes them. Names are compared as the kernel does: '-' and '_' are the same. */
#pragma once

#include <glib.h>

/* The files (absolute paths, each once) that must be loaded for `names`, in the order in which to load them.
 * Built-in modules add nothing, and neither do crc32c_generic, virtio_balloon and autofs4 where the kernel
 * has none. Every file is readable. NULL and VM_ERROR_HOST, with the first module that cannot be had,
 * otherwise. (transfer full) */
char **image_modules_resolve (const char *modules_dir, const char *const *names, GError **error);

/* "virtio_net" of "kernel/drivers/net/virtio-net.ko.xz". (transfer full) */
char *image_module_name (const char *path);
