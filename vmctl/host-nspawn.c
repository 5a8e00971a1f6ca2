/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the nspawn driver needs to know, found out without starting anything. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/host-parts.h"

enum { CAP_SYS_ADMIN_BIT = 21 };

#define LIBRARY "libsystemd-shared-"

/* Root will execute it: only where the system's own programs are, whatever $PATH says. */
static char *
find_nspawn (void)
{
  const char *paths[] = {"/usr/bin/systemd-nspawn", "/run/current-system/sw/bin/systemd-nspawn"};

  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if (access (paths[i], X_OK) == 0)
      return g_strdup (paths[i]);
  return NULL;
}

/* The library that it is linked to has its version in its name. */
static char *
version_in (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    const char *digits = name + strlen (LIBRARY);

    if (g_str_has_prefix (name, LIBRARY) && g_ascii_isdigit (*digits))
      return g_strndup (digits, strspn (digits, "0123456789"));
  }
  return NULL;
}

static char *
find_version (void)
{
  const char *dirs[] = {"/usr/lib/x86_64-linux-gnu/systemd", "/usr/lib/aarch64-linux-gnu/systemd",
                        "/usr/lib64/systemd", "/usr/lib/systemd", "/run/current-system/systemd/lib/systemd"};
  char *version = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (dirs) && version == NULL; i++)
    version = version_in (dirs[i]);
  return version;
}

/* In a container of somebody's, "root" often may neither mount nor make namespaces. */
static gboolean
is_confined (void)
{
  g_autofree char *status = NULL, *namespaces = NULL;
  const char *line;

  if (g_file_get_contents ("/proc/sys/user/max_user_namespaces", &namespaces, NULL, NULL) &&
      g_ascii_strtoull (namespaces, NULL, 10) == 0)
    return TRUE;
  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL) ||
      (line = strstr (status, "\nCapBnd:")) == NULL)
    return FALSE;
  return (g_ascii_strtoull (line + strlen ("\nCapBnd:"), NULL, 16) >> CAP_SYS_ADMIN_BIT & 1) == 0;
}

void
vm_host_gather_nspawn (VmHost *host)
{
  host->nspawn = find_nspawn ();
  host->nspawn_version = host->nspawn != NULL ? find_version () : NULL;
  host->systemd = g_file_test ("/run/systemd/system", G_FILE_TEST_IS_DIR);
  host->is_confined = is_confined ();
}
