/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking into a disk: qemu-nbd serves it from one jail, vmctl-ext reads it in another. They share a socket,
 * and have nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/build.h"
#include "images/cage.h"
#include "images/import-parts.h"
#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

#define SOCKET "nbd"
#define KERNEL "kernel"
#define KERNEL_BYTES_MAX ((guint64)1 << 30)

/* What a start may want besides image_modules: screens, plugging, and what a distribution's own init asks for
 * early. */
static const char *const more_modules[] = {
    "virtio_gpu", "evdev",         "virtio_input", "virtio_rng", "virtio_mem", "virtio_scsi",
    "sd_mod",     "acpiphp",       "shpchp",       "pciehp",     "xhci_pci",   "usb_storage",
    "uas",        "usbhid",        "autofs4",      "fuse",       "isofs",      "vfat",
    "nls_cp437",  "nls_iso8859_1", "nls_ascii",    "squashfs",   "loop",       "jbd2",
    "mbcache",    "crc16",         "crc32c_intel", "drm",        NULL};

typedef struct {
  pid_t pid;  /* of bwrap; 0: none */
  int socket; /* owned; connected to it */
} Server;

static void
server_clear (Server *server)
{
  vm_fd_clear (&server->socket); /* it ends with its last client */
  if (server->pid > 0) {
    (void)kill (server->pid, SIGKILL);
    (void)waitpid (server->pid, NULL, 0);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Server, server_clear)

/* It inherits the listening socket as systemd passes one, so it is there before it is connected to. In its
 * jail it is process 1. */
static gboolean
serve (ImageImporting *i, Server *ret, GError **error)
{
  g_autofree char *program = image_cage_program ("qemu-nbd", "qemu-utils", error);
  g_autofree char *disk = g_build_filename (i->part.path, IMAGE_STORE_DISK, NULL);
  g_autoptr (VmArgv) argv = program != NULL ? image_cage_new (&i->import->tools, error) : NULL;
  vm_autofd listening = -1;

  if (argv == NULL || (listening = vm_fd_listen_unix (i->part.dir, SOCKET, SOCK_STREAM, error)) < 0)
    return FALSE;
  ret->socket = vm_fd_connect_unix (i->part.dir, SOCKET, SOCK_STREAM, error);
  (void)unlinkat (i->part.dir, SOCKET, 0);
  if (ret->socket < 0)
    return FALSE;
  (void)vm_argv_slot (argv, "listen"); /* the first one: 3, as it has to be */
  vm_argv_bind (argv, "listen", vm_fd_steal (&listening));
  vm_argv_add_many (argv, "--setenv", "LISTEN_FDS", "1", "--setenv", "LISTEN_PID", "1", NULL);
  image_cage_bind (argv, disk, IMAGE_CAGE_IN, FALSE);
  image_cage_enter (argv, 0);
  vm_argv_add_many (argv, program, "--read-only", "--format=qcow2", IMAGE_CAGE_IN, NULL);
  return vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &ret->pid, NULL, error);
}

/* vmctl-ext VERB NBD in a jail of its own, with the kernel's directory if `out`. */
static VmArgv *
reader_argv (ImageImporting *i, const char *verb, Server *server, const char *out, GError **error)
{
  g_autoptr (VmArgv) argv = image_cage_new (&i->import->tools, error);

  if (argv == NULL)
    return NULL;
  if (out != NULL)
    image_cage_bind (argv, out, IMAGE_CAGE_OUT, TRUE);
  image_cage_enter (argv, KERNEL_BYTES_MAX);
  vm_argv_add_many (argv, IMAGE_CAGE_EXT, verb, NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "nbd"));
  vm_argv_bind (argv, "nbd", vm_fd_steal (&server->socket));
  return g_steal_pointer (&argv);
}

static json_object *
look (ImageImporting *i, GError **error)
{
  g_auto (Server) server = {.socket = -1};
  g_autoptr (VmArgv) argv = NULL;

  i->progress ("looking into the disk", -1, i->data);
  if (!serve (i, &server, error) || (argv = reader_argv (i, "look", &server, NULL, error)) == NULL)
    return NULL;
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "result"));
  vm_argv_addf (argv, "%d", i->import->root);
  return image_run_for_result (argv, i->progress, i->data, error);
}

