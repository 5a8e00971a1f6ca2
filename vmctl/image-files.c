/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/image-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/guestfs.h"
#include "images/interrupt.h"
#include "images/step.h"
#include "images/store.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/image-show.h"
#include "vmctl/image-tools.h"
#include "vmctl/progress.h"
#include "vmctl/show.h"

#define LIST_MAX ((gsize)32 << 20)
#define TERMINAL_MAX ((gsize)4 << 20)

/* An image and what looks into it. */
typedef struct {
  const VmImageOptions *options; /* borrowed */
  VmImageGuestfs guestfs;
  ImageInfo *info; /* owned */
  ImageGuestfsJob job;
  VmProgress progress;
} Looking;

static void
looking_clear (Looking *l)
{
  vm_progress_end (&l->progress);
  vm_image_guestfs_clear (&l->guestfs);
  image_info_free (l->info);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Looking, looking_clear)

static gboolean
looking_begin (Looking *l, VmContext *context, const VmImageOptions *options, const char *image,
               const char *verb, GError **error)
{
  if (options->steps != NULL && !g_str_equal (verb, "customize"))
    return vm_error (error, VM_ERROR_USAGE, "--%s is for image customize only", options->steps[0]);
  l->options = options;
  l->info = image_store_find (context->dirs.data, image, error);
  if (l->info == NULL || !vm_image_guestfs_find (&context->dirs, &l->guestfs, error))
    return FALSE;
  l->job = (ImageGuestfsJob){.guestfs = &l->guestfs.paths, .info = l->info, .verb = verb};
  image_interrupt_catch ();
  vm_progress_begin (&l->progress, options->quiet);
  return TRUE;
}

static char *
ask (Looking *l, gsize max, gsize *ret_length, GError **error)
{
  char *said = image_guestfs_ask (&l->job, max, ret_length, vm_progress_step, &l->progress, error);

  vm_progress_end (&l->progress);
  return said;
}

/* The paths of `args` as images have them, the last `but` left out. (transfer full) NULL and USAGE. */
static GPtrArray *
parse_paths (char **args, guint but, GError **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_null_terminated (4, g_free, TRUE);

  for (guint left = g_strv_length (args); left > but; left--, args++) {
    char *path = image_step_path (*args, error);

    if (path == NULL)
      return NULL;
    g_ptr_array_add (paths, path);
  }
  return g_steal_pointer (&paths);
}

/* ls */

static char *
describe_mode (json_object *one)
{
  static const char letters[] = "rwxrwxrwx";
  const char *type = vm_json_str (one, "type", "?");
  guint64 mode = g_ascii_strtoull (vm_json_str (one, "mode", "0"), NULL, 8);
  char *text = g_strdup_printf ("%c---------", *type == 'f' ? '-' : *type);

  for (guint i = 0; i < 9; i++)
    if (mode & (0400U >> i))
      text[i + 1] = letters[i];
  if (mode & 04000)
    text[3] = text[3] == 'x' ? 's' : 'S';
  if (mode & 02000)
    text[6] = text[6] == 'x' ? 's' : 'S';
  if (mode & 01000)
    text[9] = text[9] == 'x' ? 't' : 'T';
  return text;
}

static void
print_long (json_object *one, const char *name)
{
  g_autofree char *mode = describe_mode (one);
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_local (vm_json_int (one, "mtime", 0));
  g_autofree char *when = time != NULL ? g_date_time_format (time, "%F %R") : g_strdup ("?");
  const char *target = vm_json_str (one, "target", NULL);
  g_autofree char *shown = target != NULL ? vm_show_safe (target, -1) : NULL;

  printf ("%s %5" G_GINT64_FORMAT " %5" G_GINT64_FORMAT " %10" G_GINT64_FORMAT " %s %s%s%s\n", mode,
          vm_json_int (one, "uid", 0), vm_json_int (one, "gid", 0), vm_json_int (one, "size", 0), when, name,
          shown != NULL ? " -> " : "", shown != NULL ? shown : "");
}

/* Names alone where only one directory is listed, as ls does. */
static void
print_files (json_object *array, const char *only, gboolean is_long)
{
  for (size_t i = 0; i < json_object_array_length (array); i++) {
    json_object *one = json_object_array_get_idx (array, i);
    const char *path = vm_json_str (one, "path", "?"), *base = image_step_base (path);
    gboolean is_itself = only == NULL || g_str_equal (path, only) || base == NULL;
    g_autofree char *name = vm_show_safe (is_itself ? path : base, -1);

    if (is_long)
      print_long (one, name);
    else
      printf ("%s\n", name);
  }
}

