/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A project's .vmctl.conf is written by whoever writes in the project. */
#include <stddef.h>
#include <stdint.h>

#include "vmctl/config.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  for (int is_profile = 0; is_profile < 2; is_profile++) {
    g_autoptr (GError) error = NULL;

    if (vm_config_check ((const char *)data, size, "fuzz", is_profile, &error) != (error == NULL))
      __builtin_trap ();
  }
  return 0;
}
