/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/argv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

enum { FIRST_SLOT = 3, STDOUT_MAX = 1 << 20, WORDS_MAX = 2000, INHERIT = -2 };

typedef struct {
  char *name; /* owned */
  int fd;     /* owned, -1 while unbound */
} Slot;

struct VmArgv {
  GPtrArray *words; /* of char *, NULL-terminated */
  GArray *slots;    /* of Slot; index + FIRST_SLOT is the number in the child */
  char **env;       /* owned; NULL: inherit */
  int stdio[3];     /* owned, -1: /dev/null, INHERIT */
};

static void
slot_clear (gpointer data)
{
  Slot *slot = data;

  g_free (slot->name);
  vm_fd_clear (&slot->fd);
}

VmArgv *
vm_argv_new (void)
{
  VmArgv *argv = g_new0 (VmArgv, 1);

  argv->words = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  argv->slots = g_array_new (FALSE, FALSE, sizeof (Slot));
  g_array_set_clear_func (argv->slots, slot_clear);
  for (int i = 0; i < 3; i++)
    argv->stdio[i] = -1;
  return argv;
}

void
vm_argv_free (VmArgv *argv)
{
  if (argv == NULL)
    return;
  g_ptr_array_unref (argv->words);
  g_array_unref (argv->slots);
  g_strfreev (argv->env);
  for (int i = 0; i < 3; i++)
    vm_fd_clear (&argv->stdio[i]);
  g_free (argv);
}

void
vm_argv_add (VmArgv *argv, const char *word)
{
  g_ptr_array_add (argv->words, g_strdup (word));
}

void
vm_argv_addf (VmArgv *argv, const char *format, ...)
{
  va_list ap;

  va_start (ap, format);
  g_ptr_array_add (argv->words, g_strdup_vprintf (format, ap));
  va_end (ap);
}

void
vm_argv_add_many (VmArgv *argv, ...)
{
  va_list ap;
  const char *word;

  va_start (ap, argv);
  while ((word = va_arg (ap, const char *)) != NULL)
    vm_argv_add (argv, word);
  va_end (ap);
}

void
vm_argv_add_strv (VmArgv *argv, const char *const *words)
{
  for (; *words != NULL; words++)
    vm_argv_add (argv, *words);
}

void
vm_argv_add_json (VmArgv *argv, json_object *object)
{
  vm_argv_add (
      argv, json_object_to_json_string_ext (object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
  json_object_put (object);
}

static Slot *
find_slot (VmArgv *argv, const char *name, int *ret_number)
{
  Slot fresh = {.name = NULL, .fd = -1};

  for (guint i = 0; i < argv->slots->len; i++) {
    Slot *slot = &g_array_index (argv->slots, Slot, i);

    if (g_str_equal (slot->name, name)) {
      *ret_number = FIRST_SLOT + (int)i;
      return slot;
    }
  }
  fresh.name = g_strdup (name);
  g_array_append_val (argv->slots, fresh);
  *ret_number = FIRST_SLOT + (int)argv->slots->len - 1;
  return &g_array_index (argv->slots, Slot, argv->slots->len - 1);
}

int
vm_argv_slot (VmArgv *argv, const char *name)
{
  int number;

  (void)find_slot (argv, name, &number);
  return number;
}

void
vm_argv_bind (VmArgv *argv, const char *name, int take_fd)
{
  int number;
  Slot *slot = find_slot (argv, name, &number);

  vm_fd_clear (&slot->fd);
  slot->fd = take_fd;
}

int
vm_argv_bound (VmArgv *argv, const char *name)
{
  int number;

  return find_slot (argv, name, &number)->fd;
}

void
vm_argv_bind_bytes (VmArgv *argv, const char *name, GBytes *bytes)
{
  gsize length;
  gconstpointer data = g_bytes_get_data (bytes, &length);

  /* Out of descriptors or memory shows as an unbound slot when the child is started. */
  vm_argv_bind (argv, name, vm_fd_memfd (name, data, length, NULL));
}

void
vm_argv_bind_stdio (VmArgv *argv, int number, int take_fd)
{
  g_return_if_fail (number >= 0 && number < 3);
  vm_fd_clear (&argv->stdio[number]);
  argv->stdio[number] = take_fd;
}

void
vm_argv_inherit_stdio (VmArgv *argv, int number)
{
  g_return_if_fail (number >= 0 && number < 3);
  vm_fd_clear (&argv->stdio[number]);
  argv->stdio[number] = INHERIT;
}

void
vm_argv_clearenv (VmArgv *argv)
{
  g_strfreev (argv->env);
  argv->env = g_new0 (char *, 1);
}

void
vm_argv_setenv (VmArgv *argv, const char *name, const char *value)
{
  if (argv->env == NULL)
    vm_argv_clearenv (argv);
  argv->env = g_environ_setenv (argv->env, name, value, TRUE);
}

const char *const *
vm_argv_words (VmArgv *argv)
{
  return (const char *const *)argv->words->pdata;
}

char *
vm_argv_to_string (VmArgv *argv, gboolean lines)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < argv->words->len; i++) {
    const char *word = g_ptr_array_index (argv->words, i);
    g_autofree char *quoted = vm_escape_shell (word);
    g_autofree char *shown = vm_escape_terminal (quoted, -1, -1);

    if (i > 0)
      g_string_append (out, lines && *word == '-' ? " \\\n  " : " ");
    g_string_append (out, shown);
  }
  return g_string_free (out, FALSE);
}

