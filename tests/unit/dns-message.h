/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS messages for tests: made by hand, byte by byte, and read as text. */
#pragma once

#include <glib.h>

enum { DNS_QUESTION = 0x0100, DNS_ANSWER = 0x8180, DNS_TC = 0x0200 };

/* A head and a question; "" is the root, and a letter after a backslash stands for itself. */
GByteArray *dns_new (guint id, guint flags, const char *name, guint type);
void dns_put16 (GByteArray *message, guint value);
void dns_put32 (GByteArray *message, guint32 value);
void dns_set16 (GByteArray *message, gsize at, guint value);
void dns_put_name (GByteArray *message, const char *name);
/* EDNS, offering `room` bytes. */
void dns_put_edns (GByteArray *message, guint room);
/* A record of the answer section, counted. `owner` NULL: a pointer to the question's name. */
void dns_put_record (GByteArray *message, const char *owner, guint type, guint32 ttl, const void *data,
                     gsize length);
void dns_put_a (GByteArray *message, const char *owner, guint32 ttl, guint32 address);
/* With `target` uncompressed as its data: CNAME, NS, PTR. */
void dns_put_alias (GByteArray *message, const char *owner, guint type, const char *target);

/* "ID RCODE [cut] [edns] NAME TYPE\n" and for each record "NAME TYPE TTL DATA\n". Aborts if it is malformed.
 */
char *dns_text (const guint8 *bytes, gsize length);
