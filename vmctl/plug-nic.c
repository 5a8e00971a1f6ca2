/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network card: frames go from QEMU by a socket pair to a vmctl-net of the card's own, which the keeper
 * starts with the others. All of a sandbox's cards have one policy, so that what was denied is not reached by
 * another card. */
#include <string.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/net-change.h"
#include "vmctl/net-words.h"
#include "vmctl/plug-parts.h"

gboolean
vm_plug_check_net (const char *words, GError **error)
{
  g_auto (VmNetSaid) said = {0};

  if (!vm_net_said_add (&said, words, "nic", error))
    return FALSE;
  return (said.mode != VM_NET_NONE && said.mode != VM_NET_HOST) ||
         vm_error (error, VM_ERROR_USAGE,
                   "nic: '%s' is nothing that a card could have; write public, allow:LIST or deny:LIST",
                   words);
}

gboolean
vm_plug_expand_net (VmPlugSpec *spec, char **groups, GError **error)
{
  g_auto (VmNetSaid) said = {0};
  char **items;

  if (spec->net == NULL)
    return TRUE;
  if (!vm_net_said_add (&said, spec->net, "nic", error))
    return FALSE;
  items = vm_net_expand (said.items, groups, error);
  if (items == NULL) {
    g_prefix_error (error, "nic: ");
    return FALSE;
  }
  g_strfreev (said.items);
  said.items = items;
  g_free (spec->net);
  spec->net = vm_net_said_to_words (&said);
  return TRUE;
}

/* Ports of the host are no words of --net. */
static gboolean
is_same (const VmPlan *plan, const VmNetState *wanted)
{
  g_autofree char *has = vm_net_to_words (plan->net, plan->net_rules),
                  *asked = vm_net_to_words (wanted->net, wanted->rules);

  return g_str_equal (has, asked);
}

/* To `arguments`, if this is the sandbox's first card. */
static gboolean
add_policy (const char *words, const VmPlan *plan, json_object *arguments, GError **error)
{
  g_auto (VmNetState) wanted = {0};

  if (words == NULL && vm_plan_has_card (plan))
    return TRUE;
  if (!vm_net_state_parse (words != NULL ? words : "public", "nic", &wanted, error))
    return FALSE;
  if (!vm_plan_has_card (plan)) {
    vm_json_add_str (arguments, "net", vm_net_name (wanted.net));
    vm_json_add_strv (arguments, "rules", (const char *const *)wanted.rules);
    return TRUE;
  }
  if (!is_same (plan, &wanted)) {
    g_autofree char *has = vm_net_to_words (plan->net, plan->net_rules);

    return vm_error (error, VM_ERROR_USAGE,
                     "nic: all cards of a sandbox have one policy, and this one has '%s'; leave '%s' out, or "
                     "change it for all of them: vmctl net set",
                     has, words);
  }
  return TRUE;
}

/* Unlike that of the machine's own card, and one for each place. (transfer full) */
static char *
make_mac (const VmPlan *plan, const char *port)
{
  g_autofree char *sum =
      g_compute_checksum_for_string (G_CHECKSUM_SHA256, plan->id != NULL ? plan->id : "", -1);

  return g_strdup_printf ("52:54:01:%.2s:%.2s:%02x", sum, sum + 2,
                          (guint)g_ascii_strtoull (port + strlen ("port"), NULL, 10) & 0xff);
}

static json_object *
netdev (const char *id)
{
  json_object *act = vm_plug_qmp ("netdev_add", "type", "dgram"), *arguments, *local;

  arguments = vm_json_object (act, "arguments");
  local = json_object_new_object ();
  vm_json_add_str (arguments, "id", id);
  vm_json_add_str (local, "type", "fd");
  vm_json_add_str (local, "str", id); /* as getfd has named it */
  vm_json_add (arguments, "local", local);
  return act;
}

static json_object *
card (const char *id, const char *port, const char *mac)
{
  json_object *act = vm_plug_device_add ("virtio-net-pci", id, port),
              *arguments = vm_json_object (act, "arguments");

  vm_json_add_str (arguments, "netdev", id);
  vm_json_add_str (arguments, "mac", mac);
  vm_json_add_str (arguments, "romfile", "");
  vm_json_add_int (arguments, "host_mtu", VM_DRIVER_MTU);
  return act;
}

/* The helper and QEMU's end of its socket pair. */
static void
add_helper (VmPlugPlan *plan, json_object *take_arguments)
{
  json_object *start = vm_plug_words ("keeper", "nic", plan->id, NULL);

  vm_json_add_bool (start, "descriptors", TRUE);
  vm_plug_add_step (plan, vm_plug_act ("here", "nic", take_arguments),
                    vm_plug_words ("here", "unnic", plan->id, NULL));
  vm_plug_add_step (plan, start, vm_plug_words ("keeper", "unnic", plan->id, NULL));
  vm_plug_add_step (plan, vm_plug_words ("net", "await", plan->id, NULL), NULL);
}

gboolean
vm_plug_plan_nic (VmPlugPlan *plan, const VmPlugSpec *spec, const VmPlugFacts *facts, const char *port,
                  GError **error)
{
  g_autofree char *id = g_strconcat (VM_PLUG_QEMU_PREFIX, plan->id, NULL),
                  *mac = make_mac (facts->plan, port);
  g_autoptr (json_object) arguments = json_object_new_object ();
  json_object *getfd = vm_plug_qmp ("getfd", "fdname", id), *closefd = vm_plug_qmp ("closefd", "fdname", id);

  vm_json_add_str (arguments, "id", plan->id);
  vm_json_add_str (plan->device, "port", port);
  vm_json_add_str (plan->device, "mac", mac);
  vm_json_add_bool (getfd, "descriptor", TRUE);
  vm_json_add_bool (closefd, "may-fail", TRUE); /* who uses it has taken it */
  add_helper (plan, json_object_get (arguments));
  vm_plug_add_step (plan, getfd, closefd);
  vm_plug_add_step (plan, netdev (id), vm_plug_qmp ("netdev_del", "id", id));
  vm_plug_add_step (plan, card (id, port, mac), vm_plug_device_del (id));
  vm_plug_add_step (plan, vm_plug_words ("agent", "nic", mac, META_NET_ADDRESS, META_NET_GATEWAY, NULL),
                    NULL);
  return add_policy (spec->net, facts->plan, arguments, error);
}
