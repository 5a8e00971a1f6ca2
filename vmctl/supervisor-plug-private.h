/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The jobs' state, shared by supervisor-plug.c (what a job does) and supervisor-plug-life.c (what becomes of
 * them with their sandbox). */
#pragma once

#include "vmctl/acts.h"
#include "vmctl/supervisor-plug.h"

#define VM_PLUG_HALF_DONE "half-done"

/* What was asked for of a snapshot. */
typedef struct {
  char *name; /* owned; NULL: one is chosen */
  gboolean skip_plugged;
  guint freeze_ms;
} VmSnapshotWish;

typedef struct {
  VmPlugs *plugs;           /* borrowed */
  QmpRequest *request;      /* owned; NULL: nobody asked by the control socket */
  VmPlugSpec spec;          /* of a plug */
  char *id;                 /* owned; of an unplug; NULL: a plug */
  VmSnapshotWish *snapshot; /* owned; it makes (or, with `id`, removes) a snapshot; NULL: a device */
  VmPlugPlan *plan;         /* owned; of a plug that has begun */
  json_object *unplug;      /* owned; of an unplug that has begun */
  guint at;                 /* steps or acts that are done */
  guint fail_after;
  gboolean is_ours;    /* one of the plan's own, or of what a restore brings back */
  guint nth;           /* of the plan's own, from 1; 0: none of them */
  gboolean is_lenient; /* what cannot be undone was not done */
  GError *why;         /* owned; it has failed, and is being undone */
  char *result;        /* owned; what the agent said last */
} VmPlugJob;

struct VmPlugs {
  VmSupervisor *sup; /* borrowed */
  VmActs *acts;      /* owned */
  GQueue jobs;       /* of VmPlugJob, owned; the first is under way, if `is_busy` */
  gboolean is_busy;
  guint ours;     /* of the plan's own, how many are not done */
  char *our_fate; /* owned; why one of them cannot be had; NULL */
};

/* supervisor-plug.c */
/* A job at the end of the queue, for the caller to fill in; `take_request` may be NULL. */
VmPlugJob *vm_plugs_add (VmPlugs *plugs, QmpRequest *take_request);
void vm_plugs_next (VmPlugs *plugs); /* begins the first of them, if it can */

/* Without what is of no use but to us. (transfer full) */
json_object *vm_plugs_shown (json_object *device);

/* supervisor-snapshot.c: a snapshot's part of the jobs that it shares with what is plugged. */
void vm_snapshot_wish_free (VmSnapshotWish *wish);
VmPlugPlan *vm_snapshots_plan (VmSupervisor *sup, const VmSnapshotWish *wish, GError **error);
void vm_snapshots_made (VmSupervisor *sup, VmPlugPlan *plan, const VmPlugJob *job);
void vm_snapshots_removed (VmSupervisor *sup, const char *name);

/* supervisor-plug-life.c */
void vm_plugs_add_ours (VmPlugs *plugs); /* jobs for what the plan plugs */
/* In a sandbox that is about to start again: jobs for the copies of these disks (vmctl/snapshot.h), also in
 * the place of what the plan plugs. */
void vm_plugs_restore (VmPlugs *plugs, const char *snapshot, json_object *disks);
