/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/path.h"

enum { XAUTH_MAX = 1 << 20, XAUTH_FAMILY_LOCAL = 256, XAUTH_FAMILY_WILD = 65535 };

/* What root makes belongs to the plan's user. */
static gboolean
give (const VmPlan *plan, int fd)
{
  return geteuid () != 0 || plan->uid == 0 || fchown (fd, plan->uid, plan->gid) == 0;
}

/* Opens directory `name` below `parent`, making it if it is not there. -1 with errno. */
static int
enter (const VmPlan *plan, int parent, const char *name)
{
  gboolean made = mkdirat (parent, name, 0700) == 0;
  int fd;

  if (!made && errno != EEXIST)
    return -1;
  fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) /* one that may be passed but not read, such as /root */
    fd = openat (parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 && made && !give (plan, fd)) {
    close (fd);
    return -1;
  }
  return fd;
}

static gboolean
refuse (const char *path, GError **error)
{
  int err = errno;

  if (err == ELOOP || err == ENOTDIR)
    return vm_error (error, VM_ERROR_HOST,
                     "cannot make '%s': a part of it is a symbolic link or no directory; make it yourself",
                     path);
  return vm_error_errno (error, err, "cannot make '%s'", path);
}

/* Walks down without following a link. -1: error is set. */
static int
make_dir (const VmPlan *plan, const char *path, GError **error)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  int fd = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

  for (char **name = names; fd >= 0 && *name != NULL; name++) {
    int next;

    if (**name == '\0')
      continue;
    next = enter (plan, fd, *name);
    close (fd);
    fd = next;
  }
  if (fd < 0)
    (void)refuse (path, error);
  return fd;
}

/* 1: a regular file is there. 0: nothing is. -1: error is set. */
static int
look (int dir, const char *name, const char *path, GError **error)
{
  struct stat st;

  if (fstatat (dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT)
      return 0;
    (void)refuse (path, error);
    return -1;
  }
  if (S_ISREG (st.st_mode))
    return 1;
  vm_error (error, VM_ERROR_HOST, "'%s' is not a regular file; remove it", path);
  return -1;
}

static gboolean
make_file (const VmPlan *plan, int dir, const VmMake *make, GError **error)
{
  g_autofree char *name = g_path_get_basename (make->path);
  vm_autofd fd = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int there;

  if (fd >= 0 && !give (plan, fd))
    return refuse (make->path, error);
  if (fd >= 0)
    return vm_fd_write_all (fd, make->content, strlen (make->content), error);
  if (errno != EEXIST)
    return refuse (make->path, error);
  there = look (dir, name, make->path, error);
  if (there == 0)
    return vm_error (error, VM_ERROR_HOST, "'%s' went away while it was looked at; try again", make->path);
  return there > 0;
}

/* Several starts may be the first at once: the mark comes to its name as a whole, whoever wins, and what
 * counts is what is there then. An empty one was cut short (by a full disk, a power cut): it says nothing. */
static gboolean
make_mark (int dir, const VmMake *make, GError **error)
{
  g_autofree char *name = g_path_get_basename (make->path);
  g_autofree char *there = NULL;
  int found = look (dir, name, make->path, error);

  if (found < 0)
    return FALSE;
  if (found > 0 && (there = vm_file_read (dir, name, PATH_MAX, NULL, error)) == NULL)
    return FALSE;
  if (there == NULL || *there == '\0') {
    if (!vm_file_replace (dir, name, make->content, strlen (make->content), 0600, FALSE, error))
      return FALSE;
    g_free (there);
    there = vm_file_read (dir, name, PATH_MAX, NULL, error);
    if (there == NULL)
      return FALSE;
  }
  return g_str_equal (there, make->content) ||
         vm_error (error, VM_ERROR_HOST,
                   "'%s' says that this folder belongs to '%s' and not to '%s'; move the folder away",
                   make->path, there, make->content);
}

typedef struct {
  const guint8 *at;
  gsize left;
} Reader;

static gboolean
take (Reader *reader, gsize n, const guint8 **ret)
{
  if (reader->left < n)
    return FALSE;
  *ret = reader->at;
  reader->at += n;
  reader->left -= n;
  return TRUE;
}

