/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-fd.h"

#include <fcntl.h>
#include <stdlib.h>

int
keeper_fd_option (const char *text, int *ret)
{
  char *end;
  long value = strtol (text, &end, 10);

  if (*text < '0' || *text > '9' || *end != '\0' || value < 3 || value > 1 << 20 ||
      fcntl ((int)value, F_SETFD, FD_CLOEXEC) < 0)
    return -1;
  *ret = (int)value;
  return 1;
}
