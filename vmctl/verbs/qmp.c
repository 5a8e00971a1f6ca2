/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl qmp: one command on a sandbox's control socket, or its events. */
#include <glib-unix.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/guess.h"
#include "vmctl/qmp-args.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { TIMEOUT_DEFAULT = 60, TIMEOUT_MAX = 86400 };

typedef struct {
  gboolean events;
  char *timeout;
} QmpOptions;

static const VmOption options[] = {
    {"events", 'e', VM_OPTION_FLAG, offsetof (QmpOptions, events), NULL,
     "print events, one JSON object a line, until interrupted or the sandbox ends", NULL},
    {"timeout", 0, VM_OPTION_STRING, offsetof (QmpOptions, timeout), "SECONDS",
     "wait so long for the reply (default 60)", NULL},
    {NULL},
};

static void
print_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  gboolean *broken = data;
  g_autofree char *line = vm_json_line (message);

  printf ("%s\n", line);
  if (fflush (stdout) != 0)
    *broken = TRUE;
}

static gboolean
reader_gone (int fd, GIOCondition condition, gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
follow (VmClient *client, gboolean *broken)
{
  guint reader;

  (void)fflush (stdout); /* the command's answer: whoever reads us acts on it */
  reader = g_unix_fd_add (STDOUT_FILENO, G_IO_ERR, reader_gone, broken);

  while (!client->closed && !*broken)
    g_main_context_iteration (NULL, TRUE);
  if (!*broken)
    g_source_remove (reader);
}

/* Only the sandbox knows the commands: vmctl's own, and those of its QEMU. */
static void
suggest (VmClient *client, const char *name, guint timeout_ms, GError **error)
{
  g_autoptr (json_object) list =
      qmp_client_call (client->qmp, "query-commands", NULL, NULL, 0, timeout_ms, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_null_terminated (256, NULL, TRUE);
  const char *guess;
  char *text;

  for (gsize i = 0; json_object_is_type (list, json_type_array) && i < json_object_array_length (list); i++)
    g_ptr_array_add (names, (char *)vm_json_str (json_object_array_get_idx (list, i), "name", ""));
  guess = vm_guess (name, (const char *const *)names->pdata);
  if (guess == NULL)
    return;
  text = g_strdup_printf ("%s; did you mean '%s'?", (*error)->message, guess);
  g_free ((*error)->message);
  (*error)->message = text;
}

static gboolean
run_command (VmClient *client, char **words, guint timeout_ms, GError **error)
{
  g_autoptr (GError) local = NULL;
  json_object *arguments = vm_qmp_arguments (words + 1, &local), *ret;

  if (local != NULL) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  ret = qmp_client_call (client->qmp, words[0], arguments, NULL, 0, timeout_ms, &local);
  if (ret != NULL) {
    vm_show_json (ret);
    return TRUE;
  }
  if (qmp_error_class (local) != NULL)
    g_prefix_error (&local, "%s: ", qmp_error_class (local));
  if (g_error_matches (local, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND))
    suggest (client, words[0], timeout_ms, &local);
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static int
qmp (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const QmpOptions *o = data;
  guint64 seconds = TIMEOUT_DEFAULT;
  g_autoptr (VmRecord) record = NULL;
  g_autoptr (VmClient) client = NULL;
  gboolean broken = FALSE;

  if (o->timeout != NULL && !g_ascii_string_to_unsigned (o->timeout, 10, 1, TIMEOUT_MAX, &seconds, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--timeout: '%s' is not a number of seconds", o->timeout);
    return -1;
  }
  if (args[1] == NULL && !o->events) {
    vm_error (error, VM_ERROR_USAGE, "no command; usage: vmctl qmp SANDBOX COMMAND [KEY=VALUE... | JSON]");
    return -1;
  }
  record = vm_store_find (&context->dirs, args[0], FALSE, error);
  if (record == NULL || (client = vm_client_connect (&context->dirs, record->id, error)) == NULL)
    return -1;
  if (o->events) {
    client->event = print_event;
    client->data = &broken;
  }
  if (args[1] != NULL && !run_command (client, args + 1, (guint)seconds * 1000, error))
    return -1;
  if (o->events)
    follow (client, &broken);
  return 0;
}

const VmVerb vm_verb_qmp = {
    .name = "qmp",
    .usage = "[OPTIONS] SANDBOX COMMAND [KEY=VALUE... | JSON]",
    .summary = "send a QMP command to a sandbox, or follow its events",
    .details = "A VALUE that is JSON (a number, true, {...}) is sent as such, anything else as a string; a "
               "dotted KEY makes an object in an object. What vmctl does not know itself goes on to QEMU. "
               "The commands: vmctl qmp SANDBOX query-commands. With --events COMMAND may be left out.",
    .options = options,
    .options_size = sizeof (QmpOptions),
    .min_args = 1,
    .max_args = G_MAXUINT,
    .complete = "sandbox",
    .run = qmp,
};
