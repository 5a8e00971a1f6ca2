/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long starts take on this host: `vmctl up PROJECT -- true` for each way of starting, and beside each
 * what it cannot be quicker than, in one run, in turns. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"
#include "vmctl/plan.h"
#include "vmctl/trace.h"

typedef struct {
  const char *name;              /* static */
  const char *const *how;        /* static; options of `up` */
  const char *floor;             /* static; what the floor is; NULL: there is none */
  VmPlan *plan;                  /* owned; for the floor, NULL */
  char *problem;                 /* owned; why it was left out, NULL */
  GArray *up, *floor_up;         /* owned; of gint64 microseconds, one a run */
  GArray *stages[VM_STAGES_MAX]; /* owned; likewise, by VmStampName of their end */
  gboolean is_template;
} VmBenchRow;

void vm_bench_row_clear (VmBenchRow *row);

/* One start of `project` with the row's options; added to `up` and `stages`. */
gboolean vm_bench_start (const VmDirs *dirs, const char *project, VmBenchRow *row, GError **error);
/* One run of the floor, added to `floor_up`: of a virtual machine, QEMU in a jail and nothing else of
 * vmctl's, from its start to the agent's greeting; of namespaces, bwrap with hardly an option and `true` in
 * it. `dir` is an empty private directory. */
gboolean vm_bench_floor (const char *dir, VmBenchRow *row, GError **error);

/* 0 for none. Pure. */
gint64 vm_bench_median (const GArray *values);
