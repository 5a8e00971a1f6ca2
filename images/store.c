/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "images/store-parts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"

enum { INFO_MAX = 1 << 20, IDENTITY_MAX = 4096, NAME_MAX_BYTES = 64, DIGITS_MIN = 8 };

#define HEX "0123456789abcdef"

gboolean
image_store_is_name (const char *name)
{
  gsize length = strlen (name);

  return length > 0 && length <= NAME_MAX_BYTES && g_ascii_isalnum (*name) &&
         strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length &&
         !g_str_has_prefix (name, IMAGE_ID_PREFIX);
}

gboolean
image_store_is_id (const char *name)
{
  const char *digits = name + strlen (IMAGE_ID_PREFIX);

  return g_str_has_prefix (name, IMAGE_ID_PREFIX) && strlen (digits) == IMAGE_ID_DIGITS &&
         strspn (digits, HEX) == IMAGE_ID_DIGITS;
}

char *
image_store_path (const char *data_dir)
{
  return g_build_filename (data_dir, "images", NULL);
}

json_object *
image_store_identity (const struct stat *st)
{
  json_object *object = json_object_new_object ();

  vm_json_add_int (object, "device", (gint64)st->st_dev);
  vm_json_add_int (object, "inode", (gint64)st->st_ino);
  vm_json_add_int (object, "size", (gint64)st->st_size);
  vm_json_add_int (object, "mtime", (gint64)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
  vm_json_add_int (object, "ctime", (gint64)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec);
  return object;
}

/* The user's own, or root's for the system's: nobody else may have made or changed it. */
static gboolean
is_trusted (const struct stat *st, gboolean system)
{
  return st->st_uid == (system ? 0 : geteuid ()) && (st->st_mode & 022) == 0;
}

/* -1 with `error` set; NOT_FOUND if it is not there. */
static int
open_store (const char *path, gboolean system, GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (system ? 0 : O_NOFOLLOW));
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0)
    vm_error_errno (error, errno, "cannot open the store of images '%s'", path);
  else if (!is_trusted (&st, system))
    vm_error (error, VM_ERROR_HOST,
              "the store of images '%s' belongs to somebody else, or can be written by others; run: chmod "
              "go-w '%s'",
              path, path);
  else
    return vm_fd_steal (&fd);
  return -1;
}

/* The id that the symbolic link names/`name` leads to; NULL: none. (transfer full) */
static char *
id_of_name (int store_fd, const char *name)
{
  g_autofree char *path = g_build_filename (IMAGE_STORE_NAMES, name, NULL);
  char target[IMAGE_ID_DIGITS + 32];
  ssize_t n = readlinkat (store_fd, path, target, sizeof target - 1);

  if (n < 0)
    return NULL;
  target[n] = '\0';
  return g_str_has_prefix (target, "../") && image_store_is_id (target + 3) ? g_strdup (target + 3) : NULL;
}

static int
by_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* What is in a directory of the store. (transfer full) of char *, sorted */
static GPtrArray *
read_names (int store_fd, const char *sub)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d/%s", store_fd, sub);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (out, g_strdup (name));
  g_ptr_array_sort (out, by_text);
  return out;
}

static char **
names_of_id (int store_fd, const char *id)
{
  g_autoptr (GPtrArray) all = read_names (store_fd, IMAGE_STORE_NAMES), out = g_ptr_array_new ();

  for (guint i = 0; i < all->len; i++) {
    const char *name = g_ptr_array_index (all, i);
    g_autofree char *target = image_store_is_name (name) ? id_of_name (store_fd, name) : NULL;

    if (g_strcmp0 (target, id) == 0)
      g_ptr_array_add (out, g_strdup (name));
  }
  g_ptr_array_add (out, NULL);
  return (char **)g_ptr_array_steal (out, NULL);
}

/* Blocks on the disk of everything below, links not followed. */
static guint64
bytes_below (const char *path, guint depth)
{
  g_autoptr (GDir) dir = depth < 16 ? g_dir_open (path, 0, NULL) : NULL;
  guint64 bytes = 0;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    struct stat st;

    if (lstat (child, &st) == 0)
      bytes += S_ISDIR (st.st_mode) ? bytes_below (child, depth + 1) : (guint64)st.st_blocks * 512;
  }
  return bytes;
}

