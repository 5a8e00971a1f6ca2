/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

enum { OUTSIDE, INSIDE, ENDS, ROOM = 65536 };

typedef struct Line Line;

typedef struct {
  Line *line;                  /* borrowed */
  int listener, fd;            /* owned; fd -1: nobody is there */
  guint listen_source, source; /* 0: not watched */
  GIOCondition watched;        /* for what */
  guint8 queue[ROOM];          /* on its way to this end */
  gsize length;
  gboolean has_ended, was_told; /* no more comes from it; it knows that no more comes to it */
} End;

struct Line {
  char *name; /* owned */
  End ends[ENDS];
};

struct VmLines {
  int runtime_fd;   /* borrowed */
  GPtrArray *lines; /* owned */
};

static void update (Line *line);

static End *
other (End *end)
{
  return &end->line->ends[end == &end->line->ends[OUTSIDE] ? INSIDE : OUTSIDE];
}

static void
hang_up (End *end)
{
  if (end->source != 0)
    g_source_remove (end->source);
  end->source = 0;
  vm_fd_clear (&end->fd);
  end->length = 0;
  end->has_ended = end->was_told = FALSE;
}

static void
free_line (gpointer data)
{
  Line *line = data;

  for (guint i = 0; i < ENDS; i++) {
    hang_up (&line->ends[i]);
    if (line->ends[i].listen_source != 0)
      g_source_remove (line->ends[i].listen_source);
    vm_fd_clear (&line->ends[i].listener);
  }
  g_free (line->name);
  g_free (line);
}

VmLines *
vm_lines_new (int runtime_fd)
{
  VmLines *lines = g_new0 (VmLines, 1);

  lines->runtime_fd = runtime_fd;
  lines->lines = g_ptr_array_new_with_free_func (free_line);
  return lines;
}

void
vm_lines_free (VmLines *lines)
{
  if (lines == NULL)
    return;
  g_ptr_array_unref (lines->lines);
  g_free (lines);
}

/* Bytes */

static void
take (End *from)
{
  End *to = other (from);
  ssize_t n = recv (from->fd, to->queue + to->length, ROOM - to->length, MSG_DONTWAIT);

  if (n > 0)
    to->length += (gsize)n;
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    from->has_ended = TRUE;
}

/* What nobody takes any more is gone. */
static void
give (End *to)
{
  ssize_t n = send (to->fd, to->queue, to->length, MSG_NOSIGNAL | MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0) {
    to->has_ended = TRUE;
    n = (ssize_t)to->length;
  }
  to->length -= (gsize)n;
  memmove (to->queue, to->queue + n, to->length);
}

static gboolean
ready (int fd, GIOCondition condition, gpointer data)
{
  End *end = data;

  if ((condition & G_IO_OUT) != 0 && end->length > 0)
    give (end);
  if ((condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0 && !end->has_ended && other (end)->length < ROOM)
    take (end);
  if (other (end)->fd >= 0 && other (end)->length > 0)
    give (other (end));
  update (end->line);
  return G_SOURCE_CONTINUE; /* or it was removed just now */
}

static gboolean
came (int fd, GIOCondition condition, gpointer data)
{
  End *end = data;

  end->fd = accept4 (end->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  update (end->line);
  return G_SOURCE_CONTINUE; /* likewise */
}

static void
watch_end (End *end)
{
  GIOCondition wanted = 0;

  if (end->fd >= 0 && other (end)->fd >= 0 && !end->has_ended && other (end)->length < ROOM)
    wanted |= G_IO_IN;
  if (end->fd >= 0 && end->length > 0)
    wanted |= G_IO_OUT;
  if (end->source != 0 && wanted == end->watched)
    return;
  if (end->source != 0)
    g_source_remove (end->source);
  end->watched = wanted;
  end->source = wanted != 0 ? g_unix_fd_add (end->fd, wanted, ready, end) : 0;
}

/* One at a time: the others wait in the queue. */
static void
watch_listener (End *end)
{
  if (end->fd < 0 && end->listen_source == 0) {
    end->listen_source = g_unix_fd_add (end->listener, G_IO_IN, came, end);
  } else if (end->fd >= 0 && end->listen_source != 0) {
    g_source_remove (end->listen_source);
    end->listen_source = 0;
  }
}

/* After anything that may have changed what to wait for. */
static void
update (Line *line)
{
  End *a = &line->ends[OUTSIDE], *b = &line->ends[INSIDE];

  for (guint i = 0; i < ENDS; i++) {
    End *end = &line->ends[i];

    if (end->fd >= 0 && other (end)->has_ended && end->length == 0 && !end->was_told) {
      (void)shutdown (end->fd, SHUT_WR);
      end->was_told = TRUE;
    }
  }
  if (a->has_ended && b->has_ended && a->length == 0 && b->length == 0) {
    hang_up (a);
    hang_up (b);
  }
  for (guint i = 0; i < ENDS; i++) {
    watch_end (&line->ends[i]);
    watch_listener (&line->ends[i]);
  }
}

/* Lines */

static char *
outer_name (const char *name)
{
  return g_strdup_printf ("serial-%s.sock", name);
}

static char *
inner_name (const char *name)
{
  return g_strdup_printf ("line-%s", name);
}

static int
listen_inside (int runtime_fd, const char *name, GError **error)
{
  g_autofree char *inner = inner_name (name);
  vm_autofd dir = -1;
  int fd;

  if (mkdirat (runtime_fd, inner, 0700) < 0 && errno != EEXIST) {
    vm_error_errno (error, errno, "cannot make the directory '%s'", inner);
    return -1;
  }
  dir = openat (runtime_fd, inner, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0) {
    vm_error_errno (error, errno, "cannot open the directory '%s'", inner);
    return -1;
  }
  fd = vm_fd_listen_unix (dir, "socket", SOCK_STREAM, error);
  return fd;
}

gboolean
vm_lines_add (VmLines *lines, const char *name, GError **error)
{
  g_autofree char *outer = outer_name (name);
  vm_autofd outside = vm_fd_listen_unix (lines->runtime_fd, outer, SOCK_STREAM, error), inside = -1;
  Line *line;

  if (outside < 0 || (inside = listen_inside (lines->runtime_fd, name, error)) < 0)
    return FALSE;
  line = g_new0 (Line, 1);
  line->name = g_strdup (name);
  line->ends[OUTSIDE] = (End){.line = line, .listener = vm_fd_steal (&outside), .fd = -1};
  line->ends[INSIDE] = (End){.line = line, .listener = vm_fd_steal (&inside), .fd = -1};
  g_ptr_array_add (lines->lines, line);
  update (line);
  return TRUE;
}

void
vm_lines_remove (VmLines *lines, const char *name)
{
  g_autofree char *outer = outer_name (name), *inner = inner_name (name);

  for (guint i = 0; i < lines->lines->len; i++)
    if (g_str_equal (((Line *)g_ptr_array_index (lines->lines, i))->name, name))
      g_ptr_array_remove_index (lines->lines, i--);
  (void)unlinkat (lines->runtime_fd, outer, 0);
  (void)vm_file_remove_tree (lines->runtime_fd, inner, NULL);
}
