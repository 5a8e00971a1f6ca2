/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes to the running inside (meta/frame.h, CHANGE): what a device or a directory that was plugged needs.
 *
 *   bind NAME TARGET MODE   what the rw share has at NAME also at TARGET (made), MODE rw or ro
 *   unbind TARGET           takes that away again; absent is success
 *   disk SERIAL             the disk with this serial number is the user's. Result: its device
 *   port NAME               the virtio-serial port of this name is the user's, at /dev/virtio-ports/NAME
 *   unport NAME             takes that name away
 *   nic MAC ADDRESS GATEWAY
 *                           the network card with this hardware address is up, has the address, and a
 *                           default route behind those of the cards before it. Result: its name
 *   cpus N                  that many processors are in use, hot-added ones too. Result: how many are
 *   balloon                 the driver of the balloon is loaded (balloon.h)
 *   freeze MS [all]         the scratch disk stands still, or every disk, for so long at the most (freeze.h)
 *   thaw                    it goes on. Result: for how many microseconds it stood still
 *   memory SIZE             the same for memory, in MiB, in a way that lets it be taken away again. Result:
 *                           how much is in use
 *
 * Only in a virtual machine; elsewhere the outside does it all (EPERM).
 *
 * Each is done by a process of its own: a device takes its time to appear, and a share may belong to a file
 * server that has gone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct Agent;

enum { CHANGES_MAX = 8 /* at once; one more is refused with EAGAIN */ };

typedef struct {
  pid_t pid; /* 0: free */
  int fd;    /* owned; what it has to say */
  uint32_t number;
  bool is_unwanted; /* whoever asked has gone */
} Change;

/* The payload of CHANGE. 0 or -EPROTO. */
int change_begin (struct Agent *agent, const uint8_t *data, size_t n);
/* A child has ended; false: it is none of these. */
bool change_reaped (struct Agent *agent, pid_t pid, int status);
void change_link_lost (struct Agent *agent);
void change_free (struct Agent *agent);

/* change-do.c: in the process of its own. 0 or an errno; `text` (of `size` bytes, empty before) gets the
 * result. */
int change_do (struct Agent *agent, char *const *words, size_t n, char *text, size_t size);
