/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent-host.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

enum { DEADLINE_S = 120 };

static void
session_free (gpointer data)
{
  HostSession *session = data;

  g_byte_array_unref (session->out[1]);
  g_byte_array_unref (session->out[2]);
  g_free (session);
}

/* Meta dir */

static void
write_meta_file (const char *dir, const char *name, const char *content, gssize n)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autoptr (GError) error = NULL;

  if (content)
    g_file_set_contents (path, content, n, &error);
  else
    (void)g_unlink (path);
  g_assert_no_error (error);
}

static char *
make_meta (const char *const *files)
{
  static const char env[] = "PATH=/usr/local/bin:/usr/bin:/bin\0META=yes\0GONE=soon\0HOME=/tmp\0LC_ALL=C";
  static const char entry[] = "/bin/sh\0-c\0echo entrypoint";
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("vmctl-agent-XXXXXX", &error);

  g_assert_no_error (error);
  write_meta_file (dir, "version", "1\n", -1);
  write_meta_file (dir, "identity",
                   "name=tester\nuid=1234\ngid=1234\ngroup=tester\nshell=/bin/sh\nhostname=h\nroot=no\n", -1);
  write_meta_file (dir, "host_home", "/home/tester", -1);
  write_meta_file (dir, "host_project", "/home/tester/p", -1);
  write_meta_file (dir, "cwd", "/usr", -1);
  write_meta_file (dir, "entrypoint", entry, sizeof entry);
  write_meta_file (dir, "environment", env, sizeof env);
  write_meta_file (dir, "network", "", -1);
  write_meta_file (dir, "display", "", -1);
  write_meta_file (dir, "disk", "tmpfs 100\n", -1);
  write_meta_file (dir, "mounts", "", -1);
  for (; files && files[0]; files += 2)
    write_meta_file (dir, files[0], files[1], -1);
  return dir;
}

static void
remove_meta (char *dir)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (entries)))
    write_meta_file (dir, name, NULL, 0);
  (void)g_rmdir (dir);
  g_free (dir);
}

void
host_write_mounts (Host *host, const char *const *words)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  for (; *words; words++)
    g_byte_array_append (bytes, (const guint8 *)*words, (guint)strlen (*words) + 1);
  write_meta_file (host->meta, "mounts", (const char *)bytes->data, bytes->len);
}

/* The agent's process */

static void
start_agent (Host *host, const char *option, int fd, const char *more)
{
  const char *agent = g_getenv ("VMCTL_AGENT");
  char number[16];
  const char *argv[] = {agent, option, "3", "--meta", host->meta, more, NULL};
  g_autoptr (GError) error = NULL;
  int source[1] = {fd}, target[1] = {3};

  g_assert_nonnull (agent);
  g_snprintf (number, sizeof number, "%d", fd);
  g_spawn_async_with_pipes_and_fds (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1,
                                    source, target, 1, &host->pid, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  host->running = TRUE;
  close (fd);
}

static int
listen_at (Host *host)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  host->path = g_build_filename (host->meta, "agent.sock", NULL);
  g_strlcpy (address.sun_path, host->path, sizeof address.sun_path);
  g_assert_cmpint (bind (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint (listen (fd, 4), ==, 0);
  return fd;
}

static void
forget_connection (Host *host)
{
  if (host->fd >= 0)
    close (host->fd);
  host->fd = -1;
  host->preamble = 0;
  host->found = host->ended = FALSE;
  host->hello = -1;
  frame_reader_init (&host->reader, host->buffer);
  g_hash_table_remove_all (host->sessions);
}

void
host_connect (Host *host)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};

  forget_connection (host);
  host->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, host->path, sizeof address.sun_path);
  g_assert_cmpint (connect (host->fd, (struct sockaddr *)&address, sizeof address), ==, 0);
}

void
host_disconnect (Host *host)
{
  forget_connection (host);
}

static Host *
make_host (const char *const *files)
{
  Host *host = g_new0 (Host, 1);

  host->fd = -1;
  host->meta = make_meta (files);
  host->buffer = g_malloc (FRAME_READER_SIZE);
  host->sessions = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, session_free);
  host->log = g_string_new (NULL);
  host->pong = g_byte_array_new ();
  host->changed = g_byte_array_new ();
  forget_connection (host);
  return host;
}

