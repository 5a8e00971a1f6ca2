/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-image kernel BZIMAGE OUT
 * vmctl-image initramfs OUT --agent PATH --module FILE...
 *
 * The helper of images/boot.c: it links the libraries that vmctl does not. It says "PERCENT TEXT" lines on
 * stdout and its error on stderr; status 1 failed, 2 wrong usage. */
#include <errno.h>
#include <glib.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "images/initramfs.h"
#include "images/output.h"
#include "images/unpack.h"
#include "vmctl/base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static void
lower_limit (int what, rlim_t value)
{
  struct rlimit limit;

  if (getrlimit (what, &limit) < 0)
    return;
  limit.rlim_cur = MIN (limit.rlim_cur, value);
  limit.rlim_max = MIN (limit.rlim_max, value);
  (void)setrlimit (what, &limit); /* lowering cannot fail */
}

/* It needs to read and write files, and nothing else: no network, no programs, no bounds without a limit. The
 * sanitizers need more than that. */
static gboolean
restrict_self (GError **error)
{
#ifndef SANITIZED
  static const int denied[] = {SCMP_SYS (socket), SCMP_SYS (socketpair), SCMP_SYS (connect),
                               SCMP_SYS (execve), SCMP_SYS (execveat),   SCMP_SYS (fork),
                               SCMP_SYS (vfork),  SCMP_SYS (ptrace),     SCMP_SYS (io_uring_setup),
                               SCMP_SYS (bpf),    SCMP_SYS (mount),      SCMP_SYS (process_vm_writev)};
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  gboolean ok = filter != NULL;

  for (guint i = 0; ok && i < G_N_ELEMENTS (denied); i++)
    ok = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), denied[i], 0) == 0;
  ok = ok && seccomp_load (filter) == 0;
  if (filter != NULL)
    seccomp_release (filter);
  if (!ok)
    return vm_error (error, VM_ERROR_HOST, "cannot load a system call filter");
  lower_limit (RLIMIT_AS, (rlim_t)3 << 30);
  lower_limit (RLIMIT_CPU, 600);
#endif
  lower_limit (RLIMIT_CORE, 0);
  lower_limit (RLIMIT_FSIZE, (rlim_t)1 << 30);
  (void)signal (SIGXFSZ, SIG_IGN); /* so that write() says EFBIG */
  return TRUE;
}

static void
say (const char *what, int percent, gpointer data)
{
  (void)printf ("%d %s\n", percent, what);
  (void)fflush (stdout);
}

static gboolean
do_kernel (int argc, char **argv, GError **error)
{
  g_auto (ImageOutput) out = {.fd = -1};

  if (argc != 2)
    return vm_error (error, VM_ERROR_USAGE, "usage: vmctl-image kernel BZIMAGE OUT");
  return image_output_open (&out, argv[1], error) && image_unpack_kernel (argv[0], &out, say, NULL, error) &&
         image_output_commit (&out, error);
}

static gboolean
do_initramfs (int argc, char **argv, GError **error)
{
  g_auto (ImageOutput) out = {.fd = -1};
  g_autoptr (GPtrArray) modules = g_ptr_array_new ();
  const char *agent = NULL;
  int i;

  for (i = 1; i + 1 < argc; i += 2)
    if (strcmp (argv[i], "--agent") == 0)
      agent = argv[i + 1];
    else if (strcmp (argv[i], "--module") == 0)
      g_ptr_array_add (modules, argv[i + 1]);
    else
      break;
  if (argc < 1 || i != argc || agent == NULL)
    return vm_error (error, VM_ERROR_USAGE, "usage: vmctl-image initramfs OUT --agent PATH --module FILE...");
  g_ptr_array_add (modules, NULL);
  return image_output_open (&out, argv[0], error) &&
         image_initramfs_write (&out, agent, (const char *const *)modules->pdata, say, NULL, error) &&
         image_output_commit (&out, error);
}

int
main (int argc, char **argv)
{
  const char *verb = argc > 1 ? argv[1] : "";
  g_autoptr (GError) error = NULL;
  gboolean ok = restrict_self (&error);

  if (ok && strcmp (verb, "kernel") == 0)
    ok = do_kernel (argc - 2, argv + 2, &error);
  else if (ok && strcmp (verb, "initramfs") == 0)
    ok = do_initramfs (argc - 2, argv + 2, &error);
  else if (ok)
    ok = vm_error (&error, VM_ERROR_USAGE, "usage: vmctl-image kernel|initramfs ...");
  if (ok)
    return 0;
  (void)fprintf (stderr, "%s\n", error->message);
  return g_error_matches (error, VM_ERROR, VM_ERROR_USAGE) ? 2 : 1;
}
