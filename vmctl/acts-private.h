/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to acts.c, acts-copy.c and acts-job.c: the act that is under way. */
#pragma once

#include "vmctl/acts.h"
#include "vmctl/base/error.h"

enum { VM_ACT_WAIT_MS = 15000 }; /* for an answer; the agent waits 8 s for a device to appear */

struct VmActs {
  VmSupervisor *sup; /* borrowed */
  int fd;            /* owned; -1: none */
  VmActDone done;    /* NULL: nothing is under way */
  gpointer data;
  guint serial; /* of the act that is; answers to older ones mean nothing */
  guint timer;  /* gives it up */
  gboolean asks_keeper;
  guint strays;           /* answers of the keeper that nobody waits for any more */
  guint32 change;         /* the agent's number; 0: it is not asked */
  guint32 last_change;    /* ever used */
  char *card;             /* owned; its vmctl-net is waited for; NULL */
  char *awaits;           /* owned; of this device QEMU is to say that it has gone; NULL */
  gboolean is_gone;       /* it has said so */
  gboolean is_asked;      /* QEMU has taken the wish */
  gboolean repeats;       /* the wish can get lost */
  guint said;             /* how often it was, without an answer */
  guint refusals;         /* how often the guest has said no */
  gboolean is_refused;    /* it has, and is to be asked again; it may say so by two events */
  gint64 wanted, reached; /* of the balloon, bytes; 0: it is not asked */
  guint idle;             /* how often it has not changed */
  char **jobs;            /* owned; of QEMU's, that are followed to their end; NULL */
  gboolean cancels_jobs;
};

/* What an answer is told by. */
typedef struct {
  VmActs *acts; /* borrowed */
  guint serial;
} VmActAsked;

/* The act is over. `error` is taken; NULL: it is done. */
void vm_acts_finish (VmActs *acts, GError *take_error, const char *result);
void vm_acts_fail (VmActs *acts, VmErrorCode code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* acts-copy.c: what a copy of a disk that was plugged needs. */
void vm_acts_copy (VmActs *acts, const char *command, json_object *arguments);

/* acts-job.c. `command`: finish or cancel. */
void vm_acts_follow_jobs (VmActs *acts, const char *command, json_object *arguments);
/* QEMU's JOB_STATUS_CHANGE. */
void vm_acts_job_changed (VmActs *acts, json_object *event_data);
