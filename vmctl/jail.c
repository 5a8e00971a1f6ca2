/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The jail's root is what QEMU itself needs: the plan's "root" mounts (/usr and the links into it,
 * /nix/store), the dynamic linker's cache, /proc (the 9p server opens files through it), /dev, a tmpfs. The
 * keeper builds it (vmctl/keeper-tree.h), and bubblewrap takes it as a whole. Below
 * /export/ro the plan's tree is built again, with the synthesised /etc, the empty directories and the
 * read-only grants; below /export/rw every read-write mount has a numbered directory, with the protected
 * paths inside it bound over read-only, and the door. */
#include "vmctl/jail.h"

#include <string.h>

#include "images/template.h"
#include "meta/format.h"
#include "vmctl/bwrap.h"
#include "vmctl/drivers/qemu-argv.h"

#define WINDOW_COOKIES "/tmp/xauthority"

static void
isolate (VmBwrap *b)
{
  vm_bwrap_isolate (b);
  vm_bwrap_add (b, "--unshare-net", "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/tmp", NULL);
  vm_bwrap_add (b, "--setenv", "DBUS_SESSION_BUS_ADDRESS", "disabled:", NULL);
}

/* What the guest is made of: a kernel to boot, or the memory of one that has booted. */
static void
add_machine (VmBwrap *b)
{
  const VmPlan *plan = b->plan;
  g_autofree char *ram = NULL, *hot = NULL;

  if (plan->trace)
    vm_bwrap_bind (b, VM_BWRAP_RO, plan->keeper, g_strdup (VM_JAIL_STAMP));
  if (!plan->has_template) {
    vm_bwrap_bind (b, VM_BWRAP_RO, plan->vmlinux, g_strdup (VM_JAIL_VMLINUX));
    vm_bwrap_bind (b, VM_BWRAP_RO, plan->initramfs, g_strdup (VM_JAIL_INITRAMFS));
    return;
  }
  ram = g_build_filename (plan->template, "ram", NULL);
  vm_bwrap_bind (b, VM_BWRAP_RO, ram, g_strdup (VM_QEMU_RAM));
  vm_bwrap_bind (b, VM_BWRAP_RO, plan->ram_preload, g_strdup (VM_QEMU_PRELOAD));
  hot = g_build_filename (plan->template, IMAGE_TEMPLATE_HOT, NULL);
  vm_bwrap_bind (b, VM_BWRAP_TRY, hot, g_strdup (VM_QEMU_HOT));
  vm_bwrap_add (b, "--setenv", "LD_PRELOAD", VM_QEMU_PRELOAD, NULL);
}

/* For a window: the socket of the user's display, its cookies, fonts. With QEMU they are its own; nothing of
 * it lies in what is exported to the guest. */
static void
add_window (VmBwrap *b)
{
  const VmScreen *screen = &b->plan->screen;

  if (screen->socket == NULL)
    return;
  vm_bwrap_add (b, "--ro-bind", screen->socket, NULL);
  vm_bwrap_addf (b, "/tmp/.X11-unix/X%s", screen->number);
  vm_bwrap_add (b, "--setenv", "DISPLAY", NULL);
  vm_bwrap_addf (b, ":%s", screen->number);
  vm_bwrap_add (b, "--setenv", "GDK_BACKEND", "x11", "--setenv", "NO_AT_BRIDGE", "1", NULL);
  vm_bwrap_add (b, "--ro-bind-try", "/etc/fonts", "/etc/fonts", NULL);
  if (screen->cookies != NULL)
    vm_bwrap_add (b, "--ro-bind", screen->cookies, WINDOW_COOKIES, "--setenv", "XAUTHORITY", WINDOW_COOKIES,
                  NULL);
}

/* What a program of the host's needs of it, at the host's own paths. */
static void
host_root (VmBwrap *b)
{
  const VmPlan *plan = b->plan;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if ((!g_str_equal (m->why, "root") && !g_str_equal (m->why, VM_WHY_VMM)) ||
        g_str_has_prefix (m->target, "/etc/"))
      continue;
    if (m->kind == VM_MOUNT_RO)
      vm_bwrap_bind (b, VM_BWRAP_RO, m->source, g_strdup (m->target));
    else if (m->kind == VM_MOUNT_LINK)
      vm_bwrap_link (b, m->source, g_strdup (m->target));
  }
  vm_bwrap_bind (b, VM_BWRAP_TRY, "/etc/ld.so.cache", g_strdup ("/etc/ld.so.cache"));
  vm_bwrap_bind (b, VM_BWRAP_TRY, "/etc/alternatives", g_strdup ("/etc/alternatives"));
  vm_bwrap_add_proc (b);
  vm_bwrap_add (b, "--dev", "/dev", "--tmpfs", "/tmp", NULL);
}

static void
own_root (VmBwrap *b)
{
  host_root (b);
  if (g_strcmp0 (b->plan->accel, "kvm") == 0)
    vm_bwrap_add (b, "--dev-bind", "/dev/kvm", "/dev/kvm", NULL);
  add_machine (b);
}

static char *
in_ro (const char *target)
{
  return g_strconcat (VM_JAIL_EXPORT_RO, target, NULL);
}

/* Where a path inside lies in the rw export: below the read-write mount with the longest target above it.
 * NULL: in none. (transfer full) */
static char *
in_rw (const VmPlan *plan, const char *target)
{
  const VmMount *best = NULL;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);
    gsize n = strlen (m->target);

    if (m->kind != VM_MOUNT_RW || !g_str_has_prefix (target, m->target) ||
        (target[n] != '/' && target[n] != '\0'))
      continue;
    if (best == NULL || n > strlen (best->target))
      best = m;
  }
  if (best == NULL)
    return NULL;
  return g_strconcat (VM_JAIL_EXPORT_RW "/", best->share, target + strlen (best->target), NULL);
}

