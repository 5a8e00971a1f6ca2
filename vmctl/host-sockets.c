/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of the host that grants may let in: where the environment says that they are, and whether it is
 * safe to believe it. Whoever can put another socket at the path would be talked to in the user's name. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/host-parts.h"

enum { DISPLAY_MAX = 65535 };

/* One directory on the way, or a link at its place. */
static char *
step_problem (const char *at, guint uid)
{
  struct stat st;

  if (lstat (at, &st) < 0)
    return g_strdup_printf ("'%s' cannot be used: %s", at, g_strerror (errno));
  if (S_ISLNK (st.st_mode))
    return st.st_uid == 0
               ? NULL
               : g_strdup_printf ("'%s' is a symbolic link, so another socket may take its place", at);
  if (!S_ISDIR (st.st_mode))
    return g_strdup_printf ("'%s' is not a directory", at);
  if (st.st_uid != uid && st.st_uid != 0)
    return g_strdup_printf ("the directory '%s' belongs to uid %u", at, (unsigned)st.st_uid);
  if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
    return g_strdup_printf ("everybody can write in the directory '%s'", at);
  return NULL;
}

static char *
last_problem (const char *path, guint uid)
{
  struct stat st;

  if (lstat (path, &st) < 0)
    return errno == ENOENT ? g_strdup_printf ("'%s' is not there", path)
                           : g_strdup_printf ("'%s' cannot be used: %s", path, g_strerror (errno));
  if (S_ISLNK (st.st_mode))
    return g_strdup_printf ("'%s' is a symbolic link, so another socket may take its place", path);
  if (!S_ISSOCK (st.st_mode))
    return g_strdup_printf ("'%s' is not a socket", path);
  if (st.st_uid != uid && st.st_uid != 0)
    return g_strdup_printf ("'%s' belongs to uid %u", path, (unsigned)st.st_uid);
  return NULL;
}

