/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `up` and `plan` have in common: the options of a run, and the way from them to a plan. */
#pragma once

#include <glib.h>

#include "vmctl/driver.h"
#include "vmctl/plan.h"
#include "vmctl/verb.h"

typedef struct {
  char *accel, *driver, *min_isolation, *profile, *name, *memory, *cpus, *processes, *disk, *kernel, *image,
      *keep, *boot_timeout, *restart, *watchdog, *display, *size, *root_ports;            /* owned */
  char **env, **grants, **no_grants, **sockets, **plugs, **nets, **host_ports, **publish; /* owned */
  gboolean cold, no_root, serial, tmux, no_config;
} VmRunOptions;

/* The rows for a verb's option table; `type` is the verb's options struct with a VmRunOptions member `run`.
 */
#define VM_RUN_OPTIONS(type)                                                                                 \
  {"accel",          0,                                                                                      \
   VM_OPTION_STRING, offsetof (type, run.accel),                                                             \
   "NAME",           "how a virtual machine runs: auto, kvm or tcg (default auto)",                          \
   "accel"},                                                                                                 \
      {"boot-timeout",                                                                                       \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.boot_timeout),                                                                    \
       "SECONDS",                                                                                            \
       "give up when the guest has not answered by then (default 120)",                                      \
       NULL},                                                                                                \
      {"cold", 0, VM_OPTION_FLAG, offsetof (type, run.cold), NULL, "boot, whatever templates there are",     \
       NULL},                                                                                                \
      {"cpus",                                                                                               \
       'c',                                                                                                  \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.cpus),                                                                            \
       "N",                                                                                                  \
       "processors (default: half the host's, at most 4)",                                                   \
       NULL},                                                                                                \
      {"disk",                                                                                               \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.disk),                                                                            \
       "SIZE|none",                                                                                          \
       "size of the scratch disk (default 16G, grows on demand), or none for memory",                        \
       NULL},                                                                                                \
      {"display",        0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.display),                                                       \
       "KIND",           "a screen: none (seen by 'vmctl screenshot'), gtk (a window) or vnc (a socket)",    \
       "display"},                                                                                           \
      {"driver",         0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.driver),                                                        \
       "NAME",           "auto, or a driver's name (default auto: the strongest that works)",                \
       "driver"},                                                                                            \
      {"env",                                                                                                \
       'e',                                                                                                  \
       VM_OPTION_LIST,                                                                                       \
       offsetof (type, run.env),                                                                             \
       "NAME[=VALUE]",                                                                                       \
       "set a variable inside, or pass the host's on (repeat)",                                              \
       NULL},                                                                                                \
      {"grant",        'g',                                                                                  \
       VM_OPTION_LIST, offsetof (type, run.grants),                                                          \
       "NAME",         "let one more thing of the host in (repeat)",                                         \
       "grant"},                                                                                             \
      {"image",          0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.image),                                                         \
       "NAME",           "an image of 'vmctl image' as the guest, instead of this host's own programs",      \
       "image-name"},                                                                                        \
      {"keep",                                                                                               \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.keep),                                                                            \
       "NAME",                                                                                               \
       "keep what is written to the image in this disk, and go on with it",                                  \
       "disk"},                                                                                              \
      {"kernel", 0, VM_OPTION_STRING, offsetof (type, run.kernel), "FILE", "boot this kernel of the host",   \
       "file"},                                                                                              \
      {"memory",                                                                                             \
       'm',                                                                                                  \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.memory),                                                                          \
       "SIZE",                                                                                               \
       "memory, in MiB without a unit (default: half the host's, at most 4G)",                               \
       NULL},                                                                                                \
      {"min-isolation",  0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.min_isolation),                                                 \
       "LEVEL",          "refuse less than vm, container or namespace",                                      \
       "isolation"},                                                                                         \
      {"name",                                                                                               \
       'n',                                                                                                  \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.name),                                                                            \
       "NAME",                                                                                               \
       "name of the sandbox (default: the project's)",                                                       \
       NULL},                                                                                                \
      {"net",          0,                                                                                    \
       VM_OPTION_LIST, offsetof (type, run.nets),                                                            \
       "POLICY",       "none, public, host, allow:LIST or deny:LIST (repeat; default public)",               \
       "net"},                                                                                               \
      {"net-host-port",                                                                                      \
       0,                                                                                                    \
       VM_OPTION_LIST,                                                                                       \
       offsetof (type, run.host_ports),                                                                      \
       "PORT",                                                                                               \
       "let it reach this host's own PORT, as host.vmctl.internal (repeat)",                                 \
       NULL},                                                                                                \
      {"no-config", 0, VM_OPTION_FLAG, offsetof (type, run.no_config), NULL, "read no configuration files",  \
       NULL},                                                                                                \
      {"no-grant",     0,                                                                                    \
       VM_OPTION_LIST, offsetof (type, run.no_grants),                                                       \
       "NAME",         "leave out a grant of the profile (repeat)",                                          \
       "grant"},                                                                                             \
      {"no-root",                                                                                            \
       0,                                                                                                    \
       VM_OPTION_FLAG,                                                                                       \
       offsetof (type, run.no_root),                                                                         \
       NULL,                                                                                                 \
       "nobody becomes root inside (no sudo)",                                                               \
       NULL},                                                                                                \
      {"plug",         0,                                                                                    \
       VM_OPTION_LIST, offsetof (type, run.plugs),                                                           \
       "KIND=ARGS",    "plug this before the command starts, as vmctl plug does (repeat)",                   \
       "plug="},                                                                                             \
      {"processes",                                                                                          \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.processes),                                                                       \
       "N",                                                                                                  \
       "processes at once (default 4096); not of a virtual machine",                                         \
       NULL},                                                                                                \
      {"profile",        'p',                                                                                \
       VM_OPTION_STRING, offsetof (type, run.profile),                                                       \
       "NAME",           "shell, claude, claude-shell or one of your own (default shell)",                   \
       "profile"},                                                                                           \
      {"publish",                                                                                            \
       0,                                                                                                    \
       VM_OPTION_LIST,                                                                                       \
       offsetof (type, run.publish),                                                                         \
       "[ADDRESS:]PORT[:INSIDE][/udp]",                                                                      \
       "pass a port of this host on to one inside (repeat; ADDRESS is 127.0.0.1)",                           \
       NULL},                                                                                                \
      {"restart",        0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.restart),                                                       \
       "POLICY",         "never, or on-failure[:N]: start again, at most N times (default never)",           \
       "restart"},                                                                                           \
      {"root-ports",                                                                                         \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.root_ports),                                                                      \
       "N",                                                                                                  \
       "places for devices that are plugged into a virtual machine later (default 4)",                       \
       NULL},                                                                                                \
      {"serial",                                                                                             \
       0,                                                                                                    \
       VM_OPTION_FLAG,                                                                                       \
       offsetof (type, run.serial),                                                                          \
       NULL,                                                                                                 \
       "run the session on the guest's serial console",                                                      \
       NULL},                                                                                                \
      {"size",                                                                                               \
       0,                                                                                                    \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.size),                                                                            \
       "WxH",                                                                                                \
       "size of the screen in pixels (default 1280x800)",                                                    \
       NULL},                                                                                                \
      {"socket",       0,                                                                                    \
       VM_OPTION_LIST, offsetof (type, run.sockets),                                                         \
       "SRC[:DST]",    "let a UNIX socket of the host in (repeat)",                                          \
       "file"},                                                                                              \
      {"tmux", 0, VM_OPTION_FLAG, offsetof (type, run.tmux), NULL, "run the command within tmux, inside",    \
       NULL},                                                                                                \
  {                                                                                                          \
    "watchdog", 0, VM_OPTION_STRING, offsetof (type, run.watchdog), "SECONDS",                               \
        "end it when nothing inside has answered for so long", NULL                                          \
  }

