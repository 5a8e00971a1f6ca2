/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/boot.h"
#include "images/disk.h"
#include "images/host-systemd.h"
#include "images/index.h"
#include "images/scratch.h"
#include "images/store.h"
#include "images/template.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/host.h"
#include "vmctl/path.h"

enum { CPUINFO_MAX = 8192 }; /* more than the first processor; all of them would take long */

/* Where QEMU has the firmware of a machine that names none. */
static const char *const firmware_places[] = {"/usr/share/seabios/bios-256k.bin",
                                              "/usr/share/qemu/bios-256k.bin",
                                              "/usr/local/share/qemu/bios-256k.bin"};

static char *
hash_of (ImageIndex *index, const char *path)
{
  return path != NULL ? g_strdup (image_index_hash (index, path, NULL)) : NULL;
}

/* Beside QEMU itself as well: that is where Nix has it. */
static char *
find_firmware (const char *qemu)
{
  g_autofree char *bin = qemu != NULL ? g_path_get_dirname (qemu) : NULL;
  g_autofree char *beside = bin != NULL ? g_build_filename (bin, "../share/qemu/bios-256k.bin", NULL) : NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (firmware_places); i++)
    if (access (firmware_places[i], R_OK) == 0)
      return g_strdup (firmware_places[i]);
  return beside != NULL && access (beside, R_OK) == 0 ? g_steal_pointer (&beside) : NULL;
}

static void
add_line (GChecksum *sum, const char *text, const char *key)
{
  const char *line = g_strstr_len (text, -1, key), *end = line != NULL ? strchr (line, '\n') : NULL;

  if (end != NULL)
    g_checksum_update (sum, (const guchar *)line, end - line);
}

/* The model, what it can do, and the kernel whose KVM says what of it a guest sees. */
static char *
describe_cpu (void)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  vm_autofd fd = open ("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
  char text[CPUINFO_MAX + 1];
  struct utsname name;
  ssize_t n = fd >= 0 ? read (fd, text, CPUINFO_MAX) : -1;

  if (n <= 0 || uname (&name) < 0)
    return NULL;
  text[n] = '\0';
  add_line (sum, text, "model name");
  add_line (sum, text, "stepping");
  add_line (sum, text, "microcode");
  add_line (sum, text, "flags");
  g_checksum_update (sum, (const guchar *)name.release, -1);
  return g_strdup (g_checksum_get_string (sum));
}

static void
gather_templates (VmHost *host)
{
  g_autoptr (ImageIndex) index = image_index_open (host->dirs.cache);
  g_autofree char *firmware = find_firmware (host->qemu);

  host->qemu_id = hash_of (index, host->qemu);
  host->firmware_id = hash_of (index, firmware);
  host->cpu_id = describe_cpu ();
  host->templates = image_template_keys (host->dirs.cache);
  image_index_save (index);
}

void
vm_image_clear (VmImage *image)
{
  g_free (image->name);
  g_free (image->dir);
  g_free (image->filesystem);
  g_free (image->init);
  g_free (image->host_state);
  g_free (image->keep);
  *image = (VmImage){0};
}

/* One driver mounts all three, and is known by this name whatever else it was built with. */
static const char *
mount_type (const char *filesystem)
{
  if (filesystem == NULL)
    return NULL;
  return g_str_equal (filesystem, "ext2") || g_str_equal (filesystem, "ext3") ? "ext4" : filesystem;
}

static void
take_image (VmHost *host, const char *name, const ImageInfo *info)
{
  host->image = (VmImage){.name = g_strdup (name),
                          .dir = g_strdup (info->dir),
                          .filesystem = g_strdup (mount_type (info->filesystem)),
                          .init = info->init_kind == IMAGE_INIT_SYSTEMD ? g_strdup (info->init) : NULL,
                          .partition = (guint)info->partition,
                          .size = info->size};
  if (info->is_host)
    host->image.host_state = image_host_systemd_state ("", info->init);
}

/* This host's kernel for an image: its file system, and what systemd asks for before it can load modules. */
static gboolean
find_host_kernel (const VmHost *host, const VmSpec *spec, ImageKernel *ret, GError **error)
{
  const char *const more[] = {host->image.filesystem, "autofs4", NULL};
  const char *const *modules = host->image.name == NULL         ? vm_host_more_modules (spec)
                               : host->image.filesystem == NULL ? more + 1
                                                                : more;

  return image_kernel_find_for ("", spec->kernel, modules, ret, error);
}

gboolean
vm_host_find_kernel (const VmHost *host, const VmSpec *spec, ImageKernel *ret, GError **error)
{
  g_autofree char *root =
      host->image.name != NULL ? g_build_filename (host->image.dir, "kernel", NULL) : NULL;

  if (root == NULL || spec->kernel != NULL || !g_file_test (root, G_FILE_TEST_IS_DIR))
    return find_host_kernel (host, spec, ret, error);
  return image_kernel_find_for (root, NULL, NULL, ret, error);
}

