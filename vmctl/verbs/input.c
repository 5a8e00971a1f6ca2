/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl input: types and points on a sandbox's screen. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/keynames.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum {
  WAIT_MS = 60000,
  AXIS_MAX = 0x7fff,
  SCROLL_MAX = 100,
  TEXT_MAX = 65536,
  /* A machine's keyboard holds 64 events that its guest has not taken yet, and drops what comes then. */
  STROKE_US = 20000,
  BATCH = 32, /* strokes at once, where the X server waits for them itself */
};

typedef struct {
  char *button;
} InputOptions;

static const VmOption options[] = {
    {"button", 'b', VM_OPTION_STRING, offsetof (InputOptions, button), "BUTTON",
     "for click: left (default), middle or right", NULL},
    {NULL},
};

typedef struct {
  VmClient *client;
  gboolean is_machine;
  json_object *events; /* owned; what will be sent next */
  guint strokes;       /* in it */
} Typing;

static json_object *
add_event (Typing *t, const char *type)
{
  json_object *event = json_object_new_object (), *data = json_object_new_object ();

  if (t->events == NULL)
    t->events = json_object_new_array ();
  vm_json_add_str (event, "type", type);
  vm_json_add (event, "data", data);
  json_object_array_add (t->events, event);
  return data;
}

static gboolean
flush (Typing *t, GError **error)
{
  json_object *arguments = json_object_new_object ();
  g_autoptr (json_object) ret = NULL;

  vm_json_add (arguments, "events", g_steal_pointer (&t->events));
  t->strokes = 0;
  ret = qmp_client_call (t->client->qmp, "input-send-event", arguments, NULL, 0, WAIT_MS, error);
  if (ret != NULL && t->is_machine)
    g_usleep (STROKE_US);
  return ret != NULL;
}

static void
add_strokes (Typing *t, const VmKeyStroke *strokes)
{
  for (; strokes->qcode != NULL; strokes++) {
    json_object *data = add_event (t, "key"), *key = json_object_new_object ();

    vm_json_add_bool (data, "down", strokes->down);
    vm_json_add_str (key, "type", "qcode");
    vm_json_add_str (key, "data", strokes->qcode);
    vm_json_add (data, "key", key);
  }
  t->strokes++;
}

static void
add_button (Typing *t, const char *button, gboolean down)
{
  json_object *data = add_event (t, "btn");

  vm_json_add_bool (data, "down", down);
  vm_json_add_str (data, "button", button);
}

/* The middle of a pixel. */
static void
add_axis (Typing *t, const char *axis, gint64 at, gint64 size)
{
  json_object *data = add_event (t, "abs");

  vm_json_add_str (data, "axis", axis);
  vm_json_add_int (data, "value", (2 * at + 1) * (AXIS_MAX + 1) / (2 * size));
}

/* What to do. Each looks at all of its words before it sends anything. */

static gboolean
check_text (const char *text, GError **error)
{
  if (*text == '\0' || strlen (text) > TEXT_MAX || !g_utf8_validate (text, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "type: the text is empty, longer than %d bytes, or not UTF-8",
                     TEXT_MAX);
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c)) {
    g_autofree VmKeyStroke *strokes = vm_keys_for_char (g_utf8_get_char (c));

    if (strokes == NULL)
      return vm_error (error, VM_ERROR_USAGE,
                       "type: no key of a US keyboard has the character U+%04X; nothing was typed",
                       (unsigned)g_utf8_get_char (c));
  }
  return TRUE;
}

static gboolean
type_text (Typing *t, char **words, GError **error)
{
  if (!check_text (words[0], error))
    return FALSE;
  for (const char *c = words[0]; *c != '\0'; c = g_utf8_next_char (c)) {
    g_autofree VmKeyStroke *strokes = vm_keys_for_char (g_utf8_get_char (c));

    add_strokes (t, strokes);
    if ((t->is_machine || t->strokes == BATCH) && !flush (t, error))
      return FALSE;
  }
  return t->events == NULL || flush (t, error);
}

static gboolean
press_keys (Typing *t, char **words, GError **error)
{
  for (char **word = words; *word != NULL; word++) {
    g_autofree VmKeyStroke *strokes = vm_keys_for_combination (*word, error);

    if (strokes == NULL)
      return FALSE;
  }
  for (char **word = words; *word != NULL; word++) {
    g_autofree VmKeyStroke *strokes = vm_keys_for_combination (*word, NULL);

    add_strokes (t, strokes);
    if (!flush (t, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
parse_side (const char *text, gint64 size, const char *what, gint64 *ret, GError **error)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT32, &value, NULL))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is not a place on the screen; write two numbers: X Y",
                     text);
  if ((gint64)value >= size)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s %s is outside of the screen, which has %s from 0 to %" G_GINT64_FORMAT, what, text,
                     what, size - 1);
  *ret = (gint64)value;
  return TRUE;
}

