/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/distribution.h"

#include <string.h>
#include <unistd.h>

#include "images/build.h"
#include "images/cage.h"
#include "images/store.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"

#define DEBIAN "debian:"
#define TAR "root.tar"

/* What a guest needs to boot, to be logged in to, and to install more. The kernel is the host's, unless one
 * is among the packages wanted. */
#define PACKAGES                                                                                             \
  "systemd,systemd-sysv,udev,dbus,login,passwd,util-linux,mount,iproute2,kmod,procps,netbase,ca-"            \
  "certificates"

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"

static const char *
suite_of (const char *what)
{
  const char *suite = g_str_has_prefix (what, DEBIAN) ? what + strlen (DEBIAN) : "";

  return g_ascii_islower (*suite) && strspn (suite, LOWER "-") == strlen (suite) ? suite : NULL;
}

/* apt takes more than names: "a/suite", "a=1.0", and patterns. None of that is asked for. */
static gboolean
check_packages (const char *packages, GError **error)
{
  g_auto (GStrv) names = g_strsplit (packages, ",", -1);

  for (char **name = names; *name != NULL; name++)
    if (!g_ascii_isalnum (**name) || strspn (*name, LOWER "+.-") != strlen (*name))
      return vm_error (error, VM_ERROR_USAGE, "--packages: '%s' is not the name of a package", *name);
  return *names != NULL || vm_error (error, VM_ERROR_USAGE, "--packages: name some, a,b");
}

static gboolean
check_mirror (const char *mirror, GError **error)
{
  gboolean is_url = g_str_has_prefix (mirror, "http://") || g_str_has_prefix (mirror, "https://") ||
                    g_str_has_prefix (mirror, "file:///");

  return (is_url && strpbrk (mirror, " \t\n[]") == NULL) ||
         vm_error (error, VM_ERROR_USAGE, "--mirror: '%s' is not the URL of one", mirror);
}

char **
image_distribution_words (const ImageDistribution *d, const char *tar, gboolean is_root, GError **error)
{
  const char *suite = suite_of (d->what);
  GPtrArray *words;

  if (suite == NULL) {
    vm_error (error, VM_ERROR_USAGE,
              "'%s' is not what can be built; write debian:SUITE, such as debian:bookworm", d->what);
    return NULL;
  }
  if ((d->packages != NULL && !check_packages (d->packages, error)) ||
      (d->mirror != NULL && !check_mirror (d->mirror, error)))
    return NULL;
  words = g_ptr_array_new ();
  g_ptr_array_add (words, g_strdup ("--variant=minbase"));
  g_ptr_array_add (words, g_strdup ("--format=tar"));
  g_ptr_array_add (words, g_strdup (is_root ? "--mode=root" : "--mode=auto"));
  /* As root apt would read its lists as a user who may not. */
  if (is_root)
    g_ptr_array_add (words, g_strdup ("--aptopt=APT::Sandbox::User \"root\""));
  g_ptr_array_add (words, g_strdup_printf ("--include=" PACKAGES "%s%s", d->packages != NULL ? "," : "",
                                           d->packages != NULL ? d->packages : ""));
  g_ptr_array_add (words, g_strdup (suite));
  g_ptr_array_add (words, g_strdup (tar));
  if (d->mirror != NULL)
    g_ptr_array_add (words, g_strdup (d->mirror));
  g_ptr_array_add (words, NULL);
  return (char **)g_ptr_array_free (words, FALSE);
}

static gboolean
run_mmdebstrap (const ImageDistribution *d, const char *tar, ImageProgress progress, gpointer data,
                GError **error)
{
  g_autofree char *program = NULL, *text = g_strdup_printf ("building %s from its packages", d->what);
  g_auto (GStrv) words = image_distribution_words (d, tar, geteuid () == 0, error);
  g_autoptr (VmArgv) argv = vm_argv_new ();

  if (words == NULL || (program = image_cage_program ("mmdebstrap", "mmdebstrap uidmap", error)) == NULL)
    return FALSE;
  vm_argv_add (argv, program);
  vm_argv_add_strv (argv, (const char *const *)words);
  if (progress != NULL)
    progress (text, -1, data);
  if (image_build_run (argv, progress, data, error))
    return TRUE;
  g_prefix_error (error, "cannot build %s: ", d->what);
  return FALSE;
}

gboolean
image_distribution_build (const ImageDistribution *d, ImageProgress progress, gpointer data, ImageInfo **ret,
                          GError **error)
{
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  g_auto (GStrv) words = image_distribution_words (d, TAR, FALSE, error);
  g_autofree char *name = NULL, *tar = NULL;
  ImageImport import = {.data_dir = d->data_dir,
                        .ext = d->ext,
                        .origin = d->what,
                        .format = "tar",
                        .force = d->force,
                        .size = d->size,
                        .root = -1};
  gboolean was_there;

  if (words == NULL)
    return FALSE;
  name = d->name != NULL ? g_strdup (d->name) : g_strdelimit (g_strdup (d->what), ":", '-');
  if (!image_store_check_name (d->data_dir, name, d->force, error) ||
      !image_store_begin (d->data_dir, &part, error))
    return FALSE;
  tar = g_build_filename (part.path, TAR, NULL);
  import.path = tar;
  import.name = name;
  return run_mmdebstrap (d, tar, progress, data, error) &&
         image_import (&import, progress, data, ret, &was_there, error);
}
