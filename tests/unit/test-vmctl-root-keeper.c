/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper that stays root under sudo (environment variable VMCTL_KEEPER): what it may be told. It judges
 * before it does anything, so root is needed only to make files that are root's. */
#include "vmctl/root-keeper.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/container.h"

#define NSPAWN "/usr/bin/systemd-nspawn"
#define SCOPE "/usr/bin/systemd-run\n--scope\n--quiet\n--collect"

enum { SAID_MAX = 4096 };

static const char *const slots[] = {"go", "listen", "dir", "stage", "agent", "seccomp", NULL};

/* The words of a plain `sudo vmctl up` by uid 1000, gid 1000. Slots are the descriptors 3 ... 8. */
static const char *const good[] = {
    "vmctl-keeper",
    "--go",
    "3",
    "--listen",
    "4",
    "--dir",
    "5",
    "--netns",
    "lo",
    "--stage",
    "6",
    "--uid",
    "1000",
    "--gid",
    "1000",
    "--shift",
    "688979968",
    "--activate",
    "7",
    "--activate",
    "8",
    "--",
    NSPAWN,
    "--quiet",
    "--settings=no",
    "--directory=" CONTAINER_ROOT,
    "--machine=vmctl-ab12cd34",
    "--hostname=engine",
    "--register=no",
    "--keep-unit",
    "--console=pipe",
    "--as-pid2",
    "--no-new-privileges=yes",
    "--private-users=688979968:65536",
    "--private-users-ownership=off",
    "--drop-capability=" CONTAINER_DROPPED,
    "--system-call-filter=" CONTAINER_DENIED,
    "--link-journal=no",
    "--resolv-conf=off",
    "--timezone=off",
    "--",
    META_AGENT,
    "--listen",
    "3",
    "--meta",
    META_DIR,
    "--contained",
    "--allow-list",
    "--filter",
    "4",
    "--lifeline",
    "5",
    "--uid",
    "1000",
    NULL,
};

/* In place of `word` (NULL: behind the last) comes `other` (NULL: nothing); what is said about it. */
typedef struct {
  const char *name, *word, *other, *said;
} Bad;

static const Bad bad[] = {
    {"program", NSPAWN, "/bin/sh", "refused: program: /bin/sh"},
    {"program-relative", NSPAWN, "systemd-nspawn", "refused: program: systemd-nspawn"},
    {"no-program", NSPAWN, NULL, "refused: program: --quiet"},
    {"directory", "--directory=" CONTAINER_ROOT, "--directory=/", "at: --directory=/"},
    {"machine", "--machine=vmctl-ab12cd34", "--machine=../x", "at: --machine=../x"},
    {"machine-slash", "--machine=vmctl-ab12cd34", "--machine=vmctl-/x", "at: --machine=vmctl-/x"},
    {"hostname", "--hostname=engine", "--hostname=a b", "at: --hostname=a b"},
    {"no-pid2", "--as-pid2", "--boot", "at: --boot"},
    {"privileges", "--no-new-privileges=yes", "--no-new-privileges=no", "at: --no-new-privileges=no"},
    {"privileges-absent", "--no-new-privileges=yes", NULL, "at: --private-users"},
    {"users-of-host", "--private-users=688979968:65536", "--private-users=0:65536", "at: --private-users=0"},
    {"users-none", "--private-users=688979968:65536", "--private-users=no", "at: --private-users=no"},
    {"ownership", "--private-users-ownership=off", "--private-users-ownership=chown",
     "at: --private-users-o"},
    {"capability", "--drop-capability=" CONTAINER_DROPPED, "--capability=all", "at: --capability=all"},
    {"filter", "--system-call-filter=" CONTAINER_DENIED, "--system-call-filter=@mount", "at: --system-call"},
    {"bind", "--timezone=off", "--bind=/", "at: --bind=/"},
    {"one-more", "--timezone=off", "--timezone=off\n--bind=/", "at: --bind=/"},
    {"agent", META_AGENT, "/bin/sh", "at: /bin/sh"},
    {"agent-meta", META_DIR, "/etc", "at: /etc"},
    {"behind", NULL, "--more", "too long a command: --more"},
    {"user", "1000", "0", "another user"},
    {"shift-zero", "688979968", "0", "at: --private-users=688979968"},
    {"shift-low", "688979968", "65536", "no range of ids"},
    {"shift-odd", "688979968", "688979969", "no range of ids"},
    {"number", "688979968", "-1", "not a number: -1"},
    {"option", "--netns", "--door", "not a number: lo"},
    {"option-number", "--go", "--console", "option: --console"},
    {"group-word", "--go", "--make-group\n../x:1:1:1\n--go", "not a number: ../x"},
    {"scope-program", "vmctl-keeper", "/tmp/systemd-run\n--scope", "not a number: --go"},
    {"scope-option", "vmctl-keeper", "/usr/bin/systemd-run\n--scope\n--pty", "scope, at: --pty"},
    {"scope-unit", "vmctl-keeper", SCOPE "\n--unit=ssh", "scope, at: --unit=ssh"},
    {"scope-slice", "vmctl-keeper", SCOPE "\n--unit=vmctl-a\n--slice=x", "scope, at: --slice=x"},
    {"scope-property", "vmctl-keeper", SCOPE "\n--unit=vmctl-a\n--slice=system.slice\n--property=ExecStart=x",
     "scope, at: --property=E"},
    {"namespace", "lo", "host", "not a number: host"},
    {"net-program", "--netns", "--net\n/tmp/evil\n--netns", "not a number: /tmp/evil"},
    {"net-user", "--netns", "--net-user\n0:0\n--netns", "not a number: 0:0"},
};

