/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl net: what a sandbox may reach, what it has tried, and another policy while it runs. */
#include <stddef.h>

#include "vmctl/base/error.h"
#include "vmctl/net-client.h"
#include "vmctl/net-follow.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean follow, json;
  char *tail;
} NetOptions;

static const VmOption options[] = {
    {"follow", 'f', VM_OPTION_FLAG, offsetof (NetOptions, follow), NULL,
     "log: go on with what comes, until the sandbox ends", NULL, "log"},
    {"json", 0, VM_OPTION_FLAG, offsetof (NetOptions, json), NULL, "print JSON; of the log an object a line",
     NULL},
    {"tail", 'n', VM_OPTION_STRING, offsetof (NetOptions, tail), "LINES", "log: only the last lines", NULL,
     "log"},
    {NULL},
};

static gboolean
show_log (VmContext *context, const NetOptions *o, const VmRecord *record, GError **error)
{
  VmNetLogOptions how = {.follow = o->follow, .json = o->json, .lines = G_MAXUINT};
  guint64 lines;

  if (o->tail != NULL) {
    if (!g_ascii_string_to_unsigned (o->tail, 10, 0, G_MAXUINT - 1, &lines, NULL))
      return vm_error (error, VM_ERROR_USAGE, "--tail: '%s' is not a number of lines", o->tail);
    how.lines = (guint)lines;
  }
  return vm_net_log_show (context, record, &how, error);
}

static gboolean
check (const char *what, gboolean changes, char **args, GError **error)
{
  if (changes && (args[1] == NULL || args[2] == NULL))
    return vm_error (error, VM_ERROR_USAGE, "net %s: name a sandbox, and what to %s; see: vmctl help net",
                     what, what);
  if (!changes && args[1] != NULL && args[2] != NULL)
    return vm_error (error, VM_ERROR_USAGE, "net %s: '%s' is one word too many", what, args[2]);
  return TRUE;
}

static int
net (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const NetOptions *o = data;
  const char *what = args[0], *sandbox = args[1] != NULL ? args[1] : ".";
  gboolean is_log = g_str_equal (what, "log"), is_show = g_str_equal (what, "show");
  gboolean changes = g_str_equal (what, "allow") || g_str_equal (what, "deny") || g_str_equal (what, "set");
  g_autoptr (VmRecord) record = NULL;
  gboolean ok;

  if (!is_log && !is_show && !changes) {
    vm_error (error, VM_ERROR_USAGE, "net: '%s' is not what can be done; write log, show, allow, deny or set",
              what);
    return -1;
  }
  if (!check (what, changes, args, error) ||
      (record = vm_store_find (&context->dirs, sandbox, !changes, error)) == NULL)
    return -1;
  if (is_log)
    ok = show_log (context, o, record, error);
  else if (is_show)
    ok = vm_net_show (context, record, o->json, error);
  else
    ok = vm_net_apply (context, record, what, args + 2, o->json, error);
  return ok ? 0 : -1;
}

const VmVerb vm_verb_net = {
    .name = "net",
    .usage = "[OPTIONS] show|log|allow|deny|set [SANDBOX] [WORD...]",
    .summary = "see and change what a sandbox may reach",
    .details =
        "show [SANDBOX]; log [SANDBOX]: what was allowed and refused, and by which rule; allow SANDBOX "
        "ITEM... and deny SANDBOX ITEM... add to what it may or may not reach; set SANDBOX POLICY... "
        "gives it another, as --net has it. A change holds at once, for connections that are open too, "
        "and until the sandbox ends.",
    .options = options,
    .options_size = sizeof (NetOptions),
    .min_args = 1,
    .max_args = 256,
    .complete = "net-verb",
    .run = net,
};
