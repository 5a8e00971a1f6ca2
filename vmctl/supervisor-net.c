/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's part of a sandbox's network: what vmctl-net is given, what it says, and what became of it.
 *
 * How it works
 *
 * Each vmctl-net says hello and is told the policy; it passes nothing before. Changes are made one after the
 * other: the text is sent, and what vmctl-net took is put on record. One that starts in between is told what
 * the one before was told last. After a take-over the record is what counts. */
#include "vmctl/supervisor-net.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/net-text.h"
#include "vmctl/net-words.h"

enum {
  RESOLV_CONF_MAX = 65536,
  HEARD_ROOM = 4096,
  CHANGE_MS = 5000,
  STATS_MS = 1000,
  REFUSALS_PER_SECOND = 50, /* more than it sends */
  HEARD_AT_ONCE = 64,
};

typedef struct {
  json_object *arguments; /* owned */
  QmpRequest *request;    /* owned */
} Change;

typedef struct {
  VmNetHelper *net; /* borrowed */
  VmNetStatsFunc got;
  gpointer data;
  guint timer;
} Question;

struct VmNetHelper {
  VmSupervisor *sup; /* borrowed */
  int fd;            /* owned */
  guint tag;
  gboolean up, down;  /* it has said hello; it will not come again */
  guint serial;       /* of what it was told last */
  Change *change;     /* owned; the one it has not answered; NULL */
  VmNetState changed; /* what that comes to */
  guint timer;        /* until it has to have answered */
  GQueue *changes;    /* owned; of Change: those that wait */
  GQueue *questions;  /* owned; of Question */
  gint64 second;      /* of the refusals that are counted */
  guint refusals;
};

static void start_change (VmNetHelper *net);

/* The policy */

static VmNetState
state_of (const VmSupervisor *sup)
{
  return (VmNetState){.net = sup->plan->net, .rules = sup->plan->net_rules};
}

/* The helper asks, from this host: a name server on the loopback or in the local network answers, though the
 * sandbox cannot reach it. */
