/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl snapshot: the disk of a virtual machine that runs, as it was. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/progress.h"
#include "vmctl/restarting.h"
#include "vmctl/show.h"
#include "vmctl/snapshot.h"
#include "vmctl/store.h"
#include "vmctl/table.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json, quiet, plugged, skip_plugged, yes;
} SnapshotOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (SnapshotOptions, json), NULL, "print it as JSON", NULL},
    {"plugged", 0, VM_OPTION_FLAG, offsetof (SnapshotOptions, plugged), NULL,
     "restore: plug new disks in the place of those that were plugged, as they were", NULL, "restore"},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (SnapshotOptions, quiet), NULL, "no progress, and no hint", NULL},
    {"skip-plugged", 0, VM_OPTION_FLAG, offsetof (SnapshotOptions, skip_plugged), NULL,
     "create: leave out disks that were plugged", NULL, "create"},
    {"yes", 'y', VM_OPTION_FLAG, offsetof (SnapshotOptions, yes), NULL, "restore: without asking", NULL,
     "restore"},
    {NULL},
};

/* "12.3 ms" (transfer full) */
static char *
show_stand (json_object *snapshot)
{
  gint64 us = vm_json_int (snapshot, "frozen-us", -1);

  return us >= 0 ? g_strdup_printf ("%.1f ms", (double)us / 1000) : g_strdup ("");
}

static void
got_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  gint64 total = vm_json_int (event_data, "total", 0), current = vm_json_int (event_data, "current", 0);

  if (g_str_equal (name, "SNAPSHOT_PROGRESS") && total > 0)
    vm_progress_step ("copying the disks", (int)(CLAMP (current, 0, total) * 100 / total), data);
}

/* However long it takes to copy. (transfer full) */
static json_object *
call (VmContext *context, const SnapshotOptions *o, const VmRecord *record, const char *command,
      json_object *take_arguments, GError **error)
{
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, error);
  VmProgress progress;
  json_object *reply;

  if (client == NULL) {
    json_object_put (take_arguments);
    return NULL;
  }
  vm_progress_begin (&progress, o->quiet);
  client->event = got_event;
  client->data = &progress;
  reply = qmp_client_call (client->qmp, command, take_arguments, NULL, 0, 0, error);
  vm_progress_end (&progress);
  return reply;
}

static json_object *
named (const char *name)
{
  json_object *arguments = json_object_new_object ();

  if (name != NULL)
    vm_json_add_str (arguments, "name", name);
  return arguments;
}

static int
create (VmContext *context, const SnapshotOptions *o, const VmRecord *record, const char *name,
        GError **error)
{
  json_object *arguments = named (name);
  const char *fail = g_getenv ("VMCTL_PLUGFAIL"), *freeze = g_getenv ("VMCTL_FREEZEMS");
  g_autoptr (json_object) snapshot = NULL;
  g_autofree char *stand = NULL;

  if (o->skip_plugged)
    vm_json_add_bool (arguments, "skip-plugged", TRUE);
  if (fail != NULL) /* these two for tests */
    vm_json_add_int (arguments, "fail-after", g_ascii_strtoll (fail, NULL, 10));
  if (freeze != NULL)
    vm_json_add_int (arguments, "freeze-ms", g_ascii_strtoll (freeze, NULL, 10));
  snapshot = call (context, o, record, "snapshot-create", arguments, error);
  if (snapshot == NULL)
    return -1;
  if (o->json) {
    vm_show_json (json_object_get (snapshot));
    return 0;
  }
  stand = show_stand (snapshot);
  printf ("%s\t%s\n", vm_json_str (snapshot, "name", ""), stand);
  if (!o->quiet)
    fprintf (stderr, "vmctl: of disks alone: memory, and with it what runs, is in no snapshot, since a share "
                     "of the host's directories cannot be saved\n");
  return 0;
}

static void
add_row (VmTable *table, json_object *snapshot)
{
  g_autofree char *size = vm_size_format ((guint64)vm_json_int (snapshot, "bytes", 0));
  g_autofree char *age =
      vm_show_duration (MAX (g_get_real_time () - vm_json_int (snapshot, "created", 0), 0));
  g_autofree char *stand = show_stand (snapshot);
  const char *note = vm_json_bool (snapshot, "half-done", FALSE) ? "being made"
                     : vm_json_bool (snapshot, "current", FALSE) ? "the disk's last"
                                                                 : "";

  vm_table_add (table, (const char *const[]){vm_json_str (snapshot, "name", ""), age, size,
                                             vm_json_str (snapshot, "parent", ""), stand, note, NULL});
}

static int
list (VmContext *context, const SnapshotOptions *o, const VmRecord *record, GError **error)
{
  static const char *const headers[] = {"NAME", "AGE", "SIZE", "PARENT", "STOOD STILL", "NOTE", NULL};
  g_autoptr (json_object) all = call (context, o, record, "query-snapshots", NULL, error);
  g_autoptr (VmTable) table = vm_table_new (headers);

  if (all == NULL)
    return -1;
  if (o->json) {
    vm_show_json (json_object_get (all));
    return 0;
  }
  for (gsize i = 0; json_object_is_type (all, json_type_array) && i < json_object_array_length (all); i++)
    add_row (table, json_object_array_get_idx (all, i));
  if (json_object_is_type (all, json_type_array) && json_object_array_length (all) > 0)
    vm_table_print (table);
  else
    fprintf (stderr, "vmctl: there are no snapshots; to make one: vmctl snapshot create\n");
  return 0;
}

