/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/dns*.c: questions of the sandbox, answers of name servers. */
#include <string.h>

#include "dns-message.h"
#include "vmctl/net/dns.h"

enum {
  A = 1,
  NS = 2,
  CNAME = 5,
  SOA = 6,
  PTR = 12,
  MX = 15,
  TXT = 16,
  SRV = 33,
  SVCB = 64,
  HTTPS = 65,
  CAA = 257
};
enum { FLAGS = 2, QUESTIONS = 4, ANSWERS = 6, AUTHORITIES = 8, ADDITIONAL = 10, BODY = 12 };

/* In a copy of its exact size, so that a sanitizer sees a byte too many being read. */
static NetDnsRcode
read_question (const GByteArray *message, NetDnsQuestion *ret)
{
  g_autofree guint8 *copy = g_memdup2 (message->data, message->len);

  return net_dns_read_question (copy, message->len, ret);
}

static void
test_question (void)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "GitHub.com", A);
  g_autofree char *text = NULL;
  NetDnsQuestion q;
  guint8 out[NET_DNS_QUESTION_MAX];
  gsize length;

  g_assert_cmpint (read_question (message, &q), ==, NET_DNS_NOERROR);
  g_assert_cmpuint (q.id, ==, 7);
  g_assert_cmpuint (q.type, ==, A);
  g_assert_cmpuint (q.class, ==, NET_DNS_IN);
  g_assert_true (q.wants_recursion);
  g_assert_false (q.edns);
  g_assert_cmpuint (q.room, ==, 512);
  g_assert_cmpstr (q.name, ==, "github.com");
  length = net_dns_write_empty (&q, NET_DNS_NXDOMAIN, out);
  text = dns_text (out, length);
  g_assert_cmpstr (text, ==, "7 3 GitHub.com. 1\n"); /* in its letter case */
}

static void
test_question_edns (void)
{
  static const guint rooms[][2] = {{0, 512},     {511, 512},   {513, 513},
                                   {1232, 1232}, {4096, 4096}, {65535, 4096}};

  for (gsize i = 0; i < G_N_ELEMENTS (rooms); i++) {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);
    NetDnsQuestion q;

    dns_put_edns (message, rooms[i][0]);
    g_assert_cmpint (read_question (message, &q), ==, NET_DNS_NOERROR);
    g_assert_true (q.edns);
    g_assert_cmpuint (q.room, ==, rooms[i][1]);
  }
}

static void
test_question_edns_bad (void)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);
  NetDnsQuestion q;
  guint8 out[NET_DNS_QUESTION_MAX];
  gsize length, opt = message->len;

  dns_put_edns (message, 1232);
  message->data[opt + 6] = 1; /* version */
  g_assert_cmpint (read_question (message, &q), ==, NET_DNS_BADVERS);
  length = net_dns_write_empty (&q, NET_DNS_BADVERS, out);
  g_assert_cmpuint (out[3] & 15, ==, 0);
  g_assert_cmpuint (out[length - 6], ==, 1);
  message->data[opt + 6] = 0;
  dns_put_edns (message, 1232);
  g_assert_cmpint (read_question (message, &q), ==, NET_DNS_FORMERR); /* two */
}

/* Every question cut at every byte is none. */
static void
test_question_cut (void)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);

  dns_put_edns (message, 1232);
  for (guint whole = message->len; message->len > 0;) {
    NetDnsQuestion q;

    g_byte_array_set_size (message, message->len - 1);
    g_assert_cmpint (read_question (message, &q), ==, message->len < BODY ? NET_DNS_DROP : NET_DNS_FORMERR);
    g_assert_cmpuint (message->len, <, whole);
  }
}

static void
assert_question (GByteArray *message, NetDnsRcode expected)
{
  g_autofree char *text = NULL;
  NetDnsQuestion q;
  guint8 out[NET_DNS_QUESTION_MAX];
  NetDnsRcode rcode = read_question (message, &q);

  g_assert_cmpint (rcode, ==, expected);
  if (rcode == NET_DNS_DROP)
    return;
  text = dns_text (out, net_dns_write_empty (&q, rcode, out)); /* whatever it is can be answered */
  g_assert_true (g_str_has_prefix (text, "7 "));
}

