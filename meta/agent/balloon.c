/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/balloon.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meta/agent/agent.h"

enum { DELAY_MS = 10000 };

bool
balloon_is_module (const char *file)
{
  const char *dash = strchr (file, '-');

  return dash && (strcmp (dash, "-virtio_balloon.ko") == 0 || strcmp (dash, "-virtio-balloon.ko") == 0);
}

int
balloon_timeout (Agent *agent, int timeout)
{
  int64_t now = now_ms (), left;

  if (agent->balloon_fd < 0 || agent->state != AGENT_UP)
    return timeout;
  if (agent->balloon_ms == 0)
    agent->balloon_ms = now + DELAY_MS;
  left = agent->balloon_ms > now ? agent->balloon_ms - now : 0;
  return timeout < 0 || left < timeout ? (int)left : timeout;
}

void
balloon_step (Agent *agent)
{
  pid_t pid;

  if (agent->balloon_fd < 0 || agent->balloon_ms == 0 || now_ms () < agent->balloon_ms)
    return;
  pid = fork ();
  if (pid == 0)
    _exit (balloon_load (agent) < 0);
  close_fd (&agent->balloon_fd); /* without a process there will be no balloon, which is no harm */
}

int
balloon_load (const Agent *agent)
{
  return agent->balloon_fd >= 0 && syscall (SYS_finit_module, agent->balloon_fd, "", 0) < 0 && errno != EEXIST
             ? -errno
             : 0;
}
