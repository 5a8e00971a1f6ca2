/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/interrupt.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum { STDERR_MAX = 64 << 10, LINE_MAX_BYTES = 4096, LINES_SHOWN = 20 };

gboolean
image_build_exists (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISREG (st.st_mode) && st.st_size > 0;
}

/* The lock is ours, so no builder is at work on these any more. */
static void
sweep (const char *path, int dir_fd)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, IMAGE_PART_PREFIX))
      (void)unlinkat (dir_fd, name, 0);
}

int
image_build_lock (const char *dir, const char *what, ImageProgress progress, gpointer data, GError **error)
{
  vm_autofd dir_fd = -1;
  int result;

  if (!vm_file_make_private_dir (dir, error))
    return -1;
  dir_fd = vm_file_open_private_dir (dir, error);
  if (dir_fd < 0)
    return -1;
  result = flock (dir_fd, LOCK_EX | LOCK_NB);
  if (result < 0 && errno == EWOULDBLOCK) {
    g_autofree char *text = g_strdup_printf ("waiting for another vmctl that makes %s", what);

    if (progress != NULL)
      progress (text, -1, data);
    do
      result = flock (dir_fd, LOCK_EX);
    while (result < 0 && errno == EINTR);
  }
  if (result < 0) {
    vm_error_errno (error, errno, "cannot lock '%s'", dir);
    return -1;
  }
  sweep (dir, dir_fd);
  return vm_fd_steal (&dir_fd);
}

typedef struct {
  const char *what; /* NULL: the child says it in each line */
  const char *mark; /* that those lines begin with; NULL: with a percentage */
  gboolean told;    /* all lines are shown; `mark` begins an error */
  gboolean failing; /* and has done so */
  int said_fd;      /* borrowed; where lines without the mark go */
  ImageProgress progress;
  gpointer data;
} Following;

static void
report_marked (const Following *f, const char *line)
{
  if (g_str_has_prefix (line, f->mark)) {
    f->progress (line + strlen (f->mark), -1, f->data);
    return;
  }
  (void)vm_fd_write_all (f->said_fd, line, strlen (line), NULL);
  (void)vm_fd_write_all (f->said_fd, "\n", 1, NULL);
}

/* Only what may be the error is kept. */
static void
report_told (Following *f, const char *line)
{
  gboolean begins = g_str_has_prefix (line, f->mark);

  f->failing |= begins;
  if (*line == '\0' && !f->failing)
    return;
  if (!f->failing)
    f->progress (line, -1, f->data);
  if ((begins || !f->failing) && ftruncate (f->said_fd, 0) == 0)
    (void)lseek (f->said_fd, 0, SEEK_SET);
  (void)vm_fd_write_all (f->said_fd, line, strlen (line), NULL);
  (void)vm_fd_write_all (f->said_fd, "\n", 1, NULL);
}

static void
report_line (const Following *f, const char *line)
{
  const char *number = f->what != NULL ? strchr (line, '(') : line;
  char *end = NULL;
  gdouble percent;

  if (f->progress == NULL || number == NULL)
    return;
  number += f->what != NULL ? 1 : 0;
  percent = g_ascii_strtod (number, &end);
  if (end != number && *end == (f->what != NULL ? '/' : ' '))
    f->progress (f->what != NULL ? f->what : end + 1, percent >= 0 && percent <= 100 ? (int)percent : -1,
                 f->data);
}

static void
report (Following *f, const char *line)
{
  if (f->told)
    report_told (f, line);
  else
    (f->mark != NULL ? report_marked : report_line) (f, line);
}

/* Its end, or that we were interrupted: then the child has to go. */
static ssize_t
read_some (int fd, pid_t pid, char *to, gsize room)
{
  struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = image_interrupt_fd (), .events = POLLIN}};

  if (poll (fds, G_N_ELEMENTS (fds), -1) < 0)
    return -1;
  if (fds[1].revents != 0) {
    (void)kill (pid, SIGTERM); /* it may have to clean up as well */
    return 0;
  }
  return read (fd, to, room);
}

