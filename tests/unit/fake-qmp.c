/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fake-qmp.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/message.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

#define GREETING                                                                                             \
  "{\"version\":{\"qemu\":{\"micro\":22,\"minor\":2,\"major\":7},\"package\":\"fake\"},\"capabilities\":["   \
  "\"oob\"]}"

typedef struct {
  FakeQmpOptions options;
  QmpReader *reader;
  GArray *fds;         /* received, not yet expected */
  json_object *id;     /* of the last command; may be NULL */
  GHashTable *ids;     /* name -> json_object */
  const char *newline; /* after each message */
  gboolean split;
  FakeQmpStatus status; /* of what went wrong */
} Fake;

typedef gboolean (*Instruction) (Fake *fake, const char *rest, GError **error);

static gboolean
wrong (Fake *fake, FakeQmpStatus status, GError **error, const char *reason)
{
  fake->status = status;
  return vm_error (error, VM_ERROR_FAILED, "%s", reason);
}

static gboolean
send_bytes (Fake *fake, const char *bytes, gsize length, GError **error)
{
  gsize step = fake->split ? 1 : length;

  for (gsize at = 0; at < length;) {
    gssize n = vm_fd_send (fake->options.fd, bytes + at, MIN (step, length - at), NULL, 0);

    if (n < 0) {
      fake->status = FAKE_QMP_GONE;
      return vm_error_errno (error, errno, "cannot write");
    }
    at += (gsize)n;
  }
  return TRUE;
}

static gboolean
send_message (Fake *fake, json_object *take_message, GError **error)
{
  g_autoptr (json_object) message = take_message;
  g_autofree char *line = vm_json_line (message);
  g_autofree char *text = g_strconcat (line, fake->newline, NULL);

  return send_bytes (fake, text, strlen (text), error);
}

/* The rest of a line as JSON; empty is NULL and fine. */
static gboolean
parse_json (Fake *fake, const char *text, json_object **ret, GError **error)
{
  *ret = NULL;
  if (*text == '\0')
    return TRUE;
  *ret = vm_json_parse (text, strlen (text), error);
  if (*ret != NULL)
    return TRUE;
  fake->status = FAKE_QMP_BAD_SCRIPT;
  return FALSE;
}

/* Cuts the next word off *rest. (transfer full); empty at the end. */
static char *
next_word (const char **rest)
{
  const char *begin = *rest;
  gsize length = strcspn (begin, " ");

  *rest = begin + length + strspn (begin + length, " ");
  return g_strndup (begin, length);
}

/* More bytes from the peer. FALSE at its end. */
static gboolean
receive (Fake *fake)
{
  char bytes[4096];
  gssize n = vm_fd_recv (fake->options.fd, bytes, sizeof bytes, fake->fds);

  if (n <= 0)
    return FALSE;
  qmp_reader_feed (fake->reader, bytes, (gsize)n);
  return TRUE;
}

static gboolean
check_command (Fake *fake, json_object *command, GError **error)
{
  if (!qmp_message_check_command (command, error))
    return FALSE;
  return fake->options.schema == NULL ||
         qmp_schema_check (fake->options.schema, vm_json_str (command, "execute", ""),
                           vm_json_object (command, "arguments"), error);
}

/* The next command, checked. (transfer full) */
static json_object *
read_command (Fake *fake, GError **error)
{
  g_autoptr (json_object) command = NULL;
  QmpRead kind;

  while ((kind = qmp_reader_next (fake->reader, &command, error)) == QMP_READ_NONE)
    if (!receive (fake)) {
      wrong (fake, FAKE_QMP_GONE, error, "the peer closed");
      return NULL;
    }
  if (kind != QMP_READ_MESSAGE || !check_command (fake, command, error)) {
    fake->status = FAKE_QMP_UNEXPECTED;
    return NULL;
  }
  json_object_put (fake->id);
  fake->id = NULL;
  if (json_object_object_get_ex (command, "id", &fake->id))
    json_object_get (fake->id);
  return g_steal_pointer (&command);
}

static gboolean
contains (json_object *object, json_object *subset)
{
  json_object *value;

  json_object_object_foreach (subset, key, wanted)
  {
    if (!json_object_is_type (object, json_type_object) || !json_object_object_get_ex (object, key, &value) ||
        !json_object_equal (value, wanted))
      return FALSE;
  }
  return TRUE;
}

/* The first `n`: those of a later command may have come with the same piece of input. */
static gboolean
take_fds (Fake *fake, guint n, GError **error)
{
  if (fake->fds->len < n)
    return wrong (fake, FAKE_QMP_UNEXPECTED, error, "fewer descriptors than expected");
  for (guint i = 0; i < n; i++)
    (void)close (g_array_index (fake->fds, int, i));
  g_array_remove_range (fake->fds, 0, n);
  return TRUE;
}

