/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/resolver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "vmctl/net/upstream.h"

enum { DNS_PORT = 53, NOT_POLLED = -1 };

/* A question under way. One that is asked already only waits for its answer: many at once for one name would
 * make it easy to guess an answer for one of them (RFC 5452, 5). */
typedef struct Waiting Waiting;

struct Waiting {
  bool used;
  Waiting *leader; /* that asks for it; NULL: it does */
  NetAsker asker;
  NetDnsQuestion question;
  NetUpstream upstream;
  uint16_t id;    /* ours, of this try */
  unsigned tries; /* begun */
  bool edns;      /* not with a server that does not know it */
  uint64_t order; /* the lowest is the oldest */
  int64_t deadline_ms;
  ssize_t polled; /* its place in NetPoll */
};

struct NetResolver {
  NetShared *shared; /* borrowed */
  NetResolverReply reply;
  void *data;
  uint64_t order;
  int64_t tokens, refilled_ms; /* a thousand tokens are a question */
  unsigned n_waiting;          /* mostly none: then nothing is looked through */
  Waiting waiting[NET_RESOLVER_WAITING_MAX];
  uint8_t out[NET_DNS_MAX];
};

NetResolver *
net_resolver_new (NetShared *shared, NetResolverReply reply, void *data)
{
  NetResolver *resolver = calloc (1, sizeof *resolver);

  if (resolver == NULL)
    abort (); /* the keeper starts another */
  resolver->shared = shared;
  resolver->reply = reply;
  resolver->data = data;
  resolver->tokens = NET_RESOLVER_PER_SECOND * 1000;
  resolver->refilled_ms = shared->now_ms;
  return resolver;
}

void
net_resolver_free (NetResolver *resolver)
{
  if (resolver == NULL)
    return;
  for (unsigned i = 0; i < NET_RESOLVER_WAITING_MAX; i++)
    if (resolver->waiting[i].used)
      net_upstream_close (&resolver->waiting[i].upstream);
  free (resolver);
}

/* Answers */

static void
reply (NetResolver *resolver, const NetAsker *asker, const NetDnsQuestion *question, size_t length)
{
  if (length > asker->room)
    length = net_dns_write_cut (question, resolver->out);
  resolver->reply (resolver->data, asker, resolver->out, length);
}

static void
reply_empty (NetResolver *resolver, const NetAsker *asker, const NetDnsQuestion *question, NetDnsRcode rcode)
{
  reply (resolver, asker, question, net_dns_write_empty (question, rcode, resolver->out));
}

static void
refuse (NetResolver *resolver, const NetDnsQuestion *question, const char *rule)
{
  char name[NET_DNS_PRINTED_SIZE];

  if (question->name[0] != '\0')
    memcpy (name, question->name, sizeof question->name);
  else
    net_dns_print_name (question, name);
  net_shared_refused (resolver->shared, "dns", name, 0, DNS_PORT, rule);
}

/* What is answered without asking anybody. NET_DNS_DROP: nothing, it is to be asked. */

static bool
is_below (const char *name, const char *pattern)
{
  return net_name_matches (pattern, name) || strcmp (name, pattern + 2) == 0;
}

/* ANY, transfers of zones, and the obsolete kin. */
static bool
is_no_type (unsigned type)
{
  return type >= NET_DNS_IXFR && type <= NET_DNS_ANY;
}

static bool
may_be_asked (NetResolver *resolver, const NetDnsQuestion *question)
{
  const char *rule = "no host name";

  if (question->name[0] != '\0' && net_policy_judge_name (&resolver->shared->policy, question->name, &rule))
    return true;
  refuse (resolver, question, rule);
  return false;
}

static bool
is_over_rate (NetResolver *resolver)
{
  const int64_t full = NET_RESOLVER_PER_SECOND * 1000;
  int64_t passed = resolver->shared->now_ms - resolver->refilled_ms;

  resolver->refilled_ms = resolver->shared->now_ms;
  resolver->tokens = passed >= 1000 || resolver->tokens + passed * NET_RESOLVER_PER_SECOND > full
                         ? full
                         : resolver->tokens + passed * NET_RESOLVER_PER_SECOND;
  if (resolver->tokens < 1000)
    return true;
  resolver->tokens -= 1000;
  return false;
}

static NetDnsRcode
answer_here (NetResolver *resolver, const NetDnsQuestion *question)
{
  if (question->class != NET_DNS_IN || is_no_type (question->type))
    return NET_DNS_REFUSED;
  if (question->wire_length == 1) /* the root is there, and nothing below it is denied by saying so */
    return NET_DNS_NOERROR;
  if (is_below (question->name, "*.2.0.10.in-addr.arpa"))
    return NET_DNS_NXDOMAIN;
  if (!may_be_asked (resolver, question))
    return NET_DNS_NXDOMAIN;
  if (!net_dns_is_passed (question->type))
    return NET_DNS_NOERROR;
  return is_over_rate (resolver) ? NET_DNS_REFUSED : NET_DNS_DROP;
}

