/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/verb.h"

typedef struct {
  gboolean detach, tty;
  char *name, *memory;
  char **env, **steps;
} Options;

static const VmOption table[] = {
    {"detach", 'd', VM_OPTION_FLAG, offsetof (Options, detach), NULL, "go away", NULL},
    {"env", 'e', VM_OPTION_LIST, offsetof (Options, env), "NAME=VALUE", "a variable", NULL},
    {"make", 0, VM_OPTION_STEP, offsetof (Options, steps), "WHAT", "one step", NULL},
    {"memory", 'm', VM_OPTION_STRING, offsetof (Options, memory), "SIZE", "how much", NULL},
    {"name", 'n', VM_OPTION_STRING, offsetof (Options, name), "NAME", "what it is called", NULL},
    {"take", 'k', VM_OPTION_STEP, offsetof (Options, steps), "WHAT", "another one", NULL},
    {"tty", 't', VM_OPTION_FLAG, offsetof (Options, tty), NULL, "a terminal", NULL},
    {NULL},
};

static const VmVerb verb = {.name = "test",
                            .usage = "[OPTIONS] [ONE] [TWO] [-- COMMAND...]",
                            .summary = "a test",
                            .details = "Some words.",
                            .options = table,
                            .options_size = sizeof (Options),
                            .max_args = 2,
                            .flags = VM_VERB_TAKES_COMMAND};

typedef struct {
  Options *o;
  char **args, **command;
  gboolean help;
} Parsed;

static void
parsed_clear (Parsed *p)
{
  vm_verb_options_free (&verb, p->o);
  g_strfreev (p->args);
  g_strfreev (p->command);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Parsed, parsed_clear)

/* Words apart by a blank; a '_' stands for an empty word. */
static char **
split (const char *line)
{
  char **words = g_strsplit (line, " ", -1);

  if (*line == '\0')
    *words = (g_free (*words), NULL);
  for (char **p = words; *p != NULL; p++)
    if (g_str_equal (*p, "_"))
      **p = '\0';
  return words;
}

static void
parse (const char *line, Parsed *ret)
{
  g_auto (GStrv) words = split (line);
  g_autoptr (GError) error = NULL;
  gpointer options = NULL;

  vm_verb_parse (&verb, words, &options, &ret->args, &ret->command, &ret->help, &error);
  if (error != NULL)
    g_error ("'%s': %s", line, error->message);
  ret->o = options;
}

static void
refuse (const char *line, const char *needle)
{
  g_auto (GStrv) words = split (line);
  g_autoptr (GError) error = NULL;
  gpointer options = NULL;
  char **args = NULL, **command = NULL;
  gboolean help;

  if (vm_verb_parse (&verb, words, &options, &args, &command, &help, &error))
    g_error ("'%s' was taken", line);
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  if (strstr (error->message, needle) == NULL)
    g_error ("'%s': '%s' lacks '%s'", line, error->message, needle);
  g_assert_null (options);
  g_assert_null (args);
}

static void
assert_words (char **words, const char *expected)
{
  g_autofree char *joined = words != NULL ? g_strjoinv ("|", words) : NULL;

  g_assert_cmpstr (joined, ==, expected);
}

static void
test_forms (void)
{
  static const char *const lines[] = {
      "--detach --tty --name x --memory 2G", "-d -t -n x -m 2G",         "-dt -nx -m2G", "-dtnx --memory=2G",
      "--name=y --name=x -dtm 2G",           "-n y -dt -n x --memory 2G"};

  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_auto (Parsed) p = {0};

    parse (lines[i], &p);
    g_assert_true (p.o->detach && p.o->tty);
    g_assert_cmpstr (p.o->name, ==, "x"); /* given twice: the last one */
    g_assert_cmpstr (p.o->memory, ==, "2G");
    g_assert_null (p.o->env);
    assert_words (p.args, "");
    g_assert_null (p.command);
  }
}

static void
test_nothing (void)
{
  g_auto (Parsed) p = {0};

  parse ("", &p);
  g_assert_false (p.o->detach || p.o->tty || p.help);
  g_assert_null (p.o->name);
  assert_words (p.args, "");
}

static void
test_values (void)
{
  g_auto (Parsed) odd = {0}, empty = {0}, list = {0}, steps = {0};

  parse ("--name --detach --memory=a=b", &odd); /* what follows is the value, whatever it looks like */
  g_assert_cmpstr (odd.o->name, ==, "--detach");
  g_assert_false (odd.o->detach);
  g_assert_cmpstr (odd.o->memory, ==, "a=b");
  parse ("--name= -m _", &empty);
  g_assert_cmpstr (empty.o->name, ==, "");
  g_assert_cmpstr (empty.o->memory, ==, "");
  parse ("-e A=1 --env B=2 --env=C=3 -eD", &list);
  assert_words (list.o->env, "A=1|B=2|C=3|D");
  parse ("--make a -kb --take= --make=a", &steps);
  assert_words (steps.o->steps, "make|a|take|b|take||make|a");
}

