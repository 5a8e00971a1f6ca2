/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal is told of refusals, and when it is not to be. */
#include <glib.h>
#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/refusals.h"

static void
add (VmRefusals *refusals, const char *protocol, const char *name, const char *address, int port,
     const char *rule)
{
  g_autoptr (json_object) refusal = json_object_new_object ();

  vm_json_add_str (refusal, "protocol", protocol);
  vm_json_add_str (refusal, "name", name);
  vm_json_add_str (refusal, "address", address);
  vm_json_add_int (refusal, "port", port);
  vm_json_add_str (refusal, "rule", rule);
  vm_refusals_add (refusals, refusal);
}

static void
check (VmRefusals *refusals, const char *line)
{
  g_autofree char *next = vm_refusals_next (refusals);

  g_assert_cmpstr (next, ==, line);
}

static void
test_first_three (void)
{
  g_autoptr (VmRefusals) refusals = vm_refusals_new ("abcd1234");

  check (refusals, NULL);
  add (refusals, "dns", "registry.npmjs.org", NULL, 53, "not on the list");
  add (refusals, "tcp", "registry.npmjs.org", "1.2.3.4", 443, "not on the list"); /* told already */
  check (refusals, "vmctl: the sandbox was refused registry.npmjs.org (not on the list); allow it: vmctl net "
                   "allow abcd1234 registry.npmjs.org");
  check (refusals, NULL);
  add (refusals, "udp", NULL, "224.0.0.251", 5353, "multicast");
  add (refusals, "dns", "4.3.2.1.in-addr.arpa", NULL, 53, "not on the list");
  add (refusals, "udp", "a.b", "1.2.3.5", 443, "QUIC, which hides its name");
  check (refusals, NULL);
  add (refusals, "tcp", NULL, "10.0.2.2", 5432, "this host");
  add (refusals, "tcp", NULL, "127.0.0.1", 22, "loopback");
  add (refusals, "tcp", NULL, "10.1.2.3", 22, "private");
  check (refusals, "vmctl: the sandbox was refused 10.0.2.2:5432 (this host); start it with: vmctl up "
                   "--net-host-port 5432; inside it is host.vmctl.internal:5432");
  check (refusals, "vmctl: the sandbox was refused 127.0.0.1:22 (loopback); see: vmctl net log abcd1234");
  check (refusals, NULL);
}

/* Whoever is at the other end of the control socket may have told us anything. */
static void
test_escaped (void)
{
  g_autoptr (VmRefusals) refusals = vm_refusals_new ("abcd1234");
  g_autofree char *line = NULL;

  add (refusals, "tcp", NULL, "1.2.3.4", 1, "x\033[2J");
  line = vm_refusals_next (refusals);
  g_assert_null (strchr (line, '\033'));
}

/* However the bytes are cut. */
static void
test_full_screen (void)
{
  static const struct {
    const char *bytes;
    gboolean full;
  } table[] = {
      {"plain", FALSE},
      {"\033[?1049h", TRUE},
      {"\033[?1049h\033[2Jpicture", TRUE},
      {"\033[?1049h\033[?1049l", FALSE},
      {"\033[?47h", TRUE},
      {"\033[?1047h", TRUE},
      {"\033[?25;1049h", TRUE},
      {"\033[?1049;25h\033[?25h", TRUE},
      {"\033[?1049h\033[?25l", TRUE},
      {"\033[?1h\033[?2004h", FALSE},
      {"\033[?11049h", FALSE},
      {"\033[1049h", FALSE},
      {"\033[?1049x", FALSE},
      {"\033[?1049", FALSE},
      {"\033[?10\033[?1049h", TRUE},
      {"\033\033[?1049h", TRUE},
      {"\033[?1049h\033c", FALSE},
      {"\033[?99999999999999999999h", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    VmFullScreen whole = {0}, cut = {0};

    vm_full_screen_feed (&whole, table[i].bytes, strlen (table[i].bytes));
    for (const char *p = table[i].bytes; *p != '\0'; p++)
      vm_full_screen_feed (&cut, p, 1);
    g_test_message ("%s", table[i].bytes + 1);
    g_assert_cmpint (whole.full, ==, table[i].full);
    g_assert_cmpint (cut.full, ==, table[i].full);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/refusals/first-three", test_first_three);
  g_test_add_func ("/vmctl/refusals/escaped", test_escaped);
  g_test_add_func ("/vmctl/refusals/full-screen", test_full_screen);
  return g_test_run ();
}