static void
test_question_head (void)
{
  static const struct {
    guint at, value;
    NetDnsRcode rcode;
  } cases[] = {
      {FLAGS, 0x8100, NET_DNS_DROP},    {FLAGS, 0x0900, NET_DNS_NOTIMP},
      {FLAGS, 0x2800, NET_DNS_NOTIMP},  {FLAGS, 0x0000, NET_DNS_NOERROR},
      {FLAGS, 0x07ff, NET_DNS_NOERROR}, {QUESTIONS, 0, NET_DNS_FORMERR},
      {QUESTIONS, 2, NET_DNS_FORMERR},  {QUESTIONS, 65535, NET_DNS_FORMERR},
      {ANSWERS, 1, NET_DNS_FORMERR},    {AUTHORITIES, 1, NET_DNS_FORMERR},
      {ADDITIONAL, 1, NET_DNS_FORMERR}, {ADDITIONAL, 65535, NET_DNS_FORMERR},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);

    dns_set16 (message, cases[i].at, cases[i].value);
    assert_question (message, cases[i].rcode);
  }
}

static void
test_question_name (void)
{
  static const guint bad[] = {0x40, 0x80, 0xbf, 0xc0, 0xff}; /* reserved label types, pointers */

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);

    message->data[BODY] = (guint8)bad[i];
    assert_question (message, NET_DNS_FORMERR);
    message->data[BODY + 1] = BODY; /* to itself */
    assert_question (message, NET_DNS_FORMERR);
  }
  {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, "a.example", A);

    g_byte_array_append (message, (const guint8 *)"x", 1);
    assert_question (message, NET_DNS_FORMERR); /* something behind it */
  }
}

/* Names of 255 bytes with the root's, and of 256. */
static void
test_question_long (void)
{
  g_autoptr (GString) name = g_string_new (NULL);

  for (guint i = 0; i < 126; i++)
    g_string_append (name, "a.");
  for (guint last = 1; last <= 2; last++) {
    g_autoptr (GByteArray) message = NULL;
    NetDnsQuestion q;

    g_string_append_c (name, 'a');
    message = dns_new (7, DNS_QUESTION, name->str, A);
    g_assert_cmpint (read_question (message, &q), ==, last == 1 ? NET_DNS_NOERROR : NET_DNS_FORMERR);
    if (last == 1)
      g_assert_cmpstr (q.name, ==, name->str);
  }
}

/* What is in labels, but no host's: said to people, byte by byte. */
static void
test_question_odd (void)
{
  static const struct {
    const char *name, *printed;
  } cases[] = {
      {"evil\\.com.example", "evil\\046com.example"},
      {"a b.example", "a\\032b.example"},
      {"a\033[2J.example", "a\\027[2J.example"},
      {"b\303\274cher.example", "b\\195\\188cher.example"},
      {"a\\\\b", "a\\092b"},
      {"", "."},
      {"127.1", "127.1"},
      {"*.example", "*.example"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, cases[i].name, A);
    NetDnsQuestion q;
    char printed[NET_DNS_PRINTED_SIZE];

    g_assert_cmpint (read_question (message, &q), ==, NET_DNS_NOERROR);
    g_assert_cmpstr (q.name, ==, "");
    net_dns_print_name (&q, printed);
    g_assert_cmpstr (printed, ==, cases[i].printed);
  }
}

/* As above, with NUL bytes for every X. */
static void
test_question_nul (void)
{
  g_autofree char *label = g_strnfill (63, 'X');
  g_autofree char *longest = g_strjoin (".", label, label, label, NULL);
  const char *const names[] = {"evil.comX.github.com", longest};
  char printed[NET_DNS_PRINTED_SIZE];

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, names[i], A);
    NetDnsQuestion q;

    for (guint at = BODY; at < message->len; at++)
      if (message->data[at] == 'X')
        message->data[at] = '\0';
    g_assert_cmpint (read_question (message, &q), ==, NET_DNS_NOERROR);
    g_assert_cmpstr (q.name, ==, "");
    net_dns_print_name (&q, printed);
    if (i == 0)
      g_assert_cmpstr (printed, ==, "evil.com\\000.github.com");
    else
      g_assert_cmpuint (strlen (printed), ==, 3 * 63 * 4 + 2);
  }
}

