/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl image: the store of guests that are not this host (images/store.h). */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "images/distribution.h"
#include "images/host-systemd.h"
#include "images/import.h"
#include "images/interrupt.h"
#include "images/nix.h"
#include "images/store.h"
#include "vmctl/action.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/image-files.h"
#include "vmctl/image-show.h"
#include "vmctl/image-tools.h"
#include "vmctl/progress.h"
#include "vmctl/show.h"
#include "vmctl/verbs.h"

typedef VmImageOptions ImageOptions;

static const VmOption options[] = {
    {"all", 'a', VM_OPTION_FLAG, offsetof (ImageOptions, all), NULL, "rm, verify: all of your store", NULL,
     "rm verify"},
    {"deep", 0, VM_OPTION_FLAG, offsetof (ImageOptions, deep), NULL,
     "inspect: look into its file systems as well, which takes a while", NULL, "inspect"},
    {"delete", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "PATH",
     "customize: delete a file, or a directory with all in it", NULL, "customize"},
    {"dry-run", 'n', VM_OPTION_FLAG, offsetof (ImageOptions, dry_run), NULL, "prune: only show what would go",
     NULL, "prune"},
    {"force", 'f', VM_OPTION_FLAG, offsetof (ImageOptions, force), NULL,
     "import, build, name, copy-in, customize: move a name that another image has", NULL,
     "import build name copy-in customize"},
    {"format", 0, VM_OPTION_STRING, offsetof (ImageOptions, format), "FORMAT",
     "import: what it is (default: what it begins with); export: qcow2 (default) or raw", "image-format",
     "import export"},
    {"hostname", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "NAME", "customize: what it calls itself",
     NULL, "customize"},
    {"json", 0, VM_OPTION_FLAG, offsetof (ImageOptions, json), NULL, "print it as JSON", NULL},
    {"keep-owner", 0, VM_OPTION_FLAG, offsetof (ImageOptions, keep_owner), NULL,
     "import: your files of a directory are yours inside, too, and not root's", NULL, "import"},
    {"long", 'l', VM_OPTION_FLAG, offsetof (ImageOptions, long_list), NULL,
     "ls: mode, owner, group, size and time as well", NULL, "ls"},
    {"mirror", 0, VM_OPTION_STRING, offsetof (ImageOptions, mirror), "URL",
     "build: where its packages are (default: Debian's own)", NULL, "build"},
    {"mkdir", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "PATH", "customize: make a directory", NULL,
     "customize"},
    {"name", 0, VM_OPTION_STRING, offsetof (ImageOptions, name), "NAME",
     "import, build: what to call it (default: after the file, or what it is); copy-in, customize: what to "
     "call "
     "what is made (default: the name moves to it)",
     NULL, "import build copy-in customize"},
    {"packages", 'p', VM_OPTION_STRING, offsetof (ImageOptions, packages), "A,B", "build: more packages",
     NULL, "build"},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (ImageOptions, quiet), NULL, "no progress", NULL},
    {"root", 0, VM_OPTION_STRING, offsetof (ImageOptions, root), "N",
     "import: partition N is the root (0: the whole disk)", NULL, "import"},
    {"run-command", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "COMMAND",
     "customize: run it by the image's own shell, without a network", NULL, "customize"},
    {"size", 0, VM_OPTION_STRING, offsetof (ImageOptions, size), "SIZE",
     "import, build: of the disk that is made of all but a disk (default at least 8G)", NULL, "import build"},
    {"upload", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "FILE:PATH",
     "customize: copy a file of this host", NULL, "customize"},
    {"write", 0, VM_OPTION_STEP, offsetof (ImageOptions, steps), "PATH:TEXT",
     "customize: a file with this text, and no newline after it", NULL, "customize"},
    {NULL},
};

/* Each is called with the words after its own name, as many as its row allows. */

