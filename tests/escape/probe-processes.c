/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other processes, sockets, descriptors, programs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

/* In how many processes' files of /proc the marker is found; the words of the probe itself hold it too, so
 * those below its own pid's are left out. */
static unsigned
count_marker (const char *file, const char *marker)
{
  DIR *dir = opendir ("/proc");
  static char text[65536];
  struct dirent *entry;
  unsigned found = 0;

  while (dir != NULL && (entry = readdir (dir)) != NULL) {
    char path[PATH_MAX];

    if (strspn (entry->d_name, "0123456789") != strlen (entry->d_name))
      continue;
    snprintf (path, sizeof path, "/proc/%s/%s", entry->d_name, file);
    if (probe_read (path, text, sizeof text) && *marker != '\0' &&
        memmem (text, sizeof text, marker, strlen (marker)))
      found++;
    memset (text, 0, sizeof text);
  }
  if (dir != NULL)
    closedir (dir);
  return found;
}

static void
host_processes (void)
{
  const char *marker = probe_setting ("marker");
  int pid = atoi (probe_setting ("pid"));
  char path[PATH_MAX];

  probe_report (count_marker ("environ", marker) == 0, "B21-environ",
                "a host process's environment by /proc");
  probe_report (count_marker ("comm", marker) == 0, "B21-comm", "a host process's name by /proc");
  if (pid <= 0) /* not told of one: 0 would be ourselves */
    return;
  snprintf (path, sizeof path, "/proc/%d", pid);
  if (access (path, F_OK) != 0) {
    int result = kill (pid, SIGTERM);

    probe_report (result < 0 && errno == ESRCH, "B21-kill", "kill of the host's pid %d: %s", pid,
                  result < 0 ? strerror (errno) : "it was sent");
  } else {
    probe_report (count_marker ("environ", marker) == 0, "B21-kill", "pid %d is another process here", pid);
  }
  probe_report (access ("/proc/1/root/etc/shadow", F_OK) != 0, "B21-root", "/proc/1/root/etc/shadow");
}

static void
connect_to (const char *name, const char *path, bool abstract)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  size_t n = strlen (path);
  int result, why;

  if (n + 1 >= sizeof address.sun_path || n == 0) {
    probe_report (n != 0, name, "the path '%s' is too long or empty", path);
    close (fd);
    return;
  }
  memcpy (address.sun_path + (abstract ? 1 : 0), path, n);
  result = connect (fd, (struct sockaddr *)&address,
                    offsetof (struct sockaddr_un, sun_path) + n + (abstract ? 1 : 0));
  why = errno;
  close (fd);
  probe_report (result < 0, name, "%s: %s", path, result < 0 ? strerror (why) : "connected");
}

/* A descriptor of the first process that names a file or directory of the host would be a way to it. */
static void
init_descriptors (void)
{
  static const char *const fine[] = {"/dev/", "/proc/", "/memfd:", "/run/vmctl/"};
  unsigned bad = 0;

  for (unsigned fd = 0; fd < 256; fd++) {
    char path[64], link[PATH_MAX];
    ssize_t n;
    bool ok = false;

    snprintf (path, sizeof path, "/proc/1/fd/%u", fd);
    n = readlink (path, link, sizeof link - 1);
    if (n <= 0 || link[0] != '/')
      continue;
    link[n] = '\0';
    for (unsigned i = 0; i < sizeof fine / sizeof *fine; i++)
      ok |= strncmp (link, fine[i], strlen (fine[i])) == 0;
    bad += !ok;
  }
  probe_report (bad == 0, "B22-init-fds", "%u descriptors of the first process name files", bad);
}

