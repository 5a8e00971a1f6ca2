/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **settings;
static unsigned count;

const char *
probe_setting (const char *key)
{
  size_t n = strlen (key);

  for (char **one = settings; *one != NULL; one++)
    if (strncmp (*one, key, n) == 0 && (*one)[n] == '=')
      return *one + n + 1;
  return "";
}

void
probe_report (bool held, const char *name, const char *format, ...)
{
  char text[512];
  va_list ap;

  va_start (ap, format);
  vsnprintf (text, sizeof text, format, ap);
  va_end (ap);
  for (char *c = text; *c != '\0'; c++)
    if (*c < ' ' || *c == '#')
      *c = '?';
  printf ("%s %u - %s: %s\n", held ? "ok" : "not ok", ++count, name, text);
  fflush (stdout);
}

void
probe_denied (const char *name, long result)
{
  bool held = result < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS);

  probe_report (held, name, "%s", result < 0 ? strerror (errno) : "it succeeded");
}

bool
probe_read (const char *path, char *buffer, unsigned size)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  unsigned have = 0;
  ssize_t n = 0;

  buffer[0] = '\0';
  if (fd < 0)
    return false;
  while (have < size - 1 && (n = read (fd, buffer + have, size - 1 - have)) > 0)
    have += n;
  close (fd);
  buffer[have] = '\0';
  return n >= 0;
}

int
probe_child (int (*function) (void))
{
  pid_t pid = fork ();
  int status = 0;

  if (pid == 0) {
    signal (SIGALRM, SIG_DFL);
    alarm (60);
    _exit (function ());
  }
  if (pid < 0 || waitpid (pid, &status, 0) < 0)
    return -1;
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run) (void);
  } parts[] = {{"files", probe_files},
               {"crowd", probe_crowd},
               {"processes", probe_processes},
               {"kernel", probe_kernel},
               {"terminal", probe_terminal}};
  bool found = false;

  if (argc < 2) {
    fprintf (stderr, "usage: vmctl-probe files|crowd|processes|kernel|terminal|all [KEY=VALUE...]\n");
    return 2;
  }
  settings = argv + 2;
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp (argv[1], parts[i].name) == 0 || strcmp (argv[1], "all") == 0) {
      parts[i].run ();
      found = true;
    }
  printf ("1..%u\n", count);
  return found ? 0 : 2;
}
