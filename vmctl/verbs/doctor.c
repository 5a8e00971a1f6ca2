/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl doctor: everything that can fail in `vmctl up`, looked at beforehand. */
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/checks-parts.h"
#include "vmctl/qemu-version.h"
#include "vmctl/show.h"
#include "vmctl/verbs.h"

typedef struct {
  gboolean json;
} DoctorOptions;

static const VmOption options[] = {
    {"json", 0, VM_OPTION_FLAG, offsetof (DoctorOptions, json), NULL, "print checks and host facts as JSON",
     NULL},
    {NULL},
};

static void
free_check (gpointer data)
{
  vm_check_free (data);
}

/* A runtime directory that cannot be used is one finding among others: the rest is looked at without it. */
static gboolean
gather (VmHost *host, GPtrArray *checks, GError **error)
{
  g_autofree char *home = vm_host_home (error);
  VmDirs dirs;
  GError *problem = NULL;

  if (home == NULL)
    return FALSE;
  if (vm_dirs_find (home, &dirs, &problem)) {
    vm_dirs_clear (&dirs);
  } else {
    g_ptr_array_add (checks, vm_check_new_error ("runtime-dir", "runtime dir", VM_CHECK_FAILED, problem));
    g_unsetenv ("XDG_RUNTIME_DIR");
  }
  return vm_host_gather (host, error);
}

static VmCheck *
check_qemu (VmHost *host)
{
  GError *error = NULL;

  if (host->qemu != NULL) {
    host->qemu_version = vm_qemu_version (host->qemu, host->dirs.cache, &error);
    if (host->qemu_version == NULL)
      return vm_check_new_error ("qemu", "QEMU", VM_CHECK_FAILED, error);
  }
  return vm_check_qemu (host);
}

static VmCheck *
check_kernel (VmHost *host)
{
  VmSpec spec = {0};
  GError *error = NULL;

  if (!vm_host_gather_images (host, &spec, &error))
    return vm_check_new_error ("kernel", "guest kernel", VM_CHECK_FAILED, error);
  return vm_check_kernel (host);
}

static void
run_checks (VmHost *host, GPtrArray *checks)
{
  gboolean has_runtime = checks->len == 0;

  g_ptr_array_add (checks, vm_check_kvm (host));
  g_ptr_array_add (checks, check_qemu (host));
  g_ptr_array_add (checks, vm_check_network (host));
  g_ptr_array_add (checks, vm_check_disk_tools ());
  g_ptr_array_add (checks, vm_check_bwrap (host));
  g_ptr_array_add (checks, vm_check_namespaces (host));
  g_ptr_array_add (checks, check_kernel (host));
  g_ptr_array_add (checks, vm_check_helpers (host));
  if (has_runtime)
    g_ptr_array_add (checks, vm_check_runtime (host));
  g_ptr_array_add (checks, vm_check_state (host));
  g_ptr_array_add (checks, vm_check_cache (host));
  g_ptr_array_add (checks, vm_check_memory (host));
}

static void
print_check (const VmCheck *check, gboolean colour)
{
  static const char *const words[] = {"ok", "warning", "FAILED"};
  static const char *const colours[] = {"\033[32m", "\033[33m", "\033[1;31m"};
  g_autofree char *why = vm_show_safe (check->why, -1);

  printf ("%s%-8s%s %-13s %s\n", colour ? colours[check->level] : "", words[check->level],
          colour ? "\033[0m" : "", check->what, why);
  if (check->mend != NULL) {
    g_autofree char *mend = vm_show_safe (check->mend, -1);

    printf ("%-8s %-13s mend: %s\n", "", "", mend);
  }
}

static void
print_text (GPtrArray *checks, guint failed)
{
  gboolean colour = vm_tty_wants_colour (STDOUT_FILENO);

  for (guint i = 0; i < checks->len; i++)
    print_check (g_ptr_array_index (checks, i), colour);
  if (failed == 0)
    printf ("\nA virtual machine can be started here.\n");
  else
    printf ("\nNo virtual machine can be started here: %u check%s failed.\n", failed, failed == 1 ? "" : "s");
}

static void
print_json (const VmHost *host, GPtrArray *checks, guint failed)
{
  json_object *object = json_object_new_object (), *array = json_object_new_array ();

  for (guint i = 0; i < checks->len; i++)
    json_object_array_add (array, vm_check_to_json (g_ptr_array_index (checks, i)));
  vm_json_add_bool (object, "ok", failed == 0);
  vm_json_add (object, "checks", array);
  vm_json_add (object, "host", vm_host_to_json (host));
  vm_show_json (object);
}

static int
doctor (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const DoctorOptions *o = data;
  g_autoptr (GPtrArray) checks = g_ptr_array_new_with_free_func (free_check);
  VmHost host = {0};
  guint failed = 0;

  if (!vm_host_become_user (&context->was_sudo, error) || !gather (&host, checks, error))
    return -1;
  host.is_sudo = context->was_sudo;
  run_checks (&host, checks);
  for (guint i = 0; i < checks->len; i++)
    failed += ((const VmCheck *)g_ptr_array_index (checks, i))->level == VM_CHECK_FAILED;
  if (o->json)
    print_json (&host, checks, failed);
  else
    print_text (checks, failed);
  vm_host_clear (&host);
  return failed == 0 ? 0 : 1;
}

const VmVerb vm_verb_doctor = {
    .name = "doctor",
    .usage = "[OPTIONS]",
    .summary = "check whether a virtual machine can be started here",
    .details = "Each line: ok, warning or FAILED, what was looked at, what was found, and the command that "
               "mends it. The exit status is 1 if anything failed.",
    .options = options,
    .options_size = sizeof (DoctorOptions),
    .flags = VM_VERB_NO_DIRS,
    .run = doctor,
};
