/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/acts-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-net.h"

enum {
  RELEASE_WAIT_MS = 15000, /* for the guest to let a device go */
  REFUSALS_MAX = 8,        /* memory that a guest is still taking into use is busy for a moment ... */
  REFUSED_WAIT_MS = 400,   /* ... so it is asked again after this */
  LOST_WAIT_MS = 4000,     /* a wish that can get lost is said again after this */
  RESULT_MAX = 200,
  BALLOON_LOOK_MS = 100,
  BALLOON_IDLE = 20, /* looks without a change: the guest has done what it can */
};

/* ACPI: what a guest says to the wish to take something away (ACPI 6.4, _OST). */
enum { OST_EJECT = 3, OST_EJECT_BY_OS = 0x103, OST_FAILURES = 0x80, OST_IN_PROGRESS = 0x84 };

VmActs *
vm_acts_new (VmSupervisor *sup)
{
  VmActs *acts = g_new0 (VmActs, 1);

  acts->sup = sup;
  acts->fd = -1;
  return acts;
}

static void
clear_act (VmActs *acts)
{
  if (acts->timer != 0)
    g_source_remove (acts->timer);
  acts->timer = 0;
  acts->asks_keeper = acts->is_gone = acts->is_asked = acts->is_refused = acts->repeats = FALSE;
  acts->change = acts->refusals = acts->said = 0;
  acts->wanted = acts->reached = 0;
  acts->idle = 0;
  acts->cancels_jobs = FALSE;
  acts->done = NULL;
  acts->serial++;
  g_clear_pointer (&acts->awaits, g_free);
  g_clear_pointer (&acts->card, g_free);
  g_clear_pointer (&acts->jobs, g_strfreev);
}

void
vm_acts_free (VmActs *acts)
{
  if (acts == NULL)
    return;
  clear_act (acts);
  vm_fd_clear (&acts->fd);
  g_free (acts);
}

void
vm_acts_forget_descriptor (VmActs *acts)
{
  vm_fd_clear (&acts->fd);
}

void
vm_acts_finish (VmActs *acts, GError *error, const char *result)
{
  VmActDone done = acts->done;
  gpointer data = acts->data;

  clear_act (acts);
  if (done != NULL)
    done (error, result, data);
  g_clear_error (&error);
}

void
vm_acts_fail (VmActs *acts, VmErrorCode code, const char *format, ...)
{
  GError *error = NULL;
  va_list ap;

  va_start (ap, format);
  error = g_error_new_valist (VM_ERROR, (int)code, format, ap);
  va_end (ap);
  vm_acts_finish (acts, error, NULL);
}

static gboolean
timed_out (gpointer data)
{
  VmActs *acts = data;

  acts->timer = 0;
  if (acts->asks_keeper)
    acts->strays++;
  if (acts->awaits != NULL)
    vm_acts_fail (acts, VM_ERROR_TIMEOUT, "the guest has not released it in %d s; is it in use?",
                  RELEASE_WAIT_MS / 1000);
  else
    vm_acts_fail (acts, VM_ERROR_TIMEOUT, "%s did not answer in %d s",
                  acts->asks_keeper    ? "the keeper"
                  : acts->card != NULL ? "the network's helper"
                                       : "the agent",
                  VM_ACT_WAIT_MS / 1000);
  return G_SOURCE_REMOVE;
}

static void
wait_for (VmActs *acts, guint ms)
{
  acts->timer = g_timeout_add (ms, timed_out, acts);
}

/* QEMU */

static gboolean ask_balloon (gpointer data);
static gboolean ask_again (gpointer data);

static gboolean
nothing_said (gpointer data)
{
  VmActs *acts = data;

  return ++acts->said * LOST_WAIT_MS < RELEASE_WAIT_MS ? ask_again (acts) : timed_out (acts);
}

static void
device_may_have_gone (VmActs *acts)
{
  if (!acts->is_asked)
    return;
  if (acts->is_gone)
    vm_acts_finish (acts, NULL, NULL);
  else if (acts->timer == 0 && acts->repeats)
    acts->timer = g_timeout_add (LOST_WAIT_MS, nothing_said, acts);
  else if (acts->timer == 0)
    wait_for (acts, RELEASE_WAIT_MS);
}

