/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's own programs that work on images. */
#pragma once

#include "images/cage.h"
#include "vmctl/dirs.h"

typedef struct {
  char *ext, *keeper; /* owned */
  ImageTools paths;   /* the same, borrowed */
} VmImageTools;

/* HOST: one is missing. */
gboolean vm_image_tools_find (const VmDirs *dirs, VmImageTools *ret, GError **error);
void vm_image_tools_clear (VmImageTools *tools);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmImageTools, vm_image_tools_clear)
