/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hello*.c. */
#pragma once

#include "vmctl/net/hello.h"

/* The name that is said, or "" for an address; false: neither. */
bool net_hello_take_name (const uint8_t *text, size_t length, NetHello *ret);
/* HTTP, MORE, OTHER or MALFORMED; there is a byte, and at most NET_HELLO_MAX. */
NetHelloKind net_hello_read_http (const uint8_t *bytes, size_t length, NetHello *ret);
