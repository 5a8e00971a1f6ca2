/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl complete KIND [ARGUMENTS]: the words that a completion script cannot know, one a line, a tab and a
 * description after each. ARGUMENTS are those before the one that is completed. */
#include <stdio.h>
#include <string.h>

#include "images/disk.h"
#include "images/host-systemd.h"
#include "images/import.h"
#include "images/store.h"
#include "images/template.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/grant.h"
#include "vmctl/net-groups.h"
#include "vmctl/plug.h"
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
put_groups (const char *before)
{
  for (const VmNetGroup *group = vm_net_groups; group->name != NULL; group++) {
    g_autofree char *word = g_strconcat (before, group->name, NULL);

    put (word, group->summary);
  }
}

/* Those that a card may have. */
static void
put_policies (void)
{
  put ("public", "the internet");
  put ("allow:", "nothing but a list of names and addresses");
  put ("deny:", "the internet without a list of names and addresses");
  put_groups ("allow:@");
  put_groups ("deny:@");
}

static void
put_net (void)
{
  put ("none", "no network");
  put ("host", "this host's own, without any policy");
  put_policies ();
}

static void
put_net_verbs (void)
{
  put ("show", "what it may reach");
  put ("log", "what was allowed and refused");
  put ("allow", "let it reach more");
  put ("deny", "let it reach less");
  put ("set", "another policy");
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
put_image_names (VmContext *context)
{
  g_autoptr (GPtrArray) all = image_store_list (context->dirs.data, NULL, NULL);

  for (guint i = 0; all != NULL && i < all->len; i++) {
    const ImageInfo *info = g_ptr_array_index (all, i);

    for (char **name = info->names; *name != NULL; name++)
      put (*name, info->os_name != NULL ? info->os_name : info->origin);
  }
}

static void
put_images (VmContext *context)
{
  put ("list", "show them");
  put ("import", "take a file or directory in");
  put ("build", "make one of Debian's packages");
  put ("debian:bookworm", "to be built");
  put (IMAGE_HOST_SYSTEMD, "to be built: this host's tree under its systemd");
  put ("inspect", "what is in one");
  put ("ls", "the files in one");
  put ("cat", "what is in a file of one");
  put ("copy-out", "copy files of one here");
  put ("copy-in", "copy files into one");
  put ("customize", "change one");
  put ("name", "another name for one");
  put ("unname", "take a name away");
  put ("export", "copy its disk to a file");
  put ("verify", "compare with its checksum");
  put ("rm", "remove some");
  put ("prune", "remove those without a name");
  put_image_names (context);
}

static void
put_disks (VmContext *context, gboolean with_verbs)
{
  g_autoptr (GPtrArray) all = image_disk_list (context->dirs.data, NULL);

  if (with_verbs) {
    put ("list", "show them");
    put ("diff", "what one has changed");
    put ("resize", "make one larger");
    put ("commit", "make an image of one");
    put ("reset", "throw away what was written to some");
    put ("rm", "remove some");
  }
  for (guint i = 0; i < all->len; i++) {
    const ImageDisk *disk = g_ptr_array_index (all, i);

    put (disk->name, disk->image_name);
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

/* `end`: what comes behind the kind's name. */
static void
put_plug_kinds (const char *end)
{
  static const char *const about[VM_PLUG_KINDS] = {
      [VM_PLUG_DIR] = "a directory of this host: HOST[:GUEST][:ro]",
      [VM_PLUG_DISK] = "a file as a disk, or a new one: FILE[:ro] or SIZE",
      [VM_PLUG_CPU] = "so many processors in all: N",
      [VM_PLUG_MEM] = "so much memory in all: SIZE",
      [VM_PLUG_SERIAL] = "a line between a socket and the inside: NAME",
      [VM_PLUG_USB] = "a USB device of this host: VENDOR:PRODUCT or BUS.DEVICE",
      [VM_PLUG_PORT] = "a port of this host leads inside: [ADDRESS:]HOST:GUEST[/udp]",
      [VM_PLUG_NIC] = "a network card, and what it may reach: [POLICY]",
  };

  for (guint kind = 0; kind < VM_PLUG_KINDS; kind++) {
    g_autofree char *word = g_strconcat (vm_plug_kind_name ((VmPlugKind)kind), end, NULL);

    put (word, about[kind]);
  }
}

/* Those of a sandbox that are not among the arguments yet. */
static void
put_devices (VmContext *context, char **args)
{
  g_autoptr (VmRecord) record = args[0] != NULL ? vm_store_find (&context->dirs, args[0], FALSE, NULL) : NULL;

  for (gsize i = 0; record != NULL && i < json_object_array_length (record->devices); i++) {
    json_object *device = json_object_array_get_idx (record->devices, i);
    const char *id = vm_json_str (device, "id", "");

    if (!g_strv_contains ((const char *const *)args + 1, id))
      put (id,
           vm_json_str (device, "target", vm_json_str (device, "source", vm_json_str (device, "kind", ""))));
  }
}

static void
put_snapshot_verbs (void)
{
  put ("create", "keep the disk as it is");
  put ("list", "show them");
  put ("restore", "go back to one");
  put ("rm", "remove one");
}

/* After the verb and the sandbox. */
static void
put_snapshots (VmContext *context, char **args)
{
  g_autoptr (VmRecord) record =
      g_strv_length (args) > 1 && !g_str_equal (args[0], "create") && !g_str_equal (args[0], "list")
          ? vm_store_find (&context->dirs, args[1], FALSE, NULL)
          : NULL;

  for (gsize i = 0; record != NULL && i < json_object_array_length (record->snapshots); i++) {
    json_object *one = json_object_array_get_idx (record->snapshots, i);
    g_autofree char *age = vm_show_duration (MAX (g_get_real_time () - vm_json_int (one, "created", 0), 0));

    put (vm_json_str (one, "name", ""), age);
  }
}

static char *
usb_fact (const char *device, const char *name)
{
  g_autofree char *path = g_build_filename ("/sys/bus/usb/devices", device, name, NULL);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? g_strstrip (text) : NULL;
}

static void
put_usb_devices (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/sys/bus/usb/devices", 0, NULL);
  const char *device;

  while (dir != NULL && (device = g_dir_read_name (dir)) != NULL) {
    g_autofree char *vendor = usb_fact (device, "idVendor"), *product = usb_fact (device, "idProduct");
    g_autofree char *name = usb_fact (device, "product");

    if (vendor != NULL && product != NULL) { /* an interface has none */
      g_autofree char *word = g_strdup_printf ("%s:%s", vendor, product);

      put (word, name != NULL ? name : "");
    }
  }
}

static void
put_cpus (void)
{
  for (guint n = 1; n <= g_get_num_processors (); n++) {
    g_autofree char *word = g_strdup_printf ("%u", n);

    put (word, "");
  }
}

static void
put_of_plugs (VmContext *context, const char *kind, char **args)
{
  if (g_str_equal (kind, "plug") || g_str_equal (kind, "plug="))
    put_plug_kinds (g_str_has_suffix (kind, "=") ? "=" : "");
  else if (g_str_equal (kind, "plug-usb"))
    put_usb_devices ();
  else if (g_str_equal (kind, "plug-cpu"))
    put_cpus ();
  else if (g_str_equal (kind, "plug-nic"))
    put_policies ();
  else if (g_str_equal (kind, "device"))
    put_devices (context, args);
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
  else if (g_str_equal (kind, "net-verb")) {
    put_net_verbs ();
    put_sandboxes (context, FALSE);
  } else if (g_str_equal (kind, "restart"))
    put_restart ();
  else if (g_str_equal (kind, "template"))
    put_templates (context);
  else if (g_str_equal (kind, "snapshot-verb"))
    put_snapshot_verbs ();
  else if (g_str_equal (kind, "snapshot"))
    put_snapshots (context, args + 1);
  else if (g_str_equal (kind, "image"))
    put_images (context);
  else if (g_str_equal (kind, "image-name"))
    put_image_names (context);
  else if (g_str_equal (kind, "disk") || g_str_equal (kind, "disk-verb"))
    put_disks (context, g_str_has_suffix (kind, "verb"));
  else if (g_str_equal (kind, "image-format"))
    put_image_formats ();
  else if (g_str_equal (kind, "shell"))
    put_shells ();
  else
    put_of_plugs (context, kind, args + 1);
  for (const VmGrant *const *grant = vm_grants; g_str_equal (kind, "grant") && *grant != NULL; grant++)
    put ((*grant)->name, (*grant)->summary);
  return 0;
}

const VmVerb vm_verb_complete = {
    .name = "complete",
    .usage = "KIND [ARGUMENTS]",
    .summary = "words for completion scripts",
    .min_args = 1,
    .max_args = G_MAXUINT,
    .flags = VM_VERB_HIDDEN,
    .run = complete,
};
