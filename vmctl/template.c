/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * QEMU boots the kernel with one word more than usual, which tells the agent to do beforehand what it can and
 * then to open its port. That it is open (VSERPORT_CHANGE) is the sign: memory is in the file `ram` already,
 * since that is what the guest's memory is; the rest goes to `state` as a migration that skips shared memory.
 * The machine is not stopped first: one that was would come up stopped. */
#include "vmctl/template.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/scratch.h"
#include "images/template.h"
#include "qmp/client.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/machine.h"

enum { BOOT_WAIT_MS = 600000, CALL_MS = 60000, WORDS_MAX = 2000 };

#define ROOM_NEEDED (G_GUINT64_CONSTANT (512) << 20)
#define STATE_FD_NAME "state"

typedef struct {
  const VmPlan *plan; /* borrowed */
  ImageTemplatePart part;
  int ram, disk, state; /* owned */
  VmArgv *argv;         /* owned */
  pid_t pid;            /* 0: none, or reaped */
  int pidfd, said;      /* owned; what QEMU and the guest's console say */
  GString *words;       /* owned */
  QmpClient *qmp;       /* owned */
  GMainLoop *loop;      /* owned */
  guint timer, said_tag, pid_tag;
  gboolean is_ready, is_saved;
  char *failure; /* owned */
} Maker;

static void
fail (Maker *m, const char *text)
{
  if (m->failure == NULL)
    m->failure = g_strdup (text);
  g_main_loop_quit (m->loop);
}

static gboolean
make_files (Maker *m, GError **error)
{
  struct statvfs room;

  if (fstatvfs (m->part.dir, &room) == 0 && (guint64)room.f_bavail * room.f_frsize < ROOM_NEEDED)
    return vm_error (error, VM_ERROR_HOST, "no room for a template in '%s'; free 512 MiB there",
                     m->part.path);
  if ((m->ram = image_template_create (&m->part, "ram", error)) < 0 ||
      (m->state = image_template_create (&m->part, "state", error)) < 0 ||
      (m->disk = image_template_create (&m->part, "disk", error)) < 0)
    return FALSE;
  if (ftruncate (m->ram, (off_t)m->plan->memory) < 0)
    return vm_error_errno (error, errno, "cannot make the template's memory");
  return m->plan->image.filesystem != NULL ? image_scratch_format (m->disk, m->plan->image.size, error)
                                           : image_scratch_copy (m->plan->disk_base, m->disk, error);
}

static int
open_base (const VmPlan *plan, GError **error)
{
  int fd;

  if (plan->image.filesystem != NULL)
    return vm_machine_open_image (plan, error);
  fd = open (plan->disk_base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    vm_error_errno (error, errno, "cannot open the scratch disk '%s'", plan->disk_base);
  return fd;
}

static gboolean
make_argv (Maker *m, GError **error)
{
  const char *before[] = {m->plan->keeper, "--cage", "yes", "--", NULL};
  g_autofree char *ram = g_build_filename (m->part.path, "ram", NULL);
  vm_autofd base = open_base (m->plan, error);

  if (base < 0)
    return FALSE;
  m->argv = vm_machine_argv (m->plan, VM_QEMU_BUILD, before, ram, m->part.dir, error);
  if (m->argv == NULL)
    return FALSE;
  vm_argv_bind (m->argv, "base", vm_fd_steal (&base));
  vm_argv_bind (m->argv, "overlay", fcntl (m->disk, F_DUPFD_CLOEXEC, 3));
  return TRUE;
}

static gboolean
heard (int fd, GIOCondition condition, gpointer data)
{
  Maker *m = data;
  char block[4096];
  ssize_t n = read (fd, block, sizeof block);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n <= 0) {
    m->said_tag = 0;
    return G_SOURCE_REMOVE;
  }
  g_string_append_len (m->words, block, n);
  if (m->words->len > WORDS_MAX)
    g_string_erase (m->words, 0, (gssize)(m->words->len - WORDS_MAX));
  return G_SOURCE_CONTINUE;
}

static gboolean
ended (int fd, GIOCondition condition, gpointer data)
{
  Maker *m = data;

  m->pid_tag = 0;
  g_main_loop_quit (m->loop);
  return G_SOURCE_REMOVE;
}

static gboolean
timed_out (gpointer data)
{
  Maker *m = data;

  m->timer = 0;
  fail (m, "the machine does not come up");
  return G_SOURCE_REMOVE;
}

