/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/metadir.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/image-fixture.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

static const char *const command[] = {"sh", "-c", "echo 'a b'\n", "", "\xff\x01", NULL};
static const char *const environment[] = {"HOME=/home/me", "EMPTY=", "MULTI=a\nb=c", NULL};
static const char *const mounts[] = {"dir",  "/work dir", "0755", "user", "link",
                                     "text", "/target",   "-",    NULL};

static MetaDir
good (void)
{
  return (MetaDir){.user = "me",
                   .group = "users",
                   .shell = "/bin/bash",
                   .hostname = "box",
                   .mask = 027,
                   .uid = 1000,
                   .gid = 4294967294U,
                   .root_allowed = TRUE,
                   .home = "/home/me",
                   .project = "/home/me/a\nb, c",
                   .cwd = "/home/me/a\nb, c/sub",
                   .command = command,
                   .environment = environment,
                   .address = "10.0.2.15/24",
                   .gateway = "10.0.2.2",
                   .mounts = mounts};
}

static gboolean
write_meta (Fixture *f, const MetaDir *meta, GError **error)
{
  vm_autofd dir_fd = open (f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  return meta_dir_make (dir_fd, "meta", meta, error) && meta_dir_write (dir_fd, "meta", meta, NULL, error);
}

static void
write_well (Fixture *f, const MetaDir *meta)
{
  g_autoptr (GError) error = NULL;

  (void)write_meta (f, meta, &error);
  g_assert_no_error (error);
}

static void
assert_file (Fixture *f, const char *name, const void *bytes, gsize length)
{
  g_autofree char *relative = g_build_filename ("meta", name, NULL), *path = fixture_path (f, relative);
  g_autoptr (GByteArray) got = fixture_read (path);
  struct stat st;

  g_assert_cmpmem (got->data, got->len, bytes, length);
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpuint (st.st_mode, ==, S_IFREG | 0600);
}

#define assert_text(f, name, text) assert_file (f, name, text, sizeof (text) - 1)

static void
assert_private (Fixture *f, const char *name, guint entries)
{
  g_autofree char *path = fixture_path (f, name);
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpuint (st.st_mode, ==, S_IFDIR | 0700);
  g_assert_cmpuint (fixture_count (path, ""), ==, entries);
}

/* NAME, SIZE, bytes, one after the other: the very files. */
static void
assert_bundle (Fixture *f)
{
  g_autofree char *path = fixture_path (f, "meta/bundle");
  g_autoptr (GByteArray) got = fixture_read (path);
  gsize at = 0;
  guint n = 0;

  while (at < got->len) {
    const char *name = (const char *)got->data + at, *size = name + strlen (name) + 1;
    gsize length = (gsize)g_ascii_strtoull (size, NULL, 10);

    at = (gsize)(size - (const char *)got->data) + strlen (size) + 1;
    assert_file (f, name, got->data + at, length);
    at += length;
    n++;
  }
  g_assert_cmpuint (at, ==, got->len);
  g_assert_cmpuint (n, ==, 11);
}

static void
test_bytes (Fixture *f, gconstpointer unused)
{
  g_autoptr (GBytes) first = g_bytes_new_static ("\0\xff\n", 3), second = g_bytes_new_static ("", 0);
  GBytes *const files[] = {first, second, NULL};
  MetaDir meta = good ();

  meta.files = files;
  meta.server = "/usr/bin/Xvfb";
  meta.manager = "/usr/bin/openbox";
  meta.vnc = 5900;
  meta.width = 640;
  meta.height = 480;
  meta.mac = "52:54:00:12:34:56";
  write_well (f, &meta);
  assert_private (f, "meta", 13);
  assert_private (f, "meta/files", 2);
  assert_text (f, "version", "1\n");
  assert_text (f, "identity",
               "name=me\nuid=1000\ngid=4294967294\ngroup=users\nshell=/bin/"
               "bash\nhostname=box\numask=0027\nroot=yes\n");
  assert_text (f, "host_home", "/home/me");
  assert_text (f, "host_project", "/home/me/a\nb, c");
  assert_text (f, "cwd", "/home/me/a\nb, c/sub");
  assert_text (f, "entrypoint", "sh\0-c\0echo 'a b'\n\0\0\xff\x01\0");
  assert_text (f, "environment", "HOME=/home/me\0EMPTY=\0MULTI=a\nb=c\0");
  assert_text (f, "network", "mac 52:54:00:12:34:56\naddress 10.0.2.15/24\ngateway 10.0.2.2\n");
  assert_text (f, "display", "server /usr/bin/Xvfb\nsize 640x480\nmanager /usr/bin/openbox\nvnc 5900\n");
  assert_text (f, "disk", "blk");
  assert_text (f, "mounts",
               "dir\0/work dir\0"
               "0755\0user\0link\0text\0/target\0-\0");
  assert_bundle (f);
  assert_text (f, "files/0", "\0\xff\n");
  assert_text (f, "files/1", "");
}

static void
test_least (Fixture *f, gconstpointer unused)
{
  MetaDir meta = good ();

  meta.command = meta.environment = meta.mounts = NULL;
  meta.address = meta.gateway = NULL;
  meta.root_allowed = FALSE;
  meta.tmpfs_mib = 512;
  write_well (f, &meta);
  assert_text (
      f, "identity",
      "name=me\nuid=1000\ngid=4294967294\ngroup=users\nshell=/bin/bash\nhostname=box\numask=0027\nroot=no\n");
  assert_text (f, "entrypoint", "");
  assert_text (f, "environment", "");
  assert_text (f, "network", "");
  assert_text (f, "display", "");
  assert_text (f, "disk", "tmpfs 512");
  assert_text (f, "mounts", "");
  assert_private (f, "meta/files", 0);
}

static void
test_image (Fixture *f, gconstpointer data)
{
  MetaDir meta = good ();

  meta.filesystem = "ext4";
  meta.partition = 3;
  meta.init = "/lib/systemd/systemd";
  write_well (f, &meta);
  assert_text (f, "disk", "image 3 ext4 /lib/systemd/systemd");
}

static void
test_host_systemd (Fixture *f, gconstpointer data)
{
  MetaDir meta = good ();

  meta.tmpfs_mib = 0;
  meta.init = "/usr/lib/systemd/systemd";
  write_well (f, &meta);
  assert_text (f, "disk", "blk /usr/lib/systemd/systemd");
}

static void
test_kept_image (Fixture *f, gconstpointer data)
{
  MetaDir meta = good ();

  meta.filesystem = "ext4";
  meta.keeps = TRUE;
  write_well (f, &meta);
  assert_text (f, "disk", "kept 0 ext4");
}

static void
test_bad_image (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *filesystem, *init;
  } cases[] = {{"", NULL}, {"ext4 x", NULL}, {"ext4\n", NULL}, {"ext4", "systemd"}, {"ext4", "/a\nb"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    MetaDir meta = good ();

    meta.filesystem = cases[i].filesystem;
    meta.init = cases[i].init;
    g_assert_false (write_meta (f, &meta, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  }
}

static void
test_umask (Fixture *f, gconstpointer unused)
{
  static const mode_t masks[] = {0, 0277};
  g_autoptr (GBytes) secret = g_bytes_new_static ("secret", 6);
  GBytes *const files[] = {secret, NULL};

  for (guint i = 0; i < G_N_ELEMENTS (masks); i++) {
    Fixture own;
    MetaDir meta = good ();
    mode_t old;

    fixture_init (&own, NULL);
    meta.files = files;
    old = umask (masks[i]);
    write_well (&own, &meta);
    (void)umask (old);
    assert_private (&own, "meta", 13);
    assert_private (&own, "meta/files", 1);
    assert_text (&own, "files/0", "secret");
    assert_text (&own, "version", "1\n");
    fixture_clear (&own, NULL);
  }
}

static void
assert_refused (Fixture *f, const MetaDir *meta, const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (write_meta (f, meta, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  fixture_assert_error (&error, word, NULL);
  g_assert_cmpuint (fixture_count (f->dir, ""), ==, 0);
}

#define refused_with(field, value, word)                                                                     \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    MetaDir changed = good ();                                                                               \
                                                                                                             \
    changed.field = value;                                                                                   \
    assert_refused (f, &changed, word);                                                                      \
  }                                                                                                          \
  G_STMT_END

static void
test_refuses (Fixture *f, gconstpointer unused)
{
  static const char *const no_equals[] = {"A=1", "B", NULL}, *const no_name[] = {"=1", NULL};
  static const char *const three[] = {"dir", "/a", "0755", NULL};

  refused_with (user, "me\nroot=yes", "user name has a newline");
  refused_with (user, "", "user name is empty");
  refused_with (user, NULL, "user name is empty");
  refused_with (group, "a\n", "group name has a newline");
  refused_with (shell, "/bin/sh\n", "shell has a newline");
  refused_with (hostname, "a\nb", "host name has a newline");
  refused_with (address, "10.0.2.15/24\ngateway 1.2.3.4", "network address has a newline");
  refused_with (gateway, "10.0.2.2\n", "gateway has a newline");
  refused_with (gateway, NULL, "not both");
  refused_with (address, NULL, "not both");
  refused_with (server, "Xvfb", "not an absolute path");
  refused_with (server, "/usr/bin/X\nmanager /x", "X server has a newline");
  refused_with (home, "home", "not an absolute path");
  refused_with (home, NULL, "not an absolute path");
  refused_with (project, "", "not an absolute path");
  refused_with (cwd, "../x", "not an absolute path");
  refused_with (environment, no_equals, "'B'");
  refused_with (environment, no_name, "'=1'");
  refused_with (mounts, three, "groups of four");
}

/* What is there is not touched. */
static void
test_exists (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = fixture_write_text (f, "meta/mine", "mine");
  g_autoptr (GError) error = NULL;
  MetaDir meta = good ();

  g_assert_false (write_meta (f, &meta, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_EXISTS);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_disk_full (Fixture *f, gconstpointer unused)
{
  g_autofree char *big = g_strnfill (100000, 'x'), *entry = g_strconcat ("BIG=", big, NULL);
  const char *const large[] = {entry, NULL};
  g_autoptr (GError) error = NULL;
  MetaDir meta = good ();
  struct rlimit old, low;

  meta.environment = large;
  (void)signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  low = (struct rlimit){.rlim_cur = 50000, .rlim_max = old.rlim_max};
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &low), ==, 0);
  g_assert_false (write_meta (f, &meta, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  fixture_assert_error (&error, "'meta'", "'environment'", "File too large", NULL);
  g_assert_cmpuint (fixture_count (f->dir, ""), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/meta/metadir/bytes", test_bytes);
  fixture_test ("/meta/metadir/least", test_least);
  fixture_test ("/meta/metadir/umask", test_umask);
  fixture_test ("/meta/metadir/refuses", test_refuses);
  fixture_test ("/meta/metadir/image", test_image);
  fixture_test ("/meta/metadir/kept-image", test_kept_image);
  fixture_test ("/meta/metadir/host-systemd", test_host_systemd);
  fixture_test ("/meta/metadir/bad-image", test_bad_image);
  fixture_test ("/meta/metadir/exists", test_exists);
  fixture_test ("/meta/metadir/disk-full-leaves-nothing", test_disk_full);
  return g_test_run ();
}
