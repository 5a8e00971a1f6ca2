/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's state, shared by its files: supervisor.c (entry and main loop), supervisor-start.c (steps
 * of a start, taking over), supervisor-meta.c (the meta dir), supervisor-net*.c and supervisor-nics.c
 * (vmctl-net), supervisor-template.c (templates), supervisor-restart.c (starting again), supervisor-screen.c
 * and supervisor-vnc.c (the screen), supervisor-agent.c (the agent's connection), supervisor-stop.c (ways to
 * end), control.c (commands). */
#pragma once

#include <glib.h>

#include "qmp/client.h"
#include "qmp/server.h"
#include "vmctl/console.h"
#include "vmctl/driver.h"
#include "vmctl/forwards.h"
#include "vmctl/lines.h"
#include "vmctl/link.h"
#include "vmctl/log.h"
#include "vmctl/plan.h"
#include "vmctl/record.h"
#include "vmctl/relays.h"
#include "vmctl/session.h"
#include "vmctl/supervisor.h"

typedef struct VmPlugs VmPlugs;
typedef struct VmNetHelpers VmNetHelpers;
typedef struct VmRestore VmRestore;

typedef enum { VM_STOP_NOT, VM_STOP_POWERDOWN, VM_STOP_QUIT, VM_STOP_KILL } VmStopStep;

/* What becomes of the sandbox when its processes have ended. */
typedef enum {
  VM_AGAIN_BY_POLICY, /* as the plan says */
  VM_AGAIN_ASKED,     /* it starts again */
  VM_AGAIN_NEVER,     /* it was stopped */
} VmAgain;

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
  GBytes *bundle;       /* owned; of the meta dir; NULL: it was written by another supervisor */
  gboolean agent_hello; /* it has said hello on this connection */
  gboolean agent_up;    /* its fix-up is done */
  VmSessions *sessions; /* owned */
  VmRelays *relays;     /* owned */
  VmForwards *forwards; /* owned */
  VmLines *lines;       /* owned */
  VmPlugs *plugs;       /* owned; vmctl/supervisor-plug.h */
  VmRestore *restore;   /* owned; of a snapshot; vmctl/supervisor-snapshot.h; NULL: none is under way */
  VmNetHelpers *net;    /* owned; vmctl/supervisor-net.h; NULL: there are none */
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
  int refused_fd;             /* owned; counts processes that could not be made */
  guint refused_tag;
  guint64 oom_kills; /* as far as they have been told */
  gint64 oom_seen;   /* monotonic time of the last look that found more; 0: never */
  VmStopStep stop_step;
  guint powerdown_ms; /* deadline of the first step */
  gboolean adopted, finished;
  gboolean began_without_net; /* the machine's own network card leads nowhere */
  VmAgain again;
  guint again_timer;           /* nothing runs, and it starts again */
  guint watchdog_timer, pings; /* --watchdog; questions that were not answered */

  guint pointer_x, pointer_y; /* where the pointer was last put, or seen, on the screen */
  int control_fd;             /* owned; control.sock, until it is served; -1 */
  int vnc_fd;                 /* owned; listens for VNC's clients; -1 */
  guint vnc_tag;
  int window_pidfd; /* owned; of the viewer that is the sandbox's window; -1 */
  int window_said;  /* owned; what it complains of; -1 */
  guint window_tag, window_said_tag;

  int stamp_fd; /* owned; says when QEMU is executed; -1 */
  guint stamp_tag;
  int state_slot;         /* the number that a template's state has in QEMU */
  guint template_timer;   /* until a machine from a template answers */
  guint boot_instead_tag; /* it will not: another one boots */
  int maker_pidfd;        /* owned; of the process that makes a template */
  guint maker_tag;
} VmSupervisor;

/* supervisor.c */
gboolean vm_supervisor_save (VmSupervisor *sup, GError **error); /* the record */
/* A step of the start: logged, and a failpoint. As long as there is nobody but us the record need not tell:
 * our lock does. What others see, or what a next supervisor needs, goes on record first. */