static gboolean
spawn (Maker *m, GError **error)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return vm_error_errno (error, errno, "cannot make a pipe");
  m->said = ends[0];
  vm_argv_bind_stdio (m->argv, 2, fcntl (ends[1], F_DUPFD_CLOEXEC, 3));
  vm_argv_bind_stdio (m->argv, 1, ends[1]);
  if (!vm_fd_set_nonblocking (m->said, TRUE, error) ||
      !vm_argv_spawn (m->argv, VM_SPAWN_DIE_WITH_PARENT, &m->pid, &m->pidfd, error))
    return FALSE;
  g_clear_pointer (&m->argv, vm_argv_free); /* our copies of its descriptors */
  m->said_tag = g_unix_fd_add (m->said, G_IO_IN | G_IO_HUP, heard, m);
  m->pid_tag = g_unix_fd_add (m->pidfd, G_IO_IN, ended, m);
  return TRUE;
}

static void
qmp_event (QmpClient *client, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Maker *m = data;
  const char *status = vm_json_str (event_data, "status", "");

  if (g_str_equal (name, "VSERPORT_CHANGE") && vm_json_bool (event_data, "open", FALSE) &&
      g_strcmp0 (vm_json_str (event_data, "id", NULL), "agent") == 0) {
    m->is_ready = TRUE;
    g_main_loop_quit (m->loop);
  }
  if (!g_str_equal (name, "MIGRATION"))
    return;
  if (g_str_equal (status, "failed") || g_str_equal (status, "cancelled"))
    fail (m, "QEMU cannot save the machine");
  m->is_saved = m->is_saved || g_str_equal (status, "completed");
  if (m->is_saved)
    g_main_loop_quit (m->loop);
}

static void
qmp_closed (QmpClient *client, const GError *error, gpointer data)
{
  fail (data, error->message);
}

static gboolean
connect_qmp (Maker *m, GError **error)
{
  static const QmpClientHandlers handlers = {.event = qmp_event, .closed = qmp_closed};
  int fd = vm_fd_connect_unix (m->part.dir, "qmp", SOCK_STREAM, error);

  if (fd < 0)
    return FALSE;
  m->qmp = qmp_client_new (fd, &handlers, m);
  return TRUE;
}

/* Until `*done`. */
static gboolean
run_until (Maker *m, const gboolean *done, const char *what, GError **error)
{
  g_autofree char *shown = NULL, *words = NULL;

  while (!*done && m->failure == NULL && m->pid_tag != 0)
    g_main_loop_run (m->loop);
  if (*done)
    return TRUE;
  words = g_strstrip (g_strdup (m->words->str));
  shown = vm_escape_terminal (words, -1, WORDS_MAX);
  return vm_error (error, VM_ERROR_CHILD, "%s: %s%s%s", what, m->failure != NULL ? m->failure : "QEMU ended",
                   *shown != '\0' ? ": " : "", shown);
}

static json_object *
capability (const char *name)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "capability", name);
  vm_json_add_bool (object, "state", TRUE);
  return object;
}

static gboolean
call (Maker *m, const char *command, json_object *take_arguments, int fd, GError **error)
{
  g_autoptr (json_object) ret =
      qmp_client_call (m->qmp, command, take_arguments, &fd, fd >= 0 ? 1 : 0, CALL_MS, error);

  return ret != NULL;
}

static gboolean
save (Maker *m, GError **error)
{
  json_object *set = json_object_new_object (), *list = json_object_new_array (),
              *name = json_object_new_object (), *migrate = json_object_new_object ();
  gboolean ok;

  json_object_array_add (list, capability ("x-ignore-shared"));
  json_object_array_add (list, capability ("events"));
  vm_json_add (set, "capabilities", list);
  vm_json_add_str (name, "fdname", STATE_FD_NAME);
  vm_json_add_str (migrate, "uri", "fd:" STATE_FD_NAME);
  ok = call (m, "migrate-set-capabilities", set, -1, error);
  if (!ok) {
    json_object_put (name);
    json_object_put (migrate);
    return FALSE;
  }
  if (!call (m, "getfd", name, m->state, error)) {
    json_object_put (migrate);
    return FALSE;
  }
  return call (m, "migrate", migrate, -1, error) &&
         run_until (m, &m->is_saved, "the machine was not saved", error);
}

/* QEMU has written everything when it has ended. */
static gboolean
quit (Maker *m, GError **error)
{
  gboolean is_over = FALSE;
  int status = 0;

  qmp_client_send (m->qmp, "quit", NULL, NULL, 0, 0, NULL, NULL);
  while (m->pid_tag != 0 && m->timer != 0)
    g_main_loop_run (m->loop);
  is_over = m->pid_tag == 0 && waitpid (m->pid, &status, 0) == m->pid;
  if (is_over)
    m->pid = 0;
  return (is_over && status == 0) ||
         vm_error (error, VM_ERROR_CHILD, "QEMU did not end well after it had saved the machine");
}

