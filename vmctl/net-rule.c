/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-rule.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/net/classes.h"

#define HOST_NAME "host.vmctl.internal"

/* An item comes from a command line, a file or a client, with whatever bytes. */
static gboolean G_GNUC_PRINTF (3, 4) refuse (const char *item, GError **error, const char *format, ...)
{
  g_autofree char *shown = vm_escape_terminal (item, -1, -1), *why = NULL;
  va_list args;

  va_start (args, format);
  why = g_strdup_vprintf (format, args);
  va_end (args);
  return vm_error (error, VM_ERROR_USAGE, "'%s' %s", shown, why);
}

static gboolean
parse_number (const char *text, guint min, guint max, guint *ret)
{
  guint64 value;

  if ((*text == '0' && text[1] != '\0') || !g_ascii_string_to_unsigned (text, 10, min, max, &value, NULL))
    return FALSE;
  *ret = (guint)value;
  return TRUE;
}

/* "443", "8000-8010" */
static gboolean
parse_ports (const char *item, const char *text, VmNetRule *rule, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, "-", 2);
  guint first = 0, last = 0;

  if (*text == '\0' || !parse_number (parts[0], 1, G_MAXUINT16, &first) ||
      !parse_number (parts[1] != NULL ? parts[1] : parts[0], 1, G_MAXUINT16, &last))
    return refuse (item, error,
                   "has no port behind ':'; write one from 1 to 65535, or two such as 8000-8010");
  if (first > last)
    return refuse (item, error, "has its ports the wrong way round; write %u-%u", last, first);
  rule->first = (guint16)first;
  rule->last = (guint16)last;
  return TRUE;
}

/* Cuts "/tcp" off. What follows the last '/' of an address may also be its prefix. */
static gboolean
take_protocol (const char *item, char *text, VmNetRule *rule, GError **error)
{
  char *slash = strrchr (text, '/');

  if (slash == NULL || g_ascii_isdigit (slash[1]))
    return TRUE;
  if (g_str_equal (slash, "/tcp"))
    rule->protocol = IPPROTO_TCP;
  else if (g_str_equal (slash, "/udp"))
    rule->protocol = IPPROTO_UDP;
  else
    return refuse (item, error,
                   "has no protocol behind '/'; write /tcp or /udp, or leave it out for all. A path "
                   "cannot be judged: write the name alone");
  *slash = '\0';
  return TRUE;
}

static gboolean
take_ports (const char *item, char *text, VmNetRule *rule, GError **error)
{
  char *colon = strchr (text, ':');

  if (colon == NULL)
    return TRUE;
  if (!parse_ports (item, colon + 1, rule, error))
    return FALSE;
  *colon = '\0';
  return TRUE;
}

/* Addresses */

static gboolean
looks_like_address (const char *text)
{
  return *text != '\0' && strspn (text, "0123456789./") == strlen (text);
}