/* Learned only so that the log tells the name. */
static void
reply_host (NetResolver *resolver, const NetAsker *asker, const NetDnsQuestion *question)
{
  NetShared *shared = resolver->shared;

  net_learned_add (shared->learned, NET_HOST_NAME, NET_GATEWAY, NET_DNS_TTL_MAX, shared->now_ms);
  reply (resolver, asker, question,
         net_dns_write_address (question, NET_GATEWAY, NET_DNS_TTL_MAX, resolver->out));
}

/* host.vmctl.internal and what would be below vmctl.internal. */
static void
reply_ours (NetResolver *resolver, const NetAsker *asker, const NetDnsQuestion *question)
{
  bool is_host = strcmp (question->name, NET_HOST_NAME) == 0;
  bool is_there = is_host && resolver->shared->policy.n_host_ports > 0;

  if (is_host && !is_there)
    refuse (resolver, question, "no port of the host is open");
  if (question->class != NET_DNS_IN || is_no_type (question->type))
    reply_empty (resolver, asker, question, NET_DNS_REFUSED);
  else if (is_there && question->type == NET_DNS_A)
    reply_host (resolver, asker, question);
  else
    reply_empty (resolver, asker, question, is_there ? NET_DNS_NOERROR : NET_DNS_NXDOMAIN);
}

/* Questions under way */

static void
forget (NetResolver *resolver, Waiting *waiting)
{
  net_upstream_close (&waiting->upstream);
  waiting->used = false;
  resolver->n_waiting--;
}

static void
fail (NetResolver *resolver, Waiting *waiting)
{
  forget (resolver, waiting);
  reply_empty (resolver, &waiting->asker, &waiting->question, NET_DNS_SERVFAIL);
}

/* With all that wait for it. */
static void
give_up (NetResolver *resolver, Waiting *waiting)
{
  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++)
    if (w->used && w->leader == waiting)
      fail (resolver, w);
  fail (resolver, waiting);
}

static Waiting *
find_leader (NetResolver *resolver, const NetDnsQuestion *question)
{
  if (resolver->n_waiting == 0)
    return NULL;
  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++)
    if (w->used && w->leader == NULL && w->question.type == question->type &&
        strcmp (w->question.name, question->name) == 0)
      return w;
  return NULL;
}

/* A place for another; the oldest question is given up if there is none. */
static Waiting *
take_place (NetResolver *resolver)
{
  Waiting *oldest = &resolver->waiting[0];

  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++) {
    if (!w->used)
      return w;
    if (w->order < oldest->order)
      oldest = w;
  }
  give_up (resolver, oldest);
  return oldest;
}

/* The server of the try that was begun last. */
static bool
ask_server (NetResolver *resolver, Waiting *waiting, bool tcp)
{
  const NetPolicy *policy = &resolver->shared->policy;
  uint8_t message[NET_DNS_QUESTION_MAX];
  size_t length;

  if (policy->n_resolvers == 0 || getrandom (&waiting->id, sizeof waiting->id, 0) != sizeof waiting->id)
    return false;
  length = net_dns_write_question (&waiting->question, waiting->id, waiting->edns, message);
  waiting->polled = NOT_POLLED;
  waiting->deadline_ms = resolver->shared->now_ms + NET_RESOLVER_TRY_MS;
  return net_upstream_ask (&waiting->upstream, policy->resolvers[(waiting->tries - 1) % policy->n_resolvers],
                           tcp, message, length);
}

static void
try_next (NetResolver *resolver, Waiting *waiting)
{
  while (waiting->tries < resolver->shared->policy.n_resolvers * NET_RESOLVER_TRIES) {
    waiting->tries++;
    if (ask_server (resolver, waiting, false))
      return;
  }
  give_up (resolver, waiting);
}

static void
begin (NetResolver *resolver, const NetAsker *asker, const NetDnsQuestion *question)
{
  Waiting *waiting = take_place (resolver);

  *waiting = (Waiting){.used = true,
                       .leader = find_leader (resolver, question),
                       .asker = *asker,
                       .question = *question,
                       .edns = true,
                       .order = resolver->order++,
                       .polled = NOT_POLLED};
  net_upstream_init (&waiting->upstream);
  resolver->n_waiting++;
  if (waiting->leader == NULL)
    try_next (resolver, waiting);
}

void
net_resolver_ask (NetResolver *resolver, const NetAsker *asker, const uint8_t *message, size_t length)
{
  NetDnsQuestion question;
  NetDnsRcode rcode = net_dns_read_question (message, length, &question);
  NetAsker from = *asker;

  if (rcode == NET_DNS_DROP)
    return;
  resolver->shared->count.questions++;
  from.room = from.tcp ? NET_DNS_MAX : question.room;
  if (rcode == NET_DNS_NOERROR && is_below (question.name, "*.vmctl.internal")) {
    reply_ours (resolver, &from, &question);
    return;
  }
  if (rcode == NET_DNS_NOERROR)
    rcode = answer_here (resolver, &question);
  if (rcode != NET_DNS_DROP)
    reply_empty (resolver, &from, &question, rcode);
  else
    begin (resolver, &from, &question);
}

