/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/trace.h"

#include "vmctl/base/json.h"

/* What came before the moment, as a name for the stage that ends with it. */
static const struct {
  const char *key, *stage;
} stamps_table[VM_STAMP_N] = {
    [VM_STAMP_BEGAN] = {"began", NULL},
    [VM_STAMP_PLANNED] = {"planned", "plan"},
    [VM_STAMP_SUPERVISED] = {"supervised", "supervisor"},
    [VM_STAMP_LAUNCHED] = {"launched", "keeper"},
    [VM_STAMP_JAILED] = {"jailed", "jail"},
    [VM_STAMP_MONITORED] = {"monitored", "QEMU"},
    [VM_STAMP_GREETED] = {"greeted", "boot"},
    [VM_STAMP_UP] = {"up", "fix-up"},
    [VM_STAMP_STARTED] = {"started", "command's start"},
    [VM_STAMP_EXITED] = {"exited", "command"},
    [VM_STAMP_ENDED] = {"ended", "end"},
};

json_object *
vm_stamps_to_json (const gint64 *stamps)
{
  json_object *object = json_object_new_object ();

  for (guint i = 0; i < VM_STAMP_N; i++)
    if (stamps[i] != 0)
      vm_json_add_int (object, stamps_table[i].key, stamps[i]);
  return object;
}

void
vm_stamps_from_json (json_object *object, gint64 *ret)
{
  for (guint i = 0; i < VM_STAMP_N; i++)
    ret[i] = vm_json_int (object, stamps_table[i].key, 0);
}

guint
vm_stages (const gint64 *stamps, gboolean is_template, VmStage ret[VM_STAGES_MAX])
{
  gint64 last = stamps[VM_STAMP_BEGAN];
  guint n = 0;

  for (guint i = VM_STAMP_PLANNED; last != 0 && i < VM_STAMP_N; i++) {
    if (stamps[i] < last) /* not seen; or a clock that was set */
      continue;
    ret[n].name = i == VM_STAMP_GREETED && is_template ? "resume" : stamps_table[i].stage;
    ret[n++].microseconds = stamps[i] - last;
    last = stamps[i];
  }
  return n;
}

char *
vm_stages_to_text (const gint64 *stamps, gboolean is_template)
{
  g_autoptr (GString) out = g_string_new (NULL);
  VmStage stages[VM_STAGES_MAX];
  guint n = vm_stages (stamps, is_template, stages);
  gint64 total = 0;

  for (guint i = 0; i < n; i++) {
    g_string_append_printf (out, "%9.1f ms  %s\n", (double)stages[i].microseconds / 1000, stages[i].name);
    total += stages[i].microseconds;
  }
  g_string_append_printf (out, "%9.1f ms  in all\n", (double)total / 1000);
  return g_strdup (out->str);
}
