/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen from outside: pixels, and input. The commands are the same for every driver; a virtual machine's
 * QEMU does what they say, and elsewhere the X server inside is asked, by a client that runs there
 * (meta/agent/xclient.h).
 *
 * What comes from inside are pixels in a size that is checked, and nothing more: the PNG is made here, by
 * vmctl-png. */
#include "vmctl/supervisor-private.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/inner.h"
#include "vmctl/keynames.h"
#include "vmctl/picture.h"

enum {
  WAIT_MS = 20000,
  HEADER_MAX = 64,
  PIXELS_MAX = 64 << 20,
  SIZE_MAX_BYTES = 1000,
  EVENTS_MAX = 1024,
  AXIS_MAX = 0x7fff
};

/* One request on its way. */
typedef struct {
  VmSupervisor *sup;   /* borrowed */
  QmpRequest *request; /* owned until answered */
  int fd;              /* owned; where the picture goes */
  gint64 set;          /* QEMU's number for it */
  GError *problem;     /* owned; of screendump */
  gboolean for_size;   /* only its header counts */
  guint watch;
  int pidfd; /* owned; vmctl-png's */
} Job;

static Job *
job_new (VmSupervisor *sup, QmpRequest *take_request, int take_fd)
{
  Job *job = g_new0 (Job, 1);

  job->sup = sup;
  job->request = take_request;
  job->fd = take_fd;
  job->pidfd = -1;
  return job;
}

/* Answers: with `take_ret` (NULL: {}), or with the error. */
static void
job_end (Job *job, json_object *take_ret, const GError *error)
{
  if (error != NULL) {
    qmp_request_error (job->request, "GenericError", "%s", error->message);
    if (take_ret != NULL)
      json_object_put (take_ret);
  } else {
    qmp_request_return (job->request, take_ret);
  }
  vm_fd_clear (&job->fd);
  vm_fd_clear (&job->pidfd);
  g_clear_error (&job->problem);
  g_free (job);
}

static gboolean
has_monitor (const VmSupervisor *sup)
{
  return vm_driver_has_monitor (sup->driver);
}

/* FALSE: there is nothing to look at, and the request has been told. */
static gboolean
check_screen (VmSupervisor *sup, QmpRequest *request)
{
  if (sup->plan->screen.kind == VM_DISPLAY_UNSET)
    qmp_request_error (request, "GenericError",
                       "this sandbox has no screen; start one with: vmctl up --display none");
  else if (!sup->agent_up)
    qmp_request_error (request, "GenericError", "the sandbox is not up, and so is its screen");
  else if (has_monitor (sup) && sup->qmp == NULL)
    qmp_request_error (request, "GenericError", "QEMU does not answer any more");
  else
    return TRUE;
  return FALSE;
}

static json_object *
size_to_json (VmSupervisor *sup, guint width, guint height)
{
  json_object *object = json_object_new_object (), *pointer = json_object_new_object ();

  vm_json_add_int (object, "width", width);
  vm_json_add_int (object, "height", height);
  vm_json_add_int (pointer, "x", sup->pointer_x);
  vm_json_add_int (pointer, "y", sup->pointer_y);
  vm_json_add (object, "pointer", pointer);
  return object;
}

/* QEMU: the descriptor becomes a file name in it, and goes again. */

static json_object *
read_ppm_size (VmSupervisor *sup, int fd, GError **error)
{
  char text[HEADER_MAX + 1] = "";
  guint width, height;

  if (pread (fd, text, HEADER_MAX, 0) <= 0 || sscanf (text, "P6 %5u %5u ", &width, &height) != 2 ||
      width == 0 || height == 0) {
    vm_error (error, VM_ERROR_INVALID, "QEMU made no picture");
    return NULL;
  }
  sup->pointer_x = MIN (sup->pointer_x, width - 1);
  sup->pointer_y = MIN (sup->pointer_y, height - 1);
  return size_to_json (sup, width, height);
}

static void
fd_removed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Job *job = data;
  json_object *size = NULL;

  if (job->problem == NULL && job->for_size)
    size = read_ppm_size (job->sup, job->fd, &job->problem);
  job_end (job, size, job->problem);
}

