/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/refusals.h"

#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/net-log.h"
#include "vmctl/show.h"

/* ESC [ ? 1049 h, and the older 47 and 1047; l ends it. Several modes may stand in one sequence. */

enum { TEXT, ESCAPE, BRACKET, MODES, MODE_MAX = 99999 };

static gboolean
is_screen (guint mode)
{
  return mode == 47 || mode == 1047 || mode == 1049;
}

static void
feed_mode (VmFullScreen *screen, char c)
{
  if (g_ascii_isdigit (c)) {
    screen->mode = MIN (screen->mode * 10 + (guint)(c - '0'), MODE_MAX);
    return;
  }
  screen->is_one |= is_screen (screen->mode);
  screen->mode = 0;
  if (c == ';')
    return;
  screen->state = c == '\033' ? ESCAPE : TEXT;
  if (screen->is_one && (c == 'h' || c == 'l'))
    screen->full = c == 'h';
}

static void
feed (VmFullScreen *screen, char c)
{
  switch (screen->state) {
  case TEXT:
    screen->state = c == '\033' ? ESCAPE : TEXT;
    break;
  case ESCAPE:
    screen->state = c == '[' ? BRACKET : c == '\033' ? ESCAPE : TEXT;
    if (c == 'c') /* a reset */
      screen->full = FALSE;
    break;
  case BRACKET:
    screen->state = c == '?' ? MODES : c == '\033' ? ESCAPE : TEXT;
    screen->mode = 0;
    screen->is_one = FALSE;
    break;
  default:
    feed_mode (screen, c);
  }
}

void
vm_full_screen_feed (VmFullScreen *screen, const void *bytes, gsize length)
{
  const char *text = bytes;

  for (gsize i = 0; i < length; i++)
    feed (screen, text[i]);
}

struct VmRefusals {
  char *id;         /* owned */
  GHashTable *seen; /* owned; of char *: what was to be reached */
  GQueue *lines;    /* owned; of char *: those that wait */
};

VmRefusals *
vm_refusals_new (const char *id)
{
  VmRefusals *refusals = g_new0 (VmRefusals, 1);

  refusals->id = g_strdup (id);
  refusals->seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  refusals->lines = g_queue_new ();
  return refusals;
}

void
vm_refusals_free (VmRefusals *refusals)
{
  if (refusals == NULL)
    return;
  g_free (refusals->id);
  g_hash_table_unref (refusals->seen);
  g_queue_free_full (refusals->lines, g_free);
  g_free (refusals);
}

/* Programs try these by themselves, and do without: that is nothing to act upon. */
static gboolean
is_noise (const char *rule, const char *name)
{
  return (name != NULL && g_str_has_suffix (name, ".arpa")) || g_str_has_prefix (rule, "QUIC") ||
         g_str_equal (rule, "multicast") || g_str_equal (rule, "broadcast");
}

void
vm_refusals_add (VmRefusals *refusals, json_object *refusal)
{
  const char *rule = vm_json_str (refusal, "rule", ""), *name = vm_json_str (refusal, "name", NULL);
  const char *what = name != NULL ? name : vm_json_str (refusal, "address", NULL);
  g_autofree char *target = NULL, *hint = NULL, *line = NULL;

  if (what == NULL || is_noise (rule, name) || g_hash_table_size (refusals->seen) >= VM_REFUSALS_SHOWN ||
      !g_hash_table_add (refusals->seen, g_strdup (what)))
    return;
  target = vm_net_target (refusal);
  hint = vm_net_hint (refusals->id, refusal);
  if (hint != NULL)
    line = g_strdup_printf ("vmctl: the sandbox was refused %s (%s); %s%s", target, rule,
                            g_str_has_prefix (hint, "vmctl ") ? "allow it: " : "", hint);
  else
    line = g_strdup_printf ("vmctl: the sandbox was refused %s (%s); see: vmctl net log %s", target, rule,
                            refusals->id);
  g_queue_push_tail (refusals->lines, vm_show_safe (line, -1));
}

char *
vm_refusals_next (VmRefusals *refusals)
{
  return g_queue_pop_head (refusals->lines);
}
