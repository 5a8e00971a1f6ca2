/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net-follow.h"

#include <stdio.h>
#include <string.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/net-log.h"
#include "vmctl/store.h"
#include "vmctl/tail-follow.h"

typedef struct {
  const VmNetLogOptions *options;
  VmTail *tail;        /* owned */
  GByteArray *pending; /* owned; the beginning of a line */
  GTimeZone *zone;     /* owned */
  gboolean broken;     /* nobody reads us any more */
} View;

static void
put_line (const View *view, const char *line, gsize length)
{
  g_autoptr (json_object) object = vm_net_log_parse (line, length);
  g_autofree char *text = NULL;

  if (object == NULL)
    return; /* cut by a full disk */
  text = view->options->json ? vm_json_line (object) : vm_net_log_to_text (object, view->zone);
  puts (text);
}

static void
put_new (View *view, guint lines)
{
  const guint8 *end;
  gsize from = 0;

  vm_tail_read (view->tail, view->pending);
  if (lines != G_MAXUINT)
    from = vm_tail_cut (view->pending->data, view->pending->len, lines);
  while (from < view->pending->len &&
         (end = memchr (view->pending->data + from, '\n', view->pending->len - from)) != NULL) {
    gsize length = (gsize)(end - (view->pending->data + from));

    put_line (view, (const char *)view->pending->data + from, length);
    from += length + 1;
  }
  if (from > 0)
    g_byte_array_remove_range (view->pending, 0, (guint)from);
  view->broken |= fflush (stdout) != 0;
}

static void
changed (gpointer data)
{
  put_new (data, G_MAXUINT);
}

gboolean
vm_net_log_show (VmContext *context, const VmRecord *record, const VmNetLogOptions *options, GError **error)
{
  vm_autofd dir_fd = vm_store_open_state (&context->dirs, record->id, error);
  View view = {.options = options};

  if (dir_fd < 0 || (view.tail = vm_tail_open (dir_fd, "net.log", error)) == NULL)
    return FALSE;
  view.pending = g_byte_array_new ();
  view.zone = g_time_zone_new_local ();
  put_new (&view, options->lines);
  if (options->follow && record->state != VM_STATE_ENDED) {
    vm_tail_follow (view.tail, &context->dirs, record->id, &view.broken, changed, &view);
    put_new (&view, G_MAXUINT);
  }
  g_time_zone_unref (view.zone);
  g_byte_array_unref (view.pending);
  vm_tail_free (view.tail);
  return TRUE;
}
