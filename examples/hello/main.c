/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hello.h"

#include <stdio.h>

int
main (int argc, char **argv)
{
  char text[256];

  hello_greet (text, sizeof text, argc > 1 ? argv[1] : NULL);
  return puts (text) < 0;
}
