/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * In a part of the store, nix makes a link to the toplevel, which also keeps that from being collected as
 * garbage while it is read. Beside it come the list of the closure, and a directory with what a root has
 * besides its store: the profile that names the system that boots, and what Nix knows of the closure, which
 * the system can load into a database of its own. vmctl-ext writes both into a file system, and what follows
 * is an import. */
#include "images/nix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/build.h"
#include "images/interrupt.h"
#include "images/store-parts.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define PREFIX "nix:"
#define DIR "nix" /* in the part */
#define LINK "result"
#define REGISTRATION IMAGE_NIX_ROOT "/nix-path-registration"
#define PROFILES IMAGE_NIX_ROOT "/nix/var/nix/profiles"
#define TOPLEVEL ".config.system.build.toplevel"
#define ERROR_MARK "error:" /* with which the lines of Nix's error begin */

enum { AT_A_TIME = 1000 };

gboolean
image_nix_is (const char *what)
{
  return g_str_has_prefix (what, PREFIX);
}

/* FLAKE and SYSTEM of "nix:FLAKE#SYSTEM". */
static gboolean
split (const char *what, char **ret_flake, const char **ret_system, GError **error)
{
  const char *flake = image_nix_is (what) ? what + strlen (PREFIX) : what, *hash = strchr (flake, '#');

  if (*flake == '-')
    return vm_error (error, VM_ERROR_USAGE,
                     "'%s': a flake does not begin with '-'; write ./%s for a directory", what, flake);
  if (hash == NULL || hash == flake || hash[1] == '\0')
    return vm_error (error, VM_ERROR_USAGE,
                     "'%s' does not name a system of a flake; write nix:FLAKE#SYSTEM, such as nix:.#box",
                     what);
  *ret_flake = g_strndup (flake, (gsize)(hash - flake));
  *ret_system = hash + 1;
  return TRUE;
}

char **
image_nix_words (const char *what, const char *link, GError **error)
{
  g_autofree char *flake = NULL;
  const char *system;
  GPtrArray *words;

  if (!split (what, &flake, &system, error))
    return NULL;
  words = g_ptr_array_new ();
  g_ptr_array_add (words, g_strdup ("--extra-experimental-features"));
  g_ptr_array_add (words, g_strdup ("nix-command flakes"));
  g_ptr_array_add (words, g_strdup ("build"));
  g_ptr_array_add (words, g_strdup ("--verbose"));
  g_ptr_array_add (words, g_strdup ("--out-link"));
  g_ptr_array_add (words, g_strdup (link));
  g_ptr_array_add (words, strchr (system, '.') != NULL
                              ? g_strdup_printf ("%s#%s" TOPLEVEL, flake, system)
                              : g_strdup_printf ("%s#nixosConfigurations.%s" TOPLEVEL, flake, system));
  g_ptr_array_add (words, NULL);
  return (char **)g_ptr_array_free (words, FALSE);
}

char *
image_nix_name (const char *what, GError **error)
{
  g_autofree char *flake = NULL, *name = NULL;
  const char *system, *dot;

  if (!split (what, &flake, &system, error))
    return NULL;
  dot = strrchr (system, '.');
  name = g_strdup (dot != NULL ? dot + 1 : system);
  if (*name == '"' && name[1] != '\0' && g_str_has_suffix (name, "\"")) {
    name[strlen (name) - 1] = '\0';
    memmove (name, name + 1, strlen (name));
  }
  if (image_store_is_name (name))
    return g_steal_pointer (&name);
  vm_error (error, VM_ERROR_USAGE, "no name can be made of '%s'; write --name NAME", system);
  return NULL;
}

/* Running Nix */

typedef struct {
  const ImageNix *nix; /* borrowed */
  char *build, *store; /* owned; its programs */
  char *dir;           /* owned; path of DIR */
  int fd;              /* owned; that */
  char *toplevel;      /* owned; in the store */
  char **closure;      /* owned */
  ImageProgress progress;
  gpointer data;
} Building;

