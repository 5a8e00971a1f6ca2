/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sandbox's helpers (vmctl-net), shared by supervisor-net.c (what they are told), supervisor-net-helper.c
 * (the connection to each) and supervisor-nics.c (those of cards that are plugged). */
#pragma once

#include "vmctl/net-text.h"
#include "vmctl/supervisor-net.h"

enum { VM_NIC_PASSED = 3 };

typedef struct {
  json_object *arguments; /* owned */
  QmpRequest *request;    /* owned */
} VmNetChange;

/* One, at one network card. */
typedef struct {
  VmNetHelpers *all; /* borrowed */
  char *card; /* owned; the id of a card that was plugged; NULL: of the one that was there from the start */
  int fd;     /* owned; -1: it was lost */
  guint tag;
  gboolean up, down;         /* it has said hello; it will not come again */
  gboolean is_ready;         /* it goes by a policy */
  gboolean owes;             /* it has not answered the change */
  guint serial;              /* of what it was told last */
  GQueue *questions;         /* owned; of what it has not answered (supervisor-net-helper.c) */
  int passed[VM_NIC_PASSED]; /* owned; packets, control, log: for the keeper; -1 */
} VmNetHelper;

struct VmNetHelpers {
  VmSupervisor *sup;   /* borrowed */
  GPtrArray *list;     /* owned; of VmNetHelper, owned; never empty but while it ends */
  guint serial;        /* the last that was used */
  VmNetChange *change; /* owned; the one that is under way; NULL */
  VmNetState changed;  /* what that comes to */
  guint timer;         /* until all have to have answered it */
  GQueue *changes;     /* owned; of VmNetChange: those that wait */
  gint64 second;       /* of the refusals that are counted */
  guint refusals;
};

/* supervisor-net-helper.c */
/* One more, which has not said hello. `fd` is taken; -1: there is no connection to it. (borrowed) */
VmNetHelper *vm_net_helper_add (VmSupervisor *sup, const char *card, int take_fd);
/* The last one takes `sup->net` along. */
void vm_net_helper_remove (VmNetHelper *helper);
/* NULL: there is none. (borrowed) */
VmNetHelper *vm_net_helper_find (VmSupervisor *sup, const char *card);
gboolean vm_net_helper_say (VmNetHelper *helper, const char *message, GError **error);
/* Both ends of a pair on which a frame is a datagram: for a helper, for QEMU. */
gboolean vm_net_make_frames (int ret_ends[2], GError **error);
int vm_net_open_log (VmSupervisor *sup, GError **error); /* -1 */

/* supervisor-net.c */
void vm_net_helper_said (VmNetHelper *helper, VmNetHeard *take_what);
void vm_net_tell_current (VmNetHelper *helper);
/* A helper has gone: perhaps nobody has to answer the change any more. */
void vm_net_settle (VmNetHelpers *all);
/* Changes are answered with `why`. */
void vm_net_refuse_changes (VmNetHelpers *all, const char *why);
/* The sandbox's policy is this one. */
void vm_net_put_on_record (VmSupervisor *sup, const VmNetState *state);
