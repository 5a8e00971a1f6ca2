/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/legacy.h"

#include <string.h>

#include "vmctl/base/error.h"

static const struct {
  const char *name, *driver, *what;
} commands[] = {
    {"claude-sandbox", "bwrap", "namespaces on this host's kernel"},
    {"claude-sandbox-container", "nspawn", "a container"},
    {"claude-sandbox-vm", "qemu", "a virtual machine"},
};

typedef struct {
  gboolean shell, gh_token, enter, stop, new, tmux; /* the order of `flags` */
  GPtrArray *passed;                                /* words for `vmctl up`, as they are */
} Old;

static const struct {
  const char *word;
  gsize offset;
  const char *help;
} flags[] = {
    {"--shell", G_STRUCT_OFFSET (Old, shell), "a login shell instead of claude, with the same grants"},
    {"--gh-token", G_STRUCT_OFFSET (Old, gh_token), "let GH_TOKEN and GITHUB_TOKEN in"},
    {"--enter", G_STRUCT_OFFSET (Old, enter), "a shell in the sandbox that runs on the project"},
    {"--stop", G_STRUCT_OFFSET (Old, stop), "end the sandbox that runs on the project"},
    {"--new", G_STRUCT_OFFSET (Old, new), "another sandbox though one runs"},
    {"--tmux", G_STRUCT_OFFSET (Old, tmux), "run within tmux, inside"},
};

/* vmctl's own options that people who come from the predecessor need first. */
static const struct {
  const char *word, *value, *help;
} passed[] = {
    {"--grant", "NAME", "let one more thing of the host in (see: vmctl grants)"},
    {"--no-grant", "NAME", "leave one out"},
    {"--net", "MODE", "the network: public, none, or allow:LIST (see: man vmctl-net)"},
};

static gsize
find (const char *argv0)
{
  g_autofree char *base = g_path_get_basename (argv0);
  gsize i = 0;

  while (i < G_N_ELEMENTS (commands) && !g_str_equal (commands[i].name, base))
    i++;
  return i;
}

gboolean
vm_legacy_is_name (const char *argv0)
{
  return find (argv0) < G_N_ELEMENTS (commands);
}

static gboolean
take_flag (Old *old, const char *word)
{
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    if (g_str_equal (flags[i].word, word)) {
      *(gboolean *)G_STRUCT_MEMBER_P (old, flags[i].offset) = TRUE;
      return TRUE;
    }
  return FALSE;
}

/* "--grant NAME" or "--grant=NAME". */
static gboolean
take_passed (Old *old, char ***args, GError **error)
{
  const char *word = **args;

  for (gsize i = 0; i < G_N_ELEMENTS (passed); i++) {
    gsize length = strlen (passed[i].word);

    if (strncmp (word, passed[i].word, length) != 0 || (word[length] != '=' && word[length] != '\0'))
      continue;
    if (word[length] == '\0' && (*args)[1] == NULL)
      return vm_error (error, VM_ERROR_USAGE, "%s needs a value; see --help", word);
    g_ptr_array_add (old->passed, g_strdup (word));
    if (word[length] == '\0')
      g_ptr_array_add (old->passed, g_strdup (*++*args));
    return TRUE;
  }
  return vm_error (error, VM_ERROR_USAGE,
                   "unknown option '%s'; see --help, and put what is for claude after '--'", word);
}

/* Flags up to the project; what comes after it, or after "--", is for the program. */
static gboolean
parse (char **args, Old *old, const char **ret_project, char ***ret_rest, gboolean *ret_help, GError **error)
{
  *ret_project = NULL;
  *ret_help = FALSE;
  for (; *args != NULL && *ret_project == NULL && !g_str_equal (*args, "--"); args++) {
    if (g_str_equal (*args, "--help") || g_str_equal (*args, "-h"))
      *ret_help = TRUE;
    else if (**args != '-')
      *ret_project = *args;
    else if (!take_flag (old, *args) && !take_passed (old, &args, error))
      return FALSE;
  }
  *ret_rest = *args != NULL && g_str_equal (*args, "--") ? args + 1 : args;
  return TRUE;
}

