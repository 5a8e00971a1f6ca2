/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 16384 };

typedef struct {
  pid_t pid, parent;
  char stack[STACK] __attribute__ ((aligned (16)));
} Holder;

IdmapWords
idmap_words (unsigned uid, unsigned gid, unsigned shift, unsigned n)
{
  IdmapWords words;

  (void)snprintf (words.uid, sizeof words.uid, "%u %u %u\n", uid, shift + uid, n);
  (void)snprintf (words.gid, sizeof words.gid, "%u %u %u\n", gid, shift + gid, n);
  return words;
}

static int
write_proc (pid_t pid, const char *name, const char *text)
{
  char path[64];
  ssize_t n;
  int fd;

  (void)snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  n = write (fd, text, strlen (text));
  (void)close (fd);
  return n == (ssize_t)strlen (text) ? 0 : -1;
}

/* In memory that is its parent's: system calls, and nothing else. */
static int
hold (void *data)
{
  const Holder *h = data;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  while (getppid () == h->parent)
    (void)pause ();
  return 0;
}

/* A user namespace is made by being in one: a child is, until its descriptor is open. It shares our memory:
 * to copy the page tables would take longer than all else here. */
static int
begin (Holder *h)
{
  h->parent = getpid ();
  h->pid = clone (hold, h->stack + STACK, CLONE_VM | CLONE_NEWUSER | SIGCHLD, h);
  return h->pid < 0 ? -1 : 0;
}

/* -1 with errno. */
static int
map_and_open (const Holder *h, const IdmapWords *words)
{
  char path[64];

  if (write_proc (h->pid, "uid_map", words->uid) < 0 || write_proc (h->pid, "gid_map", words->gid) < 0)
    return -1;
  (void)snprintf (path, sizeof path, "/proc/%d/ns/user", (int)h->pid);
  return open (path, O_RDONLY | O_CLOEXEC);
}

static void
end (const Holder *holders, int n)
{
  int err = errno;

  for (int i = 0; i < n; i++)
    (void)kill (holders[i].pid, SIGKILL);
  for (int i = 0; i < n; i++)
    while (waitpid (holders[i].pid, NULL, 0) < 0 && errno == EINTR)
      ;
  errno = err;
}

int
idmap_make (const IdmapWords *words, int n, int *ret_fds)
{
  Holder holders[IDMAP_MAX];
  int begun = 0, made = 0;

  while (begun < n && begin (&holders[begun]) == 0)
    begun++;
  while (begun == n && made < n && (ret_fds[made] = map_and_open (&holders[made], &words[made])) >= 0)
    made++;
  end (holders, begun);
  if (made == n)
    return 0;
  while (made > 0)
    (void)close (ret_fds[--made]);
  return -1;
}
