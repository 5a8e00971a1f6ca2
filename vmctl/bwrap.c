/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/bwrap.h"

#include <string.h>

#include "vmctl/path.h"

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

/* bubblewrap mounts these itself, over whatever is there. */
static gboolean
is_in_tree (const VmBwrap *b, const char *target)
{
  return b->tree != NULL && !vm_path_is_within (target, "/proc") && !vm_path_is_within (target, "/dev");
}

static void
add_group (VmBwrap *b, const char *kind, char *take_target, guint mode, char *take_value)
{
  g_ptr_array_add (b->tree, g_strdup (kind));
  g_ptr_array_add (b->tree, take_target);
  g_ptr_array_add (b->tree, g_strdup_printf ("%04o", mode));
  g_ptr_array_add (b->tree, g_strdup ("user"));
  g_ptr_array_add (b->tree, take_value);
}

static void
add_mode (VmBwrap *b, guint mode)
{
  vm_bwrap_add (b, "--perms", NULL);
  vm_bwrap_addf (b, "%04o", mode);
}

void
vm_bwrap_bind (VmBwrap *b, VmBwrapBind how, const char *source, char *take_target)
{
  static const char *const kinds[] = {"ro", "rw", "try", "pin", "protect"};
  static const char *const options[] = {"--ro-bind", "--bind", "--ro-bind-try", "--bind", "--ro-bind"};
  gboolean in_place = how == VM_BWRAP_PIN || how == VM_BWRAP_PROTECT;

  if (is_in_tree (b, take_target)) {
    add_group (b, kinds[how], take_target, 0, g_strdup (in_place ? "" : source));
    return;
  }
  vm_bwrap_add (b, options[how], source, NULL);
  g_ptr_array_add (b->out, take_target);
}

void
vm_bwrap_link (VmBwrap *b, const char *text, char *take_target)
{
  if (is_in_tree (b, take_target)) {
    add_group (b, "link", take_target, 0, g_strdup (text));
    return;
  }
  vm_bwrap_add (b, "--symlink", text, NULL);
  g_ptr_array_add (b->out, take_target);
}

void
vm_bwrap_dir (VmBwrap *b, guint mode, char *take_target)
{
  if (is_in_tree (b, take_target)) {
    add_group (b, "dir", take_target, mode, g_strdup (""));
    return;
  }
  add_mode (b, mode);
  vm_bwrap_add (b, "--dir", NULL);
  g_ptr_array_add (b->out, take_target);
}

void
vm_bwrap_tmpfs (VmBwrap *b, guint mode, guint64 size, char *take_target)
{
  if (is_in_tree (b, take_target)) {
    add_group (b, "tmpfs", take_target, mode, g_strdup_printf ("%" G_GUINT64_FORMAT, size));
    return;
  }
  vm_bwrap_add (b, "--size", NULL);
  vm_bwrap_addf (b, "%" G_GUINT64_FORMAT, size);
  add_mode (b, mode);
  vm_bwrap_add (b, "--tmpfs", NULL);
  g_ptr_array_add (b->out, take_target);
}

void
vm_bwrap_file (VmBwrap *b, const VmMount *mount, char *take_target)
{
  g_autofree char *slot = g_strconcat ("file:", mount->target, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (mount->content, strlen (mount->content));
  int number = vm_argv_slot (b->argv, slot);

  vm_argv_bind_bytes (b->argv, slot, bytes);
  if (is_in_tree (b, take_target)) {
    add_group (b, "file", take_target, mount->mode, g_strdup_printf ("%d", number));
    return;
  }
  add_mode (b, mount->mode);
  vm_bwrap_add (b, "--file", NULL);
  vm_bwrap_addf (b, "%d", number);
  g_ptr_array_add (b->out, take_target);
}

static char *
tree_dir (const VmPlan *plan)
{
  return g_build_filename (plan->runtime_dir, "root", NULL);
}

void
vm_bwrap_take_tree (VmBwrap *b)
{
  vm_bwrap_add (b, "--bind", NULL);
  g_ptr_array_add (b->out, tree_dir (b->plan));
  vm_bwrap_add (b, "/", NULL);
}

void
vm_bwrap_add_tree_options (const VmPlan *plan, VmArgv *argv)
{
  g_autofree char *at = tree_dir (plan);

  vm_argv_add (argv, "--tree");
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "tree"));
  vm_argv_add_many (argv, "--tree-at", at, NULL);
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
