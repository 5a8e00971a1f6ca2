/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operations of the meta dir's `mounts` (meta/format.h). */
#pragma once

#include "meta/agent/metaread.h"
#include "meta/agent/mounts.h"

/* In order, until one fails. `meta_fd` is the meta dir, `share_fd` the root of the rw share. */
int ops_run (const Tree *tree, const Meta *meta, int meta_fd, int share_fd, Why *why);