static char *
text_of (const VmNetState *state, GError **error)
{
  vm_autofd fd = open ("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
  g_autofree char *conf = fd >= 0 ? vm_fd_read_all (fd, RESOLV_CONF_MAX, NULL, NULL) : NULL;
  g_auto (GStrv) nameservers = vm_net_nameservers (conf);

  return vm_net_text (state->net, state->rules, nameservers, error);
}

static gboolean
tell (VmNetHelper *net, const VmNetState *state, GError **error)
{
  g_autofree char *text = text_of (state, error), *message = NULL;
  guint line = 0;

  if (text == NULL)
    return FALSE;
  if (!vm_net_text_check (text, &line))
    return vm_error (error, VM_ERROR_INVALID, "the network's rules are not sound (line %u)", line);
  message = g_strdup_printf ("policy %u\n%s", ++net->serial, text);
  if (send (net->fd, message, strlen (message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return vm_error_errno (error, errno, "cannot tell the network's helper");
  return TRUE;
}

static void
tell_current (VmNetHelper *net)
{
  const VmNetState now = state_of (net->sup);
  g_autoptr (GError) error = NULL;

  if (!tell (net, net->change != NULL ? &net->changed : &now, &error))
    vm_log_line (net->sup->log, "net: %s", error->message);
}

/* Changes */

static void
free_change (Change *change)
{
  json_object_put (change->arguments);
  g_free (change);
}

static void
refuse_change (Change *change, const char *why)
{
  qmp_request_error (g_steal_pointer (&change->request), "GenericError", "%s", why);
  free_change (change);
}

static void
clear_change (VmNetHelper *net)
{
  if (net->timer != 0)
    g_source_remove (net->timer);
  net->timer = 0;
  vm_net_state_clear (&net->changed);
}

static void
put_on_record (VmSupervisor *sup, const VmNetState *state)
{
  g_autoptr (GError) error = NULL;
  json_object *data = json_object_new_object ();
  g_autofree char *words = vm_net_to_words (state->net, state->rules);

  g_free (sup->record->net);
  sup->record->net = g_strdup (vm_net_name (state->net));
  g_strfreev (sup->record->net_rules);
  sup->record->net_rules = g_strdupv (state->rules);
  g_strfreev (sup->plan->net_rules);
  sup->plan->net_rules = g_strdupv (state->rules);
  sup->plan->net = state->net;
  if (!vm_supervisor_save (sup, &error))
    vm_log_line (sup->log, "cannot write the record: %s", error->message);
  vm_log_line (sup->log, "net: %s", words);
  vm_json_add_str (data, "net", sup->record->net);
  vm_json_add_str (data, "words", words);
  vm_supervisor_emit (sup, "SANDBOX_NET", data);
}

static void
change_done (VmNetHelper *net)
{
  Change *change = g_steal_pointer (&net->change);

  put_on_record (net->sup, &net->changed);
  qmp_request_return (g_steal_pointer (&change->request), vm_net_state_to_json (&net->changed));
  free_change (change);
  clear_change (net);
  start_change (net);
}

static void
change_failed (VmNetHelper *net, const char *why)
{
  refuse_change (g_steal_pointer (&net->change), why);
  clear_change (net);
  start_change (net);
}

/* It may still come to it: then it is told the old one behind that. */
static gboolean
change_late (gpointer data)
{
  VmNetHelper *net = data;
  Change *change = g_steal_pointer (&net->change);

  net->timer = 0;
  if (net->up)
    tell_current (net);
  refuse_change (change, "the network's helper does not answer; nothing was changed");
  clear_change (net);
  start_change (net);
  return G_SOURCE_REMOVE;
}

/* The next one that waits. One that is not sent yet, because the helper is just starting, is told by hello.
 */
static void
start_change (VmNetHelper *net)
{
  while (net->change == NULL && !g_queue_is_empty (net->changes)) {
    const VmNetState now = state_of (net->sup);
    g_autoptr (GError) error = NULL;

    net->change = g_queue_pop_head (net->changes);
    if (vm_net_change (&now, net->change->arguments, &net->changed, &error) &&
        (!net->up || tell (net, &net->changed, &error))) {
      net->timer = g_timeout_add (CHANGE_MS, change_late, net);
      return;
    }
    refuse_change (g_steal_pointer (&net->change), error->message);
    clear_change (net);
  }
}

const char *
vm_supervisor_net_problem (VmSupervisor *sup)
{
  if (sup->plan->net == VM_NET_HOST)
    return "the sandbox shares this host's network (--net host), which nobody judges; start it with another "
           "--net";
  if (sup->plan->net == VM_NET_NONE)
    return "the sandbox was started without a network (--net none); start it with a list: --net allow:LIST";
  if (!vm_driver_has_helper (sup->plan, sup->driver->net))
    return "this driver has the host's own network, which nobody judges";
  if (sup->net == NULL || sup->net->down)
    return "the sandbox's network has ended; restart it: vmctl restart";
  return NULL;
}

void
vm_supervisor_change_net (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const char *problem = vm_supervisor_net_problem (sup);
  Change *change;

  if (problem != NULL) {
    qmp_request_error (take_request, "GenericError", "%s", problem);
    return;
  }
  change = g_new0 (Change, 1);
  change->arguments = arguments != NULL ? json_object_get (arguments) : NULL;
  change->request = take_request;
  g_queue_push_tail (sup->net->changes, change);
  start_change (sup->net);
}

/* Figures */

static void
answer (Question *question, json_object *stats)
{
  g_source_remove (question->timer);
  question->got (stats, question->data);
  g_free (question);
}

static gboolean
stats_late (gpointer data)
{
  Question *question = data;

  (void)g_queue_remove (question->net->questions, question);
  question->got (NULL, question->data);
  g_free (question);
  return G_SOURCE_REMOVE;
}

void
vm_supervisor_ask_net_stats (VmSupervisor *sup, VmNetStatsFunc got, gpointer data)
{
  VmNetHelper *net = sup->net;
  Question *question;

  if (net == NULL || !net->up || send (net->fd, "stats", strlen ("stats"), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    got (NULL, data);
    return;
  }
  question = g_new0 (Question, 1);
  *question = (Question){.net = net, .got = got, .data = data};
  question->timer = g_timeout_add (STATS_MS, stats_late, question);
  g_queue_push_tail (net->questions, question);
}

/* What it says */

static void
heard_refused (VmNetHelper *net, json_object *take_object)
{
  gint64 second = g_get_monotonic_time () / G_USEC_PER_SEC;

  if (net->second != second) {
    net->second = second;
    net->refusals = 0;
  }
  if (net->refusals++ < REFUSALS_PER_SECOND)
    vm_supervisor_emit (net->sup, "SANDBOX_NET_REFUSED", take_object);
  else
    json_object_put (take_object);
}

static void
heard_bad (VmNetHelper *net, const VmNetHeard *heard)
{
  vm_log_line (net->sup->log, "net: the helper refused the policy, line %u", heard->line);
  if (net->change != NULL && heard->serial == net->serial)
    change_failed (net, "the network's helper refused the rules; nothing was changed");
  else if (heard->serial == net->serial)
    vm_supervisor_warn (net->sup,
                        "the network's helper refused the rules: what they do not allow any more may "
                        "still be reached, or nothing at all; restart the sandbox");
}

static void
heard (VmNetHelper *net, VmNetHeard *what)
{
  switch (what->kind) {
  case VM_NET_HEARD_HELLO:
    net->up = TRUE;
    tell_current (net);
    break;
  case VM_NET_HEARD_OK:
    if (net->change != NULL && what->serial == net->serial)
      change_done (net);
    break;
  case VM_NET_HEARD_BAD:
    heard_bad (net, what);
    break;
  case VM_NET_HEARD_REFUSED:
    heard_refused (net, g_steal_pointer (&what->object));
    break;
  case VM_NET_HEARD_STATS:
    if (!g_queue_is_empty (net->questions))
      answer (g_queue_pop_head (net->questions), what->object);
    break;
  case VM_NET_HEARD_NONSENSE:
    break;
  }
  vm_net_heard_clear (what);
}

static gboolean
helper_said (int fd, GIOCondition condition, gpointer data)
{
  VmNetHelper *net = data;
  char bytes[HEARD_ROOM];

  for (guint i = 0; i < HEARD_AT_ONCE; i++) {
    ssize_t n = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT);
    VmNetHeard what;

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      break;
    if (n <= 0) { /* the keeper, too, has gone */
      net->tag = 0;
      net->up = FALSE;
      return G_SOURCE_REMOVE;
    }
    vm_net_heard_parse (bytes, (gsize)n, &what);
    heard (net, &what);
  }
  return G_SOURCE_CONTINUE;
}

/* Beginning and end */

/* Milliseconds, so that an answer to the supervisor before us is none to us. */
static void
open_net (VmSupervisor *sup, int take_fd)
{
  const int room = 1 << 20;
  VmNetHelper *net = g_new0 (VmNetHelper, 1);

  vm_supervisor_close_net (sup);
  net->sup = sup;
  net->fd = take_fd;
  net->serial = (guint)(g_get_monotonic_time () / 1000 % G_MAXINT32);
  net->changes = g_queue_new ();
  net->questions = g_queue_new ();
  (void)setsockopt (net->fd, SOL_SOCKET, SO_SNDBUF, &room,
                    sizeof room); /* as much of it as the kernel gives */
  net->tag = g_unix_fd_add (net->fd, G_IO_IN | G_IO_HUP, helper_said, net);
  sup->net = net;
}

void
vm_supervisor_close_net (VmSupervisor *sup)
{
  VmNetHelper *net = g_steal_pointer (&sup->net);

  if (net == NULL)
    return;
  if (net->change != NULL)
    refuse_change (g_steal_pointer (&net->change), "the sandbox ended; nothing was changed");
  clear_change (net);
  while (!g_queue_is_empty (net->changes))
    refuse_change (g_queue_pop_head (net->changes), "the sandbox ended; nothing was changed");
  while (!g_queue_is_empty (net->questions))
    answer (g_queue_pop_head (net->questions), NULL);
  g_queue_free (net->changes);
  g_queue_free (net->questions);
  if (net->tag != 0)
    g_source_remove (net->tag);
  vm_fd_clear (&net->fd);
  g_free (net);
}

static gboolean
bind_control (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int ends[2], copy;

  if (!vm_fd_socketpair (SOCK_SEQPACKET, ends, error))
    return FALSE;
  copy = fcntl (ends[0], F_DUPFD_CLOEXEC, 3);
  vm_argv_bind (argv, "net-control-peer", ends[0]);
  vm_argv_bind (argv, "net-control", ends[1]);
  if (copy < 0)
    return vm_error_errno (error, errno, "cannot duplicate a descriptor");
  open_net (sup, copy);
  return TRUE;
}

static gboolean
bind_log (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int fd = openat (sup->state_fd, "net.log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot open net.log");
  vm_argv_bind (argv, "net-log", fd);
  return TRUE;
}

/* A frame is a datagram; room for a good many. */
static gboolean
bind_frames (VmArgv *argv, GError **error)
{
  const int room = 4 << 20;
  int ends[2];

  if (!vm_fd_socketpair (SOCK_DGRAM, ends, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) /* as much of it as the kernel gives */
    (void)setsockopt (ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  vm_argv_bind (argv, "packet", ends[0]);
  vm_argv_bind (argv, "nic", ends[1]);
  return TRUE;
}

gboolean
vm_supervisor_bind_net (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  if (!vm_driver_has_helper (sup->plan, sup->driver->net))
    return TRUE;
  if (sup->driver->net == VM_KEEPER_NET_FRAMES && !bind_frames (argv, error))
    return FALSE;
  return bind_control (sup, argv, error) && bind_log (sup, argv, error);
}

void
vm_supervisor_take_over_net (VmSupervisor *sup)
{
  VmRecord *record = sup->record;
  int fd;

  if (!vm_driver_has_helper (sup->plan, sup->driver->net))
    return;
  if (record->net != NULL && vm_net_from_name (record->net, &sup->plan->net)) {
    g_strfreev (sup->plan->net_rules);
    sup->plan->net_rules = g_strdupv (record->net_rules);
  }
  fd = vm_supervisor_ask_keeper (sup, "net");
  if (fd < 0)
    return; /* changes are refused */
  open_net (sup, fd);
  sup->net->up = TRUE; /* or it says hello when it is */
  tell_current (sup->net);
}

void
vm_supervisor_net_said (VmSupervisor *sup, const char *text)
{
  const char *how = strchr (text, ' ');
  gboolean again = g_str_has_prefix (text, "restarted ");
  g_autofree char *warning = NULL;

  vm_log_line (sup->log, "the keeper says: %s", text);
  if (how == NULL)
    return;
  if (sup->net != NULL)
    sup->net->down = !again; /* the next one has perhaps said hello already */
  if (again)
    warning = g_strdup_printf ("the network's helper ended (%s) and was started again; connections that "
                               "were open are cut",
                               how + 1);
  else
    warning = g_strdup_printf ("the network's helper ended (%s): the sandbox has no network any more; see "
                               "vmctl logs --supervisor %s",
                               how + 1, sup->plan->id);
  vm_supervisor_warn (sup, warning);
}
