/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-probe: code that wants out. It runs inside a sandbox, tries one thing after the other, and says in
 * TAP what each gave: "ok N - ROW-NAME: ...", where ROW is a row of the test catalogue (A1 ... B40). "ok"
 * means: the sandbox held. What lies outside is told by the caller as KEY=VALUE words. */
#pragma once

#include <stdbool.h>

const char *probe_setting (const char *key); /* "" when it was not told */
void
probe_report (bool held, const char *name, const char *format, ...) __attribute__ ((format (printf, 3, 4)));
/* For a call that must not get through. The arguments are chosen so that the kernel would answer EFAULT,
 * EBADF or EINVAL: that is how a call that is let through shows. Held: -1 with EPERM, EACCES, ENOSYS. */
void probe_denied (const char *name, long result);
/* A file is read as a whole; false when it cannot be. At most `size` - 1 bytes, ended by NUL. */
bool probe_read (const char *path, char *buffer, unsigned size);
/* Runs `function` in a child that gets five seconds: its exit status, or -1 when it had to be killed. */
int probe_child (int (*function) (void));

void probe_files (void);
void probe_crowd (void); /* the project has big/000000 ... big/099999 */
void probe_processes (void);
void probe_kernel (void);
void probe_terminal (void);