/* Our own questions and short answers */

static NetDnsQuestion
question (const char *name, guint type)
{
  g_autoptr (GByteArray) message = dns_new (7, DNS_QUESTION, name, type);
  NetDnsQuestion q;

  dns_put_edns (message, 1232);
  g_assert_cmpint (read_question (message, &q), ==, NET_DNS_NOERROR);
  return q;
}

static void
test_ours (void)
{
  NetDnsQuestion q = question ("a.Example", HTTPS), again;
  guint8 out[NET_DNS_QUESTION_MAX];

  for (guint edns = 0; edns < 2; edns++) {
    gsize length = net_dns_write_question (&q, 4711, edns, out);

    g_assert_cmpint (net_dns_read_question (out, length, &again), ==, NET_DNS_NOERROR);
    g_assert_cmpuint (again.id, ==, 4711);
    g_assert_cmpuint (again.type, ==, HTTPS);
    g_assert_true (again.wants_recursion);
    g_assert_cmpint (again.edns, ==, edns);
    g_assert_cmpuint (again.room, ==, edns ? 1232 : 512);
    g_assert_cmpstr (again.name, ==, "a.example");
  }
}

static void
test_short (void)
{
  NetDnsQuestion q = question ("a.example", A);
  guint8 out[NET_DNS_QUESTION_MAX + 16];
  g_autofree char *cut = dns_text (out, net_dns_write_cut (&q, out));
  g_autofree char *address = dns_text (out, net_dns_write_address (&q, 0x0a000202, 77, out));

  g_assert_cmpstr (cut, ==, "7 0 cut edns a.example. 1\n");
  g_assert_cmpstr (address, ==, "7 0 edns a.example. 1\na.example. 1 77 10.0.2.2\n");
}

/* Answers */

static NetDnsRead
read_answer (const NetDnsQuestion *q, const GByteArray *message, NetDnsAnswer *answer)
{
  static guint8 bytes[NET_DNS_MAX];
  g_autofree guint8 *copy = g_memdup2 (message->data, message->len);

  memset (bytes, 0xee, sizeof bytes);
  memset (answer, 0xee, sizeof *answer);
  answer->bytes = bytes;
  return net_dns_read_answer (q, 4711, copy, message->len, answer);
}

/* What the sandbox is told, without the first line. */
static void
assert_told (const NetDnsQuestion *q, const GByteArray *message, const char *records)
{
  g_autofree char *text = NULL;
  NetDnsAnswer answer;

  g_assert_cmpint (read_answer (q, message, &answer), ==, NET_DNS_ANSWERED);
  text = dns_text (answer.bytes, answer.length);
  g_assert_cmpstr (strchr (text, '\n') + 1, ==, records);
}

static GByteArray *
answer_to (const char *name, guint type)
{
  return dns_new (4711, DNS_ANSWER, name, type);
}

static void
test_answer (void)
{
  NetDnsQuestion q = question ("A.example", A);
  g_autoptr (GByteArray) message = answer_to ("a.EXAMPLE", A);
  g_autofree char *text = NULL;
  NetDnsAnswer answer;

  dns_put_a (message, NULL, 100, 0x01020304);
  dns_put_a (message, "a.example", 3600, 0x0a000001); /* private: told, and judged at connect */
  dns_put_a (message, "b.example", 100, 0x09090909);  /* nobody asked */
  dns_put_a (message, NULL, 0, 0x7f000001);
  dns_put_a (message, NULL, 0x80000000, 0x05060708);
  dns_put_a (message, NULL, 60, 0x09090909);
  dns_set16 (message, message->len - 12, 3); /* of another class */
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  text = dns_text (answer.bytes, answer.length);
  g_assert_cmpstr (text, ==,
                   "7 0 edns A.example. 1\n"
                   "A.example. 1 100 1.2.3.4\nA.example. 1 300 10.0.0.1\n"
                   "A.example. 1 0 127.0.0.1\nA.example. 1 0 5.6.7.8\n");
  g_assert_cmpuint (answer.rcode, ==, NET_DNS_NOERROR);
  g_assert_cmpuint (answer.n_addresses, ==, 4);
  g_assert_cmphex (answer.addresses[1].address, ==, 0x0a000001);
  g_assert_cmpuint (answer.addresses[1].ttl, ==, 3600);
  g_assert_cmpuint (answer.addresses[3].ttl, ==, 0);
}

