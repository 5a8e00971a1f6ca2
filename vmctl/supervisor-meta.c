/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The meta dir: what of the plan the agent has to do. In a VM that is all that the exported tree could not
 * say by itself: whose things are, and where the shares belong. Elsewhere the driver has mounted everything;
 * sockets and copies are the agent's work for every driver. */
#include "vmctl/supervisor-private.h"

#include <fcntl.h>

#include "meta/format.h"
#include "meta/metadir.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"

enum { COPY_MAX = 16 << 20, RELAY_MODE = 0600 };

typedef struct {
  GPtrArray *words; /* owned; four an operation */
  GPtrArray *files; /* owned; of GBytes */
  guint relays;
} Operations;

static void
operations_clear (Operations *out)
{
  g_ptr_array_unref (out->words);
  g_ptr_array_unref (out->files);
}

static void
add (Operations *out, const char *op, const char *a, const char *b, const char *c)
{
  const char *words[] = {op, a, b, c};

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    g_ptr_array_add (out->words, g_strdup (words[i]));
}

/* Without isolation "inside" is the host, and nothing of it may be replaced: there sockets and copies are
 * made below the runtime directory, in root/, and go with it. (transfer full) */
static char *
target_of (const VmPlan *plan, const VmMount *m)
{
  if (plan->isolation == VM_ISOLATION_NONE)
    return g_strconcat (plan->runtime_dir, "/root", m->target, NULL);
  return g_strdup (m->target);
}

static void
add_relay (const VmPlan *plan, const VmMount *m, Operations *out)
{
  g_autofree char *index = g_strdup_printf ("%u", out->relays++);
  g_autofree char *mode = g_strdup_printf ("%04o", m->mode != 0 ? m->mode : RELAY_MODE);
  g_autofree char *target = target_of (plan, m);

  add (out, "relay", index, target, mode);
}

/* What is gone meanwhile, or is no longer a file, is not worth a sandbox. */
static void
add_copy (VmSupervisor *sup, const VmMount *m, Operations *out)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strdup_printf ("files/%u", out->files->len);
  g_autofree char *mode = g_strdup_printf ("%04o", m->mode), *target = target_of (sup->plan, m);
  gsize length;
  char *data = vm_file_read (AT_FDCWD, m->source, COPY_MAX, &length, &error);

  if (data == NULL) {
    vm_log_line (sup->log, "not copied: %s", error->message);
    return;
  }
  g_ptr_array_add (out->files, g_bytes_new_take (data, length));
  add (out, "file", name, target, mode);
}

static void
add_for_vm (const VmPlan *plan, const VmMount *m, Operations *out)
{
  gboolean is_root = plan->uid == 0 && plan->gid == 0; /* then what the jail makes is root's already */
  g_autofree char *mode = g_strdup_printf ("%04o", m->mode);

  if (m->kind == VM_MOUNT_RW)
    add (out, "bind", m->share, m->target, "rw");
  else if (m->kind == VM_MOUNT_DIR && !m->owner_root)
    add (out, "dir", m->target, mode, "user");
  else if ((m->kind == VM_MOUNT_DIR || m->kind == VM_MOUNT_FILE) && m->owner_root && !is_root)
    add (out, "own", m->target, mode, "-");
  else if (m->kind == VM_MOUNT_TMPFS)
    add (out, "tmpfs", m->target, mode, "0");
}

/* The image's tree is not the share's: each thing is shown there, or copied into it. The kernel's modules are
 * of use to an image that can load them, and systemd complains of them in another. */
static void
add_for_image (const VmMount *m, Operations *out)
{
  g_autofree char *mode = g_strdup_printf ("%04o", m->mode);

  if (g_str_equal (m->why, VM_WHY_VMM) || g_str_equal (m->why, "meta"))
    return; /* QEMU's own, and what the agent does by itself */
  if (m->kind == VM_MOUNT_RO)
    add (out, "show", m->target, g_str_equal (m->why, "image") ? "/bin/kmod" : "-", "-");
  else if (m->kind == VM_MOUNT_FILE)
    add (out, "take", m->target, mode, "-");
  else if (m->kind == VM_MOUNT_LINK)
    add (out, "link", m->source, m->target, "-");
}

