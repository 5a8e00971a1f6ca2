/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What template.c (the store) and template-make.c (making one) share. */
#pragma once

#include <json-c/json.h>
#include <sys/stat.h>

extern const char *const image_template_files[]; /* whose identity is recorded; ends with NULL */

/* `cache_dir`/templates. (transfer full) */
char *image_template_dir (const char *cache_dir);
/* Inode, size, and both times. (transfer full) */
json_object *image_template_identity (const struct stat *st);
