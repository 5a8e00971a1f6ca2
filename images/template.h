/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of templates: machines that were booted and saved before they were anybody's, one directory a key
 * below `cache_dir`/templates.
 *
 *   KEY/ram        the guest's memory, sparse; mapped by every machine that starts from it
 *   KEY/state      all else of the machine: QEMU's migration stream
 *   KEY/disk       the scratch disk as the saved guest knows it: a qcow2 overlay without a backing file
 *   KEY/info.json  what it is, and the identity of these three files; written last
 *   KEY/uses       a byte for each use; its time of change is the last one
 *   KEY/hot        what of `ram` a machine touches first (vmctl/hotpages.h); written by the first machine
 * from it
 *
 * A template appears whole (by rename) and is never changed: unread pages of machines that run would change
 * with it. A `path` below is that of KEY. Whoever changes one changes a file's ctime, which no user can set
 * back, and so what is in info.json does not fit any more. */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include "images/boot.h"

enum { IMAGE_TEMPLATE_KEY = 32 }; /* hexadecimal digits */

/* (transfer full) */
char *image_template_path (const char *cache_dir, const char *key);
gboolean image_template_is_key (const char *name);
/* The keys that are there, looked at no further. (transfer full), never NULL */
char **image_template_keys (const char *cache_dir);

typedef struct {
  char *key;            /* owned */
  json_object *info;    /* owned; info.json's "machine"; NULL: it cannot be used, `problem` says why */
  char *problem;        /* owned */
  guint64 bytes;        /* on the disk */
  gint64 created, used; /* microseconds since the epoch; `used` 0: never */
  guint64 uses;
} ImageTemplate;

void image_template_free (ImageTemplate *template);

/* All of them, the least recently used first. (transfer full) of ImageTemplate */
GPtrArray *image_template_scan (const char *cache_dir, GError **error);

typedef struct {
  int state, disk; /* owned; read-only */
  int dir;         /* owned; of the template */
} ImageTemplateFiles;

#define IMAGE_TEMPLATE_FILES_INIT                                                                            \
  {                                                                                                          \
    .state = -1, .disk = -1, .dir = -1                                                                       \
  }

void image_template_files_clear (ImageTemplateFiles *files);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageTemplateFiles, image_template_files_clear)

/* Everything is what it was when it was made: regular files of this user, nobody else's to read or write,
 * unchanged. NOT_FOUND: there is none; INVALID: it must go (image_template_remove). */
gboolean image_template_open (const char *path, ImageTemplateFiles *ret, GError **error);
/* Counts a use. */
void image_template_used (const ImageTemplateFiles *files);

/* A machine from it did not answer in time. That may have been the host, so it stays the first time: TRUE
 * when it was the second time in a row. image_template_good forgets it. */
gboolean image_template_suspect (const char *path);
void image_template_good (const char *path);

/* The list of pages. FALSE: there is one, or no template; else what the memory's file is. */
#define IMAGE_TEMPLATE_HOT "hot"
gboolean image_template_needs_hot (const char *path, struct stat *ret_ram);
gboolean image_template_keep_hot (const char *path, GBytes *list, GError **error);

/* Absent is success. Machines that run go on. */
gboolean image_template_remove (const char *path, GError **error);

/* Removes the least recently used until all that is left has at most `max` bytes, never `keep` (may be NULL).
 * Removed keys are appended to `removed` (of char *; may be NULL). */
gboolean image_template_shrink (const char *cache_dir, guint64 max, const char *keep, GPtrArray *removed,
                                GError **error);

/* Making one. There is one builder at a time; what a killed one left is removed by the next. */
typedef struct {
  char *final;   /* owned; the path that it will have */
  char *path;    /* owned; the directory that is being filled */
  int lock, dir; /* owned */
} ImageTemplatePart;

#define IMAGE_TEMPLATE_PART_INIT                                                                             \
  {                                                                                                          \
    .lock = -1, .dir = -1                                                                                    \
  }

/* `wait` FALSE: BUSY if somebody else builds one. EXISTS: it is there already. */
gboolean image_template_begin (const char *path, gboolean wait, ImageProgress progress, gpointer data,
                               ImageTemplatePart *ret, GError **error);
/* A new file in it, 0600, read-write; -1 on error. */
int image_template_create (const ImageTemplatePart *part, const char *name, GError **error);
/* Gives back what is zero in `ram`, writes all to the disk, and names it. Takes `machine`. */
gboolean image_template_commit (ImageTemplatePart *part, json_object *take_machine, GError **error);
/* Without a commit nothing is left. */
void image_template_part_clear (ImageTemplatePart *part);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImageTemplatePart, image_template_part_clear)