/* The good words, the first that is `b->word` replaced. */
static VmArgv *
make_words (const Bad *b)
{
  VmArgv *argv = vm_argv_new ();
  gboolean done = b == NULL;

  for (const char *const *slot = slots; *slot != NULL; slot++)
    vm_argv_bind (argv, *slot, open ("/dev/null", O_RDWR | O_CLOEXEC));
  for (const char *const *word = good; *word != NULL; word++) {
    gboolean here = !done && g_strcmp0 (b->word, *word) == 0;
    g_auto (GStrv) others = g_strsplit (here && b->other != NULL ? b->other : "", "\n", -1);

    if (!here)
      vm_argv_add (argv, *word);
    for (char **other = others; here && *other != NULL; other++)
      vm_argv_add (argv, *other);
    done |= here;
  }
  if (!done)
    vm_argv_add (argv, b->other);
  return argv;
}

typedef struct {
  int socket, said, said_end; /* owned */
} Keeper;

static void
start_keeper_with (Keeper *k, guint uid, guint gid, const char *const *places)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  int ends[2], said[2], status;
  pid_t pid;

  g_assert_true (vm_fd_socketpair (SOCK_SEQPACKET, ends, NULL));
  g_assert_cmpint (pipe2 (said, O_CLOEXEC), ==, 0);
  vm_argv_bind (argv, "socket", ends[1]);
  vm_argv_bind_stdio (argv, 2, said[1]);
  vm_argv_add_many (argv, g_getenv ("VMCTL_KEEPER"), "--root", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "socket"));
  vm_argv_add (argv, "--uid");
  vm_argv_addf (argv, "%u", uid);
  vm_argv_add (argv, "--gid");
  vm_argv_addf (argv, "%u", gid);
  if (places != NULL)
    vm_argv_add_strv (argv, places);
  vm_argv_spawn (argv, 0, &pid, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  *k = (Keeper){.socket = ends[0], .said = said[0], .said_end = fcntl (said[1], F_DUPFD_CLOEXEC, 3)};
}

static void
start_keeper (Keeper *k, guint uid, guint gid)
{
  start_keeper_with (k, uid, gid, NULL);
}

/* Until it has ended: it alone has the other end. */
static char *
what_it_said (Keeper *k)
{
  char *text;

  vm_fd_clear (&k->socket);
  vm_fd_clear (&k->said_end);
  text = vm_fd_read_all (k->said, SAID_MAX, NULL, NULL);
  vm_fd_clear (&k->said);
  return text;
}

static gboolean
needs_nspawn (void)
{
  struct stat st;

  if (stat (NSPAWN, &st) == 0 && st.st_uid == 0)
    return TRUE;
  g_test_skip (NSPAWN " is not installed");
  return FALSE;
}