int
vm_image_ls (VmContext *context, gconstpointer options, char **args, GError **error)
{
  const VmImageOptions *o = options;
  g_auto (Looking) l = {NULL};
  g_autoptr (GPtrArray) paths = parse_paths (args + 1, 0, error);
  g_autoptr (json_object) array = NULL;
  g_autofree char *said = NULL;
  gsize length;

  if (paths == NULL || !looking_begin (&l, context, o, args[0], "ls", error))
    return -1;
  if (paths->len == 0)
    g_ptr_array_add (paths, g_strdup ("/"));
  l.job.words = (const char *const *)paths->pdata;
  if ((said = ask (&l, LIST_MAX, &length, error)) == NULL ||
      (array = vm_json_parse (said, length, error)) == NULL)
    return -1;
  if (!json_object_is_type (array, json_type_array)) {
    vm_error (error, VM_ERROR_INVALID, "what vmctl-guestfs says is no list of files");
    return -1;
  }
  if (o->json)
    vm_show_json (g_steal_pointer (&array));
  else
    print_files (array, paths->len == 1 ? g_ptr_array_index (paths, 0) : NULL, o->long_list);
  return 0;
}

/* cat */

/* What is in an image could be written for the terminal: it is shown, and not obeyed. */
static int
show_file (Looking *l, GError **error)
{
  gsize length = 0;
  g_autofree char *said = ask (l, TERMINAL_MAX, &length, error), *shown = NULL;

  if (said == NULL)
    return -1;
  if (memchr (said, '\0', length) != NULL) {
    vm_error (error, VM_ERROR_USAGE, "it is no text, and not for a terminal; write it to a file");
    return -1;
  }
  shown = vm_show_safe_lines (said);
  fputs (shown, stdout);
  return 0;
}

int
vm_image_cat (VmContext *context, gconstpointer options, char **args, GError **error)
{
  g_auto (Looking) l = {NULL};
  g_autoptr (GPtrArray) paths = parse_paths (args + 1, 0, error);

  if (paths == NULL || !looking_begin (&l, context, options, args[0], "cat", error))
    return -1;
  l.job.words = (const char *const *)paths->pdata;
  l.job.file_max = l.info->size; /* stdout may be a file */
  if (isatty (STDOUT_FILENO))
    return show_file (&l, error);
  return image_guestfs_do (&l.job, fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), vm_progress_step, &l.progress,
                           error)
             ? 0
             : -1;
}

/* copy-out */

/* None is there, and none comes twice. */
static gboolean
check_targets (int dir_fd, const char *dir, GPtrArray *paths, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < paths->len; i++) {
    const char *name = image_step_base (g_ptr_array_index (paths, i));
    struct stat st;

    if (name == NULL)
      return vm_error (error, VM_ERROR_USAGE, "'/' has no name of its own; name what is in it");
    if (!g_hash_table_add (names, (gpointer)name))
      return vm_error (error, VM_ERROR_USAGE, "two of the paths end with '%s'; copy them one by one", name);
    if (fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
      return vm_error (error, VM_ERROR_EXISTS,
                       "'%s' has a '%s' already; remove it, or name another directory", dir, name);
  }
  return TRUE;
}

/* All, or what was moved goes back. */
static gboolean
move_out (int part_fd, int dir_fd, GPtrArray *paths, GError **error)
{
  for (guint i = 0; i < paths->len; i++) {
    const char *name = image_step_base (g_ptr_array_index (paths, i));

    if (renameat2 (part_fd, name, dir_fd, name, RENAME_NOREPLACE) == 0)
      continue;
    vm_error_errno (error, errno, "cannot make '%s'", name);
    while (i-- > 0) {
      name = image_step_base (g_ptr_array_index (paths, i));
      (void)renameat2 (dir_fd, name, part_fd, name, RENAME_NOREPLACE);
    }
    return FALSE;
  }
  return TRUE;
}

static void
say_left_out (const char *said, gsize length, gboolean quiet)
{
  g_autoptr (json_object) object = vm_json_parse_object (said, length, NULL);
  gint64 n = vm_json_int (object, "left-out", 0);

  if (n > 0 && !quiet)
    fprintf (stderr, "vmctl: warning: left out: %" G_GINT64_FORMAT " of what is no file, directory or link\n",
             n);
}

