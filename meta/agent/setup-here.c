/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Namespaces, containers, the null driver: the root is there, made by whoever started the agent. What is left
 * to do is what an ordinary process can: files with a content, and sockets to listen on. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/ops.h"

static int
load (Agent *agent, Why *why)
{
  int r = meta_load (&agent->meta, agent->meta_fd, agent->bundle, agent->bundle_size, why);

  if (r == 0 && agent->only_uid != UINT64_MAX && agent->meta.uid != agent->only_uid)
    return why_set (why, EPERM, "the meta dir names another user");
  return r;
}

int
setup_here (Agent *agent, Why *why)
{
  Tree tree = {.uid = geteuid (), .gid = getegid ()};
  bool is_root = agent->contained && geteuid () == 0;
  int r = load (agent, why);

  if (r < 0)
    return r;
  /* The root of a container makes these things as the user, as it would be without it. */
  if (is_root && act_as (agent->meta.uid, agent->meta.gid) < 0)
    return why_set (why, errno, "cannot act as the user");
  tree.uid = geteuid ();
  tree.gid = getegid ();
  tree.home = agent->meta.home;
  tree.root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tree.root < 0)
    return why_set (why, errno, "cannot open '/'");
  r = ops_run (&(Ops){.tree = &tree,
                      .meta_fd = agent->meta_fd,
                      .share_fd = -1,
                      .relays = &agent->relays,
                      .here = true,
                      .was_root = is_root},
               &agent->meta, why);
  close_fd (&tree.root);
  if (is_root && act_as (0, 0) < 0)
    return why_set (why, errno, "cannot act as root again");
  return r;
}