static void
test_answer_none (void)
{
  NetDnsQuestion q = question ("a.example", A);
  g_autoptr (GByteArray) message = answer_to ("a.example", A);
  NetDnsAnswer answer;

  assert_told (&q, message, "");
  dns_set16 (message, FLAGS, DNS_ANSWER | 3);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.rcode, ==, NET_DNS_NXDOMAIN);
  g_assert_cmpuint (answer.bytes[3] & 15, ==, 3);
  for (guint rcode = 1; rcode < 16; rcode++) {
    dns_set16 (message, FLAGS, DNS_ANSWER | rcode);
    if (rcode == 3)
      continue;
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
    g_assert_cmpuint (answer.rcode, ==, rcode);
  }
  dns_set16 (message, QUESTIONS, 0); /* a server that knows no EDNS may say just so much */
  dns_set16 (message, FLAGS, DNS_ANSWER | 1);
  g_byte_array_set_size (message, BODY);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
  g_assert_cmpuint (answer.rcode, ==, 1);
  dns_set16 (message, FLAGS, DNS_ANSWER);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FOREIGN);
  dns_set16 (message, FLAGS, DNS_ANSWER | DNS_TC);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FOREIGN);
}

static void
test_answer_cut_by_server (void)
{
  NetDnsQuestion q = question ("a.example", A);
  g_autoptr (GByteArray) message = dns_new (4711, DNS_ANSWER | DNS_TC, "a.example", A);
  NetDnsAnswer answer;

  dns_put_a (message, NULL, 60, 0x01020304);
  g_byte_array_set_size (message, message->len - 3);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_CUT);
  g_assert_cmpuint (answer.n_addresses, ==, 0);
}

/* Neither answers nor reasons to give up: the true answer may still come. */
static void
test_answer_foreign (void)
{
  NetDnsQuestion q = question ("a.example", A);
  static const struct {
    const char *name;
    guint id, flags, type;
  } cases[] = {
      {"a.example", 4712, DNS_ANSWER, A},
      {"a.example", 4711, DNS_QUESTION, A},
      {"a.example", 4711, DNS_ANSWER, TXT},
      {"b.example", 4711, DNS_ANSWER, A},
      {"a.example.org", 4711, DNS_ANSWER, A},
      {"example", 4711, DNS_ANSWER, A},
      {"", 4711, DNS_ANSWER, A},
      {"a.example", 4711, DNS_ANSWER | 0x2800, A},
      {"aa.example", 4711, DNS_ANSWER | 3, A},
      {"b.example", 4711, DNS_ANSWER | 2, A},
  };
  NetDnsAnswer answer;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) message = dns_new (cases[i].id, cases[i].flags, cases[i].name, cases[i].type);

    dns_put_a (message, "a.example", 60, 0x01020304);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FOREIGN);
  }
  {
    g_autoptr (GByteArray) message = answer_to ("a.example", A);

    dns_set16 (message, message->len - 2, 3); /* class */
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FOREIGN);
    dns_set16 (message, message->len - 2, 1);
    dns_set16 (message, QUESTIONS, 2);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FOREIGN);
  }
}

/* Cut at every byte: never an answer. */
static void
test_answer_cut (void)
{
  NetDnsQuestion q = question ("a.example", A);
  g_autoptr (GByteArray) message = answer_to ("a.example", A);
  gsize head = message->len;

  dns_put_alias (message, NULL, CNAME, "b.example");
  dns_put_a (message, "b.example", 60, 0x01020304);
  while (message->len > 0) {
    NetDnsAnswer answer;

    g_byte_array_set_size (message, message->len - 1);
    g_assert_cmpint (read_answer (&q, message, &answer), ==,
                     message->len < head ? NET_DNS_FOREIGN : NET_DNS_FAILED);
    g_assert_cmpuint (answer.n_addresses, ==, 0);
  }
}

