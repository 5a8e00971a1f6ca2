/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/console.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"

static const char panic_words[] = "Kernel panic - not syncing";

enum { BLOCK = 16384, LINE_MAX_BYTES = 512 };

typedef struct {
  VmConsole *console; /* borrowed */
  int fd;             /* owned */
  guint in_tag, out_tag;
  GByteArray *queue; /* owned */
} Viewer;

struct VmConsole {
  int fd;
  guint tag, out_tag;
  VmLog *log; /* borrowed */
  GByteArray *ring, *input;
  GPtrArray *viewers; /* of Viewer, owned */
  GString *line;      /* the line being received, cut at LINE_MAX_BYTES */
  char *panic;        /* owned */
};

static void
viewer_free (gpointer data)
{
  Viewer *viewer = data;

  if (viewer->in_tag != 0)
    g_source_remove (viewer->in_tag);
  if (viewer->out_tag != 0)
    g_source_remove (viewer->out_tag);
  vm_fd_clear (&viewer->fd);
  g_byte_array_unref (viewer->queue);
  g_free (viewer);
}

static void
drop_viewer (Viewer *viewer)
{
  (void)g_ptr_array_remove_fast (viewer->console->viewers, viewer);
}

static gboolean viewer_can_write (int fd, GIOCondition condition, gpointer data);

