/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-image kernel BZIMAGE OUT
 * vmctl-image initramfs OUT --agent PATH --module FILE...
 *
 * The helper of images/boot.c: it links the libraries that vmctl does not. It says "PERCENT TEXT" lines on
 * stdout and its error on stderr; status 1 failed, 2 wrong usage. */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "images/helper.h"
#include "images/initramfs.h"
#include "images/output.h"
#include "images/unpack.h"
#include "vmctl/base/error.h"

static void
say (const char *what, int percent, gpointer data)
{
  (void)printf ("%d %s\n", percent, what);
  (void)fflush (stdout);
}

/* No bounds without a limit. */
static gboolean
restrict_self (GError **error)
{
  if (!image_helper_restrict ((rlim_t)3 << 30, error))
    return FALSE;
#ifndef IMAGE_SANITIZED
  image_helper_limit (RLIMIT_CPU, 600);
#endif
  image_helper_limit (RLIMIT_FSIZE, (rlim_t)1 << 30);
  return TRUE;
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
