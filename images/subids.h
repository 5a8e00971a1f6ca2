/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ids that a user may give to others in a user namespace: subuid(5). */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* As many as a distribution has: up to "nobody". */
enum { IMAGE_SUBIDS = 65536 };

/* "FIRST:COUNT" of the first line of /etc/subuid (its `text`) that gives enough to the user: by name (may be
 * NULL), or by uid. NULL: there is none. Pure. (transfer full) */
char *image_subids_parse (const char *text, const char *name, uid_t uid);

/* Those of this user, from /etc/subuid and /etc/subgid. VM_ERROR_HOST: he has none, with the command that
 * gives him some. (transfer full) */
gboolean image_subids_find (char **ret_users, char **ret_groups, GError **error);
