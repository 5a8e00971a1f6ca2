/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One `complete` line for each verb and option. fish takes "word TAB description" as it comes. */
#include "vmctl/completion.h"

#include <string.h>

enum { ARGUMENTS_MAX = 9999 };

static const char head[] =
    "# fish completion for vmctl. Made by: vmctl completion fish\n\n"
    "function __vmctl_arguments\n"
    "    set -l words (commandline -opc)\n"
    "    set -l verb $words[2]\n"
    "    set -l skip no\n"
    "    set -e words[1..2]\n"
    "    for word in $words\n"
    "        if test $skip = yes\n"
    "            set skip no\n"
    "        else if string match -q -- '-*' $word\n"
    "            contains -- $verb:$word $__vmctl_valued; and set skip yes\n"
    "        else\n"
    "            echo $word\n"
    "        end\n"
    "    end\n"
    "end\n\n"
    "function __vmctl_kind # KIND TEXT\n"
    "    set -l words (commandline -opc)\n"
    "    switch $argv[1]\n"
    "        case plug-dir\n"
    "            __fish_complete_directories $argv[2]\n"
    "        case plug-disk\n"
    "            __fish_complete_path $argv[2]\n"
    "        case '*'\n"
    "            $words[1] complete $argv[1] (__vmctl_arguments) 2>/dev/null\n"
    "    end\n"
    "end\n\n"
    "function __vmctl_after # KIND-\n"
    "    set -l arguments (__vmctl_arguments)\n"
    "    __vmctl_kind $argv[1]$arguments[-1] (commandline -ct)\n"
    "end\n\n"
    "function __vmctl_pair # KIND\n"
    "    set -l word (string replace -r -- '^--[a-z-]+=' '' (commandline -ct))\n"
    "    set -l pair (string split -m 1 -- = $word)\n"
    "    if test (count $pair) -lt 2\n"
    "        __vmctl_kind $argv[1]=\n"
    "    else\n"
    "        for found in (__vmctl_kind $argv[1]-$pair[1] $pair[2])\n"
    "            echo $pair[1]=$found\n"
    "        end\n"
    "    end\n"
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
    "function __vmctl_at # VERB FIRST LAST: of the arguments\n"
    "    __vmctl_verb $argv[1]; or return\n"
    "    set -l at (count (__vmctl_arguments))\n"
    "    test $at -ge $argv[2]; and test $at -le $argv[3]\n"
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
  if (g_str_has_suffix (kind, "="))
    return g_strdup_printf ("-a '(__vmctl_pair %.*s)'", (int)strlen (kind) - 1, kind);
  if (g_str_has_suffix (kind, "-"))
    return g_strdup_printf ("-a '(__vmctl_after %s)'", kind);
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
  g_auto (GStrv) kinds = vm_completion_kinds (verb, &repeats);

  g_string_append_printf (out, "\ncomplete -c vmctl -n __vmctl_needs_verb -a %s -d '%s'\n", verb->name,
                          summary);
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    add_option (out, verb, o);
  g_string_append_printf (
      out, "complete -c vmctl -n '__vmctl_verb %s' -l help -s h -d 'show this and exit'\n", verb->name);
  for (guint i = 0; kinds[i] != NULL; i++) {
    g_autofree char *from = candidates (kinds[i]);
    guint last = repeats && kinds[i + 1] == NULL ? ARGUMENTS_MAX : i;

    g_string_append_printf (out, "complete -c vmctl -n '__vmctl_at %s %u %u' %s\n", verb->name, i, last,
                            from);
  }
}

/* Options that take a word, as VERB:OPTION. */
static void
add_valued (GString *out)
{
  g_string_append (out, "set -g __vmctl_valued");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    for (const VmOption *o = (*v)->options; o != NULL && o->name != NULL; o++) {
      if (((*v)->flags & VM_VERB_HIDDEN) != 0 || o->kind == VM_OPTION_FLAG)
        continue;
      g_string_append_printf (out, " %s:--%s", (*v)->name, o->name);
      if (o->letter != 0)
        g_string_append_printf (out, " %s:-%c", (*v)->name, o->letter);
    }
  g_string_append (out, "\n");
}

char *
vm_completion_fish (void)
{
  GString *out = g_string_new (head);

  add_valued (out);
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      add_verb (out, *v);
  return g_string_free (out, FALSE);
}