static void
dumped (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Job *job = data;
  json_object *arguments;

  if (error != NULL && g_error_matches (error, QMP_ERROR, QMP_ERROR_DISCONNECTED)) {
    job_end (job, NULL, error);
    return;
  }
  job->problem = error != NULL ? g_error_copy (error) : NULL;
  arguments = json_object_new_object ();
  vm_json_add_int (arguments, "fdset-id", job->set);
  qmp_client_send (client, "remove-fd", arguments, NULL, 0, WAIT_MS, fd_removed, job);
}

static void
fd_added (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Job *job = data;
  json_object *arguments;
  g_autofree char *name = NULL;

  if (error != NULL) {
    job_end (job, NULL, error);
    return;
  }
  job->set = vm_json_int (ret, "fdset-id", -1);
  name = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, job->set);
  arguments = json_object_new_object ();
  vm_json_add_str (arguments, "filename", name);
  vm_json_add_str (arguments, "format", job->for_size ? "ppm" : "png");
  qmp_client_send (client, "screendump", arguments, NULL, 0, WAIT_MS, dumped, job);
}

/* QEMU takes a descriptor for writing only if it can do nothing else. */
static void
ask_qemu (Job *job, int writable)
{
  qmp_client_send (job->sup->qmp, "add-fd", NULL, &writable, 1, WAIT_MS, fd_added, job);
}

/* The X server inside */

/* And remembers where the pointer is. */
static gboolean
parse_answer (Job *job, GBytes *output, gboolean wants_pixels, VmPicture *ret)
{
  if (!vm_picture_parse (output, wants_pixels, ret, &job->problem))
    return FALSE;
  job->sup->pointer_x = ret->x;
  job->sup->pointer_y = ret->y;
  return TRUE;
}

static void
got_size (GBytes *output, const GError *error, gpointer data)
{
  Job *job = data;
  VmPicture picture;

  if (error != NULL || !parse_answer (job, output, FALSE, &picture))
    job_end (job, NULL, error != NULL ? error : job->problem);
  else
    job_end (job, size_to_json (job->sup, picture.width, picture.height), NULL);
}

static gboolean
png_ended (int pidfd, GIOCondition condition, gpointer data)
{
  Job *job = data;
  siginfo_t info = {0};

  (void)waitid (P_PIDFD, (id_t)pidfd, &info, WEXITED);
  if (info.si_code != CLD_EXITED || info.si_status != 0)
    (void)vm_error (&job->problem, VM_ERROR_CHILD, "vmctl-png cannot write the picture");
  job_end (job, NULL, job->problem);
  return G_SOURCE_REMOVE;
}

static gboolean
start_png (Job *job, const VmPicture *picture, GError **error)
{
  g_autofree char *helper = vm_dirs_helper (job->sup->dirs, "vmctl-png", error);
  g_autoptr (VmArgv) argv = vm_argv_new ();
  int pixels;
  pid_t pid;

  if (helper == NULL || (pixels = vm_fd_memfd ("screen", picture->pixels, picture->n, error)) < 0)
    return FALSE;
  vm_argv_add (argv, helper);
  vm_argv_addf (argv, "%u", picture->width);
  vm_argv_addf (argv, "%u", picture->height);
  vm_argv_bind_stdio (argv, 0, pixels);
  vm_argv_bind_stdio (argv, 1, vm_fd_steal (&job->fd));
  return vm_argv_spawn (argv, VM_SPAWN_DIE_WITH_PARENT, &pid, &job->pidfd, error);
}

static void
got_pixels (GBytes *output, const GError *error, gpointer data)
{
  Job *job = data;
  VmPicture picture;

  if (error != NULL || !parse_answer (job, output, TRUE, &picture) ||
      !start_png (job, &picture, &job->problem))
    job_end (job, NULL, error != NULL ? error : job->problem);
  else
    job->watch = g_unix_fd_add (job->pidfd, G_IO_IN, png_ended, job);
}