/* One image, whose id is there or not. */
static ImageInfo *
load (int store_fd, const char *store, const char *id, gboolean system, GError **error)
{
  vm_autofd dir_fd = openat (store_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  g_autoptr (json_object) object = NULL;
  g_autoptr (ImageInfo) info = NULL;
  g_autofree char *text = NULL;
  gsize length;

  if (dir_fd < 0) {
    vm_error_errno (error, errno, "cannot open the image '%s/%s'", store, id);
    return NULL;
  }
  text = vm_file_read (dir_fd, IMAGE_STORE_INFO, INFO_MAX, &length, error);
  object = text != NULL ? vm_json_parse_object (text, length, error) : NULL;
  info = object != NULL ? image_info_from_json (object, error) : NULL;
  if (info == NULL) {
    g_prefix_error (error, "the image '%s/%s' cannot be used: ", store, id);
    return NULL;
  }
  info->dir = g_build_filename (store, id, NULL);
  info->id = g_strdup (id);
  info->system = system;
  g_strfreev (info->names);
  info->names = names_of_id (store_fd, id);
  info->bytes = bytes_below (info->dir, 0);
  return g_steal_pointer (&info);
}

/* Both stores, the user's first: TRUE goes on to the next one. */
typedef gboolean (*StoreFunc) (int store_fd, const char *path, gboolean system, gpointer data,
                               GError **error);

static gboolean
for_each_store (const char *data_dir, StoreFunc func, gpointer data, GError **error)
{
  g_autofree char *own = image_store_path (data_dir);
  const char *paths[] = {own, IMAGE_STORE_SYSTEM};

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++) {
    gboolean system = i == 1;
    g_autoptr (GError) problem = NULL;
    vm_autofd fd = -1;

    if (system && (g_str_equal (own, IMAGE_STORE_SYSTEM) || (access (paths[i], X_OK) < 0 && errno == EACCES)))
      continue; /* it is this one, or root's alone: no reason not to see one's own */
    fd = open_store (paths[i], system, &problem);
    if (fd < 0 && g_error_matches (problem, VM_ERROR, VM_ERROR_NOT_FOUND))
      continue;
    if (fd < 0) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
    if (!func (fd, paths[i], system, data, error))
      return FALSE;
  }
  return TRUE;
}

/* Listing */

typedef struct {
  GPtrArray *all, *problems; /* borrowed */
} Listing;

static gboolean
list_store (int store_fd, const char *path, gboolean system, gpointer data, GError **error)
{
  Listing *l = data;
  g_autoptr (GPtrArray) ids = read_names (store_fd, ".");

  for (guint i = 0; i < ids->len; i++) {
    const char *id = g_ptr_array_index (ids, i);
    g_autoptr (GError) problem = NULL;
    ImageInfo *info = image_store_is_id (id) ? load (store_fd, path, id, system, &problem) : NULL;

    if (info != NULL)
      g_ptr_array_add (l->all, info);
    else if (problem != NULL && l->problems != NULL)
      g_ptr_array_add (l->problems, g_strdup (problem->message));
  }
  return TRUE;
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  const ImageInfo *x = *(ImageInfo *const *)a, *y = *(ImageInfo *const *)b;

  if ((x->names[0] == NULL) != (y->names[0] == NULL))
    return x->names[0] == NULL ? 1 : -1;
  if (x->names[0] != NULL && !g_str_equal (x->names[0], y->names[0]))
    return strcmp (x->names[0], y->names[0]);
  return strcmp (x->id, y->id);
}

static void
free_info (gpointer data)
{
  image_info_free (data);
}

GPtrArray *
image_store_list (const char *data_dir, GPtrArray *problems, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (free_info);
  Listing l = {.all = all, .problems = problems};

  if (!for_each_store (data_dir, list_store, &l, error))
    return NULL;
  g_ptr_array_sort (all, by_name);
  return g_steal_pointer (&all);
}

/* Finding */

typedef struct {
  const char *name;   /* borrowed */
  const char *digits; /* borrowed; what it may be the beginning of; NULL: it is no id */
  ImageInfo *found;   /* owned */
  GString *known;     /* owned; the names that there are */
} Search;

/* The id that begins so; NULL without an error: none. (transfer full) */
static char *
id_of_digits (int store_fd, const char *digits, GError **error)
{
  g_autoptr (GPtrArray) ids = read_names (store_fd, ".");
  g_autofree char *found = NULL;

  for (guint i = 0; i < ids->len; i++) {
    const char *id = g_ptr_array_index (ids, i);

    if (!image_store_is_id (id) || !g_str_has_prefix (id + strlen (IMAGE_ID_PREFIX), digits))
      continue;
    if (found != NULL) {
      vm_error (error, VM_ERROR_USAGE, "more than one image begins with '%s'; write more of it", digits);
      return NULL;
    }
    found = g_strdup (id);
  }
  return g_steal_pointer (&found);
}

