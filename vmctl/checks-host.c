/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks that look at the host: files, directories, room. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "images/scratch.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/checks-parts.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)

typedef struct {
  const char *name, *what;
  guint64 need, want; /* bytes free: less is a failure, a warning */
} Room;

VmCheck *
vm_check_kvm (const VmHost *host)
{
  static const char name[] = "kvm", what[] = "KVM";
  g_autofree char *mend = NULL;
  struct stat st;
  struct group *group;

  if (host->kvm_problem != NULL)
    return vm_check_new (name, what, VM_CHECK_WARNING,
                         g_strdup_printf ("%s: virtual machines are emulated, which is slower and for which "
                                          "QEMU gives no security promise",
                                          host->kvm_problem),
                         "nested virtualisation, where this host is itself a machine of yours; to try it all "
                         "the same: vmctl up --accel kvm");
  if (host->kvm)
    return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("/dev/kvm can be used"), NULL);
  if (stat ("/dev/kvm", &st) < 0)
    return vm_check_new (
        name, what, VM_CHECK_WARNING,
        g_strdup ("there is no /dev/kvm: virtual machines are emulated, which is slower and "
                  "for which QEMU gives no security promise"),
        "enable VT-x or AMD-V in the firmware (in a virtual machine: nested virtualisation), "
        "then: sudo modprobe kvm_intel || sudo modprobe kvm_amd");
  group = getgrgid (st.st_gid);
  if (group != NULL && st.st_gid != 0 && (st.st_mode & 0060) == 0060)
    mend = g_strdup_printf ("sudo usermod -aG %s %s, then log in again", group->gr_name, host->user);
  return vm_check_new (name, what, VM_CHECK_WARNING,
                       g_strdup ("you may not open /dev/kvm: virtual machines are emulated, which is slower "
                                 "and for which QEMU gives no security promise"),
                       mend != NULL ? mend
                                    : "sudo apt install --reinstall udev, or: sudo chmod 0666 /dev/kvm");
}

VmCheck *
vm_check_disk_tools (void)
{
  static const char name[] = "disk-tools", what[] = "disk tools";
  GError *error = NULL;

  if (!image_scratch_check_tools (&error))
    return vm_check_new_error (name, what, VM_CHECK_FAILED, error);
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("qemu-img and mke2fs are there"), NULL);
}

VmCheck *
vm_check_runtime (const VmHost *host)
{
  static const char name[] = "runtime-dir", what[] = "runtime dir";
  const char *path = host->dirs.runtime;
  GError *error = NULL;

  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    vm_autofd fd = vm_file_open_private_dir (path, &error);

    if (fd < 0)
      return vm_check_new_error (name, what, VM_CHECK_FAILED, error);
  }
  if (host->dirs.runtime_is_fallback && g_str_has_prefix (path, "/tmp/"))
    return vm_check_new (name, what, VM_CHECK_WARNING,
                         g_strdup_printf ("$XDG_RUNTIME_DIR is not set; '%s' is used instead", path),
                         "log in through logind, or: loginctl enable-linger");
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup (path), NULL);
}

/* The directory itself, or the nearest one above it that exists. (transfer full) */
static char *
existing_above (const char *path)
{
  char *at = g_strdup (path);

  while (!g_file_test (at, G_FILE_TEST_EXISTS) && !g_str_equal (at, "/")) {
    char *up = g_path_get_dirname (at);

    g_free (at);
    at = up;
  }
  return at;
}

static VmCheck *
check_room (const char *path, const char *there, const Room *room)
{
  g_autofree char *free_text = NULL, *need_text = vm_size_format (room->need);
  struct statvfs fs;
  guint64 left;

  if (statvfs (there, &fs) < 0)
    return vm_check_new (room->name, room->what, VM_CHECK_WARNING,
                         g_strdup_printf ("cannot ask how much room '%s' has: %s", there, g_strerror (errno)),
                         NULL);
  left = (guint64)fs.f_bavail * fs.f_frsize;
  free_text = vm_size_format (left);
  if (left < room->want)
    return vm_check_new (
        room->name, room->what, left < room->need ? VM_CHECK_FAILED : VM_CHECK_WARNING,
        g_strdup_printf ("'%s' has only %s left (%s is the least)", path, free_text, need_text),
        "make room there: vmctl prune --cache, or move it with $XDG_STATE_HOME and "
        "$XDG_CACHE_HOME");
  return vm_check_new (room->name, room->what, VM_CHECK_OK, g_strdup_printf ("%s, %s free", path, free_text),
                       NULL);
}

static VmCheck *
check_dir (const char *path, const Room *room)
{
  g_autofree char *there = existing_above (path);
  GError *error = NULL;

  if (g_str_equal (there, path)) {
    vm_autofd fd = vm_file_open_private_dir (path, &error);

    if (fd < 0)
      return vm_check_new_error (room->name, room->what, VM_CHECK_FAILED, error);
  }
  if (access (there, W_OK | X_OK) < 0)
    return vm_check_new (room->name, room->what, VM_CHECK_FAILED,
                         g_strdup_printf ("cannot write to '%s': %s", there, g_strerror (errno)),
                         "make it yours: sudo chown -R $(id -u) there, or point $XDG_STATE_HOME and "
                         "$XDG_CACHE_HOME elsewhere");
  return check_room (path, there, room);
}

VmCheck *
vm_check_state (const VmHost *host)
{
  static const Room room = {"state-dir", "state dir", 16 * MIB, 1024 * MIB};

  return check_dir (host->dirs.state, &room);
}

VmCheck *
vm_check_cache (const VmHost *host)
{
  static const Room room = {"cache-dir", "cache dir", 128 * MIB, 512 * MIB};
  static const Room built = {"cache-dir", "cache dir", 1 * MIB, 16 * MIB};
  gboolean is_built = host->vmlinux != NULL && image_boot_ready (host->vmlinux, host->initramfs) &&
                      (host->disk_base == NULL || image_scratch_ready (host->disk_base));

  return check_dir (host->dirs.cache, is_built ? &built : &room);
}

/* Bytes; 0: not known. */
static guint64
available_memory (void)
{
  vm_autofd fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  g_autofree char *text = fd >= 0 ? vm_fd_read_all (fd, 65536, NULL, NULL) : NULL;
  const char *line = text != NULL ? strstr (text, "MemAvailable:") : NULL;

  return line != NULL ? g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024 : 0;
}

VmCheck *
vm_check_memory (const VmHost *host)
{
  static const char name[] = "memory", what[] = "memory";
  guint64 wanted = MIN (host->memory / 2, VM_SPEC_MEMORY_DEFAULT_MAX), left = available_memory ();
  g_autofree char *wanted_text = vm_size_format (wanted), *left_text = vm_size_format (left);

  if (left == 0)
    return vm_check_new (name, what, VM_CHECK_WARNING, g_strdup ("cannot ask how much is free"), NULL);
  if (left < 2 * VM_SPEC_MEMORY_MIN)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup_printf ("only %s are free", left_text),
                         "end something: vmctl list");
  if (left < wanted)
    return vm_check_new (
        name, what, VM_CHECK_WARNING,
        g_strdup_printf ("%s are free, a virtual machine may take %s", left_text, wanted_text),
        "give it less: vmctl up --memory 1G");
  return vm_check_new (
      name, what, VM_CHECK_OK,
      g_strdup_printf ("%s free; a virtual machine gets %s by default", left_text, wanted_text), NULL);
}
