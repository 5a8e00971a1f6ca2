/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/grant.h"
#include "vmctl/net-words.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"
#include "vmctl/plug.h"

static void line (GString *out, const char *label, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* One line "label   text"; the text is escaped as a whole, since any part of it may be foreign. */
static void
line (GString *out, const char *label, const char *format, ...)
{
  g_autofree char *text = NULL, *safe = NULL;
  va_list ap;

  va_start (ap, format);
  text = g_strdup_vprintf (format, ap);
  va_end (ap);
  safe = vm_escape_terminal (text, -1, -1);
  g_string_append_printf (out, "%-10s %s\n", label, safe);
}

static char *
join_shell (char **words)
{
  g_autoptr (GPtrArray) quoted = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (; words != NULL && *words != NULL; words++)
    g_ptr_array_add (quoted, vm_escape_shell (*words));
  return g_strjoinv (" ", (char **)quoted->pdata);
}

static const char *
accel_note (const VmPlan *plan)
{
  if (g_strcmp0 (plan->accel, "tcg") == 0)
    return ", accel tcg (emulated: not a security boundary)";
  return g_strcmp0 (plan->accel, "kvm") == 0 ? ", accel kvm" : "";
}

/* The host's comes with its modules. */
static const char *
kernel_note (const VmPlan *plan)
{
  if (plan->image.filesystem == NULL)
    return "";
  for (guint i = 0; i < plan->mounts->len; i++)
    if (vm_path_is_within (((const VmMount *)g_ptr_array_index (plan->mounts, i))->target, "/lib/modules"))
      return ", this host's: the image has none that will do (see: vmctl image inspect)";
  return ", the image's own";
}

static void
add_screen (GString *out, const VmPlan *plan)
{
  static const char *const shown[] = {
      [VM_DISPLAY_NONE] = "seen by screenshots", [VM_DISPLAY_GTK] = "a window", [VM_DISPLAY_VNC] = "VNC"};
  g_autofree char *size = vm_screen_size (&plan->screen);

  if (size != NULL)
    line (out, "screen", "%s, %s, by %s", size, shown[plan->screen.kind], plan->screen.server);
  if (plan->screen.socket != NULL)
    line (out, "", "%s, and not what runs inside, is a client of your display :%s",
          plan->screen.viewer != NULL ? "a viewer" : "QEMU", plan->screen.number);
}

static void
add_head (GString *out, const VmPlan *plan)
{
  g_autofree char *memory = vm_size_format (plan->memory), *disk = vm_size_format (plan->disk);
  g_autofree char *processes =
      plan->processes != 0 ? g_strdup_printf ("%u processes, ", plan->processes) : g_strdup ("");
  g_autofree char *network = vm_net_to_words (plan->net, plan->net_rules);
  g_autofree char *command = plan->command != NULL ? join_shell (plan->command) : g_strdup (plan->shell);

  line (out, "sandbox", "%s (%s)", plan->name, plan->id);
  line (out, "driver", "%s, isolation %s%s", plan->driver, vm_isolation_name (plan->isolation),
        accel_note (plan));
  for (char **one = plan->passed_over; *one != NULL; one++)
    line (out, "", "not %s", *one);
  line (out, "user", "%s (uid %u, gid %u), %s", plan->user, plan->uid, plan->gid,
        plan->root_allowed ? "may become root inside" : "never root inside");
  line (out, "project", "%s", plan->project);
  if (!g_str_equal (plan->project, plan->cwd))
    line (out, "starts in", "%s", plan->cwd);
  line (out, "command", "%s%s", command, plan->command != NULL ? "" : " (login shell)");
  line (out, "limits", "%s memory, %u CPU%s, %sdisk %s", memory, plan->cpus, plan->cpus == 1 ? "" : "s",
        processes, plan->disk != 0 ? disk : "in memory");
  for (char **one = plan->unkept; *one != NULL; one++)
    line (out, "", "%s", *one);
  line (out, "network", "%s", network);
  if (plan->restart_max != 0)
    line (out, "restart", "after a failure, at most %u time%s", plan->restart_max,
          plan->restart_max == 1 ? "" : "s");
  if (plan->watchdog != 0)
    line (out, "watchdog", "%u s without a sign of life end it", plan->watchdog);
  add_screen (out, plan);
  if (plan->image.name != NULL)
    line (out, "image", "%s (%s, %s)", plan->image.name,
          plan->image.filesystem != NULL ? plan->image.filesystem : "this host's own tree",
          plan->image.init != NULL ? "systemd" : "the agent is its init");
  if (plan->image.keep != NULL)
    line (out, "kept disk", "%s", plan->image.keep);
  if (plan->kernel_version != NULL)
    line (out, "kernel", "%s%s", plan->kernel_version, kernel_note (plan));
}

static void
add_grants (GString *out, const VmPlan *plan)
{
  line (out, "profile", "%s", plan->profile);
  for (char **name = plan->grants; *name != NULL; name++) {
    const VmGrant *grant = vm_grant_find (*name);
    g_autofree char *label = g_strdup_printf ("  %s", *name);

    line (out, label, "%s", grant != NULL ? grant->summary : "");
  }
}

static const char *
title (VmMountKind kind)
{
  switch (kind) {
  case VM_MOUNT_RW:
    return "can be written:";
  case VM_MOUNT_PROTECT:
    return "in it, read-only:";
  case VM_MOUNT_ABSENT:
    return "in it, cannot be made:";
  case VM_MOUNT_RO:
    return "can be read:";
  case VM_MOUNT_COPY:
    return "copied:";
  case VM_MOUNT_RELAY:
    return "sockets of the host:";
  case VM_MOUNT_DEV:
    return "devices of the host:";
  case VM_MOUNT_PIN:
  case VM_MOUNT_DIR:
  case VM_MOUNT_LINK:
  case VM_MOUNT_FILE:
  case VM_MOUNT_TMPFS:
    break;
  }
  return "made up:";
}

static void
add_mounts (GString *out, const VmPlan *plan, VmMountKind kind)
{
  gboolean any = FALSE;

  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);
    gboolean same = g_strcmp0 (mount->source, mount->target) == 0;

    if (mount->kind != kind || g_str_equal (mount->why, VM_WHY_VMM))
      continue;
    if (!any)
      g_string_append_printf (out, "%s\n", title (kind));
    any = TRUE;
    if (same || mount->source == NULL)
      line (out, "", "%s (%s)", mount->target, mount->why);
    else
      line (out, "", "%s from %s (%s)", mount->target, mount->source, mount->why);
  }
}

