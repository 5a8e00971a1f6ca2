/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The acts that are the supervisor's own, and what it looks at before there is a plan:
 *
 *   open-disk   {file, format, read-only}   the file, after another look at it
 *   make-disk   {size}                      a new qcow2 that nobody else sees, by mktemp
 *   take-disk   [id]                        one that a restore has put ready (vmctl/snapshot.h)
 *   open-usb    [node]                      of a device of this host
 *   listen      [name]                      a socket in the runtime directory
 *   unlink      [name]                      takes it away
 *   line        [name]                      a serial line of a sandbox without ports (vmctl/lines.h)
 *   unline      [name]
 *   forward     {id, address, host-port, guest-port}
 *   unforward   [id]
 *   nic         {id, net, rules}            what the vmctl-net of a network card needs (supervisor-nics.c)
 *   unnic       [id]
 *   limit       {cpus | memory}             of the control group
 *   make-snapshot    [name]                 its file (vmctl/snapshot.h)
 *   remove-snapshot  [name]
 *
 * Everything is opened as the user, and by a path in which no link is followed: what was looked at is what is
 * used. */
#include "vmctl/acts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "images/scratch.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/forwards.h"
#include "vmctl/path.h"
#include "vmctl/snapshot.h"
#include "vmctl/supervisor-net.h"
#include "vmctl/usb.h"

/* The bytes of a file on which QEMU holds its locks: block/file-posix.c, RAW_LOCK_PERM_BASE and what follows.
 * The second of them is held by whoever may write. */
enum { LOCKS_FIRST = 100, LOCKS_ROOM = 200, LOCK_WRITER = 101 };

static char *
real_path (const char *what, const char *path, GError **error)
{
  char *resolved = realpath (path, NULL), *copy;

  if (resolved == NULL) {
    vm_error_errno (error, errno, "%s: cannot use '%s'", what, path);
    return NULL;
  }
  copy = g_strdup (resolved);
  free (resolved); /* libc's */
  return copy;
}

static int
open_plain (const char *path, int flags)
{
  struct open_how how = {.flags = (guint64)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_SYMLINKS};

  return (int)syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static const char *
first_word (json_object *words)
{
  return json_object_is_type (words, json_type_array) && json_object_array_length (words) > 0
             ? json_object_get_string (json_object_array_get_idx (words, 0))
             : "";
}

/* Disks */

/* Somebody's lock, which QEMU would meet too, but say so less plainly. */
static gboolean
check_unlocked (int fd, const char *file, gboolean read_only, GError **error)
{
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_FIRST, .l_len = LOCKS_ROOM};

  if (read_only) { /* others may read as well */
    lock.l_start = LOCK_WRITER;
    lock.l_len = 1;
  }
  if (fcntl (fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
    return TRUE;
  return vm_error (error, VM_ERROR_BUSY, "disk: '%s' is in use: a running machine has it as its disk", file);
}

static int
open_disk (const char *file, const char *wanted, gboolean read_only, const char **ret_format, GError **error)
{
  vm_autofd fd = open_plain (file, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK);
  guint8 head[VM_PLUG_HEAD];
  struct stat st;
  ssize_t n;

  if (fd < 0 || fstat (fd, &st) < 0) {
    vm_error_errno (error, errno, "disk: cannot open '%s'%s", file, read_only ? "" : " for writing");
    return -1;
  }
  if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode)) {
    vm_error (error, VM_ERROR_USAGE, "disk: '%s' is neither a file nor a block device", file);
    return -1;
  }
  n = pread (fd, head, sizeof head, 0);
  if (n < 0) {
    vm_error_errno (error, errno, "disk: cannot read '%s'", file);
    return -1;
  }
  if (n == 0 && S_ISREG (st.st_mode)) {
    vm_error (error, VM_ERROR_USAGE, "disk: '%s' is empty; give it a size: truncate -s 1G", file);
    return -1;
  }
  if (!vm_plug_check_disk (head, (gsize)n, wanted, file, ret_format, error) ||
      !check_unlocked (fd, file, read_only, error) || !vm_fd_set_nonblocking (fd, FALSE, error))
    return -1;
  return vm_fd_steal (&fd);
}

