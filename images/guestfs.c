/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/guestfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/disk-parts.h"
#include "images/flatten.h"
#include "images/guestfs/jail.h"
#include "images/import.h"
#include "images/interrupt.h"
#include "images/store.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

#define MIB ((guint64)1 << 20)
#define FILE_MAX (512 * MIB) /* a journal that is replayed into an overlay in memory */
#define SAID_MAX ((gsize)1 << 20)
#define DIFF_MAX ((gsize)64 << 20)
#define TMP "tmp" /* beside the appliance, while that is made */

static const char qemu_name[] = "qemu-system-x86_64";

/* Where the distribution has an appliance; "" if it has none. (transfer full) */
static char *
find_finished (const char *program, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *said = NULL;

  vm_argv_clearenv (argv);
  vm_argv_add_many (argv, program, "finished", NULL);
  return vm_argv_run (argv, &said, error) ? g_strchomp (g_steal_pointer (&said)) : NULL;
}

static gboolean
find_kernel (ImageKernel *ret, GError **error)
{
  if (image_kernel_find ("", NULL, ret, error))
    return TRUE;
  g_prefix_error (error, "libguestfs's appliance boots this host's kernel: ");
  return FALSE;
}

gboolean
image_guestfs_check (const char *program, GError **error)
{
  g_autofree char *qemu = image_cage_program (qemu_name, "qemu-system-x86", error), *supermin = NULL;
  g_autofree char *finished = qemu != NULL ? find_finished (program, error) : NULL;
  ImageKernel kernel = {0};
  gboolean ok;

  if (finished == NULL)
    return FALSE;
  if (*finished != '\0')
    return TRUE;
  supermin = image_cage_program ("supermin", "supermin", error);
  ok = supermin != NULL && find_kernel (&kernel, error);
  image_kernel_clear (&kernel);
  return ok;
}

static int
dup_fd (int fd)
{
  return fcntl (fd, F_DUPFD_CLOEXEC, 3);
}

static char *
run_for_text (VmArgv *argv, gsize max, gsize *ret_length, ImageProgress progress, gpointer data,
              GError **error)
{
  vm_autofd said = memfd_create ("said", MFD_CLOEXEC);

  if (said < 0) {
    vm_error_errno (error, errno, "cannot make a memory file");
    return NULL;
  }
  vm_argv_bind_stdio (argv, 1, dup_fd (said));
  if (!image_build_run_marked (argv, IMAGE_GUESTFS_MARK, progress, data, error))
    return NULL;
  if (lseek (said, 0, SEEK_SET) < 0) {
    vm_error_errno (error, errno, "cannot read what was said");
    return NULL;
  }
  return vm_fd_read_all (said, max, ret_length, error);
}

/* The appliance */

/* It reads the host's packages and kernel, all of which are the host's own. Not in the jail, whose user
 * namespace would make nobody of root: what is root's in the appliance has to be root's there. It ends with
 * us, and what it leaves then is swept by the next. */
static VmArgv *
maker_argv (const ImageGuestfs *gf, const char *dir, const ImageKernel *kernel, GError **error)
{
  g_autofree char *supermin = image_cage_program ("supermin", "supermin", error);
  g_autofree char *tmp = g_build_filename (dir, TMP, NULL);
  g_autoptr (VmArgv) argv = vm_argv_new ();

  if (supermin == NULL)
    return NULL;
  vm_argv_clearenv (argv);
  vm_argv_setenv (argv, "PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
  vm_argv_setenv (argv, "LC_ALL", "C.UTF-8");
  vm_argv_setenv (argv, "TMPDIR", tmp);
  vm_argv_add_many (argv, gf->program, "appliance", dir, supermin, kernel->path, kernel->version,
                    kernel->modules_dir, NULL);
  return g_steal_pointer (&argv);
}

/* What makers have left. */
static void
sweep (const char *path, int dir_fd)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, IMAGE_GUESTFS_MADE ".") || g_str_equal (name, TMP))
      (void)vm_file_remove_tree (dir_fd, name, NULL);
}

