/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree that the real vmctl-keeper builds (environment variable VMCTL_KEEPER) and bubblewrap takes. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum { OUTPUT_MAX = 65536 };

typedef struct {
  char *path, *project, *root; /* owned */
  GByteArray *list;            /* owned */
  char *out, *err;             /* owned; of the last run */
  int status;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *door = NULL;

  f->path = g_dir_make_tmp ("vmctl-tree-XXXXXX", NULL);
  f->project = g_build_filename (f->path, "project", NULL);
  f->root = g_build_filename (f->path, "root", NULL);
  door = g_build_filename (f->path, "door", NULL);
  g_assert_cmpint (mkdir (f->project, 0700), ==, 0);
  g_assert_cmpint (mkdir (door, 0700), ==, 0);
  f->list = g_byte_array_new ();
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_assert_true (vm_file_remove_tree (AT_FDCWD, f->path, NULL));
  g_byte_array_unref (f->list);
  g_free (f->path);
  g_free (f->project);
  g_free (f->root);
  g_free (f->out);
  g_free (f->err);
}

static void
word (Fixture *f, const char *text)
{
  g_byte_array_append (f->list, (const guint8 *)text, (guint)strlen (text) + 1);
}

static void
group (Fixture *f, const char *kind, const char *target, const char *mode, const char *value)
{
  word (f, kind);
  word (f, target);
  word (f, mode);
  word (f, "user");
  word (f, value);
}

/* What a shell needs. */
static void
add_system (Fixture *f)
{
  group (f, "ro", "/usr", "", "/usr");
  group (f, "link", "/bin", "", "usr/bin");
  group (f, "link", "/lib", "", "usr/lib");
  group (f, "link", "/lib64", "", "usr/lib64");
}