static void
test_answer_chain (void)
{
  NetDnsQuestion q = question ("a.example", A);
  g_autoptr (GByteArray) message = answer_to ("a.example", A);

  dns_put_a (message, "C.example", 60, 0x01020304); /* in any order and letter case */
  dns_put_alias (message, "b.example", CNAME, "c.example");
  dns_put_alias (message, NULL, CNAME, "B.example");
  dns_put_alias (message, "x.example", CNAME, "y.example");
  dns_put_a (message, "a.example", 60, 0x09090909); /* not at its end */
  assert_told (&q, message,
               "a.example. 5 60 B.example.\nB.example. 5 60 c.example.\nc.example. 1 60 1.2.3.4\n");
}

static void
test_answer_chain_bounds (void)
{
  NetDnsQuestion q = question ("n0.example", A);
  g_autoptr (GByteArray) message = answer_to ("n0.example", A);
  NetDnsAnswer answer;

  for (guint i = 0; i < NET_DNS_CHAIN_MAX + 1; i++) {
    g_autofree char *owner = g_strdup_printf ("n%u.example", i);
    g_autofree char *target = g_strdup_printf ("n%u.example", i + 1);

    dns_put_alias (message, owner, CNAME, target);
    if (i + 1 == NET_DNS_CHAIN_MAX)
      g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  }
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
  g_assert_cmpuint (answer.rcode, ==, 0);
}

static void
test_answer_chain_loop (void)
{
  static const char *const targets[] = {"a.example", "b.example"};

  for (gsize i = 0; i < G_N_ELEMENTS (targets); i++) {
    NetDnsQuestion q = question ("a.example", A);
    g_autoptr (GByteArray) message = answer_to ("a.example", A);
    NetDnsAnswer answer;

    dns_put_alias (message, NULL, CNAME, targets[i]);
    dns_put_alias (message, "b.example", CNAME, "a.example");
    dns_put_a (message, NULL, 60, 0x01020304);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
    g_assert_cmpuint (answer.n_addresses, ==, 0);
  }
  {
    NetDnsQuestion q = question ("a.example", CNAME); /* asked for itself it is only a record */
    g_autoptr (GByteArray) message = answer_to ("a.example", CNAME);

    dns_put_alias (message, NULL, CNAME, "a.example");
    assert_told (&q, message, "a.example. 5 60 a.example.\n");
  }
}

/* A record whose owner is a pointer to `to`. */
static void
put_pointing (GByteArray *message, guint to)
{
  dns_put16 (message, 0xc000 | to);
  dns_put16 (message, A);
  dns_put16 (message, 1);
  dns_put32 (message, 60);
  dns_put16 (message, 4);
  dns_put32 (message, 0x01020304);
  dns_set16 (message, ANSWERS, 1);
}

static void
test_answer_pointers (void)
{
  NetDnsQuestion q = question ("a.example", A);
  guint end = BODY + 11 + 4;
  const guint bad[] = {0, 2, 11, end, end + 1, end + 2, end + 12, 0x3fff};
  NetDnsAnswer answer;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GByteArray) message = answer_to ("a.example", A);

    g_assert_cmpuint (message->len, ==, end);
    put_pointing (message, bad[i]);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
  }
  {
    /* Two that lead to each other; one behind the other: the second leads back, the first forward. */
    g_autoptr (GByteArray) message = answer_to ("a.example", A);

    dns_put_record (message, NULL, TXT, 60, "\300\0\300\0", 4);
    dns_set16 (message, end + 12, 0xc000 | (end + 14));
    dns_set16 (message, end + 14, 0xc000 | (end + 12));
    put_pointing (message, end + 14);
    dns_set16 (message, ANSWERS, 2);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
  }
  {
    /* Backwards, but over and over the same label: longer than a name may be. */
    g_autoptr (GByteArray) message = answer_to ("a.example", A);
    guint at = message->len + 12;
    g_autoptr (GByteArray) data = g_byte_array_new ();

    dns_put_name (data, "a");
    for (guint i = 0; i < 200; i++) {
      g_byte_array_append (data, (const guint8 *)"\1a", 2);
      dns_put16 (data, 0xc000 | (at + (i == 0 ? 0 : 3 + 4 * (i - 1))));
    }
    dns_put_record (message, NULL, TXT, 60, data->data, data->len);
    put_pointing (message, at + 3 + 4 * 199);
    dns_set16 (message, ANSWERS, 2);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
  }
}

