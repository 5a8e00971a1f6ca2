/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/etc.h"
#include "vmctl/host.h"
#include "vmctl/path.h"

typedef struct {
  char *root; /* owned; a temporary directory, real path */
  VmHost host;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *made = g_dir_make_tmp ("vmctl-host-XXXXXX", NULL);
  char *real = realpath (made, NULL);

  f->root = g_strdup (real);
  free (real);
  f->host.user = g_strdup ("tester");
  f->host.uid = getuid ();
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_host_clear (&f->host);
  vm_file_remove_tree (AT_FDCWD, f->root, NULL);
  g_free (f->root);
  g_clear_error (&f->error);
}

static char *
at (const Fixture *f, const char *name)
{
  return g_build_filename (f->root, name, NULL);
}

static void
put (const Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = at (f, name);
  g_autofree char *dir = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
make_dir (const Fixture *f, const char *name)
{
  g_autofree char *path = at (f, name);

  g_assert_cmpint (g_mkdir_with_parents (path, 0755), ==, 0);
}

static gboolean
gather (Fixture *f, const char *name)
{
  g_autofree char *path = at (f, name);

  return vm_host_gather_project (&f->host, path, &f->error);
}

static void
assert_refused (Fixture *f, const char *name, const char *needle)
{
  g_assert_false (gather (f, name));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (f->error->message, needle));
  g_assert_null (f->host.project.path);
  g_clear_error (&f->error);
}

static const VmHostEntry *
present (const Fixture *f, const char *name)
{
  g_autofree char *path = at (f, name);

  for (const VmHostEntry *e = f->host.project.present; e->path != NULL; e++)
    if (g_str_equal (e->path, path))
      return e;
  return NULL;
}

static void
test_refusals (Fixture *f, gconstpointer data)
{
  put (f, "file", "");
  make_dir (f, "bad\xff");
  assert_refused (f, "absent", "does not exist");
  assert_refused (f, "file", "not a directory");
  assert_refused (f, "file/x", "not a directory");
  assert_refused (f, "bad\xff", "not UTF-8");
  g_assert_false (vm_host_gather_project (&f->host, "", &f->error));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_USAGE);
}