static void
building_clear (Building *b)
{
  g_free (b->build);
  g_free (b->store);
  g_free (b->dir);
  vm_fd_clear (&b->fd);
  g_free (b->toplevel);
  g_strfreev (b->closure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Building, building_clear)

static char *
find_program (const char *name, GError **error)
{
  char *path = g_find_program_in_path (name);

  if (path == NULL)
    vm_error (error, VM_ERROR_HOST,
              "'%s' is not in your PATH: systems are built by your own Nix (2.4 or newer); install it "
              "(https://nixos.org/download, or Debian: apt install nix-bin)",
              name);
  return path;
}

/* What can be done, where Nix's words do not say it. */
static void
add_mend (GError **error)
{
  static const struct {
    const char *said, *mend;
  } mends[] = {
      {"does not provide attribute", "it has no such NixOS system; what it has is shown by: nix flake show"},
      {"is not a valid URL",
       "older ones take no spaces in it; go to the flake's directory, and write nix:.#SYSTEM"},
      {"unrecognised flag", "it is too old; vmctl needs Nix 2.4 or newer"},
      {"daemon-socket", "start its daemon: systemctl start nix-daemon"},
      {"/nix/var/nix", "it needs a daemon, or a store that you may write to"},
      {"/nix/store: Permission denied", "it needs a daemon, or a store that you may write to"},
  };

  if (!g_error_matches (*error, VM_ERROR, VM_ERROR_CHILD))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (mends); i++)
    if (strstr ((*error)->message, mends[i].said) != NULL) {
      g_autofree char *message = g_strdup_printf ("%s\n%s", (*error)->message, mends[i].mend);

      g_free ((*error)->message);
      (*error)->message = g_steal_pointer (&message);
      return;
    }
}

static gboolean
run_build (Building *b, GError **error)
{
  g_autofree char *link = g_build_filename (b->dir, LINK, NULL);
  g_auto (GStrv) words = image_nix_words (b->nix->what, link, error);
  g_autoptr (VmArgv) argv = vm_argv_new ();
  GError *problem = NULL;

  if (words == NULL)
    return FALSE;
  vm_argv_add (argv, b->build);
  vm_argv_add_strv (argv, (const char *const *)words);
  b->progress ("evaluating the flake", -1, b->data);
  if (image_build_run_told (argv, ERROR_MARK, b->progress, b->data, &problem))
    return TRUE;
  add_mend (&problem);
  g_propagate_error (error, problem);
  return FALSE;
}