/* A report is shown around; what the user passed in with --env may be a key. */
static void
add_variable (GString *out, const char *variable)
{
  static const char *const own[] = {"HOME",
                                    "USER",
                                    "LOGNAME",
                                    "SHELL",
                                    "XDG_RUNTIME_DIR",
                                    "VMCTL_SANDBOX",
                                    "VMCTL_ID",
                                    "VMCTL_DRIVER",
                                    "SSH_AUTH_SOCK",
                                    "NIX_REMOTE",
                                    "DISPLAY",
                                    "WAYLAND_DISPLAY",
                                    "XAUTHORITY",
                                    "PULSE_SERVER",
                                    "DBUS_SYSTEM_BUS_ADDRESS",
                                    "DBUS_SESSION_BUS_ADDRESS",
                                    NULL};
  g_autofree char *name = g_strndup (variable, strcspn (variable, "="));

  if (vm_host_env_is_plain (name) || g_strv_contains (own, name))
    line (out, "", "%s", variable);
  else
    line (out, "", "%s (value not shown)", name);
}

static void
add_secret (GString *out, const char *variable)
{
  line (out, "", "%.*s (secret)", (int)strcspn (variable, "="), variable);
}

static void
add_makes (GString *out, const VmPlan *plan)
{
  g_autofree char *ours = g_strconcat (plan->runtime_dir, "/", NULL);
  g_autofree char *state = g_path_get_dirname (plan->state_dir);
  g_autofree char *own = g_path_get_dirname (state);
  gboolean any = FALSE;

  for (guint i = 0; i < plan->makes->len; i++) {
    const VmMake *make = g_ptr_array_index (plan->makes, i);

    if (g_str_has_prefix (make->path, ours) || vm_path_is_within (make->path, own))
      continue;
    if (!any)
      g_string_append (out, "made on the host if it is not there:\n");
    any = TRUE;
    line (out, "", "%s", make->path);
  }
}

static void
add_plugs (GString *out, const VmPlan *plan)
{
  char **one = plan->plugs;

  if (one != NULL)
    g_string_append (out, "plugged before the command starts:\n");
  for (; one != NULL && *one != NULL; one++) {
    g_autoptr (json_object) object = vm_json_parse_object (*one, strlen (*one), NULL);
    g_autofree char *text = NULL;
    VmPlugSpec spec;

    if (object == NULL || !vm_plug_spec_from_json (object, &spec, NULL))
      continue;
    text = vm_plug_spec_to_text (&spec);
    line (out, "", "%s", text);
    vm_plug_spec_clear (&spec);
  }
}

char *
vm_plan_to_text (const VmPlan *plan)
{
  GString *out = g_string_new (NULL);

  add_head (out, plan);
  add_grants (out, plan);
  add_mounts (out, plan, VM_MOUNT_RW);
  add_mounts (out, plan, VM_MOUNT_PROTECT);
  add_mounts (out, plan, VM_MOUNT_ABSENT);
  if (*plan->watched != NULL)
    g_string_append (out, "not there, looked for at the end:\n");
  for (char **path = plan->watched; *path != NULL; path++)
    line (out, "", "%s", *path);
  add_mounts (out, plan, VM_MOUNT_RO);
  add_mounts (out, plan, VM_MOUNT_COPY);
  add_mounts (out, plan, VM_MOUNT_RELAY);
  add_mounts (out, plan, VM_MOUNT_DEV);
  add_mounts (out, plan, VM_MOUNT_FILE);
  add_makes (out, plan);
  add_plugs (out, plan);
  g_string_append (out, "environment:\n");
  for (char **one = plan->environment; *one != NULL; one++)
    add_variable (out, *one);
  for (char **one = plan->secrets; *one != NULL; one++)
    add_secret (out, *one);
  return g_string_free (out, FALSE);
}
