/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl version. */
#include <stddef.h>
#include <stdio.h>

#include "vmctl/base/json.h"
#include "vmctl/show.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json;
} VersionOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (VersionOptions, json), NULL, "print it as JSON", NULL},
    {NULL},
};

static int
version (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const VersionOptions *o = data;

  if (o->json) {
    json_object *object = json_object_new_object ();

    vm_json_add_str (object, "version", VMCTL_VERSION);
    vm_show_json (object);
  } else {
    printf ("vmctl %s\n", VMCTL_VERSION);
  }
  return 0;
}

const VmVerb vm_verb_version = {
    .name = "version",
    .usage = "[OPTIONS]",
    .summary = "print the version",
    .options = options,
    .options_size = sizeof (VersionOptions),
    .flags = VM_VERB_NO_DIRS,
    .run = version,
};
