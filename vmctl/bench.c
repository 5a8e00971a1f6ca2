/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/scratch.h"
#include "images/template.h"
#include "meta/frame.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/machine.h"
#include "vmctl/store.h"

enum { GREET_WAIT_MS = 120000 };

void
vm_bench_row_clear (VmBenchRow *row)
{
  g_clear_pointer (&row->plan, vm_plan_free);
  g_clear_pointer (&row->problem, g_free);
  g_clear_pointer (&row->up, g_array_unref);
  g_clear_pointer (&row->floor_up, g_array_unref);
  for (guint i = 0; i < VM_STAGES_MAX; i++)
    g_clear_pointer (&row->stages[i], g_array_unref);
}

static int
by_value (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return x < y ? -1 : x > y;
}

gint64
vm_bench_median (const GArray *values)
{
  g_autoptr (GArray) sorted = values != NULL ? g_array_copy ((GArray *)values) : NULL;

  if (sorted == NULL || sorted->len == 0)
    return 0;
  g_array_sort (sorted, by_value);
  return (g_array_index (sorted, gint64, (sorted->len - 1) / 2) +
          g_array_index (sorted, gint64, sorted->len / 2)) /
         2;
}

static void
add (GArray **values, gint64 value)
{
  if (*values == NULL)
    *values = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_array_append_val (*values, value);
}

/* What the sandbox that has just ended noted, by where its stages end; and it is forgotten. */
static gboolean
take_stages (const VmDirs *dirs, const char *project, VmBenchRow *row, GError **error)
{
  g_autoptr (VmRecord) record = vm_store_find (dirs, project, TRUE, error);
  gint64 last;

  if (record == NULL)
    return FALSE;
  row->is_template = record->template != NULL;
  last = record->stamps[VM_STAMP_BEGAN];
  for (guint i = VM_STAMP_PLANNED; last != 0 && i < VM_STAMP_N; i++)
    if (record->stamps[i] >= last) {
      add (&row->stages[i], record->stamps[i] - last);
      last = record->stamps[i];
    }
  return vm_store_remove (dirs, record->id, error);
}

gboolean
vm_bench_start (const VmDirs *dirs, const char *project, VmBenchRow *row, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  gint64 began = g_get_monotonic_time ();

  vm_argv_add_many (argv, dirs->self, "up", "--new", "-q", NULL);
  vm_argv_add_strv (argv, row->how);
  vm_argv_add_many (argv, project, "--", "true", NULL);
  if (!vm_argv_run (argv, NULL, error))
    return FALSE;
  add (&row->up, g_get_monotonic_time () - began);
  return take_stages (dirs, project, row, error);
}

/* The floors */

static gboolean
bind_disk (const VmPlan *plan, const char *path, VmArgv *argv, GError **error)
{
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  int overlay, base;

  if (plan->has_template && !image_template_open (plan->template, &files, error))
    return FALSE;
  if (!image_scratch_open (plan->disk_base, files.disk, path, &overlay, &base, error))
    return FALSE;
  vm_argv_bind (argv, "overlay", overlay);
  vm_argv_bind (argv, "base", base);
  if (plan->has_template)
    vm_argv_bind (argv, "state", vm_fd_steal (&files.state));
  return TRUE;
}

static gboolean
send_incoming (int qmp, int state)
{
  g_autofree char *text =
      g_strdup_printf ("{\"execute\":\"qmp_capabilities\"}"
                       "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
                       "[{\"capability\":\"x-ignore-shared\",\"state\":true}]}}"
                       "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:%d\"}}",
                       state);

  return vm_fd_write_all (qmp, text, strlen (text), NULL);
}

static gboolean
wait_for_greeting (int agent, GError **error)
{
  unsigned seen = 0;
  int found = 0;
  guint8 block[4096];

  while (!found) {
    struct pollfd p = {.fd = agent, .events = POLLIN};
    ssize_t n = poll (&p, 1, GREET_WAIT_MS) > 0 ? read (agent, block, sizeof block) : -1;

    if (n <= 0)
      return vm_error (error, VM_ERROR_TIMEOUT, "the machine of the floor does not come up");
    (void)frame_preamble_find (&seen, block, (size_t)n, &found);
  }
  return TRUE;
}

static gboolean
run_machine (const char *path, int dir, VmBenchRow *row, GError **error)
{
  VmQemuMode mode = row->plan->has_template ? VM_QEMU_CLONE : VM_QEMU_COLD;
  g_autoptr (VmArgv) argv = vm_machine_argv (row->plan, mode, NULL, NULL, dir, error);
  vm_autofd qmp = -1, agent = -1;
  gint64 began = g_get_monotonic_time ();
  int state;
  gboolean ok;
  pid_t pid;

  if (argv == NULL || !bind_disk (row->plan, path, argv, error) ||
      !vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, NULL, error))
    return FALSE;
  state = row->plan->has_template ? vm_argv_slot (argv, "state") : -1;
  qmp = vm_fd_connect_unix (dir, "qmp", SOCK_STREAM, error);
  agent = qmp >= 0 ? vm_fd_connect_unix (dir, "agent", SOCK_STREAM, error) : -1;
  ok = agent >= 0 && (state < 0 || send_incoming (qmp, state)) && wait_for_greeting (agent, error);
  if (ok)
    add (&row->floor_up, g_get_monotonic_time () - began);
  (void)kill (pid, SIGKILL);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
  return ok;
}

static gboolean
run_bare_bwrap (VmBenchRow *row, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  gint64 began = g_get_monotonic_time ();

  vm_argv_add_many (argv, row->plan->bwrap, "--unshare-all", "--ro-bind", "/", "/", "--", "true", NULL);
  if (!vm_argv_run (argv, NULL, error))
    return FALSE;
  add (&row->floor_up, g_get_monotonic_time () - began);
  return TRUE;
}

gboolean
vm_bench_floor (const char *dir, VmBenchRow *row, GError **error)
{
  vm_autofd fd = -1;

  if (row->plan->isolation != VM_ISOLATION_VM)
    return run_bare_bwrap (row, error);
  fd = vm_file_open_private_dir (dir, error);
  return fd >= 0 && run_machine (dir, fd, row, error);
}
