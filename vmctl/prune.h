/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may go: records of ended sandboxes, state directories that a crash or a reboot left without a record,
 * and what the cache holds for no running sandbox. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"

typedef struct {
  const char *kind; /* static; "sandbox", "leftover", "kernel", "initramfs", "disk", "template", "part" */
  char *label;      /* owned; id and name, or a file name */
  char *dir, *name; /* owned; where it is */
  guint64 bytes;    /* on the disk */
  int lock;         /* owned; nobody builds in `dir` while it is open; -1: none is needed */
} VmPruneItem;

typedef struct {
  guint keep;     /* the newest ended sandboxes that stay */
  gboolean cache; /* the cache as well */
} VmPruneOptions;

/* Looks only, after a sweep (vm_store_sweep). While the items live no image is built: what is found unused
 * stays so until it is removed. What cannot be read is described in `problems`. (transfer full) of
 * VmPruneItem. */
GPtrArray *
vm_prune_find (const VmDirs *dirs, const VmPruneOptions *options, GPtrArray *problems, GError **error);
gboolean vm_prune_remove (const VmPruneItem *item, GError **error);
