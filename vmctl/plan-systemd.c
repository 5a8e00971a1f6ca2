/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image that is the host's own tree with its systemd as the first process (images/host-systemd.h): what of
 * /etc that asks for, made up like the rest. Nothing is the host's: neither its units nor its accounts are
 * let in. */
#include <string.h>

#include "vmctl/plan-parts.h"

/* Whom systemd's own programs and D-Bus run as, and the groups that their rules and files name. */
static const char *const accounts[] = {
    "messagebus",       "dbus", "polkitd", "systemd-journal", "systemd-network", "systemd-resolve",
    "systemd-timesync", NULL};
static const char *const groups[] = {"adm", "audio",  "cdrom",  "dialout", "disk",  "input", "kmem",  "kvm",
                                     "lp",  "netdev", "render", "tape",    "users", "utmp",  "video", NULL};

enum { FIRST_ID = 900 }; /* of those for the system; on the host they may be anybody's, or nobody's */

static VmMount *
file_at (VmPlan *plan, const char *target)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    VmMount *mount = g_ptr_array_index (plan->mounts, i);

    if (mount->kind == VM_MOUNT_FILE && g_str_equal (mount->target, target))
      return mount;
  }
  return NULL;
}

static void
append (VmPlan *plan, const char *target, const GString *text)
{
  VmMount *mount = file_at (plan, target);
  char *old = mount->content;

  mount->content = g_strconcat (old, text->str, NULL);
  g_free (old);
}

/* The user's own names and numbers stay the user's. */
static void
add_names (const VmPlan *plan, const char *const *names, guint *id, GString *passwd, GString *group)
{
  for (; *names != NULL; names++) {
    while (*id == plan->uid || *id == plan->gid)
      ++*id;
    if (passwd != NULL && !g_str_equal (*names, plan->user))
      g_string_append_printf (passwd, "%s:x:%u:%u::/:/usr/sbin/nologin\n", *names, *id, *id);
    if (!g_str_equal (*names, plan->group))
      g_string_append_printf (group, "%s:x:%u:\n", *names, *id);
    ++*id;
  }
}

static void
add_accounts (VmPlan *plan)
{
  g_autoptr (GString) passwd = g_string_new (NULL), group = g_string_new (NULL);
  guint id = FIRST_ID;

  add_names (plan, accounts, &id, passwd, group);
  add_names (plan, groups, &id, NULL, group);
  append (plan, "/etc/passwd", passwd);
  append (plan, "/etc/group", group);
}

/* Nobody can prove to be anybody: there are no passwords (pam_unix then says no, and, other than pam_deny,
 * goes along with who need not prove anything). The login on the console and the user's own systemd get a
 * session of logind's where that runs. */
#define PLAIN                                                                                                \
  "auth required pam_unix.so\npassword required pam_deny.so\naccount required pam_permit.so\n"               \
  "session required pam_permit.so\n"
#define WITH_LOGIND PLAIN "-session optional pam_systemd.so\n"

static void
add_pam (VmPlan *plan)
{
  vm_plan_add_dir (plan, "/etc/pam.d", 0755, TRUE, "image");
  vm_plan_add_file (plan, "/etc/pam.d/other", PLAIN, "image");
  vm_plan_add_file (plan, "/etc/pam.d/login", WITH_LOGIND, "image");
  vm_plan_add_file (plan, "/etc/pam.d/systemd-user", WITH_LOGIND, "image");
}

void
vm_plan_fit_host_systemd (VmPlan *plan)
{
  add_accounts (plan);
  add_pam (plan);
  vm_plan_add_file (plan, "/etc/fstab", "# vmctl has mounted all that there is\n", "image");
}
