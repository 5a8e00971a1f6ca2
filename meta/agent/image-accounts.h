/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's user in the accounts of an image. */
#pragma once

#include "meta/agent/metaread.h"
#include "meta/agent/mounts.h"

/* Writes /etc/passwd and /etc/group of the tree anew, with the user in front and, unless there is one with
 * that number, the group at the end. Root is there already. 0 or -errno. */
int image_accounts_add (const Tree *tree, const Meta *meta);

/* What these two become: pure, for tests. (caller frees) NULL: no memory. */
char *image_accounts_passwd (const char *old, const Meta *meta, const char *shell);
char *image_accounts_group (const char *old, const Meta *meta);
