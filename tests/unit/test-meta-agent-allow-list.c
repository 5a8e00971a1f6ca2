/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <asm/unistd.h>
#include <errno.h>
#include <glib.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/allow-list.h"

#define ERRNO(e) (SECCOMP_RET_ERRNO | (e))

typedef struct {
  struct sock_filter words[ALLOW_LIST_MAX];
  gsize n;
  guint32 arch;
} Filter;

/* The one that it was made for is what it compares with first. */
static void
filter_make (Filter *filter)
{
  filter->n = allow_list_build (filter->words);
  g_assert_cmpuint (filter->n, >, 2);
  g_assert_cmpuint (filter->n, <, ALLOW_LIST_MAX);
  filter->arch = filter->words[1].k;
}

/* As the kernel runs it; only what the filter is made of is known. */
static guint32
answer_to (const Filter *filter, const struct seccomp_data *data)
{
  guint32 a = 0;

  for (gsize at = 0; at < filter->n; at++) {
    const struct sock_filter *word = &filter->words[at];

    switch (word->code) {
    case BPF_LD | BPF_W | BPF_ABS:
      g_assert_cmpuint (word->k + sizeof a, <=, sizeof *data);
      memcpy (&a, (const char *)data + word->k, sizeof a);
      break;
    case BPF_JMP | BPF_JEQ | BPF_K:
      at += a == word->k ? word->jt : word->jf;
      break;
    case BPF_JMP | BPF_JGT | BPF_K:
      at += a > word->k ? word->jt : word->jf;
      break;
    case BPF_RET | BPF_K:
      return word->k;
    default:
      g_assert_not_reached ();
    }
  }
  g_assert_not_reached ();
}

static guint32
call (const Filter *filter, int number)
{
  const struct seccomp_data data = {.nr = number, .arch = filter->arch};

  return answer_to (filter, &data);
}

static void
test_numbers (void)
{
  static const int allowed[] = {__NR_read, __NR_execve, __NR_exit_group, __NR_clone, __NR_prctl, __NR_wait4};
  static const int refused[] = {__NR_mount,  __NR_ptrace, __NR_bpf,    __NR_setns,       __NR_reboot,
                                __NR_keyctl, __NR_chroot, __NR_swapon, __NR_init_module, __NR_io_uring_setup};
  static const int unknown[] = {460, 511, 512, 1 << 20, 0x40000000, 0x40000001, -1, G_MININT};
  Filter filter;

  filter_make (&filter);
  for (gsize i = 0; i < G_N_ELEMENTS (allowed); i++)
    g_assert_cmphex (call (&filter, allowed[i]), ==, SECCOMP_RET_ALLOW);
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    g_assert_cmphex (call (&filter, refused[i]), ==, ERRNO (EPERM));
  for (gsize i = 0; i < G_N_ELEMENTS (unknown); i++)
    g_assert_cmphex (call (&filter, unknown[i]), ==, ERRNO (ENOSYS));
}

/* Each number of the table, and its neighbours: runs end where they should. */
static void
test_runs (void)
{
  guint8 wanted[1024] = {0}; /* 0: unknown */
  Filter filter;

#define ALLOW(name) wanted[__NR_##name] = 1;
#define REFUSE(name) wanted[__NR_##name] = 2;
#include "meta/agent/allow-list.def"
#undef ALLOW
#undef REFUSE
  filter_make (&filter);
  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    g_assert_cmphex (call (&filter, (int)i), ==,
                     wanted[i] == 1   ? SECCOMP_RET_ALLOW
                     : wanted[i] == 2 ? ERRNO (EPERM)
                                      : ERRNO (ENOSYS));
}

static void
test_architectures (void)
{
  static const guint32 others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_PPC64LE, 0, 0xffffffff};
  Filter filter;

  filter_make (&filter);
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    const struct seccomp_data data = {.nr = __NR_read, .arch = others[i]};

    g_assert_cmphex (answer_to (&filter, &data), ==, SECCOMP_RET_KILL_PROCESS);
  }
}

static void
test_audit (void)
{
  static const struct {
    guint64 domain, protocol;
    guint32 answer;
  } rows[] = {
      {AF_NETLINK, NETLINK_AUDIT, ERRNO (EAFNOSUPPORT)},
      {AF_NETLINK, NETLINK_ROUTE, SECCOMP_RET_ALLOW},
      {AF_INET, NETLINK_AUDIT, SECCOMP_RET_ALLOW},
      /* the kernel looks at 32 bits of each */
      {AF_NETLINK | G_GUINT64_CONSTANT (1) << 32, NETLINK_AUDIT | G_GUINT64_CONSTANT (1) << 63,
       ERRNO (EAFNOSUPPORT)},
  };
  Filter filter;

  filter_make (&filter);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    const struct seccomp_data data = {
        .nr = __NR_socket, .arch = filter.arch, .args = {rows[i].domain, SOCK_RAW, rows[i].protocol}};

    g_assert_cmphex (answer_to (&filter, &data), ==, rows[i].answer);
  }
}

/* By the kernel. */
static void
test_use (void)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0) {
    if (allow_list_use () < 0)
      _exit (1);
    if (chroot ("/") == 0 || errno != EPERM)
      _exit (2);
    if (syscall (511) == 0 || errno != ENOSYS)
      _exit (3);
    if (socket (AF_NETLINK, SOCK_RAW, NETLINK_AUDIT) >= 0 || errno != EAFNOSUPPORT)
      _exit (4);
    _exit (getppid () > 0 ? 42 : 5);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 42);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/agent/allow-list/numbers", test_numbers);
  g_test_add_func ("/agent/allow-list/runs", test_runs);
  g_test_add_func ("/agent/allow-list/architectures", test_architectures);
  g_test_add_func ("/agent/allow-list/audit", test_audit);
  g_test_add_func ("/agent/allow-list/use", test_use);
  return g_test_run ();
}
