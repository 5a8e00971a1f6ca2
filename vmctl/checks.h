/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a host must have. `vmctl doctor` runs all of it beforehand; `vmctl up` the cheap part, and the rest
 * when something has failed, so that both say the same in the same words. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/host.h"

typedef enum { VM_CHECK_OK, VM_CHECK_WARNING, VM_CHECK_FAILED } VmCheckLevel;

typedef struct {
  const char *name; /* static; for programs: "qemu" */
  const char *what; /* static; for people: "QEMU" */
  VmCheckLevel level;
  char *why;  /* owned; what was found, or what is wrong */
  char *mend; /* owned; what to do, a command where there is one; NULL */
} VmCheck;

void vm_check_free (VmCheck *check);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmCheck, vm_check_free)
/* FALSE and "WHY; MEND" (VM_ERROR_HOST) for a failed one; TRUE for the others. Takes it. */
gboolean vm_check_require (VmCheck *take_check, GError **error);
/* {"name", "what", "level", "why", "mend"} (transfer full) */
json_object *vm_check_to_json (const VmCheck *check);
const char *vm_check_level_name (VmCheckLevel level); /* "ok", "warning", "failed" */

/* From facts alone: nothing is started, nothing is opened. (transfer full) */
VmCheck *vm_check_qemu (const VmHost *host);   /* there, and new enough if its version is known */
VmCheck *vm_check_nspawn (const VmHost *host); /* there, new enough, and started as root or through sudo */
VmCheck *vm_check_bwrap (const VmHost *host);
VmCheck *vm_check_userns (const VmHost *host); /* do the kernel's settings allow user namespaces? */
VmCheck *vm_check_helpers (const VmHost *host);
VmCheck *vm_check_tun (const VmHost *host); /* for the network of drivers other than qemu */
VmCheck *vm_check_kernel (const VmHost *host);

VmCheck *vm_check_display (const VmHost *host); /* what --display needs */
VmCheck *vm_check_limits (const VmHost *host);  /* is there a control group for them? */

/* These look at the host. (transfer full) */
VmCheck *vm_check_kvm (const VmHost *host);
VmCheck *vm_check_disk_tools (void); /* qemu-img, mke2fs */
VmCheck *vm_check_runtime (const VmHost *host);
VmCheck *vm_check_state (const VmHost *host); /* writable, and room */
VmCheck *vm_check_cache (const VmHost *host);
VmCheck *vm_check_memory (const VmHost *host);

/* These start processes. (transfer full) */
VmCheck *vm_check_namespaces (const VmHost *host); /* keeper and bwrap really make theirs */
VmCheck *vm_check_network (const VmHost *host);    /* vmctl-net, libslirp, taps */

/* Why user namespaces are not to be had, by the kernel's settings, and the mend; NULL: they forbid nothing.
 * (static) */
const char *vm_check_userns_mend (void);
/* What bwrap or the keeper said when they failed, with that mend where it is about namespaces. (transfer
 * full)
 */
char *vm_check_explain_child (const char *said);
