/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `up` and `plan` have in common: the options of a run, and the way from them to a plan. */
#pragma once

#include <glib.h>

#include "vmctl/driver.h"
#include "vmctl/plan.h"
#include "vmctl/verb.h"

typedef struct {
  char *driver, *profile, *name, *memory, *cpus, *disk, *net, *kernel, *boot_timeout; /* owned */
  char **env, **grants, **no_grants;                                                  /* owned */
  gboolean no_root, serial, no_config;
} VmRunOptions;

/* The rows for a verb's option table; `type` is the verb's options struct with a VmRunOptions member `run`.
 */
#define VM_RUN_OPTIONS(type)                                                                                 \
  {"boot-timeout",                                                                                           \
   0,                                                                                                        \
   VM_OPTION_STRING,                                                                                         \
   offsetof (type, run.boot_timeout),                                                                        \
   "SECONDS",                                                                                                \
   "give up when the guest has not answered by then (default 120)",                                          \
   NULL},                                                                                                    \
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
      {"driver",         0,                                                                                  \
       VM_OPTION_STRING, offsetof (type, run.driver),                                                        \
       "NAME",           "auto, qemu or null (default auto)",                                                \
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
      {"kernel", 0, VM_OPTION_STRING, offsetof (type, run.kernel), "FILE", "boot this kernel of the host",   \
       "file"},                                                                                              \
      {"memory",                                                                                             \
       'm',                                                                                                  \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.memory),                                                                          \
       "SIZE",                                                                                               \
       "memory, in MiB without a unit (default: half the host's, at most 4G)",                               \
       NULL},                                                                                                \
      {"name",                                                                                               \
       'n',                                                                                                  \
       VM_OPTION_STRING,                                                                                     \
       offsetof (type, run.name),                                                                            \
       "NAME",                                                                                               \
       "name of the sandbox (default: the project's)",                                                       \
       NULL},                                                                                                \
      {"net", 0, VM_OPTION_STRING, offsetof (type, run.net), "POLICY", "none or public (default public)",    \
       "net"},                                                                                               \
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
      {"profile",        'p',                                                                                \
       VM_OPTION_STRING, offsetof (type, run.profile),                                                       \
       "NAME",           "shell, claude or one of your own (default shell)",                                 \
       "profile"},                                                                                           \
  {                                                                                                          \
    "serial", 0, VM_OPTION_FLAG, offsetof (type, run.serial), NULL,                                          \
        "run the session on the guest's serial console", NULL                                                \
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

/* The same without asking whether it can work here. */
const VmDriver *vm_run_find_driver (const VmRun *run, GError **error);
/* The driver of the spec: the named one, or for "auto" the strongest that can work here. An error says why
 * none can. */
const VmDriver *vm_run_choose_driver (VmRun *run, GError **error);

/* Kernel, initramfs and base disk, with progress; nothing to do when they are cached. */
gboolean vm_run_build_images (VmContext *context, VmRun *run, gboolean quiet, GError **error);
