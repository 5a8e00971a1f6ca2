/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/host-systemd.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/store.h"
#include "vmctl/base/error.h"

/* Part of the id: raise it when the same description means something else. */
#define FORMAT "vmctl host-systemd 1"

/* What a boot does not get far without: the first process, its journal, the target. */
static const char *const needed[] = {"systemd", "systemd-journald", "system/multi-user.target", NULL};

static gboolean
has (const char *root, const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (root, dir, name, NULL);

  return access (path, R_OK) == 0;
}

static gboolean
is_nixos (const char *root)
{
  return has (root, "/etc", "NIXOS") && has (root, "/run", "current-system");
}

static const char *
first_missing (const char *root, const char *dir)
{
  const char *const *name = needed;

  while (*name != NULL && has (root, dir, *name))
    name++;
  return *name;
}

char *
image_host_systemd_find (const char *root, GError **error)
{
  static const char *const dirs[] = {"/usr/lib/systemd", "/lib/systemd"};
  const char *found = NULL, *missing = NULL;

  if (is_nixos (root)) {
    vm_error (error, VM_ERROR_HOST,
              "this host is NixOS, whose units are made for its own services, and not part of systemd; build "
              "another guest instead: vmctl image build debian:bookworm");
    return NULL;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (dirs) && found == NULL; i++)
    if (has (root, dirs[i], needed[0]))
      found = dirs[i];
  if (found == NULL)
    vm_error (
        error, VM_ERROR_HOST,
        "this host has no systemd ('%s/systemd' is not there); install it (apt install systemd dbus: it need "
        "not run here), or build another guest: vmctl image build debian:bookworm",
        dirs[0]);
  else if ((missing = first_missing (root, found)) != NULL)
    vm_error (error, VM_ERROR_HOST,
              "this host's systemd is not whole: '%s/%s' is not there; install its package again", found,
              missing);
  return missing == NULL && found != NULL ? g_build_filename (found, needed[0], NULL) : NULL;
}

gboolean
image_host_systemd_has_bus (const char *root)
{
  return has (root, "/usr/bin", "dbus-daemon") || has (root, "/usr/bin", "dbus-broker-launch");
}

/* (transfer full) */
static char *
make_id (const char *arch, const char *init)
{
  g_autofree char *text = g_strdup_printf (FORMAT "\narch %s\ninit %s\n", arch, init);
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);

  return g_strconcat (IMAGE_ID_PREFIX, sum, NULL);
}

/* NULL and error */
static ImageInfo *
describe (GError **error)
{
  g_autofree char *init = image_host_systemd_find ("", error);
  struct utsname host;
  ImageInfo *info;

  if (init == NULL)
    return NULL;
  if (uname (&host) < 0) {
    vm_error (error, VM_ERROR_HOST, "cannot tell this host's processor");
    return NULL;
  }
  info = image_info_new ();
  info->id = make_id (host.machine, init);
  info->is_host = TRUE;
  info->origin = g_strdup (IMAGE_HOST_SYSTEMD);
  info->format = g_strdup (IMAGE_HOST_SYSTEMD);
  info->arch = g_strdup (host.machine);
  info->init_kind = IMAGE_INIT_SYSTEMD;
  info->init = g_steal_pointer (&init);
  info->created = g_get_real_time ();
  return info;
}

gboolean
image_host_systemd_build (const char *data_dir, const char *name, gboolean force, ImageInfo **ret,
                          GError **error)
{
  g_auto (ImageStorePart) part = IMAGE_STORE_PART_INIT;
  g_autoptr (ImageInfo) info = NULL;

  if (name == NULL)
    name = IMAGE_HOST_SYSTEMD;
  if (!image_store_check_name (data_dir, name, force, error) || (info = describe (error)) == NULL ||
      !image_store_begin (data_dir, &part, error) || !image_store_commit (&part, info, name, force, error))
    return FALSE;
  *ret = image_store_find (data_dir, info->id, error);
  return *ret != NULL;
}

gboolean
image_host_systemd_check (const ImageInfo *info, GError **error)
{
  g_autofree char *label = image_info_label (info);
  g_autofree char *id = make_id (info->arch != NULL ? info->arch : "", info->init);
  g_autofree char *init = NULL;

  if (!g_str_equal (id, info->id))
    return vm_error (
        error, VM_ERROR_INVALID,
        "the image '%s' is not what it was: its description was changed; remove it (vmctl image rm %s) "
        "and build it again",
        label, label);
  init = image_host_systemd_find ("", error);
  if (init == NULL)
    return FALSE;
  return g_str_equal (init, info->init) ||
         vm_error (
             error, VM_ERROR_HOST,
             "the image '%s' was built where systemd is '%s', and this host has '%s'; build it again: vmctl "
             "image build " IMAGE_HOST_SYSTEMD " --name %s --force",
             label, info->init, init, label);
}

static void
add_times (GChecksum *sum, const char *root, const char *path)
{
  g_autofree char *full = g_strconcat (root, path, NULL), *text = NULL;
  struct stat st;

  if (stat (full, &st) < 0)
    return;
  text = g_strdup_printf ("%s %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld %" G_GINT64_FORMAT "\n", path,
                          (guint64)st.st_ino, (gint64)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec,
                          S_ISDIR (st.st_mode) ? 0 : (gint64)st.st_size);
  g_checksum_update (sum, (const guchar *)text, -1);
}

/* Packages are installed by renaming files into place, which is a change of the directory. */
char *
image_host_systemd_state (const char *root, const char *init)
{
  static const char *const units[] = {"", "/system", "/user", "/system-generators"};
  static const char *const libraries[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/lib/systemd"};
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *own = g_path_get_dirname (init);
  const char *const places[] = {own, "/usr/local/lib/systemd"};
  struct utsname host;

  add_times (sum, root, init);
  for (gsize i = 0; i < G_N_ELEMENTS (places) * G_N_ELEMENTS (units); i++) {
    g_autofree char *path =
        g_strconcat (places[i / G_N_ELEMENTS (units)], units[i % G_N_ELEMENTS (units)], NULL);

    add_times (sum, root, path);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (libraries); i++)
    add_times (sum, root, libraries[i]);
  if (uname (&host) == 0) {
    g_autofree char *debian = g_strdup_printf ("/usr/lib/%s-linux-gnu", host.machine);
    g_autofree char *own_libraries = g_strconcat (debian, "/systemd", NULL);

    add_times (sum, root, debian);
    add_times (sum, root, own_libraries);
  }
  return g_strndup (g_checksum_get_string (sum), 32);
}