/* The data of a record that is not as its type has it: the record is left out. */
static void
test_answer_data_bad (void)
{
  static const struct {
    guint type;
    const char *data;
    gsize length;
  } cases[] = {
      {A, "\1\2\3", 3},
      {A, "\1\2\3\4\5", 5},
      {A, "", 0},
      {NS, "\1a", 2},
      {NS, "\1a\0x", 4},
      {NS, "\300\377", 2},
      {MX, "\0\1", 2},
      {MX, "\0", 1},
      {MX, "\0\1\1a\0x", 6},
      {SRV, "\0\1\0\2\0", 5},
      {SRV, "\0\1\0\2\0\3\1a", 8},
      {SOA, "\1a\0\1b\0short", 11},
      {SOA, "\1a\0", 3},
      {PTR, "\100", 1},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    NetDnsQuestion q = question ("a.example", cases[i].type);
    g_autoptr (GByteArray) message = answer_to ("a.example", cases[i].type);

    dns_put_record (message, NULL, cases[i].type, 60, cases[i].data, cases[i].length);
    assert_told (&q, message, "");
  }
}

static void
assert_record (guint type, const void *data, gsize length, const char *told)
{
  NetDnsQuestion q = question ("a.example", type);
  g_autoptr (GByteArray) message = answer_to ("a.example", type);
  g_autofree char *records = g_strdup_printf ("a.example. %u 60 %s\n", type, told);

  dns_put_record (message, NULL, type, 60, data, length);
  assert_told (&q, message, told[0] != '\0' ? records : "");
}

/* Names within data are made whole: 0xc00e is "example". */
static void
test_answer_data (void)
{
  assert_record (NS, "\2ns\300\016", 5, "ns.example.");
  assert_record (MX, "\0\012\4mail\300\016", 9, "10 mail.example.");
  assert_record (PTR, "\300\014", 2, "a.example.");
  assert_record (TXT, "\5hello\0", 7, "0568656c6c6f00");
  assert_record (CAA, "\0\5issuea", 8,
                 "000569737375"
                 "6561");
  assert_record (SRV, "\0\1\0\2\0\3\1s\300\016", 10,
                 "000100020003"
                 "0173076578616d706c6500");
  assert_record (SOA, "\1m\300\016\1h\300\016ABCDEFGHIJKLMNOPQRST", 28,
                 "016d076578616d706c6500"
                 "0168076578616d706c6500"
                 "4142434445464748494a4b4c4d4e4f5051525354");
  g_assert_true (net_dns_is_passed (HTTPS));
  g_assert_false (net_dns_is_passed (28)); /* AAAA */
  g_assert_false (net_dns_is_passed (255));
  g_assert_false (net_dns_is_passed (46)); /* RRSIG */
}

/* HTTPS */

static void
test_service (void)
{
  /* 1 . alpn=h2 ipv4hint=1.2.3.4,10.0.0.1 ech ipv6hint dohpath unknown */
  static const char data[] = "\0\1\0"
                             "\0\1\0\3\2h2"
                             "\0\4\0\10\1\2\3\4\12\0\0\1"
                             "\0\5\0\4ECHC"
                             "\0\6\0\20AAAAAAAAAAAAAAAA"
                             "\0\7\0\2/x"
                             "\377\0\0\1u";
  NetDnsQuestion q = question ("a.example", HTTPS);
  g_autoptr (GByteArray) message = answer_to ("a.example", HTTPS);
  NetDnsAnswer answer;

  assert_record (HTTPS, data, sizeof data - 1,
                 "000100"
                 "00010003026832"
                 "00040008010203040a000001"
                 "000700022f78");
  assert_record (SVCB, data, sizeof data - 1,
                 "000100"
                 "00010003026832"
                 "00040008010203040a000001"
                 "000700022f78");
  dns_put_record (message, NULL, HTTPS, 1000, data, sizeof data - 1);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.n_addresses, ==, 2);
  g_assert_cmphex (answer.addresses[0].address, ==, 0x01020304);
  g_assert_cmphex (answer.addresses[1].address, ==, 0x0a000001);
  g_assert_cmpuint (answer.addresses[1].ttl, ==, 1000);
}