json_object *
vm_argv_to_json (VmArgv *argv)
{
  json_object *object = json_object_new_object (), *words = json_object_new_array ();
  json_object *descriptors = json_object_new_object ();

  for (guint i = 0; i < argv->words->len; i++)
    json_object_array_add (words, vm_json_new_text (g_ptr_array_index (argv->words, i)));
  for (guint i = 0; i < argv->slots->len; i++)
    json_object_object_add (descriptors, g_array_index (argv->slots, Slot, i).name,
                            json_object_new_int (FIRST_SLOT + (int)i));
  json_object_object_add (object, "argv", words);
  json_object_object_add (object, "descriptors", descriptors);
  return object;
}

/* What the child needs, made before it: it lives in our memory until it runs its program (vfork: to copy the
 * page tables of a process with many libraries takes longer than all else here), and may only make
 * async-signal-safe calls. */
typedef struct {
  const char *program; /* borrowed */
  char **words;        /* borrowed */
  char **env;          /* borrowed */
  int *moved;          /* owned; copies above all slot numbers */
  guint n_slots;
  int stdio[3];
  int null_fd;
  int report_fd;
  VmSpawnFlags flags;
} Launch;

static void G_GNUC_NORETURN
child_fail (const Launch *l)
{
  int err = errno;

  if (write (l->report_fd, &err, sizeof err) < 0)
    _exit (126);
  _exit (127);
}

