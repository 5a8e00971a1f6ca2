/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * libguestfs takes the name of a file to write a tar to. That is a FIFO in the jail's own /tmp, which
 * libarchive reads. A thread makes the call. Both ends are open here before it, so that neither waits for one
 * that never comes; the thread closes the writing end when the call has returned, which the reader sees as
 * the end.
 *
 * The other way that would not do: who has written all before libguestfs opens the FIFO cannot close it. The
 * tar is a file beside the overlay then, and goes with it. */
#include "images/guestfs/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/guestfs/jail.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { BUFFER = 256 << 10 };

#define FIFO IMAGE_JAIL_TMP "/stream"
#define TAR IMAGE_JAIL_OUT "/in.tar"

typedef struct {
  ImageAppliance *appliance; /* only the thread uses it while it runs */
  const char *dir;
  int writer, reader; /* owned */
  int result;
  int code;   /* errno of a failure */
  char *said; /* owned; libguestfs has errors for each thread */
  GThread *thread;
} Stream;

typedef struct archive Archive;
static void
archive_clear (Archive **archive)
{
  if (*archive != NULL)
    archive_free (*archive);
}
#define autoarchive __attribute__ ((cleanup (archive_clear))) Archive *

static gpointer
run_call (gpointer data)
{
  Stream *s = data;

  guestfs_set_error_handler (s->appliance->g, NULL, NULL);
  s->result = guestfs_tar_out_opts (s->appliance->g, s->dir, FIFO, GUESTFS_TAR_OUT_OPTS_NUMERICOWNER, 1, -1);
  if (s->result != 0) {
    s->code = guestfs_last_errno (s->appliance->g);
    s->said = g_strdup (guestfs_last_error (s->appliance->g));
  }
  vm_fd_clear (&s->writer);
  return NULL;
}