/* As another user where the tests run as root, who can read everything. */
static void
test_unreadable (Fixture *f, gconstpointer data)
{
  g_autofree char *path = at (f, "closed");
  int status;
  pid_t pid;

  make_dir (f, "closed");
  g_assert_cmpint (chmod (f->root, 0755), ==, 0);
  g_assert_cmpint (chmod (path, 0311), ==, 0);
  pid = fork ();
  if (pid == 0) {
    if (getuid () == 0 && (setgid (65534) < 0 || setuid (65534) < 0))
      _exit (2);
    _exit (!vm_host_gather_project (&f->host, path, &f->error) && f->error->code == VM_ERROR_USAGE &&
                   strstr (f->error->message, "cannot be read") != NULL
               ? 0
               : 1);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static void
test_odd_names (Fixture *f, gconstpointer data)
{
  static const char *const names[] = {"a,path=etc",
                                      "two\nlines",
                                      "$(id) `x` \"q\" 'q'",
                                      "-rf",
                                      "gr\xc3\xb6\xc3\x9f"
                                      "e",
                                      "%s%n",
                                      " (deleted)",
                                      "tail "};

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = at (f, names[i]);

    make_dir (f, names[i]);
    g_assert_true (gather (f, names[i]));
    g_assert_cmpstr (f->host.project.path, ==, path);
    g_assert_true (f->host.project.writable);
    g_assert_cmpuint (f->host.project.uid, ==, getuid ());
  }
}

/* Whatever way there, the real directory is what is decided about. */
static void
test_one_path (Fixture *f, gconstpointer data)
{
  g_autofree char *path = at (f, "dir"), *link = at (f, "link");
  g_autofree char *spelled = g_strconcat ("/proc/self/root", path, NULL);

  make_dir (f, "dir");
  g_assert_cmpint (symlink ("dir", link), ==, 0);
  g_assert_true (gather (f, "link"));
  g_assert_cmpstr (f->host.project.path, ==, path);
  g_assert_true (gather (f, "dir/../link/."));
  g_assert_cmpstr (f->host.project.path, ==, path);
  g_assert_true (vm_host_gather_project (&f->host, spelled, &f->error));
  g_assert_cmpstr (f->host.project.path, ==, path);
}

static void
test_protected (Fixture *f, gconstpointer data)
{
  g_autofree char *link = at (f, "p/.vscode"), *claude = at (f, "p/.claude");

  put (f, "p/.git/config", "");
  make_dir (f, "p/.git/hooks");
  put (f, "p/.envrc", "");
  put (f, "elsewhere/settings.json", "");
  g_assert_cmpint (symlink ("/etc", link), ==, 0);
  g_assert_cmpint (symlink ("../elsewhere", claude), ==, 0);
  g_assert_true (gather (f, "p"));
  g_assert_false (present (f, "p/.git/config")->is_dir);
  g_assert_true (present (f, "p/.git/hooks")->is_dir);
  g_assert_nonnull (present (f, "p/.envrc"));
  g_assert_cmpstr (present (f, "p/.vscode")->link, ==, "/etc");
  g_assert_null (present (f, "p/.claude/settings.json")); /* behind a link: another place */
  g_assert_null (present (f, "p/.idea"));
  g_assert_null (f->host.project.git_dir);
  g_assert_false (f->host.project.has_git_file);
}

/* Worktrees. */

/* A hand-made main repository and a worktree that fit each other. */
static void
make_worktree (const Fixture *f)
{
  g_autofree char *back = at (f, "wt/.git\n"), *admin = at (f, "main/.git/worktrees/wt");
  g_autofree char *git = g_strdup_printf ("gitdir: %s\n", admin);

  put (f, "main/.git/HEAD", "ref: refs/heads/x\n");
  put (f, "main/.git/config", "");
  make_dir (f, "main/.git/objects");
  make_dir (f, "main/.git/refs");
  put (f, "main/.git/worktrees/wt/commondir", "../..\n");
  put (f, "main/.git/worktrees/wt/gitdir", back);
  put (f, "wt/.git", git);
}

static void
assert_no_git_dir (Fixture *f)
{
  g_assert_true (gather (f, "wt"));
  g_assert_no_error (f->error);
  g_assert_null (f->host.project.git_dir);
  g_assert_null (f->host.project.worktree);
}

static void
test_worktree (Fixture *f, gconstpointer data)
{
  g_autofree char *main_dir = at (f, "main/.git"), *admin = at (f, "main/.git/worktrees/wt");

  make_worktree (f);
  g_assert_true (gather (f, "wt"));
  g_assert_cmpstr (f->host.project.git_dir, ==, main_dir);
  g_assert_cmpstr (f->host.project.worktree, ==, admin);
  g_assert_nonnull (present (f, "wt/.git"));
  g_assert_nonnull (present (f, "main/.git/config"));
  g_assert_nonnull (present (f, "main/.git/worktrees/wt/commondir"));
  put (f, "wt/.git", "gitdir: ../main/.git/worktrees/wt");
  put (f, "main/.git/worktrees/wt/gitdir", "../../../../wt/.git");
  g_assert_true (gather (f, "wt"));
  g_assert_cmpstr (f->host.project.git_dir, ==, main_dir);
}

static void
test_worktree_no_return (Fixture *f, gconstpointer data)
{
  make_worktree (f);
  put (f, "main/.git/worktrees/wt/gitdir", "/elsewhere/.git\n");
  assert_no_git_dir (f);
  put (f, "main/.git/worktrees/wt/gitdir", "");
  assert_no_git_dir (f);
}

static void
test_worktree_common (Fixture *f, gconstpointer data)
{
  make_worktree (f);
  make_dir (f, "secret");
  put (f, "main/.git/worktrees/wt/commondir", "../../../../secret\n");
  assert_no_git_dir (f);
  put (f, "main/.git/worktrees/wt/commondir", "/\n");
  assert_no_git_dir (f);
  /* A whole repository, but not the one that the worktree is in. */
  put (f, "secret/HEAD", "");
  make_dir (f, "secret/objects");
  make_dir (f, "secret/refs");
  put (f, "main/.git/worktrees/wt/commondir", "../../../../secret\n");
  assert_no_git_dir (f);
}

static void
test_worktree_not_git (Fixture *f, gconstpointer data)
{
  g_autofree char *head = at (f, "main/.git/HEAD"), *link = at (f, "main/.git/worktrees/wt/commondir");

  make_worktree (f);
  g_assert_cmpint (unlink (head), ==, 0);
  assert_no_git_dir (f);
  put (f, "main/.git/HEAD", "");
  f->host.uid = getuid () + 1;
  assert_no_git_dir (f);
  f->host.uid = getuid ();
  g_assert_true (gather (f, "wt"));
  g_assert_nonnull (f->host.project.git_dir);
  /* A link where the file should be is not read. */
  g_assert_cmpint (unlink (link), ==, 0);
  put (f, "other", "../..\n");
  g_assert_cmpint (symlink ("../../../../other", link), ==, 0);
  assert_no_git_dir (f);
}

/* .git files that lead anywhere else, big ones, and a FIFO, which must not hang. */
static void
test_git_file_lies (Fixture *f, gconstpointer data)
{
  g_autofree char *big = g_strnfill (100000, 'a'), *git = at (f, "wt/.git");
  g_autofree char *ssh = g_strdup_printf ("gitdir: %s/.ssh", f->root);
  const char *texts[] = {
      ssh, "gitdir: /", "gitdir: ", "gitdir:", "nonsense", "", big, "gitdir: /etc\nworktrees"};

  make_worktree (f);
  make_dir (f, ".ssh");
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    put (f, "wt/.git", texts[i]);
    assert_no_git_dir (f);
  }
  g_assert_cmpint (unlink (git), ==, 0);
  g_assert_cmpint (mkfifo (git, 0600), ==, 0);
  assert_no_git_dir (f);
}

