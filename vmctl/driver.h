/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver turns a plan into a command line that the keeper runs. It sees nothing but the plan. */
#pragma once

#include <glib.h>

#include "vmctl/base/argv.h"
#include "vmctl/filter.h"
#include "vmctl/plan.h"

typedef struct {
  VmArgv *argv;     /* owned; the keeper and everything behind it */
  GPtrArray *inner; /* owned; words that travel by descriptor (bwrap --args); NULL: none */
  GPtrArray *tree;  /* owned; the same, of the keeper's --tree (vmctl/stage.h); NULL: none */
  VmFilter filter;  /* which one has the slot "seccomp", if any: the supervisor binds it, and writes it while
                     * the  keeper starts and waits, for that takes a while */
} VmLaunch;

void vm_launch_clear (VmLaunch *launch);

/* How a driver wants the plan's network (docs/network.md). */
typedef enum {
  /* It has nothing to do with it: the null driver, which is as its host. */
  VM_KEEPER_NET_HOST,
  /* The keeper starts the driver's program in a network namespace that has lo and, unless the plan says
   * `none`, tap0 with address and route: nothing is left to do inside. The program must stay in that
   * namespace (bwrap without --unshare-net, nspawn without --private-network and its like). Works for an
   * ordinary user and for real root, and vmctl-net always runs as the plan's user. */
  VM_KEEPER_NET_NAMESPACE,
  /* The program has the slot "nic": a datagram socket, a frame a datagram; not bound when the plan says
   * `none`. It gets no namespace by the keeper. */
  VM_KEEPER_NET_FRAMES,
} VmKeeperNet;

enum { VM_DRIVER_MTU = 65520 }; /* of the sandbox's interface: vmctl-net's */

/* Slots that every launch has, bound by the supervisor: "go" (the keeper waits for a byte), "keeper" (its
 * listening socket), "dir" (the runtime directory), "agent" (listening). A driver with QMP also has "qmp"
 * (listening) and "console" (outer end of the serial line). */
typedef struct {
  const char *name, *summary;
  VmIsolation isolation;
  VmKeeperNet net;
  /* Capabilities; what is not there is not set. Only driver.c reads them, for the functions below. */
  gboolean has_qmp;    /* there is a QEMU monitor, a serial console, a guest that can be powered down */
  gboolean needs_root; /* its program must be root's: under sudo the keeper stays root for it */

  /* Can it work here? From host facts alone, so that the choice is a pure function: opens and starts nothing.
   * The error (VM_ERROR_HOST) is "WHY; MEND". */
  gboolean (*probe) (const VmHost *host, GError **error);
  /* The part of the plan that is the driver's own: programs, kernel, disk. Pure; errors as from probe. */
  gboolean (*fill) (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error);
  /* The command line. Pure. */
  gboolean (*render) (const VmPlan *plan, VmLaunch *ret, GError **error);
  /* Binds what only exists when it is really started: disks, words. May be NULL. */
  gboolean (*prepare) (const VmPlan *plan, VmLaunch *launch, GError **error);
} VmDriver;

extern const VmDriver vm_driver_qemu, vm_driver_nspawn, vm_driver_bwrap, vm_driver_null;
extern const VmDriver *const vm_drivers[];         /* strongest first, ends with NULL */
const VmDriver *vm_driver_find (const char *name); /* NULL: unknown */

/* What it can, and how (docs/driver.md). */
gboolean vm_driver_has_monitor (const VmDriver *driver); /* slot "qmp"; unknown commands pass through to it */
gboolean vm_driver_has_console (const VmDriver *driver); /* slot "console" */
gboolean vm_driver_pauses_itself (const VmDriver *driver); /* by its monitor; the others are frozen */
/* Does the keeper of this user's sandboxes have to be root's (vmctl/root-keeper.h)? */
gboolean vm_driver_needs_root_keeper (const VmDriver *driver, guint uid);
/* Can it have the network that is asked for? From host facts alone; errors as from probe. */
gboolean vm_driver_check_net (const VmDriver *driver, VmNet net, const VmHost *host, GError **error);

/* {"argv": [...], "inner": [...], "tree": [...], "descriptors": {...}} (transfer full) */
json_object *vm_launch_to_json (VmLaunch *launch);

/* The words that start the keeper in the plan's control group, up to and without "--"; used by the drivers.
 * With a network it has the slots "net-control", "net-control-peer", "net-log" and (FRAMES) "packet", which
 * the supervisor binds. */
void vm_driver_add_keeper (const VmPlan *plan, VmArgv *argv, gboolean namespaces, gboolean console,
                           VmKeeperNet net);
/* Is there to be a vmctl-net for it? */
gboolean vm_driver_has_helper (const VmPlan *plan, VmKeeperNet net);
/* The slots "group0", ... by which the keeper's child gets into the control group. (transfer full) */
char *vm_driver_group_slot (guint n);
/* Parts of that, without the "--": what every driver has, and the network. */
void vm_driver_begin_keeper (const VmPlan *plan, VmArgv *argv);
void vm_driver_add_net (const VmPlan *plan, VmArgv *argv, VmKeeperNet net);
