/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's part of a sandbox's network: what vmctl-net is given, what it says, and what became of it.
 *
 * How it works
 *
 * Each vmctl-net says hello and is told the policy; it passes nothing before. Changes are made one after the
 * other: the text is sent, and what vmctl-net took is put on record. One that starts in between is told what
 * the one before was told last. After a take-over the record is what counts.
 *
 * There is one for each network card. All are told a change, and when one of them does not take it the others
 * get back what they had. */
#include "vmctl/supervisor-net-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/net-words.h"
#include "vmctl/supervisor-plug.h"

enum {
  RESOLV_CONF_MAX = 65536,
  CHANGE_MS = 5000,
  REFUSALS_PER_SECOND = 50, /* more than it sends */
};

static void start_change (VmNetHelpers *all);

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
tell (VmNetHelper *helper, const VmNetState *state, GError **error)
{
  g_autofree char *text = text_of (state, error), *message = NULL;
  guint line = 0;

  if (text == NULL)
    return FALSE;
  if (!vm_net_text_check (text, &line))
    return vm_error (error, VM_ERROR_INVALID, "the network's rules are not sound (line %u)", line);
  helper->serial = ++helper->all->serial;
  message = g_strdup_printf ("policy %u\n%s", helper->serial, text);
  return vm_net_helper_say (helper, message, error);
}

void
vm_net_tell_current (VmNetHelper *helper)
{
  VmNetHelpers *all = helper->all;
  const VmNetState now = state_of (all->sup);
  g_autoptr (GError) error = NULL;

  if (!tell (helper, all->change != NULL ? &all->changed : &now, &error))
    vm_log_line (all->sup->log, "net: %s", error->message);
}

static VmNetHelper *
nth (const VmNetHelpers *all, guint i)
{
  return g_ptr_array_index (all->list, i);
}

/* Changes */

static void
free_change (VmNetChange *change)
{
  json_object_put (change->arguments);
  g_free (change);
}

static void
refuse_change (VmNetChange *change, const char *why)
{
  qmp_request_error (g_steal_pointer (&change->request), "GenericError", "%s", why);
  free_change (change);
}

static void
clear_change (VmNetHelpers *all)
{
  if (all->timer != 0)
    g_source_remove (all->timer);
  all->timer = 0;
  for (guint i = 0; i < all->list->len; i++)
    nth (all, i)->owes = FALSE;
  vm_net_state_clear (&all->changed);
}

void
vm_net_refuse_changes (VmNetHelpers *all, const char *why)
{
  if (all->change != NULL)
    refuse_change (g_steal_pointer (&all->change), why);
  clear_change (all);
  while (!g_queue_is_empty (all->changes))
    refuse_change (g_queue_pop_head (all->changes), why);
}

void
vm_net_put_on_record (VmSupervisor *sup, const VmNetState *state)
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
change_done (VmNetHelpers *all)
{
  VmNetChange *change = g_steal_pointer (&all->change);

  vm_net_put_on_record (all->sup, &all->changed);
  qmp_request_return (g_steal_pointer (&change->request), vm_net_state_to_json (&all->changed));
  free_change (change);
  clear_change (all);
  start_change (all);
}

/* One that has taken it, or may still come to it, is told the old one behind that. */
static void
change_failed (VmNetHelpers *all, const char *why)
{
  VmNetChange *change = g_steal_pointer (&all->change);

  for (guint i = 0; i < all->list->len; i++)
    if (nth (all, i)->up)
      vm_net_tell_current (nth (all, i));
  refuse_change (change, why);
  clear_change (all);
  start_change (all);
}

static gboolean
change_late (gpointer data)
{
  VmNetHelpers *all = data;

  all->timer = 0;
  change_failed (all, "the network's helper does not answer; nothing was changed");
  return G_SOURCE_REMOVE;
}

static gboolean
is_alive (const VmNetHelpers *all)
{
  for (guint i = 0; all != NULL && i < all->list->len; i++)
    if (!nth (all, i)->down)
      return TRUE;
  return FALSE;
}

