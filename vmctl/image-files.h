/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The actions of `vmctl image` that look into an image, or change it, by libguestfs (images/guestfs.h). */
#pragma once

#include "images/info.h"
#include "vmctl/verb.h"

/* The options of `vmctl image`. */
typedef struct {
  char *format, *mirror, *name, *packages, *root, *size;
  char **steps; /* what `customize` does: the name of an option, its value, ... */
  gboolean all, deep, dry_run, force, json, keep_owner, quiet, long_list;
} VmImageOptions;

/* As VmAction.run. `options` is VmImageOptions. */
int vm_image_ls (VmContext *context, gconstpointer options, char **args, GError **error);
int vm_image_cat (VmContext *context, gconstpointer options, char **args, GError **error);
int vm_image_copy_out (VmContext *context, gconstpointer options, char **args, GError **error);
int vm_image_copy_in (VmContext *context, gconstpointer options, char **args, GError **error);
int vm_image_customize (VmContext *context, gconstpointer options, char **args, GError **error);
/* image inspect --deep */
int vm_image_inspect_deep (VmContext *context, const VmImageOptions *options, const ImageInfo *info,
                           GError **error);