/* Taken, and all descriptors found their place: it waits for a byte, and is content to go when none comes. */
static void
assert_taken (guint uid, guint gid, const Bad *changed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *said = NULL;
  VmArgv *argv = make_words (changed);
  Keeper k;
  pid_t pid = 0;

  start_keeper (&k, uid, gid);
  vm_root_keeper_run (k.socket, argv, &pid, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pid, >, 1);
  vm_argv_free (argv);
  said = what_it_said (&k);
  g_assert_cmpstr (said, ==, "");
}

static void
test_good (void)
{
  if (needs_nspawn ())
    assert_taken (1000, 1000, NULL);
}

/* One keeper after the other, also when one was refused. */
static void
test_again (void)
{
  const Bad *const turns[] = {NULL, &bad[0], NULL};
  g_autofree char *said = NULL;
  pid_t last = 0;
  Keeper k;

  if (!needs_nspawn ())
    return;
  start_keeper (&k, 1000, 1000);
  for (gsize i = 0; i < G_N_ELEMENTS (turns); i++) {
    g_autoptr (VmArgv) argv = make_words (turns[i]);
    g_autoptr (GError) error = NULL;
    pid_t pid = 0;

    g_assert_cmpint (vm_root_keeper_run (k.socket, argv, &pid, &error), ==, turns[i] == NULL);
    if (turns[i] == NULL)
      g_assert_no_error (error);
    g_assert_true (pid == 0 || pid != last);
    last = pid;
  }
  said = what_it_said (&k);
  g_assert_cmpstr (said, ==, ""); /* by then it has let go of the client's streams */
}

/* The usual limit for a session. */
static void
test_few_descriptors (void)
{
  struct rlimit before, few;

  if (!needs_nspawn ())
    return;
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  few = (struct rlimit){.rlim_cur = MIN (1024, before.rlim_max), .rlim_max = before.rlim_max};
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
  assert_taken (1000, 1000, NULL);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
}

static void
test_bad (gconstpointer data)
{
  const Bad *b = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *said = NULL;
  VmArgv *argv;
  Keeper k;
  pid_t pid;

  if (!needs_nspawn ())
    return;
  argv = make_words (b);
  start_keeper (&k, 1000, 1000);
  g_assert_false (vm_root_keeper_run (k.socket, argv, &pid, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_CHILD);
  vm_argv_free (argv);
  said = what_it_said (&k);
  g_assert_true (g_str_has_prefix (said, "vmctl-keeper: refused: "));
  if (strstr (said, b->said) == NULL)
    g_error ("said: %s", said);
}

/* The group's id and numbers, and whether root knew a place for it. A keeper that takes them comes to its
 * list, which here is none. */
static void
test_group (void)
{
  static const char taken[] = "vmctl-keeper: the list of the root directory is broken\n",
                    refused[] = "vmctl-keeper: a part of vmctl, not for use by hand\n";
  static const char *const places[] = {"v1", "/nonexistent/memory", "-", "/nonexistent/pids", "-", NULL};
  static const struct {
    const char *word;
    gboolean with_places, good;
  } cases[] = {
      {"ab12cd34:1048576:2:100", TRUE, TRUE},   {"ab12cd34:0:0:0", TRUE, TRUE},
      {"ab12cd34:1048576:2:100", FALSE, FALSE}, {"ab12cd3:1:1:1", TRUE, FALSE},
      {"ab12cd345:1:1:1", TRUE, FALSE},         {"ab12cd34:1:1", TRUE, FALSE},
      {"ab12cd34:1:1:1:1", TRUE, FALSE},        {"ab12cd34:x:1:1", TRUE, FALSE},
      {"ab12cd34:1::1", TRUE, FALSE},           {"ab12cd34:99999999999999999999:1:1", TRUE, FALSE},
      {"ab12cd34:1:9999:1", TRUE, FALSE},       {"ab12cd34", TRUE, FALSE},
  };

  if (!needs_nspawn ())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *words = g_strdup_printf ("--make-group\n%s\n--go", cases[i].word), *said = NULL;
    const Bad with_group = {"", "--go", words, ""};
    g_autoptr (GError) error = NULL;
    VmArgv *argv = make_words (&with_group);
    Keeper k;
    pid_t pid;

    start_keeper_with (&k, 1000, 1000, cases[i].with_places ? places : NULL);
    vm_argv_bind_stdio (argv, 2, fcntl (k.said_end, F_DUPFD_CLOEXEC, 3));
    vm_root_keeper_run (k.socket, argv, &pid, &error);
    g_assert_no_error (error);
    vm_argv_free (argv);
    said = what_it_said (&k);
    g_assert_cmpstr (said, ==, cases[i].good ? taken : refused);
  }
}

