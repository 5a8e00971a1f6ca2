/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ending flows before their time. */
#include "vmctl/net/flows-parts.h"

#include <netinet/in.h>
#include <sys/socket.h>

static void
reset_guest (NetFlows *flows, const NetTcpFlow *flow)
{
  bool answered = flow->state != NET_TCP_ASKED;
  const NetSegment segment = {.sequence = answered ? flow->sent : 0,
                              .acknowledged = flow->first + (uint32_t)flow->n_held,
                              .flags = NET_RST | NET_ACK};
  uint8_t out[NET_MADE_TCP];
  NetEnds ends;

  net_tcp_ends (flows, flow, true, &ends);
  flows->host->to_guest (flows->data, out, net_make_tcp (&ends, &segment, out, 0));
}

/* libslirp takes a reset at what it expects, or before. */
void
net_tcp_reset_slirp (NetFlows *flows, NetTcpFlow *flow)
{
  const NetSegment segment = {
      .sequence = flow->expected, .acknowledged = flow->sent, .flags = NET_RST | NET_ACK};
  uint8_t out[NET_MADE_TCP];
  NetEnds ends;

  flow->reset_due = false;
  net_tcp_ends (flows, flow, false, &ends);
  flows->host->to_slirp (flows->data, out, net_make_tcp (&ends, &segment, out, 0));
}

/* As long as libslirp is connecting it throws away what comes from the sandbox, so that is ended from the
 * other side: the shutdown makes its socket fail, which it sees in its next turn. The descriptor is its own;
 * it says before it closes it. */
void
net_tcp_cut (NetFlows *flows, NetTcpFlow *flow)
{
  bool asked = flow->state == NET_TCP_ASKED;

  if (flow->state == NET_TCP_FREE || flow->state == NET_TCP_CUT)
    return;
  reset_guest (flows, flow);
  net_tcp_said (flows, flow, NET_TCP_SILENT);
  net_tcp_state (flows, flow, NET_TCP_CUT);
  if (!asked)
    net_tcp_reset_slirp (flows, flow);
  if (flow->state == NET_TCP_CUT && flow->fd >= 0)
    (void)shutdown (flow->fd, SHUT_RDWR);
}

void
net_tcp_refuse (NetFlows *flows, NetTcpFlow *flow, const char *name, const char *rule)
{
  NetShared *shared = flows->shared;

  if (name == NULL || *name == '\0')
    name = net_learned_name (shared->learned, flow->address, shared->now_ms);
  net_shared_refused (shared, "tcp", name, flow->address, flow->port, rule);
  net_tcp_cut (flows, flow);
}

/* A connection keeps alive what its name was learned by: an answer's end is no reason to cut it. */
static void
keep_learned (NetFlows *flows, const NetTcpFlow *flow)
{
  NetShared *shared = flows->shared;

  if (flow->name != NULL && *flow->name != '\0')
    net_learned_add (shared->learned, flow->name, flow->address, NET_LEARNED_TTL_MIN, shared->now_ms);
}

static bool
judge_said (const NetFlows *flows, const NetTcpFlow *flow, const NetTarget *target, const char **ret_rule)
{
  const NetShared *shared = flows->shared;
  const char *name = flow->nameless ? NULL : flow->name != NULL ? flow->name : "";

  *ret_rule = "it was opened before its name mattered";
  if (flow->said == NET_TCP_UNSEEN && shared->policy.mode != NET_MODE_PUBLIC)
    return false;
  return net_policy_judge_said (&shared->policy, shared->learned, target, name, shared->now_ms, ret_rule);
}

static void
rejudge (NetFlows *flows, NetTcpFlow *flow)
{
  bool is_known = flow->said == NET_TCP_INSPECTED || flow->said == NET_TCP_RELEASED;
  NetDecision decision;
  const char *rule;
  NetTarget target;

  if (is_known)
    keep_learned (flows, flow);
  decision = net_flows_judge (flows, IPPROTO_TCP, flow->address, flow->port, &target, &rule);
  if (flow->said == NET_TCP_SILENT)
    flow->inspect = decision == NET_INSPECT;
  if (decision == NET_DENY || (decision == NET_INSPECT && (is_known || flow->said == NET_TCP_UNSEEN) &&
                               !judge_said (flows, flow, &target, &rule)))
    net_tcp_refuse (flows, flow, flow->name, rule);
  else if (decision == NET_ALLOW && flow->said == NET_TCP_HOLDING)
    net_tcp_release (flows, flow);
}

void
net_tcp_policy_changed (NetFlows *flows)
{
  for (size_t i = 0; i < NET_TCP_SLOTS; i++)
    if (flows->tcp[i].state != NET_TCP_FREE && flows->tcp[i].state != NET_TCP_CUT)
      rejudge (flows, &flows->tcp[i]);
}
