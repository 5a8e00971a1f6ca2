/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan: what will be done, as pure data. It is the only thing that a driver and the supervisor see. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/config.h"
#include "vmctl/host.h"
#include "vmctl/spec.h"

typedef enum {
  VM_MOUNT_RO, /* host `source` (file or directory) read-only at `target` */
  VM_MOUNT_RW, /* host `source` (directory) read-write at `target`; `share` is its name in the rw export: "0",
                  "1", ... */
  VM_MOUNT_PIN,     /* inside an earlier RW: bound onto itself, so that it cannot be renamed away */
  VM_MOUNT_PROTECT, /* inside an earlier RW: read-only */
  VM_MOUNT_DIR,     /* an empty directory `target`, `mode`, owner by `owner_root` */
  VM_MOUNT_LINK,    /* symbolic link `target` with the text `source` */
  VM_MOUNT_FILE,    /* file `target` with `content`, `mode` */
  VM_MOUNT_TMPFS,   /* tmpfs `target`, `mode` */
} VmMountKind;

typedef struct {
  VmMountKind kind;
  char *source;  /* owned; NULL where it has no meaning */
  char *target;  /* owned; absolute, as seen inside */
  char *share;   /* owned; RW only */
  char *content; /* owned; FILE only, text */
  guint mode;
  gboolean owner_root; /* DIR, FILE, TMPFS: root's inside; else the user's */
  gboolean is_dir;     /* RO, PIN, PROTECT: what `source` is */
  char *why;           /* owned; "root", "project", "home", "meta", or "grant:NAME" */
} VmMount;

typedef enum {
  VM_ISOLATION_NONE,
  VM_ISOLATION_NAMESPACE,
  VM_ISOLATION_CONTAINER,
  VM_ISOLATION_VM
} VmIsolation;
const char *vm_isolation_name (VmIsolation isolation); /* "none", "namespace", "container", "vm" */

typedef struct {
  char *id;     /* owned; 8 characters of [a-z0-9] */
  char *name;   /* owned */
  char *driver; /* owned; "qemu", "null" */
  VmIsolation isolation;
  char *accel;   /* owned; "kvm", "tcg"; NULL for other drivers */
  char *profile; /* owned */
  char **grants; /* owned, never NULL; those in force */

  char *user, *group, *home, *shell, *hostname; /* owned */
  guint uid, gid;
  guint mask;            /* umask inside */
  gboolean root_allowed; /* may the user become root inside */

  char *project, *cwd; /* owned; absolute */
  GPtrArray *mounts;   /* of VmMount, owned; in the order in which they are made */
  char **watched; /* owned, never NULL; protected host paths that do not exist now and are looked for at the
                     end */
  char **command; /* owned; NULL: the login shell */
  char **environment; /* owned, never NULL; the whole environment inside */

  guint64 memory, disk; /* bytes; disk 0: tmpfs */
  guint cpus;
  VmNet net; /* never DEFAULT */
  gboolean serial;
  guint boot_timeout; /* seconds */

  char *qemu, *firmware, *bwrap, *keeper, *vmlinux, *initramfs, *disk_base; /* owned; NULL where not used */
  char *kernel_version;                                                     /* owned */
  char *runtime_dir; /* owned; $XDG_RUNTIME_DIR/vmctl/ID */
  char *state_dir;   /* owned; $XDG_STATE_HOME/vmctl/sandboxes/ID */
} VmPlan;

void vm_plan_free (VmPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmPlan, vm_plan_free)
void vm_mount_free (VmMount *mount);

/* Spec, profile and host facts to a plan. Pure: no disk, no clock, no process, no randomness (`id` and `name`
 * come in). NULL and an error that names the option or the fact: USAGE for what the user wrote, HOST for what
 * the host lacks. (transfer full) */
VmPlan *vm_plan_make (const VmSpec *spec, const VmProfile *profile, const VmHost *host, const char *id,
                      const char *name, GError **error);

/* Both ways; the supervisor gets its plan as this. (transfer full) */
json_object *vm_plan_to_json (const VmPlan *plan);
VmPlan *vm_plan_from_json (json_object *object, GError **error);
/* For people: what is let in, from where, how. (transfer full) */
char *vm_plan_to_text (const VmPlan *plan);
