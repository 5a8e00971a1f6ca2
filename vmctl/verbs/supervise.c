/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl supervise: the entry of a supervisor that takes over, used by vmctl itself. */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/supervisor.h"
#include "vmctl/verbs.h"

typedef struct {
  char *ready_fd, *lock_fd, *adopt;
} SuperviseOptions;

static const VmOption options[] = {
    {"adopt", 0, VM_OPTION_STRING, offsetof (SuperviseOptions, adopt), "ID", "take over a sandbox", NULL},
    {"lock-fd", 0, VM_OPTION_STRING, offsetof (SuperviseOptions, lock_fd), "FD", "the locked lock file",
     NULL},
    {"ready-fd", 0, VM_OPTION_STRING, offsetof (SuperviseOptions, ready_fd), "FD", "where to answer", NULL},
    {NULL},
};

static int
fd_of (const char *text)
{
  char *end;
  long value = text != NULL ? strtol (text, &end, 10) : -1;

  if (text == NULL || *text == '\0' || *end != '\0' || value < 3 || value > 1 << 20 ||
      fcntl ((int)value, F_SETFD, FD_CLOEXEC) < 0)
    return -1;
  return (int)value;
}

static int
supervise (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const SuperviseOptions *o = data;
  VmSuperviseOptions how = {
      .ready_fd = fd_of (o->ready_fd), .lock_fd = fd_of (o->lock_fd), .adopt_id = o->adopt};
  gboolean ok;

  if (how.ready_fd < 0 || how.lock_fd < 0 || how.adopt_id == NULL) {
    vm_error (error, VM_ERROR_USAGE, "'vmctl supervise' is a part of vmctl, not for use by hand");
    return -1;
  }
  ok = vm_supervise (&context->dirs, &how, error);
  vm_fd_clear (&how.ready_fd);
  vm_fd_clear (&how.lock_fd);
  return ok ? 0 : -1;
}

const VmVerb vm_verb_supervise = {
    .name = "supervise",
    .usage = "...",
    .summary = "the supervisor of one sandbox",
    .options = options,
    .options_size = sizeof (SuperviseOptions),
    .flags = VM_VERB_HIDDEN,
    .run = supervise,
};
