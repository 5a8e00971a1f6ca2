/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-ext limit MEMORY FILE -- PROGRAM...          a program with limits, for the jail
 * vmctl-ext sum FD RESULT                            {"sha256": ...} of a file
 * vmctl-ext copy FROM TO RESULT                      a file as it is (images/ext/pack.h), and the same of it
 * vmctl-ext pack FROM TO RESULT                      a raw disk to a qcow2, and the same of that
 * vmctl-ext look NBD RESULT ROOT                     what is on a disk (images/ext/look.h); ROOT -1: find it
 * vmctl-ext kernel NBD ROOT DIR MODULE...            its kernels into a directory (images/ext/kernel.h)
 * vmctl-ext count tar|directory|nix PATH RESULT      {"bytes": ..., "entries": ...}
 * vmctl-ext fill tar|directory|nix PATH DISK BYTES UID GID
 *
 * The helper of images/import.c: it links libext2fs, libarchive and libgcrypt, and reads what is hostile.
 * FD, FROM, TO, RESULT and NBD are descriptors. It says "PERCENT TEXT" lines on stdout and its error on
 * stderr; status 1: failed. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/ext/fill.h"
#include "images/ext/kernel.h"
#include "images/ext/look.h"
#include "images/ext/pack.h"
#include "images/helper.h"
#include "images/nix.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { LOOK_SECONDS = 600 };

static const rlim_t MEMORY_MAX = (rlim_t)4 << 30;

static void
say (const char *what, int percent, gpointer data)
{
  (void)printf ("%d %s\n", percent, what);
  (void)fflush (stdout);
}

static gboolean
usage (GError **error)
{
  return vm_error (error, VM_ERROR_FAILED, "vmctl-ext: wrong words; it is vmctl's own");
}

static gboolean
put_result (const char *fd, json_object *take_object, GError **error)
{
  g_autoptr (json_object) object = take_object;
  g_autofree char *text = vm_json_line (object);

  return vm_fd_write_all (atoi (fd), text, strlen (text), error);
}

static gboolean
do_limit (int argc, char **argv, GError **error)
{
  if (argc < 4 || strcmp (argv[2], "--") != 0)
    return usage (error);
#ifndef IMAGE_SANITIZED
  image_helper_limit (RLIMIT_AS, g_ascii_strtoull (argv[0], NULL, 10));
#endif
  image_helper_limit (RLIMIT_FSIZE, g_ascii_strtoull (argv[1], NULL, 10));
  image_helper_limit (RLIMIT_CORE, 0);
  (void)execv (argv[3], argv + 3);
  return vm_error_errno (error, errno, "cannot run '%s'", argv[3]);
}

static gboolean
put_sum (const char *fd, char *take_sum, GError **error)
{
  g_autofree char *sum = take_sum;
  json_object *object;

  if (sum == NULL)
    return FALSE;
  object = json_object_new_object ();
  vm_json_add_str (object, "sha256", sum);
  return put_result (fd, object, error);
}

static gboolean
do_sum (int argc, char **argv, GError **error)
{
  if (argc != 2)
    return usage (error);
  return put_sum (argv[1], image_pack_sum (atoi (argv[0]), say, NULL, error), error);
}

static gboolean
do_copy (int argc, char **argv, GError **error)
{
  if (argc != 3)
    return usage (error);
  return put_sum (argv[2], image_pack_copy (atoi (argv[0]), atoi (argv[1]), say, NULL, error), error);
}

static gboolean
do_pack (int argc, char **argv, GError **error)
{
  if (argc != 3)
    return usage (error);
  return put_sum (argv[2], image_pack_raw (atoi (argv[0]), atoi (argv[1]), say, NULL, error), error);
}

static gboolean
do_look (int argc, char **argv, GError **error)
{
  g_autoptr (ImageNbd) nbd = NULL;
  g_autoptr (GArray) partitions = NULL;
  ImagePartition root;
  ext2_filsys fs;
  gboolean ok;

  if (argc != 3)
    return usage (error);
  image_helper_limit (RLIMIT_CPU, LOOK_SECONDS); /* a file system can be a maze */
  nbd = image_nbd_new (atoi (argv[0]), error);
  if (nbd == NULL)
    return FALSE;
  partitions = image_layout_read (image_nbd_read, image_nbd_size (nbd), nbd);
  fs = image_look_root (nbd, partitions, atoi (argv[2]), &root, error);
  if (fs == NULL)
    return FALSE;
  ok = put_result (argv[1], image_look_describe (nbd, partitions, &root, fs), error);
  ext2fs_free (fs);
  return ok;
}

