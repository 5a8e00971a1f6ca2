/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hello.h"

#include <ctype.h>
#include <stdio.h>

int
hello_greet (char *out, size_t size, const char *name)
{
  return snprintf (out, size, "Hello, %s!", name != NULL && *name != '\0' ? name : "world");
}

size_t
hello_count_words (const char *text)
{
  size_t words = 0;
  int inside = 0;

  for (; *text != '\0'; text++) {
    int space = isspace ((unsigned char)*text);

    words += !space && !inside;
    inside = !space;
  }
  return words;
}