static void
sockets (void)
{
  static const char *const own[] = {"agent.sock",  "control.sock", "keeper.sock", "qmp.sock",
                                    "record.json", "lock",         "plan.json"};
  char path[PATH_MAX], name[64];
  const char *runtime = probe_setting ("runtime");

  connect_to ("B22-abstract", probe_setting ("abstract"), true);
  connect_to ("B22-path", probe_setting ("socket"), false);
  connect_to ("B22-docker", "/run/docker.sock", false);
  connect_to ("B22-dbus", "/run/dbus/system_bus_socket", false);
  connect_to ("B22-systemd", "/run/systemd/private", false);
  for (unsigned i = 0; i < sizeof own / sizeof *own; i++) {
    static const char *const ways[] = {"%s/%s", "/run/vmctl/meta/../%2$s", "/run/vmctl/%2$s",
                                       "/mnt/meta/../%2$s"};
    unsigned found = 0;

    for (unsigned w = 0; w < sizeof ways / sizeof *ways; w++) {
      struct stat st;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
      snprintf (path, sizeof path, ways[w], runtime, own[i]);
#pragma GCC diagnostic pop
      found += lstat (path, &st) == 0;
    }
    snprintf (name, sizeof name, "B22-%s", own[i]);
    probe_report (found == 0, name, "found at %u places", found);
  }
  init_descriptors ();
}

/* What the caller had open, as numbers and as directories to walk out of. */
static void
descriptors (void)
{
  unsigned extra = 0;
  char cwd[PATH_MAX], name[32];

  for (int fd = 3; fd < 4096; fd++) {
    struct stat st;

    if (fstat (fd, &st) == 0) {
      extra++;
      snprintf (name, sizeof name, "B26-fd-%d", fd);
      probe_report (false, name, "is open, mode %o", st.st_mode);
    }
  }
  probe_report (extra == 0, "B26-descriptors", "%u descriptors besides 0, 1, 2", extra);
  probe_report (getcwd (cwd, sizeof cwd) != NULL && strcmp (cwd, probe_setting ("project")) == 0, "B26-cwd",
                "the directory is '%s'", cwd);
  probe_report (openat (3, "etc/shadow", O_RDONLY) < 0 && openat (700, "etc/shadow", O_RDONLY) < 0,
                "B26-openat", "openat 3 and 700");
}

/* The programs that vmctl brings in: opened for writing they would be the host's next. */
static void
own_programs (void)
{
  static const char *const paths[] = {
      "/proc/1/exe",  "/proc/self/exe", "/run/vmctl/bin/sudo",     "/run/vmctl/agent",
      "/usr/bin/env", "/bin/sh",        "/proc/1/root/usr/bin/env"};

  for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
    char name[32];
    int fd = open (paths[i], O_WRONLY | O_CLOEXEC | O_NOCTTY), why = errno;

    if (i == 1) { /* the probe itself lies in the project; it is busy all the same */
      probe_report (fd < 0, "B25-self-exe", "%s", fd < 0 ? strerror (why) : "it opens");
      continue;
    }
    snprintf (name, sizeof name, "B25-%u", i);
    if (fd >= 0 && write (fd, "", 0) < 0)
      why = errno;
    probe_report (fd < 0 || getuid () == 0, name, "%s for writing: %s", paths[i],
                  fd < 0 ? strerror (why) : "it opens");
    if (fd >= 0)
      close (fd);
  }
}

/* A fork bomb in small: held when something says no before 5000 are there. */
static int
bomb (void)
{
  unsigned made = 0;
  struct rlimit none = {0, 0};

  setrlimit (RLIMIT_CORE, &none);
  setpgid (0, 0);
  alarm (4);
  while (made < 5000) {
    pid_t pid = fork ();

    if (pid == 0) {
      alarm (4);
      pause ();
      _exit (0);
    }
    if (pid < 0)
      break;
    made++;
  }
  signal (SIGTERM, SIG_IGN);
  kill (0, SIGTERM);
  while (wait (NULL) > 0)
    ;
  return made < 5000 ? 0 : 1;
}

static void
limits (void)
{
  int status;

  if (*probe_setting ("bomb") == '\0')
    return;
  status = probe_child (bomb);
  probe_report (status != 1, "B37-fork", "%s",
                status == 0   ? "something said no"
                : status == 1 ? "5000 processes could be made"
                              : "5000 processes were not made in time");
}

void
probe_processes (void)
{
  host_processes ();
  sockets ();
  descriptors ();
  own_programs ();
  limits ();
}