/* Into a directory beside, so that all of it appears, or nothing. */
static gboolean
copy_out (Looking *l, GPtrArray *paths, int dir_fd, const char *dir, GError **error)
{
  g_autofree char *part = g_build_filename (dir, ".part-XXXXXX", NULL), *name = NULL, *said = NULL;
  vm_autofd part_fd = -1;
  gsize length = 0;
  gboolean ok;

  if (mkdtemp (part) == NULL)
    return vm_error_errno (error, errno, "cannot write in '%s'", dir);
  name = g_path_get_basename (part);
  l->job.out = part;
  l->job.file_max = l->info->size;
  l->job.words = (const char *const *)paths->pdata;
  part_fd = openat (dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  ok = part_fd >= 0 || vm_error_errno (error, errno, "cannot open '%s'", part);
  ok = ok && (said = ask (l, TERMINAL_MAX, &length, error)) != NULL && image_interrupt_check (error) &&
       move_out (part_fd, dir_fd, paths, error);
  (void)vm_file_remove_tree (dir_fd, name, NULL);
  if (ok)
    say_left_out (said, length, l->options->quiet);
  return ok;
}

int
vm_image_copy_out (VmContext *context, gconstpointer options, char **args, GError **error)
{
  g_auto (Looking) l = {NULL};
  guint n = g_strv_length (args);
  g_autofree char *dir = g_canonicalize_filename (args[n - 1], NULL);
  g_autoptr (GPtrArray) paths = parse_paths (args + 1, 1, error);
  vm_autofd dir_fd = -1;

  if (paths == NULL)
    return -1;
  dir_fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0) {
    vm_error_errno (error, errno, "cannot open the directory '%s'", dir);
    return -1;
  }
  return check_targets (dir_fd, dir, paths, error) &&
                 looking_begin (&l, context, options, args[0], "copy-out", error) &&
                 copy_out (&l, paths, dir_fd, dir, error)
             ? 0
             : -1;
}

/* Changing */

/* Without --name the name that was written moves to what the image becomes. */
static const char *
choose_name (const Looking *l, const char *image, gboolean *ret_force, GError **error)
{
  if (l->options->name != NULL) {
    *ret_force = l->options->force;
    return l->options->name;
  }
  *ret_force = TRUE;
  if (g_strv_contains ((const char *const *)l->info->names, image))
    return image;
  vm_error (error, VM_ERROR_USAGE, "'%s' is no name that could move to the changed image; write --name NAME",
            image);
  return NULL;
}

static void
say_output (const char *said, gboolean quiet)
{
  g_autoptr (json_object) object = vm_json_parse_object (said, strlen (said), NULL);
  g_autofree char *shown = vm_show_safe_lines (vm_json_str (object, "output", ""));

  if (*shown != '\0' && !quiet)
    fprintf (stderr, "%s%s", shown, g_str_has_suffix (shown, "\n") ? "" : "\n");
}

static int
change (VmContext *context, Looking *l, const char *image, GError **error)
{
  ImageChange what = {.data_dir = context->dirs.data, .job = l->job};
  g_autoptr (ImageInfo) info = NULL;
  g_autofree char *said = NULL;
  gboolean ok;

  what.name = choose_name (l, image, &what.force, error);
  if (what.name == NULL)
    return -1;
  ok = image_guestfs_change (&what, vm_progress_step, &l->progress, &said, &info, error);
  vm_progress_end (&l->progress);
  if (!ok)
    return -1;
  say_output (said, l->options->quiet);
  vm_image_print_id (info, l->options->json);
  return 0;
}

/* What is copied, by its name and its path. */
static gboolean
add_source (GPtrArray *sources, const char *name, const char *file, gboolean may_be_dir, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL);
  struct stat st;

  if (stat (path, &st) < 0 || access (path, R_OK) < 0)
    return vm_error_errno (error, errno, "cannot read '%s'", file);
  if (!S_ISREG (st.st_mode) && !(may_be_dir && S_ISDIR (st.st_mode)))
    return vm_error (error, VM_ERROR_USAGE, "'%s' is no regular file%s", file,
                     may_be_dir ? ", and no directory" : "");
  for (guint i = 0; i < sources->len; i += 2)
    if (g_str_equal (g_ptr_array_index (sources, i), name))
      return vm_error (error, VM_ERROR_USAGE, "two of the files are called '%s'; copy them one by one", name);
  g_ptr_array_add (sources, g_strdup (name));
  g_ptr_array_add (sources, g_steal_pointer (&path));
  return TRUE;
}

