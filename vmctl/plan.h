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
  VM_MOUNT_ABSENT,  /* inside an earlier RW: a protected name that does not exist and may not come into being;
                       while the sandbox runs an empty directory is there, read-only inside (vmctl/absent.h) */
  VM_MOUNT_DIR,     /* an empty directory `target`, `mode`, owner by `owner_root` */
  VM_MOUNT_LINK,    /* symbolic link `target` with the text `source` */
  VM_MOUNT_FILE,    /* file `target` with `content`, `mode` */
  VM_MOUNT_TMPFS,   /* tmpfs `target`, `mode` */
  VM_MOUNT_COPY,    /* the content of the host file `source`, taken at the start, as the user's own file
                       `target`,    `mode`; what is written to it inside stays inside */
  VM_MOUNT_RELAY,   /* a socket `target`: whoever connects to it talks to the host's socket `source`, through
                       the   agent and the supervisor */
  VM_MOUNT_DEV,     /* device `source` (a node, or a directory of nodes) at `target`; not in a VM */
} VmMountKind;

typedef struct {
  VmMountKind kind;
  char *source;  /* owned; NULL where it has no meaning */
  char *target;  /* owned; absolute, as seen inside */
  char *share;   /* owned; RW only */
  char *content; /* owned; FILE only, text */
  guint mode;
  gboolean owner_root; /* DIR, FILE, TMPFS: root's inside; else the user's */
  gboolean is_dir;     /* RO, RW, PIN, PROTECT, DEV: what `source` is; a socket is no directory */
  char *why;           /* owned; "root", "project", "home", "meta", "option", "image", or "grant:NAME"; or
                          VM_WHY_VMM */
} VmMount;

/* Why something is mounted that the inside does not see: QEMU's programs, where the guest has its own. */
#define VM_WHY_VMM "vmm"

/* What the supervisor makes on the host before anything is mounted. Symbolic links are never followed. */
typedef enum {
  VM_MAKE_DIR,   /* directory `path`, the user's, and those above it that are missing (0700) */
  VM_MAKE_FILE,  /* file `path` (0600) with `content`, if there is none */
  VM_MAKE_MARK,  /* the same; but a file that is there must have this very content */
  VM_MAKE_XAUTH, /* file `path` (0600): the cookies of the display `content` in the file `source`, no others
                  */
} VmMakeKind;

typedef struct {
  VmMakeKind kind;
  char *path;    /* owned; absolute */
  char *source;  /* owned; XAUTH only */
  char *content; /* owned; FILE, MARK, XAUTH */
} VmMake;

/* A screen inside: an X server that the agent starts, with a window manager. With GTK a window of the user's
 * own display shows it: QEMU's, or without a machine a viewer's, in a jail. */
typedef struct {
  VmDisplay kind;      /* UNSET: none; all else here is then 0 or NULL */
  guint width, height; /* pixels */
  char *server;  /* owned; the X server's program, inside: Xorg in a virtual machine, else Xvfb, or Xvnc */
  char *manager; /* owned; the window manager's, NULL: none */
  char *socket, *number; /* owned; GTK: the socket and number of the user's own display, for the window */
  char *cookies;         /* owned; GTK: the file with that display's cookies; NULL: it has none */
  char *viewer, *jail;   /* owned; GTK without a machine: a VNC viewer, and bubblewrap for it */
} VmScreen;

/* "1280x800"; NULL: there is no screen. (transfer full) */
char *vm_screen_size (const VmScreen *screen);

