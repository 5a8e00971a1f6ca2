/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver turns a plan into a command line that the keeper runs. It sees nothing but the plan. */
#pragma once

#include <glib.h>

#include "vmctl/base/argv.h"
#include "vmctl/plan.h"

typedef struct {
  VmArgv *argv;     /* owned; the keeper and everything behind it */
  GPtrArray *inner; /* owned; words that travel by descriptor (bwrap --args); NULL: none */
} VmLaunch;

void vm_launch_clear (VmLaunch *launch);

/* Slots that every launch has, bound by the supervisor: "go" (the keeper waits for a byte), "keeper" (its
 * listening socket), "dir" (the runtime directory), "agent" (listening). A driver with QMP also has "qmp"
 * (listening) and "console" (outer end of the serial line). */
typedef struct {
  const char *name, *summary;
  VmIsolation isolation;
  gboolean has_qmp; /* there is a QEMU monitor, a serial console, a guest that can be powered down */

  /* Can it work here? Starts nothing; the error says why not and what mends it. */
  gboolean (*probe) (const VmHost *host, GError **error);
  /* The command line. Pure. */
  gboolean (*render) (const VmPlan *plan, VmLaunch *ret, GError **error);
  /* Binds what only exists when it is really started: disks, filters. May be NULL. */
  gboolean (*prepare) (const VmPlan *plan, VmLaunch *launch, GError **error);
} VmDriver;

extern const VmDriver vm_driver_qemu, vm_driver_null;
extern const VmDriver *const vm_drivers[];         /* strongest first, ends with NULL */
const VmDriver *vm_driver_find (const char *name); /* NULL: unknown */

/* {"argv": [...], "inner": [...], "descriptors": {...}} (transfer full) */
json_object *vm_launch_to_json (VmLaunch *launch);

/* The words that start the keeper, up to and with "--"; used by the drivers. */
void vm_driver_add_keeper (const VmPlan *plan, VmArgv *argv, gboolean namespaces, gboolean console);