/* Everything a plan is made from. */
typedef struct {
  VmSpec spec;
  VmProfile profile;
  VmHost host;
} VmRun;

/* Reads options, configuration and host; refuses what cannot be. `project` and `command` may be NULL. */
gboolean vm_run_gather (VmContext *context, const VmRunOptions *options, const char *project, char **command,
                        VmRun *ret, GError **error);
void vm_run_clear (VmRun *run);

/* Notes on stderr: what the project's .vmctl.conf asked for and did not get. */
void vm_run_print_ignored (const VmRun *run);
/* Likewise what the plan has to say about grants. */
void vm_run_print_notes (const VmPlan *plan);

/* One line on stderr about which driver `auto` chose, and why each stronger one was passed over: a note,
 * which `quiet` silences, but a fall-back is always told. */
void vm_run_print_choice (const VmRun *run, const VmPlan *plan, gboolean quiet);

/* Limits that nobody keeps are told; those of the defaults not if `quiet`. */
void vm_run_print_unkept (const VmRun *run, const VmPlan *plan, gboolean quiet);

/* A QEMU that does not say its version cannot be used (host->qemu_problem); that it is missing is the
 * driver's business. */
void vm_run_ask_version (VmHost *host);
/* The plan, with facts that cost a process (QEMU's version). */
VmPlan *vm_run_make_plan (VmRun *run, const char *id, const char *name, GError **error);
/* Can the plan's driver work here? The error names the driver. */
gboolean vm_run_probe (const VmRun *run, const VmPlan *plan, GError **error);

/* Kernel, initramfs and base disk, with progress; nothing to do when they are cached. */
gboolean vm_run_build_images (VmContext *context, VmRun *run, gboolean quiet, GError **error);