static int
list (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (GPtrArray) problems = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) all = image_store_list (context->dirs.data, problems, error);
  json_object *array;

  if (all == NULL)
    return -1;
  vm_show_problems (problems);
  if (!o->json) {
    vm_image_print_list (all);
    return 0;
  }
  array = json_object_new_array ();
  for (guint i = 0; i < all->len; i++)
    json_object_array_add (array, image_info_to_shown_json (g_ptr_array_index (all, i)));
  vm_show_json (array);
  return 0;
}

static gboolean
parse_import (const ImageOptions *o, ImageImport *ret, GError **error)
{
  ret->root = -1;
  if (o->size != NULL && !vm_size_parse (o->size, 1, "--size", &ret->size, error))
    return FALSE;
  if (o->root != NULL) {
    guint64 number;

    if (!g_ascii_string_to_unsigned (o->root, 10, 0, 255, &number, NULL))
      return vm_error (error, VM_ERROR_USAGE, "--root '%s' is not the number of a partition", o->root);
    ret->root = (int)number;
  }
  return TRUE;
}

static int
import (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_auto (VmImageTools) tools = {NULL};
  ImageImport what = {.data_dir = context->dirs.data,
                      .path = args[0],
                      .format = o->format,
                      .name = o->name,
                      .force = o->force,
                      .any_owner = o->keep_owner};
  g_autoptr (ImageInfo) info = NULL;
  gboolean was_there = FALSE, ok;
  VmProgress progress;

  if (!vm_image_tools_find (&context->dirs, &tools, error) || !parse_import (o, &what, error))
    return -1;
  what.tools = tools.paths;
  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  ok = image_import (&what, vm_progress_step, &progress, &info, &was_there, error);
  vm_progress_end (&progress);
  if (!ok)
    return -1;
  if (was_there && !o->quiet)
    fprintf (stderr, "vmctl: it was there already\n");
  vm_image_print_id (info, o->json);
  return 0;
}

static gboolean
build_distribution (VmContext *context, const ImageOptions *o, const char *name, const ImageTools *tools,
                    guint64 size, VmProgress *progress, ImageInfo **ret, GError **error)
{
  const ImageDistribution what = {.data_dir = context->dirs.data,
                                  .tools = *tools,
                                  .what = name,
                                  .packages = o->packages,
                                  .mirror = o->mirror,
                                  .name = o->name,
                                  .force = o->force,
                                  .size = size};

  return image_distribution_build (&what, vm_progress_step, progress, ret, error);
}

static gboolean
build_nix (VmContext *context, const ImageOptions *o, const char *name, const ImageTools *tools, guint64 size,
           VmProgress *progress, ImageInfo **ret, GError **error)
{
  const ImageNix what = {.data_dir = context->dirs.data,
                         .tools = *tools,
                         .what = name,
                         .name = o->name,
                         .force = o->force,
                         .size = size};
  gboolean was_there = FALSE;

  if (o->packages != NULL || o->mirror != NULL)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s is for debian:SUITE; what is in a NixOS system, its configuration says",
                     o->packages != NULL ? "--packages" : "--mirror");
  if (!image_nix_build (&what, vm_progress_step, progress, ret, &was_there, error))
    return FALSE;
  if (was_there && !o->quiet)
    fprintf (stderr, "vmctl: it was there already\n");
  return TRUE;
}

static int
build (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_auto (VmImageTools) tools = {NULL};
  g_autoptr (ImageInfo) info = NULL;
  VmProgress progress;
  guint64 size = 0;
  gboolean ok;

  if (!vm_image_tools_find (&context->dirs, &tools, error) ||
      (o->size != NULL && !vm_size_parse (o->size, 1, "--size", &size, error)))
    return -1;
  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  ok = (image_nix_is (args[0]) ? build_nix : build_distribution) (context, o, args[0], &tools.paths, size,
                                                                  &progress, &info, error);
  vm_progress_end (&progress);
  if (ok)
    vm_image_print_id (info, o->json);
  return ok ? 0 : -1;
}