typedef struct {
  char *id;     /* owned; 8 characters of [a-z0-9] */
  char *name;   /* owned */
  char *driver; /* owned; a name in vm_drivers */
  VmIsolation isolation;
  char **passed_over; /* owned, never NULL; with --driver auto: each stronger driver, and why not it */
  char *accel;        /* owned; "kvm", "tcg"; NULL for other drivers */
  char *profile;      /* owned */
  char **grants;      /* owned, never NULL; those in force: they let something in */
  char **notes;       /* owned, never NULL; what the user should know about grants, one sentence each */

  char *user, *group, *home, *shell, *hostname; /* owned */
  guint uid, gid;
  guint mask;            /* umask inside */
  gboolean root_allowed; /* may the user become root inside */
  gboolean userns;       /* may user namespaces be made, and mounts in them; namespaces only */

  char *project, *cwd; /* owned; absolute */
  GPtrArray *mounts;   /* of VmMount, owned; in the order in which they are made */
  GPtrArray *makes;    /* of VmMake, owned; in this order */
  char **linked;  /* owned, never NULL; protected host paths that are symbolic links, each followed by its
                     text: looked  at at the end */
  char **watched; /* owned, never NULL; protected host paths that do not exist now and are looked for at the
                     end */
  char **command; /* owned; NULL: the login shell */
  char **environment; /* owned, never NULL; the environment inside, but for the secrets */
  char **secrets;     /* owned, never NULL; NAME=value, the rest of the environment: never printed, never in
                         an argv */

  guint64 memory, disk; /* bytes; disk 0: tmpfs, though there may be a disk_base, which a template wants */
  guint cpus;
  guint processes;  /* 0: no limit (a virtual machine) */
  VmGroups groups;  /* owned; the control group that keeps the limits and can be frozen */
  char **unkept;    /* owned, never NULL; a sentence about limits that nobody keeps */
  VmNet net;        /* never DEFAULT */
  char **net_rules; /* owned, never NULL; lines of vmctl/net/policy.h: hostport, allow, deny */
  VmScreen screen;  /* owned */
  gboolean trace;   /* the moment at which QEMU is executed is noted (vmctl/trace.h) */
  gboolean serial;
  guint root_ports;   /* of a virtual machine: places for what is plugged later */
  guint cpus_max;     /* likewise processors; never less than `cpus` */
  guint64 memory_max; /* likewise bytes of memory; never less than `memory` */
  char *
      *plugs; /* owned; what is plugged before the command starts: JSON of vm_plug_spec_to_json; NULL: none */
  gboolean registered; /* nspawn: with machined; only in a unit of its own, which machined may end */
  guint boot_timeout;  /* seconds */
  guint restart_max;   /* how often it starts again after a failure; 0: never */
  guint watchdog;      /* seconds without a sign of life after which it ends; 0: it never does */

  char *qemu, *firmware, *nspawn, *bwrap, *keeper, *vmlinux, *initramfs,
      *disk_base; /* owned; NULL where not used */
  VmImage image;  /* owned; the guest's root is an overlay over it, and `disk_base` is its disk, if it has
                     one */
  char *kernel_version;   /* owned */
  char *mac;              /* owned; of a machine's network card; NULL: no machine */
  char *template;         /* owned; path of the template that serves this plan; NULL: it boots */
  char **template_inputs; /* owned; what of the host it depends on, "NAME=VALUE"; NULL without a template */
  gboolean has_template;  /* it is there, and is used; else it is made once the machine has booted */
  guint64 templates_max;  /* bytes */
  char *ram_preload;      /* owned; with a template: makes QEMU open its memory for reading only */
  char *runtime_dir;      /* owned; $XDG_RUNTIME_DIR/vmctl/ID */
  char *state_dir;        /* owned; $XDG_STATE_HOME/vmctl/sandboxes/ID */

  char *disk_file; /* owned; what the scratch disk of the next start begins as: an overlay, which it takes for
                      itself. The supervisor's own, in no JSON; NULL: an empty one, or the template's */
} VmPlan;

void vm_plan_free (VmPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmPlan, vm_plan_free)
void vm_mount_free (VmMount *mount);
void vm_make_free (VmMake *make);

/* Spec, profile and host facts to a plan. Pure: no disk, no clock, no process, no randomness (`id` and `name`
 * come in). NULL and an error that names the option or the fact: USAGE for what the user wrote, HOST for what
 * the host lacks. (transfer full) */
VmPlan *vm_plan_make (const VmSpec *spec, const VmProfile *profile, const VmHost *host, const char *id,
                      const char *name, GError **error);

/* Has it a network of its own, with a vmctl-net? */
gboolean vm_plan_has_card (const VmPlan *plan);

/* For drivers whose made-up directories are read-only: is this one to be a tmpfs of its own? */
gboolean vm_mount_is_writable_dir (const VmMount *mount);
/* In the tmpfs of one of the first `before` mounts a plain directory will do. */
gboolean vm_plan_lies_in_writable (const VmPlan *plan, guint before, const char *target);

/* Environment and secrets together, as the inside gets them. (transfer full) */
char **vm_plan_full_environment (const VmPlan *plan);

/* Is its X server Xvnc, to which viewers come by way of the supervisor? */
gboolean vm_plan_has_xvnc (const VmPlan *plan);

/* What the control group is given. Pure. */
void vm_plan_group_limits (const VmPlan *plan, VmGroupLimits *ret);
/* Does the supervisor make the group, and so also remove it? */
gboolean vm_plan_makes_groups (const VmPlan *plan);

/* Both ways; the supervisor gets its plan as this, secrets included. (transfer full) */
json_object *vm_plan_to_json (const VmPlan *plan);
/* The same for people: of a secret only its name. (transfer full) */
json_object *vm_plan_to_shown_json (const VmPlan *plan);
VmPlan *vm_plan_from_json (json_object *object, GError **error);
/* The plan of a running sandbox, from its runtime directory. (transfer full) */
VmPlan *vm_plan_read (int runtime_fd, GError **error);
/* For people: what is let in, from where, how. (transfer full) */
char *vm_plan_to_text (const VmPlan *plan);
