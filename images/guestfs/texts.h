/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in some files of every system. Pure; the texts may be anything. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* Of an /etc/passwd, root and the users with a uid from 1000 on (not nobody): an array of objects with
 * "name", "uid", "gid", "home", "shell". (transfer full) */
json_object *image_guestfs_users (const char *passwd);
/* PRETTY_NAME of an os-release; NULL. (transfer full) */
char *image_guestfs_os_name (const char *os_release);
/* How many lines of `text` begin so. */
guint image_guestfs_count (const char *text, const char *beginning);
