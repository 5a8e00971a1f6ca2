/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

static void
read_boot_id (char out[40])
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
    text = g_strdup ("unknown");
  g_strlcpy (out, g_strstrip (text), 40);
}

enum {
  IS_EXITING = 0x4,         /* PF_EXITING, linux/sched.h: its memory and then its descriptors go */
  IS_KILLED = 1 << (9 - 1), /* SIGKILL waits for it: it is about to */
  FIELDS = 29               /* as many as are looked at, after the name */
};

typedef struct {
  char state;
  guint64 flags;   /* PF_* */
  guint64 start;   /* clock ticks */
  guint64 pending; /* signals */
} Stat;

/* proc(5): pid (comm) state ppid ... flags ... starttime ... signal; comm may hold spaces and brackets, so
 * count from the last one. */
static gboolean
read_stat (pid_t pid, Stat *ret)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);
  g_autofree char *text = NULL;
  g_auto (GStrv) fields = NULL;
  const char *after;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (after = strrchr (text, ')')) == NULL ||
      after[1] == '\0')
    return FALSE;
  fields = g_strsplit (after + 2, " ", -1);
  if (g_strv_length (fields) < FIELDS)
    return FALSE;
  *ret = (Stat){.state = fields[0][0],
                .flags = g_ascii_strtoull (fields[6], NULL, 10),
                .start = g_ascii_strtoull (fields[19], NULL, 10),
                .pending = g_ascii_strtoull (fields[28], NULL, 10)};
  return TRUE;
}

gboolean
vm_process_identify (pid_t pid, VmProcess *ret, GError **error)
{
  VmProcess process = {.pid = pid};
  Stat stat;

  if (!read_stat (pid, &stat))
    return vm_error (error, VM_ERROR_NOT_FOUND, "there is no process %d", (int)pid);
  process.start = stat.start;
  read_boot_id (process.boot_id);
  *ret = process;
  return TRUE;
}

void
vm_process_self (VmProcess *ret)
{
  if (!vm_process_identify (getpid (), ret, NULL))
    memset (ret, 0, sizeof *ret);
}

static int
open_with_stat (const VmProcess *process, Stat *ret)
{
  vm_autofd fd = -1;
  VmProcess now;

  if (process->pid <= 0)
    return -1;
  /* The pidfd first: what is read after it is about the process that it holds. */
  fd = (int)syscall (SYS_pidfd_open, process->pid, 0);
  if (fd < 0 || !read_stat (process->pid, ret) || ret->start != process->start)
    return -1;
  read_boot_id (now.boot_id);
  if (ret->state == 'Z' || ret->state == 'X' || strcmp (now.boot_id, process->boot_id) != 0)
    return -1;
  return vm_fd_steal (&fd);
}

int
vm_process_open (const VmProcess *process)
{
  return open_with_stat (process, &(Stat){0});
}

gboolean
vm_process_alive (const VmProcess *process)
{
  vm_autofd fd = vm_process_open (process);

  return fd >= 0;
}

gboolean
vm_process_signal (const VmProcess *process, int signal, GError **error)
{
  vm_autofd fd = vm_process_open (process);

  if (fd < 0)
    return TRUE;
  if (syscall (SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 && errno != ESRCH)
    return vm_error_errno (error, errno, "cannot signal process %d", (int)process->pid);
  return TRUE;
}

gboolean
vm_process_wait (int pidfd, int timeout_ms)
{
  struct pollfd p = {.fd = pidfd, .events = POLLIN};
  gint64 end = g_get_monotonic_time () + (gint64)timeout_ms * 1000;
  int r;

  do {
    int left = timeout_ms < 0 ? -1 : (int)MAX (0, (end - g_get_monotonic_time ()) / 1000);

    r = poll (&p, 1, left);
  } while (r < 0 && errno == EINTR);
  return r > 0;
}

gboolean
vm_process_wait_exiting (const VmProcess *process, int timeout_ms)
{
  Stat stat = {0};
  vm_autofd fd = open_with_stat (process, &stat);

  return fd < 0 || (((stat.flags & IS_EXITING) != 0 || (stat.pending & IS_KILLED) != 0) &&
                    vm_process_wait (fd, timeout_ms));
}

json_object *
vm_process_to_json (const VmProcess *process)
{
  json_object *object = json_object_new_object ();

  vm_json_add_int (object, "pid", process->pid);
  vm_json_add_int (object, "start", (gint64)process->start);
  vm_json_add_str (object, "boot-id", process->boot_id);
  return object;
}

gboolean
vm_process_from_json (json_object *object, VmProcess *ret)
{
  VmProcess process = {0};
  gint64 pid = vm_json_int (object, "pid", 0);

  process.pid = pid > 0 && pid <= G_MAXINT32 ? (pid_t)pid : 0;
  process.start = (guint64)vm_json_int (object, "start", 0);
  g_strlcpy (process.boot_id, vm_json_str (object, "boot-id", ""), sizeof process.boot_id);
  *ret = process;
  return process.pid > 0;
}

/* proc(5): arg_start and arg_end are fields 48 and 49 of /proc/PID/stat. */
void
vm_process_set_title (const char *title)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) fields = NULL;
  const char *after;
  char *start, *end;

  if (!g_file_get_contents ("/proc/self/stat", &text, NULL, NULL) || (after = strrchr (text, ')')) == NULL ||
      after[1] == '\0')
    return;
  fields = g_strsplit (after + 2, " ", -1);
  if (g_strv_length (fields) < 47)
    return;
  start = (char *)(gsize)g_ascii_strtoull (fields[45], NULL, 10);
  end = (char *)(gsize)g_ascii_strtoull (fields[46], NULL, 10);
  if (start == NULL || end <= start)
    return;
  memset (start, 0, (gsize)(end - start));
  memcpy (start, title, MIN (strlen (title), (gsize)(end - start) - 1));
}
