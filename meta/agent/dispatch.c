/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/agent/agent.h"

enum { SEED_MIN = 32, SEED_MAX = 256, PING_MAX = 64 };

void
agent_log (Agent *agent, const char *format, ...)
{
  char text[1024];
  va_list args;

  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  link_send (&agent->link, FRAME_LOG, FRAME_CHANNEL_CONTROL, 0, text, strlen (text));
}

uint64_t
agent_age_us (const Agent *agent)
{
  return now_us () - agent->started_us;
}

static void
send_control (Agent *agent, FrameType type, const void *payload, size_t n)
{
  link_send (&agent->link, type, FRAME_CHANNEL_CONTROL, 0, payload, n);
}

void
agent_link_up (Agent *agent)
{
  uint8_t payload[8];
  uint32_t flags = 0;

  if (agent->state == AGENT_UP)
    flags |= FRAME_HELLO_UP;
  if (agent->main.started)
    flags |= FRAME_HELLO_MAIN;
  if (agent->is_template)
    flags |= FRAME_HELLO_TEMPLATE;
  if (agent->is_template && agent->state == AGENT_WAITING)
    agent->started_us = now_us (); /* until now it was the template's life */
  link_send_raw (&agent->link, FRAME_PREAMBLE, FRAME_PREAMBLE_SIZE);
  frame_put_u32 (payload, FRAME_VERSION);
  frame_put_u32 (payload + 4, flags);
  send_control (agent, FRAME_HELLO, payload, sizeof payload);
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_link_up (agent, &agent->sessions[i]);
  if (!agent->main.ended)
    return;
  memset (payload, 0, sizeof payload);
  payload[0] = agent->main.kind;
  frame_put_u32 (payload + 4, agent->main.value);
  link_send (&agent->link, FRAME_EXIT, FRAME_CHANNEL_MAIN, 0, payload, sizeof payload);
}

void
agent_link_lost (Agent *agent, const char *why)
{
  link_drop (&agent->link, why != NULL, why);
  for (unsigned i = 0; i < AGENT_SESSIONS; i++)
    session_link_lost (&agent->sessions[i]);
  relays_link_lost (agent);
  forwards_link_lost (agent);
  change_link_lost (agent);
}

static void
send_up (Agent *agent)
{
  uint8_t payload[16];

  frame_put_u64 (payload, agent->setup_us - agent->started_us);
  frame_put_u64 (payload + 8, agent->up_us - agent->started_us);
  send_control (agent, FRAME_UP, payload, sizeof payload);
}

static int
do_setup (Agent *agent)
{
  int r;

  if (agent->is_template && !agent->is_seeded)
    return why_set (&agent->failure, EPERM,
                    "this machine comes from a template and has no randomness of its own");
  if (agent->is_template && !agent->has_clock)
    return why_set (&agent->failure, EPERM, "this machine comes from a template and its clock was not set");
  r = agent->service && agent->is_template ? setup_image_late (agent, &agent->failure)
      : agent->service                     ? setup_service (agent, &agent->failure)
      : agent->vm                          ? setup_vm (agent, &agent->failure)
                                           : setup_here (agent, &agent->failure);
  return r == 0 && agent->meta.server ? desktop_start (agent, &agent->failure) : r;
}

/* Without memory for it, it is read from the meta dir. */
static void
take_bundle (Agent *agent, const uint8_t *data, size_t n)
{
  free (agent->bundle);
  agent->bundle = malloc (n);
  agent->bundle_size = n;
  if (agent->bundle)
    memcpy (agent->bundle, data, n);
}

/* Asked again, it says again how the first time went. */
static int
handle_setup (Agent *agent, const uint8_t *data, size_t n)
{
  FrameTag tag;
  const uint8_t *value;
  uint32_t length;
  size_t at = 0;
  int r;

  while ((r = frame_field_next (data, n, &at, &tag, &value, &length)) > 0)
    if (tag == FRAME_TAG_META && agent->state == AGENT_WAITING && length > 0)
      take_bundle (agent, value, length);
  if (r < 0)
    return r;
  if (agent->state == AGENT_WAITING) {
    agent->setup_us = now_us ();
    agent->state = do_setup (agent) < 0 ? AGENT_FAILED : AGENT_UP;
    free (agent->bundle);
    agent->bundle = NULL;
    agent->up_us = now_us ();
    if (agent->state == AGENT_FAILED)
      say ("setup failed: %s", agent->failure.text);
  }
  if (agent->state == AGENT_UP)
    send_up (agent);
  else
    send_control (agent, FRAME_FAILED, agent->failure.text, strlen (agent->failure.text));
  return 0;
}

