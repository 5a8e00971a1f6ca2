/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent: the one program of vmctl that runs inside a sandbox. Static, libc only, one thread, one poll()
 * loop. Nothing in it may block for long or end the program: it is PID 1, and its end is a kernel panic.
 *
 * How it works
 *
 *   main.c     which of its lives it leads (PID 1 of a VM, --socket, --listen, `sudo`), and the loop
 *   boot.c     PID 1 only: /proc, /sys, /dev, kernel modules, the virtio-serial port
 *   premade.c  what a template has ready
 *   setup.c    PID 1 only: from a bare initramfs to the sandbox's root (mounts.c, ops.c, net.c, metaread.c)
 *   setup-image.c  the same with an image's root, and becoming its systemd (image-accounts.c, image-units.c;
 *              host-units.c: the host's)
 *   image-template.c  a template of such a machine, and what is left to do in one that goes on from it
 *   host-template.c  the same under the host's own systemd, whose root is a share
 *   link.c     the connection: input decoder, output queue, coming and going of the host
 *   dispatch.c what each frame does
 *   session.c  one command: its life from OPEN to EXIT   (launch.c: what to run, spawn.c: running it,
 *              stream.c: its stdin, stdout, stderr with credit, pty.c: terminals, console.c: the serial one)
 *   relays.c   sockets of the host inside (meta/relay.c: one connection)
 *   balloon.c  the driver of the balloon, which is loaded late
 *   forwards.c ports inside, for those outside
 *   change.c   what is plugged into it while it runs (change-do.c: doing it)
 *   desktop.c  a screen: X server and window manager (xclient.c: who asks it for pixels, and types)
 *   freeze.c   standing still for a snapshot (freeze-disk.c: what else is mounted)
 *   stop.c     POWEROFF (power.c: the last step)
 *   sudo.c     the `sudo` of a sandbox whose user may become root
 *
 * Every function that can fail returns 0 (or a count) or -errno. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/agent/balloon.h"
#include "meta/agent/change.h"
#include "meta/agent/forwards.h"
#include "meta/agent/desktop.h"
#include "meta/agent/link.h"
#include "meta/agent/metaread.h"
#include "meta/agent/poller.h"
#include "meta/agent/premade.h"
#include "meta/agent/relays.h"
#include "meta/agent/session.h"
#include "meta/agent/util.h"
#include "meta/frame.h"

/* Channels that were refused but whose OPEN frames are still coming have to be remembered too. */
enum { AGENT_REFUSED_MAX = 16, AGENT_SESSIONS = FRAME_CHANNELS_MAX + AGENT_REFUSED_MAX };

typedef enum { AGENT_WAITING, AGENT_UP, AGENT_FAILED } AgentState;

/* How the main command ended, kept for a host that comes later. */
typedef struct {
  bool started, ended;
  uint8_t kind;
  uint32_t value;
} AgentMain;

typedef struct {
  bool wanted;
  bool had_ended;   /* the main command, before anybody asked for the end */
  bool by_init;     /* systemd, which ends the service, or all */
  bool killed;      /* SIGKILL was sent */
  int64_t deadline; /* ms; SIGKILL, later the end */
} AgentStop;