static gboolean
make_appliance (const ImageGuestfs *gf, const char *dir, const ImageKernel *kernel, ImageProgress progress,
                gpointer data, GError **error)
{
  vm_autofd lock = image_build_lock (dir, "libguestfs's appliance", progress, data, error);
  g_autoptr (VmArgv) argv = NULL;
  gboolean ok;

  if (lock < 0)
    return FALSE;
  sweep (dir, lock);
  if (mkdirat (lock, TMP, 0700) < 0 && errno != EEXIST)
    return vm_error_errno (error, errno, "cannot write in '%s'", dir);
  argv = maker_argv (gf, dir, kernel, error);
  progress ("looking after libguestfs's appliance", -1, data);
  ok = argv != NULL && image_build_run_marked (argv, IMAGE_GUESTFS_MARK, progress, data, error);
  sweep (dir, lock);
  return ok;
}

/* Where it is, up to date. One makes it, others wait. (One that starts while the host's packages are changed
 * may find the old one gone, and fail.) (transfer full) */
static char *
find_appliance (const ImageGuestfs *gf, ImageProgress progress, gpointer data, GError **error)
{
  g_autofree char *dir = g_build_filename (gf->cache_dir, "guestfs", NULL);
  g_autofree char *found = find_finished (gf->program, error);
  ImageKernel kernel = {0};
  gboolean ok;

  if (found == NULL || *found != '\0')
    return g_steal_pointer (&found);
  ok = find_kernel (&kernel, error) && make_appliance (gf, dir, &kernel, progress, data, error);
  image_kernel_clear (&kernel);
  return ok ? g_build_filename (dir, IMAGE_GUESTFS_MADE, NULL) : NULL;
}

/* Jobs */

static void
bind_sources (VmArgv *argv, const char *const *sources)
{
  for (; sources != NULL && *sources != NULL; sources += 2) {
    g_autofree char *inside = g_build_filename (IMAGE_JAIL_SOURCES, sources[0], NULL);

    image_cage_bind (argv, sources[1], inside, FALSE);
  }
}

static VmArgv *
jail_argv (const ImageGuestfsJob *job, const char *appliance, GError **error)
{
  g_autoptr (VmArgv) argv = image_cage_new (&job->guestfs->tools, error);
  g_autofree char *base = image_info_disk (job->info);

  if (argv == NULL)
    return NULL;
  vm_argv_setenv (argv, "HOME", IMAGE_JAIL_TMP);
  vm_argv_setenv (argv, "TMPDIR", IMAGE_JAIL_TMP);
  /* QEMU has its own opinion of where large temporary files go. */
  vm_argv_add_many (argv, "--tmpfs", "/var/tmp", NULL);
  if (job->guestfs->kvm)
    vm_argv_add_many (argv, "--dev-bind-try", "/dev/kvm", "/dev/kvm", NULL);
  image_cage_bind (argv, job->guestfs->program, IMAGE_JAIL_PROGRAM, FALSE);
  image_cage_bind (argv, appliance, IMAGE_JAIL_APPLIANCE, FALSE);
  image_cage_bind (argv, base, IMAGE_JAIL_BASE, FALSE);
  if (job->disk != NULL)
    image_cage_bind (argv, job->disk, IMAGE_JAIL_DISK, FALSE);
  if (job->out != NULL)
    image_cage_bind (argv, job->out, IMAGE_JAIL_OUT, TRUE);
  bind_sources (argv, job->sources);
  return g_steal_pointer (&argv);
}

/* The jail and vmctl-guestfs's words. */
static VmArgv *
job_argv (const ImageGuestfsJob *job, ImageProgress progress, gpointer data, GError **error)
{
  g_autofree char *appliance = find_appliance (job->guestfs, progress, data, error), *qemu = NULL;
  g_autofree char *qemu_img = appliance != NULL ? image_cage_program ("qemu-img", "qemu-utils", error) : NULL;
  g_autoptr (VmArgv) argv = NULL;

  if (qemu_img == NULL || (qemu = image_cage_program (qemu_name, "qemu-system-x86", error)) == NULL ||
      (argv = jail_argv (job, appliance, error)) == NULL)
    return NULL;
  image_cage_enter (argv, MAX (job->file_max, FILE_MAX));
  vm_argv_add_many (argv, IMAGE_JAIL_PROGRAM, job->verb, qemu, qemu_img, NULL);
  vm_argv_addf (argv, "%d", job->info->partition);
  if (job->words != NULL)
    vm_argv_add_strv (argv, job->words);
  return g_steal_pointer (&argv);
}

