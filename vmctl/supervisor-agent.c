/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's connection: greeting, entropy, clock, set-up, and what it says on channel 0. All of it comes
 * from the guest and is believed for nothing but this sandbox. */
#include "vmctl/supervisor-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/supervisor-plug.h"

enum {
  SEED_BYTES = 64,
  TEXT_MAX = 4096,
  LOST_WAIT_MS = 5000,
  GREET_WAIT_MS = 1000,
  AWAY_MIN_MS = 100,
  AWAY_MAX_MS = 10000,
  STATUS_KILLED = 128 + 9,
  BUNDLE_MAX = FRAME_PAYLOAD_MAX - FRAME_FIELD_HEADER
};

static void
send_hello (VmLink *link)
{
  guint8 payload[8];

  frame_put_u32 (payload, FRAME_VERSION);
  frame_put_u32 (payload + 4, 0);
  vm_link_send (link, FRAME_HELLO, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload, sizeof payload);
}

static void
send_seed (VmLink *link)
{
  guint8 seed[SEED_BYTES];

  if (getentropy (seed, sizeof seed) == 0)
    vm_link_send (link, FRAME_SEED, FRAME_CHANNEL_CONTROL, FRAME_STDIN, seed, sizeof seed);
}

static void
send_clock (VmLink *link)
{
  struct timespec now;
  guint8 payload[16] = {0};

  (void)clock_gettime (CLOCK_REALTIME, &now);
  frame_put_u64 (payload, (guint64)now.tv_sec);
  frame_put_u32 (payload + 8, (guint32)now.tv_nsec);
  vm_link_send (link, FRAME_CLOCK, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload, sizeof payload);
}

/* What of the meta dir is to be read at once goes along, as far as it fits: in a virtual machine a file
 * costs. */
static void
send_setup (VmSupervisor *sup)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  g_autofree char *read = NULL;
  const void *bundle = NULL;
  gsize length = 0;

  if (sup->bundle != NULL)
    bundle = g_bytes_get_data (sup->bundle, &length);
  else
    bundle = read = vm_file_read (sup->runtime_fd, "meta/bundle", BUNDLE_MAX, &length, NULL);
  if (bundle != NULL && length <= BUNDLE_MAX)
    vm_link_append_field (payload, FRAME_TAG_META, bundle, length);
  vm_link_send (sup->agent, FRAME_SETUP, FRAME_CHANNEL_CONTROL, FRAME_STDIN, payload->data, payload->len);
}

static void
agent_is_up (VmSupervisor *sup)
{
  if (sup->boot_timer != 0)
    g_source_remove (sup->boot_timer);
  sup->boot_timer = 0;
  sup->agent_up = TRUE;
  vm_record_stamp (sup->record, VM_STAMP_UP);
  if (sup->record->started == 0)
    sup->record->started = g_get_real_time ();
  if (sup->record->state == VM_STATE_STARTING) {
    vm_supervisor_step (sup, "up");
    vm_supervisor_set_state (sup, VM_STATE_RUNNING);
    vm_supervisor_template_up (sup);
  }
  vm_supervisor_watch_agent (sup);
  vm_forwards_set_agent (sup->forwards, sup->agent);
  if (!vm_plugs_hold_command (sup->plugs))
    vm_control_agent_up (sup);
  vm_plugs_agent_up (sup->plugs);
  vm_supervisor_open_window (sup);
  vm_supervisor_agent_can_stop (sup);
}

void
vm_supervisor_release_command (VmSupervisor *sup)
{
  vm_sessions_set_agent (sup->sessions, sup->agent);
  vm_supervisor_step_on_record (sup,
                                "plugged"); /* who comes after us knows that the command has been started */
  vm_control_agent_up (sup);
}

static void
agent_hello (VmSupervisor *sup, const FrameHeader *header, const guint8 *payload)
{
  guint32 flags;

  if (header->length != 8 || frame_get_u32 (payload) != FRAME_VERSION) {
    vm_supervisor_stop (sup, VM_REASON_AGENT_BROKEN, "it speaks another version of the protocol",
                        VM_STOP_QUIT, 0);
    return;
  }
  if (sup->agent_hello) {
    vm_supervisor_stop (sup, VM_REASON_AGENT_BROKEN, "it said hello twice", VM_STOP_QUIT, 0);
    return;
  }
  sup->agent_hello = TRUE;
  vm_record_stamp (sup->record, VM_STAMP_GREETED);
  vm_supervisor_resumed (sup);
  flags = frame_get_u32 (payload + 4);
  vm_log_line (sup->log, "agent says hello, flags %u", flags);
  send_hello (sup->agent);
  send_seed (sup->agent);
  send_clock (sup->agent);
  if ((flags & FRAME_HELLO_UP) == 0) {
    vm_supervisor_step (sup, "setup");
    send_setup (sup);
  }
  if (!vm_plugs_hold_command (sup->plugs))
    vm_sessions_set_agent (sup->sessions, sup->agent);
  vm_relays_set_agent (sup->relays, sup->agent);
  if ((flags & FRAME_HELLO_UP) != 0)
    agent_is_up (sup);
}