static int
handle_hello (Agent *agent, const uint8_t *data, size_t n)
{
  if (n != 8)
    return -EPROTO;
  if (frame_get_u32 (data) == FRAME_VERSION)
    return 0;
  agent_log (agent, "the host speaks version %u, this agent version %d", frame_get_u32 (data), FRAME_VERSION);
  return -EPROTO;
}

/* Outside a VM generator and clock are the host's own. */
static int
handle_seed (Agent *agent, const uint8_t *data, size_t n)
{
  int r;

  if (n < SEED_MIN || n > SEED_MAX)
    return -EPROTO;
  r = agent->vm ? boot_seed (data, n) : 0;
  agent->is_seeded = r == 0;
  if (r < 0)
    agent_log (agent, "cannot seed the random generator: %s", strerror (-r));
  return 0;
}

static int
handle_clock (Agent *agent, const uint8_t *data, size_t n)
{
  int r;

  if (n != 16 || frame_get_u32 (data + 8) > 999999999 || frame_get_u32 (data + 12) != 0)
    return -EPROTO;
  r = agent->vm ? boot_set_clock ((int64_t)frame_get_u64 (data), frame_get_u32 (data + 8)) : 0;
  agent->has_clock = r == 0;
  if (r < 0)
    agent_log (agent, "cannot set the clock: %s", strerror (-r));
  return 0;
}

static int
handle_control (Agent *agent, const FrameHeader *header, const uint8_t *data)
{
  size_t n = header->length;

  switch (header->type) {
  case FRAME_HELLO:
    return handle_hello (agent, data, n);
  case FRAME_SEED:
    return handle_seed (agent, data, n);
  case FRAME_CLOCK:
    return handle_clock (agent, data, n);
  case FRAME_SETUP:
    return handle_setup (agent, data, n);
  case FRAME_PING:
    if (n > PING_MAX)
      return -EPROTO;
    send_control (agent, FRAME_PONG, data, n);
    return 0;
  case FRAME_CHANGE:
    return change_begin (agent, data, n);
  case FRAME_POWEROFF:
    if (n != 4)
      return -EPROTO;
    stop_begin (agent, frame_get_u32 (data));
    return 0;
  default:
    return -EPROTO;
  }
}

/* Frames may cross the EXIT of their channel, so those of a channel that is not there mean nothing. */
static int
handle_session (Agent *agent, const FrameHeader *header, const uint8_t *data)
{
  Session *session = session_find (agent, header->channel);
  size_t n = header->length;

  switch (header->type) {
  case FRAME_DATA:
    return session ? session_data (agent, session, data, n) : 0;
  case FRAME_EOF:
    if (n != 0)
      return -EPROTO;
    if (session && header->stream != FRAME_STDIN)
      stream_out_unread (agent, session, header->stream - FRAME_STDOUT);
    return session && header->stream == FRAME_STDIN ? session_eof (agent, session) : 0;
  case FRAME_CREDIT:
    if (n != 4)
      return -EPROTO;
    return session ? session_credit (session, header->stream, frame_get_u32 (data)) : 0;
  case FRAME_SIGNAL:
    if (n != 4)
      return -EPROTO;
    if (session && frame_get_u32 (data) < 65)
      session_signal (session, (int)frame_get_u32 (data));
    return 0;
  case FRAME_RESIZE:
    if (n != 4)
      return -EPROTO;
    if (session)
      session_resize (session, frame_get_u16 (data), frame_get_u16 (data + 2));
    return 0;
  case FRAME_CLOSE:
    if (n != 0)
      return -EPROTO;
    if (session)
      session_close (agent, session);
    return 0;
  default:
    return -EPROTO;
  }
}

static bool
stream_fits (const FrameHeader *header)
{
  if (header->type == FRAME_CREDIT)
    return header->stream != FRAME_STDIN;
  if (header->type == FRAME_EOF)
    return true;
  if (header->type == FRAME_OPEN)
    return header->stream <= 1;
  return header->stream == 0; /* FRAME_STDIN too */
}

static int
handle_frame (Agent *agent, const FrameHeader *header, const uint8_t *data)
{
  if (!stream_fits (header))
    return -EPROTO;
  if (header->channel == FRAME_CHANNEL_CONTROL)
    return handle_control (agent, header, data);
  if (relays_is_channel (header->channel))
    return relays_frame (agent, header, data);
  if (forwards_is_channel (header->channel))
    return forwards_frame (agent, header, data);
  if (header->type == FRAME_OPEN)
    return session_open (agent, header->channel, header->stream == 1, data, header->length);
  return handle_session (agent, header, data);
}

int
agent_dispatch (Agent *agent)
{
  FrameHeader header;
  const uint8_t *data;
  int r;

  while ((r = frame_reader_next (&agent->link.reader, &header, &data)) > 0) {
    r = handle_frame (agent, &header, data);
    if (r < 0)
      return r;
  }
  return r;
}
