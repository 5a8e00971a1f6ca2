/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/fd.h"

enum { COMPACT_AT = 65536 };

struct VmOutput {
  int fd;     /* borrowed (0..2) or owned */
  int own_fd; /* owned; -1 */
  gboolean is_socket, failed;
  const VmOutputHandlers *handlers;
  gpointer data;
  GByteArray *queue;
  gsize sent;
  guint tag;
};

/* -1 where it cannot be opened anew: a socket, a file (whose offset must stay shared), another user's
 * terminal. */
static int
open_again (int fd, gboolean *ret_socket)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  struct stat st;

  *ret_socket = FALSE;
  if (fstat (fd, &st) < 0)
    return -1;
  *ret_socket = S_ISSOCK (st.st_mode);
  if (!S_ISFIFO (st.st_mode) && !isatty (fd))
    return -1;
  return open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

VmOutput *
vm_output_new (int fd, const VmOutputHandlers *handlers, gpointer data)
{
  VmOutput *output = g_new0 (VmOutput, 1);

  output->own_fd = open_again (fd, &output->is_socket);
  output->fd = output->own_fd >= 0 ? output->own_fd : fd;
  output->handlers = handlers;
  output->data = data;
  output->queue = g_byte_array_new ();
  return output;
}

void
vm_output_free (VmOutput *output)
{
  if (output == NULL)
    return;
  if (output->tag != 0)
    g_source_remove (output->tag);
  vm_fd_clear (&output->own_fd);
  g_byte_array_unref (output->queue);
  g_free (output);
}

static gssize
write_some (VmOutput *output, const guint8 *bytes, gsize length)
{
  ssize_t n;

  do
    n = output->is_socket ? send (output->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : write (output->fd, bytes, length);
  while (n < 0 && errno == EINTR);
  return n;
}

/* `failed` once, then `drained` for what is thrown away: the account comes out even. */
static void
fail (VmOutput *output, int err, gsize lost)
{
  lost += output->queue->len - output->sent;
  output->failed = TRUE;
  g_byte_array_set_size (output->queue, 0);
  output->sent = 0;
  output->handlers->failed (output, err, output->data);
  output->handlers->drained (output, lost, output->data);
}

static gboolean
can_write (int fd, GIOCondition condition, gpointer data)
{
  VmOutput *output = data;
  gssize n = write_some (output, output->queue->data + output->sent, output->queue->len - output->sent);
  gboolean more;

  if (n < 0 && errno == EAGAIN)
    return G_SOURCE_CONTINUE;
  if (n < 0) {
    output->tag = 0;
    fail (output, errno, 0);
    return G_SOURCE_REMOVE;
  }
  output->sent += (gsize)n;
  if (output->sent == output->queue->len || output->sent >= COMPACT_AT) {
    g_byte_array_remove_range (output->queue, 0, (guint)output->sent);
    output->sent = 0;
  }
  more = output->queue->len > 0; /* `drained` may write, and so begin anew */
  if (!more)
    output->tag = 0;
  output->handlers->drained (output, (gsize)n, output->data);
  return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void
vm_output_write (VmOutput *output, const void *bytes, gsize length)
{
  gssize n = 0;

  if (output->failed) {
    output->handlers->drained (output, length, output->data); /* thrown away: the command goes on */
    return;
  }
  if (output->queue->len == 0) {
    n = write_some (output, bytes, length);
    if (n < 0 && errno != EAGAIN) {
      fail (output, errno, length);
      return;
    }
    n = MAX (n, 0);
  }
  if ((gsize)n < length) {
    g_byte_array_append (output->queue, (const guint8 *)bytes + n, (guint)(length - (gsize)n));
    if (output->tag == 0)
      output->tag = g_unix_fd_add (output->fd, G_IO_OUT, can_write, output);
  }
  if (n > 0)
    output->handlers->drained (output, (gsize)n, output->data);
}

gsize
vm_output_pending (VmOutput *output)
{
  return output->queue->len - output->sent;
}

gboolean
vm_output_failed (VmOutput *output)
{
  return output->failed;
}