static gboolean
has (const Building *b, const char *name)
{
  g_autofree char *path = g_build_filename (b->toplevel, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

/* Some of them rely on their own initrd to set the system up, and their init is systemd itself. */
static gboolean
check_init (const Building *b, GError **error)
{
  g_autofree char *path = g_build_filename (b->toplevel, "init", NULL);
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  char head[4] = "";

  if (has (b, "prepare-root"))
    return TRUE;
  if (fd < 0 || read (fd, head, sizeof head) < 0)
    return vm_error_errno (error, errno, "cannot read '%s'", path);
  return memcmp (head, "\177ELF", sizeof head) != 0 ||
         vm_error (
             error, VM_ERROR_UNSUPPORTED,
             "the system is set up in its own initrd, which vmctl does not run; set system.nixos-init.enable "
             "= false in its configuration");
}

static gboolean
find_toplevel (Building *b, GError **error)
{
  static const char *const needed[] = {"init", "nixos-version", "etc"};
  g_autofree char *link = g_build_filename (b->dir, LINK, NULL);

  b->toplevel = g_file_read_link (link, NULL);
  if (b->toplevel == NULL || *b->toplevel != '/')
    return vm_error (error, VM_ERROR_CHILD, "nix has made no link to what it has built");
  if (!g_file_test (b->toplevel, G_FILE_TEST_EXISTS))
    return vm_error (
        error, VM_ERROR_HOST,
        "nix has built '%s', which is not there on this host: its store is elsewhere (NIX_REMOTE, "
        "'store' in nix.conf, or ~/.local/share/nix/root, which it uses without a daemon), and vmctl "
        "reads it at its own place; start a daemon, or build as root",
        b->toplevel);
  for (guint i = 0; i < G_N_ELEMENTS (needed); i++)
    if (!has (b, needed[i]))
      return vm_error (error, VM_ERROR_INVALID, "'%s' is no NixOS system: it has no '%s'", b->toplevel,
                       needed[i]);
  return check_init (b, error);
}

/* `nix-store WORDS...` into a file below DIR, at its end. */
static gboolean
run_store (Building *b, const char *file, const char *const *words, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  vm_autofd fd = openat (b->fd, file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);

  if (fd < 0 || fchmod (fd, 0644) < 0)
    return vm_error_errno (error, errno, "cannot write '%s/%s'", b->dir, file);
  vm_argv_add (argv, b->store);
  vm_argv_add_strv (argv, words);
  vm_argv_bind_stdio (argv, 1, vm_fd_steal (&fd));
  return image_build_run_told (argv, ERROR_MARK, b->progress, b->data, error);
}

static gboolean
list_closure (Building *b, GError **error)
{
  g_autofree char *path = g_build_filename (b->dir, IMAGE_NIX_PATHS, NULL), *text = NULL;
  const char *const words[] = {"--query", "--requisites", b->toplevel, NULL};

  b->progress ("listing what the system needs", -1, b->data);
  if (!run_store (b, IMAGE_NIX_PATHS, words, error))
    return FALSE;
  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  b->closure = g_strsplit (g_strchomp (text), "\n", -1);
  return g_strv_contains ((const char *const *)b->closure, b->toplevel) ||
         vm_error (error, VM_ERROR_CHILD, "nix-store does not list '%s' among what it needs", b->toplevel);
}

/* What else is in the root */

static gboolean
make_dirs (Building *b, GError **error)
{
  static const char *const dirs[] = {IMAGE_NIX_ROOT,
                                     IMAGE_NIX_ROOT "/etc",
                                     IMAGE_NIX_ROOT "/nix",
                                     IMAGE_NIX_ROOT "/nix/var",
                                     IMAGE_NIX_ROOT "/nix/var/nix",
                                     PROFILES};

  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++) /* whatever the umask is */
    if (mkdirat (b->fd, dirs[i], 0755) < 0 || fchmodat (b->fd, dirs[i], 0755, 0) < 0)
      return vm_error_errno (error, errno, "cannot make '%s/%s'", b->dir, dirs[i]);
  return TRUE;
}

/* The profile is that of `nixos-rebuild`, which so goes on from this one; the mark is what it looks for. */
static gboolean
make_links (Building *b, GError **error)
{
  static const char *const mark = IMAGE_NIX_ROOT "/etc/NIXOS";
  vm_autofd fd = openat (b->fd, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

  return (fd >= 0 && fchmod (fd, 0644) == 0 &&
          symlinkat (b->toplevel, b->fd, PROFILES "/system-1-link") == 0 &&
          symlinkat ("system-1-link", b->fd, PROFILES "/system") == 0) ||
         vm_error_errno (error, errno, "cannot write in '%s'", b->dir);
}

/* The words of a process have their limit. */
static gboolean
write_registration (Building *b, GError **error)
{
  guint n = g_strv_length (b->closure);

  for (guint i = 0; i < n; i += AT_A_TIME) {
    g_autoptr (GPtrArray) words = g_ptr_array_new ();

    g_ptr_array_add (words, (gpointer) "--dump-db");
    for (guint j = i; j < MIN (i + AT_A_TIME, n); j++)
      g_ptr_array_add (words, b->closure[j]);
    g_ptr_array_add (words, NULL);
    if (!run_store (b, REGISTRATION, (const char *const *)words->pdata, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
import (Building *b, const char *name, ImageInfo **ret, gboolean *ret_was_there, GError **error)
{
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, b->toplevel, -1);
  ImageImport import = {.data_dir = b->nix->data_dir,
                        .tools = b->nix->tools,
                        .path = b->dir,
                        .origin = b->nix->what,
                        .name = name,
                        .force = b->nix->force,
                        .size = b->nix->size,
                        .root = -1,
                        .sum = sum};

  return image_import (&import, b->progress, b->data, ret, ret_was_there, error);
}

static gboolean
make_room (Building *b, const ImageStorePart *part, GError **error)
{
  b->dir = g_build_filename (part->path, DIR, NULL);
  if (mkdirat (part->dir, DIR, 0700) == 0)
    b->fd = openat (part->dir, DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return b->fd >= 0 || vm_error_errno (error, errno, "cannot make '%s'", b->dir);
}

static gboolean
build (Building *b, const char *name, ImageInfo **ret, gboolean *ret_was_there, GError **error)
{
  GError *problem = NULL;

  if (run_build (b, &problem) && find_toplevel (b, &problem) && list_closure (b, &problem) &&
      make_dirs (b, &problem) && make_links (b, &problem) && write_registration (b, &problem))
    return import (b, name, ret, ret_was_there, error);
  g_prefix_error (&problem, "cannot build '%s': ", b->nix->what);
  g_propagate_error (error, problem);
  return FALSE;
}

gboolean
image_nix_build (const ImageNix *nix, ImageProgress progress, gpointer data, ImageInfo **ret,
                 gboolean *ret_was_there, GError **error)
{
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  g_auto (GStrv) words = image_nix_words (nix->what, LINK, error);
  g_auto (Building)
      b = {.nix = nix, .fd = -1, .progress = progress != NULL ? progress : image_progress_none, .data = data};
  g_autofree char *name = NULL;

  if (words == NULL)
    return FALSE;
  name = nix->name != NULL ? g_strdup (nix->name) : image_nix_name (nix->what, error);
  return name != NULL && image_store_check_name (nix->data_dir, name, nix->force, error) &&
         (b.build = find_program ("nix", error)) != NULL &&
         (b.store = find_program ("nix-store", error)) != NULL &&
         image_store_begin (nix->data_dir, &part, error) && make_room (&b, &part, error) &&
         build (&b, name, ret, ret_was_there, error);
}
