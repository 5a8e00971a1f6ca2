/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-ram.so, which QEMU is started with (LD_PRELOAD) when it goes on from a template.
 *
 * A template's memory is one file that many machines map privately. QEMU opens such a file for reading and
 * writing (up to version 8; later ones can be told not to), though it never writes to it. But a QEMU that a
 * guest has taken over would, and with that change every machine to come, and those that run. So the file is
 * opened for reading only here, and what the jail shows of it is read-only: there is no way to it for
 * writing. A QEMU that opens it some other way fails, and the sandbox boots instead.
 *
 * No libc: it has to fit whichever QEMU has. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "vmctl/drivers/qemu-argv.h"

extern int *__errno_location (void);
int open (const char *path, int flags, ...);
int open64 (const char *path, int flags, ...);
int __open_2 (const char *path, int flags);
int __open64_2 (const char *path, int flags);

static long
system_openat (const char *path, long flags, long mode)
{
  register long r10 __asm__("r10") = mode;
  long r;

  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(SYS_openat), "D"(AT_FDCWD), "S"(path), "d"(flags), "r"(r10)
                   : "rcx", "r11", "memory");
  return r;
}

static int
is_ram (const char *path)
{
  const char *ram = VM_QEMU_RAM;

  while (*path != '\0' && *path == *ram) {
    path++;
    ram++;
  }
  return *path == *ram;
}

static int
open_it (const char *path, int flags, int mode)
{
  long r;

  if (is_ram (path))
    flags = (flags & ~(O_ACCMODE | O_CREAT | O_TRUNC)) | O_RDONLY;
  r = system_openat (path, flags, mode);
  if (r >= 0)
    return (int)r;
  *__errno_location () = (int)-r;
  return -1;
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
