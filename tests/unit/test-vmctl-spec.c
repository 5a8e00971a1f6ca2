/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/spec.h"

#define assert_usage(call, needle)                                                                           \
  do {                                                                                                       \
    g_autoptr (GError) problem = NULL;                                                                       \
    GError **error = &problem;                                                                               \
    g_assert_false (call);                                                                                   \
    g_assert_error (problem, VM_ERROR, VM_ERROR_USAGE);                                                      \
    g_assert_nonnull (strstr (problem->message, needle));                                                    \
  } while (0)

#define assert_good(call)                                                                                    \
  do {                                                                                                       \
    g_autoptr (GError) problem = NULL;                                                                       \
    GError **error = &problem;                                                                               \
    g_assert_true (call);                                                                                    \
    g_assert_no_error (problem);                                                                             \
  } while (0)

static void
test_memory (void)
{
  VmSpec spec = {0};

  assert_good (vm_spec_set_memory (&spec, "512", "--memory", error));
  g_assert_cmpuint (spec.memory, ==, G_GUINT64_CONSTANT (512) << 20);
  assert_good (vm_spec_set_memory (&spec, "2G", "--memory", error));
  g_assert_cmpuint (spec.memory, ==, G_GUINT64_CONSTANT (2) << 30);
  assert_good (vm_spec_set_memory (&spec, "128M", "--memory", error));
  assert_usage (vm_spec_set_memory (&spec, "127M", "--memory", error), "--memory");
  assert_usage (vm_spec_set_memory (&spec, "0", "--memory", error), "--memory");
  assert_usage (vm_spec_set_memory (&spec, "-1G", "--memory", error), "--memory");
  assert_usage (vm_spec_set_memory (&spec, "", "--memory", error), "--memory");
  assert_usage (vm_spec_set_memory (&spec, "4Gx", "--memory", error), "'4Gx'");
  g_assert_cmpuint (spec.memory, ==, G_GUINT64_CONSTANT (128) << 20);
}

