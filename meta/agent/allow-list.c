/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/allow-list.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#if defined __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#else
#define OUR_ARCH 0
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_HALF 0
#else
#define LOW_HALF 4
#endif

#define DATA(field) ((uint32_t)offsetof (struct seccomp_data, field))
#define ARGUMENT(n) (DATA (args) + (n) * (uint32_t)sizeof (uint64_t) + LOW_HALF) /* 32 bits of it */
#define ERRNO(e) (SECCOMP_RET_ERRNO | (e))

typedef struct {
  uint32_t number, action;
} Rule;

static const Rule rules[] = {
#define ALLOW(name) {__NR_##name, SECCOMP_RET_ALLOW},
#define REFUSE(name) {__NR_##name, ERRNO (EPERM)},
#include "meta/agent/allow-list.def"
#undef ALLOW
#undef REFUSE
};

enum { RULES = sizeof rules / sizeof *rules };

static int
by_number (const void *a, const void *b)
{
  const Rule *one = a, *other = b;

  return one->number < other->number ? -1 : one->number > other->number;
}

static void
emit (struct sock_filter *out, size_t *n, struct sock_filter what)
{
  out[(*n)++] = what;
}

static void
load (struct sock_filter *out, size_t *n, uint32_t offset)
{
  emit (out, n, (struct sock_filter)BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offset));
}

static void
answer (struct sock_filter *out, size_t *n, uint32_t action)
{
  emit (out, n, (struct sock_filter)BPF_STMT (BPF_RET | BPF_K, action));
}

/* Unless it is `value`, the next `skip` instructions are passed over. */
static void
only_if (struct sock_filter *out, size_t *n, uint32_t value, uint8_t skip)
{
  emit (out, n, (struct sock_filter)BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

/* The kernel's audit log is no business of a container's; the error is that of a kernel without one. */
static void
refuse_audit (struct sock_filter *out, size_t *n)
{
  only_if (out, n, __NR_socket, 6);
  load (out, n, ARGUMENT (0));
  only_if (out, n, AF_NETLINK, 3);
  load (out, n, ARGUMENT (2));
  only_if (out, n, NETLINK_AUDIT, 1);
  answer (out, n, ERRNO (EAFNOSUPPORT));
  answer (out, n, SECCOMP_RET_ALLOW);
}

/* All numbers up to `last`, from where the run before this one ended. */
static void
end_run (struct sock_filter *out, size_t *n, uint32_t last, uint32_t action)
{
  emit (out, n, (struct sock_filter)BPF_JUMP (BPF_JMP | BPF_JGT | BPF_K, last, 1, 0));
  answer (out, n, action);
}

size_t
allow_list_build (struct sock_filter *out)
{
  Rule sorted[RULES];
  size_t n = 0;

  if (OUR_ARCH == 0)
    return 0;
  for (size_t i = 0; i < RULES; i++)
    sorted[i] = rules[i];
  qsort (sorted, RULES, sizeof *sorted, by_number);
  load (out, &n, DATA (arch));
  emit (out, &n, (struct sock_filter)BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0));
  answer (out, &n, SECCOMP_RET_KILL_PROCESS);
  load (out, &n, DATA (nr));
  refuse_audit (out, &n);
  for (size_t i = 0; i < RULES; i++) {
    uint32_t number = sorted[i].number, action = sorted[i].action;

    if (i + 1 == RULES || sorted[i + 1].number > number + 1 || sorted[i + 1].action != action)
      end_run (out, &n, number, action);
    if (i + 1 < RULES && sorted[i + 1].number > number + 1)
      end_run (out, &n, sorted[i + 1].number - 1, ERRNO (ENOSYS));
  }
  answer (out, &n, ERRNO (ENOSYS));
  return n;
}

int
allow_list_use (void)
{
  struct sock_filter filter[ALLOW_LIST_MAX];
  struct sock_fprog program = {.filter = filter, .len = (unsigned short)allow_list_build (filter)};

  if (program.len == 0)
    return -ENOTSUP;
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
    return -errno;
  return 0;
}
