/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of a sandbox: RUNTIME/ID/record.json while it lives, STATE/sandboxes/ID/record.json once it has
 * ended.
 *
 * The supervisor writes it before each step, and holds an flock on RUNTIME/ID/lock as long as it lives.
 * Whoever gets that lock knows that there is no supervisor, and may clean up or take over. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/base/process.h"
#include "vmctl/trace.h"
#include "vmctl/dirs.h"

typedef enum {
  VM_STATE_STARTING, /* files, keeper, guest boot */
  VM_STATE_RUNNING,  /* the agent is up */
  VM_STATE_PAUSED,
  VM_STATE_STOPPING,
  VM_STATE_ENDED,
} VmState;

/* Why a sandbox ended. */
typedef enum {
  VM_REASON_NONE,
  VM_REASON_EXITED,          /* the main command did; `status` is its exit code as the shell counts */
  VM_REASON_STOPPED,         /* by vmctl stop, a signal to the supervisor, or QMP quit */
  VM_REASON_CLIENT_GONE,     /* the foreground client vanished */
  VM_REASON_GUEST_SHUTDOWN,  /* the guest powered off by itself */
  VM_REASON_GUEST_PANIC,     /* kernel panic; text: its first line */
  VM_REASON_GUEST_RESET,     /* reset without a panic seen */
  VM_REASON_AGENT_TIMEOUT,   /* the agent never answered */
  VM_REASON_AGENT_FAILED,    /* the agent could not set the sandbox up; text: what it said */
  VM_REASON_AGENT_BROKEN,    /* the agent broke the protocol */
  VM_REASON_VMM_SIGNAL,      /* QEMU was killed by a signal; `status` is the signal */
  VM_REASON_VMM_FAILED,      /* QEMU, bwrap or the keeper ended with an error; text: its last words */
  VM_REASON_SUPERVISOR_LOST, /* supervisor and sandbox both died; seen by a later vmctl */
  VM_REASON_START_FAILED,    /* an error before QEMU ran; text: the error */
  VM_REASON_WATCHDOG,        /* nothing answered inside for as long as --watchdog says */
  VM_REASON_OUT_OF_MEMORY,   /* the kernel killed the main command, or all of it, at the memory limit; text:
                                the limit; `status` as with EXITED, or -1 */
} VmReason;

const char *vm_state_name (VmState state);    /* "starting", ... */
const char *vm_reason_name (VmReason reason); /* "exited", "guest-panic", ... */

typedef struct {
  char *id, *name, *project;        /* owned */
  char *driver, *isolation, *accel; /* owned; accel may be NULL */
  char *image;                      /* owned; the guest's, as it was named; NULL: the host's own programs */
  char *keep;                       /* owned; the name of the kept disk that it writes to; NULL: none */
  char *template;                   /* owned; key of the one that it went on from; NULL: it booted */
  char **passed_over;               /* owned, never NULL; stronger drivers, and why they were not taken */
  char *profile;                    /* owned */
  char **command;                   /* owned; NULL: login shell */
  VmState state;
  char *step; /* owned; what a starting sandbox is doing: "files", "launch", "boot", "setup" */
  VmReason reason;
  char *text;    /* owned; more about the reason, escaped for a terminal, may be NULL */
  gint64 status; /* with EXITED, OUT_OF_MEMORY: 0..255; with VMM_SIGNAL: the signal; else -1 */
  gint64 created, started, ended; /* microseconds since the epoch; 0: not yet */
  VmProcess supervisor, keeper;   /* pid 0: none */
  gboolean detached;              /* lives on without a client */
  gboolean tty;                   /* the main command has a terminal */
  gboolean serial;                /* the session is on the serial console */
  guint64 memory, disk;           /* bytes */
  guint restart_max;              /* how often it starts again after a failure; 0: never */
  guint restarts;                 /* how often it has started again */
  guint failures;                 /* ... for that reason */
  char *restart_why;              /* owned; why the last time; NULL: never */
  char *paused_why;               /* owned; why it is paused, if nobody asked for that; NULL */
  guint cpus;
  guint processes;      /* 0: no limit */
  char **groups;        /* owned, never NULL; directories of the control group, to be removed at the end */
  char **unkept;        /* owned, never NULL; limits that nobody keeps, a sentence */
  char *net;            /* owned; as it is now: "none", "public", "list", "host" */
  char **net_rules;     /* owned, never NULL; of it, as in a plan */
  char *display;        /* owned; "none", "gtk", "vnc"; NULL: there is no screen */
  char *size;           /* owned; of the screen, "1280x800"; NULL: none */
  VmStamps stamps;      /* when what happened */
  json_object *devices; /* owned, never NULL; array: what was plugged, with the acts that take it away */
  char **warnings;      /* owned, never NULL; what the user should know (protected files that appeared) */

  json_object *snapshots; /* owned, never NULL; array: of the disk, oldest first (vmctl/snapshot.h) */
  char *snapshot;         /* owned; the one from which the disk went on, or that it became; NULL: none */
} VmRecord;

VmRecord *vm_record_new (void);
void vm_record_free (VmRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmRecord, vm_record_free)

json_object *vm_record_to_json (const VmRecord *record);
/* NULL and VM_ERROR_INVALID for anything that is not a record of this or an older format. */
VmRecord *vm_record_from_json (json_object *object, GError **error);

/* record.json below a directory; at most 1 MiB is read. */
gboolean vm_record_write (const VmRecord *record, int dir_fd, gboolean durable, GError **error);
VmRecord *vm_record_read (int dir_fd, GError **error);

/* Now, if it was not before. */
void vm_record_stamp (VmRecord *record, VmStampName name);

/* FALSE: the record has this warning already. */
gboolean vm_record_warn (VmRecord *record, const char *text);

/* The sandbox's processes have ended: `how` is the keeper's last word, "status N" or "signal N". Sets the
 * reason, unless one is known already. */
void vm_record_take_end (VmRecord *record, const char *how);

/* "exited with 3", "guest kernel panic: ...", "QEMU was killed by signal 9 (Killed)". (transfer full) */
char *vm_record_reason_text (const VmRecord *record);
