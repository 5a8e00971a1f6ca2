/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree of the host that every sandbox has, and the /etc that is made up for it. */
#include <string.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/etc.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

static const struct {
  const char *path;
  guint mode;
} skeleton[] = {
    {"/etc", 0755},     {"/proc", 0555},    {"/sys", 0555},       {"/dev", 0755},
    {"/tmp", 01777},    {"/run", 0755},     {"/var", 0755},       {"/var/tmp", 01777},
    {"/var/lib", 0755}, {"/var/log", 0755}, {"/var/cache", 0755}, {"/mnt", 0755},
    {"/media", 0755},   {"/srv", 0755},     {"/root", 0700},      {"/home", 0755},
};

static void
add_skeleton (VmPlan *plan, const VmHost *host)
{
  for (gsize i = 0; i < G_N_ELEMENTS (skeleton); i++)
    if (!g_str_equal (skeleton[i].path, vm_plan_home (host)))
      vm_plan_add_dir (plan, skeleton[i].path, skeleton[i].mode, TRUE, "root");
  vm_plan_add_link (plan, "/var/run", "/run", "root");
}

/* The first of the user's own and vmctl's places that lies in `dir`: then `dir` cannot be let in. */
static const char *
private_place_in (const VmHost *host, const char *dir)
{
  const char *places[] = {host->home, host->home_real, host->dirs.runtime, host->dirs.state,
                          host->dirs.config};

  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    if (places[i] != NULL && vm_path_is_within (places[i], dir))
      return places[i];
  return NULL;
}

static gboolean
add_host_tree (VmPlan *plan, const VmHost *host, GError **error)
{
  for (const VmHostEntry *e = host->root; e != NULL && e->path != NULL; e++) {
    const char *inside = e->link == NULL && e->is_dir ? private_place_in (host, e->path) : NULL;

    if (inside == NULL)
      vm_plan_add_entry (plan, e, "root");
    else if (!g_str_equal (e->path, "/opt"))
      return vm_error (
          error, VM_ERROR_HOST,
          "'%s' lies in '%s', which every sandbox can read; run vmctl as a user whose home is elsewhere",
          inside, e->path);
  }
  return TRUE;
}

/* Scripts start with these two names; a host without /usr (NixOS) has them as single files, or has none. */
static gboolean
add_sh_and_env (VmPlan *plan, GError **error)
{
  static const struct {
    const char *path, *usual, *nixos;
  } both[] = {{"/bin/sh", "/usr/bin/sh", "/run/current-system/sw/bin/sh"},
              {"/usr/bin/env", "/usr/bin/env", "/run/current-system/sw/bin/env"}};

  for (gsize i = 0; i < G_N_ELEMENTS (both); i++) {
    if (vm_plan_shows (plan, both[i].path))
      continue;
    if (vm_plan_shows (plan, both[i].usual))
      vm_plan_add_link (plan, both[i].path, both[i].usual, "root");
    else if (vm_plan_shows (plan, both[i].nixos))
      vm_plan_add_link (plan, both[i].path, both[i].nixos, "root");
    else
      return vm_error (
          error, VM_ERROR_HOST,
          "this host has neither /usr nor /run/current-system, so there is no '%s' to let in; vmctl "
          "needs a host with one of them",
          both[i].path);
  }
  return TRUE;
}

static void
add_accounts (VmPlan *plan)
{
  GString *passwd = g_string_new (NULL), *group = g_string_new (NULL);

  if (plan->uid != 0)
    g_string_append (passwd, "root:x:0:0:root:/root:/bin/sh\n");
  if (plan->uid != 65534)
    g_string_append (passwd, "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
  g_string_append_printf (passwd, "%s:x:%u:%u::%s:%s\n", plan->user, plan->uid, plan->gid, plan->home,
                          plan->shell);
  if (plan->gid != 0)
    g_string_append (group, "root:x:0:\n");
  if (plan->gid != 5)
    g_string_append (group, "tty:x:" META_TTY_GID ":\n");
  if (plan->gid != 65534)
    g_string_append (group, "nogroup:x:65534:\n");
  g_string_append_printf (group, "%s:x:%u:\n", plan->group, plan->gid);
  vm_plan_add_file (plan, "/etc/passwd", passwd->str, "root");
  vm_plan_add_file (plan, "/etc/group", group->str, "root");
  g_string_free (passwd, TRUE);
  g_string_free (group, TRUE);
}

/* Each sandbox is its own machine; the host's machine-id would let a guest be recognised. */
static char *
machine_id (const char *id)
{
  g_autofree char *text = g_strconcat ("vmctl machine-id ", id, NULL);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);

  return g_strdup_printf ("%.32s\n", hash);
}

static void
add_made_up_etc (VmPlan *plan)
{
  g_autofree char *hosts = g_strdup_printf ("127.0.0.1 localhost\n127.0.1.1 %s\n"
                                            "::1 localhost ip6-localhost ip6-loopback\n",
                                            plan->hostname);
  g_autofree char *hostname = g_strconcat (plan->hostname, "\n", NULL);
  g_autofree char *id = machine_id (plan->id);

  add_accounts (plan);
  vm_plan_add_file (plan, "/etc/hosts", hosts, "root");
  vm_plan_add_file (plan, "/etc/hostname", hostname, "root");
  vm_plan_add_file (plan, "/etc/machine-id", id, "root");
  vm_plan_add_link (plan, "/etc/mtab", "/proc/self/mounts", "root");
}

static void
add_host_etc (VmPlan *plan, const VmHost *host)
{
  for (const VmHostEntry *e = host->etc; e != NULL && e->path != NULL; e++) {
    const VmEtcRule *rule = vm_etc_rule_find (e->path);

    if (rule != NULL && rule->grant == NULL)
      vm_plan_add_entry (plan, e, "root");
  }
}

/* A shell that is not there inside, or that is none, is no use there. */
static void
fix_shell (VmPlan *plan)
{
  g_autofree char *base = g_path_get_basename (plan->shell);

  if (vm_plan_shows (plan, plan->shell) && !g_str_equal (base, "nologin") && !g_str_equal (base, "false"))
    return;
  g_free (plan->shell);
  plan->shell = g_strdup ("/bin/sh");
}

gboolean
vm_plan_add_root (VmPlan *plan, const VmHost *host, GError **error)
{
  add_skeleton (plan, host);
  if (!add_host_tree (plan, host, error) || !add_sh_and_env (plan, error))
    return FALSE;
  fix_shell (plan);
  add_made_up_etc (plan);
  add_host_etc (plan, host);
  return TRUE;
}

void
vm_plan_finish_etc (VmPlan *plan)
{
  if (vm_plan_mount_at (plan, "/etc/resolv.conf") == NULL)
    vm_plan_add_file (plan, "/etc/resolv.conf",
                      "# no name server: this sandbox has no 'dns' grant, or no network\n", "root");
  if (vm_plan_mount_at (plan, "/etc/nsswitch.conf") == NULL)
    vm_plan_add_file (plan, "/etc/nsswitch.conf",
                      "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", "root");
  if (vm_plan_mount_at (plan, "/usr") != NULL)
    vm_plan_add_link (plan, "/etc/os-release", "../usr/lib/os-release", "root");
  else if (vm_plan_mount_at (plan, "/etc/static") != NULL)
    vm_plan_add_link (plan, "/etc/os-release", "static/os-release", "root");
}