static gboolean
check_arch (const ImageInfo *info, GError **error)
{
  g_autofree char *label = image_info_label (info);
  struct utsname name;

  if (info->arch == NULL || uname (&name) < 0 || g_str_equal (info->arch, name.machine))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE,
                   "--image: the programs of '%s' are for %s processors, and this host's is %s; take another "
                   "image",
                   label, info->arch, name.machine);
}

static gboolean
has_name (const ImageInfo *info, const char *name)
{
  return g_strv_contains ((const char *const *)info->names, name);
}

/* Its name, unless that is another image's by now. */
gboolean
vm_host_choose_image (const VmHost *host, VmSpec *spec, GError **error)
{
  g_autoptr (ImageDisk) disk = NULL;
  g_autoptr (ImageInfo) info = NULL;

  if (spec->keep == NULL || spec->image != NULL)
    return TRUE;
  disk = image_disk_find (host->dirs.data, spec->keep, error);
  if (disk == NULL) {
    g_prefix_error (error, "--keep: ");
    return FALSE;
  }
  info = image_store_find (host->dirs.data, disk->image, NULL);
  if (info == NULL)
    return vm_error (
        error, VM_ERROR_NOT_FOUND,
        "--keep: the disk '%s' needs the image it was made of, '%s' (%s), which is not in the store "
        "any more; import or build it again, or remove the disk: vmctl disk rm %s",
        disk->name, disk->image_name, disk->image, disk->name);
  spec->image = g_strdup (has_name (info, disk->image_name) ? disk->image_name : disk->image);
  return TRUE;
}

/* The size may be another one than the image's. */
static gboolean
take_disk (VmHost *host, const ImageInfo *info, const char *name, GError **error)
{
  g_autofree char *path = image_disk_path (host->dirs.data, name);
  g_autoptr (ImageDisk) disk = NULL;

  if (!image_disk_check_name (name, error))
    return FALSE;
  if (info->is_host)
    return vm_error (
        error, VM_ERROR_USAGE,
        "what is written in '%s' cannot be kept: it lies over this host's own tree, which changes "
        "with each update; leave --keep out, or take an image with a disk: vmctl image build "
        "debian:bookworm",
        host->image.name);
  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    disk = image_disk_find (host->dirs.data, name, error);
    if (disk == NULL)
      return FALSE;
    if (!g_str_equal (disk->image, info->id))
      return vm_error (error, VM_ERROR_USAGE,
                       "the disk '%s' is of the image '%s' (%.19s), not of '%s'; leave out --image, or write "
                       "another --keep",
                       name, disk->image_name, disk->image, host->image.name);
    if (disk->problem != NULL)
      return vm_error (error, VM_ERROR_INVALID, "the kept disk '%s' cannot be used: %s", name, disk->problem);
    host->image.size = disk->size;
  }
  host->image.keep = g_steal_pointer (&path);
  return TRUE;
}

static gboolean
gather_image (VmHost *host, const VmSpec *spec, GError **error)
{
  g_autoptr (ImageInfo) info = NULL;

  if (spec->image == NULL)
    return TRUE;
  info = image_store_find (host->dirs.data, spec->image, error);
  if (info == NULL) {
    g_prefix_error (error, "--image: ");
    return FALSE;
  }
  if (!check_arch (info, error))
    return FALSE;
  if (info->is_host && !image_host_systemd_check (info, error)) {
    g_prefix_error (error, "--image: ");
    return FALSE;
  }
  take_image (host, spec->image, info);
  if (spec->keep != NULL && !take_disk (host, info, spec->keep, error)) {
    g_prefix_error (error, "--keep: ");
    return FALSE;
  }
  return TRUE;
}

/* In the image's root it is to be where its own version looks for them. */
static void
take_modules (VmHost *host, const ImageKernel *kernel)
{
  if (host->image.name != NULL && !vm_path_is_within (kernel->path, host->image.dir))
    host->modules_dir = g_strdup (kernel->modules_dir);
}

gboolean
vm_host_gather_images (VmHost *host, const VmSpec *spec, GError **error)
{
  ImageKernel kernel = {0};
  g_autoptr (GError) problem = NULL;
  guint64 disk = spec->disk_none ? VM_SPEC_DISK_DEFAULT : vm_spec_disk_size (spec);
  gboolean ok = TRUE;

  host->disk_base = image_scratch_base (host->dirs.cache, disk);
  if (!gather_image (host, spec, error))
    return FALSE;
  if (!vm_host_find_kernel (host, spec, &kernel, &problem)) {
    host->kernel_problem = g_strdup (problem->message);
    return TRUE;
  }
  if (host->agent != NULL)
    ok = image_boot_locate (host->dirs.cache, &kernel, host->agent, &host->vmlinux, &host->initramfs, error);
  host->kernel = g_strdup (kernel.path);
  host->kernel_version = g_strdup (kernel.version);
  take_modules (host, &kernel);
  image_kernel_clear (&kernel);
  if (ok && !spec->cold && host->image.keep == NULL)
    gather_templates (host);
  return ok;
}
