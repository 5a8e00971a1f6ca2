/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* Root and the users with a uid from 1000 on (not nobody), from the text of an /etc/passwd, which may be
 * anything: an array of objects with "name", "uid", "gid", "home", "shell". Pure. (transfer full) */
json_object *image_guestfs_users (const char *passwd);
