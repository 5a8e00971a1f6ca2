/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image without a disk: the guest's root is this host's tree, as without an image, and systemd from this
 * host's own /usr is its first process. The store has only its description; its id is the checksum of that.
 */
#pragma once

#include <glib.h>

#include "images/info.h"

/* What is built, its origin, its format, and by default its name. */
#define IMAGE_HOST_SYSTEMD "host-systemd"

/* Where this host has it, "/usr/lib/systemd/systemd", looked for below `root` ("", or a test's directory).
 * HOST, with the mend: there is none, not all that it needs, or it has no units of its own (NixOS). (transfer
 * full) */
char *image_host_systemd_find (const char *root, GError **error);

/* Without one only root can ask systemd for anything. */
gboolean image_host_systemd_has_bus (const char *root);

/* Puts it into the user's store. EXISTS as image_store_name; the same again costs nothing. */
gboolean image_host_systemd_build (const char *data_dir, const char *name, gboolean force, ImageInfo **ret,
                                   GError **error);

/* Is it what it says, and can this host run it? INVALID: somebody has changed image.json. HOST as
 * image_host_systemd_find, or that is elsewhere than it was when it was built. */
gboolean image_host_systemd_check (const ImageInfo *info, GError **error);

/* What its templates depend on, as `init` of the tree below `root` is now: the program, and each directory of
 * units and of libraries, which any package that brings or replaces one has changed. (transfer full) */
char *image_host_systemd_state (const char *root, const char *init);
