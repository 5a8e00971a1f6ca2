/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

typedef struct {
  char *path;
  int fd;
} Dir;

static void
set_up (Dir *d, gconstpointer data)
{
  d->path = g_dir_make_tmp ("vmctl-fd-XXXXXX", NULL);
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

static gboolean
is_cloexec (int fd)
{
  return (fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void
test_clear (void)
{
  int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;

  errno = EBUSY;
  vm_fd_clear (&fd);
  g_assert_cmpint (fd, ==, -1);
  g_assert_cmpint (fcntl (number, F_GETFD), ==, -1);
  errno = EBUSY;
  vm_fd_clear (&fd);
  g_assert_cmpint (errno, ==, EBUSY);
}

static void
test_memfd (void)
{
  vm_autofd fd = vm_fd_memfd ("x", "hello", 5, NULL);
  char text[8];

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (is_cloexec (fd));
  g_assert_cmpint (read (fd, text, sizeof text), ==, 5);
  g_assert_cmpmem (text, 5, "hello", 5);
  g_assert_cmpint (pwrite (fd, "j", 1, 0), ==, -1);
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_cmpint (ftruncate (fd, 2), ==, -1);
  g_assert_cmpint (ftruncate (fd, 9), ==, -1);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), ==, -1);
  g_assert_true (mmap (NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

static void
test_read_all (void)
{
  vm_autofd five = vm_fd_memfd ("x", "12345", 5, NULL), zero = vm_fd_memfd ("x", "", 0, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = vm_fd_read_all (five, 5, NULL, NULL), *none = NULL;
  gsize length = 7;

  g_assert_cmpstr (text, ==, "12345");
  none = vm_fd_read_all (zero, 0, &length, NULL);
  g_assert_cmpstr (none, ==, "");
  g_assert_cmpuint (length, ==, 0);
  lseek (five, 0, SEEK_SET);
  g_assert_null (vm_fd_read_all (five, 4, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (vm_fd_read_all (-1, 4, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
}

/* More than the socket holds, non-blocking: the writer waits for the reader. */
static gpointer
read_much (gpointer data)
{
  gsize length;
  g_autofree char *all = vm_fd_read_all (GPOINTER_TO_INT (data), 8 << 20, &length, NULL);

  return GSIZE_TO_POINTER (all != NULL ? length : 0);
}

static void
test_write_all (void)
{
  g_autofree char *much = g_malloc0 (4 << 20);
  g_autoptr (GError) error = NULL;
  GThread *reader;
  int ends[2];

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (vm_fd_set_nonblocking (ends[0], TRUE, NULL));
  reader = g_thread_new ("reader", read_much, GINT_TO_POINTER (ends[1]));
  g_assert_true (vm_fd_write_all (ends[0], much, 4 << 20, NULL));
  close (ends[0]);
  g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (reader)), ==, 4 << 20);
  close (ends[1]);
  g_assert_false (vm_fd_write_all (-1, "x", 1, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
}

static void
test_nonblocking (void)
{
  int ends[2];
  char byte;

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (is_cloexec (ends[0]) && is_cloexec (ends[1]));
  g_assert_true (vm_fd_set_nonblocking (ends[0], TRUE, NULL));
  g_assert_cmpint (read (ends[0], &byte, 1), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  g_assert_true (vm_fd_set_nonblocking (ends[0], FALSE, NULL));
  g_assert_false (fcntl (ends[0], F_GETFL) & O_NONBLOCK);
  g_assert_false (vm_fd_set_nonblocking (-1, TRUE, NULL));
  close (ends[0]);
  close (ends[1]);
}

static void
test_pass (void)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  int ends[2], sent[2] = {vm_fd_memfd ("a", "A", 1, NULL), vm_fd_memfd ("b", "B", 1, NULL)};
  char text[8], byte;

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_cmpint (vm_fd_send (ends[0], "hi", 2, sent, 2), ==, 2);
  g_assert_cmpint (vm_fd_recv (ends[1], text, sizeof text, fds), ==, 2);
  g_assert_cmpuint (fds->len, ==, 2);
  for (guint i = 0; i < 2; i++) {
    int got = g_array_index (fds, int, i);

    g_assert_true (is_cloexec (got));
    g_assert_cmpint (read (got, &byte, 1), ==, 1);
    g_assert_cmpint (byte, ==, "AB"[i]);
    close (got);
    close (sent[i]);
  }
  g_assert_cmpint (vm_fd_send (ends[0], "yo", 2, NULL, 0), ==, 2);
  g_assert_cmpint (vm_fd_recv (ends[1], text, sizeof text, fds), ==, 2);
  g_assert_cmpuint (fds->len, ==, 2);
  close (ends[0]);
  g_assert_cmpint (vm_fd_recv (ends[1], text, sizeof text, fds), ==, 0);
  g_assert_cmpint (vm_fd_send (ends[1], "x", 1, NULL, 0), ==, -1); /* no SIGPIPE */
  g_assert_cmpint (errno, ==, EPIPE);
  close (ends[1]);
}

/* Descriptors that nobody asked for are closed, not leaked. */
static void
test_pass_unwanted (void)
{
  int ends[2], pipe_ends[2];
  char text[8], byte;

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (pipe2 (pipe_ends, O_CLOEXEC) == 0);
  g_assert_cmpint (vm_fd_send (ends[0], "x", 1, &pipe_ends[1], 1), ==, 1);
  close (pipe_ends[1]);
  g_assert_cmpint (vm_fd_recv (ends[1], text, sizeof text, NULL), ==, 1);
  g_assert_cmpint (read (pipe_ends[0], &byte, 1), ==, 0);
  close (pipe_ends[0]);
  close (ends[0]);
  close (ends[1]);
}

static void
test_unix (Dir *d, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  vm_autofd listener = vm_fd_listen_unix (d->fd, "s", SOCK_STREAM, &error), client = -1, server = -1;
  struct stat st;
  uid_t uid = 12345;

  g_assert_no_error (error);
  g_assert_cmpint (fstatat (d->fd, "s", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
  client = vm_fd_connect_unix (d->fd, "s", SOCK_STREAM, &error);
  g_assert_no_error (error);
  server = accept (listener, NULL, NULL);
  g_assert_true (vm_fd_peer_uid (server, &uid, NULL));
  g_assert_cmpuint (uid, ==, geteuid ());
  g_assert_true (is_cloexec (client) && is_cloexec (listener));
}

static void
test_unix_replaces (Dir *d, gconstpointer data)
{
  vm_autofd first = vm_fd_listen_unix (d->fd, "s", SOCK_SEQPACKET, NULL);
  vm_autofd second = vm_fd_listen_unix (d->fd, "s", SOCK_SEQPACKET, NULL);
  vm_autofd client = vm_fd_connect_unix (d->fd, "s", SOCK_SEQPACKET, NULL), server = -1;

  g_assert_cmpint (client, >=, 0);
  server = accept (second, NULL, NULL);
  g_assert_cmpint (server, >=, 0);
}

/* sun_path has 108 bytes. */
static void
test_unix_long_path (Dir *d, gconstpointer data)
{
  g_autofree char *part = g_strnfill (200, 'd');
  vm_autofd deep = -1, listener = -1, client = -1;

  g_assert_cmpint (mkdirat (d->fd, part, 0700), ==, 0);
  deep = openat (d->fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  listener = vm_fd_listen_unix (deep, "control.sock", SOCK_STREAM, NULL);
  client = vm_fd_connect_unix (deep, "control.sock", SOCK_STREAM, NULL);
  g_assert_cmpint (listener, >=, 0);
  g_assert_cmpint (client, >=, 0);
}

static void
test_unix_refused (Dir *d, gconstpointer data)
{
  g_autofree char *name = g_strnfill (200, 'n');
  g_autoptr (GError) error = NULL;
  vm_autofd listener = -1;

  g_assert_cmpint (vm_fd_listen_unix (d->fd, name, SOCK_STREAM, &error), ==, -1);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_cmpint (vm_fd_connect_unix (d->fd, "none", SOCK_STREAM, &error), ==, -1);
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  listener = vm_fd_listen_unix (d->fd, "s", SOCK_STREAM, NULL);
  vm_fd_clear (&listener);
  g_assert_cmpint (vm_fd_connect_unix (d->fd, "s", SOCK_STREAM, &error), ==, -1);
  g_assert_nonnull (strstr (error->message, "'s'"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add (name, Dir, NULL, set_up, func, tear_down)
  g_test_add_func ("/base/fd/clear", test_clear);
  g_test_add_func ("/base/fd/memfd", test_memfd);
  g_test_add_func ("/base/fd/read-all", test_read_all);
  g_test_add_func ("/base/fd/write-all", test_write_all);
  g_test_add_func ("/base/fd/nonblocking", test_nonblocking);
  g_test_add_func ("/base/fd/pass", test_pass);
  g_test_add_func ("/base/fd/pass-unwanted", test_pass_unwanted);
  ADD ("/base/fd/unix", test_unix);
  ADD ("/base/fd/unix-replaces", test_unix_replaces);
  ADD ("/base/fd/unix-long-path", test_unix_long_path);
  ADD ("/base/fd/unix-refused", test_unix_refused);
  return g_test_run ();
}
