/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/verb.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/guess.h"
#include "vmctl/verbs.h"

const VmVerb *const vm_verbs[] = {
#define VERB(name) &vm_verb_##name,
#include "vmctl/verbs.def"
#undef VERB
    NULL,
};

const VmVerb *
vm_verb_find (const char *name)
{
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (g_str_equal ((*v)->name, name))
      return *v;
  return NULL;
}

const char *
vm_verb_guess (const char *name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_null_terminated (32, NULL, TRUE);

  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      g_ptr_array_add (names, (char *)(*v)->name);
  return vm_guess (name, (const char *const *)names->pdata);
}

static const VmOption *
find_long (const VmVerb *verb, const char *name, gsize length)
{
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    if (strlen (o->name) == length && strncmp (o->name, name, length) == 0)
      return o;
  return NULL;
}

static const VmOption *
find_short (const VmVerb *verb, char letter)
{
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    if (o->letter == letter)
      return o;
  return NULL;
}

static gboolean
unknown_option (const VmVerb *verb, const char *word, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_null_terminated (32, NULL, TRUE);
  const char *bare = word + strspn (word, "-"), *best;
  gsize length = strcspn (bare, "=");
  g_autofree char *name = g_strndup (bare, length);

  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    g_ptr_array_add (names, (char *)o->name);
  best = vm_guess (name, (const char *const *)names->pdata);
  if (best != NULL && length > 1)
    return vm_error (error, VM_ERROR_USAGE, "unknown option '%s'; did you mean --%s?", word, best);
  return vm_error (error, VM_ERROR_USAGE, "unknown option '%s'; see: vmctl %s --help", word, verb->name);
}

static void
append (char ***list, const char *value)
{
  guint n = *list != NULL ? g_strv_length (*list) : 0;

  *list = g_renew (char *, *list, n + 2);
  (*list)[n] = g_strdup (value);
  (*list)[n + 1] = NULL;
}

static void
store (const VmOption *option, gpointer options, const char *value)
{
  gpointer at = (char *)options + option->offset;

  if (option->kind == VM_OPTION_FLAG) {
    *(gboolean *)at = TRUE;
  } else if (option->kind == VM_OPTION_STRING) {
    g_free (*(char **)at);
    *(char **)at = g_strdup (value);
  } else {
    if (option->kind == VM_OPTION_STEP)
      append (at, option->name);
    append (at, value);
  }
}

/* "--name", "--name=value", "--name value". Moves *at over what it used. */
static gboolean
parse_long (const VmVerb *verb, char ***at, gpointer options, GError **error)
{
  const char *word = **at, *name = word + 2, *equals = strchr (name, '=');
  const VmOption *option = find_long (verb, name, equals != NULL ? (gsize)(equals - name) : strlen (name));

  if (option == NULL)
    return unknown_option (verb, word, error);
  if (option->kind == VM_OPTION_FLAG) {
    if (equals != NULL)
      return vm_error (error, VM_ERROR_USAGE, "--%s takes no value", option->name);
    store (option, options, NULL);
    return TRUE;
  }
  if (equals == NULL && *++*at == NULL)
    return vm_error (error, VM_ERROR_USAGE, "--%s needs a value: %s", option->name, option->arg);
  store (option, options, equals != NULL ? equals + 1 : **at);
  return TRUE;
}

/* "-d", "-dt", "-n NAME", "-nNAME". */
static gboolean
parse_short (const VmVerb *verb, char ***at, gpointer options, GError **error)
{
  const char *word = **at;

  for (const char *p = word + 1; *p != '\0'; p++) {
    const VmOption *option = find_short (verb, *p);

    if (option == NULL)
      return unknown_option (verb, word, error);
    if (option->kind == VM_OPTION_FLAG) {
      store (option, options, NULL);
      continue;
    }
    if (p[1] != '\0') {
      store (option, options, p + 1);
      return TRUE;
    }
    if (*++*at == NULL)
      return vm_error (error, VM_ERROR_USAGE, "-%c needs a value: %s", option->letter, option->arg);
    store (option, options, **at);
    return TRUE;
  }
  return TRUE;
}

static gboolean
check_counts (const VmVerb *verb, guint n, gboolean has_command, GError **error)
{
  if (has_command && (verb->flags & VM_VERB_TAKES_COMMAND) == 0)
    return vm_error (error, VM_ERROR_USAGE, "vmctl %s takes no command after '--'", verb->name);
  if (n < verb->min_args)
    return vm_error (error, VM_ERROR_USAGE, "something is missing; usage: vmctl %s %s", verb->name,
                     verb->usage);
  if (n > verb->max_args)
    return vm_error (error, VM_ERROR_USAGE, "too many arguments%s; usage: vmctl %s %s",
                     (verb->flags & VM_VERB_TAKES_COMMAND) != 0 ? " (a command goes after '--')" : "",
                     verb->name, verb->usage);
  return TRUE;
}

static gboolean
was_given (const VmOption *option, gconstpointer options)
{
  gconstpointer at = (const char *)options + option->offset;
  char *const *step;

  if (option->kind == VM_OPTION_FLAG)
    return *(const gboolean *)at;
  if (option->kind == VM_OPTION_STRING)
    return *(char *const *)at != NULL;
  if (option->kind == VM_OPTION_LIST)
    return *(char **const *)at != NULL;
  for (step = *(char **const *)at; step != NULL && step[0] != NULL; step += 2)
    if (g_str_equal (step[0], option->name))
      return TRUE;
  return FALSE;
}

