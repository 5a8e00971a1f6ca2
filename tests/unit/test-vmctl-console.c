/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/console.h"

typedef struct {
  char *path;
  int dir, qemu; /* qemu: its end of the serial line */
  VmLog *log;
  VmConsole *console;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  int ends[2];

  f->path = g_dir_make_tmp ("vmctl-console-XXXXXX", NULL);
  f->dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->log = vm_log_open (f->dir, "console.log", VM_LOG_LIMIT, NULL);
  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  f->qemu = ends[0];
  f->console = vm_console_new (ends[1], f->log);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_console_free (f->console);
  vm_log_free (f->log);
  vm_fd_clear (&f->qemu);
  close (f->dir);
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_free (f->path);
}

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
say (Fixture *f, const void *bytes, gsize length)
{
  const char *at = bytes;

  while (length > 0) {
    ssize_t n = send (f->qemu, at, MIN (length, 32768), 0);

    g_assert_cmpint (n, >, 0);
    at += n;
    length -= (gsize)n;
    turn ();
  }
}

static void
say_text (Fixture *f, const char *text)
{
  say (f, text, strlen (text));
}

static int
attach (Fixture *f, gsize replay)
{
  int ends[2];

  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_true (vm_console_attach (f->console, ends[1], replay));
  g_assert_true (vm_fd_set_nonblocking (ends[0], TRUE, NULL));
  return ends[0];
}

/* What there is to read now; *ret_end: and then the stream ends. */
static char *
read_now (int fd, gsize *ret_length, gboolean *ret_end)
{
  g_autoptr (GByteArray) all = g_byte_array_new ();
  guint8 block[16384];
  ssize_t n;

  do {
    turn ();
    n = read (fd, block, sizeof block);
    if (n > 0)
      g_byte_array_append (all, block, (guint)n);
  } while (n > 0);
  if (ret_length != NULL)
    *ret_length = all->len;
  if (ret_end != NULL)
    *ret_end = n == 0;
  g_byte_array_append (all, (const guint8 *)"", 1);
  return (char *)g_byte_array_free (g_steal_pointer (&all), FALSE);
}

static void
assert_read (int fd, const char *expected)
{
  g_autofree char *text = read_now (fd, NULL, NULL);

  g_assert_cmpstr (text, ==, expected);
}

static const char panic_text[] = "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root\r\n";

static void
test_panic (Fixture *f, gconstpointer data)
{
  say_text (f, "booting\r\nnot a Kernel panic yet\n");
  g_assert_null (vm_console_panic (f->console));
  say_text (f, panic_text);
  say_text (f, "Kernel panic - not syncing: the second one\n");
  g_assert_cmpstr (vm_console_panic (f->console), ==, "VFS: Unable to mount root");
}

static void
test_panic_split (void)
{
  for (gsize cut = 0; cut <= sizeof panic_text - 1; cut++) {
    Fixture f = {0};

    set_up (&f, NULL);
    say (&f, panic_text, cut);
    turn ();
    say (&f, panic_text + cut, sizeof panic_text - 1 - cut);
    turn ();
    g_assert_cmpstr (vm_console_panic (f.console), ==, "VFS: Unable to mount root");
    tear_down (&f, NULL);
  }
}

/* Behind output without a line end, however long it is. */
static void
test_panic_behind (void)
{
  for (gsize length = 0; length < 1100; length++) {
    g_autofree char *bar = g_strnfill (length, '#');
    Fixture f = {0};

    set_up (&f, NULL);
    say_text (&f, bar);
    say_text (&f, panic_text);
    g_assert_cmpstr (vm_console_panic (f.console), ==, "VFS: Unable to mount root");
    tear_down (&f, NULL);
  }
}

/* The guest's words: escaped, bounded, also without an end. */
static void
test_panic_hostile (Fixture *f, gconstpointer data)
{
  g_autofree char *text = g_strnfill (100000, 'x');

  say_text (f, "Kernel panic - not syncing: \033]0;title\007");
  say_text (f, text);
  vm_console_drain (f->console);
  g_assert_true (g_str_has_prefix (vm_console_panic (f->console), "\\x1b]0;title\\x07xxx"));
  g_assert_cmpuint (strlen (vm_console_panic (f->console)), <, 2100);
}

static void
test_drain (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (send (f->qemu, "Kernel panic - not syncing: late", 32, 0), ==, 32);
  vm_fd_clear (&f->qemu);
  vm_console_drain (f->console);
  g_assert_cmpstr (vm_console_panic (f->console), ==, "late");
  turn ();
}

static void
test_log (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) logged = NULL;

  say (f, "a\0\377b\r\n", 6);
  logged = vm_log_tail (f->dir, "console.log", 100, NULL);
  g_assert_cmpmem (g_bytes_get_data (logged, NULL), g_bytes_get_size (logged), "a\0\377b\r\n", 6);
}

static void
test_viewers (Fixture *f, gconstpointer data)
{
  vm_autofd first = -1, second = -1, third = -1;

  say_text (f, "before ");
  first = attach (f, 100);
  second = attach (f, 3);
  third = attach (f, 0);
  say_text (f, "after");
  assert_read (first, "before after");
  assert_read (second, "re after");
  assert_read (third, "after");
  vm_fd_clear (&first);
  turn ();
  say_text (f, "!");
  assert_read (second, "!");
}