static int
build_of_host (VmContext *context, const ImageOptions *o, GError **error)
{
  g_autoptr (ImageInfo) info = NULL;

  if (o->packages != NULL || o->mirror != NULL || o->size != NULL) {
    vm_error (error, VM_ERROR_USAGE,
              "image build " IMAGE_HOST_SYSTEMD
              ": the root is this host's own tree, so there are no packages and no "
              "disk to make; leave out --packages, --mirror and --size");
    return -1;
  }
  if (!image_host_systemd_build (context->dirs.data, o->name, o->force, &info, error))
    return -1;
  if (!o->quiet && !image_host_systemd_has_bus (""))
    fprintf (stderr,
             "vmctl: this host has no D-Bus, so that only root inside can use systemctl; install: dbus\n");
  vm_image_print_id (info, o->json);
  return 0;
}

/* By what is to be built. */
static int
build_any (VmContext *context, gconstpointer data, char **args, GError **error)
{
  return g_str_equal (args[0], IMAGE_HOST_SYSTEMD) ? build_of_host (context, data, error)
                                                   : build (context, data, args, error);
}

static int
inspect (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (ImageInfo) info = image_store_find (context->dirs.data, args[0], error);

  if (info == NULL)
    return -1;
  if (o->deep)
    return vm_image_inspect_deep (context, o, info, error);
  if (o->json)
    vm_show_json (image_info_to_shown_json (info));
  else
    vm_image_print (info);
  return 0;
}

static int
name (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (ImageInfo) info = image_store_find (context->dirs.data, args[0], error);

  if (info == NULL)
    return -1;
  if (info->system) {
    vm_error (error, VM_ERROR_UNSUPPORTED, "the image '%s' is the system's, and keeps its names", args[0]);
    return -1;
  }
  return image_store_name (context->dirs.data, args[1], info->id, o->force, error) ? 0 : -1;
}

static int
unname (VmContext *context, gconstpointer data, char **args, GError **error)
{
  return image_store_unname (context->dirs.data, args[0], error) ? 0 : -1;
}

static int export(VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (ImageInfo) info = image_store_find (context->dirs.data, args[0], error);
  g_auto (VmImageTools) tools = {NULL};
  VmProgress progress;
  gboolean ok;

  if (info == NULL || !vm_image_tools_find (&context->dirs, &tools, error))
    return -1;
  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  ok = image_import_export (&tools.paths, info, o->format != NULL ? o->format : "qcow2", args[1],
                            vm_progress_step, &progress, error);
  vm_progress_end (&progress);
  return ok ? 0 : -1;
}

/* The images named, or with --all the user's. (transfer full) of ImageInfo; NULL and error. */
static void
free_info (gpointer data)
{
  image_info_free (data);
}

static GPtrArray *
choose (VmContext *context, const ImageOptions *o, const char *what, char **names, GError **error)
{
  g_autoptr (GPtrArray) chosen = NULL;

  if (o->all != (*names == NULL)) {
    vm_error (error, VM_ERROR_USAGE, "image %s: name an image, or write --all", what);
    return NULL;
  }
  if (o->all) {
    chosen = image_store_list (context->dirs.data, NULL, error);
    for (guint i = chosen != NULL ? chosen->len : 0; i > 0; i--)
      if (((ImageInfo *)g_ptr_array_index (chosen, i - 1))->system)
        g_ptr_array_remove_index (chosen, i - 1);
    return g_steal_pointer (&chosen);
  }
  chosen = g_ptr_array_new_with_free_func (free_info);
  for (; *names != NULL; names++) {
    ImageInfo *info = image_store_find (context->dirs.data, *names, error);

    if (info == NULL)
      return NULL;
    g_ptr_array_add (chosen, info);
  }
  return g_steal_pointer (&chosen);
}

static int
rm (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (GPtrArray) chosen = choose (context, o, "rm", args, error);

  for (guint i = 0; chosen != NULL && i < chosen->len; i++)
    if (!image_store_remove (context->dirs.data, g_ptr_array_index (chosen, i), error))
      return -1;
  return chosen != NULL ? 0 : -1;
}

