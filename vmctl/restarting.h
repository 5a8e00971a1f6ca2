/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client's side of vmctl restart, vmctl reset and vmctl snapshot restore. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#include "vmctl/dirs.h"

typedef struct {
  const char *command;  /* of the control socket: "sandbox-restart", "sandbox-reset" */
  const char *snapshot; /* its name, with "snapshot-restore"; else NULL */
  json_object *disks;   /* borrowed; with that: those that are plugged again (vmctl/snapshot.h); NULL: none */
  guint powerdown_ms;   /* 0: the supervisor's default */
  gboolean json;        /* the records are printed, as an array */
} VmRestarting;

/* One after the other, each until it runs again and has its disks, which is told on stdout. None of them is
 * touched if one does not run. NULL-terminated `words`; empty: the sandbox of the current directory. */
gboolean vm_restarting_run (const VmDirs *dirs, char **words, const VmRestarting *how, GError **error);
