/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an attached terminal is told of the network's refusals: the first three, a line each, and not into the
 * picture of a program that has the whole screen. Pure. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

enum { VM_REFUSALS_SHOWN = 3 };

/* Follows what is written to a terminal: does a program have the alternate screen? */
typedef struct {
  guint state, mode;
  gboolean is_one; /* of the modes of this sequence one is the screen's */
  gboolean full;
} VmFullScreen;

void vm_full_screen_feed (VmFullScreen *screen, const void *bytes, gsize length);

typedef struct VmRefusals VmRefusals;

VmRefusals *vm_refusals_new (const char *id);
void vm_refusals_free (VmRefusals *refusals);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmRefusals, vm_refusals_free)

/* One refusal (the data of SANDBOX_NET_REFUSED) is kept, if it is one of those that are told. */
void vm_refusals_add (VmRefusals *refusals, json_object *refusal);
/* The next line to show, without its end, escaped; NULL: none waits. (transfer full) */
char *vm_refusals_next (VmRefusals *refusals);
