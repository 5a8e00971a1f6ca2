/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A part of those of vmctl's programs that run in the jail. */
#include "images/helper.h"

#ifdef IMAGE_SANITIZED
/* Leaks are looked for in /proc, which the jail does not have. What the environment says counts more. */
const char *__asan_default_options (void);

const char *
__asan_default_options (void)
{
  return "detect_leaks=0";
}
#endif