void vm_supervisor_step (VmSupervisor *sup, const char *step);
void vm_supervisor_step_on_record (VmSupervisor *sup, const char *step);
void vm_supervisor_set_state (VmSupervisor *sup, VmState state); /* record, and the SANDBOX_STATE event */
void vm_supervisor_emit (VmSupervisor *sup, const char *name, json_object *take_data);
/* On the record, and the SANDBOX_WARNING event; once for each text. */
void vm_supervisor_warn (VmSupervisor *sup, const char *text);
/* The same, and the event however often. */
void vm_supervisor_warn_again (VmSupervisor *sup, const char *text);

/* supervisor-start.c */
gboolean vm_supervisor_launch (VmSupervisor *sup, GError **error);
gboolean vm_supervisor_take_over (VmSupervisor *sup, GError **error);

/* A descriptor of the keeper's, by its request `what` with one word (NULL: none); -1: it has none. */
int vm_supervisor_ask_keeper (VmSupervisor *sup, const char *what, const char *word);

/* The directory through which more is let in later, empty. */
gboolean vm_supervisor_make_door (VmSupervisor *sup, GError **error);
/* Keeper, bwrap and QEMU, and the connections to them. */
gboolean vm_supervisor_start_machine (VmSupervisor *sup, GError **error);
void vm_supervisor_await_boot (VmSupervisor *sup); /* boot_timeout begins */
/* The same; it boots if its template is no good. */
gboolean vm_supervisor_start_somehow (VmSupervisor *sup, GError **error);
/* The plan, for a supervisor that takes over. */
gboolean vm_supervisor_keep_plan (VmSupervisor *sup, GError **error);

/* supervisor-template.c */
void vm_supervisor_resume (VmSupervisor *sup);  /* QEMU is started: it goes on from the template */
void vm_supervisor_resumed (VmSupervisor *sup); /* the agent greets */
/* The template is no good; the plan is one that boots. Tells why. */
void vm_supervisor_give_up_template (VmSupervisor *sup, const char *why, gboolean remove);
/* What there is of a machine, as if it had never been. */
void vm_supervisor_forget_machine (VmSupervisor *sup);
/* The same for a machine that was started from it and has not greeted: soon another one boots. */
void vm_supervisor_boot_instead (VmSupervisor *sup, const char *why, gboolean remove);
/* The machine has ended, as the keeper says. TRUE: that is the template's fault, and another one boots. */
gboolean vm_supervisor_template_failed (VmSupervisor *sup, const char *how);
/* The main command runs: what it took to come here is a list for the next machines. */
void vm_supervisor_template_started (VmSupervisor *sup);
/* The agent is up: the template was good, or one is made. */
void vm_supervisor_template_up (VmSupervisor *sup);

/* supervisor-meta.c. The directory has to be there for those who mount it; its content is the agent's, which
 * asks for it by its greeting. */
gboolean vm_supervisor_make_meta (VmSupervisor *sup, GError **error);
gboolean vm_supervisor_write_meta (VmSupervisor *sup, GError **error);

/* supervisor-net.c */
/* The slots of vm_driver_add_keeper. */
gboolean vm_supervisor_bind_net (VmSupervisor *sup, VmArgv *argv, GError **error);
/* vmctl-net ended: "net restarted signal N", "net down status N"; that of a card: "nic ID down status N". */
void vm_supervisor_net_said (VmSupervisor *sup, const char *text);

/* supervisor-agent.c */
void vm_supervisor_connect_agent (VmSupervisor *sup, int take_fd);
void vm_supervisor_make_sessions (VmSupervisor *sup); /* relays, forwards and plugs, too */

/* What the plan plugs is there: the command may start, and those of clients. */
void vm_supervisor_release_command (VmSupervisor *sup);

/* The sandbox was frozen while we took over, and can greet now. */
void vm_supervisor_agent_woke (VmSupervisor *sup);

/* supervisor-limits.c */
/* Makes the control group with the plan's limits, and binds the slots by which the keeper's child gets in. */
gboolean vm_supervisor_make_groups (VmSupervisor *sup, VmArgv *argv, GError **error);
/* Kills what is left in it. */
void vm_supervisor_remove_groups (VmSupervisor *sup);
/* What was counted before we came has been told. */
void vm_supervisor_take_over_limits (VmSupervisor *sup);
/* Tells when no process can be made any more. */
void vm_supervisor_watch_groups (VmSupervisor *sup);
/* Something died of SIGKILL: the main command, or all of it. If the kernel did that for want of memory, that
 * is the reason of the end. */
