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

enum { FLUSH_MAX_MS = 10000, FREEZE_MAX_MS = 60000 };

/* Odd: frozen. Each freeze and each thaw adds one, so a guard knows its own. */
typedef struct {
  _Atomic uint32_t turn;
  _Atomic uint64_t since_us; /* of a freeze that is complete; else 0 */
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

static void __attribute__ ((noreturn)) guard (int fd, uint32_t turn, uint64_t end_us)
{
  struct timespec end = {.tv_sec = (time_t)(end_us / 1000000), .tv_nsec = (long)(end_us % 1000000) * 1000};

  if (fd != 3 && dup2 (fd, 3) < 0)
    _exit (1);
  (void)syscall (SYS_close_range, 4, UINT_MAX, 0); /* the agent's, which must be able to close them */
  while (atomic_load (&shared->turn) == turn && now_us () < end_us)
    (void)syscall (SYS_futex, &shared->turn, FUTEX_WAIT_BITSET, turn, &end, NULL, FUTEX_BITSET_MATCH_ANY);
  if (end_turn (turn))
    (void)ioctl (3, FITHAW, 0);
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
  if (ioctl (fd, FIFREEZE, 0) < 0) {
    r = -errno;
    (void)kill (pid, SIGKILL); /* what somebody else has frozen is not its to thaw */
    return r;
  }
  atomic_store (&shared->since_us, since);
  if (atomic_load (&shared->turn) == turn)
    return 0;
  (void)ioctl (fd, FITHAW, 0); /* the guard may have come too early for it */
  return -ETIMEDOUT;
}

int
freeze_do (const Agent *agent, const char *text)
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
  if (now_us () - began > FLUSH_MAX_MS * UINT64_C (1000))
    return -ETIMEDOUT;
  turn = atomic_load (&shared->turn);
  if (turn % 2 != 0 || !atomic_compare_exchange_strong (&shared->turn, &turn, turn + 1))
    return -EBUSY;
  atomic_store (&shared->since_us, 0);
  r = freeze_guarded (agent->scratch_fd, turn + 1, ms);
  if (r < 0)
    (void)end_turn (turn + 1);
  return r;
}

int
freeze_thaw (const Agent *agent, char *text, unsigned long size)
{
  uint32_t turn = atomic_load (&shared->turn);
  uint64_t since = atomic_load (&shared->since_us);

  if (turn % 2 == 0 || !end_turn (turn))
    return -ETIMEDOUT;
  if (ioctl (agent->scratch_fd, FITHAW, 0) < 0 || since == 0)
    return since == 0 ? -EINVAL : -errno; /* somebody inside has thawed it */
  snprintf (text, size, "%llu", (unsigned long long)(now_us () - since));
  return 0;
}