static void
start_on_socket (Host *host, const char *more)
{
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  host->fd = pair[0];
  start_agent (host, "--socket", pair[1], more);
}

Host *
host_new (gboolean listen, const char *const *files)
{
  Host *host = make_host (files);

  if (listen) {
    start_agent (host, "--listen", listen_at (host), NULL);
    host_connect (host);
  } else
    start_on_socket (host, NULL);
  return host;
}

Host *
host_new_template (void)
{
  Host *host = make_host (NULL);

  start_on_socket (host, "--template");
  return host;
}

gint
host_wait (Host *host)
{
  gint status = 0;

  g_assert_true (host->running);
  g_assert_cmpint (waitpid (host->pid, &status, 0), ==, host->pid);
  host->running = FALSE;
  return status;
}

void
host_free (Host *host)
{
  forget_connection (host);
  if (host->running && host->path)
    kill (host->pid, SIGTERM);
  if (host->running)
    g_assert_cmpint (host_wait (host), ==, 0);
  remove_meta (host->meta);
  g_hash_table_unref (host->sessions);
  g_string_free (host->log, TRUE);
  g_byte_array_unref (host->pong);
  g_byte_array_unref (host->changed);
  g_free (host->path);
  g_free (host->failed);
  g_free (host->buffer);
  g_free (host);
}

/* Sending */

void
host_send_raw (Host *host, const void *data, gsize n)
{
  const guint8 *at = data;

  while (n > 0) {
    gssize r = send (host->fd, at, n, MSG_NOSIGNAL);
    if (r < 0 && errno == EPIPE)
      return; /* the agent has dropped us; reading tells */
    g_assert_cmpint (r, >, 0);
    at += r;
    n -= (gsize)r;
  }
}

void
host_send (Host *host, FrameType type, guint32 channel, guint8 stream, const void *payload, gsize n)
{
  FrameHeader header = {.length = (guint32)n, .channel = channel, .type = (guint8)type, .stream = stream};
  guint8 bytes[FRAME_HEADER_SIZE];

  frame_header_encode (bytes, &header);
  host_send_raw (host, bytes, sizeof bytes);
  host_send_raw (host, payload, n);
}

void
host_send_u32 (Host *host, FrameType type, guint32 channel, guint8 stream, guint32 value)
{
  guint8 payload[4];

  frame_put_u32 (payload, value);
  host_send (host, type, channel, stream, payload, sizeof payload);
}

/* Receiving */

HostSession *
host_session (Host *host, guint32 channel)
{
  HostSession *session = g_hash_table_lookup (host->sessions, GUINT_TO_POINTER (channel));

  if (session)
    return session;
  session = g_new0 (HostSession, 1);
  session->out[1] = g_byte_array_new ();
  session->out[2] = g_byte_array_new ();
  session->credit = FRAME_WINDOW;
  g_hash_table_insert (host->sessions, GUINT_TO_POINTER (channel), session);
  return session;
}

static void
take_data (Host *host, const FrameHeader *header, const guint8 *payload)
{
  HostSession *session = host_session (host, header->channel);
  guint stream = header->stream;

  g_assert_cmpuint (header->length, >, 0);
  g_assert_cmpuint (stream, !=, FRAME_STDIN);
  g_assert_false (session->eof[stream]);
  session->in_flight[stream] += header->length;
  g_assert_cmpuint (session->in_flight[stream], <=, FRAME_WINDOW);
  g_byte_array_append (session->out[stream], payload, header->length);
  if (session->keep_credit)
    return;
  host_send_u32 (host, FRAME_CREDIT, header->channel, header->stream, session->in_flight[stream]);
  session->in_flight[stream] = 0;
}