static void
qemu_answered (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree VmActAsked *asked = data;
  VmActs *acts = asked->acts;
  gboolean is_gone;

  if (asked->serial != acts->serial)
    return;
  is_gone = g_error_matches (error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND);
  /* To a wish that is said again QEMU may answer that it is at it. */
  if (acts->awaits != NULL && (error == NULL || is_gone || acts->said > 0)) {
    acts->is_asked = TRUE;
    acts->is_gone |= is_gone;
    device_may_have_gone (acts);
    return;
  }
  if (error == NULL && acts->wanted != 0)
    (void)ask_balloon (acts);
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_ACTIVE))
    vm_acts_fail (
        acts, VM_ERROR_UNSUPPORTED,
        "the machine has no balloon, so the memory that it began with stays; start it with less: vmctl up "
        "--memory");
  else
    vm_acts_finish (acts, error != NULL ? g_error_copy (error) : NULL, NULL);
}

/* The balloon: the guest gives back what it can, and the result says how much is left to it */

static void balloon_answered (QmpClient *client, json_object *ret, json_object *reply, const GError *error,
                              gpointer data);

static gboolean
ask_balloon (gpointer data)
{
  VmActs *acts = data;
  VmActAsked *asked = g_new (VmActAsked, 1);

  acts->timer = 0;
  *asked = (VmActAsked){.acts = acts, .serial = acts->serial};
  qmp_client_send (acts->sup->qmp, "query-balloon", NULL, NULL, 0, VM_ACT_WAIT_MS, balloon_answered, asked);
  return G_SOURCE_REMOVE;
}

static void
balloon_answered (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree VmActAsked *asked = data;
  VmActs *acts = asked->acts;
  g_autofree char *text = NULL;
  gint64 actual;

  if (asked->serial != acts->serial)
    return;
  if (error != NULL) {
    vm_acts_finish (acts, g_error_copy (error), NULL);
    return;
  }
  actual = vm_json_int (ret, "actual", 0);
  acts->idle = actual == acts->reached ? acts->idle + 1 : 0;
  acts->reached = actual;
  if (actual != acts->wanted && acts->idle < BALLOON_IDLE) {
    acts->timer = g_timeout_add (BALLOON_LOOK_MS, ask_balloon, acts);
    return;
  }
  text = g_strdup_printf ("%" G_GINT64_FORMAT, actual >> 20);
  vm_acts_finish (acts, NULL, text);
}

static void
send_to_qemu (VmActs *acts, const char *command, json_object *take_arguments, gboolean passes)
{
  VmActAsked *asked = g_new (VmActAsked, 1);

  *asked = (VmActAsked){.acts = acts, .serial = acts->serial};
  qmp_client_send (acts->sup->qmp, command, take_arguments, &acts->fd, passes ? 1 : 0, VM_ACT_WAIT_MS,
                   qemu_answered, asked);
}

static gboolean
ask_again (gpointer data)
{
  VmActs *acts = data;
  json_object *arguments = json_object_new_object ();

  acts->timer = 0;
  acts->is_refused = FALSE;
  vm_json_add_str (arguments, "id", acts->awaits);
  send_to_qemu (acts, "device_del", arguments, FALSE);
  return G_SOURCE_REMOVE;
}

static void
refused (VmActs *acts)
{
  if (++acts->refusals == REFUSALS_MAX || acts->sup->qmp == NULL) {
    vm_acts_fail (acts, VM_ERROR_BUSY, "the guest refuses to release it; is it in use?");
    return;
  }
  if (acts->timer != 0)
    g_source_remove (acts->timer);
  acts->is_asked = FALSE;
  acts->is_refused = TRUE;
  acts->timer = g_timeout_add (REFUSED_WAIT_MS, ask_again, acts);
}