void vm_supervisor_blame_memory (VmSupervisor *sup);
/* Both limits, now: before somebody is told how the sandbox is, or how it ended. */
void vm_supervisor_look_at_limits (VmSupervisor *sup);
/* Processes that were killed for want of memory since it was last asked are told of. */
void vm_supervisor_warn_memory (VmSupervisor *sup);
/* For drivers without QMP: freezes or thaws. */
gboolean vm_supervisor_pause (VmSupervisor *sup, gboolean paused, GError **error);
void vm_supervisor_wake (VmSupervisor *sup);
void vm_supervisor_ask_whether_paused (VmSupervisor *sup);

/* supervisor-stop.c */
/* Begins to end the sandbox: powerdown, after `powerdown_ms` quit, then kill. The first reason stays. A
 * stronger first step overtakes a running stop. */
void vm_supervisor_stop (VmSupervisor *sup, VmReason reason, const char *text, VmStopStep first,
                         guint powerdown_ms);
/* What `powerdown_ms` is unless somebody says otherwise. */
guint vm_supervisor_powerdown_ms (const VmPlan *plan);
/* After taking over a sandbox that was being stopped. */
void vm_supervisor_go_on_stopping (VmSupervisor *sup);
/* The agent has come (again): it is told, if it should power off. */
void vm_supervisor_agent_can_stop (VmSupervisor *sup);
/* The sandbox's processes have ended: `how` is the keeper's "status N" or "signal N", NULL: unknown. Writes
 * the last record, cleans up, ends the loop. */
void vm_supervisor_finish (VmSupervisor *sup, const char *how);

/* supervisor-restart.c */
/* Ends what runs, beginning with the step `first`, and starts the same plan again. BUSY in the foreground of
 * a client, and for a sandbox that is being ended. `why` is for people. */
gboolean vm_supervisor_restart (VmSupervisor *sup, const char *why, VmStopStep first, guint powerdown_ms,
                                GError **error);
/* Whether that could be asked for now. */
gboolean vm_supervisor_can_restart (VmSupervisor *sup, GError **error);
/* All has ended, and the record says why. TRUE: it starts again, which somebody asked for or the plan wants.
 */
gboolean vm_supervisor_again (VmSupervisor *sup);
gboolean vm_supervisor_is_failure (const VmRecord *record);
/* Until it starts again after so many failures before this one. */
guint vm_supervisor_restart_delay (guint failures);

/* supervisor-watchdog.c */
void vm_supervisor_watch_agent (VmSupervisor *sup); /* it is up */
void vm_supervisor_agent_answered (VmSupervisor *sup);
/* supervisor-screen.c: the commands query-screen, screendump and input-send-event. The last two: FALSE, and
 * the request is still the caller's, for what QEMU alone can answer. */
void vm_screen_query (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
gboolean vm_screen_dump (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
gboolean vm_screen_input (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

/* supervisor-vnc.c: with --display vnc, lets clients in at vnc.sock of the runtime directory. */
gboolean vm_supervisor_listen_vnc (VmSupervisor *sup, GError **error);

/* supervisor-window.c: the window of a sandbox without a machine, where its plan has one. */
void vm_supervisor_open_window (VmSupervisor *sup); /* the agent is up */
void vm_supervisor_close_window (VmSupervisor *sup);

/* control-net.c, control-plug.c: commands, as those of control.c */
void vm_control_query_net (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_net_change (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_plug (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_unplug (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);
void vm_control_query_devices (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request);

/* control.c */
gboolean vm_control_listen (VmSupervisor *sup, GError **error);
/* Whoever has connected since then is served from the main loop on. */
void vm_control_start (VmSupervisor *sup);
/* Runs the commands that came before the agent was up, or tells them that it never will be. */
void vm_control_agent_up (VmSupervisor *sup);
void vm_control_refuse_waiting (VmSupervisor *sup, const char *why);

enum {
  VM_STOP_QUIT_MS = 5000,       /* QEMU's quit may take so long before it is killed */
  VM_STOP_POWERDOWN_MS = 10000, /* the default of the first step */
  VM_STOP_INIT_MS = 30000,      /* likewise, where an image's systemd stops its services first */
};
