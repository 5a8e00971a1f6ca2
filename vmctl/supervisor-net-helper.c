/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/supervisor-net-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-plug.h"

enum { HEARD_ROOM = 4096, HEARD_AT_ONCE = 64, STATS_MS = 1000 };

/* Figures: all are asked, and what they count is added. */

typedef struct {
  VmNetHelpers *all; /* borrowed */
  VmNetStatsFunc got;
  gpointer data;
  guint timer, pending;
  json_object *sum; /* owned; NULL: nobody has answered */
} Question;

static void
finish_question (Question *question)
{
  if (question->timer != 0)
    g_source_remove (question->timer);
  question->got (question->sum, question->data);
  json_object_put (question->sum);
  g_free (question);
}

static void
add_stats (Question *question, json_object *stats)
{
  if (question->sum == NULL)
    question->sum = json_object_new_object ();
  json_object_object_foreach (stats, key, value)
  {
    guint64 before = (guint64)vm_json_int (question->sum, key, 0);

    vm_json_add_int (question->sum, key, (gint64)(before + (guint64)json_object_get_int64 (value)));
  }
}

/* `stats` NULL: it does not know. */
static void
answer (Question *question, json_object *stats)
{
  if (stats != NULL)
    add_stats (question, stats);
  if (--question->pending == 0)
    finish_question (question);
}

static gboolean
stats_late (gpointer data)
{
  Question *question = data;
  GPtrArray *list = question->all->list;

  for (guint i = 0; i < list->len; i++)
    (void)g_queue_remove (((VmNetHelper *)g_ptr_array_index (list, i))->questions, question);
  question->timer = 0;
  finish_question (question);
  return G_SOURCE_REMOVE;
}

void
vm_supervisor_ask_net_stats (VmSupervisor *sup, VmNetStatsFunc got, gpointer data)
{
  VmNetHelpers *all = sup->net;
  Question *question = g_new0 (Question, 1);

  *question = (Question){.all = all, .got = got, .data = data};
  for (guint i = 0; all != NULL && i < all->list->len; i++) {
    VmNetHelper *helper = g_ptr_array_index (all->list, i);

    if (!helper->up || !vm_net_helper_say (helper, "stats", NULL))
      continue;
    g_queue_push_tail (helper->questions, question);
    question->pending++;
  }
  if (question->pending == 0)
    finish_question (question);
  else
    question->timer = g_timeout_add (STATS_MS, stats_late, question);
}

/* The connection */

gboolean
vm_net_helper_say (VmNetHelper *helper, const char *message, GError **error)
{
  return send (helper->fd, message, strlen (message), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
         vm_error_errno (error, errno, "cannot tell the network's helper");
}

static void
take (VmNetHelper *helper, const char *bytes, gsize length)
{
  VmNetHeard what;

  vm_net_heard_parse (bytes, length, &what);
  if (what.kind == VM_NET_HEARD_STATS && !g_queue_is_empty (helper->questions))
    answer (g_queue_pop_head (helper->questions), what.object);
  vm_net_helper_said (helper, &what);
}

/* Who waits for it may take it away. */
static void
tell_ready (VmNetHelper *helper)
{
  VmSupervisor *sup = helper->all->sup;
  g_autofree char *card = g_strdup (helper->card);

  if (card != NULL)
    vm_plugs_net_said (sup->plugs, card, NULL);
}

static gboolean
helper_said (int fd, GIOCondition condition, gpointer data)
{
  VmNetHelper *helper = data;
  gboolean was_ready = helper->is_ready;
  char bytes[HEARD_ROOM];

  for (guint i = 0; i < HEARD_AT_ONCE; i++) {
    ssize_t n = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      break;
    if (n <= 0) { /* the keeper, too, has gone */
      helper->tag = 0;
      helper->up = FALSE;
      return G_SOURCE_REMOVE;
    }
    take (helper, bytes, (gsize)n);
  }
  if (!was_ready && helper->is_ready)
    tell_ready (helper);
  return G_SOURCE_CONTINUE;
}

/* Beginning and end */

static void
free_helper (gpointer data)
{
  VmNetHelper *helper = data;

  while (!g_queue_is_empty (helper->questions))
    answer (g_queue_pop_head (helper->questions), NULL);
  g_queue_free (helper->questions);
  if (helper->tag != 0)
    g_source_remove (helper->tag);
  vm_fd_clear (&helper->fd);
  for (guint i = 0; i < VM_NIC_PASSED; i++)
    vm_fd_clear (&helper->passed[i]);
  g_free (helper->card);
  g_free (helper);
}

/* Its numbers begin with milliseconds, so that an answer to the supervisor before us is none to us. */
static VmNetHelpers *
get_all (VmSupervisor *sup)
{
  if (sup->net == NULL) {
    sup->net = g_new0 (VmNetHelpers, 1);
    sup->net->sup = sup;
    sup->net->serial = (guint)(g_get_monotonic_time () / 1000 % G_MAXINT32);
    sup->net->changes = g_queue_new ();
    sup->net->list = g_ptr_array_new_with_free_func (free_helper);
  }
  return sup->net;
}

VmNetHelper *
vm_net_helper_add (VmSupervisor *sup, const char *card, int take_fd)
{
  const int room = 1 << 20;
  VmNetHelper *helper = g_new0 (VmNetHelper, 1);

  helper->all = get_all (sup);
  helper->card = g_strdup (card);
  helper->fd = take_fd;
  helper->down = take_fd < 0;
  helper->questions = g_queue_new ();
  for (guint i = 0; i < VM_NIC_PASSED; i++)
    helper->passed[i] = -1;
  g_ptr_array_add (helper->all->list, helper);
  if (take_fd < 0)
    return helper;
  (void)setsockopt (take_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room); /* as much as the kernel gives */
  helper->tag = g_unix_fd_add (take_fd, G_IO_IN | G_IO_HUP, helper_said, helper);
  return helper;
}

void
vm_supervisor_close_net (VmSupervisor *sup)
{
  VmNetHelpers *all = g_steal_pointer (&sup->net);

  if (all == NULL)
    return;
  vm_net_refuse_changes (all, "the sandbox's network has ended; nothing was changed");
  g_ptr_array_unref (all->list);
  g_queue_free (all->changes);
  g_free (all);
}

void
vm_net_helper_remove (VmNetHelper *helper)
{
  VmNetHelpers *all = helper->all;

  if (all->list->len == 1) {
    vm_supervisor_close_net (all->sup);
    return;
  }
  (void)g_ptr_array_remove (all->list, helper);
  vm_net_settle (all);
}

VmNetHelper *
vm_net_helper_find (VmSupervisor *sup, const char *card)
{
  for (guint i = 0; sup->net != NULL && i < sup->net->list->len; i++) {
    VmNetHelper *helper = g_ptr_array_index (sup->net->list, i);

    if (g_strcmp0 (helper->card, card) == 0)
      return helper;
  }
  return NULL;
}

/* What it is given */

gboolean
vm_net_make_frames (int ret_ends[2], GError **error)
{
  const int room = 4 << 20;

  if (!vm_fd_socketpair (SOCK_DGRAM, ret_ends, error))
    return FALSE;
  for (guint i = 0; i < 2; i++) /* as much of it as the kernel gives */
    (void)setsockopt (ret_ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return TRUE;
}

int
vm_net_open_log (VmSupervisor *sup, GError **error)
{
  int fd = openat (sup->state_fd, "net.log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    vm_error_errno (error, errno, "cannot open net.log");
  return fd;
}
