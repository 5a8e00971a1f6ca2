/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/boot.h"
#include "images/index.h"
#include "images/scratch.h"
#include "images/template.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/host.h"

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

gboolean
vm_host_gather_images (VmHost *host, const VmSpec *spec, GError **error)
{
  ImageKernel kernel = {0};
  g_autoptr (GError) problem = NULL;
  guint64 disk = spec->disk_none ? VM_SPEC_DISK_DEFAULT : vm_spec_disk_size (spec);
  gboolean ok = TRUE;

  host->disk_base = image_scratch_base (host->dirs.cache, disk);
  if (!image_kernel_find_for ("", spec->kernel, vm_host_more_modules (spec), &kernel, &problem)) {
    host->kernel_problem = g_strdup (problem->message);
    return TRUE;
  }
  if (host->agent != NULL)
    ok = image_boot_locate (host->dirs.cache, &kernel, host->agent, &host->vmlinux, &host->initramfs, error);
  host->kernel = g_strdup (kernel.path);
  host->kernel_version = g_strdup (kernel.version);
  image_kernel_clear (&kernel);
  if (ok && !spec->cold)
    gather_templates (host);
  return ok;
}
