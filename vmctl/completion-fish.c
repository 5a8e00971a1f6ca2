/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One `complete` line for each verb and option. fish takes "word TAB description" as it comes. */
#include "vmctl/completion.h"

static const char head[] =
    "# fish completion for vmctl. Made by: vmctl completion fish\n\n"
    "function __vmctl_kind\n"
    "    set -l words (commandline -opc)\n"
    "    $words[1] complete $argv 2>/dev/null\n"
    "end\n\n"
    "function __vmctl_needs_verb\n"
    "    test (count (commandline -opc)) -eq 1\n"
    "end\n\n"
    "function __vmctl_in_command\n"
    "    contains -- -- (commandline -opc)\n"
    "end\n\n"
    "function __vmctl_verb\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -ge 2; and test $words[2] = $argv[1]; and not __vmctl_in_command\n"
    "end\n\n"
    "function __vmctl_command\n"
    "    set -l words (commandline -opc)\n"
    "    set -l at (contains -i -- -- $words)\n"
    "    set -e words[1..$at]\n"
    "    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))\n"
    "end\n\n"
    /* fish brings one for OpenBSD's vmctl, which it loads at the first use: now, so that it can be dropped.
     */
    "complete -C 'vmctl ' >/dev/null 2>&1\n"
    "complete -e -c vmctl\n"
    "complete -c vmctl -f\n"
    "complete -c vmctl -n __vmctl_in_command -a '(__vmctl_command)'\n";

/* Between single quotes of fish. (transfer full) */
static char *
quote (const char *text)
{
  GString *out = g_string_new (text);

  (void)g_string_replace (out, "\\", "\\\\", 0);
  (void)g_string_replace (out, "'", "\\'", 0);
  return g_string_free (out, FALSE);
}

/* (transfer full) */
static char *
candidates (const char *kind)
{
  if (g_str_equal (kind, "dir"))
    return g_strdup ("-a '(__fish_complete_directories)'");
  if (g_str_equal (kind, "file"))
    return g_strdup ("-r -F");
  return g_strdup_printf ("-a '(__vmctl_kind %s)'", kind);
}

static void
add_option (GString *out, const VmVerb *verb, const VmOption *o)
{
  g_autofree char *help = quote (o->help);

  g_string_append_printf (out, "complete -c vmctl -n '__vmctl_verb %s' -l %s", verb->name, o->name);
  if (o->letter != 0)
    g_string_append_printf (out, " -s %c", o->letter);
  if (o->kind != VM_OPTION_FLAG && g_strcmp0 (o->complete, "file") != 0)
    g_string_append (out, " -x");
  if (o->kind != VM_OPTION_FLAG && o->complete != NULL) {
    g_autofree char *from = candidates (o->complete);

    g_string_append_printf (out, " %s", from);
  }
  g_string_append_printf (out, " -d '%s'\n", help);
}

static void
add_verb (GString *out, const VmVerb *verb)
{
  g_autofree char *summary = quote (verb->summary);
  gboolean repeats;
  g_autofree char *kind = vm_completion_kind (verb, &repeats);

  g_string_append_printf (out, "\ncomplete -c vmctl -n __vmctl_needs_verb -a %s -d '%s'\n", verb->name,
                          summary);
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    add_option (out, verb, o);
  g_string_append_printf (
      out, "complete -c vmctl -n '__vmctl_verb %s' -l help -s h -d 'show this and exit'\n", verb->name);
  if (kind != NULL) {
    g_autofree char *from = candidates (kind);

    g_string_append_printf (out, "complete -c vmctl -n '__vmctl_verb %s' %s\n", verb->name, from);
  }
}

char *
vm_completion_fish (void)
{
  GString *out = g_string_new (head);

  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      add_verb (out, *v);
  return g_string_free (out, FALSE);
}