/* Reads to the end; lines that are too long are cut. */
static void
follow (int fd, pid_t pid, Following *f)
{
  char buffer[LINE_MAX_BYTES + 1];
  gsize used = 0;
  ssize_t n;

  while ((n = read_some (fd, pid, buffer + used, LINE_MAX_BYTES - used)) != 0) {
    char *line = buffer, *end;

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return;
    used += (gsize)n;
    buffer[used] = '\0';
    for (; (end = strpbrk (line, "\r\n")) != NULL; line = end + 1) {
      *end = '\0';
      report (f, line);
    }
    used -= (gsize)(line - buffer);
    memmove (buffer, line, used);
    if (used == LINE_MAX_BYTES)
      used = 0;
  }
}

/* The last lines, one below the other. (transfer full) */
static char *
shown_lines (const char *said)
{
  g_auto (GStrv) lines = g_strsplit (said, "\n", -1);
  guint n = g_strv_length (lines);
  GString *out = g_string_new (n > LINES_SHOWN ? "\n  ..." : NULL);

  for (guint i = n > LINES_SHOWN ? n - LINES_SHOWN : 0; i < n; i++) {
    g_autofree char *line = vm_escape_terminal (lines[i], -1, 500);

    g_string_append_printf (out, "\n  %s", line);
  }
  return g_string_free (out, FALSE);
}

static gboolean
check_status (int status, int said_fd, gboolean in_lines, const char *program, GError **error)
{
  g_autofree char *said = NULL, *shown = NULL;
  gsize length = 0;

  if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return TRUE;
  if (WIFSIGNALED (status))
    return vm_error (error, VM_ERROR_CHILD, "'%s' was killed by signal %d (%s)", program, WTERMSIG (status),
                     g_strsignal (WTERMSIG (status)));
  (void)lseek (said_fd, 0, SEEK_SET);
  said = vm_fd_read_all (said_fd, STDERR_MAX, &length, NULL);
  g_strstrip (said != NULL ? said : (said = g_strdup ("")));
  if (*said != '\0' && in_lines) {
    shown = shown_lines (said);
    return vm_error (error, VM_ERROR_CHILD, "%s says:%s", program, shown);
  }
  shown = vm_escape_terminal (said, -1, 2000);
  if (*shown == '\0')
    return vm_error (error, VM_ERROR_CHILD, "the helper program '%s' failed with status %d", program,
                     WEXITSTATUS (status));
  return vm_error (error, VM_ERROR_CHILD, "%s", shown);
}

/* What it says on one of its streams becomes progress; the other one is kept, or with a mark, nothing. */
static gboolean
run_following (VmArgv *argv, Following *f, GError **error)
{
  g_autofree char *program = g_path_get_basename (vm_argv_words (argv)[0]);
  vm_autofd said_fd = memfd_create ("stderr", MFD_CLOEXEC);
  vm_autofd out_read = -1;
  int pipe_fds[2], status, followed = f->mark != NULL ? 2 : 1;
  pid_t pid;

  if (said_fd < 0 || pipe2 (pipe_fds, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot run '%s'", program);
  out_read = pipe_fds[0];
  f->said_fd = said_fd;
  vm_argv_bind_stdio (argv, followed, pipe_fds[1]);
  if (f->mark == NULL)
    vm_argv_bind_stdio (argv, 2, fcntl (said_fd, F_DUPFD_CLOEXEC, 3));
  if (!vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, error))
    return FALSE;
  vm_argv_bind_stdio (argv, followed, -1); /* our copy of the writing end */
  follow (out_read, pid, f);
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  return image_interrupt_check (error) && check_status (status, said_fd, f->told, program, error);
}

gboolean
image_build_run_as (VmArgv *argv, const char *what, ImageProgress progress, gpointer data, GError **error)
{
  Following f = {.what = what, .progress = progress, .data = data};

  return run_following (argv, &f, error);
}

gboolean
image_build_run_marked (VmArgv *argv, const char *mark, ImageProgress progress, gpointer data, GError **error)
{
  Following f = {.mark = mark, .progress = progress, .data = data};

  return run_following (argv, &f, error);
}

gboolean
image_build_run_told (VmArgv *argv, const char *mark, ImageProgress progress, gpointer data, GError **error)
{
  Following f = {.mark = mark, .told = TRUE, .progress = progress, .data = data};

  return run_following (argv, &f, error);
}

gboolean
image_build_run (VmArgv *argv, ImageProgress progress, gpointer data, GError **error)
{
  return image_build_run_as (argv, NULL, progress, data, error);
}