static gboolean
check (const Old *old, char **rest, GError **error)
{
  if (old->enter && old->stop)
    return vm_error (error, VM_ERROR_USAGE, "--enter and --stop exclude each other");
  if ((old->enter || old->stop) &&
      (old->shell || old->gh_token || old->new || old->tmux || old->passed->len > 0))
    return vm_error (error, VM_ERROR_USAGE, "--enter and --stop go with no other option");
  if (old->stop && *rest != NULL)
    return vm_error (error, VM_ERROR_USAGE, "--stop takes no command");
  return TRUE;
}

static void
add (GPtrArray *out, const char *word)
{
  g_ptr_array_add (out, g_strdup (word));
}

/* A project whose name begins with a dash is no option. */
static void
add_project (GPtrArray *out, const char *project)
{
  if (project != NULL && *project == '-')
    g_ptr_array_add (out, g_strconcat ("./", project, NULL));
  else if (project != NULL)
    add (out, project);
}

static void
add_up (GPtrArray *out, const Old *old, const char *driver)
{
  add (out, "up");
  add (out, "--driver");
  add (out, driver);
  add (out, "--profile");
  add (out, old->shell ? "claude-shell" : "claude");
  if (old->gh_token) {
    add (out, "--grant");
    add (out, "gh-token");
  }
  for (guint i = 0; i < old->passed->len; i++)
    add (out, g_ptr_array_index (old->passed, i));
  if (old->new)
    add (out, "--new");
  if (old->tmux)
    add (out, "--tmux");
}

char **
vm_legacy_translate (const char *argv0, char **args, gboolean *ret_help, GError **error)
{
  GPtrArray *out = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  const char *project = NULL;
  char **rest = NULL;
  g_autoptr (GPtrArray) own = g_ptr_array_new_with_free_func (g_free);
  Old old = {.passed = own};

  g_assert (vm_legacy_is_name (argv0));
  if (!parse (args, &old, &project, &rest, ret_help, error) || *ret_help || !check (&old, rest, error)) {
    g_ptr_array_unref (out);
    return NULL;
  }
  if (old.stop)
    add (out, "stop");
  else if (old.enter)
    add (out, *rest != NULL ? "exec" : "enter");
  else
    add_up (out, &old, commands[find (argv0)].driver);
  add_project (out, project != NULL || !(old.stop || old.enter) ? project : ".");
  if (*rest != NULL)
    add (out, "--");
  for (; *rest != NULL; rest++)
    add (out, *rest);
  return (char **)g_ptr_array_free (out, FALSE);
}

char *
vm_legacy_help_text (const char *argv0)
{
  gsize which = find (argv0);
  GString *out = g_string_new (NULL);

  g_assert (which < G_N_ELEMENTS (commands));
  g_string_append_printf (out,
                          "Usage: %s [OPTIONS] [PROJECT] [-- ARGUMENTS...]\n\n"
                          "Runs claude on a project in %s. The same as:\n"
                          "  vmctl up --driver %s --profile claude [PROJECT] [-- ARGUMENTS...]\n\nOptions:\n",
                          commands[which].name, commands[which].what, commands[which].driver);
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    g_string_append_printf (out, "  %-15s %s\n", flags[i].word, flags[i].help);
  for (gsize i = 0; i < G_N_ELEMENTS (passed); i++) {
    g_autofree char *words = g_strconcat (passed[i].word, " ", passed[i].value, NULL);

    g_string_append_printf (out, "  %-15s %s\n", words, passed[i].help);
  }
  g_string_append_printf (out, "  %-15s %s\n\nManual: man claude-sandbox\n", "-h, --help",
                          "show this and exit");
  return g_string_free (out, FALSE);
}
