/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The detach key in a stream of typed bytes. KEY d detaches; KEY KEY sends the key once; KEY and anything
 * else sends both; KEY alone, with nothing after it for VM_KEYS_WAIT_MS, detaches as well. */
#pragma once

#include <glib.h>

enum { VM_KEYS_WAIT_MS = 1000 };

typedef struct {
  char key;         /* 0: no detach key */
  gboolean pending; /* the key was typed, and the next byte decides */
} VmKeys;

/* Appends to `out` what goes on to the command. TRUE: detach now (what follows in `bytes` is dropped). */
gboolean vm_keys_feed (VmKeys *keys, const guint8 *bytes, gsize length, GByteArray *out);
