/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl screenshot: a sandbox's screen as a PNG. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"
#include "vmctl/client.h"
#include "vmctl/show.h"
#include "vmctl/store.h"
#include "vmctl/verbs.h"

enum { WAIT_MS = 60000, PNG_MAX = 256 << 20 };

typedef struct {
  gboolean json;
} ScreenshotOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (ScreenshotOptions, json), NULL,
     "print the screen's size and where its pointer is", NULL},
    {NULL},
};

/* The picture as the sandbox writes it: a descriptor for writing only, so that a QEMU takes it for the file
 * that it should write. */
static gboolean
dump (VmClient *client, int fd, GError **error)
{
  g_autoptr (json_object) ret = qmp_client_call (client->qmp, "screendump", NULL, &fd, 1, WAIT_MS, error);

  return ret != NULL;
}

/* To stdout by way of memory. */
static gboolean
shoot_to_stdout (VmClient *client, GError **error)
{
  vm_autofd memory = memfd_create ("screenshot", MFD_CLOEXEC), writable = -1;
  g_autofree char *name = g_strdup_printf ("/proc/self/fd/%d", memory), *png = NULL;
  gsize length;

  if (memory < 0 || (writable = open (name, O_WRONLY | O_CLOEXEC)) < 0)
    return vm_error_errno (error, errno, "cannot make a memory file");
  if (!dump (client, writable, error))
    return FALSE;
  png = vm_fd_read_all (memory, PNG_MAX, &length, error);
  return png != NULL && vm_fd_write_all (STDOUT_FILENO, png, length, error);
}

/* Whole, or as it was: the file gets its name when the picture is in it. */
static gboolean
shoot_to_file (VmClient *client, const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *part = g_build_filename (dir, ".vmctl-screenshot-XXXXXX", NULL);
  vm_autofd fd = g_mkstemp_full (part, O_WRONLY | O_CLOEXEC, 0600);

  if (fd < 0)
    return vm_error_errno (error, errno, "cannot write in '%s'", dir);
  if (!dump (client, fd, error) ||
      (rename (part, path) < 0 && !vm_error_errno (error, errno, "cannot write '%s'", path))) {
    (void)unlink (part);
    return FALSE;
  }
  return TRUE;
}

static gboolean
print_size (VmClient *client, const char *path, GError **error)
{
  json_object *size = qmp_client_call (client->qmp, "query-screen", NULL, NULL, 0, WAIT_MS, error);

  if (size == NULL)
    return FALSE;
  vm_json_add_str (size, "file", path);
  vm_show_json (size);
  return TRUE;
}

static gboolean
check_target (const ScreenshotOptions *o, const char *path, GError **error)
{
  if (!g_str_equal (path, "-"))
    return *path != '\0' || vm_error (error, VM_ERROR_USAGE, "the name of the file is empty");
  if (o->json)
    return vm_error (error, VM_ERROR_USAGE, "--json: what is printed is the picture; name a file");
  return !isatty (STDOUT_FILENO) ||
         vm_error (error, VM_ERROR_USAGE, "the picture would go to a terminal; name a file, or use a pipe");
}

static int
screenshot (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const ScreenshotOptions *o = data;
  const char *path = args[1];
  g_autoptr (VmRecord) record = NULL;
  g_autoptr (VmClient) client = NULL;
  gboolean ok;

  if (!check_target (o, path, error) ||
      (record = vm_store_find (&context->dirs, args[0], FALSE, error)) == NULL ||
      (client = vm_client_connect (&context->dirs, record->id, error)) == NULL)
    return -1;
  ok = g_str_equal (path, "-") ? shoot_to_stdout (client, error) : shoot_to_file (client, path, error);
  return ok && (!o->json || print_size (client, path, error)) ? 0 : -1;
}

const VmVerb vm_verb_screenshot = {
    .name = "screenshot",
    .usage = "[OPTIONS] SANDBOX FILE",
    .summary = "write a sandbox's screen to a PNG file",
    .details = "FILE is replaced as a whole, and readable by you alone; '-' is stdout. The sandbox needs a "
               "screen: vmctl up --display none.",
    .options = options,
    .options_size = sizeof (ScreenshotOptions),
    .min_args = 2,
    .max_args = 2,
    .complete = "sandbox",
    .run = screenshot,
};