static int
verify (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_autoptr (GPtrArray) chosen = choose (context, o, "verify", args, error);
  g_auto (VmImageTools) tools = {NULL};
  VmProgress progress;
  gboolean ok = chosen != NULL && vm_image_tools_find (&context->dirs, &tools, error);

  image_interrupt_catch ();
  vm_progress_begin (&progress, o->quiet);
  for (guint i = 0; ok && i < chosen->len; i++)
    ok =
        image_import_verify (&tools.paths, g_ptr_array_index (chosen, i), vm_progress_step, &progress, error);
  vm_progress_end (&progress);
  return ok ? 0 : -1;
}

/* What nothing names and nothing uses. */
static int
prune (VmContext *context, gconstpointer data, char **args, GError **error)
{
  const ImageOptions *o = data;
  g_auto (VmImageTools) tools = {NULL};
  g_autoptr (GPtrArray) all = vm_image_tools_find (&context->dirs, &tools, error)
                                  ? image_store_list (context->dirs.data, NULL, error)
                                  : NULL;

  if (all != NULL && !o->dry_run)
    image_distribution_sweep (context->dirs.data, &tools.paths);
  for (guint i = 0; all != NULL && i < all->len; i++) {
    const ImageInfo *info = g_ptr_array_index (all, i);
    g_autoptr (GError) problem = NULL;

    if (info->system || info->names[0] != NULL)
      continue;
    if (o->dry_run || image_store_remove (context->dirs.data, info, &problem)) {
      printf ("%s\n", info->id);
    } else if (!g_error_matches (problem, VM_ERROR, VM_ERROR_BUSY)) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return -1;
    }
  }
  return all != NULL ? 0 : -1;
}

static const VmAction actions[] = {
    {"list", "", 0, 0, list},
    {"import", "FILE|DIRECTORY", 1, 1, import},
    {"build", "debian:SUITE|nix:FLAKE#SYSTEM|" IMAGE_HOST_SYSTEMD, 1, 1, build_any},
    {"inspect", "IMAGE", 1, 1, inspect},
    {"ls", "IMAGE [PATH...]", 1, 64, vm_image_ls},
    {"cat", "IMAGE PATH", 2, 2, vm_image_cat},
    {"copy-out", "IMAGE PATH... DIRECTORY", 3, 64, vm_image_copy_out},
    {"copy-in", "IMAGE FILE... PATH", 3, 64, vm_image_copy_in},
    {"customize", "IMAGE", 1, 1, vm_image_customize},
    {"name", "IMAGE NAME", 2, 2, name},
    {"unname", "NAME", 1, 1, unname},
    {"export", "IMAGE FILE", 2, 2, export},
    {"verify", "IMAGE...", 0, 64, verify},
    {"rm", "IMAGE...", 0, 64, rm},
    {"prune", "", 0, 0, prune},
    {NULL},
};

static int
image (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  return vm_action_run (actions, "image", context, data, args, error);
}

const VmVerb vm_verb_image = {
    .name = "image",
    .usage = "[OPTIONS] [ACTION] [WORD...]",
    .summary = "guests that are not this host",
    .details =
        "list; import FILE|DIRECTORY; build debian:SUITE|nix:FLAKE#SYSTEM|host-systemd; inspect IMAGE; "
        "ls IMAGE [PATH...]; cat IMAGE PATH; copy-out IMAGE PATH... DIRECTORY; copy-in IMAGE FILE... PATH; "
        "customize IMAGE; name IMAGE NAME; unname NAME; export IMAGE FILE; verify IMAGE...; rm IMAGE...; "
        "prune. A whole distribution as the guest: imported from a disk image, the tar of a root file "
        "system, "
        "or a directory, built of its packages, or by Nix, or this host's tree under its systemd. An image "
        "is "
        "never changed; each machine writes into an overlay of its own.",
    .options = options,
    .options_size = sizeof (ImageOptions),
    .action = "list",
    .max_args = 66,
    .complete = "image...",
    .run = image,
};
