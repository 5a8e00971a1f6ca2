/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's state, shared by its files: supervisor.c (entry and main loop), supervisor-start.c (steps
 * of a start, taking over), supervisor-agent.c (the agent's connection), supervisor-stop.c (ways to end),
 * control.c (commands). */
#pragma once

#include <glib.h>

#include "qmp/client.h"
#include "qmp/server.h"
#include "vmctl/console.h"
#include "vmctl/driver.h"
#include "vmctl/link.h"
#include "vmctl/log.h"
#include "vmctl/plan.h"
#include "vmctl/record.h"
#include "vmctl/session.h"
#include "vmctl/supervisor.h"

typedef enum { VM_STOP_NOT, VM_STOP_POWERDOWN, VM_STOP_QUIT, VM_STOP_KILL } VmStopStep;

typedef struct {
  const VmDirs *dirs;                    /* borrowed */
  const VmDriver *driver;                /* borrowed */
  VmPlan *plan;                          /* owned */
  VmRecord *record;                      /* owned */
  GMainLoop *loop;                       /* owned */
  int runtime_fd, state_fd, lock_fd;     /* owned */
  VmLog *log, *console_log, *output_log; /* owned */
  VmStartOptions start;

  QmpServer *control;   /* owned */
  GArray *waiting;      /* owned; commands that wait for the agent; NULL: none */
  QmpClient *qmp;       /* owned; NULL: none, or lost */
  VmLink *agent;        /* owned; NULL: none */
  gboolean agent_up;    /* its fix-up is done */
  VmSessions *sessions; /* owned */
  VmConsole *console;   /* owned; NULL for drivers without one */

  int keeper_fd;    /* owned; connected SOCK_SEQPACKET */
  int keeper_pidfd; /* owned */
  int vmm_stderr;   /* owned; what the keeper and its children say */
  int signal_fd;    /* owned */
  guint signal_tag;
  guint keeper_tag, pidfd_tag, stderr_tag, lifeline_tag;
  GString *last_words; /* the end of that, for the reason */

  int lifeline; /* owned; the starting client's end of the ready socket */
  guint boot_timer, stop_timer, lost_timer;
  guint greet_timer, away_ms; /* taking over: until the agent greets, and how long its line is let go of */
  VmStopStep stop_step;
  guint powerdown_ms; /* deadline of the first step */
  gboolean adopted, finished;
} VmSupervisor;

/* supervisor.c */
gboolean vm_supervisor_save (VmSupervisor *sup, GError **error); /* the record */
void vm_supervisor_step (VmSupervisor *sup, const char *step);   /* record the step, failpoint */
void vm_supervisor_set_state (VmSupervisor *sup, VmState state); /* record, and the SANDBOX_STATE event */
void vm_supervisor_emit (VmSupervisor *sup, const char *name, json_object *take_data);

/* supervisor-start.c */
gboolean vm_supervisor_launch (VmSupervisor *sup, GError **error);
gboolean vm_supervisor_take_over (VmSupervisor *sup, GError **error);

/* supervisor-agent.c */
void vm_supervisor_connect_agent (VmSupervisor *sup, int take_fd);
void vm_supervisor_make_sessions (VmSupervisor *sup);

/* supervisor-stop.c */
/* Begins to end the sandbox: powerdown, after `powerdown_ms` quit, then kill. The first reason stays. A
 * stronger first step overtakes a running stop. */
void vm_supervisor_stop (VmSupervisor *sup, VmReason reason, const char *text, VmStopStep first,
                         guint powerdown_ms);
/* After taking over a sandbox that was being stopped. */
void vm_supervisor_go_on_stopping (VmSupervisor *sup);
/* The agent has come (again): it is told, if it should power off. */
void vm_supervisor_agent_can_stop (VmSupervisor *sup);
/* The sandbox's processes have ended: `how` is the keeper's "status N" or "signal N", NULL: unknown. Writes
 * the last record, cleans up, ends the loop. */
void vm_supervisor_finish (VmSupervisor *sup, const char *how);

/* control.c */
gboolean vm_control_start (VmSupervisor *sup, GError **error);
/* Runs the commands that came before the agent was up, or tells them that it never will be. */
void vm_control_agent_up (VmSupervisor *sup);
void vm_control_refuse_waiting (VmSupervisor *sup, const char *why);

enum {
  VM_STOP_QUIT_MS = 5000,       /* QEMU's quit may take so long before it is killed */
  VM_STOP_POWERDOWN_MS = 10000, /* the default of the first step */
};