static gboolean
do_expect (Fake *fake, const char *rest, GError **error)
{
  g_autofree char *name = next_word (&rest);
  g_autofree char *as = NULL;
  g_autoptr (json_object) command = NULL;
  g_autoptr (json_object) subset = NULL;
  guint n_fds = 0;

  if (g_str_has_prefix (rest, "fds=")) {
    g_autofree char *word = next_word (&rest);

    n_fds = (guint)atoi (word + 4);
  }
  if (g_str_has_prefix (rest, "as ")) {
    g_free (next_word (&rest));
    as = next_word (&rest);
  }
  if (!parse_json (fake, rest, &subset, error) || (command = read_command (fake, error)) == NULL)
    return FALSE;
  if (strcmp (vm_json_str (command, "execute", ""), name) != 0 ||
      (subset != NULL && !contains (vm_json_object (command, "arguments"), subset))) {
    fake->status = FAKE_QMP_UNEXPECTED;
    return vm_error (error, VM_ERROR_FAILED, "unexpected command: %s", json_object_to_json_string (command));
  }
  if (as != NULL)
    g_hash_table_insert (fake->ids, g_steal_pointer (&as), json_object_get (fake->id));
  return take_fds (fake, n_fds, error);
}

static gboolean
do_greeting (Fake *fake, const char *rest, GError **error)
{
  json_object *greeting, *message;

  if (!parse_json (fake, *rest != '\0' ? rest : GREETING, &greeting, error))
    return FALSE;
  message = json_object_new_object ();
  vm_json_add (message, "QMP", greeting);
  return send_message (fake, message, error);
}

static gboolean
answer (Fake *fake, json_object *take_message, json_object *id, GError **error)
{
  vm_json_add (take_message, "id", json_object_get (id));
  return send_message (fake, take_message, error);
}

/* "to A", or the last command's. */
static json_object *
which_id (Fake *fake, const char **rest)
{
  g_autofree char *name = NULL;

  if (!g_str_has_prefix (*rest, "to "))
    return fake->id;
  g_free (next_word (rest));
  name = next_word (rest);
  return g_hash_table_lookup (fake->ids, name);
}

static gboolean
do_return (Fake *fake, const char *rest, GError **error)
{
  json_object *id = which_id (fake, &rest);
  json_object *ret;

  if (!parse_json (fake, rest, &ret, error))
    return FALSE;
  return answer (fake, qmp_message_return (ret), id, error);
}

static gboolean
do_error (Fake *fake, const char *rest, GError **error)
{
  json_object *id = which_id (fake, &rest);
  g_autofree char *class_name = next_word (&rest);

  return answer (fake, qmp_message_error (class_name, rest), id, error);
}

static gboolean
do_event (Fake *fake, const char *rest, GError **error)
{
  g_autofree char *name = next_word (&rest);
  json_object *data;

  if (!parse_json (fake, rest, &data, error))
    return FALSE;
  return send_message (fake, qmp_message_event (name, data), error);
}

static gboolean
do_handshake (Fake *fake, const char *rest, GError **error)
{
  return do_greeting (fake, rest, error) && do_expect (fake, "qmp_capabilities", error) &&
         do_return (fake, "", error);
}

static gboolean
do_raw (Fake *fake, const char *rest, GError **error)
{
  g_autofree char *bytes = g_strcompress (rest);

  return send_bytes (fake, bytes, strlen (bytes), error);
}

static gboolean
do_repeat (Fake *fake, const char *rest, GError **error)
{
  g_autofree char *count = next_word (&rest);
  g_autofree char *bytes = g_strcompress (rest);
  g_autoptr (GString) all = g_string_new (NULL);

  for (long n = atol (count); n > 0; n--) {
    g_string_append (all, bytes);
    if (all->len > 65536 || n == 1) {
      if (!send_bytes (fake, all->str, all->len, error))
        return FALSE;
      g_string_truncate (all, 0);
    }
  }
  return TRUE;
}

static gboolean
do_split (Fake *fake, const char *rest, GError **error)
{
  fake->split = strcmp (rest, "on") == 0;
  return TRUE;
}

static gboolean
do_bare (Fake *fake, const char *rest, GError **error)
{
  fake->newline = strcmp (rest, "on") == 0 ? "\n" : "\r\n";
  return TRUE;
}

static gboolean
do_ignore (Fake *fake, const char *rest, GError **error)
{
  while (receive (fake))
    ;
  return TRUE;
}

static gboolean
do_serve (Fake *fake, const char *rest, GError **error)
{
  for (;;) {
    g_autoptr (GError) why = NULL;
    g_autoptr (json_object) command = read_command (fake, &why);

    if (command == NULL && fake->status == FAKE_QMP_GONE) {
      fake->status = FAKE_QMP_OK;
      return TRUE;
    }
    if (command == NULL) {
      g_propagate_error (error, g_steal_pointer (&why));
      return FALSE;
    }
    if (!do_return (fake, "", error))
      return FALSE;
    if (strcmp (vm_json_str (command, "execute", ""), "quit") == 0)
      return TRUE;
  }
}

