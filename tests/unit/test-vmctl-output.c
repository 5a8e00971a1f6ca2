/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/output.h"

typedef struct {
  int read_end, write_end;
  VmOutput *output;
  gsize drained;
  guint failed, drained_calls;
  int err;
  const char *more; /* written from inside the next `drained` */
} Fixture;

static void
got_drained (VmOutput *output, gsize bytes, gpointer data)
{
  Fixture *f = data;
  const char *more = g_steal_pointer (&f->more);

  f->drained += bytes;
  f->drained_calls++;
  if (more != NULL)
    vm_output_write (output, more, strlen (more));
}

static void
got_failed (VmOutput *output, int err, gpointer data)
{
  Fixture *f = data;

  f->failed++;
  f->err = err;
}

static const VmOutputHandlers handlers = {.drained = got_drained, .failed = got_failed};

static void
set_up (Fixture *f, gconstpointer data)
{
  int ends[2];

  if (GPOINTER_TO_INT (data)) {
    g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  } else {
    g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  }
  f->read_end = ends[0];
  f->write_end = ends[1];
  f->output = vm_output_new (f->write_end, &handlers, f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_output_free (f->output);
  vm_fd_clear (&f->read_end);
  vm_fd_clear (&f->write_end);
}

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static gsize
read_some (Fixture *f, gsize max)
{
  g_autofree char *block = g_malloc (max);
  ssize_t n = read (f->read_end, block, max);

  g_assert_cmpint (n, >=, 0);
  return (gsize)n;
}

static void
test_direct (Fixture *f, gconstpointer data)
{
  char text[8];

  vm_output_write (f->output, "hello", 5);
  g_assert_cmpuint (f->drained, ==, 5);
  g_assert_cmpuint (vm_output_pending (f->output), ==, 0);
  g_assert_cmpint (read (f->read_end, text, sizeof text), ==, 5);
  g_assert_cmpmem (text, 5, "hello", 5);
}

/* A reader that stalls does not block us, and the account follows what it takes. The inherited descriptor
 * stays as it was. */
static void
test_stalled (Fixture *f, gconstpointer data)
{
  gsize all = 1 << 20, got = 0;
  g_autofree char *much = g_malloc0 (all);

  vm_output_write (f->output, much, all);
  turn ();
  g_assert_cmpuint (f->drained, <, all);
  g_assert_cmpuint (f->drained + vm_output_pending (f->output), ==, all);
  g_assert_false (fcntl (f->write_end, F_GETFL) & O_NONBLOCK);
  while (got < all) {
    got += read_some (f, 65536);
    turn ();
    g_assert_cmpuint (f->drained, >=, got);
    g_assert_cmpuint (f->drained + vm_output_pending (f->output), ==, all);
  }
  g_assert_cmpuint (f->drained, ==, all);
  g_assert_cmpuint (f->failed, ==, 0);
}

/* Order is kept also when something is written while earlier bytes wait. */
static void
test_order (Fixture *f, gconstpointer data)
{
  g_autofree char *much = g_strnfill (500000, 'a'), *all = g_malloc (500010);
  gsize got = 0;

  vm_output_write (f->output, much, 500000);
  vm_output_write (f->output, "bcd", 3);
  while (got < 500003) {
    ssize_t n = read (f->read_end, all + got, 500003 - got);

    g_assert_cmpint (n, >, 0);
    got += (gsize)n;
    turn ();
  }
  g_assert_cmpmem (all + 499998, 5, "aabcd", 5);
}

static void
test_write_inside (Fixture *f, gconstpointer data)
{
  gsize all = 4 << 20, got = 0; /* more than any buffer takes */
  g_autofree char *much = g_strnfill (all, 'a');

  vm_output_write (f->output, much, all);
  g_assert_cmpuint (vm_output_pending (f->output), >, 0);
  f->more = "more";
  while (got < all + 4) {
    turn ();
    got += read_some (f, 65536);
  }
  turn ();
  g_assert_cmpuint (f->drained, ==, all + 4);
  g_assert_cmpuint (vm_output_pending (f->output), ==, 0);
}

/* Nobody reads any more: said once, and everything is accounted for, also what waited. */
static void
test_broken (Fixture *f, gconstpointer data)
{
  g_autofree char *much = g_malloc0 (1 << 20);

  vm_output_write (f->output, much, 1 << 20);
  turn ();
  g_assert_cmpuint (vm_output_pending (f->output), >, 0);
  vm_fd_clear (&f->read_end);
  turn ();
  g_assert_cmpuint (f->failed, ==, 1);
  g_assert_cmpint (f->err, ==, EPIPE);
  g_assert_true (vm_output_failed (f->output));
  g_assert_cmpuint (f->drained, ==, 1 << 20);
  g_assert_cmpuint (vm_output_pending (f->output), ==, 0);
  vm_output_write (f->output, "x", 1);
  g_assert_cmpuint (f->drained, ==, (1 << 20) + 1);
  g_assert_cmpuint (f->failed, ==, 1);
}

static void
test_broken_at_once (Fixture *f, gconstpointer data)
{
  vm_fd_clear (&f->read_end);
  vm_output_write (f->output, "hello", 5);
  g_assert_cmpuint (f->failed, ==, 1);
  g_assert_cmpuint (f->drained, ==, 5);
  g_assert_cmpuint (f->drained_calls, ==, 1);
}

/* A file keeps its shared offset: it is not opened anew. */
static void
test_file (void)
{
  g_autofree char *path = NULL, *text = NULL;
  Fixture f = {.write_end = g_file_open_tmp ("vmctl-output-XXXXXX", &path, NULL)};
  VmOutput *first = vm_output_new (f.write_end, &handlers, &f),
           *second = vm_output_new (f.write_end, &handlers, &f);

  vm_output_write (first, "one ", 4);
  vm_output_write (second, "two", 3);
  vm_output_free (first);
  vm_output_free (second);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "one two");
  g_assert_cmpint (fcntl (f.write_end, F_GETFD), >=, 0); /* it is not ours to close */
  close (f.write_end);
  unlink (path);
}

static void
test_full (void)
{
  Fixture f = {.write_end = open ("/dev/full", O_WRONLY | O_CLOEXEC)};
  VmOutput *output = vm_output_new (f.write_end, &handlers, &f);

  vm_output_write (output, "x", 1);
  g_assert_cmpint (f.err, ==, ENOSPC);
  g_assert_cmpuint (f.drained, ==, 1);
  vm_output_free (output);
  close (f.write_end);
}

static void
test_free_pending (Fixture *f, gconstpointer data)
{
  g_autofree char *much = g_malloc0 (1 << 20);

  vm_output_write (f->output, much, 1 << 20);
  g_clear_pointer (&f->output, vm_output_free);
  turn ();
}

int
main (int argc, char **argv)
{
  (void)signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func)                                                                                      \
  g_test_add ("/vmctl/output/" name, Fixture, GINT_TO_POINTER (FALSE), set_up, func, tear_down);             \
  g_test_add ("/vmctl/output/socket/" name, Fixture, GINT_TO_POINTER (TRUE), set_up, func, tear_down)
  ADD ("direct", test_direct);
  ADD ("stalled", test_stalled);
  ADD ("order", test_order);
  ADD ("write-inside", test_write_inside);
  ADD ("broken", test_broken);
  ADD ("broken-at-once", test_broken_at_once);
  ADD ("free-pending", test_free_pending);
  g_test_add_func ("/vmctl/output/file", test_file);
  g_test_add_func ("/vmctl/output/full", test_full);
  return g_test_run ();
}
