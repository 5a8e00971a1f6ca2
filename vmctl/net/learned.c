/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/learned.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

typedef struct Name Name;
typedef struct Pair Pair;

struct Name {
  Name *next; /* in its bucket */
  Pair *pairs;
  unsigned n;
  char text[];
};

struct Pair {
  Name *name;
  uint32_t address;
  int64_t until_ms;
  Pair *older, *newer; /* of all */
  Pair *sibling;       /* of the same name, newest first */
  Pair *next;          /* in its address's bucket, newest first */
};

struct NetLearned {
  unsigned n;
  Pair *oldest, *newest;
  Pair *by_address[BUCKETS];
  Name *by_name[BUCKETS];
};

static void *
allocate (size_t size)
{
  void *memory = calloc (1, size);

  if (memory == NULL)
    abort (); /* the keeper starts another */
  return memory;
}

static unsigned
hash_address (uint32_t address)
{
  return (address * 2654435761U) >> 22; /* Knuth's; the upper ten bits */
}

static unsigned
hash_name (const char *text)
{
  uint32_t hash = 2166136261U; /* FNV-1a */

  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char)*text) * 16777619U;
  return hash % BUCKETS;
}

NetLearned *
net_learned_new (void)
{
  return allocate (sizeof (NetLearned));
}

static Name *
get_name (NetLearned *learned, const char *text)
{
  Name **bucket = &learned->by_name[hash_name (text)], *name;
  size_t size = strlen (text) + 1;

  for (name = *bucket; name != NULL; name = name->next)
    if (strcmp (name->text, text) == 0)
      return name;
  name = allocate (sizeof *name + size);
  memcpy (name->text, text, size);
  name->next = *bucket;
  return *bucket = name;
}

static void
forget_name (NetLearned *learned, Name *name)
{
  Name **at = &learned->by_name[hash_name (name->text)];

  while (*at != name)
    at = &(*at)->next;
  *at = name->next;
  free (name);
}

static void
forget (NetLearned *learned, Pair *pair)
{
  Pair **at;

  for (at = &learned->by_address[hash_address (pair->address)]; *at != pair;)
    at = &(*at)->next;
  *at = pair->next;
  for (at = &pair->name->pairs; *at != pair;)
    at = &(*at)->sibling;
  *at = pair->sibling;
  *(pair->older != NULL ? &pair->older->newer : &learned->oldest) = pair->newer;
  *(pair->newer != NULL ? &pair->newer->older : &learned->newest) = pair->older;
  learned->n--;
  if (--pair->name->n == 0)
    forget_name (learned, pair->name);
  free (pair);
}

void
net_learned_free (NetLearned *learned)
{
  if (learned == NULL)
    return;
  while (learned->oldest != NULL)
    forget (learned, learned->oldest);
  free (learned);
}

static Pair *
find (const NetLearned *learned, const char *name, uint32_t address)
{
  Pair *pair = learned->by_address[hash_address (address)];

  while (pair != NULL && (pair->address != address || strcmp (pair->name->text, name) != 0))
    pair = pair->next;
  return pair;
}

static Pair *
oldest_of (const Name *name)
{
  Pair *pair = name->pairs;

  while (pair->sibling != NULL)
    pair = pair->sibling;
  return pair;
}

static void
insert (NetLearned *learned, Name *name, uint32_t address, int64_t until_ms)
{
  Pair *pair = allocate (sizeof *pair), **bucket = &learned->by_address[hash_address (address)];

  *pair = (Pair){.name = name,
                 .address = address,
                 .until_ms = until_ms,
                 .older = learned->newest,
                 .sibling = name->pairs,
                 .next = *bucket};
  *(pair->older != NULL ? &pair->older->newer : &learned->oldest) = pair;
  learned->newest = pair;
  name->pairs = pair;
  *bucket = pair;
  name->n++;
  learned->n++;
}

void
net_learned_add (NetLearned *learned, const char *name, uint32_t address, uint32_t ttl, int64_t now_ms)
{
  Pair *known = find (learned, name, address);
  int64_t until_ms;
  Name *its;

  if (ttl < NET_LEARNED_TTL_MIN)
    ttl = NET_LEARNED_TTL_MIN;
  if (ttl > NET_LEARNED_TTL_MAX)
    ttl = NET_LEARNED_TTL_MAX;
  until_ms = now_ms + (int64_t)ttl * 1000;
  if (known != NULL) {
    if (known->until_ms > until_ms)
      until_ms = known->until_ms;
    forget (learned, known); /* and be the newest */
  }
  if (learned->n == NET_LEARNED_MAX)
    forget (learned, learned->oldest); /* its name may go with it: before one is looked up */
  its = get_name (learned, name);
  if (its->n == NET_LEARNED_PER_NAME)
    forget (learned, oldest_of (its));
  insert (learned, its, address, until_ms);
}

bool
net_learned_any (const NetLearned *learned, uint32_t address, int64_t now_ms, NetLearnedVisit visit,
                 void *data)
{
  for (const Pair *pair = learned->by_address[hash_address (address)]; pair != NULL; pair = pair->next)
    if (pair->address == address && pair->until_ms > now_ms && visit (pair->name->text, data))
      return true;
  return false;
}

bool
net_learned_has (const NetLearned *learned, const char *name, uint32_t address, int64_t now_ms)
{
  const Pair *pair = find (learned, name, address);

  return pair != NULL && pair->until_ms > now_ms;
}

const char *
net_learned_name (const NetLearned *learned, uint32_t address, int64_t now_ms)
{
  for (const Pair *pair = learned->by_address[hash_address (address)]; pair != NULL; pair = pair->next)
    if (pair->address == address && pair->until_ms > now_ms)
      return pair->name->text;
  return NULL;
}