static gboolean
confirm (const SnapshotOptions *o, const VmRecord *record, const char *name, GError **error)
{
  g_autofree char *sandbox = vm_show_safe (record->name, 100), *shown = vm_show_safe (name, 100);
  char answer[16] = "";

  if (o->yes)
    return TRUE;
  if (!isatty (STDIN_FILENO) || !isatty (STDERR_FILENO))
    return vm_error (error, VM_ERROR_USAGE,
                     "a restore ends all that runs in '%s', and what was written to its disk since is lost; "
                     "say --yes to do it without being asked",
                     sandbox);
  fprintf (stderr,
           "All that runs in '%s' ends, and what was written to its disk since '%s' is lost. Restore? [y/N] ",
           sandbox, shown);
  if (fgets (answer, sizeof answer, stdin) != NULL && (*answer == 'y' || *answer == 'Y'))
    return TRUE;
  return vm_error (error, VM_ERROR_FAILED, "nothing was done");
}

/* Those that were plugged when it was made. Borrowed; NULL: none. */
static json_object *
disks_of (const VmRecord *record, const char *name)
{
  for (gsize i = 0; i < json_object_array_length (record->snapshots); i++) {
    json_object *one = json_object_array_get_idx (record->snapshots, i);

    if (g_strcmp0 (vm_json_str (one, "id", NULL), name) == 0)
      return vm_json_array (one, "disks");
  }
  return NULL;
}

static void
tell_disk (const SnapshotOptions *o, const VmRecord *record, json_object *disk)
{
  const char *source = vm_json_str (disk, "source", NULL);
  g_autofree char *id = vm_show_safe (vm_json_str (disk, "id", ""), 100);
  g_autofree char *file = vm_show_safe (source != NULL ? source : "", -1);
  g_autofree char *copy = vm_show_safe (vm_json_str (disk, "copy", ""), -1);

  if (o->plugged)
    fprintf (stderr, "vmctl: '%s' is a new disk, as it was then%s%s%s\n", id, source != NULL ? "; '" : "",
             file, source != NULL ? "' stays as it is" : "");
  else
    fprintf (stderr,
             "vmctl: '%s'%s%s%s is not plugged any more; as it was then it is in '%s'; to have it, copy that "
             "to FILE: vmctl plug --id %s %s disk FILE:qcow2\n",
             id, source != NULL ? " ('" : "", file, source != NULL ? "', which stays as it is)" : "", copy,
             id, record->id);
}

static int
restore (VmContext *context, const SnapshotOptions *o, const VmRecord *record, const char *name,
         GError **error)
{
  json_object *disks = disks_of (record, name);
  VmRestarting how = {
      .command = "snapshot-restore", .json = o->json, .snapshot = name, .disks = o->plugged ? disks : NULL};
  char *words[] = {record->id, NULL};

  if (!confirm (o, record, name, error) || !vm_restarting_run (&context->dirs, words, &how, error))
    return -1;
  for (gsize i = 0; !o->quiet && disks != NULL && i < json_object_array_length (disks); i++)
    tell_disk (o, record, json_object_array_get_idx (disks, i));
  return 0;
}

static int
remove_one (VmContext *context, const SnapshotOptions *o, const VmRecord *record, const char *name,
            GError **error)
{
  g_autoptr (json_object) reply = call (context, o, record, "snapshot-remove", named (name), error);

  return reply != NULL ? 0 : -1;
}

static gboolean
check_words (const char *what, char **args, GError **error)
{
  guint n = g_strv_length (args);
  gboolean needs_name = g_str_equal (what, "restore") || g_str_equal (what, "rm");

  if (!needs_name && !g_str_equal (what, "list") && !g_str_equal (what, "create"))
    return vm_error (error, VM_ERROR_USAGE, "snapshot: '%s' is not one of create, list, restore, rm", what);
  if (g_str_equal (what, "list") ? n > 2 : needs_name ? n != 3 : n < 2)
    return vm_error (error, VM_ERROR_USAGE, "snapshot %s: it takes %s", what,
                     needs_name                   ? "SANDBOX NAME"
                     : g_str_equal (what, "list") ? "[SANDBOX]"
                                                  : "SANDBOX [NAME]");
  if (args[1] != NULL && args[2] != NULL && !vm_snapshot_is_name (args[2]))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is no name of a snapshot", args[2]);
  return TRUE;
}

static int
snapshot_run (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const SnapshotOptions *o = data;
  g_autoptr (VmRecord) record = NULL;

  if (!check_words (args[0], args, error))
    return -1;
  record = vm_store_find (&context->dirs, args[1] != NULL ? args[1] : ".", FALSE, error);
  if (record == NULL)
    return -1;
  if (g_str_equal (args[0], "create"))
    return create (context, o, record, args[2], error);
  if (g_str_equal (args[0], "restore"))
    return restore (context, o, record, args[2], error);
  if (g_str_equal (args[0], "rm"))
    return remove_one (context, o, record, args[2], error);
  return list (context, o, record, error);
}

const VmVerb vm_verb_snapshot = {
    .name = "snapshot",
    .usage = "[OPTIONS] create|list|restore|rm [SANDBOX] [NAME]",
    .summary = "keep a running machine's disk as it is, and go back to it",
    .details =
        "create: the guest's file systems stand still for a moment, which is shown. Disks that were plugged "
        "and can be written to are in it. restore: as vmctl reset, with that disk; asks first; never "
        "changes the file of a plugged disk. Of virtual machines; what runs in them, the project and all "
        "else that is shared are in no snapshot. Snapshots end with their sandbox.",
    .options = options,
    .options_size = sizeof (SnapshotOptions),
    .min_args = 1,
    .max_args = 3,
    .complete = "snapshot-verb sandbox snapshot",
    .run = snapshot_run,
};