static void
test_arguments (void)
{
  g_auto (Parsed) mixed = {0}, dash = {0}, command = {0}, empty = {0}, twice = {0};

  parse ("one -d two --name x", &mixed);
  assert_words (mixed.args, "one|two");
  parse ("- _", &dash);
  assert_words (dash.args, "-|");
  parse ("one -- -d --name -- x", &command);
  assert_words (command.args, "one");
  assert_words (command.command, "-d|--name|--|x");
  g_assert_false (command.o->detach);
  parse ("--", &empty);
  g_assert_nonnull (empty.command); /* there, and empty: not the same as none */
  assert_words (empty.command, "");
  parse ("--name -- x", &twice); /* the value of --name */
  g_assert_cmpstr (twice.o->name, ==, "--");
  g_assert_null (twice.command);
}

static void
test_help (void)
{
  g_auto (Parsed) lone = {0}, letter = {0}, later = {0}, inside = {0};

  parse ("--help", &lone);
  g_assert_true (lone.help);
  parse ("-h", &letter);
  g_assert_true (letter.help);
  parse ("a b c d --help", &later); /* nothing was checked */
  g_assert_true (later.help);
  parse ("-- --help", &inside);
  g_assert_false (inside.help);
}

static void
test_refused (void)
{
  refuse ("--detahc", "did you mean --detach?");
  refuse ("--nam=x", "did you mean --name?");
  refuse ("--zebra", "vmctl test --help");
  refuse ("-x", "'-x'");
  refuse ("-dx", "'-dx'");
  refuse ("--detach=yes", "takes no value");
  refuse ("--name", "NAME");
  refuse ("-d -n", "NAME");
  refuse ("-dn", "NAME");
  refuse ("--det", "--det"); /* nothing is shortened */
  refuse ("a b c", "after '--'");
  refuse ("--=x", "--=x");
  refuse ("---", "---");
  refuse ("-e A -e", "NAME=VALUE");
}

