/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * The jail's root is what QEMU itself needs: the plan's "root" mounts (/usr and the links into it,
 * /nix/store), the dynamic linker's cache, /proc (the 9p server opens files through it), /dev, a tmpfs. Below
 * /export/ro the plan's tree is built again, with the synthesised /etc, the empty directories and the
 * read-only grants; below /export/rw every read-write mount has a numbered directory, with the protected
 * paths inside it bound over read-only, and the door. */
#include "vmctl/jail.h"

#include <string.h>

#include "meta/format.h"

typedef struct {
  const VmPlan *plan; /* borrowed */
  VmArgv *argv;       /* borrowed; slots */
  GPtrArray *out;     /* of char *, owned by the caller */
} Jail;

static void
add (Jail *jail, ...)
{
  va_list ap;
  const char *word;

  va_start (ap, jail);
  while ((word = va_arg (ap, const char *)) != NULL)
    g_ptr_array_add (jail->out, g_strdup (word));
  va_end (ap);
}

static void
add_take (Jail *jail, const char *option, const char *first, char *take_second)
{
  add (jail, option, first, NULL);
  g_ptr_array_add (jail->out, take_second);
}

static void
add_mode (Jail *jail, guint mode)
{
  add (jail, "--perms", NULL);
  g_ptr_array_add (jail->out, g_strdup_printf ("%04o", mode));
}

static void
isolate (Jail *jail)
{
  add (jail, "--unshare-user", "--uid", NULL);
  g_ptr_array_add (jail->out, g_strdup_printf ("%u", jail->plan->uid));
  add (jail, "--gid", NULL);
  g_ptr_array_add (jail->out, g_strdup_printf ("%u", jail->plan->gid));
  add (jail, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", NULL);
  /* QEMU's user network makes its connections itself, so it needs the host's namespace until vmctl-net
   * carries the frames. */
  if (jail->plan->net == VM_NET_NONE)
    add (jail, "--unshare-net", NULL);
  add (jail, "--die-with-parent", "--cap-drop", "ALL", "--clearenv", NULL);
  add (jail, "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/tmp", NULL);
  add (jail, "--setenv", "DBUS_SESSION_BUS_ADDRESS", "disabled:", NULL);
}

/* What the QEMU process needs of the host, at the host's own paths. */
static void
own_root (Jail *jail)
{
  const VmPlan *plan = jail->plan;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (!g_str_equal (m->why, "root") || g_str_has_prefix (m->target, "/etc/"))
      continue;
    if (m->kind == VM_MOUNT_RO)
      add (jail, "--ro-bind", m->source, m->target, NULL);
    else if (m->kind == VM_MOUNT_LINK)
      add (jail, "--symlink", m->source, m->target, NULL);
  }
  add (jail, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", NULL);
  add (jail, "--ro-bind-try", "/etc/alternatives", "/etc/alternatives", NULL);
  if (plan->net != VM_NET_NONE)
    add (jail, "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf", NULL);
  add (jail, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", NULL);
  if (g_strcmp0 (plan->accel, "kvm") == 0)
    add (jail, "--dev-bind", "/dev/kvm", "/dev/kvm", NULL);
  add (jail, "--ro-bind", plan->vmlinux, VM_JAIL_VMLINUX, NULL);
  add (jail, "--ro-bind", plan->initramfs, VM_JAIL_INITRAMFS, NULL);
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

static void
add_file (Jail *jail, const VmMount *m)
{
  g_autofree char *slot = g_strconcat ("file:", m->target, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (m->content, strlen (m->content));

  add_mode (jail, m->mode);
  add (jail, "--file", NULL);
  g_ptr_array_add (jail->out, g_strdup_printf ("%d", vm_argv_slot (jail->argv, slot)));
  g_ptr_array_add (jail->out, in_ro (m->target));
  vm_argv_bind_bytes (jail->argv, slot, bytes);
}

/* The read-write mounts come first, whatever their place in the plan: a protected path needs its mount. */
static void
export_rw (Jail *jail)
{
  const VmPlan *plan = jail->plan;
  g_autofree char *door = g_build_filename (plan->runtime_dir, "door", NULL);

  add (jail, "--dir", VM_JAIL_EXPORT_RW, NULL);
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_RW)
      add_take (jail, "--bind", m->source, g_strconcat (VM_JAIL_EXPORT_RW "/", m->share, NULL));
  }
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_PIN)
      add_take (jail, "--bind", m->source, in_rw (plan, m->target));
    else if (m->kind == VM_MOUNT_PROTECT)
      add_take (jail, "--ro-bind", m->source, in_rw (plan, m->target));
  }
  add (jail, "--bind", door, VM_JAIL_EXPORT_RW "/door", NULL);
}

static void
export_ro (Jail *jail)
{
  const VmPlan *plan = jail->plan;

  add (jail, "--perms", "0755", "--dir", VM_JAIL_EXPORT_RO, NULL);
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    switch (m->kind) {
    case VM_MOUNT_RO:
      add_take (jail, "--ro-bind", m->source, in_ro (m->target));
      break;
    case VM_MOUNT_LINK:
      add_take (jail, "--symlink", m->source, in_ro (m->target));
      break;
    case VM_MOUNT_DIR:
    case VM_MOUNT_TMPFS:
      add_mode (jail, m->mode);
      add (jail, "--dir", NULL);
      g_ptr_array_add (jail->out, in_ro (m->target));
      break;
    case VM_MOUNT_FILE:
      add_file (jail, m);
      break;
    case VM_MOUNT_RW:
    case VM_MOUNT_PIN:
    case VM_MOUNT_PROTECT:
      break;
    }
  }
}

GPtrArray *
vm_jail_arguments (const VmPlan *plan, VmArgv *argv)
{
  Jail jail = {.plan = plan, .argv = argv, .out = g_ptr_array_new_null_terminated (128, g_free, TRUE)};

  isolate (&jail);
  own_root (&jail);
  add (&jail, "--perms", "0755", "--tmpfs", "/export", NULL);
  export_rw (&jail);
  export_ro (&jail);
  /* The export's own directories are a tmpfs of the jail: without this a guest could fill the host's memory
   * through it. */
  add (&jail, "--remount-ro", "/export", "--chdir", "/", NULL);
  add (&jail, "--seccomp", NULL);
  g_ptr_array_add (jail.out, g_strdup_printf ("%d", vm_argv_slot (argv, "seccomp")));
  return jail.out;
}

GBytes *
vm_jail_arguments_bytes (GPtrArray *arguments)
{
  GByteArray *bytes = g_byte_array_new ();

  for (guint i = 0; i < arguments->len; i++) {
    const char *word = g_ptr_array_index (arguments, i);

    g_byte_array_append (bytes, (const guint8 *)word, (guint)strlen (word) + 1);
  }
  return g_byte_array_free_to_bytes (bytes);
}
