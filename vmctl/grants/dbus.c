/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dbus-system, dbus-session, keyring. Nothing filters these sockets yet, so the summaries say what a whole
 * bus gives away. */
#include "vmctl/grant-parts.h"

#define SYSTEM_BUS "/run/dbus/system_bus_socket"

static gboolean
add_system (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  gboolean added;

  if (!vm_grant_add_socket (plan, host, asked, "dbus-system", "dbus-system", SYSTEM_BUS, VM_SOCKET_PLAIN,
                            "there is no '" SYSTEM_BUS "'; start the D-Bus system bus", &added, error))
    return FALSE;
  if (added)
    vm_plan_setenv (plan, "DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" SYSTEM_BUS);
  return TRUE;
}

static gboolean
add_session_for (VmPlan *plan, const VmHost *host, gboolean asked, const char *grant, GError **error)
{
  g_autofree char *target = vm_grant_in_runtime (plan, "bus");
  g_autofree char *address = g_strconcat ("unix:path=", target, NULL);
  gboolean added;

  if (!vm_grant_add_socket (plan, host, asked, grant, "dbus-session", target, VM_SOCKET_PLAIN,
                            "there is no D-Bus session bus; log in to a desktop, or run vmctl within "
                            "dbus-run-session",
                            &added, error))
    return FALSE;
  if (added)
    vm_plan_setenv (plan, "DBUS_SESSION_BUS_ADDRESS", address);
  return TRUE;
}

static gboolean
add_session (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  return add_session_for (plan, host, asked, "dbus-session", error);
}

static gboolean
add_keyring (VmPlan *plan, const VmHost *host, gboolean asked, GError **error)
{
  return add_session_for (plan, host, asked, "keyring", error);
}

const VmGrant vm_grant_dbus_system = {
    "dbus-system", "the system's D-Bus, unfiltered: all that its services allow your user", add_system};
const VmGrant vm_grant_dbus_session = {
    "dbus-session",
    "your D-Bus session bus, unfiltered: what runs inside can start programs on the host in your name",
    add_session};
const VmGrant vm_grant_keyring = {
    "keyring",
    "your keyring, and with it the whole session bus, unfiltered: all stored passwords, programs on the host",
    add_keyring};
