/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs. To add one: write vmctl/verbs/NAME.c with a `const VmVerb vm_verb_NAME`, put it into the table
 * vmctl/verbs.def (kept sorted) and into vmctl/meson.build, add docs/man/vmctl-NAME.1.scd, and a test in
 * tests/cli. Dispatch, `vmctl help`, completion and the check that the manual agrees (tests/lint/verbs.sh)
 * all read the table. */
#pragma once

#include <glib.h>

#include "vmctl/dirs.h"
#include "vmctl/group.h"

typedef struct {
  VmDirs dirs;     /* owned; empty with VM_VERB_NO_DIRS */
  char *home;      /* owned; the real user's */
  gint64 began;    /* when this process did, microseconds since the epoch */
  guint mask;      /* the umask that vmctl was started with; its own is 077 */
  int root_keeper; /* owned; under sudo, for verbs that start sandboxes: vmctl/root-keeper.h; -1: none */
  char *root_keeper_why; /* owned; why there is none, NULL */
  VmGroups root_groups;  /* owned; where it can make control groups */
  gboolean was_sudo;     /* vmctl was started through sudo and has become the real user */
} VmContext;

typedef enum {
  VM_OPTION_FLAG,   /* gboolean at `offset` */
  VM_OPTION_STRING, /* char *, owned; given twice: the last one */
  VM_OPTION_LIST,   /* char **, owned, NULL-terminated; each use adds one */
  VM_OPTION_STEP,   /* the same, but each adds two, the option's name and the value: options with one offset
                       make one list, in the order in which they were written */
} VmOptionKind;

typedef struct {
  const char *name; /* long name without dashes; NULL ends the table */
  char letter;      /* 0: none */
  VmOptionKind kind;
  gsize offset;         /* in the verb's options struct */
  const char *arg;      /* what to call the value in help; NULL for flags */
  const char *help;     /* one line, lower case, no full stop */
  const char *complete; /* "file", "dir", or a kind of `vmctl complete`: "driver", "profile", "net", "grant",
                          "isolation", "display", "restart", "plug="; NULL */
  const char *actions;  /* those of the verb's that take it, apart by blanks; NULL: all do */
} VmOption;

typedef enum {
  VM_VERB_HIDDEN = 1 << 0,        /* not in help or completion */
  VM_VERB_NO_DIRS = 1 << 1,       /* works without a home and directories */
  VM_VERB_TAKES_COMMAND = 1 << 2, /* what follows "--" is a command */
  VM_VERB_STARTS = 1 << 4,        /* may start a sandbox: under sudo one process stays root */
  VM_VERB_RUNS = 1 << 3,          /* its exit status is a command's: vmctl's own failures are 125 */
} VmVerbFlags;

typedef struct {
  const char *name;
  const char *usage;        /* after the name: "[OPTIONS] [PROJECT] [-- COMMAND...]" */
  const char *summary;      /* one line, lower case, no full stop */
  const char *details;      /* a short paragraph for --help, filled into lines there; may be NULL */
  const VmOption *options;  /* NULL: none */
  gsize options_size;       /* of the struct that the options fill; zeroed before */
  const char *action;       /* the action when no positional argument names one; NULL: there is none */
  guint min_args, max_args; /* positional arguments before "--" */
  VmVerbFlags flags;
  const char *complete; /* of the positional arguments, a word for each: "sandbox" (running), "any-sandbox",
                           "dir", "verb", "shell", ...; with "..." at the end the last one repeats; NULL */
  /* Returns an exit status; or -1 with `error` set. `args` and `command` (NULL: no "--" was given) are
   * borrowed. */
  int (*run) (VmContext *context, gpointer options, char **args, char **command, GError **error);
} VmVerb;

extern const VmVerb *const vm_verbs[];         /* sorted by name, ends with NULL */
const VmVerb *vm_verb_find (const char *name); /* NULL: unknown */
/* The verb that was probably meant; NULL: none is near. */
const char *vm_verb_guess (const char *name);

/* Parses argv (without the verb's name) into a new options struct (transfer full, free with
 * vm_verb_options_free). `ret_args` is transfer full; `ret_command` too, NULL without "--". *ret_help: --help
 * or -h was given, and nothing was checked. Errors are USAGE and name the option. */
gboolean vm_verb_parse (const VmVerb *verb, char **argv, gpointer *ret_options, char ***ret_args,
                        char ***ret_command, gboolean *ret_help, GError **error);
void vm_verb_options_free (const VmVerb *verb, gpointer options);

/* The text of `vmctl VERB --help`. (transfer full) */
char *vm_verb_help_text (const VmVerb *verb);
/* The text of `vmctl help`. (transfer full) */
char *vm_verbs_help_text (void);
