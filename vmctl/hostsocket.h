/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket of the host that a sandbox is let to talk to. */
#pragma once

#include <glib.h>

/* Connects to the UNIX stream socket at `path` (absolute), as it is now, without ever waiting. The descriptor
 * is non-blocking. -1 and an error; *ret_busy: its queue is full just now, and another try may do.
 *
 * Symbolic links are followed, since many people keep one to the socket of their latest login. But not those
 * that lie in `writable` (real paths, NULL-terminated; borrowed): whoever can write there would choose the
 * socket. */
int
vm_host_socket_connect (const char *path, const char *const *writable, gboolean *ret_busy, GError **error);
