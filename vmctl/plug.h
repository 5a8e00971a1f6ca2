/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugging: what is added to a sandbox that runs, and how. All of it here is pure.
 *
 * How it works
 *
 * spec + what is known of the sandbox -> a list of steps. A step is an act and what undoes it; an act is
 * data, so it prints (--dry-run), is tested without a machine, and is kept in the record for the unplug,
 * whoever does that. vmctl/supervisor-plug.c does the acts one after the other, and undoes those that were
 * done when one fails. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/plan.h"

typedef enum {
  VM_PLUG_DIR,    /* a directory of the host's */
  VM_PLUG_DISK,   /* a file as a disk, or a new one */
  VM_PLUG_CPU,    /* that many processors in all */
  VM_PLUG_MEM,    /* that much memory in all */
  VM_PLUG_SERIAL, /* a named line between a socket outside and a port inside */
  VM_PLUG_USB,    /* a device of the host's */
  VM_PLUG_PORT,   /* a port of the host's leads to one inside */
  VM_PLUG_NIC,    /* a network card */
  VM_PLUG_KINDS,
} VmPlugKind;

const char *vm_plug_kind_name (VmPlugKind kind); /* "dir", ... */

/* What was asked for. Plain data; which members count is the kind's. */
typedef struct {
  VmPlugKind kind;
  char *id;     /* owned; NULL: one is made */
  char *source; /* owned; DIR, DISK: absolute; DISK: NULL: a new one of `size`; USB: its node, once looked for
                 */
  char *target; /* owned; DIR: absolute, inside; NULL: as `source` */
  gboolean read_only; /* DIR, DISK */
  char *format;       /* owned; DISK: "raw", "qcow2"; NULL: as the file's head says */
  guint64 size;       /* DISK, MEM: bytes */
  guint count;        /* CPU */
  char *name;         /* owned; SERIAL */
  char *address;      /* owned; PORT: of the host, numeric; NULL: 127.0.0.1 */
  guint host_port, guest_port;
  gboolean udp;          /* PORT */
  guint vendor, product; /* USB; both 0: by ... */
  guint bus, device;     /* ... these */
  char *snapshot; /* owned; DISK: of a new one: it begins as its copy in this snapshot, which a restore has
                     put ready; nobody else asks for that: the control socket does not know it */
  char *net;      /* owned; NIC: words of --net; NULL: as the sandbox has it, else `public` */
} VmPlugSpec;

void vm_plug_spec_clear (VmPlugSpec *spec);

/* As a user writes it: KIND, then its ARGS ("/srv/data:/data:ro", "4G", "8080:80"). A relative path of the
 * host's counts from the directory `cwd`. Errors are USAGE. */
gboolean
vm_plug_spec_parse (const char *kind, const char *args, const char *cwd, VmPlugSpec *ret, GError **error);
/* KIND=ARGS, or KIND alone. */
gboolean vm_plug_spec_parse_word (const char *word, const char *cwd, VmPlugSpec *ret, GError **error);
/* As the command `plug` of the control socket has it. (transfer full) */
json_object *vm_plug_spec_to_json (const VmPlugSpec *spec);
gboolean vm_plug_spec_from_json (json_object *object, VmPlugSpec *ret, GError **error);
/* Of a NIC: puts what is in them in place of groups of the configuration (vmctl/net-words.h). */
gboolean vm_plug_expand_net (VmPlugSpec *spec, char **groups, GError **error);
/* For people: "dir /srv/data at /data, read-only". (transfer full) */
char *vm_plug_spec_to_text (const VmPlugSpec *spec);
/* [a-z][a-z0-9-]{0,19}: ids, and names of serial lines. */
gboolean vm_plug_is_id (const char *text);

/* Acts and steps. An act is {"at": WHERE, "command": NAME, "arguments": ...}:
 *
 *   qmp     a command for QEMU; with "descriptor": true the descriptor that was opened before travels along;
 *           with "awaits": EVENT it is done when QEMU has said that of the device; with "repeats": true it is
 *           said again when nothing comes; with "may-fail": true its error does not matter
 *   keeper  a request; the arguments are words; with "descriptor": true as above; with "descriptors": true
 *           those that were made for this network card travel along
 *   agent   a change (meta/agent/change.h); the arguments are words
 *   net     waits until the vmctl-net of the card that is named goes by a policy
 *   job     follows jobs of QEMU's to their end (vmctl/acts-job.c)
 *   copy    looks at QEMU's disks for a snapshot of them (vmctl/acts-copy.c)
 *   here    the supervisor's own; what there is, is in vmctl/acts-here.c */
typedef struct {
  json_object *act;  /* owned */
  json_object *undo; /* owned; NULL: nothing to undo */
} VmPlugStep;

/* What the plan depends on. Borrowed. */
typedef struct {
  const VmPlan *plan;
  json_object *devices; /* array: those that are plugged, as in the record */
  guint host_cpus;
  guint64 host_memory; /* bytes */
} VmPlugFacts;

typedef struct {
  char *id; /* owned */
  VmPlugKind kind;
  json_object *device;  /* owned; what is shown of it: "id", "kind", and what its spec says */
  GPtrArray *steps;     /* of VmPlugStep, owned */
  json_object *unplug;  /* owned; the acts that take it away again, in their order */
  json_object *abandon; /* owned; the same as long as it is half done; NULL: as `unplug` */
} VmPlugPlan;

/* NULL and an error that says why not: USAGE, EXISTS (the id), UNSUPPORTED (this driver), BUSY (no place
 * left). (transfer full) */
VmPlugPlan *vm_plug_plan_make (const VmPlugSpec *spec, const VmPlugFacts *facts, GError **error);
void vm_plug_plan_free (VmPlugPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmPlugPlan, vm_plug_plan_free)

/* {"id", "kind", "steps": [{"act", "undo"}]} (transfer full) */
json_object *vm_plug_plan_to_json (const VmPlugPlan *plan);
/* One act for people: "qmp device_add {...}". (transfer full) */
char *vm_plug_act_to_text (json_object *act);

/* May the directory `real` of the host's (its path without links) be let in? USAGE. */
gboolean vm_plug_check_dir (const VmPlan *plan, const VmDirs *dirs, const char *real, GError **error);

enum { VM_PLUG_HEAD = 512 /* bytes of a disk file that tell its format */ };
/* The first `length` bytes of `file`. *ret_format: "qcow2" or "raw", and that is what was `wanted` (NULL:
 * what it is). INVALID: it is something else, or needs other files. */
gboolean vm_plug_check_disk (const guint8 *head, gsize length, const char *wanted, const char *file,
                             const char **ret_format, GError **error);
