/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/root-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

enum { BATCH = 16, ANSWER_MAX = 64, ANSWER_WAIT_MS = 10000 };

/* In a sticky directory others may make files, but neither touch nor replace root's: /nix/store is one,
 * root:nixbld 1775. */
static gboolean
is_safe (const char *path, gboolean may_be_sticky)
{
  struct stat st;

  return lstat (path, &st) == 0 && !S_ISLNK (st.st_mode) && st.st_uid == 0 &&
         ((st.st_mode & 022) == 0 || (may_be_sticky && S_ISDIR (st.st_mode) && (st.st_mode & S_ISVTX) != 0));
}

gboolean
vm_root_keeper_is_safe (const char *path)
{
  g_autofree char *at = g_strdup (path);

  /* Not the program's own directory: the keeper runs what lies beside it. */
  for (guint depth = 0; is_safe (at, depth > 1); depth++) {
    char *up;

    if (g_str_equal (at, "/"))
      return TRUE;
    up = g_path_get_dirname (at);
    g_free (at);
    at = up;
  }
  return FALSE;
}

/* From this very program's place: no variable and no configuration has a say in it. (transfer full) */
static char *
find_keeper (char **ret_why)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *dir = self != NULL ? g_path_get_dirname (self) : NULL;
  g_autofree char *beside = dir != NULL ? g_build_filename (dir, "vmctl-keeper", NULL) : NULL;
  g_autofree char *installed =
      dir != NULL ? g_build_filename (dir, "../libexec/vmctl/vmctl-keeper", NULL) : NULL;
  g_autofree char *path = NULL;

  if (beside == NULL)
    return NULL;
  path = g_canonicalize_filename (access (beside, X_OK) == 0 ? beside : installed, "/");
  if (access (path, X_OK) == 0 && vm_root_keeper_is_safe (path))
    return g_steal_pointer (&path);
  *ret_why = g_strdup_printf (
      "'%s' may be changed by others than root, so it is not run as root; install vmctl, or: sudo chown "
      "-R root it and the directories above it",
      path);
  return NULL;
}

static gboolean
sudo_ids (guint64 *ret_uid, guint64 *ret_gid)
{
  const char *uid = g_getenv ("SUDO_UID"), *gid = g_getenv ("SUDO_GID");

  return geteuid () == 0 && uid != NULL && gid != NULL &&
         g_ascii_string_to_unsigned (uid, 10, 1, G_MAXUINT32 - 1, ret_uid, NULL) &&
         g_ascii_string_to_unsigned (gid, 10, 0, G_MAXUINT32 - 1, ret_gid, NULL);
}

/* Where the system's own programs are, as for nspawn: root will run it. */
static void
find_groups (VmGroups *ret)
{
  const char *paths[] = {"/usr/bin/systemd-run", "/run/current-system/sw/bin/systemd-run"};
  const char *systemd_run = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (paths) && systemd_run == NULL; i++)
    if (access (paths[i], X_OK) == 0)
      systemd_run = paths[i];
  vm_groups_gather (0, systemd_run, ret);
  ret->is_roots = TRUE;
}

/* KEEPER_GROUP_WORDS of vmctl/keeper-group.h. */
static void
add_places (VmArgv *argv, const VmGroups *groups)
{
  if (groups->kind != VM_GROUP_UNIFIED && groups->kind != VM_GROUP_V1)
    return;
  vm_argv_add (argv, groups->kind == VM_GROUP_V1 ? "v1" : "unified");
  for (gsize i = 0; i < VM_GROUP_PARTS; i++)
    vm_argv_add (argv, groups->dirs[i] != NULL ? groups->dirs[i] : "-");
}

void
vm_root_keeper_start (int *ret_fd, char **ret_why, VmGroups *ret_groups)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *keeper = NULL;
  vm_autofd mine = -1;
  guint64 uid, gid;
  int ends[2], status;
  pid_t pid;

  *ret_fd = -1;
  if (!sudo_ids (&uid, &gid) || (keeper = find_keeper (ret_why)) == NULL ||
      !vm_fd_socketpair (SOCK_SEQPACKET, ends, NULL))
    return;
  mine = ends[0];
  vm_argv_bind (argv, "socket", ends[1]);
  vm_argv_add_many (argv, keeper, "--root", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "socket"));
  vm_argv_add (argv, "--uid");
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, uid);
  vm_argv_add (argv, "--gid");
  vm_argv_addf (argv, "%" G_GUINT64_FORMAT, gid);
  find_groups (ret_groups);
  add_places (argv, ret_groups);
  vm_argv_setenv (argv, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
  vm_argv_inherit_stdio (argv, 2);
  if (!vm_argv_spawn (argv, 0, &pid, NULL, NULL))
    return;
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  *ret_fd = vm_fd_steal (&mine);
}

static gboolean
send_fds (int fd, const int *fds, guint n, GError **error)
{
  for (guint i = 0; i < n; i += BATCH)
    if (vm_fd_send (fd, "f", 1, fds + i, MIN (n - i, BATCH)) != 1)
      return vm_error_errno (error, errno, "the keeper that is root does not listen");
  if (vm_fd_send (fd, "r", 1, NULL, 0) != 1)
    return vm_error_errno (error, errno, "the keeper that is root does not listen");
  return TRUE;
}

static gboolean
read_answer (int fd, pid_t *ret_pid, GError **error)
{
  struct pollfd p = {.fd = fd, .events = POLLIN};
  char text[ANSWER_MAX + 1] = "";
  guint64 pid = 0;

  if (poll (&p, 1, ANSWER_WAIT_MS) > 0 && recv (fd, text, ANSWER_MAX, 0) > 0 &&
      g_str_has_prefix (text, "pid ") &&
      g_ascii_string_to_unsigned (text + strlen ("pid "), 10, 1, G_MAXINT32, &pid, NULL)) {
    *ret_pid = (pid_t)pid;
    return TRUE;
  }
  return vm_error (error, VM_ERROR_CHILD,
                   "the keeper that is root refused to start this sandbox; is another version of vmctl "
                   "installed? install it again");
}

gboolean
vm_root_keeper_run (int fd, VmArgv *argv, pid_t *ret_pid, GError **error)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  vm_autofd words = -1, null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  for (const char *const *word = vm_argv_words (argv); *word != NULL; word++)
    g_byte_array_append (bytes, (const guint8 *)*word, (guint)strlen (*word) + 1);
  words = vm_fd_memfd ("words", bytes->data, bytes->len, error);
  if (words < 0)
    return FALSE;
  g_array_append_val (fds, words);
  if (!vm_argv_descriptors (argv, null, fds, error))
    return FALSE;
  return send_fds (fd, (const int *)(gpointer)fds->data, fds->len, error) && read_answer (fd, ret_pid, error);
}
