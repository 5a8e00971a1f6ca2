/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the first bytes of a connection say about whom it is for: the server name of a TLS ClientHello (RFC
 * 8446, RFC 6066), the Host of an HTTP/1 request (RFC 9112), or :authority is not seen (HTTP/2 in the clear:
 * its preface is refused). Pure, libc only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmctl/net/name.h"

enum { NET_HELLO_MAX = 16384 };

typedef enum {
  NET_HELLO_MORE, /* cannot be said yet */
  NET_HELLO_TLS,  /* name is the server's; "": it has none */
  NET_HELLO_HTTP, /* name is the host's; "": it has none, or is an address */
  NET_HELLO_SSH,
  NET_HELLO_OTHER,
  NET_HELLO_MALFORMED, /* begins as one of these and is none, or is larger than NET_HELLO_MAX */
} NetHelloKind;

typedef struct {
  char name[NET_NAME_SIZE]; /* canonical */
  bool encrypted;           /* an outer ECH: the name is not the one that counts */
} NetHello;

/* `bytes`: all that has come so far, in order. */
NetHelloKind net_hello_read (const uint8_t *bytes, size_t length, NetHello *ret);