void
vm_net_settle (VmNetHelpers *all)
{
  if (all->change == NULL)
    return;
  for (guint i = 0; i < all->list->len; i++)
    if (nth (all, i)->owes)
      return;
  if (is_alive (all))
    change_done (all);
  else
    change_failed (all, "the sandbox's network has ended; nothing was changed");
}

/* One that is just starting is told by hello. */
static gboolean
tell_change (VmNetHelpers *all, const VmNetState *now, GError **error)
{
  for (guint i = 0; i < all->list->len; i++) {
    VmNetHelper *helper = nth (all, i);

    helper->owes = !helper->down;
    if (!helper->up || tell (helper, &all->changed, error))
      continue;
    while (i-- > 0)
      if (nth (all, i)->up)
        (void)tell (nth (all, i), now, NULL);
    return FALSE;
  }
  return TRUE;
}

/* The next one that waits. */
static void
start_change (VmNetHelpers *all)
{
  while (all->change == NULL && !g_queue_is_empty (all->changes)) {
    const VmNetState now = state_of (all->sup);
    g_autoptr (GError) error = NULL;

    all->change = g_queue_pop_head (all->changes);
    if (vm_net_change (&now, all->change->arguments, &all->changed, &error) &&
        tell_change (all, &now, &error)) {
      all->timer = g_timeout_add (CHANGE_MS, change_late, all);
      return;
    }
    refuse_change (g_steal_pointer (&all->change), error->message);
    clear_change (all);
  }
}

const char *
vm_supervisor_net_problem (VmSupervisor *sup)
{
  if (sup->plan->net == VM_NET_HOST)
    return "the sandbox shares this host's network (--net host), which nobody judges; start it with another "
           "--net";
  if (sup->plan->net == VM_NET_NONE)
    return sup->plan->isolation == VM_ISOLATION_VM
               ? "the sandbox was started without a network (--net none); give it a card: vmctl plug SANDBOX "
                 "nic "
                 "allow:LIST"
               : "the sandbox was started without a network (--net none); start it with a list: --net "
                 "allow:LIST";
  if (!vm_driver_has_helper (sup->plan, sup->driver->net))
    return "this driver has the host's own network, which nobody judges";
  if (!is_alive (sup->net))
    return "the sandbox's network has ended; restart it: vmctl restart";
  return NULL;
}

void
vm_supervisor_change_net (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  const char *problem = vm_supervisor_net_problem (sup);
  VmNetChange *change;

  if (problem != NULL) {
    qmp_request_error (take_request, "GenericError", "%s", problem);
    return;
  }
  change = g_new0 (VmNetChange, 1);
  change->arguments = arguments != NULL ? json_object_get (arguments) : NULL;
  change->request = take_request;
  g_queue_push_tail (sup->net->changes, change);
  start_change (sup->net);
}

/* What it says */

static void
heard_refused (VmNetHelpers *all, json_object *take_object)
{
  gint64 second = g_get_monotonic_time () / G_USEC_PER_SEC;

  if (all->second != second) {
    all->second = second;
    all->refusals = 0;
  }
  if (all->refusals++ < REFUSALS_PER_SECOND)
    vm_supervisor_emit (all->sup, "SANDBOX_NET_REFUSED", take_object);
  else
    json_object_put (take_object);
}

static void
heard_ok (VmNetHelper *helper)
{
  helper->is_ready = TRUE;
  helper->owes = FALSE;
  vm_net_settle (helper->all);
}

static void
heard_bad (VmNetHelper *helper, const VmNetHeard *heard)
{
  VmNetHelpers *all = helper->all;

  vm_log_line (all->sup->log, "net: the helper refused the policy, line %u", heard->line);
  if (heard->serial != helper->serial)
    return;
  if (all->change != NULL && helper->owes)
    change_failed (all, "the network's helper refused the rules; nothing was changed");
  else
    vm_supervisor_warn (all->sup,
                        "the network's helper refused the rules: what they do not allow any more may "
                        "still be reached, or nothing at all; restart the sandbox");
}

