/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locale, tz, tls, dns, fonts: settings and trust stores, which everything needs and which hold no secret. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/grant-parts.h"

static gboolean
add_locale (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = vm_grant_add_etc (plan, host, "locale");

  for (char **one = host->environment; one != NULL && *one != NULL; one++) {
    g_autofree char *name = g_strndup (*one, strcspn (*one, "="));

    if (g_str_equal (name, "LANG") || g_str_equal (name, "LANGUAGE") || g_str_has_prefix (name, "LC_"))
      n += (guint)vm_plan_passenv (plan, host, name);
  }
  vm_grant_pass_file (plan, host, "LOCALE_ARCHIVE");
  return n > 0 || vm_grant_absent (asked, "locale", "this host has no locale settings; set $LANG", error);
}

static gboolean
add_tz (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = vm_grant_add_etc (plan, host, "tz");

  if (host->timezone != NULL && vm_plan_mount_at (plan, "/etc/localtime") == NULL) {
    vm_plan_add_link (plan, "/etc/localtime", host->timezone, "grant:tz");
    n++;
  }
  n += (guint)vm_plan_passenv (plan, host, "TZ");
  vm_grant_pass_file (plan, host, "TZDIR");
  return n > 0 || vm_grant_absent (asked, "tz", "this host has no /etc/localtime; set $TZ", error);
}

static gboolean
add_tls (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  guint n = vm_grant_add_etc (plan, host, "tls");

  vm_grant_pass_file (plan, host, "SSL_CERT_FILE");
  vm_grant_pass_file (plan, host, "NIX_SSL_CERT_FILE");
  return n > 0 ||
         vm_grant_absent (asked, "tls",
                          "this host has no trusted certificates below /etc; install them (Debian: apt "
                          "install ca-certificates)",
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
  vm_grant_add_etc (plan, host, "dns");
  if (plan->net != VM_NET_HOST)
    vm_plan_add_file (plan, "/etc/resolv.conf", "nameserver 10.0.2.3\n", "grant:dns");
  else if (vm_host_entry (host->extra, VM_HOST_RESOLV_CONF) != NULL)
    vm_plan_add_ro (plan, VM_HOST_RESOLV_CONF, "/etc/resolv.conf", FALSE, "grant:dns");
  vm_plan_add_file (plan, "/etc/nsswitch.conf",
                    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n", "grant:dns");
  return TRUE;
}

static gboolean
add_fonts (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  const VmHostEntry *cache = vm_host_entry (host->extra, VM_HOST_FONT_CACHE);

  /* Without it every program reads every font first, which takes an emulated machine half a minute. */
  if (cache != NULL && plan->screen.kind != VM_DISPLAY_UNSET)
    vm_plan_add_entry (plan, cache, "grant:fonts");
  return vm_grant_add_etc (plan, host, "fonts") > 0 ||
         vm_grant_absent (asked, "fonts",
                          "this host has no /etc/fonts; install fonts (Debian: apt install fontconfig)",
                          error);
}

const VmGrant vm_grant_locale = {"locale", "language and formats: LANG, LC_*, /etc/locale.conf", add_locale};
const VmGrant vm_grant_tz = {"tz", "the time zone: TZ, /etc/localtime", add_tz};
const VmGrant vm_grant_tls = {
    "tls", "trusted certificates, read-only: /etc/ssl/certs, /etc/ca-certificates, /etc/pki", add_tls};
const VmGrant vm_grant_dns = {"dns", "a name server in /etc/resolv.conf", add_dns};
const VmGrant vm_grant_fonts = {
    "fonts", "font settings, read-only: /etc/fonts, and with a screen what is known of the fonts", add_fonts};