static gboolean
do_eof (Fake *fake, const char *rest, GError **error)
{
  vm_fd_clear (&fake->options.fd);
  return TRUE;
}

static gboolean
do_accept (Fake *fake, const char *rest, GError **error)
{
  do_eof (fake, rest, error);
  g_clear_pointer (&fake->reader, qmp_reader_free);
  fake->reader = qmp_reader_new ();
  fake->options.fd = accept4 (fake->options.listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fake->options.fd >= 0)
    return TRUE;
  fake->status = FAKE_QMP_GONE;
  return vm_error_errno (error, errno, "cannot accept");
}

static gboolean
do_die (Fake *fake, const char *rest, GError **error)
{
  if (fake->options.may_die)
    (void)kill (getpid (), atoi (rest));
  return wrong (fake, FAKE_QMP_BAD_SCRIPT, error, "cannot die of that signal here");
}

static gboolean
do_exit (Fake *fake, const char *rest, GError **error)
{
  if (fake->options.may_die)
    _exit (atoi (rest));
  return wrong (fake, FAKE_QMP_BAD_SCRIPT, error, "cannot exit here");
}

static const struct {
  const char *name;
  Instruction run;
} instructions[] = {
    {"greeting", do_greeting}, {"handshake", do_handshake}, {"expect", do_expect}, {"return", do_return},
    {"error", do_error},       {"event", do_event},         {"raw", do_raw},       {"repeat", do_repeat},
    {"split", do_split},       {"bare", do_bare},           {"ignore", do_ignore}, {"serve", do_serve},
    {"eof", do_eof},           {"accept", do_accept},       {"die", do_die},       {"exit", do_exit},
};

static gboolean
run_line (Fake *fake, const char *line, GError **error)
{
  const char *rest = line + strspn (line, " \t");
  g_autofree char *name = NULL;

  if (*rest == '\0' || *rest == '#')
    return TRUE;
  name = next_word (&rest);
  for (guint i = 0; i < G_N_ELEMENTS (instructions); i++)
    if (strcmp (name, instructions[i].name) == 0)
      return instructions[i].run (fake, rest, error);
  return wrong (fake, FAKE_QMP_BAD_SCRIPT, error, "no such instruction");
}

static void
id_free (gpointer id)
{
  json_object_put (id);
}

static void
fake_clear (Fake *fake)
{
  for (guint i = 0; i < fake->fds->len; i++)
    (void)close (g_array_index (fake->fds, int, i));
  g_array_unref (fake->fds);
  vm_fd_clear (&fake->options.fd);
  vm_fd_clear (&fake->options.listen_fd);
  g_hash_table_unref (fake->ids);
  qmp_reader_free (fake->reader);
  json_object_put (fake->id);
}

FakeQmpStatus
fake_qmp_run (const FakeQmpOptions *options, const char *script, GError **error)
{
  Fake fake = {.options = *options, .newline = "\r\n", .reader = qmp_reader_new ()};
  g_auto (GStrv) lines = g_strsplit (script, "\n", -1);

  fake.fds = g_array_new (FALSE, FALSE, sizeof (int));
  fake.ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, id_free);
  for (guint i = 0; lines[i] != NULL && fake.status == FAKE_QMP_OK; i++)
    if (!run_line (&fake, lines[i], error))
      g_prefix_error (error, "line %u (%s): ", i + 1, lines[i]);
  fake_clear (&fake);
  return fake.status;
}

struct FakeQmp {
  GThread *thread;
  FakeQmpOptions options;
  char *script;
  FakeQmpStatus status;
  GError *error;
};

static gpointer
fake_thread (gpointer data)
{
  FakeQmp *fake = data;

  fake->status = fake_qmp_run (&fake->options, fake->script, &fake->error);
  return NULL;
}

FakeQmp *
fake_qmp_start (const char *script, QmpSchema *schema, int *ret_fd)
{
  FakeQmp *fake = g_new0 (FakeQmp, 1);
  int fds[2];

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, fds, NULL));
  fake->script = g_strdup (script);
  fake->options = (FakeQmpOptions){.fd = fds[0], .listen_fd = -1, .schema = schema};
  fake->thread = g_thread_new ("fake-qmp", fake_thread, fake);
  *ret_fd = fds[1];
  return fake;
}

void
fake_qmp_join (FakeQmp *fake)
{
  g_thread_join (fake->thread);
  g_assert_no_error (fake->error);
  g_assert_cmpint (fake->status, ==, FAKE_QMP_OK);
  g_free (fake->script);
  g_free (fake);
}

QmpSchema *
fake_qmp_load_schema (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (json_object) entries = NULL;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, error) ||
      (entries = vm_json_parse (text, length, error)) == NULL)
    return NULL;
  return qmp_schema_new (entries, error);
}