static void
test_cpus (void)
{
  VmSpec spec = {0};

  assert_good (vm_spec_set_cpus (&spec, "255", "--cpus", error));
  g_assert_cmpuint (spec.cpus, ==, 255);
  for (const char *const *bad =
           (const char *const[]){"0", "256", "-1", "+1", "1.5", " 1", "", "x", "0x1", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_set_cpus (&spec, *bad, "--cpus", error), "--cpus");
  g_assert_cmpuint (spec.cpus, ==, 255);
}

static void
test_restart (void)
{
  static const char *const bad[] = {
      "",  "always", "on-failure:",   "on-failure:0", "on-failure:1001", "on-failure:-1",
      "5", "Never",  "on-failure: 2", "on-failures"};
  VmSpec spec = {0};

  assert_good (vm_spec_set_restart (&spec, "on-failure", "--restart", error));
  g_assert_cmpuint (spec.restart_max, ==, 5);
  assert_good (vm_spec_set_restart (&spec, "on-failure:1000", "--restart", error));
  g_assert_cmpuint (spec.restart_max, ==, 1000);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_usage (vm_spec_set_restart (&spec, bad[i], "--restart", error), "--restart");
  g_assert_cmpuint (spec.restart_max, ==, 1000);
  spec = (VmSpec){0};
  assert_good (vm_spec_set_restart (&spec, "never", "--restart", error));
  g_assert_cmpuint (spec.restart_max, ==, 0);
  g_assert_true (spec.sets_restart);
}

static void
test_watchdog (void)
{
  static const char *const bad[] = {"", "0", "2", "3601", "-3", "3.5", "x"};
  VmSpec spec = {0};

  assert_good (vm_spec_set_watchdog (&spec, "3", "--watchdog", error));
  g_assert_cmpuint (spec.watchdog, ==, 3);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_usage (vm_spec_set_watchdog (&spec, bad[i], "--watchdog", error), "--watchdog");
  g_assert_cmpuint (spec.watchdog, ==, 3);
}

static void
test_display (void)
{
  VmSpec spec = {0};

  assert_good (vm_spec_set_display (&spec, "none", "--display", error));
  g_assert_cmpint (spec.display, ==, VM_DISPLAY_NONE);
  assert_good (vm_spec_set_display (&spec, "vnc", "--display", error));
  assert_usage (vm_spec_set_display (&spec, "", "--display", error), "--display");
  assert_usage (vm_spec_set_display (&spec, "sdl", "--display", error), "'sdl'");
  g_assert_cmpint (spec.display, ==, VM_DISPLAY_VNC);
  assert_good (vm_spec_set_size (&spec, "4096x2160", "--size", error));
  assert_good (vm_spec_set_size (&spec, "320x200", "--size", error));
  for (const char *const *bad =
           (const char *const[]){"312x200", "320x199", "4104x2160", "4096x2161", "321x200", "320", "320x",
                                 "x200", "320x200x24", "-320x200", " 320x200", "320X200", "", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_set_size (&spec, *bad, "--size", error), "--size");
  g_assert_cmpuint (spec.width, ==, 320);
  g_assert_cmpuint (spec.height, ==, 200);
}

static void
test_accel (void)
{
  VmSpec spec = {0};

  assert_good (vm_spec_set_accel (&spec, "tcg", "--accel", error));
  assert_good (vm_spec_set_accel (&spec, "kvm", "--accel", error));
  for (const char *const *bad = (const char *const[]){"", "KVM", "hvf", "kvm,x=y", " tcg", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_set_accel (&spec, *bad, "--accel", error), "--accel");
  g_assert_cmpstr (spec.accel, ==, "kvm");
  vm_spec_clear (&spec);
}

static void
test_disk (void)
{
  VmSpec spec = {0};

  g_assert_cmpuint (vm_spec_disk_size (&spec), ==, G_GUINT64_CONSTANT (16) << 30);
  assert_good (vm_spec_set_disk (&spec, "1G", "--disk", error));
  g_assert_cmpuint (vm_spec_disk_size (&spec), ==, G_GUINT64_CONSTANT (1) << 30);
  assert_good (vm_spec_set_disk (&spec, "67108865", "--disk", error));
  g_assert_cmpuint (vm_spec_disk_size (&spec), ==, G_GUINT64_CONSTANT (64) << 20);
  assert_good (vm_spec_set_disk (&spec, "none", "--disk", error));
  g_assert_cmpuint (vm_spec_disk_size (&spec), ==, 0);
  assert_good (vm_spec_set_disk (&spec, "16T", "--disk", error));
  g_assert_false (spec.disk_none);
  assert_usage (vm_spec_set_disk (&spec, "17T", "--disk", error), "--disk");
  assert_usage (vm_spec_set_disk (&spec, "63M", "--disk", error), "--disk");
  assert_usage (vm_spec_set_disk (&spec, "None", "--disk", error), "--disk");
}

static void
test_words (void)
{
  VmSpec spec = {0};

  assert_good (vm_spec_set_net (&spec, "public", "--net", error));
  g_assert_cmpint (spec.net, ==, VM_NET_PUBLIC);
  assert_usage (vm_spec_set_net (&spec, "none", "--net", error), "--net");
  assert_good (vm_spec_set_net (&spec, "allow:10.1.2.3", "--net", error));
  g_assert_cmpint (spec.net, ==, VM_NET_PUBLIC);
  g_assert_cmpuint (g_strv_length (spec.net_items), ==, 1);
  assert_good (vm_spec_add_host_port (&spec, "5432", "--net-host-port", error));
  for (const char *const *bad = (const char *const[]){"", "0", "65536", "+1", "1-2", "x", NULL}; *bad != NULL;
       bad++)
    assert_usage (vm_spec_add_host_port (&spec, *bad, "--net-host-port", error), "--net-host-port");
  g_assert_cmpuint (g_strv_length (spec.net_host_ports), ==, 1);
  assert_good (vm_spec_set_driver (&spec, "qemu", "--driver", error));
  assert_usage (vm_spec_set_driver (&spec, "none", "--driver", error), "--driver");
  g_assert_cmpstr (spec.driver, ==, "qemu");
  assert_good (vm_spec_set_timeout (&spec, "3600", "--boot-timeout", error));
  assert_usage (vm_spec_set_timeout (&spec, "0", "--boot-timeout", error), "--boot-timeout");
  assert_usage (vm_spec_set_timeout (&spec, "3601", "--boot-timeout", error), "--boot-timeout");
  vm_spec_clear (&spec);
}

/* What is published is a plug of a port. */
static void
test_publish (void)
{
  static const struct {
    const char *text, *plug;
  } good[] = {
      {"8080", "{\"kind\":\"port\",\"host-port\":8080,\"guest-port\":8080}"},
      {"8080:80", "{\"kind\":\"port\",\"host-port\":8080,\"guest-port\":80}"},
      {"0.0.0.0:8080", "{\"kind\":\"port\",\"address\":\"0.0.0.0\",\"host-port\":8080,\"guest-port\":8080}"},
      {"10.0.0.1:8080:80/tcp",
       "{\"kind\":\"port\",\"address\":\"10.0.0.1\",\"host-port\":8080,\"guest-port\":80}"},
      {"53/udp", "{\"kind\":\"port\",\"host-port\":53,\"guest-port\":53,\"udp\":true}"},
  };
  static const char *const bad[] = {"",   "0",       "65536", "a",         "1:2:3",      "1.2.3:4:5",
                                    ":1", "80/sctp", "80:",   "::1:80:80", "80/udp/udp", "localhost:80:80",
                                    NULL};

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
    VmSpec spec = {0};

    g_test_message ("%s", good[i].text);
    assert_good (vm_spec_add_publish (&spec, good[i].text, "--publish", error));
    g_assert_cmpstr (spec.plugs[0], ==, good[i].plug);
    vm_spec_clear (&spec);
  }
  for (gsize i = 0; bad[i] != NULL; i++) {
    VmSpec spec = {0};

    g_test_message ("%s", bad[i]);
    assert_usage (vm_spec_add_publish (&spec, bad[i], "--publish", error), "--publish");
    g_assert_null (spec.plugs);
  }
}

static void
test_name (void)
{
  VmSpec spec = {0};
  g_autofree char *longest = g_strnfill (63, 'a'), *longer = g_strnfill (64, 'a');

  assert_good (vm_spec_set_name (&spec, "a.B_c-9", "--name", error));
  assert_good (vm_spec_set_name (&spec, longest, "--name", error));
  for (const char *const *bad =
           (const char *const[]){"", "-a", ".a", "..", "a/b", "a b", "a\n", "\xc3\xa4", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_set_name (&spec, *bad, "--name", error), "--name");
  assert_usage (vm_spec_set_name (&spec, longer, "--name", error), "--name");
  g_assert_cmpstr (spec.name, ==, longest);
  vm_spec_clear (&spec);
}

static void
test_env (void)
{
  for (const char *const *good = (const char *const[]){"A=", "A", "_a1=x=y\n", "LC_ALL=\xc3\xa4", NULL};
       *good != NULL; good++)
    assert_good (vm_spec_check_env (*good, "--env", error));
  for (const char *const *bad =
           (const char *const[]){"", "=x", "1A=x", "A-B=x", "A B", "A=\xff", "\xff=1", "A\n=1", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_check_env (*bad, "--env", error), "--env");
}

static void
test_socket (void)
{
  VmSpec spec = {0};
  g_autofree char *here = g_get_current_dir (), *relative = g_build_filename (here, "x y", NULL);
  const char *const wanted[] = {"/run/a", "/run/a", "/run/a", "/tmp/b", relative, "/in", "/c:d", "/e"};

  assert_good (vm_spec_add_socket (&spec, "/run/./a", "--socket", error));
  assert_good (vm_spec_add_socket (&spec, "/run/a:/tmp/../tmp/b/", "--socket", error));
  assert_good (vm_spec_add_socket (&spec, "x y:/in", "--socket", error));
  assert_good (vm_spec_add_socket (&spec, "/c:d:/e", "--socket", error));
  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    g_assert_cmpstr (spec.sockets[i], ==, wanted[i]);
  g_assert_cmpuint (g_strv_length (spec.sockets), ==, G_N_ELEMENTS (wanted));
  for (const char *const *bad = (const char *const[]){"", ":", ":/x", "/x:", "/x:y", "/x:./y", "/\xff", NULL};
       *bad != NULL; bad++)
    assert_usage (vm_spec_add_socket (&spec, *bad, "--socket", error), "--socket");
  g_assert_cmpuint (g_strv_length (spec.sockets), ==, G_N_ELEMENTS (wanted));
  vm_spec_clear (&spec);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/spec/memory", test_memory);
  g_test_add_func ("/vmctl/spec/cpus", test_cpus);
  g_test_add_func ("/vmctl/spec/restart", test_restart);
  g_test_add_func ("/vmctl/spec/watchdog", test_watchdog);
  g_test_add_func ("/vmctl/spec/accel", test_accel);
  g_test_add_func ("/vmctl/spec/display", test_display);
  g_test_add_func ("/vmctl/spec/disk", test_disk);
  g_test_add_func ("/vmctl/spec/words", test_words);
  g_test_add_func ("/vmctl/spec/publish", test_publish);
  g_test_add_func ("/vmctl/spec/name", test_name);
  g_test_add_func ("/vmctl/spec/env", test_env);
  g_test_add_func ("/vmctl/spec/socket", test_socket);
  return g_test_run ();
}
