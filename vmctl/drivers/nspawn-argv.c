/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/drivers/nspawn-argv.h"

#include <string.h>

#include "meta/format.h"
#include "vmctl/container.h"
#include "vmctl/driver.h"
#include "vmctl/path.h"

enum {
  RANGE = CONTAINER_RANGE,
  FIRST_SHIFT = 0x80000, /* systemd's range for containers: 524288 ... 1879048191 */
  LAST_SHIFT = 0x6fff0000,
};

gboolean
vm_nspawn_has_own_ids (const VmPlan *plan)
{
  return plan->uid < RANGE && plan->gid < RANGE;
}

/* From the id, so that two sandboxes hardly ever have the same; it harms nothing if they do. */
static guint
shift_of (const VmPlan *plan)
{
  guint slots = (LAST_SHIFT - FIRST_SHIFT) / RANGE + 1;

  return vm_nspawn_has_own_ids (plan) ? FIRST_SHIFT + g_str_hash (plan->id) % slots * RANGE : 0;
}

/* nspawn refuses what is not quite a host name. */
static char *
host_name (const char *name)
{
  GString *out = g_string_new (NULL);

  for (; *name != '\0' && out->len < 63; name++) {
    char last = out->len > 0 ? out->str[out->len - 1] : '.';

    if (g_ascii_isalnum (*name) || (*name == '-' && last != '.') ||
        (*name == '.' && last != '.' && last != '-'))
      g_string_append_c (out, *name);
  }
  while (out->len > 0 && !g_ascii_isalnum (out->str[out->len - 1]))
    g_string_truncate (out, out->len - 1);
  if (out->len == 0)
    g_string_append (out, "sandbox");
  return g_string_free (out, FALSE);
}

static void
add_keeper (const VmPlan *plan, VmArgv *argv)
{
  static const char *const activated[] = {"agent", "seccomp"};
  const struct {
    const char *name;
    guint value;
  } numbers[] = {{"--uid", plan->uid}, {"--gid", plan->gid}, {"--shift", shift_of (plan)}};

  vm_driver_begin_keeper (plan, argv);
  vm_driver_add_net (plan, argv, VM_KEEPER_NET_NAMESPACE);
  vm_argv_add (argv, "--stage");
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "stage"));
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++) {
    vm_argv_add (argv, numbers[i].name);
    vm_argv_addf (argv, "%u", numbers[i].value);
  }
  for (guint i = 0; i < G_N_ELEMENTS (activated); i++) {
    vm_argv_add (argv, "--activate");
    vm_argv_addf (argv, "%d", vm_argv_slot (argv, activated[i]));
  }
  vm_argv_add (argv, "--");
}

void
vm_nspawn_argv (const VmPlan *plan, VmArgv *argv)
{
  g_autofree char *host = host_name (plan->hostname);

  add_keeper (plan, argv);
  vm_argv_add_many (argv, plan->nspawn, "--quiet", "--settings=no", "--directory=" CONTAINER_ROOT, NULL);
  vm_argv_addf (argv, "--machine=vmctl-%s", plan->id);
  vm_argv_addf (argv, "--hostname=%s", host);
  vm_argv_add_many (argv, plan->registered ? "--register=yes" : "--register=no", "--keep-unit", NULL);
  /* Without "pipe" nspawn makes a terminal of a stdin that is none, and a reader there hangs for ever. */
  vm_argv_add_many (argv, "--console=pipe", "--as-pid2", "--no-new-privileges=yes", NULL);
  if (shift_of (plan) != 0)
    vm_argv_addf (argv, "--private-users=%u:%u", shift_of (plan), RANGE);
  else
    vm_argv_addf (argv, "--private-users=0:%u", (MAX (plan->uid, plan->gid) / RANGE + 1) * RANGE);
  vm_argv_add_many (argv, "--private-users-ownership=off", "--drop-capability=" CONTAINER_DROPPED,
                    "--system-call-filter=" CONTAINER_DENIED, "--link-journal=no", "--resolv-conf=off",
                    "--timezone=off", NULL);
  /* The descriptors: as the keeper's --activate names them, and its pipe after them. */
  vm_argv_add_many (argv, "--", META_AGENT, "--listen", "3", "--meta", META_DIR, "--contained",
                    "--allow-list", "--filter", "4", "--lifeline", "5", "--uid", NULL);
  vm_argv_addf (argv, "%u", plan->uid);
}

/* The list */

typedef struct {
  const VmPlan *plan;
  VmArgv *argv;
  GPtrArray *out;
  GHashTable *for_relays; /* directories that were made for sockets */
} List;

static void
add_group (List *list, const char *kind, const char *target, guint mode, const char *owner, char *take_value)
{
  g_ptr_array_add (list->out, g_strdup (kind));
  g_ptr_array_add (list->out, g_strdup (target));
  g_ptr_array_add (list->out, g_strdup_printf ("%04o", mode));
  g_ptr_array_add (list->out, g_strdup (owner));
  g_ptr_array_add (list->out, take_value);
}