static void
note_names (int store_fd, GString *known)
{
  g_autoptr (GPtrArray) names = read_names (store_fd, IMAGE_STORE_NAMES);

  for (guint i = 0; i < names->len; i++)
    if (image_store_is_name (g_ptr_array_index (names, i)))
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "",
                              (const char *)g_ptr_array_index (names, i));
}

static gboolean
search_store (int store_fd, const char *path, gboolean system, gpointer data, GError **error)
{
  Search *s = data;
  g_autofree char *id = NULL;
  GError *problem = NULL;

  if (s->found != NULL)
    return TRUE;
  if (image_store_is_name (s->name))
    id = id_of_name (store_fd, s->name);
  if (id == NULL && s->digits != NULL)
    id = id_of_digits (store_fd, s->digits, &problem);
  if (id != NULL)
    s->found = load (store_fd, path, id, system, &problem);
  if (problem != NULL) {
    g_propagate_error (error, problem);
    return FALSE;
  }
  note_names (store_fd, s->known);
  return TRUE;
}

ImageInfo *
image_store_find (const char *data_dir, const char *name, GError **error)
{
  const char *digits = g_str_has_prefix (name, IMAGE_ID_PREFIX) ? name + strlen (IMAGE_ID_PREFIX) : name;
  g_autoptr (GString) known = g_string_new (NULL);
  g_autofree char *shown = vm_escape_terminal (name, -1, 200);
  Search s = {.name = name, .known = known};

  if (strlen (digits) >= DIGITS_MIN && strspn (digits, HEX) == strlen (digits))
    s.digits = digits;
  if (!for_each_store (data_dir, search_store, &s, error)) {
    image_info_free (s.found);
    return NULL;
  }
  if (s.found == NULL && known->len > 0)
    vm_error (error, VM_ERROR_NOT_FOUND, "there is no image '%s'; there are: %s", shown, known->str);
  else if (s.found == NULL)
    vm_error (error, VM_ERROR_NOT_FOUND,
              "there is no image '%s', nor any other; see: vmctl image import --help", shown);
  return s.found;
}

ImageInfo *
image_store_find_origin (const char *data_dir, const char *format, const char *sha256)
{
  g_autoptr (GPtrArray) all = image_store_list (data_dir, NULL, NULL);

  for (guint i = 0; all != NULL && i < all->len; i++) {
    ImageInfo *info = g_ptr_array_index (all, i);

    if (!info->system && g_str_equal (info->format, format) && g_strcmp0 (info->origin_sha256, sha256) == 0)
      return g_ptr_array_steal_index (all, i);
  }
  return NULL;
}

/* Using */

static gboolean
is_unchanged (int dir_fd, const struct stat *st)
{
  gsize length;
  g_autofree char *text = vm_file_read (dir_fd, IMAGE_STORE_IDENTITY, IDENTITY_MAX, &length, NULL);
  g_autoptr (json_object) then = text != NULL ? vm_json_parse_object (text, length, NULL) : NULL;
  g_autoptr (json_object) now = image_store_identity (st);

  return then != NULL && json_object_equal (then, now);
}

int
image_store_open (const ImageInfo *info, GError **error)
{
  g_autofree char *label = image_info_label (info);
  vm_autofd dir_fd = open (info->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
  struct stat st;

  if (info->is_host) {
    vm_error (
        error, VM_ERROR_UNSUPPORTED,
        "the image '%s' has no disk: its root is this host's own tree; for one with a disk: vmctl image "
        "build debian:bookworm",
        label);
    return -1;
  }
  if (dir_fd >= 0)
    fd = openat (dir_fd, IMAGE_STORE_DISK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) < 0)
    vm_error_errno (error, errno, "cannot open the disk of the image '%s'", label);
  else if (!S_ISREG (st.st_mode) || !is_trusted (&st, info->system))
    vm_error (error, VM_ERROR_INVALID,
              "the disk of the image '%s' can be written by others, or is not the store's; see '%s'", label,
              info->dir);
  else if (!is_unchanged (dir_fd, &st))
    vm_error (error, VM_ERROR_INVALID,
              "the disk of the image '%s' was changed or copied since it was made; run: vmctl image verify "
              "%s",
              label, label);
  else if (flock (fd, LOCK_SH | LOCK_NB) < 0)
    vm_error (error, VM_ERROR_BUSY, "the image '%s' is being removed", label);
  else
    return vm_fd_steal (&fd);
  return -1;
}