char *
vm_host_socket_problem (const char *path, guint uid)
{
  if (!g_path_is_absolute (path) || !g_utf8_validate (path, -1, NULL))
    return g_strdup_printf ("'%s' is not an absolute path", path);
  for (const char *slash = strchr (path + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
    g_autofree char *at = g_strndup (path, (gsize)(slash - path));
    char *problem = step_problem (at, uid);

    if (problem != NULL)
      return problem;
  }
  return last_problem (path, uid);
}

static void
add_problem (GArray *list, const char *name, char *take_problem)
{
  VmHostSocket socket = {.name = g_strdup (name), .problem = take_problem};

  g_array_append_val (list, socket);
}

static void
add (GArray *list, const VmHost *host, const char *name, const char *path, const char *detail)
{
  g_autofree char *plain = g_path_is_absolute (path) ? g_canonicalize_filename (path, "/") : g_strdup (path);
  char *problem = vm_host_socket_problem (plain, host->uid);
  VmHostSocket socket = {.name = g_strdup (name),
                         .path = problem == NULL ? g_strdup (plain) : NULL,
                         .detail = problem == NULL ? g_strdup (detail) : NULL,
                         .problem = problem};

  g_array_append_val (list, socket);
}

/* A place where it usually is: nothing there is no problem. */
static void
add_usual (GArray *list, const VmHost *host, const char *name, const char *path)
{
  struct stat st;

  if (path != NULL && lstat (path, &st) == 0)
    add (list, host, name, path, NULL);
}

static const char *
variable (const VmHost *host, const char *name)
{
  const char *value = g_environ_getenv (host->environment, name);

  return value != NULL && *value != '\0' ? value : NULL;
}

/* The user's runtime directory, not vmctl's own below it; NULL: none that is private. (transfer full) */
static char *
runtime_dir (const VmHost *host)
{
  g_autofree char *logind = g_strdup_printf ("/run/user/%u", host->uid);
  g_autofree char *parent = g_path_get_dirname (host->dirs.runtime);

  if (host->dirs.runtime_is_fallback && !g_str_equal (parent, logind))
    return NULL;
  return g_steal_pointer (&parent);
}

static char *
in_runtime (const VmHost *host, const char *name)
{
  g_autofree char *dir = runtime_dir (host);

  return dir != NULL ? g_build_filename (dir, name, NULL) : NULL;
}

/* "unix:path=/a/b,guid=...": only such an address has a place in the file system. */
static void
add_bus (GArray *list, const VmHost *host, const char *name, const char *variable_name, const char *usual)
{
  static const char prefix[] = "unix:path=";
  const char *address = variable (host, variable_name);
  g_autofree char *path = NULL, *plain = NULL;

  if (address == NULL) {
    add_usual (list, host, name, usual);
    return;
  }
  if (g_str_has_prefix (address, prefix)) {
    path = g_strndup (address + strlen (prefix), strcspn (address + strlen (prefix), ",;"));
    plain = g_uri_unescape_string (path, NULL);
  }
  if (plain == NULL)
    add_problem (list, name,
                 g_strdup_printf ("$%s is '%s', which is no path of a socket", variable_name, address));
  else
    add (list, host, name, plain, NULL);
}

/* ":1", ":1.0", "unix:1": a display of this host. */
static void
add_x11 (GArray *list, const VmHost *host)
{
  const char *display = variable (host, "DISPLAY"), *number = display;
  g_autofree char *digits = NULL, *path = NULL;
  guint64 value;

  if (display == NULL)
    return;
  if (g_str_has_prefix (display, "unix:"))
    number += strlen ("unix");
  digits = g_strndup (number + (*number == ':'), strcspn (number + (*number == ':'), "."));
  if (*number != ':' || !g_ascii_string_to_unsigned (digits, 10, 0, DISPLAY_MAX, &value, NULL)) {
    add_problem (list, "x11",
                 g_strdup_printf ("$DISPLAY is '%s', which is no display of this host", display));
    return;
  }
  path = g_strdup_printf ("/tmp/.X11-unix/X%u", (unsigned)value);
  add (list, host, "x11", path, digits);
}

static void
add_wayland (GArray *list, const VmHost *host)
{
  const char *display = variable (host, "WAYLAND_DISPLAY");
  g_autofree char *base = display != NULL ? g_path_get_basename (display) : NULL;
  g_autofree char *path = display == NULL                ? NULL
                          : g_path_is_absolute (display) ? g_strdup (display)
                                                         : in_runtime (host, display);

  if (path != NULL)
    add (list, host, "wayland", path, base);
}

static void
add_audio (GArray *list, const VmHost *host)
{
  const char *server = variable (host, "PULSE_SERVER"), *remote = variable (host, "PIPEWIRE_REMOTE");
  g_autofree char *pipewire = remote != NULL && g_path_is_absolute (remote)
                                  ? g_strdup (remote)
                                  : in_runtime (host, remote != NULL ? remote : "pipewire-0");
  g_autofree char *pulse = in_runtime (host, "pulse/native");

  add_usual (list, host, "pipewire", pipewire);
  if (server == NULL)
    add_usual (list, host, "pulse", pulse);
  else if (g_str_has_prefix (server, "unix:") || *server == '/')
    add (list, host, "pulse", *server == '/' ? server : server + strlen ("unix:"), NULL);
  else
    add_problem (list, "pulse",
                 g_strdup_printf ("$PULSE_SERVER is '%s', which is no path of a socket", server));
}

void
vm_host_gather_sockets (VmHost *host)
{
  GArray *list = g_array_new (TRUE, TRUE, sizeof (VmHostSocket));
  const char *agent = variable (host, "SSH_AUTH_SOCK"), *nix = variable (host, "NIX_DAEMON_SOCKET_PATH");
  g_autofree char *bus = in_runtime (host, "bus");

  if (agent != NULL)
    add (list, host, "ssh-agent", agent, NULL);
  add_usual (list, host, "nix-daemon", nix != NULL ? nix : "/nix/var/nix/daemon-socket/socket");
  add_x11 (list, host);
  add_wayland (list, host);
  add_audio (list, host);
  add_bus (list, host, "dbus-system", "DBUS_SYSTEM_BUS_ADDRESS", "/run/dbus/system_bus_socket");
  add_bus (list, host, "dbus-session", "DBUS_SESSION_BUS_ADDRESS", bus);
  host->sockets = (VmHostSocket *)(gpointer)g_array_free (list, FALSE);
}

void
vm_host_gather_named_socket (VmHost *host, const char *path)
{
  GArray *list = g_array_new (TRUE, TRUE, sizeof (VmHostSocket));
  guint n = 0;

  while (host->sockets != NULL && host->sockets[n].name != NULL)
    n++;
  g_array_append_vals (list, host->sockets, n); /* what they own is the array's now */
  add (list, host, path, path, NULL);
  g_free (host->sockets);
  host->sockets = (VmHostSocket *)(gpointer)g_array_free (list, FALSE);
}

const VmHostSocket *
vm_host_socket (const VmHost *host, const char *name)
{
  for (const VmHostSocket *s = host->sockets; s != NULL && s->name != NULL; s++)
    if (g_str_equal (s->name, name))
      return s;
  return NULL;
}

void
vm_host_sockets_free (VmHostSocket *sockets)
{
  for (VmHostSocket *s = sockets; s != NULL && s->name != NULL; s++) {
    g_free (s->name);
    g_free (s->path);
    g_free (s->detail);
    g_free (s->problem);
  }
  g_free (sockets);
}
