/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facts behind grants: which sockets are safe to talk to, and where a program comes from. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmctl/base/file.h"
#include "vmctl/host-parts.h"

typedef struct {
  char *root; /* owned; a temporary directory, real path */
  VmHost host;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *made = g_dir_make_tmp ("vmctl-grants-XXXXXX", NULL);
  char *real = realpath (made, NULL);

  f->root = g_strdup (real);
  free (real);
  f->host.uid = getuid ();
  f->host.home = g_strdup (f->root);
  f->host.dirs.runtime = g_build_filename (f->root, "vmctl", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_host_clear (&f->host);
  vm_file_remove_tree (AT_FDCWD, f->root, NULL);
  g_free (f->root);
}

static char *
at (const Fixture *f, const char *name)
{
  return g_build_filename (f->root, name, NULL);
}

static char *
make_dir (const Fixture *f, const char *name, mode_t mode)
{
  char *path = at (f, name);

  g_assert_cmpint (mkdir (path, 0700), ==, 0);
  g_assert_cmpint (chmod (path, mode), ==, 0);
  return path;
}

static char *
make_socket (const Fixture *f, const char *name)
{
  char *path = at (f, name);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (strlen (path), <, sizeof address.sun_path);
  memcpy (address.sun_path, path, strlen (path) + 1);
  g_assert_cmpint (bind (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  close (fd);
  return path;
}

static void
assert_problem (const char *path, const char *part)
{
  g_autofree char *problem = vm_host_socket_problem (path, getuid ());

  g_assert_nonnull (problem);
  if (strstr (problem, part) == NULL)
    g_error ("'%s' is not in '%s'", part, problem);
}

static void
test_good (Fixture *f, gconstpointer data)
{
  g_autofree char *dir = make_dir (f, "dir", 0755), *socket = make_socket (f, "dir/s");
  g_autofree char *sticky = make_dir (f, "sticky", 01777), *second = make_socket (f, "sticky/s");

  g_assert_null (vm_host_socket_problem (socket, getuid ()));
  g_assert_null (vm_host_socket_problem (second, getuid ()));
}

static void
test_problems (Fixture *f, gconstpointer data)
{
  g_autofree char *open_dir = make_dir (f, "open", 0777), *exposed = make_socket (f, "open/s");
  g_autofree char *dir = make_dir (f, "dir", 0755), *socket = make_socket (f, "dir/s");
  g_autofree char *gone = at (f, "dir/gone"), *below = at (f, "dir/s/x");

  assert_problem ("relative", "absolute");
  assert_problem (exposed, "everybody can write");
  assert_problem (gone, "is not there");
  assert_problem (dir, "is not a socket");
  assert_problem (below, "is not a directory");
  g_assert_nonnull (socket);
}

/* A link of root's is part of the system; one of anybody else's can be turned. */
static void
test_links (Fixture *f, gconstpointer data)
{
  g_autofree char *dir = make_dir (f, "dir", 0755), *socket = make_socket (f, "dir/s");
  g_autofree char *link = at (f, "link"), *through = at (f, "link/s"), *last = at (f, "dir/link");

  g_assert_cmpint (symlink (dir, link), ==, 0);
  g_assert_cmpint (symlink (socket, last), ==, 0);
  assert_problem (last, "symbolic link");
  if (getuid () == 0)
    g_assert_cmpint (lchown (link, 1234, 1234), ==, 0);
  assert_problem (through, "symbolic link");
}

static void
test_other_owner (Fixture *f, gconstpointer data)
{
  g_autofree char *dir = make_dir (f, "dir", 0755), *socket = make_socket (f, "dir/s");
  g_autofree char *second = make_dir (f, "second", 0755), *other = make_socket (f, "second/s");

  if (getuid () != 0) {
    g_test_skip ("only root can give files away");
    return;
  }
  g_assert_cmpint (chown (socket, 1234, 1234), ==, 0);
  assert_problem (socket, "belongs to uid 1234");
  g_assert_cmpint (chown (second, 1234, 1234), ==, 0);
  assert_problem (other, "belongs to uid 1234");
}

static void
gather (Fixture *f, const char *first, ...)
{
  g_autoptr (GPtrArray) environment = g_ptr_array_new_null_terminated (8, g_free, TRUE);
  va_list ap;

  va_start (ap, first);
  for (const char *one = first; one != NULL; one = va_arg (ap, const char *))
    g_ptr_array_add (environment, g_strdup (one));
  va_end (ap);
  g_strfreev (f->host.environment);
  f->host.environment = g_strdupv ((char **)environment->pdata);
  vm_host_sockets_free (f->host.sockets);
  vm_host_gather_sockets (&f->host);
}

static void
test_environment (Fixture *f, gconstpointer data)
{
  g_autofree char *bus = make_socket (f, "bus"), *agent = make_socket (f, "agent");
  g_autofree char *wayland = make_socket (f, "wayland-7"), *pulse = make_dir (f, "pulse", 0700);
  g_autofree char *native = make_socket (f, "pulse/native"), *pipewire = make_socket (f, "pipewire-0");
  g_autofree char *auth = g_strconcat ("SSH_AUTH_SOCK=", agent, NULL);
  g_autofree char *address = g_strconcat ("DBUS_SYSTEM_BUS_ADDRESS=unix:path=", bus, ",guid=1", NULL);

  gather (f, auth, address, "WAYLAND_DISPLAY=wayland-7", "DISPLAY=localhost:10.0", NULL);
  g_assert_cmpstr (vm_host_socket (&f->host, "ssh-agent")->path, ==, agent);
  g_assert_cmpstr (vm_host_socket (&f->host, "dbus-system")->path, ==, bus);
  g_assert_cmpstr (vm_host_socket (&f->host, "dbus-session")->path, ==, bus);
  g_assert_cmpstr (vm_host_socket (&f->host, "wayland")->path, ==, wayland);
  g_assert_cmpstr (vm_host_socket (&f->host, "wayland")->detail, ==, "wayland-7");
  g_assert_cmpstr (vm_host_socket (&f->host, "pulse")->path, ==, native);
  g_assert_cmpstr (vm_host_socket (&f->host, "pipewire")->path, ==, pipewire);
  g_assert_null (vm_host_socket (&f->host, "x11")->path);
  g_assert_nonnull (strstr (vm_host_socket (&f->host, "x11")->problem, "localhost:10.0"));
  gather (f, "SSH_AUTH_SOCK=", "DBUS_SESSION_BUS_ADDRESS=unix:abstract=/tmp/x", "PULSE_SERVER=tcp:host",
          "DISPLAY=:99999", NULL);
  g_assert_null (vm_host_socket (&f->host, "ssh-agent"));
  g_assert_nonnull (strstr (vm_host_socket (&f->host, "dbus-session")->problem, "unix:abstract"));
  g_assert_nonnull (strstr (vm_host_socket (&f->host, "pulse")->problem, "tcp:host"));
  g_assert_nonnull (vm_host_socket (&f->host, "x11")->problem);
}

static void
put_program (const Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = at (f, name), *dir = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (dir, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (chmod (path, 0755), ==, 0);
}

static void
test_program (Fixture *f, gconstpointer data)
{
  g_autofree char *bin = at (f, "bin"), *old = g_strdup (g_getenv ("PATH"));
  g_autofree char *path = g_strconcat (".:", bin, NULL), *link = at (f, "bin/agent");
  g_autofree char *script = at (f, "lib/agent.js"), *node = at (f, "bin/node");
  g_autofree char *local = at (f, "home/.local/bin/agent");
  g_autofree char *newest = at (f, "home/.nvm/versions/node/v18.2.0/bin/agent");

  g_free (f->host.home);
  f->host.home = at (f, "home");

  put_program (f, "lib/agent.js", "#!/usr/bin/env -S node --flag\nx");
  put_program (f, "bin/node", "");
  g_assert_cmpint (symlink ("../lib/agent.js", link), ==, 0);
  g_setenv ("PATH", path, TRUE);
  vm_host_gather_program (&f->host, "agent", NULL);
  g_assert_cmpstr (f->host.program.path, ==, link);
  g_assert_cmpstr (f->host.program.link, ==, "../lib/agent.js");
  g_assert_cmpstr (f->host.program.real, ==, script);
  g_assert_cmpstr (f->host.program.interpreter, ==, node);
  g_assert_cmpstr (f->host.program.interpreter_real, ==, node);
  vm_host_gather_program (&f->host, "no-such-agent", (char *[]){bin, (char *)"/nonexistent", NULL});
  g_assert_cmpstr (f->host.program.name, ==, "no-such-agent");
  g_assert_null (f->host.program.path);
  g_assert_cmpstr (f->host.path_dirs[0].path, ==, bin);
  g_assert_null (f->host.path_dirs[1].path);
  g_setenv ("PATH", "/nonexistent", TRUE);
  put_program (f, "home/.nvm/versions/node/v9.1.0/bin/agent", "");
  put_program (f, "home/.nvm/versions/node/v18.2.0/bin/agent", "");
  vm_host_gather_program (&f->host, "agent", NULL); /* as under sudo, whose PATH has none of the user's */
  g_assert_cmpstr (f->host.program.path, ==, newest);
  put_program (f, "home/.local/bin/agent", "");
  vm_host_gather_program (&f->host, "agent", NULL);
  g_assert_cmpstr (f->host.program.path, ==, local);
  g_setenv ("PATH", old, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/vmctl/grants/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("good", test_good);
  ADD ("problems", test_problems);
  ADD ("links", test_links);
  ADD ("other-owner", test_other_owner);
  ADD ("environment", test_environment);
  ADD ("program", test_program);
  return g_test_run ();
}