/* As the screenshot has it now. */
static gboolean
add_place (Typing *t, char **words, GError **error)
{
  g_autoptr (json_object) size =
      qmp_client_call (t->client->qmp, "query-screen", NULL, NULL, 0, WAIT_MS, error);
  gint64 width = vm_json_int (size, "width", 0), height = vm_json_int (size, "height", 0), x, y;

  if (size == NULL)
    return FALSE;
  if (width <= 0 || height <= 0)
    return vm_error (error, VM_ERROR_INVALID, "the screen has no size");
  if (!parse_side (words[0], width, "x", &x, error) || !parse_side (words[1], height, "y", &y, error))
    return FALSE;
  add_axis (t, "x", x, width);
  add_axis (t, "y", y, height);
  return TRUE;
}

static gboolean
move (Typing *t, char **words, GError **error)
{
  return add_place (t, words, error) && flush (t, error);
}

static gboolean
click (Typing *t, char **words, const char *button, GError **error)
{
  static const char *const buttons[] = {"left", "middle", "right", NULL};

  if (!g_strv_contains (buttons, button))
    return vm_error (error, VM_ERROR_USAGE, "--button: '%s' is no button; write left, middle or right",
                     button);
  if (!move (t, words, error))
    return FALSE;
  add_button (t, button, TRUE);
  if (!flush (t, error))
    return FALSE;
  add_button (t, button, FALSE);
  return flush (t, error);
}

static gboolean
scroll (Typing *t, char **words, GError **error)
{
  gint64 n;

  if (!g_ascii_string_to_signed (words[0], 10, -SCROLL_MAX, SCROLL_MAX, &n, NULL) || n == 0)
    return vm_error (error, VM_ERROR_USAGE,
                     "scroll: '%s' is not a number of steps; write 1 to %d, with a '-' for up", words[0],
                     SCROLL_MAX);
  for (gint64 i = 0; i < ABS (n); i++) {
    const char *button = n > 0 ? "wheel-down" : "wheel-up";

    add_button (t, button, TRUE);
    add_button (t, button, FALSE);
    if (!flush (t, error))
      return FALSE;
  }
  return TRUE;
}

static const struct {
  const char *name;
  guint words, most;
} actions[] = {
    {"click", 2, 2}, {"key", 1, 64}, {"move", 2, 2}, {"scroll", 1, 1}, {"type", 1, 1},
};

static gboolean
check_action (char **args, const InputOptions *o, GError **error)
{
  guint n = g_strv_length (args) - 1;

  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++) {
    if (!g_str_equal (actions[i].name, args[0]))
      continue;
    if (n < actions[i].words || n > actions[i].most)
      return vm_error (error, VM_ERROR_USAGE, "'%s' wants %u word%s%s, and there are %u", args[0],
                       actions[i].words, actions[i].words == 1 ? "" : "s",
                       actions[i].most > actions[i].words ? " or more" : "", n);
    return o->button == NULL || g_str_equal (args[0], "click") ||
           vm_error (error, VM_ERROR_USAGE, "--button goes with click");
  }
  return vm_error (error, VM_ERROR_USAGE,
                   "'%s' is nothing that can be done; write click, key, move, scroll or type", args[0]);
}

static gboolean
run (Typing *t, char **args, const InputOptions *o, GError **error)
{
  switch (*args[0]) {
  case 'c':
    return click (t, args + 1, o->button != NULL ? o->button : "left", error);
  case 'k':
    return press_keys (t, args + 1, error);
  case 'm':
    return move (t, args + 1, error);
  case 's':
    return scroll (t, args + 1, error);
  default:
    return type_text (t, args + 1, error);
  }
}

static int
input (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const InputOptions *o = data;
  g_autoptr (VmRecord) record = NULL;
  g_autoptr (VmClient) client = NULL;
  Typing t = {0};
  gboolean ok;

  if (!check_action (args + 1, o, error) ||
      (record = vm_store_find (&context->dirs, args[0], FALSE, error)) == NULL)
    return -1;
  if (record->display == NULL) {
    vm_error (error, VM_ERROR_UNSUPPORTED,
              "this sandbox has no screen; start one with: vmctl up --display none");
    return -1;
  }
  client = vm_client_connect (&context->dirs, record->id, error);
  if (client == NULL)
    return -1;
  t.client = client;
  t.is_machine = g_strcmp0 (record->isolation, "vm") == 0;
  ok = run (&t, args + 1, o, error);
  if (t.events != NULL)
    json_object_put (t.events);
  return ok ? 0 : -1;
}

const VmVerb vm_verb_input = {
    .name = "input",
    .usage = "[OPTIONS] SANDBOX ACTION WORD...",
    .summary = "type and point on a sandbox's screen",
    .details = "ACTION is one of: type TEXT, key COMBINATION... (ctrl-l, Return), click X Y, move X Y, "
               "scroll N (up with a '-'). X and Y count in pixels of the screenshot.",
    .options = options,
    .options_size = sizeof (InputOptions),
    .min_args = 2,
    .max_args = 70,
    .complete = "sandbox",
    .run = input,
};