static gboolean
stream_begin (Stream *s, GError **error)
{
  (void)unlink (FIFO);
  if (mkfifo (FIFO, 0600) < 0 || (s->reader = open (FIFO, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0 ||
      (s->writer = open (FIFO, O_WRONLY | O_CLOEXEC)) < 0)
    return vm_error_errno (error, errno, "cannot make a FIFO");
  if (!vm_fd_set_nonblocking (s->reader, FALSE, error))
    return FALSE;
  s->thread = g_thread_new ("stream", run_call, s);
  return TRUE;
}

/* `take_problem`: why our side has failed; NULL: it has not. When one side ends too early the other one fails
 * as well, and only the first to fail is worth telling. */
static gboolean
stream_end (Stream *s, GError *take_problem, GError **error)
{
  g_autoptr (GError) problem = take_problem;
  g_autofree char *said = NULL;

  vm_fd_clear (&s->reader);
  g_thread_join (s->thread);
  said = g_steal_pointer (&s->said);
  if (s->result != 0 && (problem == NULL || s->code != EPIPE))
    return vm_error (error, VM_ERROR_FAILED, "cannot copy '%s': %s", s->dir,
                     said != NULL ? said : "not known why");
  if (problem == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

/* Out */

static int
write_flags (void)
{
  return ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
         ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;
}

/* "./" is there; the owner has to be able to remove what comes. */
static void
tame (struct archive_entry *entry)
{
  mode_t type = archive_entry_filetype (entry), mode = archive_entry_perm (entry) & 0777;

  archive_entry_set_perm (entry, mode | (type == AE_IFDIR ? 0700 : 0600));
}

static gboolean
is_wanted (struct archive_entry *entry)
{
  mode_t type = archive_entry_filetype (entry);

  return archive_entry_hardlink (entry) != NULL || type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK;
}

static gboolean
say_failed (struct archive *archive, struct archive_entry *entry, GError **error)
{
  const char *path = entry != NULL ? archive_entry_pathname (entry) : NULL;
  const char *said = archive_error_string (archive);

  return vm_error (error, VM_ERROR_FAILED, "cannot copy '%s': %s", path != NULL ? path : "?",
                   said != NULL ? said : "not known why");
}

static gboolean
copy_blocks (struct archive *from, struct archive *to, struct archive_entry *entry, GError **error)
{
  const void *block;
  size_t length;
  la_int64_t offset;
  int result;

  while ((result = archive_read_data_block (from, &block, &length, &offset)) == ARCHIVE_OK)
    if (archive_write_data_block (to, block, length, offset) < ARCHIVE_OK)
      return say_failed (to, entry, error);
  if (result != ARCHIVE_EOF)
    return say_failed (from, entry, error);
  return archive_write_finish_entry (to) >= ARCHIVE_WARN || say_failed (to, entry, error);
}

static gboolean
unpack_entry (struct archive *from, struct archive *to, struct archive_entry *entry, guint *left_out,
              GError **error)
{
  const char *path = archive_entry_pathname (entry);

  if (g_str_equal (path, ".") || g_str_equal (path, "./"))
    return TRUE;
  if (!is_wanted (entry)) {
    ++*left_out;
    return TRUE;
  }
  tame (entry);
  if (archive_write_header (to, entry) < ARCHIVE_WARN)
    return say_failed (to, entry, error);
  return copy_blocks (from, to, entry, error);
}

static gboolean
unpack (int fd, guint *left_out, GError **error)
{
  autoarchive from = archive_read_new ();
  autoarchive to = archive_write_disk_new ();
  struct archive_entry *entry = NULL;
  int result;

  (void)archive_read_support_format_tar (from);
  (void)archive_write_disk_set_options (to, write_flags ());
  if (archive_read_open_fd (from, fd, BUFFER) != ARCHIVE_OK)
    return say_failed (from, NULL, error);
  while ((result = archive_read_next_header (from, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN)
    if (!unpack_entry (from, to, entry, left_out, error))
      return FALSE;
  if (result != ARCHIVE_EOF)
    return say_failed (from, NULL, error);
  /* The times of directories are set last. */
  return archive_write_close (to) >= ARCHIVE_WARN || say_failed (to, NULL, error);
}

/* What pads a tar after its end: whoever writes it must not find the pipe broken. */
static void
drain (int fd)
{
  char buffer[4096];
  ssize_t n;

  do
    n = read (fd, buffer, sizeof buffer);
  while (n > 0 || (n < 0 && errno == EINTR));
}

/* libarchive's paths are relative to the working directory. */
gboolean
image_stream_out (ImageAppliance *a, const char *dir, const char *to, guint *ret_left_out, GError **error)
{
  Stream s = {.appliance = a, .dir = dir, .writer = -1, .reader = -1};
  GError *problem = NULL;

  if (mkdir (to, 0755) < 0 || chdir (to) < 0)
    return vm_error_errno (error, errno, "cannot make '%s'", to);
  if (!stream_begin (&s, error))
    return FALSE;
  if (unpack (s.reader, ret_left_out, &problem))
    drain (s.reader);
  return stream_end (&s, problem, error) &&
         (chdir ("/") == 0 || vm_error_errno (error, errno, "cannot go back"));
}

/* In */

static gboolean
copy_content (struct archive *from, struct archive *to, struct archive_entry *entry, GError **error)
{
  g_autofree char *buffer = g_malloc (BUFFER);
  la_ssize_t n;

  if (archive_entry_filetype (entry) != AE_IFREG)
    return TRUE;
  while ((n = archive_read_data (from, buffer, BUFFER)) > 0)
    if (archive_write_data (to, buffer, (size_t)n) < 0)
      return say_failed (to, entry, error);
  return n == 0 || say_failed (from, entry, error);
}

static gboolean
pack_entry (struct archive *from, struct archive *to, struct archive_entry *entry, gsize prefix,
            GError **error)
{
  g_autofree char *path = g_strdup (archive_entry_pathname (entry) + prefix);
  mode_t type = archive_entry_filetype (entry);

  if (type == AE_IFSOCK)
    return TRUE; /* nobody could listen on it */
  archive_entry_set_pathname (entry, path);
  archive_entry_set_uid (entry, 0);
  archive_entry_set_gid (entry, 0);
  archive_entry_set_uname (entry, NULL);
  archive_entry_set_gname (entry, NULL);
  archive_entry_sparse_clear (entry);
  archive_entry_xattr_clear (entry);
  archive_entry_acl_clear (entry);
  if (archive_write_header (to, entry) < ARCHIVE_WARN)
    return say_failed (to, entry, error);
  return copy_content (from, to, entry, error);
}

static gboolean
pack_tree (struct archive *to, const char *from_dir, const char *name, GError **error)
{
  autoarchive from = archive_read_disk_new ();
  g_autofree char *path = g_build_filename (from_dir, name, NULL);
  struct archive_entry *entry = NULL;
  int result;

  (void)archive_read_disk_set_symlink_physical (from);
  if (archive_read_disk_open (from, path) != ARCHIVE_OK)
    return say_failed (from, NULL, error);
  while ((result = archive_read_next_header (from, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN) {
    if (!pack_entry (from, to, entry, strlen (from_dir) + 1, error))
      return FALSE;
    (void)archive_read_disk_descend (from);
  }
  return result == ARCHIVE_EOF || say_failed (from, NULL, error);
}

static gboolean
pack (int fd, const char *from, char **names, GError **error)
{
  autoarchive to = archive_write_new ();

  (void)archive_write_set_format_pax_restricted (to);
  if (archive_write_open_fd (to, fd) != ARCHIVE_OK)
    return say_failed (to, NULL, error);
  for (; *names != NULL; names++)
    if (!pack_tree (to, from, *names, error))
      return FALSE;
  return archive_write_close (to) >= ARCHIVE_WARN || say_failed (to, NULL, error);
}

gboolean
image_stream_in (ImageAppliance *a, const char *from, char **names, const char *dir, GError **error)
{
  vm_autofd fd = open (TAR, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  gboolean ok;

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot make a tar");
  ok = pack (fd, from, names, error) && (guestfs_tar_in_opts (a->g, TAR, dir, -1) == 0 ||
                                         image_appliance_fail (a, error, "cannot copy to '%s'", dir));
  (void)unlink (TAR);
  return ok;
}