/* `words` follow the client's own. */
static void
ask_inside (Job *job, const char *const *words, gsize max, VmInnerDone done)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_null_terminated (8, NULL, TRUE);
  GError *error = NULL;

  g_ptr_array_add (argv, (gpointer)META_AGENT);
  g_ptr_array_add (argv, (gpointer) "--screen");
  for (; *words != NULL; words++)
    g_ptr_array_add (argv, (gpointer)*words);
  if (vm_inner_run (job->sup->sessions, (const char *const *)argv->pdata, max, WAIT_MS, done, job, &error))
    return;
  job_end (job, NULL, error);
  g_error_free (error);
}

/* The commands */

void
vm_screen_query (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  static const char *const words[] = {"size", NULL};
  vm_autofd writable = -1;
  g_autofree char *name = NULL;
  Job *job;

  if (!check_screen (sup, take_request))
    return;
  if (!has_monitor (sup)) {
    ask_inside (job_new (sup, take_request, -1), words, SIZE_MAX_BYTES, got_size);
    return;
  }
  job = job_new (sup, take_request, memfd_create ("screen", MFD_CLOEXEC));
  job->for_size = TRUE;
  name = g_strdup_printf ("/proc/self/fd/%d", job->fd);
  writable = job->fd >= 0 ? open (name, O_WRONLY | O_CLOEXEC) : -1;
  if (writable >= 0) {
    ask_qemu (job, writable);
    return;
  }
  (void)vm_error (&job->problem, VM_ERROR_FAILED, "cannot make a memory file");
  job_end (job, NULL, job->problem);
}

