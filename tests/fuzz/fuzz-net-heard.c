/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmctl-net tells and logs is taken for the sandbox's own word. What comes through is plain: it ends up
 * on terminals, and a hint is a command that somebody may run. */
#include <stdint.h>
#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/net-log.h"
#include "vmctl/net-text.h"
#include "vmctl/refusals.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_plain (const char *text, const char *others)
{
  for (; *text != '\0'; text++)
    if (!g_ascii_isprint (*text) ||
        (others != NULL && !g_ascii_isalnum (*text) && strchr (others, *text) == NULL))
      __builtin_trap ();
}

static void
check_refusal (json_object *refusal)
{
  g_autoptr (VmRefusals) refusals = vm_refusals_new ("abcd1234");
  g_autofree char *hint = vm_net_hint ("abcd1234", refusal), *line = NULL;

  if (hint != NULL && g_str_has_prefix (hint, "vmctl "))
    check_plain (hint, " .-_:/");
  vm_refusals_add (refusals, refusal);
  line = vm_refusals_next (refusals);
  if (line != NULL)
    check_plain (line, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  json_object *line = vm_net_log_parse ((const char *)data, size);
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  VmNetHeard heard;

  if (line != NULL) {
    g_autofree char *text = vm_net_log_to_text (line, utc);

    check_plain (text, NULL);
    json_object_put (line);
  }
  vm_net_heard_parse ((const char *)data, size, &heard);
  if (heard.kind == VM_NET_HEARD_REFUSED)
    check_refusal (heard.object);
  vm_net_heard_clear (&heard);
  return 0;
}