static json_object *
describe (const VmPlan *plan)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "vmctl", VMCTL_VERSION);
  vm_json_add_str (object, "qemu", plan->qemu);
  vm_json_add_str (object, "accel", plan->accel);
  vm_json_add_str (object, "kernel", plan->kernel_version);
  vm_json_add_int (object, "memory", (gint64)plan->memory);
  vm_json_add_int (object, "cpus", plan->cpus);
  vm_json_add_str (object, "disk", plan->disk_base);
  if (plan->image.name != NULL) {
    g_autofree char *id = g_path_get_basename (plan->image.dir);

    vm_json_add_str (object, "image", plan->image.name);
    vm_json_add_str (object, "image-id", id);
  }
  vm_json_add_strv (object, "inputs", (const char *const *)plan->template_inputs);
  return object;
}

static gboolean
make (Maker *m, ImageProgress progress, gpointer data, GError **error)
{
  if (progress != NULL)
    progress ("booting a machine for the template", -1, data);
  if (!make_files (m, error) || !make_argv (m, error) || !spawn (m, error) || !connect_qmp (m, error))
    return FALSE;
  m->timer = g_timeout_add (BOOT_WAIT_MS, timed_out, m);
  if (!run_until (m, &m->is_ready, "the machine for the template did not come up", error))
    return FALSE;
  if (progress != NULL)
    progress ("saving the template", -1, data);
  if (!save (m, error) || !quit (m, error))
    return FALSE;
  (void)unlinkat (m->part.dir, "qmp", 0);
  (void)unlinkat (m->part.dir, "agent", 0);
  return image_template_commit (&m->part, describe (m->plan), error);
}

static void
maker_clear (Maker *m)
{
  guint *tags[] = {&m->timer, &m->said_tag, &m->pid_tag};
  int *fds[] = {&m->ram, &m->disk, &m->state, &m->pidfd, &m->said};

  for (guint i = 0; i < G_N_ELEMENTS (tags); i++)
    if (*tags[i] != 0)
      g_source_remove (*tags[i]);
  g_clear_pointer (&m->qmp, qmp_client_free);
  if (m->pid > 0) {
    (void)kill (m->pid, SIGKILL);
    (void)waitpid (m->pid, NULL, 0);
  }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    vm_fd_clear (fds[i]);
  g_clear_pointer (&m->argv, vm_argv_free);
  g_string_free (m->words, TRUE);
  g_main_loop_unref (m->loop);
  g_free (m->failure);
  image_template_part_clear (&m->part);
}

gboolean
vm_template_make (const VmPlan *plan, gboolean wait, ImageProgress progress, gpointer data, GError **error)
{
  Maker m = {.plan = plan,
             .part = IMAGE_TEMPLATE_PART_INIT,
             .ram = -1,
             .disk = -1,
             .state = -1,
             .pidfd = -1,
             .said = -1,
             .words = g_string_new (NULL)};
  g_autofree char *dir = g_path_get_dirname (plan->template), *cache = g_path_get_dirname (dir);
  g_autofree char *key = g_path_get_basename (plan->template);
  g_autoptr (GError) problem = NULL;
  gboolean ok;

  m.loop = g_main_loop_new (g_main_context_get_thread_default (), FALSE);
  ok = image_template_begin (plan->template, wait, progress, data, &m.part, &problem);
  if (!ok && g_error_matches (problem, VM_ERROR, VM_ERROR_EXISTS)) {
    g_clear_error (&problem);
    maker_clear (&m);
    return TRUE;
  }
  ok = ok && make (&m, progress, data, &problem);
  maker_clear (&m);
  if (!ok) {
    g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
  }
  return image_template_shrink (cache, plan->templates_max, key, NULL, error);
}

char **
vm_template_inputs (const VmHost *host)
{
  return vm_qemu_template_inputs (host);
}

gboolean
vm_template_start_maker (const VmDirs *dirs, const VmPlan *plan, int *ret_pidfd, GError **error)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (json_object) object = vm_plan_to_shown_json (plan);
  g_autofree char *text = vm_json_line (object);
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  pid_t pid;

  vm_argv_bind_bytes (argv, "plan", bytes);
  vm_argv_add_many (argv, dirs->self, "maketemplate", NULL);
  vm_argv_addf (argv, "--plan-fd=%d", vm_argv_slot (argv, "plan"));
  return vm_argv_spawn (argv, VM_SPAWN_NEW_SESSION, &pid, ret_pidfd, error);
}
