/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/helper.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>

#include "vmctl/base/error.h"

void
image_helper_limit (int what, rlim_t value)
{
  struct rlimit limit;

  if (getrlimit (what, &limit) < 0)
    return;
  limit.rlim_cur = MIN (limit.rlim_cur, value);
  limit.rlim_max = MIN (limit.rlim_max, value);
  (void)setrlimit (what, &limit); /* lowering cannot fail */
}

#ifndef IMAGE_SANITIZED
static gboolean
load_filter (void)
{
  static const int denied[] = {SCMP_SYS (socket), SCMP_SYS (socketpair), SCMP_SYS (connect),
                               SCMP_SYS (execve), SCMP_SYS (execveat),   SCMP_SYS (fork),
                               SCMP_SYS (vfork),  SCMP_SYS (ptrace),     SCMP_SYS (io_uring_setup),
                               SCMP_SYS (bpf),    SCMP_SYS (mount),      SCMP_SYS (process_vm_writev)};
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  gboolean ok = filter != NULL;

  for (guint i = 0; ok && i < G_N_ELEMENTS (denied); i++)
    ok = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), denied[i], 0) == 0;
  ok = ok && seccomp_load (filter) == 0;
  if (filter != NULL)
    seccomp_release (filter);
  return ok;
}
#endif

gboolean
image_helper_restrict (rlim_t memory, GError **error)
{
#ifndef IMAGE_SANITIZED
  if (!load_filter ())
    return vm_error (error, VM_ERROR_HOST, "cannot load a system call filter");
  image_helper_limit (RLIMIT_AS, memory);
#endif
  image_helper_limit (RLIMIT_CORE, 0);
  (void)signal (SIGXFSZ, SIG_IGN); /* so that write() says EFBIG */
  return TRUE;
}
