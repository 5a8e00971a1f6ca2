/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl core: the memory of a virtual machine, for a look at it when it is too late. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/core-dump.h"
#include "vmctl/driver.h"
#include "vmctl/progress.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean force, json, quiet;
} CoreOptions;

static const VmOption options[] = {
    {"force", 'f', VM_OPTION_FLAG, offsetof (CoreOptions, force), NULL, "replace FILE if it is there", NULL},
    {"json", 0, VM_OPTION_FLAG, offsetof (CoreOptions, json), NULL, "print what was written as JSON", NULL},
    {"quiet", 'q', VM_OPTION_FLAG, offsetof (CoreOptions, quiet), NULL, "no progress", NULL},
    {NULL},
};

/* The file while it is written: FILE itself, or with --force one beside it that takes its place. */
typedef struct {
  char *path, *final; /* owned */
  int fd;             /* owned */
} Output;

static gboolean
open_output (const char *file, gboolean force, Output *ret, GError **error)
{
  ret->final = g_strdup (file);
  ret->path = force ? g_strconcat (file, ".XXXXXX", NULL) : g_strdup (file);
  ret->fd = force ? mkostemp (ret->path, O_CLOEXEC)
                  : open (file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (ret->fd >= 0)
    return TRUE;
  if (errno == EEXIST)
    return vm_error (error, VM_ERROR_EXISTS, "'%s' is there already; add --force to replace it", file);
  return vm_error_errno (error, errno, "cannot make '%s'", file);
}

static void
drop_output (Output *output)
{
  if (output->fd >= 0)
    (void)unlink (output->path);
}

static gboolean
keep_output (Output *output, guint64 *ret_bytes, GError **error)
{
  struct stat st;

  if (fstat (output->fd, &st) < 0 ||
      (!g_str_equal (output->path, output->final) && rename (output->path, output->final) < 0))
    return vm_error_errno (error, errno, "cannot write '%s'", output->final);
  *ret_bytes = (guint64)st.st_size;
  vm_fd_clear (&output->fd);
  return TRUE;
}

static void
clear_output (Output *output)
{
  drop_output (output);
  vm_fd_clear (&output->fd);
  g_free (output->path);
  g_free (output->final);
}

static gboolean
interrupted (gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_CONTINUE;
}

static gboolean
has_machine (const VmRecord *record, GError **error)
{
  const VmDriver *driver = vm_driver_find (record->driver);

  return (driver != NULL && vm_driver_has_monitor (driver)) ||
         vm_error (error, VM_ERROR_UNSUPPORTED,
                   "sandbox '%s' (%s) is no virtual machine (%s): it has no memory of its own that could be "
                   "written; its processes can be looked at from this host, as root",
                   record->name, record->id, record->driver);
}

static gboolean
write_core (VmContext *context, const CoreOptions *o, const VmRecord *record, int fd, const char **ret_format,
            GError **error)
{
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  g_autoptr (VmClient) client = vm_client_connect (&context->dirs, record->id, error);
  gboolean stop = FALSE, ok;
  guint tags[G_N_ELEMENTS (numbers)];
  VmProgress progress;

  if (client == NULL)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    tags[i] = g_unix_signal_add (numbers[i], interrupted, &stop);
  vm_progress_begin (&progress, o->quiet);
  ok = vm_core_dump (client, fd, &stop, vm_progress_step, &progress, ret_format, error);
  vm_progress_end (&progress);
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    g_source_remove (tags[i]);
  if (!ok)
    g_prefix_error (error, "no core of sandbox '%s' (%s): ", record->name, record->id);
  return ok;
}

static void
report (const CoreOptions *o, const char *file, const char *format, guint64 bytes)
{
  g_autofree char *size = vm_size_format (bytes), *shown = vm_escape_terminal (file, -1, 1000);
  json_object *object;

  if (!o->json) {
    printf ("%s: %s, %s\n", shown, format, size);
    return;
  }
  object = json_object_new_object ();
  vm_json_add_str (object, "file", file);
  vm_json_add_str (object, "format", format);
  vm_json_add_int (object, "bytes", (gint64)bytes);
  vm_show_json (object);
}

static int
core (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const CoreOptions *o = data;
  g_autoptr (VmRecord) record = vm_store_find (&context->dirs, args[0], FALSE, error);
  Output output = {.fd = -1};
  const char *format = "";
  guint64 bytes = 0;
  gboolean ok;

  ok = record != NULL && has_machine (record, error) && open_output (args[1], o->force, &output, error) &&
       write_core (context, o, record, output.fd, &format, error) && keep_output (&output, &bytes, error);
  clear_output (&output);
  if (!ok)
    return -1;
  report (o, args[1], format, bytes);
  return 0;
}

const VmVerb vm_verb_core = {
    .name = "core",
    .usage = "[OPTIONS] SANDBOX FILE",
    .summary = "write the memory of a virtual machine to a file",
    .details =
        "For a look at it with crash(8) or gdb(1): compressed as kdump where QEMU can, else as ELF. The "
        "machine stands still meanwhile. Whoever reads FILE reads all that the guest knows: it is made "
        "for you alone. Other drivers have no machine, and refuse.",
    .options = options,
    .options_size = sizeof (CoreOptions),
    .min_args = 2,
    .max_args = 2,
    .complete = "sandbox",
    .run = core,
};
