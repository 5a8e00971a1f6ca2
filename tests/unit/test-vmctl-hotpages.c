/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/hotpages.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

#define PRESENT (G_GUINT64_CONSTANT (1) << 63)
#define OF_FILE (G_GUINT64_CONSTANT (1) << 61)
#define SWAPPED (G_GUINT64_CONSTANT (1) << 62)

/* "3+2w 9+1r": page, number of pages, written or read. (transfer full) */
static char *
to_text (GBytes *list)
{
  gsize length;
  const guint32 *pairs = g_bytes_get_data (list, &length);
  GString *out = g_string_new (NULL);

  g_assert_cmpuint (length % 8, ==, 0);
  for (gsize i = 0; i < length / 4; i += 2)
    g_string_append_printf (out, "%s%u+%u%c", i > 0 ? " " : "", pairs[i], pairs[i + 1] & ~VM_HOT_WRITTEN,
                            (pairs[i + 1] & VM_HOT_WRITTEN) != 0 ? 'w' : 'r');
  return g_string_free (out, FALSE);
}

static void
assert_packs (const guint64 *words, gsize n, const char *expected)
{
  g_autoptr (GBytes) list = vm_hot_pages_pack (words, n);
  g_autofree char *text = to_text (list);

  g_assert_cmpstr (text, ==, expected);
}

static void
test_pack (void)
{
  static const guint64 w = PRESENT | 7, r = PRESENT | OF_FILE;
  const guint64 mixed[] = {0, w, w, r, 0, r, r, w, OF_FILE, SWAPPED, 7, w};

  assert_packs (NULL, 0, "");
  assert_packs ((const guint64[]){0, 0}, 2, "");
  assert_packs ((const guint64[]){w}, 1, "0+1w");
  assert_packs (mixed, G_N_ELEMENTS (mixed), "1+2w 3+1r 5+2r 7+1w 11+1w");
}

/* A guest picks the pages: the list has an end. */
static void
test_pack_limits (void)
{
  enum { N = 1 << 16 };
  g_autofree guint64 *words = g_new0 (guint64, N);
  g_autoptr (GBytes) ranges = NULL, pages = NULL;
  g_autofree char *text = NULL;

  for (gsize i = 0; i < N; i += 2)
    words[i] = PRESENT;
  ranges = vm_hot_pages_pack (words, N);
  g_assert_cmpuint (g_bytes_get_size (ranges), ==, VM_HOT_RANGES_MAX * 8);
  for (gsize i = 0; i < N; i++)
    words[i] = PRESENT;
  pages = vm_hot_pages_pack (words, N);
  text = to_text (pages);
  g_assert_cmpstr (text, ==, "0+16384w");
}

typedef struct {
  int file; /* owned */
  guint8 *map;
  struct stat st;
} Mapped;

enum { PAGES = 64 };

static void
map (Mapped *m, int flags)
{
  char path[] = "/var/tmp/vmctl-hotpages-XXXXXX";
  static const char data[PAGES * VM_HOT_PAGE];

  m->file = mkstemp (path);
  g_assert_cmpint (m->file, >=, 0);
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_cmpint (write (m->file, data, sizeof data), ==, sizeof data);
  g_assert_cmpint (fstat (m->file, &m->st), ==, 0);
  m->map = mmap (NULL, sizeof data, PROT_READ | PROT_WRITE, flags, m->file, 0);
  g_assert_true (m->map != MAP_FAILED);
}

static void
unmap (Mapped *m)
{
  munmap (m->map, PAGES * VM_HOT_PAGE);
  close (m->file);
}

static void
test_read (void)
{
  Mapped m;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) list = NULL;
  g_autofree char *text = NULL;

  map (&m, MAP_PRIVATE);
  m.map[3 * VM_HOT_PAGE] = 1;
  m.map[4 * VM_HOT_PAGE] = 1;
  m.map[60 * VM_HOT_PAGE] = 1;
  list = vm_hot_pages_read (getpid (), &m.st, &error);
  g_assert_no_error (error);
  text = to_text (list);
  /* Its neighbours may have been mapped along, but only for reading. */
  g_assert_nonnull (strstr (text, "3+2w"));
  g_assert_nonnull (strstr (text, "60+1w"));
  g_assert_null (strstr (text, "5+1w"));
  unmap (&m);
}

/* QEMU is some processes below the keeper. */
static void
test_read_descendant (void)
{
  Mapped m;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) list = NULL;
  g_autofree char *text = NULL;
  int ready[2];
  pid_t child;

  g_assert_cmpint (pipe (ready), ==, 0);
  child = fork ();
  if (child == 0) {
    (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
    map (&m, MAP_PRIVATE);
    m.map[9 * VM_HOT_PAGE] = 1;
    (void)!write (ready[1], &m.st, sizeof m.st);
    pause ();
    _exit (0);
  }
  g_assert_cmpint (read (ready[0], &m.st, sizeof m.st), ==, sizeof m.st);
  list = vm_hot_pages_read (getpid (), &m.st, &error);
  g_assert_no_error (error);
  text = to_text (list);
  g_assert_nonnull (strstr (text, "9+1w"));
  (void)kill (child, SIGKILL);
  (void)waitpid (child, NULL, 0);
  close (ready[0]);
  close (ready[1]);
}

/* The template's builder maps it shared: what that wrote is everybody's. */
static void
test_read_nobody (void)
{
  Mapped m;
  g_autoptr (GError) error = NULL;

  map (&m, MAP_SHARED);
  m.map[0] = 1;
  g_assert_null (vm_hot_pages_read (getpid (), &m.st, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  unmap (&m);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/hotpages/pack", test_pack);
  g_test_add_func ("/vmctl/hotpages/pack-limits", test_pack_limits);
  g_test_add_func ("/vmctl/hotpages/read", test_read);
  g_test_add_func ("/vmctl/hotpages/read-descendant", test_read_descendant);
  g_test_add_func ("/vmctl/hotpages/read-nobody", test_read_nobody);
  return g_test_run ();
}
