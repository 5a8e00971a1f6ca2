/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libslirp, and what it wants of its program: a clock, timers, descriptors to wait for. */
#pragma once

#include <slirp/libslirp.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmctl/net/poll.h"

typedef struct {
  void (*frame) (void *data, const uint8_t *bytes, size_t length); /* for the sandbox */
  void (*opened) (void *data, int fd);
  void (*closed) (void *data, int fd);
} NetStackHost;

typedef struct NetStack NetStack;

/* `host_loopback`: 10.0.2.2 is this host's loopback; who calls keeps frames to it away. Aborts without
 * memory. */
NetStack *net_stack_new (bool host_loopback, const NetStackHost *host, void *data); /* `host` borrowed */
void net_stack_free (NetStack *stack);
Slirp *net_stack_slirp (NetStack *stack);
void net_stack_input (NetStack *stack, const uint8_t *bytes, size_t length);
/* `busy`: it has connections, so that its timers are wanted. */
void net_stack_fill (NetStack *stack, NetPoll *poll, bool busy);
void net_stack_serve (NetStack *stack, NetPoll *poll);
