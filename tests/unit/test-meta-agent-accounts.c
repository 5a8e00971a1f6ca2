/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/agent/image-accounts.h"

#define ROOT "root:x:0:0:root:/root:/bin/sh\n"
#define ADA "ada:*:1000:100::/home/ada:/bin/bash\n"

static Meta
ada (void)
{
  return (Meta){
      .name = "ada", .group = "users", .uid = 1000, .gid = 100, .home = "/home/ada", .shell = "/bin/bash"};
}

static void
test_passwd (void)
{
  static const struct {
    const char *old, *new;
  } cases[] = {
      {"", ADA},
      {ROOT, ADA ROOT},
      {"root:x:0:0:root:/root:/bin/sh", ADA ROOT}, /* no newline at the end */
      {ROOT "ada:x:7:7::/:/bin/sh\n", ADA ROOT},   /* the image has one of that name */
      {ADA ROOT, ADA ROOT},                        /* twice is once */
      {"adam:x:7:7::/:/bin/sh\n", ADA "adam:x:7:7::/:/bin/sh\n"},
      {"debian:x:1000:1000::/:/bin/sh\n",
       ADA "debian:x:1000:1000::/:/bin/sh\n"}, /* the first gives the name */
      {"\n\nada\n", ADA "ada\n"},
  };
  const Meta meta = ada ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *got = image_accounts_passwd (cases[i].old, &meta, meta.shell);

    g_assert_cmpstr (got, ==, cases[i].new);
  }
}

static void
test_group (void)
{
  static const struct {
    const char *old, *new;
  } cases[] = {
      {"", "users:x:100:\n"},
      {"root:x:0:\n", "root:x:0:\nusers:x:100:\n"},
      {"users:x:100:bob\n", "users:x:100:bob\n"},
      {"other:x:100:\n", "other:x:100:\n"},                         /* the number has a name */
      {"users:x:500:bob\n", "users:x:500:bob\nvmctl-100:x:100:\n"}, /* the name is another's */
      {"a:x:1000:\nb:x:10:\n", "a:x:1000:\nb:x:10:\nusers:x:100:\n"},
      {"odd\n:\n::\nx:y:100z:\n", "odd\n:\n::\nx:y:100z:\nusers:x:100:\n"},
      {"last:x:100", "last:x:100\n"},
  };
  const Meta meta = ada ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *got = image_accounts_group (cases[i].old, &meta);

    g_assert_cmpstr (got, ==, cases[i].new);
  }
}

typedef struct {
  char *dir; /* owned */
  Tree tree;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("vmctl-accounts-XXXXXX", NULL);
  f->tree = (Tree){.root = open (f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), .home = "/home/ada"};
  g_assert_cmpint (f->tree.root, >=, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  static const char *const names[] = {"etc/passwd", "etc/group", "etc", "elsewhere", "bin/bash", "bin"};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (f->dir, names[i], NULL);

    (void)g_remove (path);
  }
  g_assert_cmpint (g_rmdir (f->dir), ==, 0);
  (void)close (f->tree.root);
  g_free (f->dir);
}

static void
assert_content (Fixture *f, const char *name, const char *content)
{
  g_autofree char *path = g_build_filename (f->dir, name, NULL), *text = NULL;
  struct stat st;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, content);
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0644);
}

/* An image without any accounts, and without the user's shell. */
static void
test_empty (Fixture *f, gconstpointer data)
{
  const Meta meta = ada ();

  g_assert_cmpint (image_accounts_add (&f->tree, &meta), ==, 0);
  assert_content (f, "etc/passwd", "ada:*:1000:100::/home/ada:/bin/sh\n");
  assert_content (f, "etc/group", "users:x:100:\n");
}

static void
test_root (Fixture *f, gconstpointer data)
{
  const Meta meta = {.name = "root", .group = "root", .home = "/root"};
  g_autofree char *etc = g_build_filename (f->dir, "etc", NULL);

  g_assert_cmpint (image_accounts_add (&f->tree, &meta), ==, 0);
  g_assert_false (g_file_test (etc, G_FILE_TEST_EXISTS));
}

/* An image's link leads nowhere: neither read nor written through. */
static void
test_link (Fixture *f, gconstpointer data)
{
  const Meta meta = ada ();
  g_autofree char *etc = g_build_filename (f->dir, "etc", NULL),
                  *passwd = g_build_filename (etc, "passwd", NULL),
                  *target = g_build_filename (f->dir, "elsewhere", NULL), *text = NULL;

  g_assert_cmpint (g_mkdir (etc, 0755), ==, 0);
  g_assert_true (g_file_set_contents (target, "kept", -1, NULL));
  g_assert_cmpint (symlink (target, passwd), ==, 0);
  g_assert_cmpint (image_accounts_add (&f->tree, &meta), <, 0);
  g_assert_true (g_file_get_contents (target, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "kept");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta/agent-accounts/passwd", test_passwd);
  g_test_add_func ("/meta/agent-accounts/group", test_group);
  g_test_add ("/meta/agent-accounts/empty", Fixture, NULL, set_up, test_empty, tear_down);
  g_test_add ("/meta/agent-accounts/root", Fixture, NULL, set_up, test_root, tear_down);
  g_test_add ("/meta/agent-accounts/link", Fixture, NULL, set_up, test_link, tear_down);
  return g_test_run ();
}
