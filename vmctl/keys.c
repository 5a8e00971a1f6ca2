/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keys.h"

gboolean
vm_keys_feed (VmKeys *keys, const guint8 *bytes, gsize length, GByteArray *out)
{
  for (gsize i = 0; i < length; i++) {
    guint8 key = (guint8)keys->key;

    if (keys->key == 0) {
      g_byte_array_append (out, bytes + i, (guint)(length - i));
      return FALSE;
    }
    if (!keys->pending) {
      if (bytes[i] == key)
        keys->pending = TRUE;
      else
        g_byte_array_append (out, bytes + i, 1);
      continue;
    }
    keys->pending = FALSE;
    if (bytes[i] == 'd' || bytes[i] == 'D')
      return TRUE;
    g_byte_array_append (out, &key, 1);
    if (bytes[i] != key)
      g_byte_array_append (out, bytes + i, 1);
  }
  return FALSE;
}