/* What comes from name servers */

static void
learn (NetResolver *resolver, const NetDnsQuestion *question, const NetDnsAnswer *answer)
{
  for (unsigned i = 0; i < answer->n_addresses; i++)
    net_learned_add (resolver->shared->learned, question->name, answer->addresses[i].address,
                     answer->addresses[i].ttl, resolver->shared->now_ms);
}

/* The policy may be another one by now. */
static void
take_answer (NetResolver *resolver, Waiting *waiting, const NetDnsAnswer *answer)
{
  forget (resolver, waiting);
  if (!may_be_asked (resolver, &waiting->question)) {
    reply_empty (resolver, &waiting->asker, &waiting->question, NET_DNS_NXDOMAIN);
    return;
  }
  learn (resolver, &waiting->question, answer);
  reply (resolver, &waiting->asker, &waiting->question, answer->length);
}

static void
answer_one (NetResolver *resolver, Waiting *waiting, uint16_t id, const uint8_t *message, size_t length)
{
  NetDnsAnswer answer = {.bytes = resolver->out};

  if (net_dns_read_answer (&waiting->question, id, message, length, &answer) == NET_DNS_ANSWERED)
    take_answer (resolver, waiting, &answer);
  else
    fail (resolver, waiting); /* it has EDNS, and there is no room for that */
}

/* Those that waited for it first: the message is its. */
static void
answer_all (NetResolver *resolver, Waiting *waiting, const uint8_t *message, size_t length)
{
  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++)
    if (w->used && w->leader == waiting)
      answer_one (resolver, w, waiting->id, message, length);
  answer_one (resolver, waiting, waiting->id, message, length);
}

/* The same server once more, in another way. */
static void
try_again (NetResolver *resolver, Waiting *waiting, bool tcp)
{
  if (!ask_server (resolver, waiting, tcp))
    try_next (resolver, waiting);
}

static void
take_failure (NetResolver *resolver, Waiting *waiting, unsigned rcode)
{
  if (waiting->edns && (rcode == NET_DNS_FORMERR || rcode == NET_DNS_NOTIMP)) {
    waiting->edns = false;
    try_again (resolver, waiting, waiting->upstream.tcp);
  } else {
    try_next (resolver, waiting);
  }
}

/* False: it was no answer, and another may come. */
static bool
take_message (NetResolver *resolver, Waiting *waiting, const uint8_t *message, size_t length)
{
  NetDnsAnswer answer = {.bytes = resolver->out};
  bool tcp = waiting->upstream.tcp;

  switch (net_dns_read_answer (&waiting->question, waiting->id, message, length, &answer)) {
  case NET_DNS_ANSWERED:
    answer_all (resolver, waiting, message, length);
    return true;
  case NET_DNS_CUT:
    if (tcp)
      try_next (resolver, waiting);
    else
      try_again (resolver, waiting, true);
    return true;
  case NET_DNS_FAILED:
    take_failure (resolver, waiting, answer.rcode);
    return true;
  case NET_DNS_FOREIGN:
    break;
  }
  if (tcp)
    try_next (resolver, waiting);
  return tcp;
}

static void
serve_waiting (NetResolver *resolver, Waiting *waiting)
{
  enum { AT_ONCE = 16 };
  const uint8_t *message;
  size_t length;

  for (int i = 0; i < AT_ONCE; i++)
    switch (net_upstream_serve (&waiting->upstream, &message, &length)) {
    case NET_UPSTREAM_MORE:
      return;
    case NET_UPSTREAM_MESSAGE:
      if (take_message (resolver, waiting, message, length))
        return;
      break;
    case NET_UPSTREAM_FAILED:
      try_next (resolver, waiting);
      return;
    }
}

void
net_resolver_fill (NetResolver *resolver, NetPoll *poll)
{
  if (resolver->n_waiting == 0)
    return;
  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++) {
    if (!w->used || w->leader != NULL)
      continue;
    w->polled = (ssize_t)net_poll_add (poll, w->upstream.fd, net_upstream_events (&w->upstream));
    net_poll_until (poll, resolver->shared->now_ms, w->deadline_ms);
  }
}

void
net_resolver_serve (NetResolver *resolver, const NetPoll *poll)
{
  if (resolver->n_waiting == 0)
    return;
  for (Waiting *w = resolver->waiting; w < resolver->waiting + NET_RESOLVER_WAITING_MAX; w++) {
    bool ready = w->used && w->polled != NOT_POLLED && poll->fds[w->polled].revents != 0;

    w->polled = NOT_POLLED; /* of this turn only */
    if (ready)
      serve_waiting (resolver, w);
    if (w->used && w->leader == NULL && w->deadline_ms <= resolver->shared->now_ms)
      try_next (resolver, w);
  }
}