static char *
format_address (guint32 address)
{
  return g_strdup_printf ("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                          address & 255);
}

/* What no policy opens may be denied, but not allowed. */
static gboolean
check_open (const char *item, const VmNetRule *rule, GError **error)
{
  const NetClass *class = net_class_of (rule->network);

  if (rule->deny || class == NULL || !class->never || !net_class_holds (class, rule->network, rule->mask))
    return TRUE;
  return refuse (item, error,
                 "is %s, which is never reachable; for a service of this host use --net-host-port PORT, and "
                 "inside " HOST_NAME ":PORT",
                 class->name);
}

static gboolean
parse_address (const char *item, const char *text, VmNetRule *rule, GError **error)
{
  const char *slash = strchr (text, '/');
  g_autofree char *address = slash != NULL ? g_strndup (text, (gsize)(slash - text)) : g_strdup (text);
  g_autofree char *plain = NULL;
  struct in_addr in;
  guint prefix = 32;

  if (inet_pton (AF_INET, address, &in) != 1)
    return refuse (item, error,
                   "is neither a name nor an address; write an address as four numbers, such as 10.1.2.3 or "
                   "10.1.2.0/24");
  if (slash != NULL && !parse_number (slash + 1, 0, 32, &prefix))
    return refuse (item, error, "has no prefix behind '/'; write one from 0 to 32, such as %s/32", address);
  rule->mask = prefix == 0 ? 0 : ~(guint32)0 << (32 - prefix);
  rule->network = ntohl (in.s_addr) & rule->mask;
  if (rule->network != ntohl (in.s_addr)) {
    plain = format_address (rule->network);
    return refuse (item, error, "names an address and not a network; write %s/%u or %s/32", plain, prefix,
                   address);
  }
  return check_open (item, rule, error);
}

/* Names */

static gboolean
is_ascii_graph (const char *text)
{
  for (; *text != '\0'; text++)
    if (!g_ascii_isgraph (*text))
      return FALSE;
  return TRUE;
}

static gboolean
has_long_label (const char *text)
{
  enum { LABEL_MAX = 63 };
  g_auto (GStrv) labels = g_strsplit (text, ".", -1);

  for (char **label = labels; *label != NULL; label++)
    if (strlen (*label) > LABEL_MAX)
      return TRUE;
  return FALSE;
}

/* Why it is no name. */
static gboolean
refuse_name (const char *item, const char *text, GError **error)
{
  if (*text == '\0')
    return refuse (item, error, "names no host; write a name, an address or a group such as @npm");
  if (!is_ascii_graph (text))
    return refuse (item, error,
                   "has blanks or characters that no host name has; write an international name in its ASCII "
                   "form, which begins with xn--");
  if (strlen (text) > NET_NAME_MAX || has_long_label (text))
    return refuse (item, error, "is too long; a name has at most %d bytes, and 63 between two dots",
                   NET_NAME_MAX);
  if (strchr (text, '*') != NULL)
    return refuse (
        item, error,
        "has a '*' that is not the first of its words; write *.example.com for all names below example.com, "
        "and 'public' for all there are");
  return refuse (
      item, error,
      "is neither a name nor an address; write a name such as registry.npmjs.org, or an address as "
      "four numbers such as 10.1.2.3");
}

static gboolean
parse_name (const char *item, const char *text, VmNetRule *rule, GError **error)
{
  if (!net_name_pattern (text, strlen (text), rule->name))
    return refuse_name (item, text, error);
  if (!rule->deny && g_str_equal (rule->name, HOST_NAME))
    return refuse (item, error, "is this host; use --net-host-port PORT to let a service of it be reached");
  return TRUE;
}

gboolean
vm_net_rule_parse (const char *item, gboolean deny, VmNetRule *ret, GError **error)
{
  g_autofree char *text = g_strdup (item);

  *ret = (VmNetRule){.deny = deny};
  if (strstr (text, "://") != NULL)
    return refuse (item, error, "is a URL; write the name alone, and perhaps its port: github.com:443");
  if (strchr (text, '[') != NULL || strstr (text, "::") != NULL ||
      (strchr (text, ':') != NULL && strchr (strchr (text, ':') + 1, ':') != NULL))
    return refuse (item, error,
                   "looks like IPv6, which there is not in a sandbox; write a name or an IPv4 address");
  if (!take_protocol (item, text, ret, error) || !take_ports (item, text, ret, error))
    return FALSE;
  return looks_like_address (text) ? parse_address (item, text, ret, error)
                                   : parse_name (item, text, ret, error);
}

/* And back */

static const char *
protocol_name (guint8 protocol)
{
  return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "any";
}

static guint
prefix_of (const VmNetRule *rule)
{
  guint prefix = 0;

  for (guint32 mask = rule->mask; mask != 0; mask <<= 1)
    prefix++;
  return prefix;
}

/* "10.1.0.0/16" */
static char *
network_of (const VmNetRule *rule)
{
  g_autofree char *address = format_address (rule->network);

  return g_strdup_printf ("%s/%u", address, prefix_of (rule));
}

char *
vm_net_rule_item (const VmNetRule *rule)
{
  g_autofree char *network = network_of (rule);
  GString *out = g_string_new (*rule->name != '\0' ? rule->name : network);

  if (rule->first != 0)
    g_string_append_printf (out, ":%u", rule->first);
  if (rule->last != rule->first)
    g_string_append_printf (out, "-%u", rule->last);
  if (rule->protocol != 0)
    g_string_append_printf (out, "/%s", protocol_name (rule->protocol));
  return g_string_free (out, FALSE);
}

char *
vm_net_rule_line (const VmNetRule *rule, const char *text)
{
  g_autofree char *network = network_of (rule);
  gboolean is_name = *rule->name != '\0';

  return g_strdup_printf ("%s %s %s %s %u-%u %s", rule->deny ? "deny" : "allow", is_name ? "name" : "net",
                          is_name ? rule->name : network, protocol_name (rule->protocol), rule->first,
                          rule->last, text);
}

gboolean
vm_net_rule_read (const char *line, VmNetRule *ret, const char **ret_text)
{
  g_auto (GStrv) words = g_strsplit (line, " ", 6);
  g_autofree char *item = NULL;

  if (g_strv_length (words) != 6 || (!g_str_equal (words[0], "allow") && !g_str_equal (words[0], "deny")))
    return FALSE;
  item = g_strdup_printf ("%s%s%s%s%s", words[2], g_str_equal (words[4], "0-0") ? "" : ":",
                          g_str_equal (words[4], "0-0") ? "" : words[4],
                          g_str_equal (words[3], "any") ? "" : "/",
                          g_str_equal (words[3], "any") ? "" : words[3]);
  if (!vm_net_rule_parse (item, g_str_equal (words[0], "deny"), ret, NULL))
    return FALSE;
  if (ret_text != NULL)
    *ret_text = strrchr (line, '\0') - strlen (words[5]);
  return TRUE;
}

static gboolean
covers_name (const char *wide, const char *narrow)
{
  gboolean is_wide = g_str_has_prefix (wide, "*."), is_many = g_str_has_prefix (narrow, "*.");

  if (g_str_equal (wide, narrow) || !is_wide)
    return g_str_equal (wide, narrow);
  return net_name_matches (wide, is_many ? narrow + strlen ("*.") : narrow);
}

gboolean
vm_net_rule_covers (const VmNetRule *wide, const VmNetRule *narrow)
{
  if ((wide->protocol != 0 && wide->protocol != narrow->protocol) ||
      (wide->first != 0 && (narrow->first < wide->first || narrow->last > wide->last)))
    return FALSE;
  if (*wide->name != '\0' || *narrow->name != '\0')
    return *wide->name != '\0' && *narrow->name != '\0' && covers_name (wide->name, narrow->name);
  return (wide->mask & narrow->mask) == wide->mask && ((wide->network ^ narrow->network) & wide->mask) == 0;
}
