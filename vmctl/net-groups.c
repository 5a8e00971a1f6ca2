/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in groups: the names that the usual programs ask for, at the ports they use. Whoever has
 * an account at one of them can also be sent things there (docs/network.md). */
#include "vmctl/net-groups.h"

#include <string.h>

#include "vmctl/base/error.h"

const VmNetGroup vm_net_groups[] = {
    {"anthropic", "Claude Code: the model's interface, signing in, updates",
     "anthropic.com:443/tcp,*.anthropic.com:443/tcp,claude.ai:443/tcp,*.claude.ai:443/tcp,"
     "claude.com:443/tcp,*.claude.com:443/tcp"},
    {"debian", "packages of Debian, by apt",
     "deb.debian.org:80/tcp,deb.debian.org:443/tcp,security.debian.org:80/tcp,security.debian.org:443/tcp,"
     "ftp.debian.org:80/tcp,ftp.debian.org:443/tcp"},
    {"github", "git by https and ssh, the API, releases, packages",
     "github.com:443/tcp,github.com:22/tcp,*.github.com:443/tcp,*.githubusercontent.com:443/tcp,"
     "*.githubassets.com:443/tcp,ghcr.io:443/tcp,github-cloud.s3.amazonaws.com:443/tcp"},
    {"nix", "the binary cache and channels of nixpkgs",
     "cache.nixos.org:443/tcp,channels.nixos.org:443/tcp,releases.nixos.org:443/tcp,"
     "tarballs.nixos.org:443/tcp,nixos.org:443/tcp"},
    {"npm", "packages of npm and yarn, headers of node for native modules",
     "registry.npmjs.org:443/tcp,*.npmjs.org:443/tcp,registry.yarnpkg.com:443/tcp,nodejs.org:443/tcp"},
    {"pypi", "packages of Python, by pip and uv", "pypi.org:443/tcp,files.pythonhosted.org:443/tcp"},
    {NULL, NULL, NULL},
};

gboolean
vm_net_group_is_name (const char *name)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
  gsize length = strlen (name);

  return length > 0 && length <= 32 && *name != '-' && strspn (name, letters) == length;
}

static const char *
find (char **configured, const char *name)
{
  gsize length = strlen (name);

  for (; configured != NULL && *configured != NULL; configured++)
    if (strncmp (*configured, name, length) == 0 && (*configured)[length] == '=')
      return *configured + length + 1;
  for (const VmNetGroup *group = vm_net_groups; group->name != NULL; group++)
    if (g_str_equal (group->name, name))
      return group->items;
  return NULL;
}

/* "@anthropic, @debian, ..., @work" */
static char *
list_names (char **configured)
{
  GString *out = g_string_new (NULL);

  for (const VmNetGroup *group = vm_net_groups; group->name != NULL; group++)
    g_string_append_printf (out, "%s@%s", out->len > 0 ? ", " : "", group->name);
  for (; configured != NULL && *configured != NULL; configured++)
    g_string_append_printf (out, ", @%.*s", (int)strcspn (*configured, "="), *configured);
  return g_string_free (out, FALSE);
}

char **
vm_net_group_items (char **configured, const char *name, GError **error)
{
  const char *items = find (configured, name);
  g_autofree char *known = NULL;

  if (items != NULL)
    return *items != '\0' ? g_strsplit (items, ",", -1) : g_new0 (char *, 1);
  known = list_names (configured);
  vm_error (error, VM_ERROR_USAGE,
            "there is no group '@%s'; there are %s; more are made in the configuration, [net-groups]", name,
            known);
  return NULL;
}