/* What an action would pass over may be what it was called for: `image rm --dry-run`. */
static gboolean
check_actions (const VmVerb *verb, const char *action, gconstpointer options, GError **error)
{
  for (const VmOption *o = verb->options; action != NULL && o != NULL && o->name != NULL; o++) {
    g_auto (GStrv) takers = o->actions != NULL ? g_strsplit (o->actions, " ", -1) : NULL;
    g_autofree char *list = NULL;

    if (takers == NULL || g_strv_contains ((const char *const *)takers, action) || !was_given (o, options))
      continue;
    list = g_strjoinv (", ", takers);
    return vm_error (error, VM_ERROR_USAGE, "%s %s: --%s is for %s", verb->name, action, o->name, list);
  }
  return TRUE;
}

gboolean
vm_verb_parse (const VmVerb *verb, char **argv, gpointer *ret_options, char ***ret_args, char ***ret_command,
               gboolean *ret_help, GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new_null_terminated (4, g_free, TRUE);
  gpointer options = g_malloc0 (MAX (verb->options_size, 1));
  char **command = NULL;
  gboolean ok = TRUE;

  *ret_help = FALSE;
  for (char **at = argv; ok && *at != NULL; at++) {
    if (g_str_equal (*at, "--")) {
      command = at + 1;
      break;
    }
    if (g_str_equal (*at, "--help") || (g_str_equal (*at, "-h") && find_short (verb, 'h') == NULL))
      *ret_help = TRUE;
    else if (g_str_has_prefix (*at, "--"))
      ok = parse_long (verb, &at, options, error);
    else if (**at == '-' && (*at)[1] != '\0' && !g_ascii_isdigit ((*at)[1])) /* "-3" is a number */
      ok = parse_short (verb, &at, options, error);
    else
      g_ptr_array_add (args, g_strdup (*at));
  }
  if (ok && !*ret_help)
    ok = check_counts (verb, args->len, command != NULL, error) &&
         check_actions (verb, args->len > 0 ? g_ptr_array_index (args, 0) : verb->action, options, error);
  if (!ok) {
    vm_verb_options_free (verb, options);
    return FALSE;
  }
  *ret_options = options;
  *ret_command = g_strdupv (command);
  g_ptr_array_set_free_func (args, NULL);
  *ret_args = (char **)g_ptr_array_free (g_steal_pointer (&args), FALSE);
  return TRUE;
}

void
vm_verb_options_free (const VmVerb *verb, gpointer options)
{
  for (const VmOption *o = verb->options; options != NULL && o != NULL && o->name != NULL; o++) {
    gpointer at = (char *)options + o->offset;

    if (o->kind == VM_OPTION_STRING)
      g_free (*(char **)at);
    else if (o->kind == VM_OPTION_LIST || o->kind == VM_OPTION_STEP)
      g_clear_pointer ((char ***)at, g_strfreev); /* others may have the same one */
  }
  g_free (options);
}

enum { WIDTH = 80, LEFT = 30 };

/* Words filled into lines; the first one begins at column `at`, the others at `indent`. A newline in the text
 * stays one. Ends with a newline. */
static void
append_filled (GString *out, const char *text, guint at, guint indent)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) words = g_strsplit (*line, " ", -1);
    gboolean fresh = TRUE;

    for (char **word = words; *word != NULL; word++) {
      if (!fresh && at + 1 + strlen (*word) > WIDTH) {
        g_string_append_printf (out, "\n%*s", (int)indent, "");
        at = indent;
        fresh = TRUE;
      }
      g_string_append_printf (out, "%s%s", fresh ? "" : " ", *word);
      at += (guint)strlen (*word) + !fresh;
      fresh = FALSE;
    }
    g_string_append_c (out, '\n');
    at = indent;
  }
}

static void
append_option (GString *out, const char *name, char letter, const char *arg, const char *help)
{
  g_autofree char *left =
      g_strdup_printf ("%c%c%s --%s%s%s", letter != 0 ? '-' : ' ', letter != 0 ? letter : ' ',
                       letter != 0 ? "," : " ", name, arg != NULL ? " " : "", arg != NULL ? arg : "");

  if (strlen (left) >= LEFT - 3)
    g_string_append_printf (out, "  %s\n%*s", left, LEFT, "");
  else
    g_string_append_printf (out, "  %-*s", LEFT - 2, left);
  append_filled (out, help, LEFT, LEFT);
}

char *
vm_verb_help_text (const VmVerb *verb)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out, "Usage: vmctl %s %s\n\n%c%s.\n", verb->name, verb->usage,
                          g_ascii_toupper (*verb->summary), verb->summary + 1);
  if (verb->details != NULL) {
    g_string_append_c (out, '\n');
    append_filled (out, verb->details, 0, 0);
  }
  g_string_append (out, "\nOptions:\n");
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    append_option (out, o->name, o->letter, o->arg, o->help);
  append_option (out, "help", 'h', NULL, "show this and exit");
  g_string_append_printf (out, "\nManual: man vmctl-%s\n", verb->name);
  return g_string_free (out, FALSE);
}

char *
vm_verbs_help_text (void)
{
  GString *out = g_string_new ("Usage: vmctl VERB [OPTIONS] [ARGUMENTS] [-- COMMAND...]\n\n");

  append_filled (
      out,
      "Runs a shell, a coding agent or any command on a project, in the strongest isolation this host "
      "can give, so that the inside looks like the outside.",
      0, 0);
  g_string_append (out, "\nVerbs:\n");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      g_string_append_printf (out, "  %-12s %s\n", (*v)->name, (*v)->summary);
  g_string_append (out, "\nA SANDBOX is named by its id, a unique beginning of it (three characters or\n"
                        "more), its name, or the path of its project.\n"
                        "\nStart with: vmctl doctor; vmctl up ./project -- make check\n"
                        "Help: vmctl VERB --help; man vmctl\n");
  return g_string_free (out, FALSE);
}
