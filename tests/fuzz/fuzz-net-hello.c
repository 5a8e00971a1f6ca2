/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever is said as soon as it can be said stays so, however much follows. */
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/hello.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* In memory of that very size, so that a sanitizer sees a byte too many being read. */
static NetHelloKind
read_part (const uint8_t *data, size_t size, NetHello *ret)
{
  uint8_t *copy = malloc (size > 0 ? size : 1);
  NetHelloKind kind;

  if (copy == NULL)
    abort ();
  memcpy (copy, data, size);
  kind = net_hello_read (copy, size, ret);
  free (copy);
  return kind;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  NetHello whole, part;
  NetHelloKind kind = read_part (data, size, &whole);
  size_t n = 0;

  if (size >= 2048)
    return 0; /* the rest takes long */
  while (n < size && read_part (data, n, &part) == NET_HELLO_MORE)
    n++;
  if (read_part (data, n, &part) != kind || strcmp (part.name, whole.name) != 0 ||
      part.encrypted != whole.encrypted)
    abort ();
  if (kind != NET_HELLO_TLS && kind != NET_HELLO_HTTP)
    return 0;
  if (whole.name[0] != '\0' && !net_name_canonical (whole.name, strlen (whole.name), part.name))
    abort ();
  return 0;
}
