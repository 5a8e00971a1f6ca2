/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/guess.h"

#include <string.h>

enum { WORD_MAX = 64, FAR = 3 };

/* Levenshtein distance, for words as short as verbs and commands. */
static guint
distance (const char *a, const char *b)
{
  gsize n = strlen (b);
  g_autofree guint *row = g_new (guint, n + 1);

  for (guint j = 0; j <= n; j++)
    row[j] = j;
  for (guint i = 1; a[i - 1] != '\0'; i++) {
    guint diagonal = row[0];

    row[0] = i;
    for (guint j = 1; j <= n; j++) {
      guint above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

      best = MIN (best, MIN (above, row[j - 1]) + 1);
      diagonal = above;
      row[j] = best;
    }
  }
  return row[n];
}

const char *
vm_guess (const char *word, const char *const *list)
{
  const char *best = NULL;
  guint least = FAR;

  for (; *list != NULL && strlen (word) < WORD_MAX; list++) {
    guint d = distance (word, *list);

    if (d < least) {
      least = d;
      best = *list;
    }
  }
  return best;
}
