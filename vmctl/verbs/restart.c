/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl restart: ends what runs in sandboxes, and starts them again. */
#include <stddef.h>

#include "vmctl/base/error.h"
#include "vmctl/restarting.h"
#include "vmctl/verbs.h"

enum { SECONDS_MAX = 3600 };

typedef struct {
  gboolean json;
  char *time;
} RestartOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (RestartOptions, json), NULL, "print an array of records as JSON",
     NULL},
    {"time", 't', VM_OPTION_STRING, offsetof (RestartOptions, time), "SECONDS",
     "give the inside so long to end (default 10)", NULL},
    {NULL},
};

static int
restart (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const RestartOptions *o = data;
  VmRestarting how = {.command = "sandbox-restart", .json = o->json};
  guint64 seconds = 0;

  if (o->time != NULL && !g_ascii_string_to_unsigned (o->time, 10, 1, SECONDS_MAX, &seconds, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--time: '%s' is not a number of seconds from 1 to %d", o->time,
              SECONDS_MAX);
    return -1;
  }
  how.powerdown_ms = (guint)seconds * 1000;
  return vm_restarting_run (&context->dirs, args, &how, error) ? 0 : -1;
}

const VmVerb vm_verb_restart = {
    .name = "restart",
    .usage = "[OPTIONS] [SANDBOX...]",
    .summary = "end what runs in sandboxes and start them again",
    .details =
        "Without SANDBOX: the one of this directory. The commands are ended as by vmctl stop; then the "
        "same command starts in a new machine, with the same id, name, project and options. The "
        "scratch disk is new. Returns when it runs again.",
    .options = options,
    .options_size = sizeof (RestartOptions),
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = restart,
};
