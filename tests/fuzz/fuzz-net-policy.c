/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy's text comes from vmctl; vmctl-net does not rely on that. What is no policy allows nothing, and
 * what no policy opens stays closed whatever the text. */
#include <stdlib.h>
#include <string.h>

#include "vmctl/net/learned.h"
#include "vmctl/net/policy.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const uint32_t closed[] = {0x7f000001, 0x0a000204, 0xe0000001, 0xffffffff, 0x00000001, 0xf0000001};

static void
judge (const NetPolicy *policy, const NetLearned *learned, const NetTarget *target, NetDecision *ret)
{
  const char *rule = NULL;

  *ret = net_policy_judge (policy, learned, target, 0, &rule);
  if (rule == NULL)
    abort ();
  (void)net_policy_judge_said (policy, learned, target, "registry.npmjs.org", 0, &rule);
  (void)net_policy_judge_said (policy, learned, target, "", 0, &rule);
}

static void
judge_all (const NetPolicy *policy, bool is_policy)
{
  static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
  NetLearned *learned = net_learned_new ();
  const char *rule = NULL;

  net_learned_add (learned, "registry.npmjs.org", 0x08080808, 300, 0);
  if (net_policy_judge_name (policy, "registry.npmjs.org", &rule) && !is_policy)
    abort ();
  for (size_t p = 0; p < sizeof protocols; p++) {
    NetTarget target = {.protocol = protocols[p], .port = p < 2 ? 443 : 0};
    NetDecision decision;

    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
      target.address = closed[i];
      judge (policy, learned, &target, &decision);
      if (decision != NET_DENY)
        abort ();
    }
    target.address = 0x08080808;
    judge (policy, learned, &target, &decision);
    if (decision != NET_DENY && !is_policy)
      abort ();
    target.is_local = true;
    judge (policy, learned, &target, &decision);
    if (decision != NET_DENY)
      abort ();
  }
  net_learned_free (learned);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  NetPolicy policy;
  unsigned line;
  bool is_policy = net_policy_parse ((const char *)data, size, &policy, &line);

  judge_all (&policy, is_policy);
  net_policy_clear (&policy);
  return 0;
}