static void
take_session (Host *host, const FrameHeader *header, const guint8 *payload)
{
  HostSession *session = host_session (host, header->channel);

  g_assert_false (session->exited || session->closed);
  if (header->type == FRAME_DATA)
    take_data (host, header, payload);
  else if (header->type == FRAME_CLOSE && session->relay)
    session->closed = TRUE;
  else if (header->type == FRAME_STARTED) {
    g_assert_cmpuint (session->out[1]->len, ==, 0);
    session->started = TRUE;
    session->pid = frame_get_u32 (payload);
  } else if (header->type == FRAME_EOF)
    session->eof[header->stream] = TRUE;
  else if (header->type == FRAME_CREDIT) {
    session->credit += frame_get_u32 (payload);
    g_assert_cmpuint (session->credit, <=, FRAME_WINDOW);
  } else {
    g_assert_cmpint (header->type, ==, FRAME_EXIT);
    g_assert_cmpuint (header->length, ==, 8);
    session->exited = TRUE;
    session->kind = payload[0];
    session->value = frame_get_u32 (payload + 4);
  }
}

static void
take_relay_open (Host *host, const FrameHeader *header, const guint8 *payload)
{
  HostSession *session;

  g_hash_table_remove (host->sessions, GUINT_TO_POINTER (header->channel));
  session = host_session (host, header->channel);
  g_assert_cmpuint (header->channel - FRAME_CHANNEL_RELAY, <, FRAME_RELAYS_MAX);
  g_assert_cmpuint (header->length, ==, 4);
  session->relay = TRUE;
  session->value = frame_get_u32 (payload);
}

static void
take_control (Host *host, const FrameHeader *header, const guint8 *payload)
{
  if (header->type == FRAME_HELLO) {
    g_assert_cmpuint (frame_get_u32 (payload), ==, FRAME_VERSION);
    host->hello = (gint)frame_get_u32 (payload + 4);
  } else if (header->type == FRAME_UP) {
    g_assert_cmpuint (frame_get_u64 (payload), <=, frame_get_u64 (payload + 8));
    host->up = TRUE;
  } else if (header->type == FRAME_FAILED) {
    g_free (host->failed);
    host->failed = g_strndup ((const char *)payload, header->length);
  } else if (header->type == FRAME_PONG)
    g_byte_array_append (host->pong, payload, header->length);
  else if (header->type == FRAME_CHANGED) {
    g_byte_array_set_size (host->changed, 0);
    g_byte_array_append (host->changed, payload, header->length);
  } else {
    g_assert_cmpint (header->type, ==, FRAME_LOG);
    g_string_append_len (host->log, (const char *)payload, header->length);
  }
}

static void
take (Host *host, gsize n)
{
  const guint8 *payload;
  FrameHeader header;

  if (!host->found) {
    int found;
    gsize used = frame_preamble_find (&host->preamble, host->buffer, n, &found);
    host->found = found != 0;
    host->reader.start = used;
  }
  frame_reader_filled (&host->reader, n);
  if (!host->found)
    frame_reader_init (&host->reader, host->buffer);
  while (host->found) {
    int r = frame_reader_next (&host->reader, &header, &payload);
    g_assert_cmpint (r, >=, 0);
    if (r == 0)
      break;
    if (header.channel == FRAME_CHANNEL_CONTROL)
      take_control (host, &header, payload);
    else if (header.type == FRAME_RELAY_OPEN)
      take_relay_open (host, &header, payload);
    else
      take_session (host, &header, payload);
  }
}

static void
pump (Host *host, int timeout)
{
  struct pollfd fd = {.fd = host->fd, .events = POLLIN};
  gsize room;
  guint8 *space;
  gssize n;

  if (poll (&fd, 1, timeout) <= 0 || host->ended)
    return;
  space = frame_reader_space (&host->reader, &room);
  n = read (host->fd, space, room);
  if (n <= 0)
    host->ended = TRUE;
  else
    take (host, (gsize)n);
}

void
host_until (Host *host, HostCondition condition, gpointer data)
{
  gint64 deadline = g_get_monotonic_time () + DEADLINE_S * G_USEC_PER_SEC;

  while (!condition (host, data)) {
    g_assert_false (host->ended);
    if (g_get_monotonic_time () > deadline)
      g_error ("the agent has not answered in time (log: %s)", host->log->str);
    pump (host, 1000);
  }
}

void
host_pump_for (Host *host, guint ms)
{
  gint64 deadline = g_get_monotonic_time () + ms * 1000;

  while (g_get_monotonic_time () < deadline && !host->ended)
    pump (host, 20);
}

static gboolean
is_up (Host *host, gpointer data)
{
  return host->up && host->hello >= 0;
}

