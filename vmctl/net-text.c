/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-text.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/net/control.h"
#include "vmctl/net/policy.h"

enum { HEAD_ROOM = 64, HEARD_MAX = 2048, RULE_MAX = 400, STATS_MAX = 32 };

char **
vm_net_nameservers (const char *resolv_conf)
{
  g_auto (GStrv) lines = g_strsplit (resolv_conf != NULL ? resolv_conf : "", "\n", -1);
  g_autoptr (GPtrArray) all = g_ptr_array_new_null_terminated (4, g_free, TRUE);

  for (char **line = lines; *line != NULL && all->len < NET_POLICY_RESOLVERS_MAX; line++) {
    g_auto (GStrv) words = g_strsplit_set (*line, " \t\r", -1);
    struct in_addr address;
    char **value = words + 1;

    if (g_strcmp0 (words[0], "nameserver") != 0)
      continue;
    while (*value != NULL && **value == '\0')
      value++;
    if (*value != NULL && inet_pton (AF_INET, *value, &address) == 1)
      g_ptr_array_add (all, g_strdup (*value));
  }
  if (all->len == 0) /* resolv.conf(5) */
    g_ptr_array_add (all, g_strdup ("127.0.0.1"));
  return (char **)g_ptr_array_free (g_steal_pointer (&all), FALSE);
}

char *
vm_net_text (VmNet net, char **rules, char **nameservers, GError **error)
{
  g_autoptr (GString) text = g_string_new ("vmctl-net-policy 2\n");

  g_string_append_printf (text, "mode %s\n", net == VM_NET_PUBLIC ? "public" : "list");
  for (; *nameservers != NULL; nameservers++)
    g_string_append_printf (text, "nameserver %s\n", *nameservers);
  for (; *rules != NULL; rules++)
    g_string_append_printf (text, "%s\n", *rules);
  if (text->len <= NET_CONTROL_MAX - HEAD_ROOM)
    return g_strdup (text->str);
  vm_error (error, VM_ERROR_USAGE,
            "the rules of the network are %" G_GSIZE_FORMAT
            " bytes, and at most %d can be kept; name networks or "
            "*.NAME instead",
            text->len, NET_CONTROL_MAX - HEAD_ROOM);
  return NULL;
}

gboolean
vm_net_text_check (const char *text, guint *ret_line)
{
  NetPolicy policy;
  gboolean ok = net_policy_parse (text, strlen (text), &policy, ret_line);

  net_policy_clear (&policy);
  return ok;
}

void
vm_net_heard_clear (VmNetHeard *heard)
{
  json_object_put (heard->object);
  *heard = (VmNetHeard){0};
}

static gboolean
parse_number (const char *text, guint64 max, guint64 *ret)
{
  return text != NULL && g_ascii_string_to_unsigned (text, 10, 0, max, ret, NULL);
}

/* "policy SERIAL ok", "policy SERIAL bad LINE" */
static void
parse_verdict (char **words, VmNetHeard *ret)
{
  guint64 serial = 0, line = 0;

  if (!parse_number (words[1], G_MAXUINT32, &serial) || words[2] == NULL)
    return;
  if (g_str_equal (words[2], "ok") && words[3] == NULL)
    ret->kind = VM_NET_HEARD_OK;
  else if (g_str_equal (words[2], "bad") && parse_number (words[3], G_MAXUINT32, &line) && words[4] == NULL)
    ret->kind = VM_NET_HEARD_BAD;
  ret->serial = (guint)serial;
  ret->line = (guint)line;
}

static gboolean
is_protocol (const char *text)
{
  guint64 number;

  return g_str_equal (text, "tcp") || g_str_equal (text, "udp") || g_str_equal (text, "icmp") ||
         g_str_equal (text, "dns") || parse_number (text, 255, &number);
}

static gboolean
is_name (const char *text)
{
  char canonical[NET_NAME_SIZE];

  return net_name_canonical (text, strlen (text), canonical) && g_str_equal (text, canonical);
}

/* The rest of the line from its `n`th word on. */
static const char *
rest_of (const char *text, guint n)
{
  for (; n > 0 && text != NULL; n--) {
    text = strchr (text, ' ');
    text = text != NULL ? text + 1 : NULL;
  }
  return text;
}

/* "refused PROTOCOL NAME ADDRESS PORT RULE..." */
static void
parse_refused (const char *text, char **words, VmNetHeard *ret)
{
  gboolean whole = g_strv_length (words) >= 6;
  const char *name = whole && !g_str_equal (words[2], "-") ? words[2] : NULL;
  const char *address = whole && !g_str_equal (words[3], "-") ? words[3] : NULL;
  const char *rule = rest_of (text, 5);
  struct in_addr in;
  guint64 port;

  if (!whole || !is_protocol (words[1]) || (name != NULL && !is_name (name)) ||
      (address != NULL && inet_pton (AF_INET, address, &in) != 1) ||
      !parse_number (words[4], G_MAXUINT16, &port) || *rule == '\0' || strlen (rule) > RULE_MAX)
    return;
  ret->kind = VM_NET_HEARD_REFUSED;
  ret->object = json_object_new_object ();
  vm_json_add_str (ret->object, "protocol", words[1]);
  vm_json_add_str (ret->object, "name", name);
  vm_json_add_str (ret->object, "address", address);
  vm_json_add_int (ret->object, "port", (gint64)port);
  vm_json_add_str (ret->object, "rule", rule);
}

static gboolean
is_word (const char *text)
{
  return *text != '\0' && strspn (text, "abcdefghijklmnopqrstuvwxyz_-0123456789") == strlen (text);
}

/* "stats WORD=NUMBER ..." */
static void
parse_stats (char **words, VmNetHeard *ret)
{
  json_object *object = json_object_new_object ();
  guint n = 0;

  for (char **word = words + 1; *word != NULL && n < STATS_MAX; word++, n++) {
    char *equals = strchr (*word, '=');
    guint64 value;

    if (equals == NULL || !parse_number (equals + 1, G_MAXINT64, &value))
      continue;
    *equals = '\0';
    if (is_word (*word))
      vm_json_add_int (object, *word, (gint64)value);
  }
  ret->kind = VM_NET_HEARD_STATS;
  ret->object = object;
}

static gboolean
is_plain (const char *bytes, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isprint (bytes[i]))
      return FALSE;
  return length > 0 && length <= HEARD_MAX;
}

void
vm_net_heard_parse (const char *bytes, gsize length, VmNetHeard *ret)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) words = NULL;

  *ret = (VmNetHeard){0};
  if (!is_plain (bytes, length))
    return;
  text = g_strndup (bytes, length);
  words = g_strsplit (text, " ", -1);
  if (g_str_equal (text, "hello 1"))
    ret->kind = VM_NET_HEARD_HELLO;
  else if (g_str_equal (words[0], "policy"))
    parse_verdict (words, ret);
  else if (g_str_equal (words[0], "refused"))
    parse_refused (text, words, ret);
  else if (g_str_equal (words[0], "stats"))
    parse_stats (words, ret);
}
