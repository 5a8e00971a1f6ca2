/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial lines: two sockets that talk to each other. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/lines.h"

typedef struct {
  char *path;
  int dir;
  VmLines *lines;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->path = g_dir_make_tmp ("vmctl-lines-XXXXXX", NULL);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->lines = vm_lines_new (f->dir);
  g_assert_true (vm_lines_add (f->lines, "a", NULL));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_lines_free (f->lines);
  vm_fd_clear (&f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

static int
connect_to (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->path, name, NULL), *parent = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  vm_autofd dir = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int fd = vm_fd_connect_unix (dir, base, SOCK_STREAM, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (vm_fd_set_nonblocking (fd, TRUE, NULL));
  return fd;
}

static int
outside (Fixture *f)
{
  return connect_to (f, "serial-a.sock");
}

static int
inside (Fixture *f)
{
  return connect_to (f, "line-a/socket");
}

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Exactly this, and with "" the end. */
static void
expect (int fd, const char *text)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  char bytes[64];
  ssize_t n;

  do {
    turn ();
    n = read (fd, bytes, sizeof bytes);
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  } while (n < 0 && errno == EAGAIN);
  g_assert_cmpmem (bytes, n < 0 ? 0 : (gsize)n, text, strlen (text));
}

static void
say (int fd, const char *text)
{
  g_assert_cmpint (write (fd, text, strlen (text)), ==, (ssize_t)strlen (text));
}

static void
test_both_ways (Fixture *f, gconstpointer data)
{
  int a = outside (f), b;
  struct stat st;

  say (a, "early");
  turn ();
  b = inside (f);
  expect (b, "early");
  say (b, "answer");
  expect (a, "answer");
  close (a);
  expect (b, "");
  close (b);
  g_assert_cmpint (fstatat (f->dir, "serial-a.sock", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
  g_assert_cmpint (fstatat (f->dir, "line-a", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 0777, ==, 0700);
}

/* The next pair begins anew; a second one at the same end waits. */
static void
test_in_turn (Fixture *f, gconstpointer data)
{
  int a = outside (f), second, b = inside (f);

  say (a, "1");
  expect (b, "1");
  second = outside (f);
  say (second, "2");
  turn ();
  g_assert_cmpint (read (b, &(char){0}, 1), <, 0);
  close (a);
  expect (b, "");
  close (b);
  b = inside (f);
  expect (b, "2");
  close (b);
  expect (second, "");
  close (second);
}

/* A half close lets the other half end by itself. */
static void
test_half_close (Fixture *f, gconstpointer data)
{
  int a = outside (f), b = inside (f);

  say (a, "all");
  g_assert_cmpint (shutdown (a, SHUT_WR), ==, 0);
  expect (b, "all");
  expect (b, "");
  say (b, "late");
  expect (a, "late");
  close (b);
  expect (a, "");
  close (a);
}

/* Whoever does not read stops the other, and nothing is lost. */
static void
test_stalled (Fixture *f, gconstpointer data)
{
  int a = outside (f), b = inside (f);
  gsize sent = 0, got = 0;
  char block[4096];
  ssize_t n;

  memset (block, 'x', sizeof block);
  for (guint idle = 0; idle < 100; idle++) {
    n = write (a, block, sizeof block);
    sent += n > 0 ? (gsize)n : 0;
    idle = n > 0 ? 0 : idle;
    turn ();
    g_assert_cmpuint (sent, <, 16 << 20);
  }
  close (a);
  while (got < sent) {
    turn ();
    n = read (b, block, sizeof block);
    g_assert_true (n > 0 || (n < 0 && errno == EAGAIN));
    got += n > 0 ? (gsize)n : 0;
  }
  expect (b, "");
  close (b);
}

static void
test_remove (Fixture *f, gconstpointer data)
{
  int a = outside (f), b = inside (f);

  say (a, "x");
  expect (b, "x");
  vm_lines_remove (f->lines, "other");
  vm_lines_remove (f->lines, "a");
  expect (a, "");
  expect (b, "");
  close (a);
  close (b);
  g_assert_cmpint (faccessat (f->dir, "serial-a.sock", F_OK, 0), <, 0);
  g_assert_cmpint (faccessat (f->dir, "line-a", F_OK, 0), <, 0);
}

/* As a supervisor does that takes over. */
static void
test_again (Fixture *f, gconstpointer data)
{
  int a, b;

  vm_lines_free (f->lines);
  f->lines = vm_lines_new (f->dir);
  g_assert_true (vm_lines_add (f->lines, "a", NULL));
  a = outside (f);
  b = inside (f);
  say (b, "again");
  expect (a, "again");
  close (a);
  close (b);
}

#define ADD(name, function) g_test_add ("/vmctl/lines/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("both-ways", test_both_ways);
  ADD ("in-turn", test_in_turn);
  ADD ("half-close", test_half_close);
  ADD ("stalled", test_stalled);
  ADD ("remove", test_remove);
  ADD ("again", test_again);
  return g_test_run ();
}
