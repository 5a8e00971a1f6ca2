/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/grant.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/etc.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

#define WHY(grant) "grant:" grant

static gboolean
absent (gboolean asked, const char *grant, const char *reason, GError **error)
{
  return !asked || vm_error (error, VM_ERROR_HOST, "grant '%s': %s", grant, reason);
}

/* What the allow-list of /etc gives to this grant. Returns how many entries. */
static guint
add_etc (VmPlan *plan, const VmHost *host, const char *grant)
{
  g_autofree char *why = g_strconcat ("grant:", grant, NULL);
  guint n = 0;

  for (const VmHostEntry *e = host->etc; e != NULL && e->path != NULL; e++) {
    const VmEtcRule *rule = vm_etc_rule_find (e->path);

    if (rule == NULL || g_strcmp0 (rule->grant, grant) != 0)
      continue;
    vm_plan_add_entry (plan, e, why);
    n++;
  }
  return n;
}

/* A variable that names a file: only if that file is inside. */
static void
pass_file (VmPlan *plan, const VmHost *host, const char *name)
{
  const char *value = g_environ_getenv (host->environment, name);

  if (value != NULL && *value == '/' && vm_plan_shows (plan, value))
    vm_plan_passenv (plan, host, name);
}

static gboolean
add_locale (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = add_etc (plan, host, "locale");

  for (char **one = host->environment; one != NULL && *one != NULL; one++) {
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));

    if (g_str_equal (name, "LANG") || g_str_equal (name, "LANGUAGE") || g_str_has_prefix (name, "LC_"))
      n += (guint)vm_plan_passenv (plan, host, name);
  }
  pass_file (plan, host, "LOCALE_ARCHIVE");
  return n > 0 || absent (asked, "locale", "this host has no locale settings; set $LANG", error);
}

static gboolean
add_tz (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = add_etc (plan, host, "tz");

  if (host->timezone != NULL && vm_plan_mount_at (plan, "/etc/localtime") == NULL) {
    vm_plan_add_link (plan, "/etc/localtime", host->timezone, WHY ("tz"));
    n++;
  }
  n += (guint)vm_plan_passenv (plan, host, "TZ");
  pass_file (plan, host, "TZDIR");
  return n > 0 || absent (asked, "tz", "this host has no /etc/localtime; set $TZ", error);
}

static gboolean
add_tls (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = add_etc (plan, host, "tls");

  pass_file (plan, host, "SSL_CERT_FILE");
  pass_file (plan, host, "NIX_SSL_CERT_FILE");
  return n > 0 ||
         absent (asked, "tls",
                 "this host has no trusted certificates below /etc; install them (Debian: apt install "
                 "ca-certificates)",
                 error);
}

static gboolean
add_dns (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  if (plan->net == VM_NET_NONE)
    return !asked ||
           vm_error (error, VM_ERROR_USAGE,
                     "grant 'dns': there is no network to ask a name server by; leave out --net none or "
                     "--grant dns");
  add_etc (plan, host, "dns");
  vm_plan_add_file (plan, "/etc/resolv.conf", "nameserver 10.0.2.3\n", WHY ("dns"));
  vm_plan_add_file (plan, "/etc/nsswitch.conf",
                    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n", WHY ("dns"));
  return TRUE;
}

static gboolean
add_fonts (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  return add_etc (plan, host, "fonts") > 0 ||
         absent (asked, "fonts",
                 "this host has no /etc/fonts; install fonts (Debian: apt install fontconfig)", error);
}

/* A link in the home is followed: its user made it. But not into a project, where a sandbox can put whatever
 * it likes at the place that the link leads to. */
static gboolean
may_follow (const VmHost *host, const VmHostEntry *entry)
{
  const char *why;

  if (entry->real == NULL)
    return entry->link == NULL;
  return !vm_path_is_within (entry->real, host->project.path) &&
         (host->project.git_dir == NULL || !vm_path_is_within (entry->real, host->project.git_dir)) &&
         (!vm_plan_is_forbidden (host, entry->real, &why) || vm_path_is_within (entry->real, "/nix/store"));
}

static gboolean
add_git (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = 0;

  for (const VmHostEntry *e = host->dotfiles; e != NULL && e->path != NULL; e++) {
    if (!may_follow (host, e) || vm_path_is_within (e->path, host->project.path))
      continue;
    vm_plan_add_ro (plan, e->real != NULL ? e->real : e->path, e->path, e->is_dir, WHY ("git"));
    n++;
  }
  return n > 0 || absent (asked, "git",
                          "there is neither ~/.gitconfig nor a setting in ~/.config/git; run: git config "
                          "--global user.name NAME",
                          error);
}

const VmGrant vm_grants[] = {
    {"locale", "language and formats: LANG, LC_*, /etc/locale.conf", add_locale},
    {"tz", "the time zone: TZ, /etc/localtime", add_tz},
    {"tls", "trusted certificates, read-only: /etc/ssl/certs, /etc/ca-certificates, /etc/pki", add_tls},
    {"dns", "a name server in /etc/resolv.conf", add_dns},
    {"fonts", "font settings, read-only: /etc/fonts", add_fonts},
    {"git", "your git settings, read-only: ~/.gitconfig, ~/.config/git (never stored passwords)", add_git},
    {NULL, NULL, NULL},
};

const VmGrant *
vm_grant_find (const char *name)
{
  for (const VmGrant *grant = vm_grants; grant->name != NULL; grant++)
    if (g_str_equal (grant->name, name))
      return grant;
  return NULL;
}
