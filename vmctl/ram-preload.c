/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-ram.so, which QEMU is started with (LD_PRELOAD) when it goes on from a template.
 *
 * A template's memory is one file that many machines map privately. QEMU opens such a file for reading and
 * writing (up to version 8; later ones can be told not to), though it never writes to it. But a QEMU that a
 * guest has taken over would, and with that change every machine to come, and those that run. So the file is
 * opened for reading only here, and what the jail shows of it is read-only: there is no way to it for
 * writing. A QEMU that opens it some other way fails, and the sandbox boots instead.
 *
 * Memory that the guest reports as free QEMU gives back in two steps: it punches a hole into the file, and
 * drops its own pages. The file is the template's, so the first is only said to be done; the second does it,
 * for what the guest has written is in no file.
 *
 * It also gets ready what the guest is about to touch. A page that is written for the first time is copied,
 * and each costs a fault, thousands of them between the guest's going on and its first command. Which they
 * are is the same every time, and the template has a list (vmctl/hotpages.h). So as soon as the file is
 * mapped a thread has them copied, beside QEMU's own start.
 *
 * No libc: it has to fit whichever QEMU has. */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/hotpages.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

enum {
  SIG_BLOCK_ALL = 0,
  SIG_RESTORE = 2,
  SIGNALS_SIZE = 8
}; /* SIG_BLOCK, SIG_SETMASK; of the kernel's sigset */

extern int *__errno_location (void);
int open (const char *path, int flags, ...);
int open64 (const char *path, int flags, ...);
int __open_2 (const char *path, int flags);
int __open64_2 (const char *path, int flags);
int fallocate (int fd, int mode, off_t offset, off_t length);
int fallocate64 (int fd, int mode, off_t offset, off_t length);
void *mmap64 (void *at, size_t length, int prot, int flags, int fd, int64_t offset);

static int ram_fd = -1; /* QEMU's, as long as it lives */
static struct {
  uint8_t *start;
  uint64_t pages;
} ram;
static uint32_t list[2 * VM_HOT_RANGES_MAX];

/* Without arguments beyond the sixth, which no call here has. */
static long
call (long number, long a, long b, long c, long d, long e, long f)
{
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long r;

  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return r;
}

static long
fail (long r)
{
  if (r >= 0 || r < -4095)
    return r;
  *__errno_location () = (int)-r;
  return -1;
}

static int
is_ram (const char *path)
{
  const char *name = VM_QEMU_RAM;

  while (*path != '\0' && *path == *name) {
    path++;
    name++;
  }
  return *path == *name;
}

static int
open_it (const char *path, int flags, int mode)
{
  int is = is_ram (path);
  long r;

  if (is)
    flags = (flags & ~(O_ACCMODE | O_CREAT | O_TRUNC)) | O_RDONLY;
  r = fail (call (SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0));
  if (is && r >= 0)
    ram_fd = (int)r;
  return (int)r;
}

/* The mode is only there when a file may be made; to read it anyway is harmless here. */
#define DEFINE(name)                                                                                         \
  int name (const char *path, int flags, ...)                                                                \
  {                                                                                                          \
    va_list ap;                                                                                              \
    int mode;                                                                                                \
                                                                                                             \
    va_start (ap, flags);                                                                                    \
    mode = va_arg (ap, int);                                                                                 \
    va_end (ap);                                                                                             \
    return open_it (path, flags, mode);                                                                      \
  }

DEFINE (open)
DEFINE (open64)

/* What the compiler makes of them with _FORTIFY_SOURCE. */
int
__open_2 (const char *path, int flags)
{
  return open_it (path, flags, 0);
}

int
__open64_2 (const char *path, int flags)
{
  return open_it (path, flags, 0);
}

/* What is wrong with the list, or not to be had, costs time and nothing else. */
static void *
populate (void *data)
{
  uint64_t budget = VM_HOT_PAGES_MAX;
  long fd = call (SYS_openat, AT_FDCWD, (long)VM_QEMU_HOT, O_RDONLY | O_CLOEXEC, 0, 0, 0), n;

  (void)data;
  if (fd < 0)
    return NULL;
  n = call (SYS_read, fd, (long)list, sizeof list, 0, 0, 0);
  (void)call (SYS_close, fd, 0, 0, 0, 0, 0);
  for (long i = 0; i + 1 < n / (long)sizeof *list; i += 2) {
    uint64_t first = list[i], count = list[i + 1] & ~VM_HOT_WRITTEN;
    int advice = (list[i + 1] & VM_HOT_WRITTEN) != 0 ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

    if (count > budget || first + count > ram.pages)
      return NULL;
    budget -= count;
    if (call (SYS_madvise, (long)(ram.start + first * VM_HOT_PAGE), (long)(count * VM_HOT_PAGE), advice, 0, 0,
              0) < 0)
      return NULL;
  }
  return NULL;
}

/* QEMU takes signals by descriptor, and means those that it blocks: none may find this thread. */
static void
start_thread (void)
{
  uint64_t all = ~UINT64_C (0), before = 0;
  pthread_t thread;

  if (call (SYS_rt_sigprocmask, SIG_BLOCK_ALL, (long)&all, (long)&before, SIGNALS_SIZE, 0, 0) < 0)
    return;
  if (pthread_create (&thread, NULL, populate, NULL) == 0)
    (void)pthread_detach (thread);
  (void)call (SYS_rt_sigprocmask, SIG_RESTORE, (long)&before, 0, SIGNALS_SIZE, 0, 0);
}

static void *
map_it (void *at, size_t length, int prot, int flags, int fd, int64_t offset)
{
  long r = fail (call (SYS_mmap, (long)at, (long)length, prot, flags, fd, offset));

  if (fd < 0 || fd != ram_fd || r == -1 || offset != 0 || (prot & PROT_WRITE) == 0 || ram.start != NULL)
    return (void *)r;
  ram.start = (uint8_t *)r;
  ram.pages = length / VM_HOT_PAGE;
  start_thread ();
  return (void *)r;
}

void *
mmap64 (void *at, size_t length, int prot, int flags, int fd, int64_t offset)
{
  return map_it (at, length, prot, flags, fd, offset);
}

void *
mmap (void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
  return map_it (at, length, prot, flags, fd, offset);
}

/* Everything else is as it was. */
static int
allocate_it (int fd, int mode, off_t offset, off_t length)
{
  if (fd >= 0 && fd == ram_fd && (mode & FALLOC_FL_PUNCH_HOLE) != 0)
    return 0;
  return (int)fail (call (SYS_fallocate, fd, mode, offset, length, 0, 0));
}

int
fallocate (int fd, int mode, off_t offset, off_t length)
{
  return allocate_it (fd, mode, offset, length);
}

int
fallocate64 (int fd, int mode, off_t offset, off_t length)
{
  return allocate_it (fd, mode, offset, length);
}
