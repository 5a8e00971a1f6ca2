/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "vmctl/base/error.h"

static int caught = -1; /* what a process does with its signals is one of a kind */

void
image_interrupt_catch (void)
{
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  sigset_t set;

  (void)sigemptyset (&set);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    (void)sigaddset (&set, signals[i]);
  if (caught < 0 && (caught = signalfd (-1, &set, SFD_CLOEXEC)) >= 0)
    (void)sigprocmask (SIG_BLOCK, &set, NULL);
}

int
image_interrupt_fd (void)
{
  return caught;
}

gboolean
image_interrupt_check (GError **error)
{
  struct pollfd p = {.fd = caught, .events = POLLIN};

  return poll (&p, 1, 0) <= 0 || vm_error (error, VM_ERROR_FAILED, "interrupted; nothing was left behind");
}