static void
test_typing (Fixture *f, gconstpointer data)
{
  vm_autofd viewer = attach (f, 0);
  char text[8];

  g_assert_cmpint (write (viewer, "ls\n", 3), ==, 3);
  turn ();
  g_assert_cmpint (recv (f->qemu, text, sizeof text, MSG_DONTWAIT), ==, 3);
  g_assert_cmpmem (text, 3, "ls\n", 3);
}

/* Somebody types into a guest that does not read: bounded, and what was kept arrives in order. */
static void
test_typing_bound (Fixture *f, gconstpointer data)
{
  vm_autofd viewer = attach (f, 0);
  g_autofree char *much = g_strnfill (65536, 'k');
  gsize sent = 0, got = 0;
  char block[65536];
  ssize_t n;

  for (guint i = 0; i < 100; i++) {
    n = send (viewer, much, 65536, MSG_DONTWAIT);
    sent += n > 0 ? (gsize)n : 0;
    turn ();
  }
  g_assert_cmpuint (sent, >, 2 * VM_CONSOLE_QUEUE_MAX);
  do {
    n = recv (f->qemu, block, sizeof block, MSG_DONTWAIT);
    got += n > 0 ? (gsize)n : 0;
    turn ();
  } while (n > 0);
  g_assert_cmpuint (got, <, 2 * VM_CONSOLE_QUEUE_MAX);
  g_assert_cmpuint (got, >, VM_CONSOLE_QUEUE_MAX / 2);
}

/* QEMU has gone while input waits: no spinning. */
static void
test_typing_into_nothing (Fixture *f, gconstpointer data)
{
  vm_autofd viewer = attach (f, 0);
  g_autofree char *much = g_strnfill (65536, 'k');
  guint turns = 0;

  for (guint i = 0; i < 30; i++) {
    (void)!send (viewer, much, 65536, MSG_DONTWAIT);
    turn ();
  }
  vm_fd_clear (&f->qemu);
  while (g_main_context_iteration (NULL, FALSE))
    g_assert_cmpuint (++turns, <, 1000);
  (void)!send (viewer, much, 65536, MSG_DONTWAIT);
  while (g_main_context_iteration (NULL, FALSE))
    g_assert_cmpuint (++turns, <, 1000);
}

/* One that does not read is dropped; the other, and the guest, do not notice. */
static void
test_slow_viewer (Fixture *f, gconstpointer data)
{
  vm_autofd slow = attach (f, 0), quick = attach (f, 0);
  g_autofree char *block = g_strnfill (16384, 'o');
  gsize seen = 0, length;
  gboolean end = FALSE;

  for (guint i = 0; i < 200; i++) {
    g_autofree char *text = NULL;

    say (f, block, 16384);
    text = read_now (quick, &length, NULL);
    seen += length;
  }
  g_assert_cmpuint (seen, ==, 200 * 16384);
  g_free (read_now (slow, &length, &end));
  g_assert_true (end);
  g_assert_cmpuint (length, <, 200 * 16384);
}

static void
test_ring (Fixture *f, gconstpointer data)
{
  g_autofree char *block = g_strnfill (100000, 'r'), *text = NULL;
  vm_autofd viewer = -1;
  gsize length;

  for (guint i = 0; i < 5; i++)
    say (f, block, 100000);
  say_text (f, "the end");
  viewer = attach (f, G_MAXSIZE);
  text = read_now (viewer, &length, NULL);
  g_assert_cmpuint (length, ==, VM_CONSOLE_RING);
  g_assert_true (g_str_has_suffix (text, "rthe end"));
}

static void
test_too_many (Fixture *f, gconstpointer data)
{
  int viewers[VM_CONSOLE_VIEWERS_MAX], ends[2];
  char byte;

  for (guint i = 0; i < VM_CONSOLE_VIEWERS_MAX; i++)
    viewers[i] = attach (f, 0);
  g_assert_true (vm_fd_socketpair (SOCK_STREAM, ends, NULL));
  g_assert_false (vm_console_attach (f->console, ends[1], 0));
  g_assert_cmpint (read (ends[0], &byte, 1), ==, 0);
  close (ends[0]);
  close (viewers[3]);
  turn ();
  viewers[3] = attach (f, 0);
  for (guint i = 0; i < VM_CONSOLE_VIEWERS_MAX; i++)
    close (viewers[i]);
}

static void
test_free (Fixture *f, gconstpointer data)
{
  vm_autofd viewer = attach (f, 0);
  gboolean end = FALSE;

  say_text (f, "last");
  g_clear_pointer (&f->console, vm_console_free);
  g_free (read_now (viewer, NULL, &end));
  g_assert_true (end);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmctl/console/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("panic", test_panic);
  g_test_add_func ("/vmctl/console/panic-split", test_panic_split);
  g_test_add_func ("/vmctl/console/panic-behind", test_panic_behind);
  ADD ("panic-hostile", test_panic_hostile);
  ADD ("drain", test_drain);
  ADD ("log", test_log);
  ADD ("viewers", test_viewers);
  ADD ("typing", test_typing);
  ADD ("typing-bound", test_typing_bound);
  ADD ("typing-into-nothing", test_typing_into_nothing);
  ADD ("slow-viewer", test_slow_viewer);
  ADD ("ring", test_ring);
  ADD ("too-many", test_too_many);
  ADD ("free", test_free);
  return g_test_run ();
}
