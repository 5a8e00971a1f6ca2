/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network cards that are plugged: each has a vmctl-net of its own, a child of the keeper as the first one.
 * The keeper gets what it needs with its request, and keeps it, so that it can start it again, and so that a
 * supervisor that takes over can talk to it. */
#include "vmctl/supervisor-net-private.h"

#include <sys/socket.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/net-words.h"
#include "vmctl/supervisor-plug.h"

enum { PACKETS, CONTROL, LOG };

static gboolean
make_control (VmNetHelper **ret_helper, VmSupervisor *sup, const char *card, GError **error)
{
  int ends[2];

  if (!vm_fd_socketpair (SOCK_SEQPACKET, ends, error))
    return FALSE;
  *ret_helper = vm_net_helper_add (sup, card, ends[0]);
  (*ret_helper)->passed[CONTROL] = ends[1];
  return TRUE;
}

/* With its first card a sandbox gets a policy. */
static gboolean
take_policy (VmSupervisor *sup, json_object *arguments, GError **error)
{
  const char *name = vm_json_str (arguments, "net", NULL);
  g_auto (VmNetState) state = {0};

  if (name == NULL)
    return TRUE;
  if (!vm_net_from_name (name, &state.net))
    return vm_error (error, VM_ERROR_INVALID, "'%s' is no network", name);
  state.rules = vm_json_dup_strv (vm_json_array (arguments, "rules"));
  vm_net_put_on_record (sup, &state);
  return TRUE;
}

gboolean
vm_supervisor_add_nic (VmSupervisor *sup, json_object *arguments, int *fd, GError **error)
{
  const char *card = vm_json_str (arguments, "id", "");
  vm_autofd log = vm_net_open_log (sup, error);
  VmNetHelper *helper;
  int frames[2];

  if (log < 0 || !vm_net_make_frames (frames, error))
    return FALSE;
  *fd = frames[1];
  if (!make_control (&helper, sup, card, error)) {
    vm_fd_clear (&frames[0]);
    return FALSE;
  }
  helper->passed[PACKETS] = frames[0];
  helper->passed[LOG] = vm_fd_steal (&log);
  if (take_policy (sup, arguments, error))
    return TRUE;
  vm_net_helper_remove (helper);
  return FALSE;
}

/* The last card of a sandbox that began without one takes the policy along. */
void
vm_supervisor_remove_nic (VmSupervisor *sup, const char *card)
{
  char *nothing[] = {NULL};
  const VmNetState none = {.net = VM_NET_NONE, .rules = nothing};
  VmNetHelper *helper = vm_net_helper_find (sup, card);

  if (helper != NULL)
    vm_net_helper_remove (helper);
  if (sup->net == NULL && sup->began_without_net && sup->plan->net != VM_NET_NONE)
    vm_net_put_on_record (sup, &none);
}

gssize
vm_supervisor_pass_nic (VmSupervisor *sup, const char *card, const void *request, gsize length)
{
  VmNetHelper *helper = vm_net_helper_find (sup, card);
  gssize n;

  if (helper == NULL)
    return send (sup->keeper_fd, request, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  n = vm_fd_send (
      sup->keeper_fd, request, length,
      (const int[]){helper->passed[PACKETS], helper->passed[CONTROL], helper->fd, helper->passed[LOG]},
      VM_NIC_PASSED + 1);
  for (guint i = 0; n >= 0 && i < VM_NIC_PASSED; i++)
    vm_fd_clear (&helper->passed[i]);
  return n;
}

gboolean
vm_supervisor_nic_is_ready (VmSupervisor *sup, const char *card)
{
  const VmNetHelper *helper = vm_net_helper_find (sup, card);

  return helper != NULL && helper->is_ready;
}

void
vm_supervisor_take_over_nic (VmSupervisor *sup, const char *card)
{
  int fd = vm_supervisor_ask_keeper (sup, "net", card);
  VmNetHelper *helper = vm_net_helper_add (sup, card, fd);

  if (fd < 0) {
    vm_log_line (sup->log, "the helper of '%s' cannot be talked to: its policy stays as it is", card);
    return;
  }
  helper->up = TRUE; /* or it says hello when it is */
  vm_net_tell_current (helper);
}
