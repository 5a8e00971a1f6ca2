/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Following a log across its rotation: nothing twice, nothing left out. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/log.h"
#include "vmctl/tail.h"

enum { LIMIT = 1000 };

typedef struct {
  char *path;
  int fd;
} Dir;

static void
set_up (Dir *dir, gconstpointer data)
{
  dir->path = g_dir_make_tmp ("vmctl-tail-XXXXXX", NULL);
  dir->fd = open (dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (dir->fd, >=, 0);
}

static void
tear_down (Dir *dir, gconstpointer data)
{
  g_autofree char *name = g_path_get_basename (dir->path);
  vm_autofd tmp = open (g_get_tmp_dir (), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  vm_fd_clear (&dir->fd);
  g_assert_true (vm_file_remove_tree (tmp, name, NULL));
  g_free (dir->path);
}

static void
check_read (VmTail *tail, const char *want)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  vm_tail_read (tail, bytes);
  g_assert_cmpmem (bytes->data, bytes->len, want, strlen (want));
}

static void
grows (Dir *dir, gconstpointer data)
{
  g_autoptr (VmLog) log = NULL;
  g_autoptr (VmTail) tail = vm_tail_open (dir->fd, "x.log", NULL);
  struct pollfd p = {.fd = vm_tail_fd (tail), .events = POLLIN};

  check_read (tail, ""); /* it does not exist yet */
  log = vm_log_open (dir->fd, "x.log", LIMIT, NULL);
  vm_log_write (log, "one\n", 4);
  g_assert_cmpint (poll (&p, 1, 60000), ==, 1);
  check_read (tail, "one\n");
  g_assert_cmpint (poll (&p, 1, 0), ==, 0);
  check_read (tail, "");
  vm_log_write (log, "two\n", 4);
  g_assert_cmpint (poll (&p, 1, 60000), ==, 1);
  check_read (tail, "two\n");
}

static void
write_numbers (VmLog *log, guint from, guint to, GString *all)
{
  for (guint i = from; i < to; i++) {
    g_autofree char *line = g_strdup_printf ("%06u\n", i);

    vm_log_write (log, line, strlen (line));
    if (all != NULL)
      g_string_append (all, line);
  }
}

/* Both files at first, then on into the new one, whenever it is looked. */
static void
rotates (Dir *dir, gconstpointer data)
{
  g_autoptr (VmLog) log = vm_log_open (dir->fd, "x.log", LIMIT, NULL);
  g_autoptr (VmTail) tail = vm_tail_open (dir->fd, "x.log", NULL);
  g_autoptr (GString) all = g_string_new (NULL);
  g_autoptr (GByteArray) got = g_byte_array_new ();

  write_numbers (log, 0, 200, all); /* 1400 bytes: one rotation */
  vm_tail_read (tail, got);
  for (guint i = 200; i < 1000; i += 50) {
    write_numbers (log, i, i + 50, all);
    vm_tail_read (tail, got);
  }
  write_numbers (log, 1000, 1100, all);
  vm_tail_read (tail, got);
  g_assert_cmpmem (got->data, got->len, all->str, all->len);
}

/* The file was renamed between the opening of the two. */
static void
older_is_current (Dir *dir, gconstpointer data)
{
  g_autoptr (VmTail) tail = vm_tail_open (dir->fd, "x.log", NULL);

  g_assert_true (vm_file_replace (dir->fd, "x.log", "a\n", 2, 0600, FALSE, NULL));
  g_assert_cmpint (linkat (dir->fd, "x.log", dir->fd, "x.log.1", 0), ==, 0);
  check_read (tail, "a\n");
}

static void
no_links (Dir *dir, gconstpointer data)
{
  g_autoptr (VmTail) tail = vm_tail_open (dir->fd, "x.log", NULL);

  g_assert_cmpint (symlinkat ("/etc/passwd", dir->fd, "x.log"), ==, 0);
  g_assert_cmpint (mkfifoat (dir->fd, "x.log.1", 0600), ==, 0);
  check_read (tail, "");
}

static void
check_cut (const char *text, guint lines, const char *want)
{
  gsize at = vm_tail_cut ((const guint8 *)text, strlen (text), lines);

  g_assert_cmpstr (text + at, ==, want);
}

static void
cut (void)
{
  check_cut ("", 3, "");
  check_cut ("a\nb\nc\n", 0, "");
  check_cut ("a\nb\nc\n", 1, "c\n");
  check_cut ("a\nb\nc\n", 2, "b\nc\n");
  check_cut ("a\nb\nc\n", 3, "a\nb\nc\n");
  check_cut ("a\nb\nc\n", 9, "a\nb\nc\n");
  check_cut ("a\nb\nc", 1, "c");
  check_cut ("a\nb\nc", 2, "b\nc");
  check_cut ("\n\n\n", 2, "\n\n");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/vmctl/tail/grows", Dir, NULL, set_up, grows, tear_down);
  g_test_add ("/vmctl/tail/rotates", Dir, NULL, set_up, rotates, tear_down);
  g_test_add ("/vmctl/tail/older-is-current", Dir, NULL, set_up, older_is_current, tear_down);
  g_test_add ("/vmctl/tail/no-links", Dir, NULL, set_up, no_links, tear_down);
  g_test_add_func ("/vmctl/tail/cut", cut);
  return g_test_run ();
}
