/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/freeze.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "meta/agent/agent.h"

enum { FLUSH_MAX_MS = 10000, FREEZE_MAX_MS = 60000, OTHERS_WAIT_MS = 5000, PENDING = 1 };

/* Odd: frozen. Each freeze and each thaw adds one, so a guard knows its own. The guard has the others, and
 * thaws them when the turn is over, whoever has ended it. */
typedef struct {
  _Atomic uint32_t turn;
  _Atomic uint64_t since_us; /* of a freeze that is complete; else 0 */
  unsigned n_others;
  FreezeOther others[FREEZE_OTHERS_MAX];
  _Atomic int others_end; /* PENDING, then what freeze_others_thaw said */
} Shared;

static Shared *shared;

int
freeze_prepare (void)
{
  void *page;

  if (shared)
    return 0;
  page = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return -errno;
  shared = page;
  return 0;
}

/* True for one caller, whose the thaw is. */
static bool
end_turn (uint32_t turn)
{
  if (!atomic_compare_exchange_strong (&shared->turn, &turn, turn + 1))
    return false;
  (void)syscall (SYS_futex, &shared->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  return true;
}

static bool
is_kept (int fd, int root)
{
  for (unsigned i = 0; i < shared->n_others; i++)
    if (shared->others[i].fd == fd)
      return true;
  return fd == root;
}

/* The agent's, which must be able to close them. */
static void
close_all_but (int root)
{
  int last = root;

  for (unsigned i = 0; i < shared->n_others; i++)
    last = shared->others[i].fd > last ? shared->others[i].fd : last;
  (void)syscall (SYS_close_range, last + 1, UINT_MAX, 0);
  for (int fd = 3; fd < last; fd++)
    if (!is_kept (fd, root))
      (void)close (fd);
}

static void __attribute__ ((noreturn)) guard (int fd, uint32_t turn, uint64_t end_us)
{
  struct timespec end = {.tv_sec = (time_t)(end_us / 1000000), .tv_nsec = (long)(end_us % 1000000) * 1000};

  close_all_but (fd);
  while (atomic_load (&shared->turn) == turn && now_us () < end_us)
    (void)syscall (SYS_futex, &shared->turn, FUTEX_WAIT_BITSET, turn, &end, NULL, FUTEX_BITSET_MATCH_ANY);
  if (end_turn (turn))
    (void)ioctl (fd, FITHAW, 0);
  atomic_store (&shared->others_end, freeze_others_thaw (shared->others, shared->n_others));
  (void)syscall (SYS_futex, &shared->others_end, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  _exit (0);
}

/* 0 or -errno, and then nothing is frozen. */
static int
freeze_guarded (int fd, uint32_t turn, uint64_t ms)
{
  pid_t pid = fork ();
  uint64_t since;
  int r;

  if (pid == 0)
    guard (fd, turn, now_us () + ms * 1000);
  if (pid < 0)
    return -EAGAIN;
  since = now_us (); /* whoever writes waits from now on */
  r = freeze_others_stop (shared->others, shared->n_others);
  if (r == 0 && ioctl (fd, FIFREEZE, 0) < 0)
    r = -errno;
  if (r < 0) {
    (void)kill (pid, SIGKILL); /* what somebody else has frozen is not its to thaw */
    (void)freeze_others_thaw (shared->others, shared->n_others);
    return r;
  }
  atomic_store (&shared->since_us, since);
  if (atomic_load (&shared->turn) == turn)
    return 0;
  (void)ioctl (fd, FITHAW, 0); /* the guard may have come too early for it */
  (void)freeze_others_thaw (shared->others, shared->n_others);
  return -ETIMEDOUT;
}

/* The root of the host's own tree is the only file system on its disk. */
static int
find_others (const Agent *agent, bool all)
{
  int n = all || agent->meta.filesystem ? freeze_others_find (agent->scratch_fd, all, shared->others) : 0;

  shared->n_others = n < 0 ? 0 : (unsigned)n;
  atomic_store (&shared->others_end, PENDING);
  return n < 0 ? n : 0;
}

static int
await_others (void)
{
  struct timespec wait = {.tv_sec = OTHERS_WAIT_MS / 1000};
  int end;

  if (shared->n_others == 0)
    return 0;
  while ((end = atomic_load (&shared->others_end)) == PENDING)
    if (syscall (SYS_futex, &shared->others_end, FUTEX_WAIT, PENDING, &wait, NULL, 0) < 0 &&
        errno == ETIMEDOUT)
      return -ETIMEDOUT;
  return end;
}

static bool
is_late (uint64_t began_us)
{
  return now_us () - began_us > FLUSH_MAX_MS * UINT64_C (1000);
}

/* The turn is ours, and nothing is frozen yet. */
static int
freeze_all (const Agent *agent, uint32_t turn, uint64_t ms, bool all, uint64_t began_us)
{
  int r = find_others (agent, all);

  if (r == 0)
    r = freeze_others_flush (shared->others, shared->n_others);
  if (r == 0 && is_late (began_us))
    r = -ETIMEDOUT;
  return r < 0 ? r : freeze_guarded (agent->scratch_fd, turn, ms);
}

int
freeze_do (const Agent *agent, const char *text, bool all)
{
  uint64_t ms, began = now_us ();
  uint32_t turn;
  int r;

  if (parse_number (text, FREEZE_MAX_MS, &ms) < 0 || ms == 0)
    return -EINVAL;
  if (agent->scratch_fd < 0)
    return -EOPNOTSUPP;
  if (syncfs (agent->scratch_fd) < 0) /* the most of it, as long as everybody may still go on */
    return -errno;
  if (is_late (began))
    return -ETIMEDOUT;
  turn = atomic_load (&shared->turn);
  if (turn % 2 != 0 || !atomic_compare_exchange_strong (&shared->turn, &turn, turn + 1))
    return -EBUSY;
  atomic_store (&shared->since_us, 0);
  r = freeze_all (agent, turn + 1, ms, all, began);
  if (r < 0)
    (void)end_turn (turn + 1);
  return r;
}

int
freeze_thaw (const Agent *agent, char *text, unsigned long size)
{
  uint32_t turn = atomic_load (&shared->turn);
  uint64_t since = atomic_load (&shared->since_us);
  int r;

  if (turn % 2 == 0 || !end_turn (turn))
    return -ETIMEDOUT;
  if (ioctl (agent->scratch_fd, FITHAW, 0) < 0 || since == 0)
    return since == 0 ? -EINVAL : -errno; /* somebody inside has thawed it */
  if ((r = await_others ()) < 0)
    return r;
  snprintf (text, size, "%llu", (unsigned long long)(now_us () - since));
  return 0;
}
