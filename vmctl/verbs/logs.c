/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl logs: what a sandbox has written, running or ended. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/store.h"
#include "vmctl/tail-follow.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean console, output, supervisor, follow, raw, json;
  char *tail;
} LogsOptions;

static const VmOption options[] = {
    {"console", 0, VM_OPTION_FLAG, offsetof (LogsOptions, console), NULL,
     "what the guest's serial console said", NULL},
    {"follow", 'f', VM_OPTION_FLAG, offsetof (LogsOptions, follow), NULL,
     "go on with what comes, until the sandbox ends", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (LogsOptions, json), NULL, "print each line as a JSON object", NULL},
    {"output", 0, VM_OPTION_FLAG, offsetof (LogsOptions, output), NULL,
     "what the main command wrote while nobody was attached", NULL},
    {"raw", 0, VM_OPTION_FLAG, offsetof (LogsOptions, raw), NULL,
     "do not escape control characters, though this is a terminal", NULL},
    {"supervisor", 0, VM_OPTION_FLAG, offsetof (LogsOptions, supervisor), NULL, "what vmctl itself did",
     NULL},
    {"tail", 'n', VM_OPTION_STRING, offsetof (LogsOptions, tail), "LINES", "only the last lines", NULL},
    {NULL},
};

typedef enum { STYLE_RAW, STYLE_ESCAPED, STYLE_JSON } Style;

typedef struct {
  VmContext *context; /* borrowed */
  const char *id, *kind;
  Style style;
  VmTail *tail;        /* owned */
  GByteArray *pending; /* owned; the beginning of a line (JSON) or of a character (escaped) */
  gboolean broken;     /* nobody reads us any more */
} View;

/* Lines and tabs as they are, and a backslash is not doubled: this is for reading only. */
static void
put_escaped (const guint8 *bytes, gsize length)
{
  for (gsize i = 0; i < length;) {
    gsize n = 0;

    while (i + n < length && strchr ("\\\t\n\r", bytes[i + n]) == NULL)
      n++;
    while (i + n < length && bytes[i + n] == 0)
      n++;
    if (n > 0) {
      g_autofree char *text = vm_escape_terminal ((const char *)bytes + i, (gssize)n, -1);

      fputs (text, stdout);
      i += n;
      continue;
    }
    if (bytes[i] != '\r')
      (void)putchar (bytes[i]);
    else if (i + 1 < length && bytes[i + 1] != '\n')
      fputs ("\\r", stdout);
    i++;
  }
}

static void
put_json_line (const View *view, const guint8 *bytes, gsize length)
{
  g_autofree char *line = g_strndup ((const char *)bytes, length), *text = NULL;
  g_autoptr (json_object) object = json_object_new_object ();

  vm_json_add_str (object, "log", view->kind);
  vm_json_add (object, "line", vm_json_new_text (line));
  text = vm_json_line (object);
  printf ("%s\n", text);
}

/* How many of the bytes at the end are the beginning of a UTF-8 character. */
static gsize
incomplete (const guint8 *bytes, gsize length)
{
  for (gsize n = 1; n <= MIN (length, 3); n++)
    if ((bytes[length - n] & 0xc0) == 0xc0)
      return g_utf8_get_char_validated ((const char *)bytes + length - n, (gssize)n) == (gunichar)-2 ? n : 0;
  return 0;
}

static gsize
put_styled (const View *view, const guint8 *bytes, gsize length, gboolean last)
{
  gsize used = 0;

  if (view->style == STYLE_ESCAPED) {
    used = last ? length : length - incomplete (bytes, length);
    put_escaped (bytes, used);
    return used;
  }
  for (;;) {
    const guint8 *end = memchr (bytes + used, '\n', length - used);

    if (end == NULL)
      break;
    put_json_line (view, bytes + used, (gsize)(end - bytes) - used);
    used = (gsize)(end - bytes) + 1;
  }
  if (last && used < length) {
    put_json_line (view, bytes + used, length - used);
    used = length;
  }
  return used;
}