/* The description comes from a program that has read what is hostile: it has to pass as image.json does. */
static ImageInfo *
read_description (ImageImporting *i, json_object *description, GError **error)
{
  vm_json_add_str (description, "origin", i->info->origin);
  vm_json_add_str (description, "format", i->format);
  vm_json_add_int (description, "created", i->info->created);
  return image_info_from_json (description, error);
}

static gboolean
check_arch (const ImageInfo *info, GError **error)
{
  struct utsname host;

  if (info->arch == NULL || uname (&host) < 0 || g_str_equal (info->arch, host.machine) ||
      (g_str_equal (host.machine, "x86_64") && g_str_equal (info->arch, "i686")))
    return TRUE;
  return vm_error (error, VM_ERROR_UNSUPPORTED, "what is in it is for %s, and this host is %s", info->arch,
                   host.machine);
}

/* Kernels */

static gboolean
extract (ImageImporting *i, const char *dir, GError **error)
{
  g_auto (Server) server = {.socket = -1};
  g_autoptr (VmArgv) argv = NULL;

  i->progress ("taking the kernel out of the disk", -1, i->data);
  if (!serve (i, &server, error) || (argv = reader_argv (i, KERNEL, &server, dir, error)) == NULL)
    return FALSE;
  vm_argv_addf (argv, "%d", i->info->partition);
  vm_argv_add (argv, IMAGE_CAGE_OUT);
  vm_argv_add_strv (argv, image_modules);
  vm_argv_add_strv (argv, more_modules);
  return image_build_run (argv, i->progress, i->data, error);
}

/* All but `version` in a directory of what was taken out. */
static void
keep_only (const char *root, const char *sub, const char *name)
{
  g_autofree char *path = g_build_filename (root, sub, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  vm_autofd fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const char *one;

  while (dir != NULL && fd >= 0 && (one = g_dir_read_name (dir)) != NULL)
    if (!g_str_equal (one, name))
      (void)vm_file_remove_tree (fd, one, NULL); /* it would only be in the way */
}

/* "'PATH': has no module '9p' (looked in ...)": the reason without the path. (transfer full) */
static char *
reason_of (const GError *error)
{
  const char *mark = strrchr (error->message, '\n'),
             *colon = strstr (mark != NULL ? mark : error->message, "': ");
  const char *reason = colon != NULL ? colon + 3 : error->message, *bracket = strstr (reason, " (");

  return bracket != NULL ? g_strndup (reason, (gsize)(bracket - reason)) : g_strdup (reason);
}

static void
choose_kernel (ImageInfo *info, const char *root)
{
  g_autofree char *boot = g_build_filename (root, "boot", NULL);
  g_autoptr (GError) problem = NULL;
  ImageKernel kernel = {0};

  if (!g_file_test (boot, G_FILE_TEST_IS_DIR)) {
    info->kernel_problem = g_strdup ("has no kernel");
  } else if (image_kernel_find (root, NULL, &kernel, &problem)) {
    g_autofree char *name = g_strdup_printf ("vmlinuz-%s", kernel.version);

    keep_only (root, "boot", name);
    keep_only (root, "lib/modules", kernel.version);
    info->kernel = g_steal_pointer (&kernel.version);
  } else {
    info->kernel_problem = reason_of (problem);
  }
  image_kernel_clear (&kernel);
}

static gboolean
has_kernels (const ImageInfo *info)
{
  json_object *kernels;

  return json_object_object_get_ex (info->inspection, "kernels", &kernels) &&
         json_object_is_type (kernels, json_type_array) && json_object_array_length (kernels) > 0;
}

static gboolean
take_kernel (ImageImporting *i, GError **error)
{
  g_autofree char *dir = g_build_filename (i->part.path, KERNEL, NULL);

  if (!has_kernels (i->info)) {
    i->info->kernel_problem = g_strdup ("has no kernel");
    return TRUE;
  }
  if (mkdirat (i->part.dir, KERNEL, 0700) < 0)
    return vm_error_errno (error, errno, "cannot make '%s'", dir);
  if (!extract (i, dir, error))
    return FALSE;
  choose_kernel (i->info, dir);
  return i->info->kernel != NULL || vm_file_remove_tree (i->part.dir, KERNEL, error);
}

gboolean
image_examine (ImageImporting *i, GError **error)
{
  g_autoptr (json_object) description = look (i, error);
  ImageInfo *info = description != NULL ? read_description (i, description, error) : NULL;

  if (info == NULL)
    return FALSE;
  image_info_free (i->info);
  i->info = info;
  return check_arch (info, error) && take_kernel (i, error);
}
