/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --display vnc: the socket is ours, 0600 in a directory that is 0700, and who comes to it is looked at.
 * QEMU's VNC server listens nowhere: it is handed a descriptor. So nothing of this needs a path in QEMU's
 * jail, or a password. Without QEMU it is Xvnc, inside, and the agent connects to it. */
#include "vmctl/supervisor-private.h"

#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { WAIT_MS = 10000 };

#define FD_NAME "vnc-client"

static void
added (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  VmSupervisor *sup = data;

  if (error != NULL)
    vm_log_line (sup->log, "QEMU takes no VNC client: %s", error->message);
}

/* Both at once: QEMU reads one command after the other, so a name is free again when the next client comes.
 */
static void
hand_over (VmSupervisor *sup, int fd)
{
  json_object *name = json_object_new_object (), *client = json_object_new_object ();

  vm_json_add_str (name, "fdname", FD_NAME);
  qmp_client_send (sup->qmp, "getfd", name, &fd, 1, WAIT_MS, added, sup);
  vm_json_add_str (client, "protocol", "vnc");
  vm_json_add_str (client, "fdname", FD_NAME);
  vm_json_add_bool (client, "skipauth", TRUE);
  qmp_client_send (sup->qmp, "add_client", client, NULL, 0, WAIT_MS, added, sup);
}

static gboolean
knocked (int listener, GIOCondition condition, gpointer data)
{
  VmSupervisor *sup = data;
  vm_autofd fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  uid_t uid;

  if (fd < 0 || !vm_fd_peer_uid (fd, &uid, NULL) || (uid != 0 && uid != geteuid ()))
    return G_SOURCE_CONTINUE;
  vm_log_line (sup->log, "a VNC client comes");
  if (vm_plan_has_xvnc (sup->plan))
    (void)vm_forwards_adopt (sup->forwards, vm_fd_steal (&fd), META_VNC_PORT);
  else if (sup->qmp != NULL)
    hand_over (sup, fd);
  return G_SOURCE_CONTINUE;
}

gboolean
vm_supervisor_listen_vnc (VmSupervisor *sup, GError **error)
{
  if (sup->plan->screen.kind != VM_DISPLAY_VNC && !vm_plan_has_xvnc (sup->plan))
    return TRUE;
  sup->vnc_fd = vm_fd_listen_unix (sup->runtime_fd, "vnc.sock", SOCK_STREAM, error);
  if (sup->vnc_fd < 0)
    return FALSE;
  sup->vnc_tag = g_unix_fd_add (sup->vnc_fd, G_IO_IN, knocked, sup);
  return TRUE;
}
