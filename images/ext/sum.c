/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/ext/sum.h"

#include <gcrypt.h>
#include <string.h>

#include "vmctl/base/error.h"

enum { BLOCKS = 8, DIGEST = 32 };

typedef struct {
  guint8 *data; /* owned */
  gsize length; /* 0: the end */
} Block;

struct ImageSum {
  gcry_md_hd_t md;
  Block blocks[BLOCKS], end;
  GAsyncQueue *empty, *full; /* owned; of Block */
  GThread *thread;           /* owned; NULL once it has ended */
};

static gpointer
work (gpointer data)
{
  ImageSum *s = data;
  Block *b;

  while ((b = g_async_queue_pop (s->full)) != &s->end) {
    gcry_md_write (s->md, b->data, b->length);
    g_async_queue_push (s->empty, b);
  }
  return NULL;
}

ImageSum *
image_sum_new (GError **error)
{
  gcry_md_hd_t md;
  ImageSum *s;

  if (gcry_check_version (NULL) == NULL || gcry_control (GCRYCTL_DISABLE_SECMEM, 0) != 0 ||
      gcry_control (GCRYCTL_INITIALIZATION_FINISHED, 0) != 0 || gcry_md_open (&md, GCRY_MD_SHA256, 0) != 0) {
    vm_error (error, VM_ERROR_HOST, "libgcrypt cannot do SHA-256");
    return NULL;
  }
  s = g_new0 (ImageSum, 1);
  s->md = md;
  s->empty = g_async_queue_new ();
  s->full = g_async_queue_new ();
  for (guint i = 0; i < BLOCKS; i++) {
    s->blocks[i].data = g_malloc (IMAGE_SUM_BLOCK);
    g_async_queue_push (s->empty, &s->blocks[i]);
  }
  s->thread = g_thread_new ("sum", work, s);
  return s;
}

static void
finish (ImageSum *s)
{
  if (s->thread == NULL)
    return;
  g_async_queue_push (s->full, &s->end);
  (void)g_thread_join (s->thread);
  s->thread = NULL;
}

void
image_sum_free (ImageSum *s)
{
  if (s == NULL)
    return;
  finish (s);
  for (guint i = 0; i < BLOCKS; i++)
    g_free (s->blocks[i].data);
  g_async_queue_unref (s->empty);
  g_async_queue_unref (s->full);
  gcry_md_close (s->md);
  g_free (s);
}

guint8 *
image_sum_block (ImageSum *s)
{
  return ((Block *)g_async_queue_pop (s->empty))->data;
}

void
image_sum_put (ImageSum *s, guint8 *data, gsize length)
{
  Block *b = s->blocks;

  while (b->data != data)
    b++;
  b->length = length;
  g_async_queue_push (length > 0 ? s->full : s->empty, b);
}

void
image_sum_skip (ImageSum *s, guint64 length)
{
  while (length > 0) {
    gsize n = (gsize)MIN (length, (guint64)IMAGE_SUM_BLOCK);
    guint8 *block = image_sum_block (s);

    memset (block, 0, n);
    image_sum_put (s, block, n);
    length -= n;
  }
}

char *
image_sum_end (ImageSum *s)
{
  g_autoptr (GString) out = g_string_new (NULL);
  const guint8 *digest;

  finish (s);
  digest = gcry_md_read (s->md, GCRY_MD_SHA256);
  for (guint i = 0; i < DIGEST; i++)
    g_string_append_printf (out, "%02x", digest[i]);
  return g_strdup (out->str);
}
