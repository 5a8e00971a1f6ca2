/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/show.h"

#include <stdio.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/json.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };

char *
vm_show_duration (gint64 microseconds)
{
  gint64 s = MAX (microseconds, 0) / G_USEC_PER_SEC;

  if (s < MINUTE)
    return g_strdup_printf ("%ds", (int)s);
  if (s < HOUR)
    return g_strdup_printf ("%dm", (int)(s / MINUTE));
  if (s < DAY)
    return g_strdup_printf ("%dh%dm", (int)(s / HOUR), (int)(s % HOUR / MINUTE));
  return g_strdup_printf ("%" G_GINT64_FORMAT "d%dh", s / DAY, (int)(s % DAY / HOUR));
}

static gboolean
is_emulated (const VmRecord *record)
{
  return g_strcmp0 (record->isolation, "vm") == 0 && g_strcmp0 (record->accel, "kvm") != 0;
}

char *
vm_show_isolation (const VmRecord *record)
{
  if (is_emulated (record))
    return g_strdup_printf ("vm (%s: no security boundary)", record->accel != NULL ? record->accel : "tcg");
  if (record->accel != NULL)
    return g_strdup_printf ("%s (%s)", record->isolation, record->accel);
  if (g_strcmp0 (record->isolation, "none") == 0)
    return g_strdup ("none (for tests only)");
  return g_strdup (record->isolation);
}

const char *
vm_show_isolation_note (const VmRecord *record)
{
  if (is_emulated (record))
    return "QEMU gives no security promise under emulation (TCG): what is left is the bubblewrap jail around "
           "it; "
           "for a virtual machine that is a boundary, see: vmctl doctor";
  if (g_strcmp0 (record->isolation, "none") == 0)
    return "the null driver runs the command as an ordinary process of this host; it is for tests";
  return NULL;
}

char *
vm_show_state (const VmRecord *record)
{
  if (record->state == VM_STATE_STARTING && record->step != NULL)
    return g_strdup_printf ("starting (%s)", record->step);
  if (record->state != VM_STATE_ENDED)
    return g_strdup (vm_state_name (record->state));
  if (record->reason == VM_REASON_EXITED)
    return g_strdup_printf ("exited (%d)", (int)record->status);
  return g_strdup (vm_reason_name (record->reason));
}

char *
vm_show_command (char **command, gsize max)
{
  GString *out = g_string_new (NULL);

  for (; command != NULL && *command != NULL; command++) {
    g_autofree char *word = vm_escape_shell (*command);

    g_string_append_printf (out, "%s%s", out->len > 0 ? " " : "", word);
  }
  if (out->len == 0)
    g_string_append (out, "(login shell)");
  if (max > 0 && out->len > max) {
    while (max > 0 && (out->str[max] & 0xc0) == 0x80) /* not within a character */
      max--;
    g_string_truncate (out, max);
    g_string_append (out, "...");
  }
  return g_string_free (out, FALSE);
}

char *
vm_show_age (const VmRecord *record)
{
  gint64 now = g_get_real_time ();
  g_autofree char *ago = NULL;

  if (record->state != VM_STATE_ENDED)
    return vm_show_duration (now - record->created);
  ago = vm_show_duration (now - record->ended);
  return g_strdup_printf ("%s ago", ago);
}

char *
vm_show_safe (const char *text, gssize max)
{
  g_autofree char *escaped = vm_escape_terminal (text, -1, max);
  GString *out = g_string_new (escaped);

  (void)g_string_replace (out, "\\\\", "\\", 0);
  return g_string_free (out, FALSE);
}

char *
vm_show_safe_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    char *safe = vm_show_safe (*line, -1);

    g_free (*line);
    *line = safe;
  }
  return g_strjoinv ("\n", lines);
}

void
vm_show_json (json_object *take_object)
{
  g_autofree char *text = vm_json_pretty (take_object);

  fputs (text, stdout);
  json_object_put (take_object);
}

void
vm_show_problems (GPtrArray *problems)
{
  for (guint i = 0; i < problems->len; i++) {
    g_autofree char *shown = vm_escape_terminal (g_ptr_array_index (problems, i), -1, 1000);

    fprintf (stderr, "vmctl: warning: %s\n", shown);
  }
}