static void
test_service_forms (void)
{
  assert_record (HTTPS, "\0\0\1b\300\016", 6, "00000162076578616d706c6500"); /* an alias */
  assert_record (HTTPS, "\0\1\0", 3, "000100");
  assert_record (HTTPS, "\0\1\0\0\0\0\2\0\1\0\1\0\1a", 14,
                 "000100"
                 "000000020001"
                 "0001000161");
  /* Left out: ECH is mandatory, keys that are not in order, or twice, cut, or malformed hints. */
  assert_record (HTTPS, "\0\1\0\0\0\0\2\0\5\0\5\0\1a", 14, "");
  assert_record (HTTPS, "\0\1\0\0\0\0\3\0\1\0", 10, "");
  assert_record (HTTPS, "\0\1\0\0\3\0\2\1\273\0\1\0\1a", 14, "");
  assert_record (HTTPS, "\0\1\0\0\3\0\2\1\273\0\3\0\2\1\273", 15, "");
  assert_record (HTTPS, "\0\1\0\0\3\0\2\1", 8, "");
  assert_record (HTTPS, "\0\1\0\0\3\0", 6, "");
  assert_record (HTTPS, "\0\1\0\0\3\377\377\1\273", 9, "");
  assert_record (HTTPS, "\0\1\0\0\4\0\3\1\2\3", 10, "");
  assert_record (HTTPS, "\0\1\0\0\4\0\0", 7, "");
  assert_record (HTTPS, "\0\1", 2, "");
  assert_record (HTTPS, "\0", 1, "");
}

/* What a record that is left out hints at is not learned. */
static void
test_service_learns (void)
{
  NetDnsQuestion q = question ("a.example", HTTPS);
  g_autoptr (GByteArray) message = answer_to ("a.example", HTTPS);
  NetDnsAnswer answer;
  guint8 many[7 + 4 * (NET_DNS_ADDRESSES_MAX + 1)] = {0, 1, 0, 0, 4};

  dns_put_record (message, NULL, HTTPS, 60, "\0\1\0\0\4\0\4\1\2\3\4\0\3\0\2\1\273", 17);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.n_addresses, ==, 0);
  many[5] = (4 * (NET_DNS_ADDRESSES_MAX + 1)) >> 8;
  many[6] = (4 * (NET_DNS_ADDRESSES_MAX + 1)) & 255;
  dns_put_record (message, NULL, HTTPS, 60, many, sizeof many);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.n_addresses, ==, 0);
  dns_put_record (message, NULL, HTTPS, 60, "\0\1\0\0\4\0\4\1\2\3\4", 11);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.n_addresses, ==, 1);
}

/* Size */

/* As many addresses as a message holds: those are told that can be learned. */
static void
test_many_addresses (void)
{
  NetDnsQuestion q = question ("a.example", A);
  g_autoptr (GByteArray) message = answer_to ("a.example", A);
  g_autofree char *text = NULL;
  NetDnsAnswer answer;
  guint lines = 0;

  for (guint i = 0; message->len + 16 <= NET_DNS_MAX; i++)
    dns_put_a (message, NULL, 60, 0x0b000000 + i);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.n_addresses, ==, NET_DNS_ADDRESSES_MAX);
  text = dns_text (answer.bytes, answer.length);
  for (const char *p = text; *p != '\0'; p++)
    lines += *p == '\n';
  g_assert_cmpuint (lines, ==, 1 + NET_DNS_ADDRESSES_MAX);
}

static void
test_largest (void)
{
  NetDnsQuestion q = question ("a.example", TXT);
  g_autoptr (GByteArray) message = answer_to ("a.example", TXT);
  g_autofree guint8 *data = g_malloc0 (NET_DNS_MAX);
  gsize room = NET_DNS_MAX - message->len - 12;
  NetDnsAnswer answer;

  dns_put_record (message, NULL, TXT, 60, data, room);
  g_assert_cmpuint (message->len, ==, NET_DNS_MAX);
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED); /* with EDNS there is no room */
  q.edns = FALSE;
  g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_ANSWERED);
  g_assert_cmpuint (answer.length, ==, NET_DNS_MAX);
}

