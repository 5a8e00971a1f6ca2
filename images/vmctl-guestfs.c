/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-guestfs finished                                     prints where a finished appliance is, or nothing
 * vmctl-guestfs appliance DIR SUPERMIN KERNEL VERSION MODULES   makes DIR/appliance
 * vmctl-guestfs VERB QEMU QEMU-IMG PARTITION WORD...            looks into an image, or changes it:
 *
 *   ls PATH...                   files, as an array
 *   cat PATH                     what is in a file
 *   copy-out PATH...             to /out; {"left-out": N}
 *   copy-in PATH NAME...         /src/NAME into the directory PATH
 *   customize [KIND PATH VALUE]...  steps (images/step.h); {"output": ...}
 *   inspect                      images/guestfs/look.h
 *   diff                         images/guestfs/diff.h
 *
 * The helper of images/guestfs.c, and the only program that links libguestfs. One appliance does all of a
 * command. Disks and directories are where images/guestfs/jail.h says. The result goes to stdout; stderr has
 * lines that begin with IMAGE_GUESTFS_MARK for what it is doing, and its error; status 1: failed. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/guestfs/appliance.h"
#include "images/guestfs/change.h"
#include "images/guestfs/diff.h"
#include "images/guestfs/jail.h"
#include "images/guestfs/list.h"
#include "images/guestfs/look.h"
#include "images/guestfs/stream.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

typedef struct {
  ImageAppliance *appliance;
  int partition;
  int argc;
  char **argv;
} Job;

static void
say (const char *what, int percent, gpointer data)
{
  fprintf (stderr, IMAGE_GUESTFS_MARK "%s\n", what);
}

static gboolean
usage (GError **error)
{
  return vm_error (error, VM_ERROR_FAILED, "vmctl-guestfs: wrong words; it is vmctl's own");
}

static gboolean
put_result (json_object *take_object, GError **error)
{
  g_autoptr (json_object) object = take_object;
  g_autofree char *text = object != NULL ? vm_json_line (object) : NULL;

  return text != NULL && vm_fd_write_all (STDOUT_FILENO, text, strlen (text), error);
}

/* Looking */

static json_object *
entry_to_json (const ImageWalkEntry *entry)
{
  json_object *object = json_object_new_object ();
  const char type[] = {image_walk_type (entry->mode), '\0'};
  g_autofree char *mode = g_strdup_printf ("%04o", entry->mode & 07777);

  vm_json_add (object, "path", vm_json_new_text (entry->path));
  vm_json_add_str (object, "type", type);
  vm_json_add_str (object, "mode", mode);
  vm_json_add_int (object, "uid", entry->uid);
  vm_json_add_int (object, "gid", entry->gid);
  vm_json_add_int (object, "size", (gint64)entry->size);
  vm_json_add_int (object, "mtime", entry->mtime);
  if (entry->target != NULL)
    vm_json_add (object, "target", vm_json_new_text (entry->target));
  return object;
}

static gboolean
do_ls (Job *job, GError **error)
{
  g_autoptr (json_object) array = json_object_new_array ();

  for (int i = 0; i < job->argc; i++) {
    g_autoptr (GPtrArray) entries = image_list_path (job->appliance, job->argv[i], error);

    if (entries == NULL)
      return FALSE;
    for (guint n = 0; n < entries->len; n++)
      json_object_array_add (array, entry_to_json (g_ptr_array_index (entries, n)));
  }
  return put_result (g_steal_pointer (&array), error);
}

static gboolean
do_cat (Job *job, GError **error)
{
  g_autofree char *path =
      job->argc == 1 ? image_appliance_resolve (job->appliance, job->argv[0], error) : NULL;

  return path != NULL && image_appliance_download (job->appliance, path, STDOUT_FILENO, error);
}

static gboolean
do_inspect (Job *job, GError **error)
{
  return put_result (image_look_deep (job->appliance, job->partition, error), error);
}

static gboolean
do_diff (Job *job, GError **error)
{
  GString *records = image_guestfs_diff (job->appliance, job->partition, error);
  gboolean ok = records != NULL && vm_fd_write_all (STDOUT_FILENO, records->str, records->len, error);

  if (records != NULL)
    g_string_free (records, TRUE);
  return ok;
}

/* Copying */

