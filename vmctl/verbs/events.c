/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl events: what happens to sandboxes, a line each. */
#include <glib-unix.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "vmctl/event-text.h"
#include "vmctl/following.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { NAME_SHOWN = 60 };

typedef struct {
  gboolean json;
} EventsOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (EventsOptions, json), NULL, "print each event as a JSON object",
     NULL},
    {NULL},
};

typedef struct {
  gboolean json, all;
  gboolean broken; /* nobody reads us any more */
  GTimeZone *zone; /* owned */
} View;

static void
print_line (const View *view, const VmRecord *record, const char *name, json_object *event_data,
            json_object *message)
{
  g_autofree char *time = vm_event_time (message, g_get_real_time (), view->zone);
  g_autofree char *sandbox = vm_show_safe (record->name, NAME_SHOWN),
                  *event = vm_show_safe (name, NAME_SHOWN);
  g_autofree char *summary = vm_event_summary (name, event_data);

  if (view->all)
    printf ("%s  %-16s  %-17s  %s\n", time, sandbox, event, summary);
  else
    printf ("%s  %-17s  %s\n", time, event, summary);
}

static void
print_event (const VmRecord *record, const char *name, json_object *event_data, json_object *message,
             gpointer data)
{
  View *view = data;

  if (view->json) {
    g_autofree char *line =
        vm_event_json (record->id, record->name, name, event_data, message, g_get_real_time ());

    puts (line);
  } else {
    print_line (view, record, name, event_data, message);
  }
  if (fflush (stdout) != 0)
    view->broken = TRUE;
}

static gboolean
reader_gone (int fd, GIOCondition condition, gpointer data)
{
  ((View *)data)->broken = TRUE;
  return G_SOURCE_REMOVE;
}

static void
run (View *view, VmFollowing *following)
{
  guint reader = g_unix_fd_add (STDOUT_FILENO, G_IO_ERR, reader_gone, view);

  while (!view->broken && (view->all || vm_following_count (following) > 0))
    g_main_context_iteration (NULL, TRUE);
  if (!view->broken)
    g_source_remove (reader);
}

static gboolean
add_one (VmContext *context, VmFollowing *following, const char *word, GError **error)
{
  VmRecord *record = vm_store_find (&context->dirs, word, FALSE, error);

  return record != NULL && vm_following_add (following, record, error);
}

static gboolean
add_all (VmFollowing *following, GError **error)
{
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free);

  if (!vm_following_add_all (following, problems, error))
    return FALSE;
  vm_show_problems (problems);
  return TRUE;
}

static int
events (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const EventsOptions *o = data;
  g_autoptr (GTimeZone) zone = g_time_zone_new_local ();
  View view = {.json = o->json, .all = args[0] == NULL, .zone = zone};
  g_autoptr (VmFollowing) following = vm_following_new (&context->dirs, print_event, &view);

  if (!(view.all ? add_all (following, error) : add_one (context, following, args[0], error)))
    return -1;
  run (&view, following);
  return 0;
}

const VmVerb vm_verb_events = {
    .name = "events",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "follow what happens to sandboxes",
    .details =
        "A line for each event, until the sandbox ends or Ctrl-C. Without SANDBOX: of all that run and "
        "all that start meanwhile, until Ctrl-C, with a column that says which. The first line of each "
        "is the state it is in.",
    .options = options,
    .options_size = sizeof (EventsOptions),
    .max_args = 1,
    .complete = "sandbox",
    .run = events,
};