static void
test_counts (void)
{
  static const VmVerb needs = {.name = "needs", .usage = "ONE", .min_args = 1, .max_args = 1};
  g_autoptr (GError) error = NULL;
  gpointer options = NULL;
  char **args = NULL, **command = NULL;
  gboolean help;

  g_assert_false (vm_verb_parse (&needs, (char *[]){NULL}, &options, &args, &command, &help, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "vmctl needs ONE"));
  g_clear_error (&error);
  g_assert_false (vm_verb_parse (&needs, (char *[]){(char *)"a", (char *)"--", (char *)"b", NULL}, &options,
                                 &args, &command, &help, &error));
  g_assert_nonnull (strstr (error->message, "no command"));
  g_clear_error (&error);
  g_assert_false (
      vm_verb_parse (&needs, (char *[]){(char *)"-q", NULL}, &options, &args, &command, &help, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
}

static void
test_help_text (void)
{
  g_autofree char *text = vm_verb_help_text (&verb);

  g_assert_true (g_str_has_prefix (text, "Usage: vmctl test [OPTIONS]"));
  for (const VmOption *o = table; o->name != NULL; o++) {
    g_autofree char *line = g_strdup_printf ("-%c, --%s%s%s", o->letter, o->name, o->arg != NULL ? " " : "",
                                             o->arg != NULL ? o->arg : "");

    g_assert_nonnull (strstr (text, line));
    g_assert_nonnull (strstr (text, o->help));
  }
  g_assert_nonnull (strstr (text, "-h, --help"));
}

/* The real table */

static void
check_options (const VmVerb *v)
{
  gboolean letters[128] = {0};

  for (const VmOption *o = v->options; o != NULL && o->name != NULL; o++) {
    g_assert_cmpuint (o->offset, <, v->options_size);
    g_assert_true ((o->arg == NULL) == (o->kind == VM_OPTION_FLAG));
    g_assert_false (g_str_has_suffix (o->help, "."));
    g_assert_cmpstr (o->name, !=, "help");
    for (const VmOption *p = v->options; p != o; p++)
      if (g_str_equal (p->name, o->name) ||
          (p->offset == o->offset && (p->kind != VM_OPTION_STEP || o->kind != VM_OPTION_STEP)))
        g_error ("%s: --%s and --%s are one", v->name, p->name, o->name);
    if (o->letter != 0 && (o->letter == 'h' || letters[(guchar)o->letter]))
      g_error ("%s: -%c is taken", v->name, o->letter);
    letters[(guchar)o->letter] = TRUE;
  }
}

/* They are actions that there are, and the help says them too. */
static void
check_actions (const VmVerb *v)
{
  for (const VmOption *o = v->options; o != NULL && o->name != NULL; o++) {
    g_auto (GStrv) actions = g_strsplit (o->actions != NULL ? o->actions : "", " ", -1);

    for (char **action = actions; *action != NULL; action++) {
      g_assert_nonnull (strstr (o->help, *action));
      g_assert_true (strstr (v->usage, *action) != NULL || strstr (v->details, *action) != NULL);
    }
  }
}

static void
test_table (void)
{
  g_autofree char *all = vm_verbs_help_text ();

  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++) {
    if (v[1] != NULL)
      g_assert_cmpstr ((*v)->name, <, v[1]->name);
    g_assert_true (vm_verb_find ((*v)->name) == *v);
    g_assert_nonnull ((*v)->run);
    g_assert_cmpuint ((*v)->min_args, <=, (*v)->max_args);
    g_assert_false (g_str_has_suffix ((*v)->summary, "."));
    g_assert_true ((strstr (all, (*v)->summary) != NULL) == (((*v)->flags & VM_VERB_HIDDEN) == 0));
    check_options (*v);
    check_actions (*v);
  }
  g_assert_null (vm_verb_find ("no-such-verb"));
  g_assert_null (vm_verb_find (""));
}

static void
test_actions (void)
{
  static const VmOption options[] = {
      {"env", 'e', VM_OPTION_LIST, offsetof (Options, env), "NAME=VALUE", "a variable", NULL, "add"},
      {"make", 0, VM_OPTION_STEP, offsetof (Options, steps), "WHAT", "one step", NULL, "add"},
      {"memory", 'm', VM_OPTION_STRING, offsetof (Options, memory), "SIZE", "how much", NULL},
      {"name", 'n', VM_OPTION_STRING, offsetof (Options, name), "NAME", "its name", NULL, "add show"},
      {"take", 'k', VM_OPTION_STEP, offsetof (Options, steps), "WHAT", "another one", NULL},
      {"tty", 't', VM_OPTION_FLAG, offsetof (Options, tty), NULL, "a terminal", NULL, "show"},
      {NULL},
  };
  static const struct {
    const char *words, *refused;
  } rows[] = {
      {"add --env A=B --make x --name n", NULL},
      {"--name n show -t", NULL},
      {"show --take x --memory 1", NULL}, /* a step, but not the one that is add's */
      {"--name n", NULL},                 /* "show", which need not be written */
      {"show --make x", "test show: --make is for add"},
      {"show --take x --make x", "test show: --make is for add"},
      {"-e A=B show", "test show: --env is for add"},
      {"add -t", "test add: --tty is for show"},
      {"rm -n x", "test rm: --name is for add, show"},
      {"--make x", "test show: --make is for add"},
      {"-h --make x", NULL},
  };
  VmVerb with = verb;

  with.options = options;
  with.action = "show";
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_auto (GStrv) words = split (rows[i].words);
    g_autoptr (GError) error = NULL;
    g_auto (Parsed) p = {NULL};
    gboolean ok = vm_verb_parse (&with, words, (gpointer *)&p.o, &p.args, &p.command, &p.help, &error);

    g_assert_cmpstr (error != NULL ? error->message : NULL, ==, rows[i].refused);
    g_assert_true (ok == (error == NULL));
  }
}

static void
test_guess (void)
{
  g_autofree char *long_one = g_strnfill (100000, 'u');

  g_assert_cmpstr (vm_verb_guess ("upp"), ==, "up");
  g_assert_cmpstr (vm_verb_guess ("exce"), ==, "exec");
  g_assert_cmpstr (vm_verb_guess ("attahc"), ==, "attach");
  g_assert_null (vm_verb_guess ("supervisee")); /* hidden */
  g_assert_null (vm_verb_guess ("something-else"));
  g_assert_null (vm_verb_guess (long_one));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/verb/forms", test_forms);
  g_test_add_func ("/vmctl/verb/nothing", test_nothing);
  g_test_add_func ("/vmctl/verb/values", test_values);
  g_test_add_func ("/vmctl/verb/arguments", test_arguments);
  g_test_add_func ("/vmctl/verb/help", test_help);
  g_test_add_func ("/vmctl/verb/refused", test_refused);
  g_test_add_func ("/vmctl/verb/counts", test_counts);
  g_test_add_func ("/vmctl/verb/help-text", test_help_text);
  g_test_add_func ("/vmctl/verb/table", test_table);
  g_test_add_func ("/vmctl/verb/actions", test_actions);
  g_test_add_func ("/vmctl/verb/guess", test_guess);
  return g_test_run ();
}
