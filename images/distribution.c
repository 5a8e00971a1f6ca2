/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/distribution.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/cage.h"
#include "images/store-parts.h"
#include "images/subids.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define DEBIAN "debian:"
#define TAR "root.tar"
#define ROOM "build"

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
              "'%s' is not what can be built; write debian:SUITE, such as debian:bookworm, "
              "nix:FLAKE#SYSTEM, or host-systemd",
              d->what);
    return NULL;
  }
  if ((d->packages != NULL && !check_packages (d->packages, error)) ||
      (d->mirror != NULL && !check_mirror (d->mirror, error)))
    return NULL;
  words = g_ptr_array_new ();
  g_ptr_array_add (words, g_strdup ("--variant=minbase"));
  g_ptr_array_add (words, g_strdup ("--format=tar"));
  g_ptr_array_add (words, g_strdup (is_root ? "--mode=root" : "--mode=unshare"));
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

/* The words before a program that puts a distribution together, in namespaces that end with us. Inside, `dir`
 * is /var/tmp for a user, and root has it where it is. */
static VmArgv *
begin_argv (const ImageTools *tools, const char *dir, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *users = NULL, *groups = NULL;

  if (geteuid () != 0 && !image_subids_find (&users, &groups, error))
    return NULL;
  vm_argv_add (argv, tools->keeper);
  if (users != NULL)
    vm_argv_add_many (argv, "--users", users, "--groups", groups, "--tmp", dir, "--", NULL);
  else
    vm_argv_add_many (argv, "--cage", "yes", "--", NULL);
  return g_steal_pointer (&argv);
}

static const char *
inside (const char *dir)
{
  return geteuid () == 0 ? dir : "/var/tmp";
}

static gboolean
run_mmdebstrap (const ImageDistribution *d, const char *dir, ImageProgress progress, gpointer data,
                GError **error)
{
  g_autofree char *program = NULL;
  g_autofree char *tar = g_build_filename (inside (dir), TAR, NULL);
  g_auto (GStrv) words = image_distribution_words (d, tar, geteuid () == 0, error);
  g_autoptr (VmArgv) argv = NULL;

  if (words == NULL || (program = image_cage_program ("mmdebstrap", "mmdebstrap uidmap", error)) == NULL ||
      (argv = begin_argv (&d->tools, dir, error)) == NULL)
    return FALSE;
  vm_argv_add (argv, program);
  vm_argv_add_strv (argv, (const char *const *)words);
  vm_argv_setenv (argv, "TMPDIR", inside (dir));
  if (image_build_run_marked (argv, "I: ", progress, data, error))
    return TRUE;
  g_prefix_error (error, "cannot build %s: ", d->what);
  return FALSE;
}

/* What is left of a distribution that was not finished belongs to ids that are ours to give, but not to us.
 */
static void
empty (const ImageTools *tools, const char *dir)
{
  g_autofree char *find = g_find_program_in_path ("find");
  g_autoptr (VmArgv) argv = find != NULL ? begin_argv (tools, dir, NULL) : NULL;

  if (argv == NULL)
    return;
  vm_argv_add_many (argv, find, inside (dir), "-xdev", "-mindepth", "1", "-delete", NULL);
  (void)vm_argv_run (argv, NULL, NULL); /* what is left then, the next one finds */
}

void
image_distribution_sweep (const char *data_dir, const ImageTools *tools)
{
  g_autofree char *store = image_store_path (data_dir);
  g_autoptr (GDir) parts = g_dir_open (store, 0, NULL);
  const char *name;

  while (parts != NULL && (name = g_dir_read_name (parts)) != NULL) {
    g_autofree char *part = g_build_filename (store, name, NULL);
    g_autofree char *dir = g_build_filename (part, ROOM, NULL);
    vm_autofd fd = -1;

    if (!g_str_has_prefix (name, IMAGE_STORE_PART_PREFIX) || !g_file_test (dir, G_FILE_TEST_IS_DIR))
      continue;
    fd = open (part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0)
      empty (tools, dir);
  }
  image_store_sweep (data_dir);
}

/* Nobody but us gets as far as there, and those of the namespace, who may write in it. */
static char *
make_room (const ImageStorePart *part, GError **error)
{
  g_autofree char *dir = g_build_filename (part->path, ROOM, NULL);

  if (mkdirat (part->dir, ROOM, 0700) < 0 || fchmodat (part->dir, ROOM, 0777, 0) < 0) {
    vm_error_errno (error, errno, "cannot make '%s'", dir);
    return NULL;
  }
  return g_steal_pointer (&dir);
}

static gboolean
build_in (const ImageDistribution *d, const char *dir, const char *name, ImageProgress progress,
          gpointer data, ImageInfo **ret, GError **error)
{
  g_autofree char *tar = g_build_filename (dir, TAR, NULL);
  ImageImport import = {.data_dir = d->data_dir,
                        .tools = d->tools,
                        .path = tar,
                        .name = name,
                        .origin = d->what,
                        .format = "tar",
                        .force = d->force,
                        .size = d->size,
                        .root = -1};
  gboolean was_there;

  return run_mmdebstrap (d, dir, progress, data, error) &&
         image_import (&import, progress, data, ret, &was_there, error);
}

gboolean
image_distribution_build (const ImageDistribution *d, ImageProgress progress, gpointer data, ImageInfo **ret,
                          GError **error)
{
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  g_auto (GStrv) words = image_distribution_words (d, TAR, FALSE, error);
  g_autofree char *name = NULL, *dir = NULL;
  gboolean ok;

  if (words == NULL)
    return FALSE;
  name = d->name != NULL ? g_strdup (d->name) : g_strdelimit (g_strdup (d->what), ":", '-');
  if (!image_store_check_name (d->data_dir, name, d->force, error))
    return FALSE;
  image_distribution_sweep (d->data_dir, &d->tools);
  if (!image_store_begin (d->data_dir, &part, error) || (dir = make_room (&part, error)) == NULL)
    return FALSE;
  ok = build_in (d, dir, name, progress != NULL ? progress : image_progress_none, data, ret, error);
  empty (&d->tools, dir);
  return ok;
}
