/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/tail-follow.h"

#include <glib-unix.h>
#include <unistd.h>

#include "vmctl/client.h"
#include "vmctl/store.h"

typedef struct {
  void (*changed) (gpointer data);
  gpointer data;
  gboolean *broken;
} Following;

static gboolean
got_change (int fd, GIOCondition condition, gpointer data)
{
  const Following *following = data;

  following->changed (following->data);
  return G_SOURCE_CONTINUE;
}

static gboolean
reader_gone (int fd, GIOCondition condition, gpointer data)
{
  *((Following *)data)->broken = TRUE;
  return G_SOURCE_CONTINUE; /* it is removed at once */
}

/* Its control socket says when the sandbox has ended. A supervisor that was killed is replaced by looking. */
void
vm_tail_follow (VmTail *tail, const VmDirs *dirs, const char *id, gboolean *broken,
                void (*changed) (gpointer data), gpointer data)
{
  Following following = {changed, data, broken};
  guint changes = g_unix_fd_add (vm_tail_fd (tail), G_IO_IN, got_change, &following);
  guint reader = g_unix_fd_add (STDOUT_FILENO, G_IO_ERR, reader_gone, &following);

  while (!*broken) {
    g_autoptr (VmRecord) record = vm_store_find (dirs, id, FALSE, NULL);
    g_autoptr (VmClient) client = record != NULL ? vm_client_connect (dirs, id, NULL) : NULL;

    if (client == NULL)
      break;
    while (!client->closed && !*broken)
      g_main_context_iteration (NULL, TRUE);
  }
  g_source_remove (changes);
  g_source_remove (reader);
}
