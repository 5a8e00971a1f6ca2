/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of _arguments for each verb. What follows "--" is a command, and completed as one. */
#include "vmctl/completion.h"

#include <string.h>

static const char head[] =
    "#compdef vmctl\n"
    "# zsh completion for vmctl. Made by: vmctl completion zsh\n\n"
    /* $line: the arguments, as _arguments has them */
    "_vmctl_kind () {\n"
    "  local kind=${@[-1]} item tab=$'\\t'\n"
    "  local -a items after\n"
    "  case $kind in\n"
    "    plug-dir) _files -/; return ;;\n"
    "    plug-disk) _files; return ;;\n"
    "    *=) after=(-S '') ;;\n"
    "  esac\n"
    "  for item in ${(f)\"$(_call_program vmctl-${kind%=} ${(q)_vmctl_program} complete "
    "${(q)kind} ${(q)line} 2>/dev/null)\"}; do\n"
    "    items+=(\"${${item%%$tab*}//:/\\\\:}:${item#*$tab}\")\n"
    "  done\n"
    "  _describe -t vmctl-${kind%=} ${kind%=} items \"${after[@]}\"\n"
    "}\n\n"
    "_vmctl_pair () {\n"
    "  local kind=${@[-1]} key=${PREFIX%%=*}\n"
    "  if compset -P 1 '*='; then _vmctl_kind $kind-$key; else _vmctl_kind $kind=; fi\n"
    "}\n\n"
    "_vmctl () {\n"
    "  local curcontext=$curcontext state _vmctl_program=$words[1]\n"
    "  local -a verbs line\n"
    "  integer dashes=${words[(i)--]}\n"
    "  if (( CURRENT > dashes )); then\n"
    "    words=(\"${(@)words[dashes + 1, -1]}\")\n"
    "    (( CURRENT -= dashes ))\n"
    "    _normal\n"
    "    return\n"
    "  fi\n"
    "  _arguments -C '1: :->verb' '*:: :->rest' && return\n"
    "  case $state in\n"
    "    verb)\n"
    "      verbs=(\n";

/* Inside [..] and :..: of an _arguments specification these have a meaning. (transfer full) */
static char *
escape (const char *text)
{
  GString *out = g_string_new (NULL);
  g_autofree char *quoted = vm_completion_quote (text);

  for (const char *p = quoted; *p != '\0'; p++) {
    if (strchr ("[]:", *p) != NULL)
      g_string_append_c (out, '\\');
    g_string_append_c (out, *p);
  }
  return g_string_free (out, FALSE);
}

/* `at`: which of the arguments it is, from 1. (transfer full) */
static char *
action (const char *kind, guint at)
{
  if (kind == NULL)
    return g_strdup ("");
  if (g_str_equal (kind, "dir"))
    return g_strdup ("_files -/");
  if (g_str_equal (kind, "file"))
    return g_strdup ("_files");
  if (g_str_has_suffix (kind, "="))
    return g_strdup_printf ("_vmctl_pair %.*s", (int)strlen (kind) - 1, kind);
  if (g_str_has_suffix (kind, "-"))
    return g_strdup_printf ("_vmctl_kind %s$line[%u]", kind, at - 1);
  return g_strdup_printf ("_vmctl_kind %s", kind);
}

/* '--name[help]', '(-n --name)'{-n,--name}'[help]', '*--name=[help]:VALUE:action'. */
static void
add_option (GString *out, const VmOption *o)
{
  g_autofree char *help = escape (o->help), *act = action (o->complete, 0);
  g_autofree char *arg = escape (o->arg != NULL ? o->arg : "");
  const char *star = o->kind == VM_OPTION_LIST || o->kind == VM_OPTION_STEP ? "*" : "";
  const char *equals = o->kind == VM_OPTION_FLAG ? "" : "=";

  g_string_append (out, " \\\n          ");
  if (o->letter == 0)
    g_string_append_printf (out, "'%s--%s%s[%s]", star, o->name, equals, help);
  else if (*star != '\0')
    g_string_append_printf (out, "\\*{-%c+,--%s=}'[%s]", o->letter, o->name, help);
  else
    g_string_append_printf (out, "'(-%c --%s)'{-%c%s,--%s%s}'[%s]", o->letter, o->name, o->letter,
                            *equals != '\0' ? "+" : "", o->name, equals, help);
  if (*equals != '\0')
    g_string_append_printf (out, ":%s:%s", arg, act);
  g_string_append (out, "'");
}

static void
add_verb (GString *out, const VmVerb *verb)
{
  gboolean repeats;
  g_auto (GStrv) kinds = vm_completion_kinds (verb, &repeats);

  g_string_append_printf (
      out, "        %s)\n          _arguments -s -S '(- *)'{-h,--help}'[show this and exit]'", verb->name);
  for (const VmOption *o = verb->options; o != NULL && o->name != NULL; o++)
    add_option (out, o);
  for (guint i = 0; kinds[i] != NULL; i++) {
    g_autofree char *act = action (kinds[i], i + 1);
    g_autofree char *at = repeats && kinds[i + 1] == NULL ? g_strdup ("*") : g_strdup_printf ("%u", i + 1);

    g_string_append_printf (out, " \\\n          '%s:%s:%s'", at, kinds[i], act);
  }
  g_string_append (out, "\n          ;;\n");
}

char *
vm_completion_zsh (void)
{
  GString *out = g_string_new (head);

  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++) {
    g_autofree char *summary = escape ((*v)->summary);

    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      g_string_append_printf (out, "        '%s:%s'\n", (*v)->name, summary);
  }
  g_string_append (out, "      )\n      _describe -t verbs verb verbs\n      ;;\n"
                        "    rest)\n      case $words[1] in\n");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      add_verb (out, *v);
  g_string_append (out, "      esac\n      ;;\n  esac\n}\n\n"
                        "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n  _vmctl \"$@\"\n"
                        "else\n  compdef _vmctl vmctl\nfi\n");
  return g_string_free (out, FALSE);
}