void
host_set_up (Host *host)
{
  guint8 payload[8] = {0};

  frame_put_u32 (payload, FRAME_VERSION);
  host_send (host, FRAME_HELLO, FRAME_CHANNEL_CONTROL, 0, payload, sizeof payload);
  host_send (host, FRAME_SETUP, FRAME_CHANNEL_CONTROL, 0, NULL, 0);
  host_until (host, is_up, NULL);
}

/* Sessions */

void
host_field (GByteArray *fields, guint32 tag, const void *value, gsize n)
{
  guint8 header[FRAME_FIELD_HEADER];

  frame_field_encode (header, (FrameTag)tag, (guint32)n);
  g_byte_array_append (fields, header, sizeof header);
  g_byte_array_append (fields, value, (guint)n);
}

void
host_field_text (GByteArray *fields, guint32 tag, const char *value)
{
  host_field (fields, tag, value, strlen (value));
}

void
host_open_fields (Host *host, guint32 channel, const GByteArray *fields)
{
  gsize at = 0;

  g_hash_table_remove (host->sessions, GUINT_TO_POINTER (channel));
  do {
    gsize n = MIN (fields->len - at, FRAME_PAYLOAD_MAX);
    host_send (host, FRAME_OPEN, channel, at + n < fields->len, fields->data + at, n);
    at += n;
  } while (at < fields->len);
}

HostSession *
host_open (Host *host, guint32 channel, const char *const *argv)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();

  for (; *argv; argv++)
    host_field_text (fields, FRAME_TAG_ARG, *argv);
  host_open_fields (host, channel, fields);
  return host_session (host, channel);
}

HostSession *
host_open_shell (Host *host, guint32 channel, const char *script)
{
  const char *argv[] = {"sh", "-c", script, NULL};

  return host_open (host, channel, argv);
}

static gboolean
has_exited (Host *host, gpointer data)
{
  return host_session (host, GPOINTER_TO_UINT (data))->exited;
}

void
host_until_exit (Host *host, guint32 channel)
{
  host_until (host, has_exited, GUINT_TO_POINTER (channel));
}

typedef struct {
  guint32 channel;
  const char *text;
} Wanted;

static gboolean
has_output (Host *host, gpointer data)
{
  const Wanted *wanted = data;
  GByteArray *out = host_session (host, wanted->channel)->out[FRAME_STDOUT];

  return out->len > 0 && memmem (out->data, out->len, wanted->text, strlen (wanted->text)) != NULL;
}

void
host_until_output (Host *host, guint32 channel, const char *text)
{
  Wanted wanted = {channel, text};

  host_until (host, has_output, &wanted);
}

typedef struct {
  guint32 channel;
  const guint8 *data;
  gsize left;
  gboolean ended;
} Feed;

static gboolean
feed_step (Host *host, gpointer data)
{
  Feed *feed = data;
  HostSession *session = host_session (host, feed->channel);

  while (feed->left > 0 && session->credit > 0 && !session->exited) {
    gsize n = MIN (MIN (feed->left, session->credit), FRAME_PAYLOAD_MAX);
    host_send (host, FRAME_DATA, feed->channel, FRAME_STDIN, feed->data, n);
    session->credit -= n;
    feed->data += n;
    feed->left -= n;
    pump (host, 0); /* or both sides would wait with full sockets */
  }
  if (feed->left == 0 && !feed->ended && !session->exited) {
    host_send (host, FRAME_EOF, feed->channel, FRAME_STDIN, NULL, 0);
    feed->ended = TRUE;
  }
  return session->exited;
}

int
host_feed (Host *host, guint32 channel, const void *data, gsize n)
{
  Feed feed = {channel, data, n, FALSE};
  HostSession *session = host_session (host, channel);

  host_until (host, feed_step, &feed);
  return frame_exit_code ((guint8)session->kind, session->value);
}

int
host_run (Host *host, const char *script)
{
  host_open_shell (host, 9, script);
  return host_feed (host, 9, NULL, 0);
}

void
host_assert_output (Host *host, guint32 channel, guint stream, const char *text)
{
  GByteArray *out = host_session (host, channel)->out[stream];

  g_assert_cmpmem (out->data, out->len, text, strlen (text));
}