static void
run_git (const char *dir, ...)
{
  VmArgv *argv = vm_argv_new ();
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;
  const char *word;
  va_list ap;

  vm_argv_add_many (argv, "git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@t", NULL);
  va_start (ap, dir);
  while ((word = va_arg (ap, const char *)) != NULL)
    vm_argv_add (argv, word);
  va_end (ap);
  vm_argv_run (argv, &output, &error);
  g_assert_no_error (error);
  vm_argv_free (argv);
}

static void
test_worktree_real (Fixture *f, gconstpointer data)
{
  g_autofree char *git = g_find_program_in_path ("git"), *main_dir = at (f, "m"), *worktree = at (f, "wt");
  g_autofree char *expected = at (f, "m/.git"), *bare = at (f, "b.git"), *of_bare = at (f, "wb");

  if (git == NULL) {
    g_test_skip ("git is not installed");
    return;
  }
  make_dir (f, "m");
  run_git (main_dir, "init", "-q", ".", NULL);
  run_git (main_dir, "commit", "-q", "--allow-empty", "-m", "x", NULL);
  run_git (main_dir, "worktree", "add", "-q", worktree, NULL);
  g_assert_true (gather (f, "wt"));
  g_assert_cmpstr (f->host.project.git_dir, ==, expected);
  g_assert_true (gather (f, "m"));
  g_assert_null (f->host.project.git_dir);
  run_git (f->root, "clone", "-q", "--bare", "m", "b.git", NULL);
  run_git (bare, "worktree", "add", "-q", of_bare, NULL);
  g_assert_true (gather (f, "wb"));
  g_assert_cmpstr (f->host.project.git_dir, ==, bare);
}

/* The whole host. */

