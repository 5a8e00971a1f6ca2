/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's own programs that work on images. */
#pragma once

#include "images/cage.h"
#include "images/guestfs.h"
#include "vmctl/dirs.h"

typedef struct {
  char *ext, *keeper; /* owned */
  ImageTools paths;   /* the same, borrowed */
} VmImageTools;

/* With what looks into images without booting them. */
typedef struct {
  VmImageTools tools;
  char *program;      /* owned; vmctl-guestfs */
  ImageGuestfs paths; /* the same, borrowed */
} VmImageGuestfs;

/* HOST: one is missing. */
gboolean vm_image_tools_find (const VmDirs *dirs, VmImageTools *ret, GError **error);
void vm_image_tools_clear (VmImageTools *tools);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmImageTools, vm_image_tools_clear)

/* `dirs` has to stay. HOST: this vmctl was built without libguestfs. */
gboolean vm_image_guestfs_find (const VmDirs *dirs, VmImageGuestfs *ret, GError **error);
void vm_image_guestfs_clear (VmImageGuestfs *guestfs);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmImageGuestfs, vm_image_guestfs_clear)
