/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two file trees, and who is in an /etc/passwd. */
#include "images/guestfs/walk.h"

#include <string.h>
#include <sys/stat.h>

#include "images/guestfs/texts.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

typedef struct {
  GPtrArray *before, *after;
  GString *found; /* "A:path M:path " */
  GString *asked;
  gboolean same; /* what is answered */
  gboolean fails;
} World;

static ImageWalkEntry *
put (GPtrArray *tree, const char *path, guint32 mode)
{
  ImageWalkEntry *entry = g_new0 (ImageWalkEntry, 1);

  entry->path = g_strdup (path);
  entry->mode = mode;
  entry->size = 5;
  entry->ino = 7;
  entry->mtime = entry->ctime = 100;
  g_ptr_array_add (tree, entry);
  return entry;
}

/* In both; what comes back is the one that was there before. */
static ImageWalkEntry *
both (World *w, const char *path, guint32 mode, ImageWalkEntry **ret_after)
{
  *ret_after = put (w->after, path, mode);
  return put (w->before, path, mode);
}

static gboolean
answer (const char *path, gpointer data, gboolean *ret_same, GError **error)
{
  World *w = data;

  g_string_append_printf (w->asked, "%s ", path);
  *ret_same = w->same;
  return !w->fails || vm_error (error, VM_ERROR_FAILED, "cannot");
}

static void
note (char change, const ImageWalkEntry *entry, gpointer data)
{
  g_string_append_printf (((World *)data)->found, "%c:%s ", change, entry->path);
}

static void
set_up (World *w, gconstpointer unused)
{
  *w = (World){.before = image_walk_new (), .after = image_walk_new ()};
  w->found = g_string_new (NULL);
  w->asked = g_string_new (NULL);
}

static void
tear_down (World *w, gconstpointer unused)
{
  g_ptr_array_unref (w->before);
  g_ptr_array_unref (w->after);
  g_string_free (w->found, TRUE);
  g_string_free (w->asked, TRUE);
}