static void
test_etc_rules (Fixture *f, gconstpointer data)
{
  static const char *const never[] = {"/etc/shadow",
                                      "/etc/ssl",
                                      "/etc/ssl/private",
                                      "/etc/ssl/private/x",
                                      "/etc/pki",
                                      "/etc/pki/tls",
                                      "/etc/ssh",
                                      "/etc/java-17/../shadow",
                                      "/etc/fontsx",
                                      "/etc/nix",
                                      "/etc/nix/netrc",
                                      "/usr/etc/fonts",
                                      "/etc/pki/tls/private",
                                      "/etc/sudoers",
                                      "/etc/machine-id",
                                      "/etc"};

  for (gsize i = 0; i < G_N_ELEMENTS (never); i++)
    g_assert_null (vm_etc_rule_find (never[i]));
  g_assert_cmpstr (vm_etc_rule_find ("/etc/fonts")->grant, ==, "fonts");
  g_assert_null (vm_etc_rule_find ("/etc/java-17-openjdk")->grant);
  g_assert_nonnull (vm_etc_rule_find ("/etc/python3.11"));
}

static void
test_gather (Fixture *f, gconstpointer data)
{
  VmHost host = {0}, read = {0};
  struct passwd *pw = getpwuid (getuid ());
  g_autoptr (json_object) object = NULL, again = NULL;
  g_autofree char *one = NULL, *two = NULL;

  g_setenv ("HOME", "/nowhere", TRUE);
  g_setenv ("USER", "nobody-at-all", TRUE);
  g_setenv ("SECRET_TOKEN", "hidden", TRUE);
  g_assert_true (vm_host_gather (&host, &f->error));
  g_assert_cmpstr (host.home, ==, pw->pw_dir);
  g_assert_cmpstr (host.user, ==, pw->pw_name);
  g_assert_cmpuint (host.uid, ==, getuid ());
  g_assert_cmpuint (host.memory, >, 0);
  g_assert_cmpuint (host.cpus, >, 0);
  g_assert_true (g_path_is_absolute (host.cwd));
  g_assert_nonnull (host.root[0].path);
  for (const VmHostEntry *e = host.etc; e->path != NULL; e++) {
    g_assert_false (vm_path_is_within (e->path, "/etc/ssl/private"));
    g_assert_cmpstr (e->path, !=, "/etc/shadow");
    g_assert_cmpstr (e->path, !=, "/etc/ssl");
  }
  object = vm_host_to_json (&host);
  one = vm_json_pretty (object);
  g_assert_null (strstr (one, "hidden"));
  g_assert_true (vm_host_from_json (object, &read, &f->error));
  again = vm_host_to_json (&read);
  two = vm_json_pretty (again);
  g_assert_cmpstr (one, ==, two);
  vm_host_clear (&host);
  vm_host_clear (&read);
}

static void
test_from_json_refuses (Fixture *f, gconstpointer data)
{
  VmHost host = {0};
  g_autoptr (json_object) object = vm_json_parse ("{\"user\": 1}", 11, NULL);

  g_assert_false (vm_host_from_json (object, &host, &f->error));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_null (host.user);
}

/* In a child, which becomes another user for good. 0: all as it should be; else the step that was not. */
static int
become_nobody (void)
{
  struct passwd *pw = getpwuid (65534);
  gboolean was_sudo = FALSE;

  g_setenv ("SUDO_UID", "65534", TRUE);
  g_setenv ("XDG_RUNTIME_DIR", "/root/run", TRUE);
  g_setenv ("XDG_CONFIG_HOME", "/root/.config", TRUE);
  g_setenv ("HOME", "/root", TRUE);
  if (!vm_host_become_user (&was_sudo, NULL) || !was_sudo)
    return 1;
  if (getuid () != 65534 || geteuid () != 65534 || getegid () != pw->pw_gid || setuid (0) == 0)
    return 2;
  if (g_strcmp0 (g_getenv ("HOME"), pw->pw_dir) != 0 || g_strcmp0 (g_getenv ("USER"), pw->pw_name) != 0)
    return 3;
  if (g_getenv ("XDG_RUNTIME_DIR") != NULL || g_getenv ("XDG_CONFIG_HOME") != NULL)
    return 4;
  return access ("/etc/shadow", R_OK) == 0 ? 5 : 0;
}