static char *
slot_number (List *list, const char *kind, const char *target)
{
  g_autofree char *slot = g_strconcat (kind, ":", target, NULL);

  return g_strdup_printf ("%d", vm_argv_slot (list->argv, slot));
}

/* nspawn leaves alone what is mounted already where it would mount a tmpfs of its own. */
static gboolean
is_own_mount (const char *target)
{
  return g_str_equal (target, "/run") || g_str_equal (target, "/dev");
}

static gboolean
is_in_own_mount (const char *path)
{
  return vm_path_is_within (path, "/run") || vm_path_is_within (path, "/dev");
}

static void
add_dir (List *list, guint i, const VmMount *m)
{
  const char *owner = m->owner_root ? "root" : "user";

  if (is_own_mount (m->target))
    add_group (list, "tmpfs", m->target, m->mode, owner, g_strdup ("16777216"));
  else if (vm_mount_is_writable_dir (m) && !vm_plan_lies_in_writable (list->plan, i, m->target))
    add_group (list, "tmpfs", m->target, m->mode, owner,
               g_strdup_printf ("%" G_GUINT64_FORMAT, list->plan->memory));
  else
    add_group (list, "dir", m->target, m->mode, owner, g_strdup (""));
}

static void
add_file (List *list, const VmMount *m)
{
  g_autofree char *slot = g_strconcat ("file:", m->target, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (m->content, strlen (m->content));

  add_group (list, "file", m->target, m->mode, m->owner_root ? "root" : "user",
             slot_number (list, "file", m->target));
  vm_argv_bind_bytes (list->argv, slot, bytes);
}

static void
add_source (List *list, const char *kind, const VmMount *m)
{
  add_group (list, kind, m->target, 0, m->is_dir ? "dir" : "file", slot_number (list, "mount", m->target));
}

/* The directory that a path lies in, or is; NULL if it is in none that was made. */
static const VmMount *
dir_around (const VmPlan *plan, guint before, const char *path)
{
  const VmMount *found = NULL;

  for (guint i = 0; i < before; i++) {
    const VmMount *m = g_ptr_array_index (plan->mounts, i);

    if (m->kind == VM_MOUNT_DIR && vm_path_is_within (path, m->target) &&
        (found == NULL || vm_path_is_within (m->target, found->target)))
      found = m;
  }
  return found;
}

/* The agent can make a socket only where something can be made; what is not made for it is read-only. In the
 * tmpfs of /run it can, but makes no directory where only root may. */
static void
add_relay (List *list, guint i, const VmMount *m)
{
  g_autofree char *parent = g_path_get_dirname (m->target);
  const VmMount *around = dir_around (list->plan, i, parent);

  if (vm_plan_lies_in_writable (list->plan, i, m->target) || g_hash_table_contains (list->for_relays, parent))
    return;
  if (!is_in_own_mount (parent))
    add_group (list, "tmpfs", parent, 0755, "root", g_strdup ("65536"));
  else if (around != NULL && is_own_mount (around->target) && !g_str_equal (parent, around->target))
    add_group (list, "dir", parent, 0755, "root", g_strdup (""));
  g_hash_table_add (list->for_relays, g_steal_pointer (&parent));
}

static void
add_mount (List *list, guint i, const VmMount *m)
{
  switch (m->kind) {
  case VM_MOUNT_RO:
    add_source (list, "ro", m);
    break;
  case VM_MOUNT_RW:
    add_source (list, "rw", m);
    break;
  case VM_MOUNT_DEV:
    add_source (list, "dev", m);
    break;
  case VM_MOUNT_PIN:
    add_group (list, "pin", m->target, 0, "", g_strdup (""));
    break;
  case VM_MOUNT_PROTECT:
  case VM_MOUNT_ABSENT:
    add_group (list, "protect", m->target, 0, "", g_strdup (""));
    break;
  case VM_MOUNT_LINK:
    add_group (list, "link", m->target, 0, "root", g_strdup (m->source));
    break;
  case VM_MOUNT_DIR:
  case VM_MOUNT_TMPFS:
    add_dir (list, i, m);
    break;
  case VM_MOUNT_FILE:
    add_file (list, m);
    break;
  case VM_MOUNT_RELAY:
    add_relay (list, i, m);
    break;
  case VM_MOUNT_COPY: /* the agent's part */
    break;
  }
}

GPtrArray *
vm_nspawn_stage (const VmPlan *plan, VmArgv *argv)
{
  g_autoptr (GHashTable) for_relays = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  List list = {.plan = plan,
               .argv = argv,
               .out = g_ptr_array_new_null_terminated (512, g_free, TRUE),
               .for_relays = for_relays};

  for (guint i = 0; i < plan->mounts->len; i++)
    add_mount (&list, i, g_ptr_array_index (plan->mounts, i));
  /* The agent itself is the keeper's to add. */
  add_group (&list, "link", META_BIN_DIR "/sudo", 0, "root", g_strdup (META_AGENT));
  return list.out;
}