static gboolean
add_named (GPtrArray *sources, GPtrArray *words, const char *file, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL), *name = g_path_get_basename (path);

  if (g_str_equal (name, "/"))
    return vm_error (error, VM_ERROR_USAGE, "'/' has no name of its own; name what is in it");
  g_ptr_array_add (words, g_strdup (name));
  return add_source (sources, name, path, TRUE, error);
}

int
vm_image_copy_in (VmContext *context, gconstpointer options, char **args, GError **error)
{
  g_auto (Looking) l = {NULL};
  guint n = g_strv_length (args);
  g_autoptr (GPtrArray) sources = g_ptr_array_new_null_terminated (4, g_free, TRUE);
  g_autoptr (GPtrArray) words = parse_paths (args + n - 1, 0, error);

  if (words == NULL)
    return -1;
  for (guint i = 1; i + 1 < n; i++)
    if (!add_named (sources, words, args[i], error))
      return -1;
  if (!looking_begin (&l, context, options, args[0], "copy-in", error))
    return -1;
  l.job.words = (const char *const *)words->pdata;
  l.job.sources = (const char *const *)sources->pdata;
  return change (context, &l, args[0], error);
}

static gboolean
is_foreign (const ImageInfo *info)
{
  struct utsname host;

  return info->arch != NULL && uname (&host) == 0 && !g_str_equal (info->arch, host.machine);
}

/* The words of a step; a file that is uploaded is there by a name of ours. */
static gboolean
add_step (GPtrArray *words, GPtrArray *sources, char **pair, GError **error)
{
  g_autoptr (ImageStep) step = image_step_parse (pair[0], pair[1], error);
  g_autofree char *name = g_strdup_printf ("%u", sources->len / 2);

  if (step == NULL)
    return FALSE;
  g_ptr_array_add (words, g_strdup (pair[0]));
  g_ptr_array_add (words, g_strdup (step->path));
  if (step->kind != IMAGE_STEP_UPLOAD) {
    g_ptr_array_add (words, g_strdup (step->value));
    return TRUE;
  }
  g_ptr_array_add (words, g_build_filename ("/src", name, NULL));
  return add_source (sources, name, step->value, FALSE, error);
}

int
vm_image_customize (VmContext *context, gconstpointer options, char **args, GError **error)
{
  const VmImageOptions *o = options;
  g_auto (Looking) l = {NULL};
  g_autoptr (GPtrArray) sources = g_ptr_array_new_null_terminated (4, g_free, TRUE);
  g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (8, g_free, TRUE);
  gboolean runs = FALSE;

  for (char **step = o->steps; step != NULL && *step != NULL; step += 2) {
    if (!add_step (words, sources, step, error))
      return -1;
    runs = runs || g_str_equal (*step, image_step_name (IMAGE_STEP_RUN_COMMAND));
  }
  if (words->len == 0) {
    vm_error (
        error, VM_ERROR_USAGE,
        "image customize: say what is to be done: --run-command, --upload, --write, --mkdir, --delete or "
        "--hostname");
    return -1;
  }
  if (!looking_begin (&l, context, o, args[0], "customize", error))
    return -1;
  if (runs && is_foreign (l.info)) {
    vm_error (error, VM_ERROR_UNSUPPORTED, "the programs of '%s' are for %s, and do not run here", args[0],
              l.info->arch);
    return -1;
  }
  l.job.words = (const char *const *)words->pdata;
  l.job.sources = (const char *const *)sources->pdata;
  return change (context, &l, args[0], error);
}

/* inspect --deep */

int
vm_image_inspect_deep (VmContext *context, const VmImageOptions *o, const ImageInfo *info, GError **error)
{
  g_auto (Looking) l = {NULL};
  g_autoptr (json_object) found = NULL;
  g_autofree char *said = NULL;
  json_object *object;
  gsize length;

  if (!looking_begin (&l, context, o, info->id, "inspect", error) ||
      (said = ask (&l, LIST_MAX, &length, error)) == NULL ||
      (found = vm_json_parse_object (said, length, error)) == NULL)
    return -1;
  if (!o->json) {
    vm_image_print (info);
    vm_image_print_deep (found);
    return 0;
  }
  object = image_info_to_shown_json (info);
  vm_json_add (object, "deep", g_steal_pointer (&found));
  vm_show_json (object);
  return 0;
}
