/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where root may do more than a user, the test becomes uid 65534 in a child. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum { SOMEBODY = 65534 };

typedef struct {
  char *path;
  int fd;
} Dir;

static void
set_up (Dir *d, gconstpointer data)
{
  d->path = g_dir_make_tmp ("vmctl-file-XXXXXX", NULL);
  d->fd = open (d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (d->fd, >=, 0);
}

static void
tear_down (Dir *d, gconstpointer data)
{
  close (d->fd);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, d->path, NULL));
  g_free (d->path);
}

static char *
at (Dir *d, const char *name)
{
  return g_build_filename (d->path, name, NULL);
}

static void
put (int dir_fd, const char *name, const char *text)
{
  vm_autofd fd = openat (dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  g_assert_true (vm_fd_write_all (fd, text, strlen (text), NULL));
}

static gboolean
exists (int dir_fd, const char *name)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Runs `func` as an ordinary user; it ends with status 0 when all is well. */
static void
as_somebody (void (*func) (Dir *), Dir *d)
{
  pid_t pid;
  int status;

  g_assert_cmpint (chown (d->path, geteuid () == 0 ? SOMEBODY : geteuid (), (gid_t)-1), ==, 0);
  pid = fork ();
  if (pid == 0) {
    if (geteuid () == 0 &&
        (setresgid (SOMEBODY, SOMEBODY, SOMEBODY) < 0 || setresuid (SOMEBODY, SOMEBODY, SOMEBODY) < 0))
      _exit (99);
    func (d);
    _exit (0);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

/* Replace and read */

static void
test_replace (Dir *d, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  struct stat st;
  gsize length;

  vm_file_replace (d->fd, "record", "one", 3, 0600, FALSE, &error);
  g_assert_no_error (error);
  vm_file_replace (d->fd, "record", "tw\0", 3, 0640, TRUE, &error);
  g_assert_no_error (error);
  text = vm_file_read (d->fd, "record", 3, &length, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (text, length, "tw\0", 3);
  g_assert_cmpint (fstatat (d->fd, "record", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777 & ~0077u, ==, 0600);
  g_assert_cmpuint (count_entries (d->path), ==, 1);
}

/* A reader that has the old file open keeps it whole. */
static void
test_replace_is_atomic (Dir *d, gconstpointer data)
{
  vm_autofd old = -1;
  g_autofree char *text = NULL;

  put (d->fd, "record", "the old one");
  old = openat (d->fd, "record", O_RDONLY | O_CLOEXEC);
  g_assert_true (vm_file_replace (d->fd, "record", "new", 3, 0600, FALSE, NULL));
  text = vm_fd_read_all (old, 100, NULL, NULL);
  g_assert_cmpstr (text, ==, "the old one");
}

static void
test_replace_fails (Dir *d, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  vm_autofd gone = -1;

  g_assert_cmpint (mkdirat (d->fd, "record", 0700), ==, 0);
  g_assert_false (vm_file_replace (d->fd, "record", "x", 1, 0600, FALSE, &error));
  g_assert_nonnull (strstr (error->message, "'record'"));
  g_assert_cmpuint (count_entries (d->path), ==, 1);
  g_assert_false (vm_file_replace (d->fd, "record", "x", 1, 0600, FALSE, NULL));
  g_assert_cmpint (mkdirat (d->fd, "gone", 0700), ==, 0);
  gone = openat (d->fd, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  unlinkat (d->fd, "gone", AT_REMOVEDIR);
  g_clear_error (&error);
  g_assert_false (vm_file_replace (gone, "record", "x", 1, 0600, FALSE, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
}

/* A full disk: a file size limit of this process is the nearest thing. */
static void
write_beyond_limit (Dir *d)
{
  struct rlimit limit = {4096, 4096};
  g_autofree char *much = g_malloc0 (10000);
  g_autoptr (GError) error = NULL;
  int fd = open (d->path, O_RDONLY | O_DIRECTORY);

  signal (SIGXFSZ, SIG_IGN);
  setrlimit (RLIMIT_FSIZE, &limit);
  g_assert_false (vm_file_replace (fd, "record", much, 10000, 0600, TRUE, &error));
  g_assert_nonnull (strstr (error->message, "'record'"));
  g_assert_cmpuint (count_entries (d->path), ==, 1);
}

static void
test_replace_full (Dir *d, gconstpointer data)
{
  g_autofree char *text = NULL;

  put (d->fd, "record", "old");
  as_somebody (write_beyond_limit, d);
  text = vm_file_read (d->fd, "record", 100, NULL, NULL);
  g_assert_cmpstr (text, ==, "old");
}

/* Not through a link that stands in the place of the file: the link itself is replaced. */
static void
test_replace_link (Dir *d, gconstpointer data)
{
  g_autofree char *text = NULL;

  put (d->fd, "precious", "precious");
  g_assert_cmpint (symlinkat ("precious", d->fd, "record"), ==, 0);
  g_assert_true (vm_file_replace (d->fd, "record", "new", 3, 0600, FALSE, NULL));
  text = vm_file_read (d->fd, "precious", 100, NULL, NULL);
  g_assert_cmpstr (text, ==, "precious");
}

static void
assert_unreadable (Dir *d, const char *name, VmErrorCode code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_file_read (d->fd, name, 10, NULL, &error));
  g_assert_error (error, VM_ERROR, (int)code);
  g_assert_nonnull (strstr (error->message, name));
}

static void
test_read_refuses (Dir *d, gconstpointer data)
{
  put (d->fd, "good", "0123456789");
  put (d->fd, "large", "0123456789a");
  g_assert_cmpint (mkfifoat (d->fd, "fifo", 0600), ==, 0);
  g_assert_cmpint (mkdirat (d->fd, "dir", 0700), ==, 0);
  g_assert_cmpint (symlinkat ("good", d->fd, "link"), ==, 0);
  g_assert_cmpint (symlinkat ("/dev/zero", d->fd, "zero"), ==, 0);
  assert_unreadable (d, "absent", VM_ERROR_NOT_FOUND);
  assert_unreadable (d, "large", VM_ERROR_INVALID);
  assert_unreadable (d, "fifo", VM_ERROR_INVALID);
  assert_unreadable (d, "dir", VM_ERROR_INVALID);
  assert_unreadable (d, "link", VM_ERROR_FAILED);
  assert_unreadable (d, "zero", VM_ERROR_FAILED);
  g_free (vm_file_read (d->fd, "good", 10, NULL, NULL));
}

/* Removal */

static void
test_remove (Dir *d, gconstpointer data)
{
  g_autofree char *inner = at (d, "tree/a/b");

  g_assert_true (vm_file_remove_tree (d->fd, "absent", NULL));
  g_assert_cmpint (g_mkdir_with_parents (inner, 0700), ==, 0);
  put (d->fd, "tree/f", "x");
  put (d->fd, "tree/a/.hidden", "x");
  put (d->fd, "tree/a/b/g", "x");
  g_assert_cmpint (mkfifoat (d->fd, "tree/fifo", 0), ==, 0);
  put (d->fd, "single", "x");
  g_assert_true (vm_file_remove_tree (d->fd, "tree", NULL));
  g_assert_true (vm_file_remove_tree (d->fd, "single", NULL));
  g_assert_cmpuint (count_entries (d->path), ==, 0);
}

static void
test_remove_links (Dir *d, gconstpointer data)
{
  g_assert_cmpint (mkdirat (d->fd, "precious", 0700), ==, 0);
  put (d->fd, "precious/file", "x");
  g_assert_cmpint (mkdirat (d->fd, "tree", 0700), ==, 0);
  g_assert_cmpint (symlinkat ("../precious", d->fd, "tree/link"), ==, 0);
  g_assert_cmpint (symlinkat (d->path, d->fd, "tree/absolute"), ==, 0);
  g_assert_cmpint (symlinkat ("precious", d->fd, "top"), ==, 0);
  g_assert_true (vm_file_remove_tree (d->fd, "tree", NULL));
  g_assert_true (vm_file_remove_tree (d->fd, "top", NULL));
  g_assert_true (exists (d->fd, "precious/file"));
  g_assert_false (exists (d->fd, "tree"));
  g_assert_false (exists (d->fd, "top"));
}

static void
remove_forbidden (Dir *d)
{
  g_autoptr (GError) error = NULL;
  int fd = open (d->path, O_RDONLY | O_DIRECTORY);

  g_assert_cmpint (mkdirat (fd, "tree", 0700), ==, 0);
  g_assert_cmpint (mkdirat (fd, "tree/a", 0700), ==, 0);
  g_assert_cmpint (mkdirat (fd, "tree/a/b", 0700), ==, 0);
  put (fd, "tree/a/b/file", "x");
  g_assert_cmpint (mkdirat (fd, "precious", 0555), ==, 0);
  g_assert_cmpint (symlinkat ("../../precious", fd, "tree/a/link"), ==, 0);
  g_assert_cmpint (fchmodat (fd, "tree/a/b", 0, 0), ==, 0);
  g_assert_cmpint (fchmodat (fd, "tree/a", 0500, 0), ==, 0);
  g_assert_cmpint (fchmodat (fd, "tree", 0, 0), ==, 0);
  vm_file_remove_tree (fd, "tree", &error);
  g_assert_no_error (error);
  g_assert_false (exists (fd, "tree"));
}

static void
test_remove_forbidden (Dir *d, gconstpointer data)
{
  struct stat st;

  as_somebody (remove_forbidden, d);
  g_assert_cmpint (fstatat (d->fd, "precious", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0555);
}

/* Deeper than there are descriptors, and than a path may be long; some of it forbidden. */
static void
remove_deep (Dir *d)
{
  struct rlimit few = {160, 160};
  g_autoptr (GError) error = NULL;
  int top = open (d->path, O_RDONLY | O_DIRECTORY), fd;

  setrlimit (RLIMIT_NOFILE, &few);
  g_assert_cmpint (mkdirat (top, "tree", 0700), ==, 0);
  fd = openat (top, "tree", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 3000; i++) {
    int next;

    g_assert_cmpint (mkdirat (fd, "deeper", 0700), ==, 0);
    put (fd, "file", "x");
    next = openat (fd, "deeper", O_RDONLY | O_DIRECTORY);
    if (i % 64 == 0)
      fchmod (fd, 0);
    close (fd);
    fd = next;
  }
  close (fd);
  vm_file_remove_tree (top, "tree", &error);
  g_assert_no_error (error);
  g_assert_false (exists (top, "tree"));
}

static void
test_remove_deep (Dir *d, gconstpointer data)
{
  as_somebody (remove_deep, d);
}

/* In a mount namespace of its own: a mounted tmpfs, and a bind mount of the very same file system. */
static int
remove_mounted (Dir *d)
{
  g_autofree char *mounted = at (d, "tree/mounted"), *precious = at (d, "precious");
  g_autoptr (GError) error = NULL;
  unsigned long flags[] = {0, MS_BIND};
  int fd = open (d->path, O_RDONLY | O_DIRECTORY); /* d->fd looks into the old namespace */

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++) {
    if (mount (precious, mounted, flags[i] == 0 ? "tmpfs" : NULL, flags[i], NULL) < 0)
      return 77;
    if (flags[i] == 0)
      put (fd, "tree/mounted/file", "x");
    g_clear_error (&error);
    g_assert_false (vm_file_remove_tree (fd, "tree", &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_BUSY);
    g_assert_true (exists (fd, "tree/mounted/file"));
    g_assert_cmpint (umount2 (mounted, 0), ==, 0);
  }
  return 0;
}

static gboolean
write_proc (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gboolean ok = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t)strlen (text);

  close (fd);
  return ok;
}

/* A mount namespace; for an ordinary user below a user namespace in which he and his group have numbers, or a
 * tmpfs takes no file of his. */
static gboolean
own_mounts (void)
{
  uid_t uid = geteuid ();
  g_autofree char *users = g_strdup_printf ("0 %u 1", (unsigned)uid);
  g_autofree char *groups = g_strdup_printf ("0 %u 1", (unsigned)getegid ());

  if (unshare (uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0)
    return FALSE;
  if (uid != 0 && !(write_proc ("/proc/self/uid_map", users) && write_proc ("/proc/self/setgroups", "deny") &&
                    write_proc ("/proc/self/gid_map", groups)))
    return FALSE;
  return mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void
test_remove_mounted (Dir *d, gconstpointer data)
{
  int status = 0;
  pid_t pid;

  g_assert_cmpint (mkdirat (d->fd, "tree", 0700), ==, 0);
  g_assert_cmpint (mkdirat (d->fd, "tree/mounted", 0700), ==, 0);
  g_assert_cmpint (mkdirat (d->fd, "precious", 0700), ==, 0);
  put (d->fd, "precious/file", "x");
  pid = fork ();
  if (pid == 0) {
    if (!own_mounts ())
      _exit (77);
    _exit (remove_mounted (d));
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77) {
    g_test_skip ("no mount namespaces here");
    return;
  }
  g_assert_cmpint (status, ==, 0);
  g_assert_true (exists (d->fd, "precious/file"));
}

/* Private directories */

static void
test_private_dir (Dir *d, gconstpointer data)
{
  g_autofree char *path = at (d, "a/b/c");
  g_autoptr (GError) error = NULL;
  mode_t mask = umask (0);
  struct stat st;
  vm_autofd fd = -1;

  vm_file_make_private_dir (path, &error);
  g_assert_no_error (error);
  umask (mask);
  for (const char *const *p = (const char *const[]){"a", "a/b", "a/b/c", NULL}; *p != NULL; p++) {
    g_assert_cmpint (fstatat (d->fd, *p, &st, 0), ==, 0);
    g_assert_cmpuint (st.st_mode & 0777, ==, 0700);
  }
  g_assert_true (vm_file_make_private_dir (path, NULL));
  fd = vm_file_open_private_dir (path, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_true ((fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void
assert_refused (Dir *d, const char *name, const char *needle)
{
  g_autofree char *path = at (d, name);
  g_autoptr (GError) opened = NULL, made = NULL;

  g_assert_cmpint (vm_file_open_private_dir (path, &opened), ==, -1);
  g_assert_nonnull (strstr (opened->message, path));
  g_assert_nonnull (strstr (opened->message, needle));
  g_assert_false (vm_file_make_private_dir (path, &made));
  g_assert_nonnull (strstr (made->message, path));
}

static void
test_private_dir_refuses (Dir *d, gconstpointer data)
{
  g_autofree char *absent = at (d, "absent");
  g_autoptr (GError) error = NULL;

  put (d->fd, "file", "x");
  g_assert_cmpint (mkdirat (d->fd, "good", 0700), ==, 0);
  g_assert_cmpint (symlinkat ("good", d->fd, "link"), ==, 0);
  g_assert_cmpint (mkdirat (d->fd, "shared", 0700), ==, 0);
  g_assert_cmpint (fchmodat (d->fd, "shared", 0770, 0), ==, 0);
  g_assert_cmpint (mkdirat (d->fd, "world", 0700), ==, 0);
  g_assert_cmpint (fchmodat (d->fd, "world", 0702, 0), ==, 0);
  assert_refused (d, "file", "not a directory");
  assert_refused (d, "link", "not a directory");
  assert_refused (d, "shared", "chmod 0700");
  assert_refused (d, "world", "chmod 0700");
  g_assert_cmpint (vm_file_open_private_dir (absent, &error), ==, -1);
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  if (geteuid () != 0)
    return;
  g_assert_cmpint (mkdirat (d->fd, "theirs", 0700), ==, 0);
  g_assert_cmpint (fchownat (d->fd, "theirs", SOMEBODY, SOMEBODY, 0), ==, 0);
  assert_refused (d, "theirs", "uid 65534");
}

/* Sizes */

static void
test_size_parse (void)
{
  static const struct {
    const char *text;
    guint64 unit, bytes;
  } good[] = {
      {"512", 1 << 20, G_GUINT64_CONSTANT (512) << 20},
      {"512", 1, 512},
      {"1", 1, 1},
      {"64M", 1, 64 << 20},
      {"64m", 1 << 20, 64 << 20},
      {"2G", 1, G_GUINT64_CONSTANT (2) << 30},
      {"16g", 1, G_GUINT64_CONSTANT (16) << 30},
      {"1.5GiB", 1, G_GUINT64_CONSTANT (3) << 29},
      {"1K", 1 << 20, 1024},
      {"1kB", 1, 1024},
      {"3T", 1, G_GUINT64_CONSTANT (3) << 40},
      {"0.5K", 1, 512},
      {"007", 1, 7},
  };
  static const char *const bad[] = {"",
                                    "0",
                                    "0M",
                                    "-1",
                                    "+1",
                                    " 1",
                                    "1 ",
                                    "1 M",
                                    "M",
                                    "1MM",
                                    "1X",
                                    "1iB",
                                    "1MiBx",
                                    "1,5G",
                                    "0x10",
                                    "1e3",
                                    "1E3",
                                    "inf",
                                    "nan",
                                    "1.2.3",
                                    "1p3",
                                    "9999999T",
                                    "99999999999999999999",
                                    "1.5.G",
                                    "G1",
                                    ".5G",
                                    "0.1"};

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
    guint64 bytes = 0;

    g_assert_true (vm_size_parse (good[i].text, good[i].unit, "--x", &bytes, NULL));
    g_assert_cmpuint (bytes, ==, good[i].bytes);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    guint64 bytes = 4711;

    if (vm_size_parse (bad[i], 1, "--memory", &bytes, &error))
      g_error ("'%s' was taken for %" G_GUINT64_FORMAT, bad[i], bytes);
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_assert_nonnull (strstr (error->message, "--memory"));
    g_assert_cmpuint (bytes, ==, 4711);
  }
}

static void
test_size_format (void)
{
  static const struct {
    guint64 bytes;
    const char *text;
  } rows[] = {
      {0, "0 B"},
      {17, "17 B"},
      {1023, "1023 B"},
      {1024, "1 KiB"},
      {1536, "1.5 KiB"},
      {G_GUINT64_CONSTANT (312) << 20, "312 MiB"},
      {(G_GUINT64_CONSTANT (312) << 20) + 700000, "313 MiB"},
      {G_GUINT64_CONSTANT (3) << 29, "1.5 GiB"},
      {G_GUINT64_CONSTANT (5) << 40, "5 TiB"},
      {G_GUINT64_CONSTANT (5) << 50, "5120 TiB"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = vm_size_format (rows[i].bytes);

    g_assert_cmpstr (text, ==, rows[i].text);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/base/file/" name, Dir, NULL, set_up, func, tear_down)
  ADD ("replace", test_replace);
  ADD ("replace-is-atomic", test_replace_is_atomic);
  ADD ("replace-fails", test_replace_fails);
  ADD ("replace-full", test_replace_full);
  ADD ("replace-link", test_replace_link);
  ADD ("read-refuses", test_read_refuses);
  ADD ("remove", test_remove);
  ADD ("remove-links", test_remove_links);
  ADD ("remove-forbidden", test_remove_forbidden);
  ADD ("remove-deep", test_remove_deep);
  ADD ("remove-mounted", test_remove_mounted);
  ADD ("private-dir", test_private_dir);
  ADD ("private-dir-refuses", test_private_dir_refuses);
  g_test_add_func ("/base/file/size-parse", test_size_parse);
  g_test_add_func ("/base/file/size-format", test_size_format);
  return g_test_run ();
}