static gboolean
copy_file (ImageAppliance *a, const char *path, const char *to, GError **error)
{
  vm_autofd fd = open (to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct guestfs_statns *st;
  gint64 mode;

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot make a file for '%s'", path);
  st = guestfs_statns (a->g, path);
  if (st == NULL)
    return image_appliance_fail (a, error, "cannot look at '%s'", path);
  mode = st->st_mode;
  guestfs_free_statns (st);
  return image_appliance_download (a, path, fd, error) &&
         (fchmod (fd, ((mode_t)mode & 0755) | 0600) == 0 ||
          vm_error_errno (error, errno, "cannot write '%s'", path));
}

static gboolean
copy_out (ImageAppliance *a, const char *path, guint *left_out, GError **error)
{
  const char *name = image_step_base (path);
  g_autofree char *from = image_appliance_resolve (a, path, error);
  g_autofree char *to = name != NULL ? g_build_filename (IMAGE_JAIL_OUT, name, NULL) : NULL;

  if (from == NULL)
    return FALSE;
  if (to == NULL)
    return usage (error);
  if (guestfs_is_dir (a->g, from) > 0)
    return image_stream_out (a, from, to, left_out, error);
  return copy_file (a, from, to, error);
}

static gboolean
do_copy_out (Job *job, GError **error)
{
  json_object *object;
  guint left_out = 0;

  (void)umask (022);
  say ("copying", -1, NULL);
  for (int i = 0; i < job->argc; i++)
    if (!copy_out (job->appliance, job->argv[i], &left_out, error))
      return FALSE;
  object = json_object_new_object ();
  vm_json_add_int (object, "left-out", left_out);
  return put_result (object, error);
}

/* What was written is on the disk, or this fails. */
static gboolean
finish (Job *job, GError **error)
{
  return guestfs_shutdown (job->appliance->g) == 0 ||
         image_appliance_fail (job->appliance, error, "cannot finish the change");
}

static gboolean
do_copy_in (Job *job, GError **error)
{
  g_autofree char *dir =
      job->argc >= 2 ? image_appliance_resolve (job->appliance, job->argv[0], error) : NULL;

  if (dir == NULL)
    return FALSE;
  if (guestfs_is_dir (job->appliance->g, dir) <= 0)
    return vm_error (error, VM_ERROR_USAGE, "'%s' is no directory", job->argv[0]);
  say ("copying", -1, NULL);
  return image_stream_in (job->appliance, IMAGE_JAIL_SOURCES, job->argv + 1, dir, error) &&
         finish (job, error);
}

static gboolean
do_customize (Job *job, GError **error)
{
  g_autoptr (GString) said = g_string_new (NULL);
  json_object *object;

  for (int i = 0; i + 2 < job->argc; i += 3) {
    ImageStep step = {.path = job->argv[i + 1], .value = job->argv[i + 2]};

    if (!image_step_kind (job->argv[i], &step.kind))
      return usage (error);
    say (step.kind == IMAGE_STEP_RUN_COMMAND ? "running a command" : "changing files", -1, NULL);
    if (!image_change_do (job->appliance, &step, said, error))
      return FALSE;
  }
  if (!finish (job, error))
    return FALSE;
  object = json_object_new_object ();
  vm_json_add (object, "output", vm_json_new_text (said->str));
  return put_result (object, error);
}

/* The appliance */

typedef enum { HAS_NOTHING, IS_MOUNTED, IS_CHANGED, HAS_BOTH } JobKind;

typedef gboolean (*JobFunc) (Job *job, GError **error);

typedef struct {
  const char *name;
  JobKind kind;
  JobFunc run;
} Verb;

static const Verb verbs[] = {
    {"ls", IS_MOUNTED, do_ls},
    {"cat", IS_MOUNTED, do_cat},
    {"copy-out", IS_MOUNTED, do_copy_out},
    {"copy-in", IS_CHANGED, do_copy_in},
    {"customize", IS_CHANGED, do_customize},
    {"inspect", HAS_NOTHING, do_inspect},
    {"diff", HAS_BOTH, do_diff},
};

/* What a kept disk's head says of other files does not count. */
#define DISK_OVER_BASE                                                                                       \
  "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"" IMAGE_JAIL_DISK "\"},"          \
  "\"backing\":{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"" IMAGE_JAIL_BASE          \
  "\"},\"backing\":null}}"

static gboolean
add_disks (ImageAppliance *a, JobKind kind, GError **error)
{
  const char *overlay =
      kind == IS_CHANGED ? IMAGE_JAIL_OUT "/" IMAGE_GUESTFS_OVERLAY : IMAGE_JAIL_TMP "/base.qcow2";

  /* What is only read needs no sync at its end. */
  if (kind != IS_CHANGED && guestfs_set_autosync (a->g, 0) < 0)
    return image_appliance_fail (a, error, "libguestfs cannot be set up");
  return image_appliance_add (a, IMAGE_JAIL_BASE, overlay, error) &&
         (kind != HAS_BOTH || image_appliance_add (a, DISK_OVER_BASE, IMAGE_JAIL_TMP "/disk.qcow2", error));
}

static gboolean
mount_root (Job *job, JobKind kind, GError **error)
{
  g_autofree char *device = image_appliance_device (0, job->partition);
  guestfs_h *g = job->appliance->g;

  if (kind == HAS_NOTHING || kind == HAS_BOTH)
    return TRUE;
  return (kind == IS_CHANGED ? guestfs_mount (g, device, "/") : guestfs_mount_ro (g, device, "/")) == 0 ||
         image_appliance_fail (job->appliance, error, "cannot mount the root file system");
}

static gboolean
run_verb (const Verb *verb, int argc, char **argv, GError **error)
{
  g_auto (ImageAppliance) a = {.say = say};
  Job job = {.appliance = &a, .argc = argc - 3, .argv = argv + 3};

  if (argc < 3)
    return usage (error);
  a.qemu = argv[0];
  a.qemu_img = argv[1];
  job.partition = atoi (argv[2]);
  return image_appliance_init (&a, error) && add_disks (&a, verb->kind, error) &&
         image_appliance_launch (&a, error) && mount_root (&job, verb->kind, error) &&
         verb->run (&job, error);
}

/* Making one */

static gboolean
run_supermin (char **argv, const char *recipe, const char *out, GError **error)
{
  g_autoptr (VmArgv) supermin = vm_argv_new ();

  vm_argv_setenv (supermin, "PATH", g_getenv ("PATH"));
  vm_argv_setenv (supermin, "LC_ALL", "C.UTF-8");
  vm_argv_setenv (supermin, "TMPDIR", g_getenv ("TMPDIR"));
  vm_argv_setenv (supermin, "SUPERMIN_KERNEL", argv[2]);
  vm_argv_setenv (supermin, "SUPERMIN_KERNEL_VERSION", argv[3]);
  vm_argv_setenv (supermin, "SUPERMIN_MODULES", argv[4]);
  vm_argv_add_many (supermin, argv[1], "--build", "--if-newer", "--copy-kernel", "-f", "ext2", "--host-cpu",
                    "x86_64", recipe, "-o", out, NULL);
  if (vm_argv_run (supermin, NULL, error))
    return TRUE;
  g_prefix_error (error, "cannot make libguestfs's appliance: ");
  return FALSE;
}

/* (transfer full) */
static char **
find_places (void)
{
  guestfs_h *g = guestfs_create_flags (GUESTFS_CREATE_NO_ENVIRONMENT);
  const char *path = g != NULL ? guestfs_get_path (g) : NULL;
  char **places = g_strsplit (path != NULL ? path : "", ":", -1);

  if (g != NULL)
    guestfs_close (g);
  return places;
}

/* A distribution may have one, as NixOS does. */
static gboolean
do_finished (int argc, char **argv, GError **error)
{
  g_auto (GStrv) places = find_places ();

  for (char **place = places; *place != NULL; place++) {
    g_autofree char *mark = g_build_filename (*place, IMAGE_GUESTFS_FIXED, NULL);

    if (g_file_test (mark, G_FILE_TEST_EXISTS)) {
      printf ("%s\n", *place);
      break;
    }
  }
  return TRUE;
}

static gboolean
do_appliance (int argc, char **argv, GError **error)
{
  g_auto (GStrv) places = find_places ();
  g_autofree char *recipe = g_build_filename (places[0] != NULL ? places[0] : "/", "supermin.d", NULL);
  g_autofree char *out = NULL, *mark = NULL;

  if (argc != 5)
    return usage (error);
  if (!g_file_test (recipe, G_FILE_TEST_IS_DIR))
    return vm_error (error, VM_ERROR_HOST, "libguestfs has no appliance: there is no '%s'", recipe);
  out = g_build_filename (argv[0], IMAGE_GUESTFS_MADE, NULL);
  mark = g_build_filename (out, IMAGE_GUESTFS_FIXED, NULL);
  return run_supermin (argv, recipe, out, error) &&
         (g_file_test (mark, G_FILE_TEST_EXISTS) || g_file_set_contents (mark, "", 0, error));
}

int
main (int argc, char **argv)
{
  const char *name = argc > 1 ? argv[1] : "";
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;
  guint i = 0;

  (void)umask (077);
  (void)signal (SIGPIPE, SIG_IGN);
  (void)signal (SIGXFSZ, SIG_IGN); /* so that write() says EFBIG */
  while (i < G_N_ELEMENTS (verbs) && !g_str_equal (verbs[i].name, name))
    i++;
  if (g_str_equal (name, "finished"))
    ok = do_finished (argc - 2, argv + 2, &error);
  else if (g_str_equal (name, "appliance"))
    ok = do_appliance (argc - 2, argv + 2, &error);
  else if (i < G_N_ELEMENTS (verbs))
    ok = run_verb (&verbs[i], argc - 2, argv + 2, &error);
  else
    usage (&error);
  if (ok)
    return 0;
  fprintf (stderr, "%s\n", error != NULL ? error->message : "failed");
  return 1;
}
