/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/core-dump.h"

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/show.h"

enum { ASK_MS = 10000, LOOK_MS = 250, WORDS_SHOWN = 300 };

#define FD_NAME "vmctl-core"

typedef struct {
  VmClient *client; /* borrowed */
  VmCoreProgress progress;
  gpointer data;
  gboolean done, failed;
  char *why; /* owned; what QEMU says of a failure; NULL */
} Dump;

const char *
vm_core_choose_format (json_object *capability)
{
  json_object *formats = vm_json_array (capability, "formats");

  for (gsize i = 0; formats != NULL && i < json_object_array_length (formats); i++) {
    json_object *one = json_object_array_get_idx (formats, i);

    if (json_object_is_type (one, json_type_string) &&
        g_str_equal (json_object_get_string (one), "kdump-zlib"))
      return "kdump-zlib";
  }
  return "elf";
}

static void
got_event (const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Dump *dump = data;
  const char *status = vm_json_str (vm_json_object (event_data, "result"), "status", "");

  if (!g_str_equal (name, "DUMP_COMPLETED") || dump->done)
    return;
  dump->done = TRUE;
  dump->failed = !g_str_equal (status, "completed");
  dump->why = g_strdup (vm_json_str (event_data, "error", NULL));
}

static void
got_progress (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Dump *dump = data;
  gint64 total = vm_json_int (ret, "total", 0), completed = vm_json_int (ret, "completed", 0);

  if (total > 0)
    dump->progress ("writing the memory", (int)(CLAMP (completed, 0, total) / (total / 100 + 1)), dump->data);
}

static gboolean
look (gpointer data)
{
  Dump *dump = data;

  if (!dump->client->closed)
    qmp_client_send (dump->client->qmp, "query-dump", NULL, NULL, 0, 0, got_progress, dump);
  return G_SOURCE_CONTINUE;
}

static gboolean
call (VmClient *client, const char *command, json_object *take_arguments, const int *fds, guint n_fds,
      GError **error)
{
  g_autoptr (json_object) ret =
      qmp_client_call (client->qmp, command, take_arguments, fds, n_fds, ASK_MS, error);

  return ret != NULL;
}

static json_object *
fd_name (void)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_str (arguments, "fdname", FD_NAME);
  return arguments;
}

static gboolean
begin (VmClient *client, int fd, const char *format, GError **error)
{
  json_object *arguments = json_object_new_object ();

  vm_json_add_bool (arguments, "paging", FALSE);
  vm_json_add_str (arguments, "protocol", "fd:" FD_NAME);
  vm_json_add_bool (arguments, "detach", TRUE);
  vm_json_add_str (arguments, "format", format);
  if (!call (client, "getfd", fd_name (), &fd, 1, error)) {
    json_object_put (arguments);
    return FALSE;
  }
  if (call (client, "dump-guest-memory", arguments, NULL, 0, error))
    return TRUE;
  (void)call (client, "closefd", fd_name (), NULL, 0, NULL); /* QEMU has taken it, or not */
  return FALSE;
}

static gboolean
wait_for (Dump *dump, const gboolean *stop, GError **error)
{
  VmClient *client = dump->client;
  guint timer = g_timeout_add (LOOK_MS, look, dump);

  while (!dump->done && !client->closed && !*stop)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timer);
  if (*stop && !dump->done)
    return vm_error (error, VM_ERROR_FAILED,
                     "interrupted; the machine goes on once QEMU has come to the end of its memory");
  if (!dump->done)
    return vm_error (error, VM_ERROR_CHILD, "the sandbox ended meanwhile%s%s",
                     client->text != NULL ? ": " : "", client->text != NULL ? client->text : "");
  if (dump->failed) {
    g_autofree char *why = vm_show_safe (dump->why != NULL ? dump->why : "no reason given", WORDS_SHOWN);

    return vm_error (error, VM_ERROR_CHILD, "QEMU could not write all of it: %s", why);
  }
  return TRUE;
}

gboolean
vm_core_dump (VmClient *client, int fd, const gboolean *stop, VmCoreProgress progress, gpointer data,
              const char **ret_format, GError **error)
{
  Dump *dump = g_new0 (Dump, 1);
  g_autoptr (json_object) capability =
      qmp_client_call (client->qmp, "query-dump-guest-memory-capability", NULL, NULL, 0, ASK_MS, error);
  gboolean ok;

  *dump = (Dump){.client = client, .progress = progress, .data = data};
  client->event = got_event;
  client->data = dump;
  if (capability != NULL)
    *ret_format = vm_core_choose_format (capability);
  ok = capability != NULL && begin (client, fd, *ret_format, error) && wait_for (dump, stop, error);
  /* An answer to `look` may still be on its way: with the connection it ends here. */
  client->event = NULL;
  g_clear_pointer (&client->qmp, qmp_client_free);
  g_free (dump->why);
  g_free (dump);
  return ok;
}