static void
make_operations (VmSupervisor *sup, Operations *out)
{
  const GPtrArray *mounts = sup->plan->mounts;

  for (guint i = 0; i < mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (mounts, i);

    if (m->kind == VM_MOUNT_RELAY)
      add_relay (sup->plan, m, out);
    else if (m->kind == VM_MOUNT_COPY)
      add_copy (sup, m, out);
    else if (sup->plan->image.filesystem != NULL && m->kind != VM_MOUNT_RW && m->kind != VM_MOUNT_DIR &&
             m->kind != VM_MOUNT_TMPFS)
      add_for_image (m, out);
    else if (sup->driver->isolation == VM_ISOLATION_VM)
      add_for_vm (sup->plan, m, out);
  }
}

static gboolean
check_relays (const VmPlan *plan, GError **error)
{
  guint n = 0;

  for (guint i = 0; i < plan->mounts->len; i++)
    n += ((const VmMount *)g_ptr_array_index (plan->mounts, i))->kind == VM_MOUNT_RELAY;
  return n <= FRAME_RELAYS_MAX ||
         vm_error (error, VM_ERROR_USAGE,
                   "%u sockets of the host are to be let in, more than %d; leave some out", n,
                   FRAME_RELAYS_MAX);
}

/* All of it but the operations. `environment` has to stay as long. */
static MetaDir
describe (const VmPlan *plan, char **environment)
{
  return (MetaDir){
      .user = plan->user,
      .group = plan->group,
      .shell = plan->shell,
      .hostname = plan->hostname,
      .uid = plan->uid,
      .gid = plan->gid,
      .root_allowed = plan->root_allowed,
      .mask = plan->mask,
      .home = plan->home,
      .project = plan->project,
      .cwd = plan->cwd,
      .command = (const char *const *)plan->command,
      .environment = (const char *const *)environment,
      .address = vm_plan_has_card (plan) ? META_NET_ADDRESS : NULL,
      .gateway = vm_plan_has_card (plan) ? META_NET_GATEWAY : NULL,
      .mac = plan->mac,
      .server = plan->screen.server,
      .manager = plan->screen.manager,
      .width = plan->screen.width,
      .height = plan->screen.height,
      .filesystem = plan->image.filesystem,
      .init = plan->image.init,
      .partition = plan->image.partition,
      .keeps = plan->image.keep != NULL,
      .vnc = vm_plan_has_xvnc (plan) ? META_VNC_PORT : 0,
      .tmpfs_mib = plan->disk != 0 ? 0 : MAX (plan->memory / 2 >> 20, 64),
  };
}

gboolean
vm_supervisor_make_meta (VmSupervisor *sup, GError **error)
{
  g_auto (GStrv) environment = vm_plan_full_environment (sup->plan);
  MetaDir meta = describe (sup->plan, environment);

  return check_relays (sup->plan, error) && meta_dir_make (sup->runtime_fd, "meta", &meta, error);
}

static gboolean
write_dir (VmSupervisor *sup, const Operations *operations, GError **error)
{
  g_auto (GStrv) environment = vm_plan_full_environment (sup->plan);
  MetaDir meta = describe (sup->plan, environment);

  meta.mounts = (const char *const *)operations->words->pdata;
  meta.files = (GBytes *const *)operations->files->pdata;
  return meta_dir_write (sup->runtime_fd, "meta", &meta, &sup->bundle, error);
}

gboolean
vm_supervisor_write_meta (VmSupervisor *sup, GError **error)
{
  Operations operations = {
      .words = g_ptr_array_new_null_terminated (32, g_free, TRUE),
      .files = g_ptr_array_new_null_terminated (4, (GDestroyNotify)g_bytes_unref, TRUE),
  };
  gboolean ok;

  make_operations (sup, &operations);
  ok = write_dir (sup, &operations, error);
  operations_clear (&operations);
  return ok;
}