static void
child_descriptors (Launch *l)
{
  int above = FIRST_SLOT + (int)l->n_slots;
  int report;

  /* First out of the way, then into place: a source may sit on another slot's number. */
  for (guint i = 0; i < l->n_slots; i++)
    if ((l->moved[i] = fcntl (l->moved[i], F_DUPFD_CLOEXEC, above)) < 0)
      child_fail (l);
  for (int i = 0; i < 3; i++) {
    int fd = l->stdio[i] == INHERIT ? i : l->stdio[i] >= 0 ? l->stdio[i] : l->null_fd;

    if ((l->stdio[i] = fcntl (fd, F_DUPFD_CLOEXEC, above)) < 0)
      child_fail (l);
  }
  if ((report = fcntl (l->report_fd, F_DUPFD_CLOEXEC, above)) < 0)
    child_fail (l);
  l->report_fd = report;
  for (int i = 0; i < 3; i++)
    if (dup2 (l->stdio[i], i) < 0)
      child_fail (l);
  for (guint i = 0; i < l->n_slots; i++)
    if (dup2 (l->moved[i], FIRST_SLOT + (int)i) < 0)
      child_fail (l);
  /* Nothing that some library forgot to mark goes to the child. */
  if (syscall (SYS_close_range, (unsigned)above, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
    child_fail (l);
}

/* All signals are blocked. Our handlers must not run in the child, which has our memory. */
static void
child_signals (void)
{
  struct sigaction action;
  sigset_t none;

  (void)signal (SIGPIPE, SIG_DFL);
  for (int i = 1; i < NSIG; i++)
    if (sigaction (i, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
      (void)signal (i, SIG_DFL);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
}

static void G_GNUC_NORETURN
child_run (Launch *l, pid_t parent)
{
  child_signals ();
  if (l->flags & VM_SPAWN_NEW_SESSION)
    (void)setsid ();
  if (l->flags & VM_SPAWN_DIE_WITH_PARENT) {
    (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent)
      _exit (127);
  }
  child_descriptors (l);
  (void)execve (l->program, l->words, l->env);
  child_fail (l);
}

static gboolean
check_bound (VmArgv *argv, GError **error)
{
  for (guint i = 0; i < argv->slots->len; i++) {
    Slot *slot = &g_array_index (argv->slots, Slot, i);

    if (slot->fd < 0)
      return vm_error (error, VM_ERROR_FAILED, "no descriptor for '%s' of '%s'", slot->name,
                       (char *)g_ptr_array_index (argv->words, 0));
  }
  return TRUE;
}

gboolean
vm_argv_descriptors (VmArgv *argv, int null, GArray *out, GError **error)
{
  if (!check_bound (argv, error))
    return FALSE;
  for (int i = 0; i < 3; i++) {
    int fd = argv->stdio[i] == INHERIT ? i : argv->stdio[i] >= 0 ? argv->stdio[i] : null;

    g_array_append_val (out, fd);
  }
  for (guint i = 0; i < argv->slots->len; i++)
    g_array_append_val (out, g_array_index (argv->slots, Slot, i).fd);
  return TRUE;
}

static gboolean
wait_for_exec (int report_fd, const char *program, pid_t pid, GError **error)
{
  int err = 0;
  ssize_t n;

  do
    n = read (report_fd, &err, sizeof err);
  while (n < 0 && errno == EINTR);
  if (n != sizeof err)
    return TRUE; /* closed by exec */
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
  return vm_error_errno (error, err, "cannot run '%s'", program);
}

/* -1: errno. */
static pid_t
start_child (Launch *launch)
{
  pid_t pid, self = getpid ();
  sigset_t all, old;
  int err;

  sigfillset (&all);
  (void)pthread_sigmask (SIG_SETMASK, &all, &old);
  pid = vfork ();
  if (pid == 0)
    child_run (launch, self);
  err = errno;
  (void)pthread_sigmask (SIG_SETMASK, &old, NULL);
  errno = err;
  return pid;
}

gboolean
vm_argv_spawn (VmArgv *argv, VmSpawnFlags flags, pid_t *ret_pid, int *ret_pidfd, GError **error)
{
  const char *name = g_ptr_array_index (argv->words, 0);
  g_autofree char *program = strchr (name, '/') ? g_strdup (name) : g_find_program_in_path (name);
  g_autofree int *moved = g_new (int, argv->slots->len + 1);
  vm_autofd null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  vm_autofd report_read = -1, report_write = -1;
  Launch launch;
  pid_t pid;
  int report[2];

  if (program == NULL)
    return vm_error (error, VM_ERROR_NOT_FOUND, "cannot run '%s': not found in PATH", name);
  if (!check_bound (argv, error))
    return FALSE;
  if (null_fd < 0 || pipe2 (report, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot run '%s'", name);
  report_read = report[0];
  report_write = report[1];
  for (guint i = 0; i < argv->slots->len; i++)
    moved[i] = g_array_index (argv->slots, Slot, i).fd;
  launch = (Launch){.program = program,
                    .words = (char **)argv->words->pdata,
                    .env = argv->env != NULL ? argv->env : environ,
                    .moved = moved,
                    .n_slots = argv->slots->len,
                    .null_fd = null_fd,
                    .report_fd = report_write,
                    .flags = flags};
  memcpy (launch.stdio, argv->stdio, sizeof launch.stdio);

  pid = start_child (&launch);
  if (pid < 0)
    return vm_error_errno (error, errno, "cannot make a process for '%s'", name);
  vm_fd_clear (&report_write);
  if (!wait_for_exec (report_read, name, pid, error))
    return FALSE;
  *ret_pid = pid;
  if (ret_pidfd != NULL)
    *ret_pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  return TRUE;
}

/* What a child said at the end of a long speech is most likely why it ended. (transfer full) */
static char *
last_words (int fd)
{
  char *text = g_malloc0 (WORDS_MAX + 1);
  off_t size = lseek (fd, 0, SEEK_END);

  if (size > 0 && pread (fd, text, WORDS_MAX, MAX (0, size - WORDS_MAX)) < 0)
    *text = '\0';
  return text;
}

static gboolean
check_status (const char *program, int status, const char *said, GError **error)
{
  g_autofree char *trimmed = g_strstrip (g_strdup (said));
  g_autofree char *shown = vm_escape_terminal (trimmed, -1, -1);

  if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return TRUE;
  if (WIFSIGNALED (status))
    return vm_error (error, VM_ERROR_CHILD, "'%s' was killed by signal %d (%s): %s", program,
                     WTERMSIG (status), g_strsignal (WTERMSIG (status)), shown);
  return vm_error (error, VM_ERROR_CHILD, "'%s' failed with status %d: %s", program, WEXITSTATUS (status),
                   shown);
}

gboolean
vm_argv_run (VmArgv *argv, char **ret_stdout, GError **error)
{
  const char *name = g_ptr_array_index (argv->words, 0);
  vm_autofd err_fd = memfd_create ("stderr", MFD_CLOEXEC);
  vm_autofd out_read = -1;
  g_autofree char *out = NULL, *said = NULL;
  int pipe_fds[2], status;
  pid_t pid;

  if (err_fd < 0 || pipe2 (pipe_fds, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot run '%s'", name);
  out_read = pipe_fds[0];
  vm_argv_bind_stdio (argv, 1, pipe_fds[1]);
  vm_argv_bind_stdio (argv, 2, fcntl (err_fd, F_DUPFD_CLOEXEC, 3));
  if (!vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, error))
    return FALSE;
  vm_fd_clear (&argv->stdio[1]);
  out = vm_fd_read_all (out_read, STDOUT_MAX, NULL, error);
  vm_fd_clear (&out_read);
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (out == NULL)
    return FALSE;
  said = last_words (err_fd);
  if (!check_status (name, status, said, error))
    return FALSE;
  if (ret_stdout != NULL)
    *ret_stdout = g_steal_pointer (&out);
  return TRUE;
}
