/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl stats: what sandboxes use. */
#include <glib-unix.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/client.h"
#include "vmctl/show.h"
#include "vmctl/stats.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { ASK_MS = 5000, SPAN_MS = 500, INTERVAL_DEFAULT = 2, INTERVAL_MAX = 3600 };

typedef struct {
  gboolean watch, json;
  char *interval;
} StatsOptions;

static const VmOption options[] = {
    {"interval", 'i', VM_OPTION_STRING, offsetof (StatsOptions, interval), "SECONDS",
     "with --watch: so often (default 2)", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (StatsOptions, json), NULL, "print an array as JSON", NULL},
    {"watch", 'w', VM_OPTION_FLAG, offsetof (StatsOptions, watch), NULL,
     "again and again, until the sandboxes have ended or Ctrl-C", NULL},
    {NULL},
};

typedef struct {
  VmContext *context; /* borrowed */
  char **ids;         /* owned; NULL: all that run */
  gboolean json, watch;
  struct termios saved; /* of that terminal */
  gboolean live;        /* a terminal, on which the table is drawn over the last one */
  guint interval_ms;
  GHashTable *before; /* id -> its last answer, owned */
  gboolean stop, woken;
} View;

static void
free_json (gpointer data)
{
  json_object_put (data);
}

/* NULL: it has ended, or does not answer. (transfer full) */
static json_object *
ask (View *view, const char *id)
{
  g_autoptr (VmClient) client = vm_client_connect (&view->context->dirs, id, NULL);

  return client != NULL ? qmp_client_call (client->qmp, "query-stats", NULL, NULL, 0, ASK_MS, NULL) : NULL;
}

static void
take (View *view, json_object *take_answer, GPtrArray *answers)
{
  const char *id = vm_json_str (take_answer, "id", "");
  double percent = vm_stats_percent (g_hash_table_lookup (view->before, id), take_answer);

  g_hash_table_replace (view->before, g_strdup (id), json_object_get (take_answer));
  if (percent >= 0)
    vm_json_add (take_answer, "cpu-percent", json_object_new_double (percent));
  g_ptr_array_add (answers, take_answer);
}

/* Of all that are wanted and run. (transfer full) */
static GPtrArray *
sample (View *view)
{
  GPtrArray *answers = g_ptr_array_new_with_free_func (free_json);
  g_autoptr (GPtrArray) records =
      view->ids == NULL ? vm_store_list (&view->context->dirs, FALSE, NULL, NULL) : NULL;
  guint n = view->ids != NULL ? g_strv_length (view->ids) : records != NULL ? records->len : 0;

  for (guint i = 0; i < n; i++) {
    const char *id =
        view->ids != NULL ? view->ids[i] : ((const VmRecord *)g_ptr_array_index (records, i))->id;
    json_object *answer = ask (view, id);

    if (answer != NULL)
      take (view, answer, answers);
  }
  return answers;
}

/* Showing */

static void
print_json (const View *view, GPtrArray *answers)
{
  g_autoptr (json_object) array = json_object_new_array ();
  g_autofree char *line = NULL;

  for (guint i = 0; i < answers->len; i++)
    json_object_array_add (array, json_object_get (g_ptr_array_index (answers, i)));
  if (!view->watch) {
    vm_show_json (json_object_get (array));
    return;
  }
  line = vm_json_line (array);
  puts (line);
}

/* Over what is there, a line at a time: clearing all of it first would flicker. */
static void
draw (const char *table)
{
  g_auto (GStrv) lines = g_strsplit (table, "\n", -1);
  g_autoptr (GString) out = g_string_new ("\033[H");
  guint16 rows, columns;

  vm_tty_size (STDOUT_FILENO, &rows, &columns);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0' && i + 1 < rows; i++)
    g_string_append_printf (out, "%s\033[K\r\n", lines[i]);
  g_string_append (out, "\033[J");
  fputs (out->str, stdout);
}

static void
show (View *view, GPtrArray *answers)
{
  g_autofree char *table = NULL;

  if (view->json) {
    print_json (view, answers);
  } else if (answers->len > 0 || view->live) {
    table = vm_stats_table (answers, vm_tty_wants_colour (STDOUT_FILENO));
    if (view->live)
      draw (table);
    else
      printf ("%s%s", table, view->watch ? "\n" : "");
  } else if (!view->watch) {
    fprintf (stderr, "vmctl: no sandbox is running\n");
  }
  view->stop |= fflush (stdout) != 0;
}

