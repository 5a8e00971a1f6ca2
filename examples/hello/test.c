/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hello.h"

#include <stdio.h>
#include <string.h>

static int passed, failed;

static void
check (const char *what, int ok)
{
  printf ("  %-4s %s\n", ok ? "ok" : "FAIL", what);
  passed += ok != 0;
  failed += ok == 0;
}

int
main (void)
{
  char text[64], small[8];
  int length;

  hello_greet (text, sizeof text, "Ada");
  check ("greets a person by name", strcmp (text, "Hello, Ada!") == 0);

  length = hello_greet (small, sizeof small, NULL);
  check ("greets the world, and cuts what does not fit", length == 13 && strcmp (small, "Hello, ") == 0);

  check ("counts words", hello_count_words ("  two\twords\n") == 2 && hello_count_words (" ") == 0);

  if (failed > 0) {
    printf ("hello: %d tests failed\n", failed);
    return 1;
  }
  printf ("hello: %d tests passed\n", passed);
  return 0;
}
