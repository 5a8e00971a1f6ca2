/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/inner.h"

#include <string.h>
#include <sys/socket.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"

enum { WORDS_MAX = 1000 };

typedef struct {
  VmLink *link;       /* owned */
  GByteArray *output; /* owned */
  GString *words;     /* owned; stderr */
  gsize max;
  guint timer;
  VmInnerDone done;
  gpointer data;
} Inner;

/* `take_error` NULL: all is well. */
static void
finish (Inner *inner, GError *take_error)
{
  g_autoptr (GError) error = take_error;
  g_autoptr (GBytes) output = g_byte_array_free_to_bytes (inner->output);

  g_source_remove (inner->timer);
  vm_link_free (inner->link); /* the session ends with its client */
  inner->done (error == NULL ? output : NULL, error, inner->data);
  g_string_free (inner->words, TRUE);
  g_free (inner);
}

static void
ended (Inner *inner, const FrameHeader *header, const guint8 *payload)
{
  g_autofree char *words = NULL;

  if (header->length == 8 && payload[0] == FRAME_EXIT_STATUS && frame_get_u32 (payload + 4) == 0) {
    finish (inner, NULL);
    return;
  }
  words = vm_escape_terminal (g_strchomp (inner->words->str), -1, WORDS_MAX);
  finish (inner, g_error_new (VM_ERROR, VM_ERROR_FAILED, "%s",
                              *words != '\0' ? words : "a program inside has failed"));
}

static void
frame (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data)
{
  Inner *inner = data;

  if (header->type == FRAME_EXIT) {
    ended (inner, header, payload);
    return;
  }
  if (header->type != FRAME_DATA)
    return;
  if (header->stream == FRAME_STDOUT)
    g_byte_array_append (inner->output, payload, header->length);
  else if (inner->words->len < WORDS_MAX)
    g_string_append_len (inner->words, (const char *)payload, header->length);
  if (inner->output->len > inner->max)
    finish (inner, g_error_new (VM_ERROR, VM_ERROR_INVALID, "a program inside says more than it may"));
  else
    vm_link_send_u32 (link, FRAME_CREDIT, FRAME_CHANNEL_MAIN, header->stream, header->length);
}

static void
closed (VmLink *link, const char *why, gpointer data)
{
  finish (data, g_error_new (VM_ERROR, VM_ERROR_FAILED, "the sandbox has ended"));
}

static const VmLinkHandlers handlers = {.frame = frame, .closed = closed};

static gboolean
timed_out (gpointer data)
{
  Inner *inner = data;

  finish (inner, g_error_new (VM_ERROR, VM_ERROR_TIMEOUT, "a program inside does not answer"));
  return G_SOURCE_CONTINUE; /* finish() has removed it */
}

gboolean
vm_inner_run (VmSessions *sessions, const char *const *argv, gsize max, guint timeout_ms, VmInnerDone done,
              gpointer data, GError **error)
{
  const VmOpen open = {.argv = argv, .cwd = "/"};
  vm_autofd mine = -1;
  Inner *inner;
  int ends[2];

  if (!vm_fd_socketpair (SOCK_STREAM, ends, error))
    return FALSE;
  mine = ends[0];
  if (vm_sessions_open (sessions, &open, ends[1], error) == 0)
    return FALSE;
  inner = g_new0 (Inner, 1);
  inner->output = g_byte_array_new ();
  inner->words = g_string_new (NULL);
  inner->max = max;
  inner->done = done;
  inner->data = data;
  inner->timer = g_timeout_add (timeout_ms, timed_out, inner);
  inner->link = vm_link_new (vm_fd_steal (&mine), FALSE, &handlers, inner);
  vm_link_send (inner->link, FRAME_EOF, FRAME_CHANNEL_MAIN, FRAME_STDIN, NULL, 0);
  return TRUE;
}
