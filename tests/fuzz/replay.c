/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over every file of the folders given: what once was found stays found, with any
 * compiler. With --mutations N also over N changed copies of each, the same ones every time: no search for
 * more, as libFuzzer's is, but a look at the neighbourhood in every run of the tests. */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* A copy of exactly that size, so that reading past its end is seen by ASan; as libFuzzer does it, never
 * NULL. */
static void
run (const char *text, gsize length)
{
  guint8 *bytes = malloc (length);

  g_assert (bytes != NULL);
  memcpy (bytes, text, length);
  (void)LLVMFuzzerTestOneInput (bytes, length);
  free (bytes);
}

/* A number of 1, 2, 4 or 8 bytes of the kind that goes wrong, in either order of bytes. */
static void
put_number (GRand *rand, char *text, gsize length)
{
  static const guint64 values[] = {0,     1,          2,           7,          8,          9,
                                   21,    22,         64,          255,        1024,       65535,
                                   65536, G_MAXINT32, G_MAXUINT32, G_MAXINT64, G_MAXUINT64};
  guint bytes = 1U << g_rand_int_range (rand, 0, 4);
  guint64 value = values[g_rand_int_range (rand, 0, G_N_ELEMENTS (values))];
  gboolean little = g_rand_boolean (rand);
  gsize at;

  if (length < bytes)
    return;
  at = (gsize)g_rand_int_range (rand, 0, (gint32)(length - bytes + 1));
  at = g_rand_boolean (rand) ? at : at / bytes * bytes;
  for (guint i = 0; i < bytes; i++)
    text[at + i] = (char)(value >> 8 * (little ? i : bytes - 1 - i));
}

/* What matters is mostly at the beginning. */
static void
change (GRand *rand, char *text, gsize *length)
{
  gsize head = g_rand_boolean (rand) ? MIN (*length, 160) : *length;

  if (head == 0)
    return;
  switch (g_rand_int_range (rand, 0, 8)) {
  case 0:
    *length = (gsize)g_rand_int_range (rand, 0, (gint32)*length + 1);
    return;
  case 1:
  case 2:
    text[g_rand_int_range (rand, 0, (gint32)head)] ^= (char)(1 << g_rand_int_range (rand, 0, 8));
    return;
  case 3:
    text[g_rand_int_range (rand, 0, (gint32)head)] = (char)g_rand_int_range (rand, 0, 256);
    return;
  default:
    put_number (rand, text, head);
  }
}

static void
mutate (const char *name, const char *text, gsize length, guint n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_str_hash (name));

  for (guint i = 0; i < n && length > 0; i++) {
    g_autofree char *copy = g_memdup2 (text, length);
    gsize left = length;

    for (int changes = g_rand_int_range (rand, 1, 4); changes > 0; changes--)
      change (rand, copy, &left);
    run (copy, left);
  }
}

static guint
replay (const char *folder, guint mutations)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;
  guint n = 0;

  if (dir == NULL)
    g_error ("%s", error->message);
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents (path, &text, &length, &error))
      g_error ("%s", error->message);
    printf ("# %s\n", name);
    fflush (stdout);
    run (text, length);
    mutate (name, text, length, mutations);
    n++;
  }
  return n;
}

int
main (int argc, char **argv)
{
  guint n = 0, mutations = 0;
  int i = 1;

  if (argc > 2 && strcmp (argv[1], "--mutations") == 0) {
    mutations = (guint)atoi (argv[2]);
    i = 3;
  }
  for (; i < argc; i++)
    n += replay (argv[i], mutations);
  printf ("%s 1 - %u inputs, and %u changed copies of each\n1..1\n", n > 0 ? "ok" : "not ok", n, mutations);
  return n > 0 ? 0 : 1;
}
