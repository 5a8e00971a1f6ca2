/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to flows*.c. */
#pragma once

#include "vmctl/net/flows.h"
#include "vmctl/net/hello.h"
#include "vmctl/net/make.h"
#include "vmctl/net/ping.h"
#include "vmctl/net/udp.h"

enum {
  NET_TCP_SLOTS = NET_FLOWS_TCP_MAX + NET_FLOWS_ENDING_MAX,
  NET_TCP_BUCKETS = 2048,
  NET_TCP_FDS = 4096, /* descriptors are below (isolate.c) */
};

typedef enum {
  NET_TCP_FREE,
  NET_TCP_ASKED,    /* SYN */
  NET_TCP_ANSWERED, /* SYN, ACK */
  NET_TCP_OPEN,
  NET_TCP_CUT, /* until libslirp has closed it */
} NetTcpState;

/* What is known of what the sandbox said first. */
typedef enum {
  NET_TCP_SILENT,    /* nothing was said yet */
  NET_TCP_UNSEEN,    /* something was said that nobody had to look at; the name may be a lie */
  NET_TCP_HOLDING,   /* it is kept here until it is known whom it is for */
  NET_TCP_RELEASED,  /* it may pass, and libslirp has yet to acknowledge what was kept */
  NET_TCP_INSPECTED, /* it was allowed for its name */
} NetTcpSaid;

typedef struct {
  uint32_t address;
  uint16_t port, guest_port;
  int16_t next; /* in its bucket, or free; -1: the last */
  int fd;       /* libslirp's; -1: none */
  NetTcpState state;
  NetTcpSaid said;
  bool inspect;        /* what is said first decides */
  bool nameless;       /* it is of a kind that names nobody */
  bool reset_due;      /* libslirp sent something although it was cut */
  uint16_t window;     /* the sandbox's last */
  uint16_t our_window; /* libslirp's last */
  uint32_t first;      /* the sandbox's first byte: number of its SYN + 1 */
  uint32_t expected;   /* what libslirp expects next from the sandbox, as it said */
  uint32_t sent;       /* what follows libslirp's last byte */
  uint32_t guest_acknowledged;
  int64_t last_ms;
  uint64_t number; /* counts up: which one is older */
  int64_t held_ms; /* since when */
  uint8_t *held;   /* owned; from `first` on */
  size_t n_held, held_room;
  char *name; /* owned; whom it says it is for; "": nobody; before that, or if nameless: what the address was
                 learned for */
} NetTcpFlow;

struct NetFlows {
  NetShared *shared;
  const NetFlowsHost *host;
  void *data;
  NetUdp *udp;
  NetPing *ping;
  uint32_t seed;
  uint64_t numbers;
  NetTcpFlow *opening; /* whose SYN libslirp is given right now */
  unsigned n_live, n_half_open, n_cut, n_holding;
  int16_t free;
  int16_t buckets[NET_TCP_BUCKETS];
  int16_t by_fd[NET_TCP_FDS];
  NetTcpFlow tcp[NET_TCP_SLOTS];
};

static inline bool
net_before (uint32_t a, uint32_t b)
{
  return (int32_t)(a - b) < 0;
}

/* flows.c */
NetDecision net_flows_judge (NetFlows *flows, uint8_t protocol, uint32_t address, uint16_t port,
                             NetTarget *ret_target, const char **ret_rule);
/* The answer to a frame that is refused. */
void net_flows_answer (NetFlows *flows, const NetFrame *frame);
/* The same, and says so. */
void net_flows_refuse (NetFlows *flows, const NetFrame *frame, const char *rule);

/* flows-table.c */
void net_tcp_table_init (NetFlows *flows);
NetTcpFlow *net_tcp_find (NetFlows *flows, uint16_t guest_port, uint32_t address, uint16_t port);
/* Makes room by cutting others where it must; NULL: too many are just ending. */
NetTcpFlow *net_tcp_add (NetFlows *flows, const NetFrame *syn);
void net_tcp_remove (NetFlows *flows, NetTcpFlow *flow);
void net_tcp_state (NetFlows *flows, NetTcpFlow *flow, NetTcpState state);
void net_tcp_said (NetFlows *flows, NetTcpFlow *flow, NetTcpSaid said);

/* flows-cut.c */
void net_tcp_cut (NetFlows *flows, NetTcpFlow *flow);
void net_tcp_refuse (NetFlows *flows, NetTcpFlow *flow, const char *name, const char *rule);
void net_tcp_policy_changed (NetFlows *flows);
void net_tcp_reset_slirp (NetFlows *flows, NetTcpFlow *flow);

/* flows-tcp.c */
void net_tcp_outgoing (NetFlows *flows, const NetFrame *frame);
void net_tcp_incoming (NetFlows *flows, const uint8_t *bytes, size_t length);
void net_tcp_ends (const NetFlows *flows, const NetTcpFlow *flow, bool to_guest, NetEnds *ret);

/* flows-inspect.c: a frame of a flow whose first words matter. */
void net_tcp_inspect (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame);
/* Gives libslirp what is held. */
void net_tcp_feed_held (NetFlows *flows, NetTcpFlow *flow);
/* It may pass without being looked at. */
void net_tcp_release (NetFlows *flows, NetTcpFlow *flow);
/* The first words of a flow that is allowed in any case, for the case that the policy changes. */
void net_tcp_peek (NetFlows *flows, NetTcpFlow *flow, const NetFrame *frame);
