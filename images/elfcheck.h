/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is this ELF file what it is taken for? Reads only what is inside [data, data + length). */
#pragma once

#include <glib.h>

gboolean image_elf_is (const guint8 *data, gsize length); /* just the magic */

/* A 64-bit x86-64 executable whose segments lie inside the file. *ret_pvh: it has the note with the entry
 * point by which QEMU starts a vmlinux (XEN_ELFNOTE_PHYS32_ENTRY). */
gboolean image_elf_check_kernel (const guint8 *data, gsize length, gboolean *ret_pvh, GError **error);

/* A 64-bit x86-64 relocatable file. */
gboolean image_elf_check_module (const guint8 *data, gsize length, GError **error);

/* A 64-bit x86-64 executable that needs no dynamic linker. */
gboolean image_elf_check_static (const guint8 *data, gsize length, GError **error);
