/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over every file of the folders given: what once was found stays found, with any
 * compiler. */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static guint
replay (const char *folder)
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
    {
      /* A copy of exactly that size, so that reading past its end is seen by ASan; as libFuzzer does it,
       * never NULL. */
      guint8 *bytes = malloc (length);

      g_assert (bytes != NULL);
      memcpy (bytes, text, length);
      (void)LLVMFuzzerTestOneInput (bytes, length);
      free (bytes);
    }
    n++;
  }
  return n;
}

int
main (int argc, char **argv)
{
  guint n = 0;

  for (int i = 1; i < argc; i++)
    n += replay (argv[i]);
  printf ("%s 1 - %u inputs\n1..1\n", n > 0 ? "ok" : "not ok", n);
  return n > 0 ? 0 : 1;
}
