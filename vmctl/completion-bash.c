/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Three functions with the facts, one case for each verb, and one that completes. bash splits words at '=',
 * so "--driver=nu" arrives as three words, and "--plug=dir=/srv" as five. */
#include "vmctl/completion.h"

static const char body[] =
    "_vmctl_complete () { # KIND PROGRAM WORD ARGUMENTS...\n"
    "  case $1 in\n"
    "    dir | plug-dir) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$3\") ;;\n"
    "    file | plug-disk) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$3\") ;;\n"
    "    none | '') ;;\n"
    "    *)\n"
    "      mapfile -t COMPREPLY < <(compgen -W \"$(\"$2\" complete \"$1\" \"${@:4}\" 2>/dev/null | cut "
    "-f1)\" "
    "-- \"$3\")\n"
    "      if [[ $1 == *= ]]; then compopt -o nospace; fi\n"
    "      ;;\n"
    "  esac\n"
    "}\n\n"
    "_vmctl () {\n"
    "  local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}\n"
    "  local word kind joined='' i at=$(( COMP_CWORD - 1 ))\n"
    "  local -a args=()\n"
    "  COMPREPLY=()\n"
    "  if (( COMP_CWORD == 1 )); then\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$(_vmctl_verbs)\" -- \"$cur\")\n"
    "    return\n"
    "  fi\n"
    "  for (( i = 2; i < COMP_CWORD; i++ )); do\n"
    "    word=${COMP_WORDS[i]}\n"
    "    if [[ $word == -- ]]; then\n"
    "      if declare -F _command_offset > /dev/null; then _command_offset $(( i + 1 )); return; fi\n"
    "      compopt -o filenames\n"
    "      if (( i + 1 == COMP_CWORD )); then mapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
    "      else mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); fi\n"
    "      return\n"
    "    fi\n"
    "    if [[ $word == -* ]]; then\n"
    "      if [[ -n $(_vmctl_value \"$verb\" \"$word\") ]]; then\n"
    "        (( i++ ))\n"
    "        if [[ ${COMP_WORDS[i]} == = ]]; then (( i++ )); fi\n"
    "        while [[ ${COMP_WORDS[i + 1]} == = ]]; do (( i += 2 )); done\n"
    "      fi\n"
    "    else\n"
    "      args+=(\"$word\")\n"
    "    fi\n"
    "  done\n"
    "  if [[ $cur == = ]]; then cur='' joined=yes\n"
    "  elif [[ ${COMP_WORDS[at]} == = ]]; then (( at-- )); joined=yes; fi\n"
    "  word=${COMP_WORDS[at]}\n"
    "  kind=$(_vmctl_value \"$verb\" \"$word\")\n"
    "  if [[ -z $kind && -n $joined ]]; then\n"
    "    if [[ ${COMP_WORDS[--at]} == = ]]; then (( at-- )); fi\n"
    "    kind=$(_vmctl_value \"$verb\" \"${COMP_WORDS[at]}\")\n"
    "    if [[ $kind == *= ]]; then kind=${kind%=}-$word; else kind=none; fi\n"
    "  fi\n"
    "  if [[ -z $kind && $cur == -* ]]; then\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$(_vmctl_options \"$verb\")\" -- \"$cur\")\n"
    "    return\n"
    "  fi\n"
    "  : \"${kind:=$(_vmctl_argument \"$verb\" ${#args[@]})}\"\n"
    "  if [[ $kind == *- ]]; then kind+=${args[-1]}; fi\n"
    "  _vmctl_complete \"$kind\" \"$program\" \"$cur\" \"${args[@]}\"\n"
    "}\n\n"
    "complete -F _vmctl vmctl\n";

static gboolean
is_shown (const VmVerb *verb)
{
  return (verb->flags & VM_VERB_HIDDEN) == 0;
}

static void
add_verbs (GString *out)
{
  g_string_append (out, "_vmctl_verbs () {\n  echo '");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (is_shown (*v))
      g_string_append_printf (out, "%s ", (*v)->name);
  g_string_truncate (out, out->len - 1);
  g_string_append (out, "'\n}\n\n");
}

static void
add_options (GString *out)
{
  g_string_append (out, "_vmctl_options () {\n  case $1 in\n");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++) {
    if (!is_shown (*v))
      continue;
    g_string_append_printf (out, "    %s) echo '", (*v)->name);
    for (const VmOption *o = (*v)->options; o != NULL && o->name != NULL; o++)
      g_string_append_printf (out, "--%s ", o->name);
    g_string_append (out, "--help' ;;\n");
  }
  g_string_append (out, "  esac\n}\n\n");
}

/* The kind of an option's value; empty for one that takes none. */
static void
add_values (GString *out)
{
  g_string_append (out, "_vmctl_value () {\n  case $1:$2 in\n");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    for (const VmOption *o = (*v)->options; is_shown (*v) && o != NULL && o->name != NULL; o++) {
      if (o->kind == VM_OPTION_FLAG)
        continue;
      g_string_append_printf (out, "    %s:--%s", (*v)->name, o->name);
      if (o->letter != 0)
        g_string_append_printf (out, " | %s:-%c", (*v)->name, o->letter);
      g_string_append_printf (out, ") echo %s ;;\n", o->complete != NULL ? o->complete : "none");
    }
  g_string_append (out, "  esac\n}\n\n");
}

static void
add_arguments (GString *out)
{
  g_string_append (out, "_vmctl_argument () {\n  case $1:$2 in\n");
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++) {
    gboolean repeats;
    g_auto (GStrv) kinds = vm_completion_kinds (*v, &repeats);

    for (guint i = 0; is_shown (*v) && kinds[i] != NULL; i++) {
      g_autofree char *at = repeats && kinds[i + 1] == NULL ? g_strdup ("*") : g_strdup_printf ("%u", i);

      g_string_append_printf (out, "    %s:%s) echo %s ;;\n", (*v)->name, at, kinds[i]);
    }
  }
  g_string_append (out, "  esac\n}\n\n");
}

char *
vm_completion_bash (void)
{
  GString *out = g_string_new ("# bash completion for vmctl. Made by: vmctl completion bash\n\n");

  add_verbs (out);
  add_options (out);
  add_values (out);
  add_arguments (out);
  g_string_append (out, body);
  return g_string_free (out, FALSE);
}
