/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/net-text.h"
#include "vmctl/net/classes.h"
#include "vmctl/net/policy.h"
#include "vmctl/show.h"

enum { LINE_BYTES_MAX = 2048 };

static gboolean
parse_time (const char *text, double *ret)
{
  return g_regex_match_simple ("^[0-9]{1,12}[.][0-9]{3}$", text, 0, 0) &&
         (*ret = g_ascii_strtod (text, NULL)) >= 0;
}

/* "SECONDS.MS allow|refuse N more" */
static json_object *
parse_more (char **words)
{
  json_object *object;
  guint64 n;

  if (g_strv_length (words) != 4 || !g_str_equal (words[3], "more") ||
      !g_ascii_string_to_unsigned (words[2], 10, 0, G_MAXINT64, &n, NULL))
    return NULL;
  object = json_object_new_object ();
  vm_json_add_int (object, "more", (gint64)n);
  return object;
}

/* "SECONDS.MS allow|refuse PROTOCOL NAME ADDRESS PORT RULE...": but for its beginning as the helper tells a
 * refusal. */
static json_object *
parse_flow (const char *rest)
{
  g_autofree char *as_told = g_strconcat ("refused ", rest, NULL);
  VmNetHeard heard;

  vm_net_heard_parse (as_told, strlen (as_told), &heard);
  if (heard.kind == VM_NET_HEARD_REFUSED)
    return heard.object;
  vm_net_heard_clear (&heard);
  return NULL;
}

json_object *
vm_net_log_parse (const char *line, gsize length)
{
  g_autofree char *text = length < LINE_BYTES_MAX ? g_strndup (line, length) : g_strdup ("");
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  json_object *object;
  double time;

  if (strlen (text) != length || g_strv_length (words) < 4 || !parse_time (words[0], &time) ||
      (!g_str_equal (words[1], "allow") && !g_str_equal (words[1], "refuse")))
    return NULL;
  object = parse_more (words);
  if (object == NULL)
    object = parse_flow (text + strlen (words[0]) + strlen (words[1]) + 2);
  if (object == NULL)
    return NULL;
  json_object_object_add (object, "time", json_object_new_double_s (time, words[0]));
  vm_json_add_str (object, "verdict", words[1]);
  return object;
}

char *
vm_net_target (json_object *refusal)
{
  const char *name = vm_json_str (refusal, "name", NULL), *address = vm_json_str (refusal, "address", NULL);
  gint64 port = vm_json_int (refusal, "port", 0);
  const char *host = name != NULL ? name : address != NULL ? address : "?";

  if (port == 0 || g_str_equal (vm_json_str (refusal, "protocol", ""), "dns"))
    return g_strdup (host);
  return g_strdup_printf ("%s:%d", host, (int)port);
}

static char *
format_time (double seconds, GTimeZone *zone)
{
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc ((gint64)seconds);
  g_autoptr (GDateTime) local = utc != NULL ? g_date_time_to_timezone (utc, zone) : NULL;
  g_autofree char *day = local != NULL ? g_date_time_format (local, "%Y-%m-%d %H:%M:%S") : g_strdup ("-");

  return g_strdup_printf ("%s.%03d", day, (int)((seconds - (double)(gint64)seconds) * 1000 + 0.5) % 1000);
}

char *
vm_net_log_to_text (json_object *line, GTimeZone *zone)
{
  json_object *stamp = json_object_object_get (line, "time");
  g_autofree char *time = format_time (json_object_get_double (stamp), zone), *target = vm_net_target (line);
  const char *name = vm_json_str (line, "name", NULL), *address = vm_json_str (line, "address", NULL);
  gint64 more = vm_json_int (line, "more", -1);
  g_autofree char *text = NULL;

  if (more >= 0)
    text = g_strdup_printf ("%s %-6s (%" G_GINT64_FORMAT " more)", time, vm_json_str (line, "verdict", ""),
                            more);
  else
    text = g_strdup_printf ("%s %-6s %-4s %s%s%s%s  %s", time, vm_json_str (line, "verdict", ""),
                            vm_json_str (line, "protocol", ""), target,
                            name != NULL && address != NULL ? " (" : "",
                            name != NULL && address != NULL ? address : "",
                            name != NULL && address != NULL ? ")" : "", vm_json_str (line, "rule", ""));
  return vm_show_safe (text, -1);
}

/* An address that a rule can open, as one opens it. NULL: none can. */
static char *
item_of_address (const char *address, gint64 port)
{
  const NetClass *class = NULL;
  struct in_addr in;

  if (address == NULL || inet_pton (AF_INET, address, &in) != 1 ||
      ((class = net_class_of (ntohl (in.s_addr))) != NULL && class->never))
    return NULL;
  return port != 0 ? g_strdup_printf ("%s/32:%d", address, (int)port) : g_strdup_printf ("%s/32", address);
}

/* What the sandbox can make us say is a name as there are names, and no option. */
static gboolean
is_sayable (const char *name)
{
  return name != NULL && *name != '-';
}

/* Would a rule for the address have let it pass? What was refused for what it said would only lose its judge.
 */
static gboolean
is_of_address (const char *rule, const char *address)
{
  struct in_addr in;
  const NetClass *class = NULL;

  if (address != NULL && inet_pton (AF_INET, address, &in) == 1)
    class = net_class_of (ntohl (in.s_addr));
  return (class != NULL && g_str_equal (rule, class->name)) || g_str_equal (rule, "no name was said") ||
         g_str_equal (rule, "DNS to another server");
}

static char *
host_port_hint (gint64 port)
{
  return port != 0 ? g_strdup_printf ("start it with: vmctl up --net-host-port %d; inside it is "
                                      "host.vmctl.internal:%d",
                                      (int)port, (int)port)
                   : g_strdup ("start it with: vmctl up --net-host-port PORT");
}

char *
vm_net_hint (const char *id, json_object *refusal)
{
  const char *rule = vm_json_str (refusal, "rule", ""), *name = vm_json_str (refusal, "name", NULL);
  const char *address = vm_json_str (refusal, "address", NULL);
  gint64 port = vm_json_int (refusal, "port", 0);
  gboolean is_listed = g_str_equal (rule, "not on the list") ||
                       g_str_equal (rule, "the name that was said is not on the list");
  g_autofree char *item = NULL;

  if (g_str_equal (rule, "no port of the host is open"))
    return host_port_hint (0);
  if (g_str_equal (rule, "this host") && g_strcmp0 (address, "10.0.2.2") == 0 && port != 0)
    return host_port_hint (port);
  if (is_listed && name != NULL)
    item = is_sayable (name) ? g_strdup (name) : NULL;
  else if (is_listed || is_of_address (rule, address))
    item = item_of_address (address, port);
  return item != NULL ? g_strdup_printf ("vmctl net allow %s %s", id, item) : NULL;
}