static gboolean
take_counted (Reader *reader, const guint8 **ret, gsize *ret_length)
{
  const guint8 *size;

  if (!take (reader, 2, &size))
    return FALSE;
  *ret_length = (gsize)(size[0] << 8 | size[1]);
  return take (reader, *ret_length, ret);
}

static void
put_counted (GByteArray *out, const guint8 *bytes, gsize length)
{
  guint8 size[2] = {(guint8)(length >> 8), (guint8)length};

  g_byte_array_append (out, size, 2);
  g_byte_array_append (out, bytes, (guint)length);
}

/* An entry is a family, and four counted strings: address, display, name of the method, cookie. The inside
 * may have another host name than the entry was made for. */
GByteArray *
vm_make_pick_cookies (const guint8 *bytes, gsize length, const char *number)
{
  static const guint8 wild[2] = {XAUTH_FAMILY_WILD >> 8, XAUTH_FAMILY_WILD & 0xff};
  GByteArray *out = g_byte_array_new ();
  Reader reader = {bytes, length};
  const guint8 *family, *part[4];
  gsize n[4];

  while (take (&reader, 2, &family)) {
    guint kind = (guint)(family[0] << 8 | family[1]);
    gboolean whole = TRUE;

    for (guint i = 0; whole && i < 4; i++)
      whole = take_counted (&reader, &part[i], &n[i]);
    if (!whole)
      break;
    if ((kind != XAUTH_FAMILY_LOCAL && kind != XAUTH_FAMILY_WILD) ||
        (n[1] != 0 && (n[1] != strlen (number) || memcmp (part[1], number, n[1]) != 0)))
      continue;
    g_byte_array_append (out, wild, sizeof wild);
    put_counted (out, part[0], 0);
    put_counted (out, (const guint8 *)number, strlen (number));
    put_counted (out, part[2], n[2]);
    put_counted (out, part[3], n[3]);
  }
  return out;
}

static gboolean
make_xauth (int dir, const VmMake *make, GError **error)
{
  g_autofree char *name = g_path_get_basename (make->path);
  vm_autofd source = open (make->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  g_autofree char *bytes = NULL;
  g_autoptr (GByteArray) cookies = NULL;
  gsize length;

  if (source < 0)
    return vm_error_errno (error, errno, "cannot read '%s'", make->source);
  bytes = vm_fd_read_all (source, XAUTH_MAX, &length, error);
  if (bytes == NULL) {
    g_prefix_error (error, "cannot read '%s': ", make->source);
    return FALSE;
  }
  cookies = vm_make_pick_cookies ((const guint8 *)bytes, length, make->content);
  return vm_file_replace (dir, name, cookies->data, cookies->len, 0600, FALSE, error);
}

static gboolean
make_one (const VmPlan *plan, const VmMake *make, const char *state, GError **error)
{
  gboolean ours = vm_path_is_within (make->path, state) || vm_path_is_within (make->path, plan->runtime_dir);
  g_autofree char *parent = g_path_get_dirname (make->path);
  const char *dir = make->kind == VM_MAKE_DIR ? make->path : parent;
  vm_autofd fd = -1;

  if (ours && !vm_file_make_private_dir (dir, error))
    return FALSE;
  fd = ours ? vm_file_open_private_dir (dir, error) : make_dir (plan, dir, error);
  if (fd < 0)
    return FALSE;
  switch (make->kind) {
  case VM_MAKE_FILE:
    return make_file (plan, fd, make, error);
  case VM_MAKE_MARK:
    return make_mark (fd, make, error);
  case VM_MAKE_XAUTH:
    return make_xauth (fd, make, error);
  case VM_MAKE_DIR:
    break;
  }
  return TRUE;
}

gboolean
vm_make_all (const VmPlan *plan, const char *state, GError **error)
{
  for (guint i = 0; i < plan->makes->len; i++)
    if (!make_one (plan, g_ptr_array_index (plan->makes, i), state, error))
      return FALSE;
  return TRUE;
}
