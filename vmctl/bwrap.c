/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/bwrap.h"

#include <string.h>

void
vm_bwrap_add (VmBwrap *b, ...)
{
  va_list ap;
  const char *word;

  va_start (ap, b);
  while ((word = va_arg (ap, const char *)) != NULL)
    g_ptr_array_add (b->out, g_strdup (word));
  va_end (ap);
}

void
vm_bwrap_addf (VmBwrap *b, const char *format, ...)
{
  va_list ap;

  va_start (ap, format);
  g_ptr_array_add (b->out, g_strdup_vprintf (format, ap));
  va_end (ap);
}

void
vm_bwrap_add_take (VmBwrap *b, const char *option, const char *first, char *take_second)
{
  vm_bwrap_add (b, option, first, NULL);
  g_ptr_array_add (b->out, take_second);
}

void
vm_bwrap_add_mode (VmBwrap *b, guint mode)
{
  vm_bwrap_add (b, "--perms", NULL);
  vm_bwrap_addf (b, "%04o", mode);
}

void
vm_bwrap_add_file (VmBwrap *b, const VmMount *mount, char *take_target)
{
  g_autofree char *slot = g_strconcat ("file:", mount->target, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (mount->content, strlen (mount->content));

  vm_bwrap_add_mode (b, mount->mode);
  vm_bwrap_add (b, "--file", NULL);
  vm_bwrap_addf (b, "%d", vm_argv_slot (b->argv, slot));
  g_ptr_array_add (b->out, take_target);
  vm_argv_bind_bytes (b->argv, slot, bytes);
}

void
vm_bwrap_isolate (VmBwrap *b)
{
  vm_bwrap_add (b, "--unshare-user", "--uid", NULL);
  vm_bwrap_addf (b, "%u", b->plan->uid);
  vm_bwrap_add (b, "--gid", NULL);
  vm_bwrap_addf (b, "%u", b->plan->gid);
  vm_bwrap_add (b, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", NULL);
  vm_bwrap_add (b, "--die-with-parent", "--cap-drop", "ALL", "--clearenv", NULL);
}

/* Files such as /proc/sys/kernel/core_pattern ask for no capability, only for uid 0, and root that is mapped
 * to itself has that. bubblewrap covers /proc/sys only if it may write to the directory, and that nobody may.
 */
void
vm_bwrap_add_proc (VmBwrap *b)
{
  vm_bwrap_add (b, "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", NULL);
  vm_bwrap_add (b, "--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger", NULL);
  vm_bwrap_add (b, "--ro-bind-try", "/proc/fs", "/proc/fs", NULL);
}

GBytes *
vm_bwrap_bytes (GPtrArray *words)
{
  GByteArray *bytes = g_byte_array_new ();

  for (guint i = 0; i < words->len; i++) {
    const char *word = g_ptr_array_index (words, i);

    g_byte_array_append (bytes, (const guint8 *)word, (guint)strlen (word) + 1);
  }
  return g_byte_array_free_to_bytes (bytes);
}