/* What is right for one user is not for another. */
static void
test_other_user (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *said = NULL;
  VmArgv *argv = make_words (NULL);
  Keeper k;
  pid_t pid;

  start_keeper (&k, 1001, 1000);
  g_assert_false (vm_root_keeper_run (k.socket, argv, &pid, &error));
  vm_argv_free (argv);
  said = what_it_said (&k);
  g_assert_cmpstr (said, ==, "vmctl-keeper: refused: another user\n");
}

static void
test_given_up (void)
{
  g_autofree char *said = NULL;
  Keeper k;

  start_keeper (&k, 1000, 1000);
  said = what_it_said (&k);
  g_assert_cmpstr (said, ==, "");
}

/* Where it may be started from */

static char *
make_file (const char *top, const char *dir, mode_t top_mode, mode_t dir_mode, mode_t file_mode)
{
  g_autofree char *dir_path = g_build_filename (top, dir, NULL);
  char *path = g_build_filename (dir_path, "vmctl-keeper", NULL);

  g_assert_cmpint (mkdir (dir_path, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_assert_cmpint (chmod (path, file_mode), ==, 0);
  g_assert_cmpint (chmod (dir_path, dir_mode), ==, 0);
  g_assert_cmpint (chmod (top, top_mode), ==, 0);
  return path;
}

static void
test_safe (void)
{
  const struct {
    mode_t top, dir, file;
    gboolean safe;
  } cases[] = {
      {0755, 0755, 0755, TRUE},  {01775, 0555, 0555, TRUE}, /* as /nix/store */
      {01777, 0755, 0755, TRUE}, {0775, 0755, 0755, FALSE},  {0777, 0755, 0755, FALSE},
      {0755, 0775, 0755, FALSE}, {0755, 01777, 0755, FALSE}, /* somebody may put a vmctl-agent there */
      {0755, 0755, 0775, FALSE}, {0755, 0755, 01777, FALSE},
  };

  if (geteuid () != 0) {
    g_test_skip ("only root can make files that are root's");
    return;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *top = g_dir_make_tmp ("vmctl-root-keeper-XXXXXX", NULL);
    g_autofree char *path = make_file (top, "bin", cases[i].top, cases[i].dir, cases[i].file);
    g_autofree char *link = g_build_filename (top, "link", NULL);

    g_assert_cmpint (vm_root_keeper_is_safe (path), ==, cases[i].safe);
    g_assert_cmpint (symlink (path, link), ==, 0);
    g_assert_false (vm_root_keeper_is_safe (link));
    g_assert_cmpint (chown (path, 65534, 65534), ==, 0);
    g_assert_false (vm_root_keeper_is_safe (path));
    g_assert_true (vm_file_remove_tree (AT_FDCWD, top, NULL));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("VMCTL_KEEPER") == NULL)
    g_error ("VMCTL_KEEPER is not set");
  g_test_add_func ("/vmctl/root-keeper/good", test_good);
  g_test_add_func ("/vmctl/root-keeper/again", test_again);
  g_test_add_func ("/vmctl/root-keeper/few-descriptors", test_few_descriptors);
  g_test_add_func ("/vmctl/root-keeper/group", test_group);
  g_test_add_func ("/vmctl/root-keeper/other-user", test_other_user);
  g_test_add_func ("/vmctl/root-keeper/given-up", test_given_up);
  g_test_add_func ("/vmctl/root-keeper/safe", test_safe);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *name = g_strconcat ("/vmctl/root-keeper/bad/", bad[i].name, NULL);

    g_test_add_data_func (name, &bad[i], test_bad);
  }
  return g_test_run ();
}