static void
ask_qemu (VmActs *acts, json_object *act, const char *command, json_object *arguments)
{
  gboolean passes = vm_json_bool (act, "descriptor", FALSE);

  if (acts->sup->qmp == NULL || (passes && acts->fd < 0)) {
    vm_acts_fail (acts, VM_ERROR_FAILED,
                  passes ? "nothing was opened that could be passed" : "QEMU's monitor is lost");
    return;
  }
  if (vm_json_str (act, "awaits", NULL) != NULL)
    acts->awaits = g_strdup (vm_json_str (arguments, "id", ""));
  acts->repeats = vm_json_bool (act, "repeats", FALSE);
  if (g_str_equal (command, "balloon"))
    acts->wanted = vm_json_int (arguments, "value", 0);
  send_to_qemu (acts, command, json_object_get (arguments), passes);
}

static gboolean
is_refusal (const char *name, json_object *event_data)
{
  json_object *info = vm_json_object (event_data, "info");
  gint64 source = vm_json_int (info, "source", 0), status = vm_json_int (info, "status", 0);

  if (g_str_equal (name, "DEVICE_UNPLUG_GUEST_ERROR") || g_str_equal (name, "MEM_UNPLUG_ERROR"))
    return TRUE;
  return g_str_equal (name, "ACPI_DEVICE_OST") && (source == OST_EJECT || source == OST_EJECT_BY_OS) &&
         status >= OST_FAILURES && status < OST_IN_PROGRESS;
}

static const char *
device_of (json_object *event_data)
{
  const char *device = vm_json_str (event_data, "device", NULL);

  return device != NULL ? device : vm_json_str (vm_json_object (event_data, "info"), "device", NULL);
}

void
vm_acts_event (VmActs *acts, const char *name, json_object *event_data)
{
  if (acts->jobs != NULL && g_str_equal (name, "JOB_STATUS_CHANGE"))
    vm_acts_job_changed (acts, event_data);
  if (acts->awaits == NULL || g_strcmp0 (device_of (event_data), acts->awaits) != 0)
    return;
  if (g_str_equal (name, "DEVICE_DELETED")) {
    acts->is_gone = TRUE;
    device_may_have_gone (acts);
  } else if (is_refusal (name, event_data) && !acts->is_refused) {
    refused (acts);
  }
}

/* The keeper: words, each ended by NUL but the last */

static void
append_words (GByteArray *bytes, const char *command, json_object *words)
{
  g_byte_array_append (bytes, (const guint8 *)command, (guint)strlen (command) + 1);
  for (gsize i = 0; i < json_object_array_length (words); i++) {
    const char *word = json_object_get_string (json_object_array_get_idx (words, i));

    g_byte_array_append (bytes, (const guint8 *)word, (guint)strlen (word) + 1);
  }
}

static const char *
first_word (json_object *words)
{
  const char *word = json_object_get_string (json_object_array_get_idx (words, 0));

  return word != NULL ? word : "";
}

static void
ask_keeper (VmActs *acts, json_object *act, const char *command, json_object *words)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  int keeper = acts->sup->keeper_fd;
  gssize n;

  append_words (bytes, command, words);
  if (vm_json_bool (act, "descriptors", FALSE))
    n = vm_supervisor_pass_nic (acts->sup, first_word (words), bytes->data, bytes->len - 1);
  else if (vm_json_bool (act, "descriptor", FALSE))
    n = vm_fd_send (keeper, bytes->data, bytes->len - 1, &acts->fd, 1);
  else
    n = send (keeper, bytes->data, bytes->len - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    vm_acts_fail (acts, VM_ERROR_FAILED, "cannot ask the keeper: %s", g_strerror (errno));
    return;
  }
  acts->asks_keeper = TRUE;
  wait_for (acts, VM_ACT_WAIT_MS);
}

void
vm_acts_keeper_said (VmActs *acts, const char *text)
{
  if (acts->strays > 0) {
    acts->strays--;
    return;
  }
  if (!acts->asks_keeper)
    return;
  if (g_str_equal (text, "ok"))
    vm_acts_finish (acts, NULL, NULL);
  else
    vm_acts_fail (acts, VM_ERROR_FAILED, "%s",
                  g_str_has_prefix (text, "error ") ? text + strlen ("error ") : text);
}