/* The read-write mounts come first, whatever their place in the plan: a protected path needs its mount. */
static void
export_rw (VmBwrap *b)
{
  const VmPlan *plan = b->plan;
  g_autofree char *door = g_build_filename (plan->runtime_dir, "door", NULL);

  vm_bwrap_dir (b, 0755, g_strdup (VM_JAIL_EXPORT_RW));
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_RW)
      vm_bwrap_bind (b, VM_BWRAP_RW, m->source, g_strconcat (VM_JAIL_EXPORT_RW "/", m->share, NULL));
  }
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_PIN)
      vm_bwrap_bind (b, VM_BWRAP_PIN, m->source, in_rw (plan, m->target));
    else if (m->kind == VM_MOUNT_PROTECT || m->kind == VM_MOUNT_ABSENT)
      vm_bwrap_bind (b, VM_BWRAP_PROTECT, m->source, in_rw (plan, m->target));
  }
  vm_bwrap_bind (b, VM_BWRAP_RW, door, g_strdup (VM_JAIL_EXPORT_RW "/door"));
}

static void
export_ro (VmBwrap *b)
{
  const VmPlan *plan = b->plan;

  vm_bwrap_dir (b, 0755, g_strdup (VM_JAIL_EXPORT_RO));
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (g_str_equal (m->why, VM_WHY_VMM))
      continue;
    switch (m->kind) {
    case VM_MOUNT_RO:
      vm_bwrap_bind (b, VM_BWRAP_RO, m->source, in_ro (m->target));
      break;
    case VM_MOUNT_LINK:
      vm_bwrap_link (b, m->source, in_ro (m->target));
      break;
    case VM_MOUNT_DIR:
    case VM_MOUNT_TMPFS:
      vm_bwrap_dir (b, m->mode, in_ro (m->target));
      break;
    case VM_MOUNT_FILE:
      vm_bwrap_file (b, m, in_ro (m->target));
      break;
    case VM_MOUNT_RW:
    case VM_MOUNT_PIN:
    case VM_MOUNT_PROTECT:
    case VM_MOUNT_ABSENT:
    case VM_MOUNT_COPY:
    case VM_MOUNT_RELAY:
    case VM_MOUNT_DEV:
      break;
    }
  }
}

static gboolean
is_program_dir (const char *target)
{
  static const char *const dirs[] = {"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", NULL};

  return g_strv_contains (dirs, target);
}

/* The machine that becomes a template of the host's own systemd copies that: of the tree it sees what is the
 * same for every user. */
static void
export_programs (VmBwrap *b)
{
  const VmPlan *plan = b->plan;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (!g_str_equal (m->why, "root") || !is_program_dir (m->target))
      continue;
    if (m->kind == VM_MOUNT_RO)
      vm_bwrap_bind (b, VM_BWRAP_RO, m->source, in_ro (m->target));
    else if (m->kind == VM_MOUNT_LINK)
      vm_bwrap_link (b, m->source, in_ro (m->target));
  }
}

static void
seccomp (VmBwrap *b)
{
  vm_bwrap_add (b, "--chdir", "/", "--seccomp", NULL);
  vm_bwrap_addf (b, "%d", vm_argv_slot (b->argv, "seccomp"));
}

GPtrArray *
vm_jail_empty_arguments (const VmPlan *plan, const char *ram, VmArgv *argv)
{
  VmBwrap b = {.plan = plan, .argv = argv, .out = g_ptr_array_new_null_terminated (64, g_free, TRUE)};

  isolate (&b);
  own_root (&b);
  if (ram != NULL)
    vm_bwrap_add (&b, "--bind", ram, VM_QEMU_RAM, NULL);
  vm_bwrap_add (&b, "--dir", VM_JAIL_EXPORT_RO, "--dir", VM_JAIL_EXPORT_RW, NULL);
  if (ram != NULL && plan->image.name != NULL && plan->image.filesystem == NULL)
    export_programs (&b);
  seccomp (&b);
  return b.out;
}

GPtrArray *
vm_jail_arguments (const VmPlan *plan, VmArgv *argv, GPtrArray **ret_tree)
{
  VmBwrap b = {.plan = plan,
               .argv = argv,
               .out = g_ptr_array_new_null_terminated (64, g_free, TRUE),
               .tree = g_ptr_array_new_null_terminated (512, g_free, TRUE)};

  isolate (&b);
  vm_bwrap_take_tree (&b);
  own_root (&b);
  export_rw (&b);
  export_ro (&b);
  add_window (&b);
  /* The export's own directories are memory of the host's: without this a guest could fill it. */
  vm_bwrap_add (&b, "--remount-ro", "/", NULL);
  seccomp (&b);
  *ret_tree = b.tree;
  return b.out;
}

GPtrArray *
vm_jail_viewer_arguments (const VmPlan *plan, VmArgv *argv)
{
  VmBwrap b = {.plan = plan, .argv = argv, .out = g_ptr_array_new_null_terminated (64, g_free, TRUE)};

  isolate (&b);
  host_root (&b);
  add_window (&b);
  vm_bwrap_add (&b, "--ro-bind", NULL);
  vm_bwrap_addf (&b, "%s/vnc.sock", plan->runtime_dir);
  vm_bwrap_add (&b, VM_JAIL_VNC, NULL);
  seccomp (&b);
  return b.out;
}