static gboolean
do_kernel (int argc, char **argv, GError **error)
{
  g_autoptr (ImageNbd) nbd = NULL;
  g_autoptr (GArray) partitions = NULL;
  vm_autofd dir = -1;
  ImagePartition root;
  ext2_filsys fs;
  gboolean ok;

  if (argc < 3)
    return usage (error);
  if ((dir = open (argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    return vm_error_errno (error, errno, "cannot open '%s'", argv[2]);
  image_helper_limit (RLIMIT_CPU, LOOK_SECONDS); /* a file system can be a maze */
  nbd = image_nbd_new (atoi (argv[0]), error);
  if (nbd == NULL)
    return FALSE;
  partitions = image_layout_read (image_nbd_read, image_nbd_size (nbd), nbd);
  fs = image_look_root (nbd, partitions, atoi (argv[1]), &root, error);
  ok = fs != NULL &&
       image_kernel_extract (nbd, partitions, &root, fs, (const char *const *)argv + 3, dir, error);
  if (fs != NULL)
    ext2fs_free (fs);
  return ok;
}

/* What a source is made of; "nix": PATH is what images/nix.c leaves. */
typedef struct {
  ImageFillSource source;
  char *path;   /* owned; NULL: that of the words */
  char **store; /* owned; or NULL */
} Source;

static void
source_clear (Source *s)
{
  g_clear_pointer (&s->path, g_free);
  g_clear_pointer (&s->store, g_strfreev);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Source, source_clear)

static gboolean
read_nix (const char *path, Source *ret, GError **error)
{
  g_autofree char *list = g_build_filename (path, IMAGE_NIX_PATHS, NULL), *text = NULL;

  if (!g_file_get_contents (list, &text, NULL, error))
    return FALSE;
  ret->path = g_build_filename (path, IMAGE_NIX_ROOT, NULL);
  ret->store = g_strsplit (g_strchomp (text), "\n", -1);
  ret->source.path = ret->path;
  ret->source.store = (const char *const *)ret->store;
  for (char **one = ret->store; *one != NULL; one++)
    if (**one != '/')
      return vm_error (error, VM_ERROR_INVALID, "'%s' is not a path of the store", *one);
  return TRUE;
}

static gboolean
parse_source (char **argv, Source *ret, GError **error)
{
  gboolean is_nix = strcmp (argv[0], "nix") == 0;

  ret->source = (ImageFillSource){.path = argv[1],
                                  .is_directory = is_nix || strcmp (argv[0], "directory") == 0,
                                  .owner = -1,
                                  .group = -1};
  if (is_nix)
    return read_nix (argv[1], ret, error);
  return ret->source.is_directory || strcmp (argv[0], "tar") == 0 || usage (error);
}

static gboolean
do_count (int argc, char **argv, GError **error)
{
  guint64 bytes = 0, entries = 0;
  g_auto (Source) s = {.path = NULL};
  json_object *object;

  if (argc != 3)
    return usage (error);
  if (!parse_source (argv, &s, error) || !image_fill_count (&s.source, say, NULL, &bytes, &entries, error))
    return FALSE;
  object = json_object_new_object ();
  vm_json_add_int (object, "bytes", (gint64)bytes);
  vm_json_add_int (object, "entries", (gint64)entries);
  return put_result (argv[2], object, error);
}

static gboolean
do_fill (int argc, char **argv, GError **error)
{
  g_auto (Source) s = {.path = NULL};

  if (argc != 6)
    return usage (error);
  if (!parse_source (argv, &s, error))
    return FALSE;
  s.source.owner = g_ascii_strtoll (argv[4], NULL, 10);
  s.source.group = g_ascii_strtoll (argv[5], NULL, 10);
  return image_fill (&s.source, argv[2], g_ascii_strtoull (argv[3], NULL, 10), say, NULL, error);
}

typedef gboolean (*VerbFunc) (int argc, char **argv, GError **error);

int
main (int argc, char **argv)
{
  static const struct {
    const char *name;
    VerbFunc run;
    gboolean is_free; /* runs something else */
  } verbs[] = {{"limit", do_limit, TRUE},  {"sum", do_sum, FALSE},   {"copy", do_copy, FALSE},
               {"pack", do_pack, FALSE},   {"look", do_look, FALSE}, {"kernel", do_kernel, FALSE},
               {"count", do_count, FALSE}, {"fill", do_fill, FALSE}};
  const char *verb = argc > 1 ? argv[1] : "";
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;
  guint i = 0;

  (void)setlocale (LC_CTYPE, "C.UTF-8"); /* else libarchive has no names but ASCII ones */
  (void)umask (077);
  initialize_ext2_error_table ();
  while (i < G_N_ELEMENTS (verbs) && strcmp (verbs[i].name, verb) != 0)
    i++;
  if (i == G_N_ELEMENTS (verbs))
    usage (&error);
  else
    ok = (verbs[i].is_free || image_helper_restrict (MEMORY_MAX, &error)) &&
         verbs[i].run (argc - 2, argv + 2, &error);
  if (ok)
    return 0;
  (void)fprintf (stderr, "%s\n", error->message);
  return 1;
}