typedef struct Agent {
  bool vm;      /* in a VM, root: boots, mounts, sets identities, powers off; PID 1 unless */
  bool service; /* ... an image's systemd is that, and started us */
  int lifeline_fd, lifeline_poll; /* owned; -1: none */
  char *filter;                   /* owned; a BPF program for the commands, NULL: none */
  size_t filter_size;
  uint64_t only_uid; /* the meta dir may name no other; UINT64_MAX: any */
  bool contained;    /* in a container or namespaces: the tree was made by others, nobody becomes root */
  AgentState state;
  Why failure;                          /* AGENT_FAILED */
  uint64_t started_us, setup_us, up_us; /* CLOCK_MONOTONIC */

  Link link;
  Poller poller;
  int signal_fd, signal_poll;
  pid_t modules_pid; /* loads kernel modules, or 0 */
  int meta_fd;       /* --meta, else -1 */
  int scratch_fd; /* owned; the root of the scratch disk's file system, which has no path, or of an image's;
                     -1: none */
  char *bundle;   /* owned; the meta dir's, if it came with SETUP, as long as that takes */
  size_t bundle_size;
  Meta meta; /* AGENT_UP */
  Premade premade;
  bool is_template; /* this machine was saved before it was anybody's: it may not go on without a seed, ... */
  bool is_seeded;   /* ... a clock, a name and an address of its own */
  bool has_clock;
  unsigned power_port; /* found by a template (power.h); 0: not yet */

  Session sessions[AGENT_SESSIONS];
  unsigned turn; /* whose streams go first */
  Relays relays;
  Desktop desktop;
  Forward forwards[FRAME_FORWARDS_MAX];
  Change changes[CHANGES_MAX];
  int balloon_fd; /* owned; the balloon's driver, which is loaded later; -1: it has been, or there is none */
  int64_t balloon_ms; /* when it is due, now_ms (); 0: not known yet */
  AgentMain main;
  AgentStop stop;
  int console_fd, console_poll; /* waiting for a line on the serial console, or -1 */
  int console_told;             /* the AgentState that was explained there, or -1 */
  pid_t console_pid;            /* the emergency shell, or 0 */
} Agent;

/* main.c */
int agent_run (Agent *agent); /* until it is to end; the exit status */

/* dispatch.c: takes what has been read. 0 or -EPROTO. */
int agent_dispatch (Agent *agent);
void agent_log (Agent *agent, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void agent_link_up (Agent *agent);                    /* a host has come: HELLO and what it must know */
void agent_link_lost (Agent *agent, const char *why); /* it has gone, or has to be thought gone */
uint64_t agent_age_us (const Agent *agent);

/* boot.c */
/* Descriptors 0-2, /proc, /sys, /dev, and the modules up to the port's; `*ret_modules` loads the others.
 * `*ret_balloon` (owned): the one that is loaded later (balloon.h); -1. */
int boot_begin (pid_t *ret_modules, int *ret_balloon);
void boot_wait_modules (Agent *agent); /* until all are loaded */
int boot_find_port (void);             /* the agent's port, non-blocking; does not return without one */
int boot_seed (const uint8_t *seed, size_t n);
int boot_set_clock (int64_t seconds, uint32_t nanoseconds);

/* setup.c */
int setup_vm (Agent *agent, Why *why);
/* Whatever can be done before anybody's data is known, in a machine that becomes a template. */
int setup_prepare (Agent *agent, Why *why);
/* Not a VM: what is left to do in a root that others have made. */
int setup_here (Agent *agent, Why *why);
/* setup-image.c */
int setup_hand_over (Agent *agent, Why *why); /* PID 1 becomes an image's systemd; returns what went wrong */
int setup_service (Agent *agent, Why *why);   /* in the service: what is left to do then */

/* image-template.c */
/* PID 1 becomes the systemd of the image that setup_prepare has found; without one it does nothing. Only a
 * failure, or that, comes back. */
int setup_image_become (Agent *agent, Why *why);
void setup_image_settle (Agent *agent);        /* in the service: all is there, and can be saved */
int setup_image_late (Agent *agent, Why *why); /* in the service of a machine that went on */

/* console.c */
void console_watch (Agent *agent); /* (re-)arms the emergency shell */
void console_prepare_poll (Agent *agent);
void console_handle (Agent *agent);
bool console_reaped (Agent *agent, pid_t pid);
int console_open (void); /* the serial console as a sane terminal, or -errno */

/* stop.c */
void stop_begin (Agent *agent, unsigned grace_ms);
int stop_step (Agent *agent); /* 1: nothing is left, or the time is up */
int stop_timeout (const Agent *agent, int timeout);
void stop_power_off (Agent *agent);

/* sudo.c */
int sudo_main (int argc, char **argv);