/* FALSE: it is gone or too slow. */
static gboolean
viewer_flush (Viewer *viewer)
{
  ssize_t n = 0;

  while (viewer->queue->len > 0) {
    n = send (viewer->fd, viewer->queue->data, viewer->queue->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
      break;
    g_byte_array_remove_range (viewer->queue, 0, (guint)n);
  }
  if ((n < 0 && errno != EAGAIN) || viewer->queue->len > VM_CONSOLE_QUEUE_MAX)
    return FALSE;
  if (viewer->queue->len > 0 && viewer->out_tag == 0)
    viewer->out_tag = g_unix_fd_add (viewer->fd, G_IO_OUT, viewer_can_write, viewer);
  return TRUE;
}

static gboolean
viewer_can_write (int fd, GIOCondition condition, gpointer data)
{
  Viewer *viewer = data;

  viewer->out_tag = 0;
  if (!viewer_flush (viewer))
    drop_viewer (viewer);
  return G_SOURCE_REMOVE;
}

static gboolean console_can_write (int fd, GIOCondition condition, gpointer data);

static void
console_flush_input (VmConsole *console)
{
  ssize_t n = 0;

  while (console->input->len > 0) {
    n = send (console->fd, console->input->data, console->input->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
      break;
    g_byte_array_remove_range (console->input, 0, (guint)n);
  }
  if (n < 0 && errno != EAGAIN)
    g_byte_array_set_size (console->input, 0); /* QEMU has ended */
  if (console->input->len > 0 && console->out_tag == 0)
    console->out_tag = g_unix_fd_add (console->fd, G_IO_OUT, console_can_write, console);
}

static gboolean
console_can_write (int fd, GIOCondition condition, gpointer data)
{
  VmConsole *console = data;

  console->out_tag = 0;
  console_flush_input (console);
  return G_SOURCE_REMOVE;
}

static gboolean
viewer_can_read (int fd, GIOCondition condition, gpointer data)
{
  Viewer *viewer = data;
  guint8 block[BLOCK];
  ssize_t n = recv (fd, block, sizeof block, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n <= 0) {
    viewer->in_tag = 0;
    drop_viewer (viewer);
    return G_SOURCE_REMOVE;
  }
  /* A guest that does not read its console must not make us keep all that somebody types. */
  if (viewer->console->input->len + (gsize)n <= VM_CONSOLE_QUEUE_MAX) {
    g_byte_array_append (viewer->console->input, block, (guint)n);
    console_flush_input (viewer->console);
  }
  return G_SOURCE_CONTINUE;
}

/* Looks at the line for a panic and begins a new one. */
static void
end_line (VmConsole *console)
{
  const char *at = strstr (console->line->str, panic_words);

  if (at != NULL && console->panic == NULL) {
    at += strlen (panic_words);
    at += strspn (at, ": ");
    console->panic = vm_escape_terminal (at, -1, LINE_MAX_BYTES);
  }
  g_string_truncate (console->line, 0);
}

/* The kernel may speak behind a long line of somebody else's, such as a progress bar: of a line that is too
 * long the end is kept, from the panic on if there is one. */
static void
make_room (VmConsole *console)
{
  const char *at;

  if (console->line->len < LINE_MAX_BYTES)
    return;
  at = strstr (console->line->str, panic_words);
  if (at == console->line->str)
    end_line (console);
  else
    g_string_erase (console->line, 0,
                    at != NULL ? at - console->line->str : (gssize)(console->line->len - sizeof panic_words));
}

static void
look_for_panic (VmConsole *console, const guint8 *data, gsize length)
{
  for (gsize i = 0; i < length; i++) {
    make_room (console);
    if (data[i] == '\n')
      end_line (console);
    else if (data[i] != '\r' && data[i] != '\0')
      g_string_append_c (console->line, (char)data[i]);
  }
}

static void
received (VmConsole *console, const guint8 *data, gsize length)
{
  vm_log_write (console->log, data, length);
  look_for_panic (console, data, length);
  if (console->ring->len + length > VM_CONSOLE_RING)
    g_byte_array_remove_range (
        console->ring, 0, (guint)MIN (console->ring->len, console->ring->len + length - VM_CONSOLE_RING));
  g_byte_array_append (console->ring, data, (guint)length);
  for (guint i = console->viewers->len; i > 0; i--) {
    Viewer *viewer = g_ptr_array_index (console->viewers, i - 1);

    g_byte_array_append (viewer->queue, data, (guint)length);
    if (!viewer_flush (viewer))
      drop_viewer (viewer);
  }
}

/* FALSE at the end of the stream. */
static gboolean
read_block (VmConsole *console, gboolean *ret_more)
{
  guint8 block[BLOCK];
  ssize_t n = recv (console->fd, block, sizeof block, MSG_DONTWAIT);

  *ret_more = n > 0;
  if (n > 0)
    received (console, block, (gsize)n);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static gboolean
console_can_read (int fd, GIOCondition condition, gpointer data)
{
  VmConsole *console = data;
  gboolean more;

  if (read_block (console, &more))
    return G_SOURCE_CONTINUE;
  console->tag = 0;
  return G_SOURCE_REMOVE;
}

VmConsole *
vm_console_new (int take_fd, VmLog *log)
{
  VmConsole *console = g_new0 (VmConsole, 1);

  console->fd = take_fd;
  console->log = log;
  console->ring = g_byte_array_new ();
  console->input = g_byte_array_new ();
  console->line = g_string_new (NULL);
  console->viewers = g_ptr_array_new_with_free_func (viewer_free);
  console->tag = g_unix_fd_add (take_fd, G_IO_IN | G_IO_HUP, console_can_read, console);
  return console;
}

void
vm_console_free (VmConsole *console)
{
  if (console == NULL)
    return;
  g_ptr_array_unref (console->viewers);
  if (console->tag != 0)
    g_source_remove (console->tag);
  if (console->out_tag != 0)
    g_source_remove (console->out_tag);
  vm_fd_clear (&console->fd);
  g_byte_array_unref (console->ring);
  g_byte_array_unref (console->input);
  g_string_free (console->line, TRUE);
  g_free (console->panic);
  g_free (console);
}

gboolean
vm_console_attach (VmConsole *console, int take_fd, gsize replay)
{
  Viewer *viewer;
  gsize n = MIN (replay, console->ring->len);

  if (console->viewers->len >= VM_CONSOLE_VIEWERS_MAX) {
    vm_fd_clear (&take_fd);
    return FALSE;
  }
  viewer = g_new0 (Viewer, 1);
  viewer->console = console;
  viewer->fd = take_fd;
  viewer->queue = g_byte_array_new ();
  viewer->in_tag = g_unix_fd_add (take_fd, G_IO_IN | G_IO_HUP, viewer_can_read, viewer);
  g_ptr_array_add (console->viewers, viewer);
  g_byte_array_append (viewer->queue, console->ring->data + console->ring->len - n, (guint)n);
  if (!viewer_flush (viewer))
    drop_viewer (viewer);
  return TRUE;
}

const char *
vm_console_panic (VmConsole *console)
{
  return console->panic;
}

void
vm_console_drain (VmConsole *console)
{
  gboolean more = TRUE;

  while (more && read_block (console, &more))
    ;
  end_line (console);
}