static void
agent_control (VmSupervisor *sup, const FrameHeader *header, const guint8 *payload)
{
  g_autofree char *text = vm_escape_terminal ((const char *)payload, header->length, TEXT_MAX);

  switch ((FrameType)header->type) {
  case FRAME_HELLO:
    agent_hello (sup, header, payload);
    break;
  case FRAME_UP:
    if (header->length == 16)
      vm_log_line (sup->log,
                   "agent up: setup at %" G_GUINT64_FORMAT " us, done at %" G_GUINT64_FORMAT
                   " us of its life",
                   frame_get_u64 (payload), frame_get_u64 (payload + 8));
    agent_is_up (sup);
    break;
  case FRAME_FAILED:
    vm_log_line (sup->log, "agent failed: %s", text);
    vm_supervisor_stop (sup, VM_REASON_AGENT_FAILED, text, VM_STOP_QUIT, 0);
    break;
  case FRAME_LOG:
    vm_log_line (sup->log, "agent: %s", text);
    break;
  case FRAME_PONG:
    vm_supervisor_agent_answered (sup);
    break;
  case FRAME_CHANGED:
    vm_plugs_agent_said (sup->plugs, header, payload);
    break;
  case FRAME_SEED:
  case FRAME_CLOCK:
  case FRAME_SETUP:
  case FRAME_PING:
  case FRAME_POWEROFF:
  case FRAME_OPEN:
  case FRAME_STARTED:
  case FRAME_DATA:
  case FRAME_EOF:
  case FRAME_CREDIT:
  case FRAME_SIGNAL:
  case FRAME_RESIZE:
  case FRAME_EXIT:
  case FRAME_CLOSE:
  case FRAME_RELAY_OPEN:
  case FRAME_CHANGE:
  case FRAME_FORWARD_OPEN:
  default:
    vm_supervisor_stop (sup, VM_REASON_AGENT_BROKEN, "a frame that it may not send", VM_STOP_QUIT, 0);
  }
}

static void
agent_frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  VmSupervisor *sup = data;

  if (header->type == FRAME_STARTED && header->channel == FRAME_CHANNEL_MAIN &&
      sup->record->stamps[VM_STAMP_STARTED] == 0) {
    vm_record_stamp (sup->record, VM_STAMP_STARTED);
    vm_supervisor_template_started (sup);
  }
  if (header->channel == FRAME_CHANNEL_CONTROL)
    agent_control (sup, header, payload);
  else if (vm_relays_wants (header))
    vm_relays_frame (sup->relays, header, payload);
  else if (vm_forwards_wants (header))
    vm_forwards_frame (sup->forwards, header, payload);
  else if (sup->record->reason != VM_REASON_AGENT_FAILED)
    vm_sessions_frame (sup->sessions, header, payload); /* else it can only say that it cannot run anything */
}

static gboolean
still_lost (gpointer data)
{
  VmSupervisor *sup = data;

  sup->lost_timer = 0;
  vm_supervisor_stop (sup, VM_REASON_AGENT_BROKEN, "its connection was lost", VM_STOP_QUIT, 0);
  return G_SOURCE_REMOVE;
}

/* Of a sandbox that ends for good, once its agent has gone: nobody reads it any more, and there is time until
 * the keeper tells of the end. */
static void
remove_meta (VmSupervisor *sup)
{
  gboolean again =
      sup->again == VM_AGAIN_ASKED || (sup->again == VM_AGAIN_BY_POLICY && sup->plan->restart_max > 0);

  if (sup->stop_step != VM_STOP_NOT && !again)
    (void)vm_file_remove_tree (sup->runtime_fd, "meta", NULL); /* or with the whole directory */
}

/* Usually QEMU is ending and the keeper tells in a moment. If it is not, there is no sandbox to speak of any
 * more. */
static void
agent_closed (VmLink *link, const char *why, gpointer data)
{
  VmSupervisor *sup = data;

  vm_log_line (sup->log, "the agent's connection closed%s%s", why != NULL ? ": " : "",
               why != NULL ? why : "");
  vm_sessions_set_agent (sup->sessions, NULL);
  vm_relays_set_agent (sup->relays, NULL);
  vm_forwards_set_agent (sup->forwards, NULL);
  vm_plugs_give_up (sup->plugs, "the agent inside has gone");
  g_clear_pointer (&sup->agent, vm_link_free);
  if (sup->greet_timer != 0)
    g_source_remove (sup->greet_timer);
  sup->greet_timer = 0;
  remove_meta (sup);
  if (sup->lost_timer == 0 && sup->stop_step == VM_STOP_NOT)
    sup->lost_timer = g_timeout_add (LOST_WAIT_MS, still_lost, sup);
}

static void
agent_greeted (VmLink *link, gpointer data)
{
  VmSupervisor *sup = data;

  if (sup->greet_timer != 0)
    g_source_remove (sup->greet_timer);
  sup->greet_timer = 0;
}

static const VmLinkHandlers agent_handlers = {
    .frame = agent_frame, .closed = agent_closed, .greeted = agent_greeted};

