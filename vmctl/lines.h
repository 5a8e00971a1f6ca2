/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial lines of sandboxes that have no ports: two sockets in the runtime directory, `serial-NAME.sock` for
 * those outside and `line-NAME/socket`, whose directory the keeper mounts inside. Who connects to the one and
 * who connects to the other talk to each other, one at each end at a time. What is written before the other
 * end is there waits. */
#pragma once

#include <glib.h>

typedef struct VmLines VmLines;

VmLines *vm_lines_new (int runtime_fd); /* borrowed */
void vm_lines_free (VmLines *lines);    /* the sockets' files stay; NULL is fine */

/* Makes directory and sockets, anew if they are there. */
gboolean vm_lines_add (VmLines *lines, const char *name, GError **error);
/* Takes them away, and ends who talks. Absent is fine. */
void vm_lines_remove (VmLines *lines, const char *name);
