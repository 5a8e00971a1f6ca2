/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to plan*.c, grant*.c and grants/: how entries get into a plan, and the parts that vm_plan_make puts
 * together. All pure. */
#pragma once

#include "vmctl/plan.h"

/* Entries. Every string is copied. The ones of one target: the later wins nothing, so add once. */
void vm_plan_add_dir (VmPlan *plan, const char *target, guint mode, gboolean owner_root, const char *why);
void vm_plan_add_ro (VmPlan *plan, const char *source, const char *target, gboolean is_dir, const char *why);
void vm_plan_add_rw (VmPlan *plan, const char *source, const char *target, const char *why);
void vm_plan_add_inside (VmPlan *plan, VmMountKind kind, const char *path, gboolean is_dir,
                         const char *why); /* PIN or PROTECT */
void vm_plan_add_link (VmPlan *plan, const char *target, const char *text, const char *why);
void
vm_plan_add_file (VmPlan *plan, const char *target, const char *content, const char *why); /* 0644, root's */
/* A host entry as it is: a link as LINK, all else RO. */
void vm_plan_add_entry (VmPlan *plan, const VmHostEntry *entry, const char *why);

/* A file with what the host file `source` has at the start: the user's own inside, with `mode`. */
void vm_plan_add_copy (VmPlan *plan, const char *source, const char *target, guint mode, const char *why);
/* The file `source` read-write. */
void vm_plan_add_rw_file (VmPlan *plan, const char *source, const char *target, const char *why);
/* What a socket's clients and servers need beside bytes. */
typedef enum {
  VM_SOCKET_PLAIN,       /* nothing; some servers ask for the user at the other end, and want the host's */
  VM_SOCKET_RELAYED,     /* the agent is to carry its bytes wherever there is one */
  VM_SOCKET_DESCRIPTORS, /* descriptors are passed: worth nothing in a VM */
} VmSocketNeeds;
/* The host's socket `source` for the inside: carried by the agent (VM_MOUNT_RELAY) or bound. A VM shares no
 * sockets with the host. In a container nobody has a user id of the host's, so a server that asks would
 * refuse everybody; the supervisor, at the outer end of a relay, is the user. */
void vm_plan_add_socket (VmPlan *plan, const char *source, const char *target, VmSocketNeeds needs,
                         const char *why);
void vm_plan_add_device (VmPlan *plan, const char *path, gboolean is_dir, const char *why);
/* A directory of this project's own in the state directory, read-write. */
void
vm_plan_add_state (VmPlan *plan, const VmHost *host, const char *name, const char *target, const char *why);
void
vm_plan_add_make (VmPlan *plan, VmMakeKind kind, const char *path, const char *source, const char *content);
/* One sentence for the user. */
void vm_plan_add_note (VmPlan *plan, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* The entry with this target, borrowed; NULL: none. */
const VmMount *vm_plan_mount_at (const VmPlan *plan, const char *target);
/* TRUE if `path` lies in something of the host's that is let in (read-only, read-write, or a link to it). */
gboolean vm_plan_shows (const VmPlan *plan, const char *path);
/* Where the user's home is inside, with symbolic links followed. Borrowed from `host`. */
const char *vm_plan_home (const VmHost *host);

/* Sets a variable of the environment inside; an empty value is no value. */
void vm_plan_setenv (VmPlan *plan, const char *name, const char *value);
/* Passes one on from the host if it is set, not empty, and UTF-8. TRUE if it was. */
gboolean vm_plan_passenv (VmPlan *plan, const VmHost *host, const char *name);

/* Passes one on as a secret. TRUE if it is set, not empty, and UTF-8. */
gboolean vm_plan_pass_secret (VmPlan *plan, const VmHost *host, const char *name);
/* TRUE if the name says that the value is a secret: ..._TOKEN, ..._KEY, ... */
gboolean vm_plan_is_secret_name (const char *name);

/* An empty plan, owned by the caller. */
VmPlan *vm_plan_new (void);
/* TRUE if the profile has the grant on this host. */
gboolean vm_plan_profile_has (const VmProfile *profile, const VmHost *host, const char *grant);

/* The parts, in this order. */
gboolean vm_plan_check_project (const VmHost *host, GError **error);
/* TRUE if nobody may have `path` read-write: a part of the system, of vmctl's own, or of the user's secrets.
 * *ret_why says which ("is your home directory"), borrowed. */
gboolean vm_plan_is_forbidden (const VmHost *host, const char *path, const char **ret_why);
gboolean vm_plan_set_net (VmPlan *plan, const VmSpec *spec, GError **error);
/* Behind it: what is plugged, with the groups of the configuration looked up. */
gboolean vm_plan_set_plugs (VmPlan *plan, const VmSpec *spec, GError **error);
gboolean vm_plan_add_root (VmPlan *plan, const VmHost *host, GError **error);
/* The driver is known; memory and cpus are set. */
void vm_plan_set_limits (VmPlan *plan, const VmSpec *spec, const VmHost *host);
void vm_plan_add_home (VmPlan *plan, const VmHost *host);
void vm_plan_add_project (VmPlan *plan, const VmHost *host);
/* The rest of a screen whose kind and size are set; before the grants. */
gboolean vm_plan_add_screen (VmPlan *plan, const VmHost *host, GError **error);
gboolean vm_plan_add_grants (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host,
                             GError **error);
/* --socket; after the grants, since nothing that is there may be hidden. */
gboolean vm_plan_add_sockets (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error);
/* After the grants: what the profile starts, and the directories of its `path`. NO_PROGRAM if it is nowhere.
 */
gboolean vm_plan_add_program (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host,
                              GError **error);
/* Where vm_plan_add_program put links, for PATH; NULL: nowhere. */
const char *vm_plan_program_dir (const VmPlan *plan);
/* The command as tmux's. */
void vm_plan_add_tmux (VmPlan *plan);
/* Last but tmux: puts `option` and a text about the sandbox behind the command's name. */
void vm_plan_add_prompt (VmPlan *plan, const char *option);
/* --image: what cannot go with it is refused, once the driver is known; and, after everything but the
 * command's own environment, what is this host's is taken out. */
gboolean vm_plan_check_image (const VmPlan *plan, const VmSpec *spec, GError **error);
void vm_plan_fit_image (VmPlan *plan, const VmHost *host);
/* ... or, where the host's tree stays, what its systemd needs in /etc is put in. */
void vm_plan_fit_host_systemd (VmPlan *plan);
/* After the grants: what they did not add and what must exist. */
void vm_plan_finish_etc (VmPlan *plan);
void vm_plan_add_environment (VmPlan *plan, const VmProfile *profile, const VmHost *host);
gboolean vm_plan_add_spec_environment (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error);
