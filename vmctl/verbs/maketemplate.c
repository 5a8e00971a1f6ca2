/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl maketemplate: makes the template of a plan, used by vmctl itself after a machine had to boot. */
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/template.h"
#include "vmctl/verbs.h"

enum { PLAN_MAX = 16 << 20, NICE = 19, IOPRIO_WHO_PROCESS = 1, IOPRIO_IDLE = 3 << 13 };

typedef struct {
  char *plan_fd;
} MakeOptions;

static const VmOption options[] = {
    {"plan-fd", 0, VM_OPTION_STRING, offsetof (MakeOptions, plan_fd), "FD", "the plan", NULL},
    {NULL},
};

/* Whoever is at work comes first. */
static void
be_humble (void)
{
  struct sched_param none = {0};

  (void)setpriority (PRIO_PROCESS, 0, NICE);
  (void)sched_setscheduler (0, SCHED_IDLE, &none);
  (void)syscall (SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
}

static VmPlan *
read_plan (const char *text, GError **error)
{
  guint64 number = 0;
  vm_autofd fd = -1;
  gsize length;
  g_autofree char *plan = NULL;
  g_autoptr (json_object) object = NULL;

  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 3, 1 << 20, &number, NULL) ||
      fcntl ((int)number, F_SETFD, FD_CLOEXEC) < 0) {
    vm_error (error, VM_ERROR_USAGE, "'vmctl maketemplate' is a part of vmctl; see: vmctl template build");
    return NULL;
  }
  fd = (int)number;
  plan = vm_fd_read_all (fd, PLAN_MAX, &length, error);
  object = plan != NULL ? vm_json_parse_object (plan, length, error) : NULL;
  return object != NULL ? vm_plan_from_json (object, error) : NULL;
}

static int
maketemplate (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const MakeOptions *o = data;
  g_autoptr (VmPlan) plan = read_plan (o->plan_fd, error);
  g_autoptr (GError) problem = NULL;

  if (plan == NULL)
    return -1;
  if (plan->template == NULL) {
    vm_error (error, VM_ERROR_USAGE, "the plan names no template");
    return -1;
  }
  be_humble ();
  if (vm_template_make (plan, FALSE, NULL, NULL, &problem) ||
      g_error_matches (problem, VM_ERROR, VM_ERROR_BUSY))
    return 0;
  g_propagate_error (error, g_steal_pointer (&problem));
  return -1;
}

const VmVerb vm_verb_maketemplate = {
    .name = "maketemplate",
    .usage = "...",
    .summary = "make the template of a plan",
    .options = options,
    .options_size = sizeof (MakeOptions),
    .flags = VM_VERB_HIDDEN,
    .run = maketemplate,
};