void
vm_net_helper_said (VmNetHelper *helper, VmNetHeard *take_what)
{
  switch (take_what->kind) {
  case VM_NET_HEARD_HELLO:
    helper->up = TRUE;
    helper->is_ready = FALSE;
    vm_net_tell_current (helper);
    break;
  case VM_NET_HEARD_OK:
    if (take_what->serial == helper->serial)
      heard_ok (helper);
    break;
  case VM_NET_HEARD_BAD:
    heard_bad (helper, take_what);
    break;
  case VM_NET_HEARD_REFUSED:
    heard_refused (helper->all, g_steal_pointer (&take_what->object));
    break;
  case VM_NET_HEARD_STATS: /* whoever has asked has it */
  case VM_NET_HEARD_NONSENSE:
    break;
  }
  vm_net_heard_clear (take_what);
}

/* Beginning and end */

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
  vm_supervisor_close_net (sup);
  (void)vm_net_helper_add (sup, NULL, copy);
  return TRUE;
}

static gboolean
bind_log (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  int fd = vm_net_open_log (sup, error);

  if (fd >= 0)
    vm_argv_bind (argv, "net-log", fd);
  return fd >= 0;
}

static gboolean
bind_frames (VmArgv *argv, GError **error)
{
  int ends[2];

  if (!vm_net_make_frames (ends, error))
    return FALSE;
  vm_argv_bind (argv, "packet", ends[0]);
  vm_argv_bind (argv, "nic", ends[1]);
  return TRUE;
}

gboolean
vm_supervisor_bind_net (VmSupervisor *sup, VmArgv *argv, GError **error)
{
  sup->began_without_net = !vm_driver_has_helper (sup->plan, sup->driver->net);
  if (sup->began_without_net)
    return TRUE;
  if (sup->driver->net == VM_KEEPER_NET_FRAMES && !bind_frames (argv, error))
    return FALSE;
  return bind_control (sup, argv, error) && bind_log (sup, argv, error);
}

void
vm_supervisor_take_over_net (VmSupervisor *sup)
{
  VmRecord *record = sup->record;
  VmNetHelper *helper;
  int fd;

  sup->began_without_net = !vm_driver_has_helper (sup->plan, sup->driver->net);
  if (record->net != NULL && vm_net_from_name (record->net, &sup->plan->net)) {
    g_strfreev (sup->plan->net_rules);
    sup->plan->net_rules = g_strdupv (record->net_rules);
  }
  if (sup->began_without_net)
    return;
  fd = vm_supervisor_ask_keeper (sup, "net", NULL);
  if (fd < 0)
    return; /* changes are refused */
  helper = vm_net_helper_add (sup, NULL, fd);
  helper->up = TRUE; /* or it says hello when it is */
  vm_net_tell_current (helper);
}

/* "restarted signal 9", "down status 1" */
static void
helper_ended (VmSupervisor *sup, const char *card, const char *text)
{
  const char *how = strchr (text, ' ');
  gboolean again = g_str_has_prefix (text, "restarted ");
  VmNetHelper *helper = vm_net_helper_find (sup, card);
  g_autofree char *of = card != NULL ? g_strdup_printf (" of the card '%s'", card) : g_strdup ("");
  g_autofree char *warning = NULL;

  if (how == NULL)
    return;
  if (helper != NULL)
    helper->down = !again; /* the next one has perhaps said hello already */
  if (again)
    warning = g_strdup_printf ("the network's helper%s ended (%s) and was started again; connections that "
                               "were open are cut",
                               of, how + 1);
  else
    warning =
        g_strdup_printf ("the network's helper%s ended (%s): the sandbox has no network any more%s; see "
                         "vmctl logs --supervisor %s",
                         of, how + 1, card != NULL ? " by that card" : "", sup->plan->id);
  vm_supervisor_warn (sup, warning);
  if (again || helper == NULL)
    return;
  helper->up = helper->owes = FALSE;
  vm_net_settle (helper->all);
  if (card != NULL) /* the last thing, since it may take the card away */
    vm_plugs_net_said (sup->plugs, card, warning);
}

void
vm_supervisor_net_said (VmSupervisor *sup, const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 3);

  vm_log_line (sup->log, "the keeper says: %s", text);
  if (g_str_equal (words[0], "net"))
    helper_ended (sup, NULL, text + strlen ("net "));
  else if (g_strv_length (words) == 3)
    helper_ended (sup, words[1], words[2]);
}