static void
put (View *view, const guint8 *bytes, gsize length, gboolean last)
{
  if (length == 0 && !last)
    return;
  if (view->style == STYLE_RAW) {
    if (length > 0)
      (void)fwrite (bytes, 1, length, stdout);
  } else {
    if (length > 0)
      g_byte_array_append (view->pending, bytes, (guint)length);
    g_byte_array_remove_range (view->pending, 0,
                               (guint)put_styled (view, view->pending->data, view->pending->len, last));
  }
  if (fflush (stdout) != 0)
    view->broken = TRUE;
}

static void
put_new (View *view, gboolean last)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  vm_tail_read (view->tail, bytes);
  put (view, bytes->data, bytes->len, last);
}

static void
changed (gpointer data)
{
  put_new (data, FALSE);
}

static gboolean
is_empty (int dir_fd, const char *name)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0;
}

/* The log that was asked for, else the one that says most. */
static const char *
choose (const LogsOptions *o, const VmRecord *record, int dir_fd)
{
  gboolean comes = o->follow && record->state != VM_STATE_ENDED && record->detached;

  if (o->console)
    return "console";
  if (o->supervisor)
    return "supervisor";
  if (o->output || comes || !is_empty (dir_fd, "output.log"))
    return "output";
  fprintf (stderr, "vmctl: no output was logged, this is the supervisor's log; the guest's: --console\n");
  return "supervisor";
}

static gboolean
show (View *view, int dir_fd, guint lines, gboolean go_on, GError **error)
{
  g_autofree char *name = g_strconcat (view->kind, ".log", NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gsize from = 0;

  view->tail = vm_tail_open (dir_fd, name, error);
  if (view->tail == NULL)
    return FALSE;
  view->pending = g_byte_array_new ();
  vm_tail_read (view->tail, bytes);
  if (lines != G_MAXUINT)
    from = vm_tail_cut (bytes->data, bytes->len, lines);
  put (view, bytes->data + from, bytes->len - from, !go_on);
  if (go_on) {
    vm_tail_follow (view->tail, &view->context->dirs, view->id, &view->broken, changed, view);
    put_new (view, TRUE);
  }
  g_byte_array_unref (view->pending);
  vm_tail_free (view->tail);
  return TRUE;
}

static int
logs (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const LogsOptions *o = data;
  View view = {.context = context};
  guint64 lines = G_MAXUINT;
  g_autoptr (VmRecord) record = NULL;
  vm_autofd dir_fd = -1;

  if (o->tail != NULL && !g_ascii_string_to_unsigned (o->tail, 10, 0, G_MAXUINT - 1, &lines, NULL)) {
    vm_error (error, VM_ERROR_USAGE, "--tail: '%s' is not a number of lines", o->tail);
    return -1;
  }
  if (o->console + o->output + o->supervisor > 1) {
    vm_error (error, VM_ERROR_USAGE, "--console, --output and --supervisor exclude each other");
    return -1;
  }
  record = vm_store_find (&context->dirs, args[0] != NULL ? args[0] : ".", TRUE, error);
  if (record == NULL || (dir_fd = vm_store_open_state (&context->dirs, record->id, error)) < 0)
    return -1;
  view.kind = choose (o, record, dir_fd);
  view.id = record->id;
  view.style = o->json ? STYLE_JSON : isatty (STDOUT_FILENO) && !o->raw ? STYLE_ESCAPED : STYLE_RAW;
  return show (&view, dir_fd, (guint)lines, o->follow && record->state != VM_STATE_ENDED, error) ? 0 : -1;
}

const VmVerb vm_verb_logs = {
    .name = "logs",
    .usage = "[OPTIONS] [SANDBOX]",
    .summary = "show what a sandbox has written",
    .details = "Without SANDBOX: the one of this directory, running or ended last. Without an option that "
               "names a log: the output, and where there is none the supervisor's log. Each log keeps its "
               "last megabyte or two.",
    .options = options,
    .options_size = sizeof (LogsOptions),
    .max_args = 1,
    .complete = "any-sandbox",
    .run = logs,
};