/* Nobody's pipe is to hold up a supervisor, or QEMU. */
static gboolean
is_file_to_write (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && (fcntl (fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
}

gboolean
vm_screen_dump (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  static const char *const words[] = {"shot", NULL};
  const char *format = vm_json_str (arguments, "format", "png");
  vm_autofd fd = -1;

  if (has_monitor (sup) && vm_json_str (arguments, "filename", NULL) != NULL)
    return FALSE;
  fd = qmp_request_take_fd (take_request);
  if (!check_screen (sup, take_request))
    return TRUE;
  if (fd < 0 || !is_file_to_write (fd)) {
    qmp_request_error (take_request, "GenericError",
                       "screendump needs a descriptor of a file that is open for writing only, sent with the "
                       "command (SCM_RIGHTS)");
  } else if (!g_str_equal (format, "png")) {
    qmp_request_error (take_request, "GenericError", "'format' must be png");
  } else {
    Job *job = job_new (sup, take_request, vm_fd_steal (&fd));

    if (has_monitor (sup))
      ask_qemu (job, job->fd);
    else
      ask_inside (job, words, PIXELS_MAX, got_pixels);
  }
  return TRUE;
}

/* Input */

typedef struct {
  GPtrArray *words; /* owned; for the client inside */
  guint width, height;
  guint x, y;
  gboolean moved; /* and that is not in `words` yet */
} Input;

static void
add_move (Input *input)
{
  if (input->moved)
    g_ptr_array_add (input->words, g_strdup_printf ("abs:%u:%u", input->x, input->y));
  input->moved = FALSE;
}

static gboolean
take_axis (Input *input, json_object *event, GError **error)
{
  const char *axis = vm_json_str (event, "axis", "");
  gint64 value = vm_json_int (event, "value", -1);

  if (value < 0 || value > AXIS_MAX || (!g_str_equal (axis, "x") && !g_str_equal (axis, "y")))
    return vm_error (error, VM_ERROR_USAGE, "'abs' wants an axis, x or y, and a value from 0 to %d",
                     AXIS_MAX);
  if (*axis == 'x')
    input->x = (guint)(value * input->width / (AXIS_MAX + 1));
  else
    input->y = (guint)(value * input->height / (AXIS_MAX + 1));
  input->moved = TRUE;
  return TRUE;
}

static gboolean
take_button (Input *input, json_object *event, GError **error)
{
  static const struct {
    const char *name;
    guint number;
  } buttons[] = {{"left", 1},       {"middle", 2}, {"right", 3}, {"wheel-up", 4},
                 {"wheel-down", 5}, {"side", 8},   {"extra", 9}};
  const char *name = vm_json_str (event, "button", "");

  for (gsize i = 0; i < G_N_ELEMENTS (buttons); i++)
    if (g_str_equal (buttons[i].name, name)) {
      add_move (input);
      g_ptr_array_add (input->words, g_strdup_printf ("btn:%u:%d", buttons[i].number,
                                                      vm_json_bool (event, "down", FALSE) ? 1 : 0));
      return TRUE;
    }
  return vm_error (error, VM_ERROR_USAGE, "this pointer has no button '%s'", name);
}

static gboolean
take_key (Input *input, json_object *event, GError **error)
{
  json_object *key = vm_json_object (event, "key");
  const char *qcode = vm_json_str (key, "data", "");
  guint32 symbol = g_str_equal (vm_json_str (key, "type", ""), "qcode") ? vm_key_symbol (qcode) : 0;

  if (symbol == 0)
    return vm_error (error, VM_ERROR_USAGE, "this keyboard has no key with the qcode '%s'", qcode);
  add_move (input);
  g_ptr_array_add (input->words,
                   g_strdup_printf ("key:%u:%d", symbol, vm_json_bool (event, "down", FALSE) ? 1 : 0));
  return TRUE;
}

static gboolean
take_event (Input *input, json_object *event, GError **error)
{
  const char *type = vm_json_str (event, "type", "");
  json_object *data = vm_json_object (event, "data");

  if (g_str_equal (type, "abs"))
    return take_axis (input, data, error);
  if (g_str_equal (type, "btn"))
    return take_button (input, data, error);
  if (g_str_equal (type, "key"))
    return take_key (input, data, error);
  return vm_error (error, VM_ERROR_USAGE, "'%s' is no type of event: abs, btn or key", type);
}

/* All of them, or nothing is sent. */
static gboolean
take_events (Input *input, json_object *events, GError **error)
{
  gsize n = events != NULL ? json_object_array_length (events) : 0;

  if (n == 0 || n > EVENTS_MAX)
    return vm_error (error, VM_ERROR_USAGE, "'events' must be a list of 1 to %d", EVENTS_MAX);
  for (gsize i = 0; i < n; i++)
    if (!take_event (input, json_object_array_get_idx (events, i), error))
      return FALSE;
  add_move (input);
  return TRUE;
}

static void
input_done (GBytes *output, const GError *error, gpointer data)
{
  job_end (data, NULL, error);
}

static void
passed_on (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  if (reply != NULL)
    qmp_request_forward (data, reply);
  else
    qmp_request_error_from (data, error);
}

/* QEMU knows more keys, and says itself what it does not take. What is typed is in no log. */
static void
pass_input (VmSupervisor *sup, Input *input, json_object *arguments, QmpRequest *take_request)
{
  json_object *events = vm_json_array (arguments, "events");

  for (gsize i = 0; events != NULL && i < json_object_array_length (events); i++) {
    json_object *event = json_object_array_get_idx (events, i);

    if (g_str_equal (vm_json_str (event, "type", ""), "abs"))
      (void)take_axis (input, vm_json_object (event, "data"), NULL);
  }
  sup->pointer_x = input->x;
  sup->pointer_y = input->y;
  qmp_client_send (sup->qmp, "input-send-event", arguments != NULL ? json_object_get (arguments) : NULL, NULL,
                   0, WAIT_MS, passed_on, take_request);
}

gboolean
vm_screen_input (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_null_terminated (16, g_free, TRUE);
  Input input = {.words = words,
                 .width = sup->plan->screen.width,
                 .height = sup->plan->screen.height,
                 .x = sup->pointer_x,
                 .y = sup->pointer_y};
  GError *error = NULL;

  if (has_monitor (sup) && sup->plan->screen.kind == VM_DISPLAY_UNSET)
    return FALSE; /* whatever QEMU has to say */
  if (!check_screen (sup, take_request))
    return TRUE;
  if (has_monitor (sup)) {
    pass_input (sup, &input, arguments, take_request);
    return TRUE;
  }
  g_ptr_array_add (words, g_strdup ("input"));
  if (!take_events (&input, vm_json_array (arguments, "events"), &error)) {
    qmp_request_error (take_request, "GenericError", "%s", error->message);
    g_error_free (error);
    return TRUE;
  }
  sup->pointer_x = input.x;
  sup->pointer_y = input.y;
  ask_inside (job_new (sup, take_request, -1), (const char *const *)words->pdata, SIZE_MAX_BYTES, input_done);
  return TRUE;
}