static void
make (Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (f->project, name, NULL);

  if (text == NULL)
    g_assert_cmpint (mkdir (path, 0700), ==, 0);
  else
    g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static char *
slot (VmArgv *argv, const char *name)
{
  return g_strdup_printf ("%d", vm_argv_slot (argv, name));
}

static void
add_keeper (Fixture *f, VmArgv *argv, int go)
{
  static const char *const options[][2] = {
      {"--go", "go"}, {"--listen", "keeper"}, {"--dir", "dir"}, {"--tree", "tree"}};
  g_autoptr (GBytes) list = g_bytes_new (f->list->data, f->list->len);
  g_autofree char *door = g_build_filename (f->path, "door", NULL);
  int dir = open (f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  vm_argv_add (argv, g_getenv ("VMCTL_KEEPER"));
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    g_autofree char *number = slot (argv, options[i][1]);

    vm_argv_add_many (argv, options[i][0], number, NULL);
  }
  vm_argv_bind (argv, "go", go);
  vm_argv_bind (argv, "keeper", vm_fd_listen_unix (dir, "keeper.sock", SOCK_SEQPACKET, NULL));
  vm_argv_bind (argv, "dir", dir);
  vm_argv_bind_bytes (argv, "tree", list);
  vm_argv_add_many (argv, "--tree-at", f->root, "--door", door, "--", NULL);
}

/* `command` sees the tree. */
static void
run (Fixture *f, const char *command)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  int go[2], out[2], err[2];
  pid_t pid;

  g_assert_cmpint (pipe2 (go, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (out, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (err, O_CLOEXEC), ==, 0);
  add_keeper (f, argv, go[0]);
  vm_argv_add_many (argv, "bwrap", "--unshare-all", "--die-with-parent", "--bind", f->root, "/", "--proc",
                    "/proc", "--dev", "/dev", "--remount-ro", "/", "--chdir", "/", "sh", "-c", command, NULL);
  vm_argv_bind_stdio (argv, 1, out[1]);
  vm_argv_bind_stdio (argv, 2, err[1]);
  g_assert_true (vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, NULL));
  g_clear_pointer (&argv, vm_argv_free);
  g_assert_cmpint (write (go[1], "g", 1), ==, 1);
  close (go[1]);
  f->out = g_strchomp (vm_fd_read_all (out[0], OUTPUT_MAX, NULL, NULL));
  f->err = g_strchomp (vm_fd_read_all (err[0], OUTPUT_MAX, NULL, NULL));
  close (out[0]);
  close (err[0]);
  g_assert_cmpint (waitpid (pid, &f->status, 0), ==, pid);
}

static gboolean
has_namespaces (void)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();

  vm_argv_add_many (argv, "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL);
  if (vm_argv_run (argv, NULL, NULL))
    return TRUE;
  g_test_skip ("bwrap cannot make namespaces here");
  return FALSE;
}

static void
test_kinds (Fixture *f, gconstpointer data)
{
  g_autofree char *inner = g_build_filename (f->project, "file", NULL);

  if (!has_namespaces ())
    return;
  make (f, "kept", NULL);
  make (f, "closed", "old");
  make (f, "file", "text");
  add_system (f);
  group (f, "dir", "/d", "0751", "");
  group (f, "tmpfs", "/deep/er/t", "1777", "1048576");
  group (f, "rw", "/p", "", f->project);
  group (f, "pin", "/p/kept", "", "");
  group (f, "protect", "/p/closed", "", "");
  group (f, "ro", "/one file", "", inner);
  group (f, "try", "/missing", "", "/nowhere/at/all");
  run (f, "stat -c %a /d /deep /deep/er/t; cat '/one file'; echo; ls /missing 2>/dev/null || echo missing; "
          "echo a > /p/new && cat /p/new; echo b 2>/dev/null > /p/closed || cat /p/closed; echo; "
          "mv /p/kept /p/gone 2>/dev/null || echo pinned; echo c > /p/kept/x && cat /p/kept/x; "
          "echo d 2>/dev/null > '/one file' || echo read-only; mkdir /x 2>/dev/null || echo sealed; "
          "grep -c ' /p nosuid\\| /p rw,nosuid,nodev' /proc/self/mountinfo");
  g_assert_cmpstr (f->err, ==, "");
  g_assert_cmpstr (f->out, ==, "751\n755\n1777\ntext\nmissing\na\nold\npinned\nc\nread-only\nsealed\n1");
  g_assert_cmpint (f->status, ==, 0);
}

static void
assert_refused (Fixture *f, const char *what)
{
  if (strstr (f->err, what) == NULL)
    g_error ("'%s' is not in '%s'", what, f->err);
  g_assert_cmpint (f->status, !=, 0);
  g_assert_cmpstr (f->out, ==, "");
}

/* The project may have been changed since it was looked at. */
static void
test_link_is_protected (Fixture *f, gconstpointer data)
{
  g_autofree char *link = g_build_filename (f->project, "closed", NULL);

  if (!has_namespaces ())
    return;
  g_assert_cmpint (symlink ("/etc", link), ==, 0);
  add_system (f);
  group (f, "rw", "/p", "", f->project);
  group (f, "protect", "/p/closed", "", "");
  run (f, "echo ran");
  assert_refused (f, "was changed while the sandbox started");
}

static void
test_source_is_missing (Fixture *f, gconstpointer data)
{
  if (!has_namespaces ())
    return;
  group (f, "ro", "/x", "", "/nowhere/at/all");
  run (f, "echo ran");
  assert_refused (f, "cannot let in '/x': No such file or directory");
}

static void
test_target_is_odd (Fixture *f, gconstpointer data)
{
  if (!has_namespaces ())
    return;
  group (f, "dir", "/a/../../b", "0755", "");
  run (f, "echo ran");
  assert_refused (f, "no place is '/a/../../b'");
}

static void
test_list_is_cut (Fixture *f, gconstpointer data)
{
  if (!has_namespaces ())
    return;
  add_system (f);
  g_byte_array_set_size (f->list, f->list->len - 1);
  run (f, "echo ran");
  assert_refused (f, "the list of the root directory is broken");
}

int
main (int argc, char **argv)
{
  (void)signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
  g_assert_nonnull (g_getenv ("VMCTL_KEEPER"));
#define ADD(name, func) g_test_add ("/vmctl/tree/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("kinds", test_kinds);
  ADD ("link-is-protected", test_link_is_protected);
  ADD ("source-is-missing", test_source_is_missing);
  ADD ("target-is-odd", test_target_is_odd);
  ADD ("list-is-cut", test_list_is_cut);
  return g_test_run ();
}
