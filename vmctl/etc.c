/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/etc.h"

#include <string.h>

/* Never whole directories that also hold keys or passwords: /etc/ssl has private/, /etc/pki has tls/private,
 * /etc/nix may have netrc. */
const VmEtcRule vm_etc_rules[] = {
    {"X11/fonts", "fonts"},
    {"alternatives", NULL},
    {"bash.bashrc", NULL},
    {"bash_completion.d", NULL},
    {"bashrc", NULL},
    {"ca-certificates", "tls"},
    {"ca-certificates.conf", "tls"},
    {"crypto-policies", "tls"},
    {"debian_version", NULL},
    {"default/locale", "locale"},
    {"dpkg", NULL},
    {"fish", NULL},
    {"fonts", "fonts"},
    {"gai.conf", "dns"},
    {"gitconfig", NULL},
    {"host.conf", "dns"},
    {"inputrc", NULL},
    {"java-*", NULL},
    {"ld.so.cache", NULL},
    {"ld.so.conf", NULL},
    {"ld.so.conf.d", NULL},
    {"locale.alias", "locale"},
    {"locale.conf", "locale"},
    {"localtime", "tz"},
    {"login.defs", NULL},
    {"lsb-release", NULL},
    {"magic", NULL},
    {"magic.mime", NULL},
    {"manpath.config", NULL},
    {"mime.types", NULL},
    {"mke2fs.conf", NULL},
    {"nix/nix.conf", NULL},
    {"nix/registry.json", NULL},
    {"npmrc", NULL},
    {"perl", NULL},
    {"pki/ca-trust", "tls"},
    {"pki/java", "tls"},
    {"pki/tls/cert.pem", "tls"},
    {"pki/tls/certs", "tls"},
    {"pki/tls/openssl.cnf", "tls"},
    {"profile", NULL},
    {"profile.d", NULL},
    {"profiles", NULL},
    {"protocols", NULL},
    {"python3*", NULL},
    {"rpc", NULL},
    {"services", NULL},
    {"set-environment", NULL},
    {"shells", NULL},
    {"ssl/ca-bundle.pem", "tls"},
    {"ssl/cert.pem", "tls"},
    {"ssl/certs", "tls"},
    {"ssl/openssl.cnf", "tls"},
    {"static", NULL},
    {"terminfo", NULL},
    {"texmf", NULL},
    {"timezone", "tz"},
    {"xdg", NULL},
    {"zoneinfo", "tz"},
    {"zprofile", NULL},
    {"zsh", NULL},
    {"zshenv", NULL},
    {"zshrc", NULL},
    {NULL, NULL},
};

static gboolean
matches (const char *rule, const char *name)
{
  gsize length = strlen (rule);

  if (rule[length - 1] != '*')
    return g_str_equal (rule, name);
  return strncmp (rule, name, length - 1) == 0 && strchr (name + length - 1, '/') == NULL;
}

const VmEtcRule *
vm_etc_rule_find (const char *path)
{
  if (!g_str_has_prefix (path, "/etc/"))
    return NULL;
  for (const VmEtcRule *rule = vm_etc_rules; rule->name != NULL; rule++)
    if (matches (rule->name, path + strlen ("/etc/")))
      return rule;
  return NULL;
}