static void
test_become_user (Fixture *f, gconstpointer data)
{
  int status;
  pid_t pid;

  if (getuid () != 0 || getpwuid (65534) == NULL) {
    g_test_skip ("needs root and the user nobody");
    return;
  }
  pid = fork ();
  if (pid == 0)
    _exit (become_nobody ());
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
test_become_nobody_else (Fixture *f, gconstpointer data)
{
  gboolean was_sudo = TRUE;

  g_unsetenv ("SUDO_UID");
  g_assert_true (vm_host_become_user (&was_sudo, NULL));
  g_assert_false (was_sudo);
  g_setenv ("SUDO_UID", "0", TRUE);
  g_assert_true (vm_host_become_user (&was_sudo, NULL));
  g_assert_false (was_sudo);
  g_setenv ("SUDO_UID", "1000x", TRUE);
  g_assert_true (vm_host_become_user (&was_sudo, NULL));
  g_assert_false (was_sudo);
  g_unsetenv ("SUDO_UID");
}

#define ADD(name, test) g_test_add ("/vmctl/host/" name, Fixture, NULL, set_up, test, tear_down)

static void
assert_module (const Fixture *f, const char *name, gboolean there)
{
  g_autofree char *path = at (f, name);

  g_assert_cmpint (g_strv_contains ((const char *const *)f->host.project.modules, path), ==, there);
}

static void
test_modules (Fixture *f, gconstpointer data)
{
  g_autofree char *link = at (f, "p/.git/modules/link"), *elsewhere = at (f, "elsewhere");
  g_autofree char *config = at (f, "p/.git/modules/a/config");
  g_auto (GStrv) paths = NULL;

  put (f, "elsewhere/HEAD", "");
  put (f, "p/.git/modules/a/HEAD", "");
  put (f, "p/.git/modules/a/config", "");
  put (f, "p/.git/modules/libs/b/HEAD", "");
  put (f, "p/.git/modules/libs/b/modules/c/HEAD", "");
  put (f, "p/.git/modules/1/2/3/4/5/6/7/HEAD", "");
  g_assert_cmpint (symlink (elsewhere, link), ==, 0);
  g_assert_true (gather (f, "p"));
  assert_module (f, "p/.git/modules/a", TRUE);
  assert_module (f, "p/.git/modules/libs/b", TRUE);
  assert_module (f, "p/.git/modules/libs/b/modules/c", TRUE);
  assert_module (f, "p/.git/modules/link", FALSE);
  assert_module (f, "p/.git/modules/1/2/3/4/5/6/7", FALSE);
  paths = vm_host_protected_paths (&f->host.project);
  g_assert_true (g_strv_contains ((const char *const *)paths, config));
  g_assert_nonnull (vm_host_entry (f->host.project.present, config));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("project-refusals", test_refusals);
  ADD ("project-unreadable", test_unreadable);
  ADD ("project-odd-names", test_odd_names);
  ADD ("project-one-path", test_one_path);
  ADD ("project-protected", test_protected);
  ADD ("project-modules", test_modules);
  ADD ("worktree-both-ways", test_worktree);
  ADD ("worktree-needs-the-way-back", test_worktree_no_return);
  ADD ("worktree-commondir-elsewhere", test_worktree_common);
  ADD ("worktree-of-no-repository", test_worktree_not_git);
  ADD ("git-file-lies", test_git_file_lies);
  ADD ("worktree-of-real-git", test_worktree_real);
  ADD ("etc-allow-list", test_etc_rules);
  ADD ("gather", test_gather);
  ADD ("from-json-refuses", test_from_json_refuses);
  ADD ("become-user", test_become_user);
  ADD ("become-user-not-sudo", test_become_nobody_else);
  return g_test_run ();
}