/* The agent */

static void
ask_agent (VmActs *acts, const char *command, json_object *words)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();

  if (acts->sup->agent == NULL || !acts->sup->agent_up) {
    vm_acts_fail (acts, VM_ERROR_FAILED, "the agent inside is not there");
    return;
  }
  acts->last_change = MAX (acts->last_change + 1, 1);
  acts->change = acts->last_change;
  g_byte_array_set_size (payload, 4);
  frame_put_u32 (payload->data, acts->change);
  append_words (payload, command, words);
  if (payload->len > FRAME_PAYLOAD_MAX) {
    vm_acts_fail (acts, VM_ERROR_USAGE, "the path is too long");
    return;
  }
  wait_for (acts, VM_ACT_WAIT_MS);
  vm_link_send (acts->sup->agent, FRAME_CHANGE, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload->data,
                payload->len);
}

void
vm_acts_agent_said (VmActs *acts, const FrameHeader *header, const guint8 *payload)
{
  g_autofree char *text = NULL;
  guint32 code;

  if (header->length < 8 || acts->change == 0 || frame_get_u32 (payload) != acts->change)
    return;
  code = frame_get_u32 (payload + 4);
  text = vm_escape_terminal ((const char *)payload + 8, (gssize)header->length - 8, RESULT_MAX);
  if (code == 0)
    vm_acts_finish (acts, NULL, *text != '\0' ? text : NULL);
  else
    vm_acts_fail (acts, VM_ERROR_FAILED, "inside: %s%s%s",
                  code < 4096 ? g_strerror ((int)code) : "a nameless error", *text != '\0' ? "; " : "", text);
}

/* vmctl-net */

static void
await_net (VmActs *acts, const char *card)
{
  if (vm_supervisor_nic_is_ready (acts->sup, card)) {
    vm_acts_finish (acts, NULL, NULL);
    return;
  }
  acts->card = g_strdup (card);
  wait_for (acts, VM_ACT_WAIT_MS);
}

void
vm_acts_net_said (VmActs *acts, const char *card, const char *problem)
{
  if (g_strcmp0 (acts->card, card) != 0)
    return;
  if (problem == NULL)
    vm_acts_finish (acts, NULL, NULL);
  else
    vm_acts_fail (acts, VM_ERROR_FAILED, "%s", problem);
}

void
vm_acts_give_up (VmActs *acts, const char *why)
{
  if (acts->done != NULL)
    vm_acts_fail (acts, VM_ERROR_FAILED, "%s", why);
}

/* All of them */

void
vm_acts_run (VmActs *acts, json_object *act, VmActDone done, gpointer data)
{
  const char *at = vm_json_str (act, "at", ""), *command = vm_json_str (act, "command", "");
  json_object *arguments = json_object_object_get (act, "arguments");
  gboolean are_words = json_object_is_type (arguments, json_type_array);
  GError *error = NULL;

  acts->done = done;
  acts->data = data;
  if (g_str_equal (at, "qmp"))
    ask_qemu (acts, act, command, arguments);
  else if (g_str_equal (at, "job"))
    vm_acts_follow_jobs (acts, command, arguments);
  else if (g_str_equal (at, "copy"))
    vm_acts_copy (acts, command, arguments);
  else if (g_str_equal (at, "keeper") && are_words)
    ask_keeper (acts, act, command, arguments);
  else if (g_str_equal (at, "net") && are_words)
    await_net (acts, first_word (arguments));
  else if (g_str_equal (at, "agent") && are_words)
    ask_agent (acts, command, arguments);
  else if (g_str_equal (at, "here")) {
    (void)vm_acts_do_here (acts->sup, command, arguments, &acts->fd, &error);
    vm_acts_finish (acts, error, NULL);
  } else
    vm_acts_fail (acts, VM_ERROR_INVALID, "an act that this vmctl does not know");
}
