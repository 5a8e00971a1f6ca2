/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl plug: adds something to a running sandbox. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/plug.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  char *id;
  gboolean dry_run, json;
} PlugOptions;

static const VmOption options[] = {
    {"dry-run", 0, VM_OPTION_FLAG, offsetof (PlugOptions, dry_run), NULL,
     "show what would be done, and do nothing", NULL},
    {"id", 0, VM_OPTION_STRING, offsetof (PlugOptions, id), "ID",
     "what to call it (default: its kind and a number)", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (PlugOptions, json), NULL, "print the device, or the steps, as JSON",
     NULL},
    {NULL},
};

/* (transfer full) */
static json_object *
make_arguments (const PlugOptions *o, char **args, GError **error)
{
  g_autofree char *cwd = g_get_current_dir ();
  const char *fail = g_getenv ("VMCTL_PLUGFAIL");
  json_object *arguments;
  VmPlugSpec spec;

  if (!vm_plug_spec_parse (args[1], args[2] != NULL ? args[2] : "", cwd, &spec, error))
    return NULL;
  arguments = vm_plug_spec_to_json (&spec);
  vm_plug_spec_clear (&spec);
  vm_json_add_str (arguments, "id", o->id);
  if (o->dry_run)
    vm_json_add_bool (arguments, "dry-run", TRUE);
  if (fail != NULL) /* for tests */
    vm_json_add_int (arguments, "fail-after", g_ascii_strtoll (fail, NULL, 10));
  return arguments;
}

static void
print_steps (json_object *plan)
{
  json_object *steps = vm_json_array (plan, "steps");

  for (gsize i = 0; steps != NULL && i < json_object_array_length (steps); i++) {
    g_autofree char *text =
        vm_plug_act_to_text (vm_json_object (json_object_array_get_idx (steps, i), "act"));
    g_autofree char *shown = vm_show_safe (text, -1);

    printf ("%s\n", shown);
  }
}

/* Its id is what the others need; what it is inside tells people. */
static void
print_device (json_object *device)
{
  const char *inside = vm_json_str (device, "inside", vm_json_str (device, "target", NULL));
  g_autofree char *shown = vm_show_safe (inside != NULL ? inside : "", -1);

  printf ("%s%s%s\n", vm_json_str (device, "id", ""), *shown != '\0' ? "\t" : "", shown);
}

static int
plug_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const PlugOptions *o = data;
  json_object *arguments = make_arguments (o, args, error);
  g_autoptr (VmRecord) record = NULL;
  g_autoptr (VmClient) client = NULL;
  g_autoptr (json_object) reply = NULL;

  if (arguments == NULL)
    return -1;
  record = vm_store_find (&context->dirs, args[0], FALSE, error);
  if (record == NULL || (client = vm_client_connect (&context->dirs, record->id, error)) == NULL) {
    json_object_put (arguments);
    return -1;
  }
  reply = vm_client_call (client, "plug", arguments, error);
  if (reply == NULL)
    return -1;
  if (o->json)
    vm_show_json (json_object_get (reply));
  else if (o->dry_run)
    print_steps (reply);
  else
    print_device (reply);
  return 0;
}

const VmVerb vm_verb_plug = {
    .name = "plug",
    .usage = "[OPTIONS] SANDBOX KIND [ARGS]",
    .summary = "add a directory, disk, port or more to a running sandbox",
    .details =
        "dir HOST[:GUEST][:ro]; disk FILE[:ro][:raw|:qcow2] or SIZE; cpu N; mem SIZE; serial NAME; port "
        "[ADDRESS:]HOST:GUEST[/udp]; usb VENDOR:PRODUCT or BUS.DEVICE. It is there when this returns, or "
        "nothing "
        "of it is. Prints the id by which vmctl unplug takes it away.",
    .options = options,
    .options_size = sizeof (PlugOptions),
    .min_args = 2,
    .max_args = 3,
    .complete = "sandbox plug plug-",
    .run = plug_run,
};