/* Compressed it is small. */
static void
test_blown_up (void)
{
  g_autoptr (GString) name = g_string_new (NULL);
  NetDnsAnswer answer;

  for (guint i = 0; i < 126; i++)
    g_string_append (name, "a.");
  g_string_append (name, "a");
  {
    NetDnsQuestion q = question (name->str, NS);
    g_autoptr (GByteArray) message = answer_to (name->str, NS);

    for (guint i = 0; i < 1000; i++)
      dns_put_record (message, NULL, NS, 60, "\300\014", 2);
    g_assert_cmpint (read_answer (&q, message, &answer), ==, NET_DNS_FAILED);
    g_assert_cmpuint (answer.rcode, ==, 0);
  }
}

/* Random bytes in sound messages: whatever comes of it can be read again, and sanitizers do not complain. */
static void
test_random (void)
{
  static const guint types[] = {A, CNAME, MX, HTTPS, SRV, SOA};

  for (guint i = 0; i < 60000; i++) {
    guint type = types[i % G_N_ELEMENTS (types)];
    NetDnsQuestion q = question ("a.example", type);
    g_autoptr (GByteArray) message = answer_to ("a.example", type);
    g_autofree char *text = NULL;
    NetDnsAnswer answer;

    dns_put_alias (message, NULL, CNAME, "b.example");
    dns_put_record (message, "b.example", type, 60, "\0\1\0\0\4\0\4\1\2\3\4", 11);
    dns_put_record (message, "b.example", type, 60, "\0\1\2ab\300\016", 7);
    dns_put_a (message, "b.example", 60, 0x01020304);
    for (guint n = 1 + (guint)g_test_rand_int () % 4; n > 0; n--)
      message->data[2 + (guint)g_test_rand_int () % (message->len - 2)] = (guint8)g_test_rand_int ();
    if (read_answer (&q, message, &answer) == NET_DNS_ANSWERED)
      text = dns_text (answer.bytes, answer.length);
    (void)read_question (message, &q);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/dns/question", test_question);
  g_test_add_func ("/net/dns/question/edns", test_question_edns);
  g_test_add_func ("/net/dns/question/edns-bad", test_question_edns_bad);
  g_test_add_func ("/net/dns/question/cut", test_question_cut);
  g_test_add_func ("/net/dns/question/head", test_question_head);
  g_test_add_func ("/net/dns/question/name", test_question_name);
  g_test_add_func ("/net/dns/question/long", test_question_long);
  g_test_add_func ("/net/dns/question/odd", test_question_odd);
  g_test_add_func ("/net/dns/question/nul", test_question_nul);
  g_test_add_func ("/net/dns/ours", test_ours);
  g_test_add_func ("/net/dns/short", test_short);
  g_test_add_func ("/net/dns/answer", test_answer);
  g_test_add_func ("/net/dns/answer/none", test_answer_none);
  g_test_add_func ("/net/dns/answer/cut-by-server", test_answer_cut_by_server);
  g_test_add_func ("/net/dns/answer/foreign", test_answer_foreign);
  g_test_add_func ("/net/dns/answer/cut", test_answer_cut);
  g_test_add_func ("/net/dns/answer/chain", test_answer_chain);
  g_test_add_func ("/net/dns/answer/chain-bounds", test_answer_chain_bounds);
  g_test_add_func ("/net/dns/answer/chain-loop", test_answer_chain_loop);
  g_test_add_func ("/net/dns/answer/pointers", test_answer_pointers);
  g_test_add_func ("/net/dns/answer/data-bad", test_answer_data_bad);
  g_test_add_func ("/net/dns/answer/data", test_answer_data);
  g_test_add_func ("/net/dns/service", test_service);
  g_test_add_func ("/net/dns/service/forms", test_service_forms);
  g_test_add_func ("/net/dns/service/learns", test_service_learns);
  g_test_add_func ("/net/dns/many-addresses", test_many_addresses);
  g_test_add_func ("/net/dns/largest", test_largest);
  g_test_add_func ("/net/dns/blown-up", test_blown_up);
  g_test_add_func ("/net/dns/random", test_random);
  return g_test_run ();
}