static void
expect (World *w, const char *found, const char *asked)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (image_walk_diff (w->before, w->after, answer, note, w, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (w->found->str, ==, found);
  g_assert_cmpstr (w->asked->str, ==, asked);
}

/* In the order of bytes, whatever the order in which they were walked. */
static void
test_sets (World *w, gconstpointer unused)
{
  ImageWalkEntry *same;

  (void)both (w, "same", S_IFREG | 0644, &same);
  put (w->before, "gone/file", S_IFREG | 0644);
  put (w->before, "gone", S_IFDIR | 0755);
  put (w->after, "new\n\xff", S_IFREG | 0644);
  put (w->after, "a", S_IFDIR | 0755);
  put (w->after, "z", S_IFIFO | 0600);
  expect (w, "A:a D:gone D:gone/file A:new\n\xff A:z ", "");
}

static void
test_empty (World *w, gconstpointer unused)
{
  expect (w, "", "");
}

static void
test_changes (World *w, gconstpointer unused)
{
  ImageWalkEntry *e;

  (void)both (w, "1-mode", S_IFREG | 0644, &e), e->mode = S_IFREG | 0755;
  (void)both (w, "2-type", S_IFREG | 0644, &e), e->mode = S_IFLNK | 0644;
  (void)both (w, "3-owner", S_IFDIR | 0755, &e), e->uid = 1;
  (void)both (w, "4-group", S_IFDIR | 0755, &e), e->gid = 1;
  (void)both (w, "5-size", S_IFREG | 0644, &e), e->size++;
  (void)both (w, "6-time", S_IFREG | 0644, &e), e->mtime++;
  (void)both (w, "7-nanoseconds", S_IFREG | 0644, &e), e->mtime_ns++;
  both (w, "8-link", S_IFLNK | 0777, &e)->target = g_strdup ("a"), e->target = g_strdup ("b");
  (void)both (w, "9-device", S_IFCHR | 0600, &e), e->rdev = 5;
  expect (w, "M:1-mode M:2-type M:3-owner M:4-group M:5-size M:6-time M:7-nanoseconds M:8-link M:9-device ",
          "");
}

/* What says nothing about what a file is. */
static void
test_no_changes (World *w, gconstpointer unused)
{
  ImageWalkEntry *e;

  (void)both (w, "dir", S_IFDIR | 0755, &e), e->mtime++, e->ctime++, e->size = 4096;
  both (w, "link", S_IFLNK | 0777, &e)->target = g_strdup ("a"), e->target = g_strdup ("a"), e->mtime++;
  both (w, "empty", S_IFREG | 0644, &e)->size = 0, e->size = 0, e->ctime++;
  (void)both (w, "fifo", S_IFIFO | 0600, &e), e->mtime++;
  expect (w, "", "");
}

/* Written, and its time set back. */
static void
test_asked (World *w, gconstpointer unused)
{
  ImageWalkEntry *e;

  (void)both (w, "ctime", S_IFREG | 0644, &e), e->ctime++;
  (void)both (w, "ctime-ns", S_IFREG | 0644, &e), e->ctime_ns++;
  (void)both (w, "inode", S_IFREG | 0644, &e), e->ino++;
  expect (w, "M:ctime M:ctime-ns M:inode ", "ctime ctime-ns inode ");
  g_string_truncate (w->found, 0);
  g_string_truncate (w->asked, 0);
  w->same = TRUE;
  expect (w, "", "ctime ctime-ns inode ");
}

static void
test_fails (World *w, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  ImageWalkEntry *e;

  (void)both (w, "file", S_IFREG | 0644, &e), e->ctime++;
  w->fails = TRUE;
  g_assert_false (image_walk_diff (w->before, w->after, answer, note, w, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_FAILED);
  g_assert_cmpstr (w->found->str, ==, "");
}

static void
test_users (void)
{
  g_autoptr (json_object) users = image_guestfs_users (
      "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nann:x:1000:1001:Ann,,:/home/ann:/bin/bash\n"
      "nobody:x:65534:65534::/:/bin/false\n+::::::\nshort:x:1002\nbad:x:-1:0::/:\nbig:x:99999999999:1::/:\n"
      "last:x:70000:1:::");
  g_autoptr (json_object) none = image_guestfs_users ("");
  g_autoptr (GString) names = g_string_new (NULL);

  for (size_t i = 0; i < json_object_array_length (users); i++) {
    json_object *one = json_object_array_get_idx (users, i);

    g_string_append_printf (names, "%s %d %s;", vm_json_str (one, "name", NULL),
                            (int)vm_json_int (one, "uid", -1), vm_json_str (one, "home", NULL));
  }
  g_assert_cmpstr (names->str, ==, "root 0 /root;ann 1000 /home/ann;last 70000 ;");
  g_assert_cmpuint (json_object_array_length (none), ==, 0);
}

static void
test_texts (void)
{
  static const struct {
    const char *text, *name;
  } rows[] = {{"ID=x\nPRETTY_NAME=\"A b\"\n", "A b"},
              {"PRETTY_NAME='c'", "c"},
              {"PRETTY_NAME=d\nPRETTY_NAME=e", "d"},
              {"PRETTY_NAME=\"", "\""},
              {"PRETTY_NAME=", NULL},
              {" PRETTY_NAME=x", NULL},
              {"", NULL}};

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *name = image_guestfs_os_name (rows[i].text);

    g_assert_cmpstr (name, ==, rows[i].name);
  }
  g_assert_cmpuint (image_guestfs_count ("P:a\nV:1\n\nP:b\nxP:c\nP:", "P:"), ==, 3);
  g_assert_cmpuint (image_guestfs_count ("\nP:a", "P:"), ==, 1);
  g_assert_cmpuint (image_guestfs_count ("", "P:"), ==, 0);
}

#define ADD(name, test) g_test_add ("/images/walk/" name, World, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("sets", test_sets);
  ADD ("empty", test_empty);
  ADD ("changes", test_changes);
  ADD ("no-changes", test_no_changes);
  ADD ("asked", test_asked);
  ADD ("fails", test_fails);
  g_test_add_func ("/images/walk/users", test_users);
  g_test_add_func ("/images/walk/texts", test_texts);
  return g_test_run ();
}