static gboolean
do_open_disk (json_object *arguments, int *fd, GError **error)
{
  const char *format;

  *fd = open_disk (vm_json_str (arguments, "file", ""), vm_json_str (arguments, "format", NULL),
                   vm_json_bool (arguments, "read-only", FALSE), &format, error);
  return *fd >= 0;
}

static gboolean
do_make_disk (VmSupervisor *sup, json_object *arguments, int *fd, GError **error)
{
  *fd = image_scratch_new ((guint64)vm_json_int (arguments, "size", 0), sup->plan->state_dir, error);
  return *fd >= 0;
}

static gboolean
do_take_disk (VmSupervisor *sup, json_object *words, int *fd, GError **error)
{
  vm_autofd taken = vm_snapshot_disks_take (sup->state_fd, first_word (words), error);

  if (taken < 0 || !vm_snapshot_check_head (taken, first_word (words), error))
    return FALSE;
  *fd = vm_fd_steal (&taken);
  return TRUE;
}

static gboolean
look_at_disk (VmSupervisor *sup, VmPlugSpec *spec, GError **error)
{
  const char *const own[] = {sup->dirs->runtime, sup->dirs->state, sup->dirs->cache};
  g_autofree char *real = NULL;
  const char *format;
  vm_autofd fd = -1;

  if (spec->source == NULL)
    return TRUE;
  if ((real = real_path ("disk", spec->source, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    if (own[i] != NULL && vm_path_is_within (real, own[i]))
      return vm_error (error, VM_ERROR_USAGE, "disk: '%s' lies in '%s', where vmctl keeps its own", real,
                       own[i]);
  if ((fd = open_disk (real, spec->format, spec->read_only, &format, error)) < 0)
    return FALSE;
  g_free (spec->format);
  spec->format = g_strdup (format);
  g_free (spec->source);
  spec->source = g_steal_pointer (&real);
  return TRUE;
}

/* Directories */

/* In the project, and whatever else can be written to, a mount point that is missing would be made on the
 * host. */
static gboolean
check_mount_point (const VmPlan *plan, const char *target, GError **error)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    g_autofree char *there = NULL;

    if (m->kind != VM_MOUNT_RW || !vm_path_is_within (target, m->target))
      continue;
    there = g_strconcat (m->source, target + strlen (m->target), NULL);
    if (!g_file_test (there, G_FILE_TEST_IS_DIR))
      return vm_error (error, VM_ERROR_USAGE, "dir: there is no directory '%s' to mount on; make it first",
                       there);
  }
  return TRUE;
}

static gboolean
look_at_dir (VmSupervisor *sup, VmPlugSpec *spec, GError **error)
{
  g_autofree char *real = real_path ("dir", spec->source, error);

  if (real == NULL)
    return FALSE;
  if (!g_file_test (real, G_FILE_TEST_IS_DIR))
    return vm_error (error, VM_ERROR_USAGE, "dir: '%s' is no directory", real);
  if (!vm_plug_check_dir (sup->plan, sup->dirs, real, error))
    return FALSE;
  if (spec->target == NULL)
    spec->target = g_steal_pointer (&spec->source);
  g_free (spec->source);
  spec->source = g_steal_pointer (&real);
  return check_mount_point (sup->plan, spec->target, error);
}

/* Without an inside there is nothing to look for. */
static gboolean
look_at_usb (VmSupervisor *sup, VmPlugSpec *spec, GError **error)
{
  VmUsbDevice found;

  g_clear_pointer (&spec->source, g_free);
  if (sup->plan->isolation == VM_ISOLATION_NONE)
    return TRUE;
  if (!vm_usb_find (vm_usb_root (), spec->vendor, spec->product, spec->bus, spec->device, &found, error))
    return FALSE;
  spec->bus = found.bus;
  spec->device = found.device;
  spec->source = found.node;
  return TRUE;
}

gboolean
vm_acts_look (VmSupervisor *sup, VmPlugSpec *spec, GError **error)
{
  if (spec->kind == VM_PLUG_DIR)
    return look_at_dir (sup, spec, error);
  if (spec->kind == VM_PLUG_USB)
    return look_at_usb (sup, spec, error);
  return spec->kind != VM_PLUG_DISK || look_at_disk (sup, spec, error);
}

/* USB */

static gboolean
do_open_usb (json_object *words, int *fd, GError **error)
{
  *fd = vm_usb_open (first_word (words), error);
  return *fd >= 0;
}

/* Sockets */

static gboolean
do_listen (VmSupervisor *sup, json_object *words, int *fd, GError **error)
{
  *fd = vm_fd_listen_unix (sup->runtime_fd, first_word (words), SOCK_STREAM, error);
  return *fd >= 0;
}

static gboolean
do_unlink (VmSupervisor *sup, json_object *words, GError **error)
{
  const char *name = first_word (words);

  return unlinkat (sup->runtime_fd, name, 0) == 0 || errno == ENOENT ||
         vm_error_errno (error, errno, "cannot remove '%s'", name);
}

/* Snapshots */

static gboolean
do_make_snapshot (VmSupervisor *sup, json_object *words, int *fd, GError **error)
{
  *fd = vm_snapshot_file_new (sup->state_fd, sup->plan, first_word (words), error);
  return *fd >= 0;
}

/* Limits */

/* What there is no group for is not bounded; the machine itself is, by what it has. */
static gboolean
do_limit (VmSupervisor *sup, json_object *arguments, GError **error)
{
  const VmPlan *plan = sup->plan;
  guint64 memory = (guint64)vm_json_int (arguments, "memory", 0);
  VmGroupLimits limits, usual;

  vm_plan_group_limits (plan, &usual); /* a machine gets more than its memory */
  limits = (VmGroupLimits){.memory = memory != 0 ? memory + usual.memory - plan->memory : 0,
                           .cpus = (guint)vm_json_int (arguments, "cpus", 0)};
  if (plan->isolation == VM_ISOLATION_VM && plan->groups.dirs[VM_GROUP_MEMORY] == NULL)
    return TRUE;
  return vm_group_limit (&plan->groups, &limits, error);
}

gboolean
vm_acts_do_here (VmSupervisor *sup, const char *command, json_object *arguments, int *fd, GError **error)
{
  if (g_str_equal (command, "open-disk"))
    return do_open_disk (arguments, fd, error);
  if (g_str_equal (command, "make-disk"))
    return do_make_disk (sup, arguments, fd, error);
  if (g_str_equal (command, "take-disk"))
    return do_take_disk (sup, arguments, fd, error);
  if (g_str_equal (command, "open-usb"))
    return do_open_usb (arguments, fd, error);
  if (g_str_equal (command, "listen"))
    return do_listen (sup, arguments, fd, error);
  if (g_str_equal (command, "unlink"))
    return do_unlink (sup, arguments, error);
  if (g_str_equal (command, "forward"))
    return vm_forwards_add (sup->forwards, arguments, error);
  if (g_str_equal (command, "unforward")) {
    vm_forwards_remove (sup->forwards, first_word (arguments));
    return TRUE;
  }
  if (g_str_equal (command, "line"))
    return vm_lines_add (sup->lines, first_word (arguments), error);
  if (g_str_equal (command, "unline")) {
    vm_lines_remove (sup->lines, first_word (arguments));
    return TRUE;
  }
  if (g_str_equal (command, "nic"))
    return vm_supervisor_add_nic (sup, arguments, fd, error);
  if (g_str_equal (command, "unnic")) {
    vm_supervisor_remove_nic (sup, first_word (arguments));
    return TRUE;
  }
  if (g_str_equal (command, "make-snapshot"))
    return do_make_snapshot (sup, arguments, fd, error);
  if (g_str_equal (command, "remove-snapshot"))
    return vm_snapshot_file_remove (sup->state_fd, first_word (arguments), error);
  if (g_str_equal (command, "limit"))
    return do_limit (sup, arguments, error);
  return vm_error (error, VM_ERROR_INVALID, "an act that this vmctl does not know");
}
