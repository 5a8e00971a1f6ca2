/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One framed connection (meta/frame.h) on the main context: supervisor to agent, supervisor to client, client
 * to supervisor. It moves frames and never blocks; flow control is its users' business, and bounds what is
 * queued here. */
#pragma once

#include <glib.h>

#include "meta/frame.h"

typedef struct VmLink VmLink;

typedef struct {
  /* A whole frame; `payload` is borrowed, valid for the call. The callee may call vm_link_free. */
  void (*frame) (VmLink *link, const FrameHeader *header, const guint8 *payload, gpointer data);
  /* The peer has gone or broke the format (`why`; NULL for a plain EOF). Called once; the link is dead
   * afterwards. */
  void (*closed) (VmLink *link, const char *why, gpointer data);
  /* The preamble was seen (only with `wants_preamble`). May be NULL. */
  void (*greeted) (VmLink *link, gpointer data);
} VmLinkHandlers;

/* Takes `fd`. `handlers` is borrowed and must outlive the link. */
VmLink *vm_link_new (int take_fd, gboolean wants_preamble, const VmLinkHandlers *handlers, gpointer data);
void vm_link_free (VmLink *link); /* NULL is fine; what is queued is dropped */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmLink, vm_link_free)

/* Queues a frame (at most FRAME_PAYLOAD_MAX bytes) and sends what fits. On a dead link: nothing. A peer for
 * which more than 32 MiB would wait is closed. */
void vm_link_send (VmLink *link, FrameType type, guint32 channel, FrameStream stream, const void *payload,
                   gsize length);
void vm_link_send_u32 (VmLink *link, FrameType type, guint32 channel, FrameStream stream, guint32 value);
void vm_link_send_size (VmLink *link, guint32 channel, guint16 rows, guint16 columns);

/* A field of OPEN or SETUP; `value` may be NULL when there are no bytes. */
void vm_link_append_field (GByteArray *payload, FrameTag tag, const void *value, gsize length);

/* Nothing more will be sent: the peer sees the end of the stream once the queue is out. Reading goes on. */
void vm_link_finish (VmLink *link);

/* Bytes that wait to be sent. */
gsize vm_link_queued (VmLink *link);
/* Tries for at most `timeout_ms` to get the queue out (used before an exit). */
void vm_link_flush (VmLink *link, int timeout_ms);
/* Hands on what the peer has sent and nobody has read yet, at once: the last words of one that has died. The
 * handlers may free the link. */
void vm_link_drain (VmLink *link);
