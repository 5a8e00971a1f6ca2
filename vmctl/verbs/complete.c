/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl complete KIND: the words that a completion script cannot know, one a line, a tab and a description
 * after each. */
#include <stdio.h>
#include <string.h>

#include "images/import.h"
#include "images/store.h"
#include "images/template.h"
#include "vmctl/driver.h"
#include "vmctl/grant.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

static void
put (const char *word, const char *description)
{
  g_autofree char *shown = vm_show_safe (description, 100);

  printf ("%s\t%s\n", word, shown);
}

static void
put_sandboxes (VmContext *context, gboolean ended)
{
  g_autoptr (GPtrArray) records = vm_store_list (&context->dirs, ended, NULL, NULL);

  for (guint i = 0; records != NULL && i < records->len; i++) {
    const VmRecord *record = g_ptr_array_index (records, i);
    g_autofree char *state = vm_show_state (record);
    g_autofree char *about = g_strdup_printf ("%s, %s", state, record->project);

    put (record->id, about);
    if (strpbrk (record->name, " \t\n\\'\"$`") == NULL)
      put (record->name, about);
  }
}

static void
put_profiles_in (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "profiles", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".conf")) {
      g_autofree char *word = g_strndup (name, strlen (name) - strlen (".conf"));

      if (vm_spec_is_name (word))
        put (word, path);
    }
}

static void
put_profiles (VmContext *context)
{
  put ("claude", "a coding agent");
  put ("claude-shell", "your login shell, with the grants of claude");
  put ("shell", "your login shell");
  put_profiles_in (context->dirs.config);
  put_profiles_in (VMCTL_SYSCONFDIR);
}

static void
put_verbs (void)
{
  for (const VmVerb *const *v = vm_verbs; *v != NULL; v++)
    if (((*v)->flags & VM_VERB_HIDDEN) == 0)
      put ((*v)->name, (*v)->summary);
}

static void
put_drivers (void)
{
  put ("auto", "the strongest that works here");
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++)
    put ((*d)->name, (*d)->summary);
}

static void
put_accelerators (void)
{
  put ("auto", "KVM where it can be used");
  put ("kvm", "the processor's own virtualisation");
  put ("tcg", "emulation");
}

static void
put_isolations (void)
{
  put ("vm", "a virtual machine");
  put ("container", "at least a container");
  put ("namespace", "at least namespaces");
}

static void
put_displays (void)
{
  put ("none", "seen by 'vmctl screenshot' only");
  put ("gtk", "a window on this desktop");
  put ("vnc", "a socket for a viewer");
}

static void
put_net (void)
{
  put ("none", "no network");
  put ("public", "the internet");
}

static void
put_restart (void)
{
  put ("never", "it ends");
  put ("on-failure", "start again, at most 5 times");
}

static void
put_templates (VmContext *context)
{
  g_auto (GStrv) keys = image_template_keys (context->dirs.cache);

  put ("list", "show them");
  put ("build", "make one now");
  put ("rm", "remove some");
  put ("prune", "remove what is of no use any more");
  for (char **key = keys; *key != NULL; key++)
    put (*key, "");
}

static void
put_images (VmContext *context)
{
  g_autoptr (GPtrArray) all = image_store_list (context->dirs.data, NULL, NULL);

  put ("list", "show them");
  put ("import", "take a file or directory in");
  put ("build", "make one of Debian's packages");
  put ("debian:bookworm", "to be built");
  put ("inspect", "what is in one");
  put ("name", "another name for one");
  put ("unname", "take a name away");
  put ("export", "copy its disk to a file");
  put ("verify", "compare with its checksum");
  put ("rm", "remove some");
  put ("prune", "remove those without a name");
  for (guint i = 0; all != NULL && i < all->len; i++) {
    const ImageInfo *info = g_ptr_array_index (all, i);

    for (char **name = info->names; *name != NULL; name++)
      put (*name, info->os_name != NULL ? info->os_name : info->origin);
  }
}

static void
put_image_formats (void)
{
  for (const char *const *format = image_import_formats; *format != NULL; format++)
    put (*format, "");
}

static void
put_shells (void)
{
  put ("bash", "");
  put ("fish", "");
  put ("zsh", "");
}

/* An unknown kind has no words. */
static int
complete (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const char *kind = args[0];

  if (g_str_equal (kind, "sandbox") || g_str_equal (kind, "any-sandbox"))
    put_sandboxes (context, *kind == 'a');
  else if (g_str_equal (kind, "profile"))
    put_profiles (context);
  else if (g_str_equal (kind, "verb"))
    put_verbs ();
  else if (g_str_equal (kind, "driver"))
    put_drivers ();
  else if (g_str_equal (kind, "accel"))
    put_accelerators ();
  else if (g_str_equal (kind, "isolation"))
    put_isolations ();
  else if (g_str_equal (kind, "display"))
    put_displays ();
  else if (g_str_equal (kind, "net"))
    put_net ();
  else if (g_str_equal (kind, "restart"))
    put_restart ();
  else if (g_str_equal (kind, "template"))
    put_templates (context);
  else if (g_str_equal (kind, "image"))
    put_images (context);
  else if (g_str_equal (kind, "image-format"))
    put_image_formats ();
  else if (g_str_equal (kind, "shell"))
    put_shells ();
  for (const VmGrant *const *grant = vm_grants; g_str_equal (kind, "grant") && *grant != NULL; grant++)
    put ((*grant)->name, (*grant)->summary);
  return 0;
}

const VmVerb vm_verb_complete = {
    .name = "complete",
    .usage = "KIND",
    .summary = "words for completion scripts",
    .min_args = 1,
    .max_args = 1,
    .flags = VM_VERB_HIDDEN,
    .run = complete,
};
