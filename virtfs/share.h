/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host directory that a guest sees through QEMU's 9p server (virtio-9p-pci and an fsdev). A sandbox has
 * two: one read-only tree, one read-write; what is in them is the jail's mount namespace (vmctl/jail.c), so
 * their number does not grow.
 *
 * What the choices mean (measured: docs/architecture.md):
 *  security_model=none   the guest's files are ordinary files of the user that QEMU runs as; chown is
 * refused. The mapped models make new files 0600 and symbolic links plain files on the host. multidevs=remap
 * the jail's binds come from several file systems: inode numbers must not clash. readonly refused in QEMU,
 * and once more by the read-only bind below it. */
#pragma once

#include <glib.h>

#include "vmctl/base/argv.h"

typedef struct {
  const char *id;   /* of the fsdev; a plain word */
  const char *path; /* as QEMU sees it; any bytes: commas are doubled */
  const char *tag;  /* the mount tag, at most 31 bytes */
  gboolean read_only;
  guint slot; /* on the PCI bus, 0: the next free one */
} VirtfsShare;

/* Appends -fsdev and -device. Pure. */
void virtfs_share_argv (const VirtfsShare *share, VmArgv *argv);