gboolean
image_guestfs_do (const ImageGuestfsJob *job, int take_stdout, ImageProgress progress, gpointer data,
                  GError **error)
{
  vm_autofd out = take_stdout, held = image_store_open (job->info, error);
  g_autoptr (VmArgv) argv = held >= 0 ? job_argv (job, progress, data, error) : NULL;

  if (argv == NULL)
    return FALSE;
  vm_argv_bind_stdio (argv, 1, vm_fd_steal (&out));
  return image_build_run_marked (argv, IMAGE_GUESTFS_MARK, progress, data, error);
}

char *
image_guestfs_ask (const ImageGuestfsJob *job, gsize max, gsize *ret_length, ImageProgress progress,
                   gpointer data, GError **error)
{
  vm_autofd held = image_store_open (job->info, error);
  g_autoptr (VmArgv) argv = held >= 0 ? job_argv (job, progress, data, error) : NULL;

  return argv != NULL ? run_for_text (argv, max, ret_length, progress, data, error) : NULL;
}

char *
image_guestfs_disk_diff (const ImageGuestfs *gf, const ImageDisk *disk, const ImageInfo *base,
                         gsize *ret_length, ImageProgress progress, gpointer data, GError **error)
{
  g_autofree char *overlay = g_build_filename (disk->dir, IMAGE_STORE_DISK, NULL);
  const ImageGuestfsJob job = {.guestfs = gf, .info = base, .verb = "diff", .disk = overlay};
  vm_autofd lock = image_disk_lock (disk->dir, error);

  return lock >= 0 && image_disk_is_sound (lock, disk->name, error)
             ? image_guestfs_ask (&job, DIFF_MAX, ret_length, progress, data, error)
             : NULL;
}

/* Changing */

static gboolean
import (const ImageChange *change, const char *path, ImageProgress progress, gpointer data, ImageInfo **ret,
        GError **error)
{
  const ImageInfo *info = change->job.info;
  g_autofree char *label = image_info_label (info);
  g_autofree char *origin = g_strdup_printf ("the image %s, %s", label, change->job.verb);
  const ImageImport what = {.data_dir = change->data_dir,
                            .tools = change->job.guestfs->tools,
                            .path = path,
                            .origin = origin,
                            .format = "qcow2",
                            .name = change->name,
                            .force = change->force,
                            .root = info->partition};
  gboolean was_there;

  return image_import (&what, progress, data, ret, &was_there, error);
}

/* In a part of the store, which goes with us, or with the next change of the store. */
static gboolean
change_in (const ImageChange *change, const ImageStorePart *part, ImageProgress progress, gpointer data,
           char **ret_said, ImageInfo **ret, GError **error)
{
  const ImageInfo *info = change->job.info;
  g_autofree char *base = image_info_disk (info), *said = NULL;
  g_autofree char *overlay = g_build_filename (part->path, IMAGE_STORE_DISK, NULL);
  g_autofree char *whole = g_build_filename (part->path, IMAGE_DISK_WHOLE, NULL);
  ImageGuestfsJob job = change->job;

  job.out = part->path;
  job.file_max = image_disk_file_max (info->size);
  said = image_guestfs_ask (&job, SAID_MAX, NULL, progress, data, error);
  if (said == NULL || !image_interrupt_check (error) ||
      !image_flatten (&change->job.guestfs->tools, overlay, base, info->size, part->path, IMAGE_DISK_WHOLE,
                      progress, data, error) ||
      !import (change, whole, progress, data, ret, error))
    return FALSE;
  *ret_said = g_steal_pointer (&said);
  return TRUE;
}

gboolean
image_guestfs_change (const ImageChange *change, ImageProgress progress, gpointer data, char **ret_said,
                      ImageInfo **ret, GError **error)
{
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  vm_autofd held = -1;

  return image_store_check_name (change->data_dir, change->name, change->force, error) &&
         (held = image_store_open (change->job.info, error)) >= 0 &&
         image_store_begin (change->data_dir, &part, error) &&
         change_in (change, &part, progress, data, ret_said, ret, error);
}
