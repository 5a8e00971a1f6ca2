/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs whose first word says what is to be done: `vmctl image import FILE`. */
#pragma once

#include <glib.h>

#include "vmctl/verb.h"

typedef struct {
  const char *name;  /* NULL ends a table */
  const char *words; /* what comes behind it, for people */
  guint min, max;    /* how many words that may be */
  /* `args`: the words behind the name. The exit status; -1 and `error`. */
  int (*run) (VmContext *context, gconstpointer options, char **args, GError **error);
} VmAction;

/* The action that the first of `args` names, without any the first of the table. USAGE: there is no such one,
 * or it has too few or too many words. */
int vm_action_run (const VmAction *actions, const char *verb, VmContext *context, gconstpointer options,
                   char **args, GError **error);
