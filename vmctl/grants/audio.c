/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* audio: PulseAudio everywhere, PipeWire where a socket can be bound (its clients pass descriptors). */
#include "vmctl/grant-parts.h"

#define NO_AUDIO "there is no socket of PulseAudio or PipeWire in $XDG_RUNTIME_DIR; start one of them"

static gboolean
add_pulse (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_runtime (plan, "pulse/native");
  g_autofree char *server = g_strconcat ("unix:", target, NULL);
  gboolean added;

  if (!vm_grant_add_socket (plan, host, asked, "audio", "pulse", target, VM_SOCKET_PLAIN, NO_AUDIO, &added,
                            error))
    return FALSE;
  if (!added)
    return TRUE;
  vm_plan_setenv (plan, "PULSE_SERVER", server);
  /* Shared memory is a passed descriptor too, which a relay does not carry; and the server that would be
   * started inside is no use. */
  vm_plan_add_file (plan, "/etc/pulse/client.conf",
                    vm_plan_mount_at (plan, target)->kind == VM_MOUNT_RELAY
                        ? "autospawn = no\nenable-shm = no\nenable-memfd = no\n"
                        : "autospawn = no\n",
                    "grant:audio");
  return TRUE;
}

static gboolean
add (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  g_autofree char *target = vm_grant_in_runtime (plan, "pipewire-0");
  gboolean has_pipewire = vm_host_socket (host, "pipewire") != NULL;
  gboolean has_pulse = vm_host_socket (host, "pulse") != NULL;
  gboolean added;

  if (plan->isolation == VM_ISOLATION_VM && has_pipewire && !has_pulse)
    return vm_grant_absent (asked, "audio",
                            "a virtual machine can use PulseAudio only; install pipewire-pulse", error);
  if ((has_pulse || !has_pipewire) && !add_pulse (plan, host, asked, error))
    return FALSE;
  return !has_pipewire || plan->isolation == VM_ISOLATION_VM ||
         vm_grant_add_socket (plan, host, asked, "audio", "pipewire", target, VM_SOCKET_DESCRIPTORS, NO_AUDIO,
                              &added, error);
}

const VmGrant vm_grant_audio = {"audio", "your loudspeakers and your microphone: PulseAudio, PipeWire", add};
