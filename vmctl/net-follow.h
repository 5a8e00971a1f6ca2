/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl net log. */
#pragma once

#include "vmctl/record.h"
#include "vmctl/verb.h"

typedef struct {
  gboolean follow, json;
  guint lines; /* only the last; G_MAXUINT: all */
} VmNetLogOptions;

/* Prints what a sandbox, running or ended, was allowed and refused; with `follow` until it ends. */
gboolean
vm_net_log_show (VmContext *context, const VmRecord *record, const VmNetLogOptions *options, GError **error);