/* An own screen, without a cursor and without lines that wrap. Ctrl-C must neither be shown there nor throw
 * away what is written when it comes: that puts the screen back. */
static void
begin_live (View *view)
{
  struct termios quiet;

  if (!view->live)
    return;
  view->live = tcgetattr (STDOUT_FILENO, &view->saved) == 0;
  if (!view->live)
    return; /* it has just gone */
  quiet = view->saved;
  quiet.c_lflag = (quiet.c_lflag | NOFLSH) & ~(tcflag_t)ECHO;
  (void)tcsetattr (STDOUT_FILENO, TCSANOW, &quiet);
  fputs ("\033[?1049h\033[?25l\033[?7l", stdout);
}

static void
end_live (const View *view)
{
  if (!view->live)
    return;
  fputs ("\033[?7h\033[?25h\033[?1049l", stdout);
  (void)fflush (stdout);
  (void)tcsetattr (STDOUT_FILENO, TCSADRAIN, &view->saved);
}

/* Waiting */

static gboolean
wake (gpointer data)
{
  ((View *)data)->woken = TRUE;
  return G_SOURCE_REMOVE;
}

static gboolean
interrupted (gpointer data)
{
  ((View *)data)->stop = TRUE;
  return G_SOURCE_CONTINUE;
}

static gboolean
reader_gone (int fd, GIOCondition condition, gpointer data)
{
  ((View *)data)->stop = TRUE;
  return G_SOURCE_REMOVE;
}

static void
pause_for (View *view, guint ms)
{
  guint timer = g_timeout_add (ms, wake, view);

  view->woken = FALSE;
  while (!view->woken && !view->stop)
    g_main_context_iteration (NULL, TRUE);
  if (!view->woken)
    g_source_remove (timer);
}

static void
watch (View *view)
{
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    (void)g_unix_signal_add (numbers[i], interrupted, view);
  (void)g_unix_fd_add (STDOUT_FILENO, G_IO_ERR, reader_gone, view);
  begin_live (view);
  pause_for (view, SPAN_MS);
  while (!view->stop) {
    g_autoptr (GPtrArray) answers = sample (view);

    if (view->ids != NULL && answers->len == 0)
      break;
    show (view, answers);
    pause_for (view, view->interval_ms);
  }
  end_live (view);
}

/* A rate needs two looks. */
static void
run (View *view)
{
  g_autoptr (GPtrArray) first = sample (view), second = NULL;

  if (view->watch) {
    watch (view);
    return;
  }
  if (first->len > 0)
    pause_for (view, SPAN_MS);
  second = sample (view);
  show (view, second);
}

/* (transfer full) */
static char **
find_ids (VmContext *context, char **words, GError **error)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new_null_terminated (4, g_free, TRUE);

  for (; *words != NULL; words++) {
    g_autoptr (VmRecord) record = vm_store_find (&context->dirs, *words, FALSE, error);

    if (record == NULL)
      return NULL;
    g_ptr_array_add (ids, g_strdup (record->id));
  }
  return (char **)g_ptr_array_free (g_steal_pointer (&ids), FALSE);
}

static int
stats (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const StatsOptions *o = data;
  g_auto (GStrv) ids = NULL;
  g_autoptr (GHashTable) before = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_json);
  guint64 seconds = INTERVAL_DEFAULT;
  View view = {.context = context, .json = o->json, .watch = o->watch, .before = before};

  if (o->interval != NULL && !g_ascii_string_to_unsigned (o->interval, 10, 1, INTERVAL_MAX, &seconds, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--interval: '%s' is not a number of seconds from 1 to %d", o->interval,
              INTERVAL_MAX);
    return -1;
  }
  if (o->interval != NULL && !o->watch) {
    vm_error (error, VM_ERROR_USAGE, "--interval goes with --watch");
    return -1;
  }
  if (args[0] != NULL && (ids = find_ids (context, args, error)) == NULL)
    return -1;
  view.ids = ids;
  view.interval_ms = (guint)seconds * 1000;
  view.live = o->watch && !o->json && isatty (STDOUT_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
  run (&view);
  return 0;
}

const VmVerb vm_verb_stats = {
    .name = "stats",
    .usage = "[OPTIONS] [SANDBOX...]",
    .summary = "show what sandboxes use",
    .details =
        "Without SANDBOX: all that run. Processor (in percent of one, in the last half second or interval), "
        "memory, disk, network, processes, and since when. '-' is not counted.",
    .options = options,
    .options_size = sizeof (StatsOptions),
    .max_args = G_MAXUINT,
    .complete = "sandbox...",
    .run = stats,
};