static gboolean
connect_again (gpointer data)
{
  VmSupervisor *sup = data;
  g_autoptr (GError) error = NULL;
  int fd = vm_fd_connect_unix (sup->runtime_fd, "agent.sock", SOCK_STREAM, &error);

  sup->greet_timer = 0;
  if (fd >= 0)
    vm_supervisor_connect_agent (sup, fd);
  else
    vm_log_line (sup->log, "%s", error->message); /* QEMU is gone: the keeper tells */
  return G_SOURCE_REMOVE;
}

/* An agent greets when it sees that its host went and one came. A change that is quicker than it, or happens
 * while the machine is paused, it does not see; so the line is let go again, each time for longer. */
static gboolean
not_greeted (gpointer data)
{
  VmSupervisor *sup = data;

  vm_log_line (sup->log, "the agent does not greet; letting go of its line for %u ms", sup->away_ms);
  g_clear_pointer (&sup->agent, vm_link_free);
  sup->greet_timer = g_timeout_add (sup->away_ms, connect_again, sup);
  sup->away_ms = MIN (sup->away_ms * 2, AWAY_MAX_MS);
  return G_SOURCE_REMOVE;
}

void
vm_supervisor_connect_agent (VmSupervisor *sup, int take_fd)
{
  sup->agent_hello = FALSE;
  sup->agent = vm_link_new (take_fd, TRUE, &agent_handlers, sup);
  if (!vm_driver_pauses_itself (sup->driver) && sup->record->state == VM_STATE_PAUSED)
    return; /* it is frozen, and sees us as soon as it goes on */
  if (!sup->adopted)
    return; /* a booting agent comes when it comes; boot_timer waits for it */
  sup->away_ms = MAX (sup->away_ms, AWAY_MIN_MS);
  sup->greet_timer = g_timeout_add (GREET_WAIT_MS, not_greeted, sup);
}

void
vm_supervisor_agent_woke (VmSupervisor *sup)
{
  if (sup->adopted && sup->agent != NULL && !sup->agent_up && sup->greet_timer == 0)
    sup->greet_timer = g_timeout_add (GREET_WAIT_MS, not_greeted, sup);
}

/* Sessions */

static void
session_exited (guint32 channel, guint8 kind, guint32 value, json_object *capture, gpointer data)
{
  VmSupervisor *sup = data;
  json_object *event = json_object_new_object ();
  int code = frame_exit_code (kind, value);

  vm_log_line (sup->log, "session %u ended: %d", channel, code);
  vm_json_add_int (event, "session", channel);
  vm_json_add_int (event, "status", code);
  if (kind == FRAME_EXIT_SIGNAL)
    vm_json_add_int (event, "signal", value);
  if (capture != NULL)
    vm_json_add (event, "output", json_object_get (capture));
  vm_supervisor_emit (sup, "SESSION_EXIT", event);
  if (channel == FRAME_CHANNEL_MAIN)
    vm_record_stamp (sup->record, VM_STAMP_EXITED);
  if (channel == FRAME_CHANNEL_MAIN && sup->record->reason == VM_REASON_NONE) {
    sup->record->reason = VM_REASON_EXITED;
    sup->record->status = code;
    if (code == STATUS_KILLED && sup->driver->isolation != VM_ISOLATION_VM)
      vm_supervisor_blame_memory (sup);
  }
  vm_supervisor_look_at_limits (sup);
  if (channel != FRAME_CHANNEL_MAIN)
    return;
  /* A command that is quicker than its client: the client is there (its lifeline is), and comes. */
  if (sup->lifeline < 0 || !vm_sessions_main_waits (sup->sessions))
    vm_supervisor_stop (sup, VM_REASON_EXITED, NULL, VM_STOP_POWERDOWN, sup->powerdown_ms);
}

static void
session_client_gone (gpointer data)
{
  VmSupervisor *sup = data;

  if (!sup->record->detached)
    vm_supervisor_stop (sup, VM_REASON_CLIENT_GONE, NULL, VM_STOP_POWERDOWN, sup->powerdown_ms);
}

static void
session_detached (gpointer data)
{
  VmSupervisor *sup = data;

  sup->record->detached = TRUE;
  vm_log_line (sup->log, "the client detached");
  (void)vm_supervisor_save (sup, NULL); /* the next state change writes it again */
}

static void
agent_broken (const char *why, gpointer data)
{
  vm_supervisor_stop (data, VM_REASON_AGENT_BROKEN, why, VM_STOP_QUIT, 0);
}

static const VmSessionsHandlers session_handlers = {
    .exited = session_exited,
    .client_gone = session_client_gone,
    .detached = session_detached,
    .broken = agent_broken,
};

void
vm_supervisor_make_sessions (VmSupervisor *sup)
{
  sup->sessions = vm_sessions_new (sup->output_log, &session_handlers, sup);
  sup->relays = vm_relays_new (sup->plan, sup->log, agent_broken, sup);
  sup->forwards = vm_forwards_new (agent_broken, sup);
  sup->lines = vm_lines_new (sup->runtime_fd);
  sup->plugs = vm_plugs_new (sup);
}
