/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of the disk of a virtual machine that runs: the scratch disk, or what was written to an image.
 *
 * How it works
 *
 * A snapshot is a copy, not a layer: QEMU writes what the disk's overlay has at one moment into a new qcow2
 * file of vmctl's, while the machine goes on (a `blockdev-backup` job in a `transaction`; what the guest
 * overwrites meanwhile is copied first). So nothing of the running machine's chain of disks ever changes,
 * whoever dies when; each snapshot stands for itself, and can be removed whatever came after it. The price is
 * room and time for what the guest has written.
 *
 * The moment is one at which the guest's file system stands still: the agent freezes it
 * (meta/agent/freeze.h), and the snapshot counts only if the thaw says that it was frozen to its end.
 *
 * Disks that were plugged and can be written to are in it as well, each as a whole in a file of its own, of
 * the same moment: one transaction begins all copies, and every file system that is mounted of a disk stands
 * still. The user's file of such a disk is never written to by a restore.
 *
 * It is made of the steps of a plug (vmctl/plug.h), by the same jobs: what was done is undone when one fails,
 * or by the supervisor that takes over. A restore is a `vmctl reset` whose disk begins as a copy of the file.
 * That of a kept disk (images/disk.h) takes the disk's name, whole and on the host's disk by then; until that
 * moment the disk is what the guest has written to it, and nothing in it ever refers to a snapshot.
 *
 * Files: STATE/sandboxes/ID/snapshots/NAME/root.qcow2, 0600 in 0700, an overlay on the empty disk of the
 * cache (images/scratch.h) or on an image's, without the name of one in its head; plugged-ID.qcow2 beside it,
 * whole. They go with their sandbox, also where the disk is kept. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/plug.h"

/* A snapshot in the record: {"name", "created": microseconds since the epoch, "parent": the one before it on
 * the same disk, "frozen-us": how long the guest stood still, "disks": array of {"id", "source": the user's
 * file (absent: it has none), "format": that one's, "copy": the path of its copy, a qcow2, "bytes": of that
 * on the disk, "nth": of what the plan plugs it was that one, from 1 (absent: of none)} (absent: there are
 * none), "half-done", "unplug": the acts that remove it}
 *
 * "id" is its name too. */

/* What a plugged disk's copy is called in QEMU begins so, and ends with the disk's id; that of the machine's
 * own disk is "snapshot". */
#define VM_SNAPSHOT_COPY "snapshot-"

enum {
  VM_SNAPSHOTS_MAX = 64,
  VM_SNAPSHOT_FREEZE_MS = 10000, /* the guard's; the transaction takes milliseconds */
};

/* What the plan depends on. Borrowed. */
typedef struct {
  const VmPlan *plan;
  json_object *snapshots, *devices; /* arrays, as in the record */
  const char *parent;               /* NULL: none */
  gboolean skip_plugged;            /* disks that were plugged are left out */
  guint freeze_ms;
  gint64 now; /* microseconds since the epoch */
} VmSnapshotFacts;

/* [A-Za-z0-9][A-Za-z0-9._-]{0,39} */
gboolean vm_snapshot_is_name (const char *text);

/* Pure. `name` NULL: "s1", "s2", ... UNSUPPORTED: no machine, no disk. EXISTS. USAGE. BUSY: too many. */
VmPlugPlan *vm_snapshot_plan_make (const char *name, const VmSnapshotFacts *facts, GError **error);
/* It is whole: what the agent said of the time that it took is believed as far as it can be. */
void vm_snapshot_take_result (VmPlugPlan *plan, const char *result, guint freeze_ms);
/* The snapshot `name` is no longer there: those that came after it have its parent. */
void vm_snapshot_leave (json_object *snapshots, char **parent, const char *name);

/* Files (snapshot-files.c). `state_fd`: the sandbox's state directory. */

/* A new file for it, empty. -1 and error; then there is none. */
int vm_snapshot_file_new (int state_fd, const VmPlan *plan, const char *name, GError **error);
int vm_snapshot_file_open (int state_fd, const char *name, GError **error);
/* Absent is success. */
gboolean vm_snapshot_file_remove (int state_fd, const char *name, GError **error);
void vm_snapshot_files_remove_all (int state_fd);
guint64 vm_snapshot_file_bytes (int state_fd, const char *name); /* on the disk */
/* The same of the copy of the plugged disk `id`: an empty qcow2 of that size in the snapshot's directory,
 * which is there. */
int vm_snapshot_disk_new (int state_fd, const char *name, const char *id, guint64 size, GError **error);
int vm_snapshot_disk_open (int state_fd, const char *name, const char *id, GError **error);
guint64 vm_snapshot_disk_bytes (int state_fd, const char *name, const char *id);
/* (transfer full) */
char *vm_snapshot_disk_path (const char *state_dir, const char *name, const char *id);
/* A copy of it, as the file that the next start takes (VmPlan.disk_file). `keep`: the directory of the kept
 * disk that it is of, NULL: of none. Blocks as long as that takes. */
gboolean vm_snapshot_file_copy (int state_fd, const char *name, const char *keep, GError **error);
/* The path of that file. (transfer full) */
char *vm_snapshot_next_disk (const VmPlan *plan);
/* Copies of the copies `disks` (as in the record), to be plugged once the sandbox has started again. Until
 * they are chosen they are nothing. Blocks as long as that takes. */
gboolean vm_snapshot_disks_copy (int state_fd, const char *name, json_object *disks, GError **error);
/* They are what is waited for; whatever there was of others goes. */
gboolean vm_snapshot_disks_choose (int state_fd, GError **error);
gboolean vm_snapshot_disks_are_chosen (int state_fd);
/* Of a copy: QEMU has written it, which a guest may have taken over. `name` is for messages. */
gboolean vm_snapshot_check_head (int fd, const char *name, GError **error);
/* One of them, which loses its name. -1 and error. */
int vm_snapshot_disks_take (int state_fd, const char *id, GError **error);
void vm_snapshot_disks_forget (int state_fd);
/* Which file the empty disk or the image's is: a snapshot is of no use with another. (transfer full); NULL:
 * it has gone */
char *vm_snapshot_base_id (const char *disk_base);
