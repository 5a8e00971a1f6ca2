/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/runspec.h"

#include <stdio.h>
#include <string.h>

#include "images/boot.h"
#include "images/scratch.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/checks.h"
#include "vmctl/progress.h"
#include "vmctl/qemu-version.h"

static gboolean
take_options (const VmRunOptions *o, VmSpec *spec, GError **error)
{
  spec->profile = g_strdup (o->profile);
  spec->kernel = g_strdup (o->kernel);
  spec->env = g_strdupv (o->env);
  spec->grants = g_strdupv (o->grants);
  spec->no_grants = g_strdupv (o->no_grants);
  spec->no_root = o->no_root;
  spec->serial = o->serial;
  return (o->driver == NULL || vm_spec_set_driver (spec, o->driver, "--driver", error)) &&
         (o->name == NULL || vm_spec_set_name (spec, o->name, "--name", error)) &&
         (o->memory == NULL || vm_spec_set_memory (spec, o->memory, "--memory", error)) &&
         (o->cpus == NULL || vm_spec_set_cpus (spec, o->cpus, "--cpus", error)) &&
         (o->disk == NULL || vm_spec_set_disk (spec, o->disk, "--disk", error)) &&
         (o->net == NULL || vm_spec_set_net (spec, o->net, "--net", error)) &&
         (o->boot_timeout == NULL || vm_spec_set_timeout (spec, o->boot_timeout, "--boot-timeout", error));
}

static gboolean
gather (VmContext *context, const VmRunOptions *options, const char *project, char **command, VmRun *run,
        GError **error)
{
  const char *system = options->no_config ? "/nonexistent/config" : VMCTL_SYSCONFDIR "/config";

  if (options->no_config) { /* also for what reads it later: the detach key */
    g_free (context->dirs.config);
    context->dirs.config = g_strdup ("/nonexistent");
  }
  run->spec.project = g_strdup (project);
  run->spec.command = command != NULL && command[0] != NULL ? g_strdupv (command) : NULL;
  if (!take_options (options, &run->spec, error) || !vm_host_gather (&run->host, error) ||
      !vm_host_gather_project (&run->host, project, error))
    return FALSE;
  run->host.is_sudo = context->was_sudo;
  run->host.mask = context->mask;
  return vm_config_apply (&context->dirs, system, options->no_config ? NULL : run->host.project.path,
                          &run->spec, &run->profile, error) &&
         vm_host_gather_images (&run->host, &run->spec, error);
}

gboolean
vm_run_gather (VmContext *context, const VmRunOptions *options, const char *project, char **command,
               VmRun *ret, GError **error)
{
  memset (ret, 0, sizeof *ret);
  if (gather (context, options, project, command, ret, error))
    return TRUE;
  vm_run_clear (ret);
  return FALSE;
}

void
vm_run_print_ignored (const VmRun *run)
{
  for (char **p = run->spec.ignored; p != NULL && *p != NULL; p++) {
    g_autofree char *shown = vm_escape_terminal (*p, -1, 400);

    fprintf (stderr, "vmctl: note: %s\n", shown);
  }
}

void
vm_run_clear (VmRun *run)
{
  vm_spec_clear (&run->spec);
  vm_profile_clear (&run->profile);
  vm_host_clear (&run->host);
}

/* Never silently a weaker one: today there is one real driver, and the null driver must be named. */
const VmDriver *
vm_run_find_driver (const VmRun *run, GError **error)
{
  const char *name = run->spec.driver;
  const VmDriver *driver =
      name == NULL || g_str_equal (name, "auto") ? &vm_driver_qemu : vm_driver_find (name);

  if (driver == NULL)
    vm_error (error, VM_ERROR_USAGE, "--driver: there is no driver '%s'", name);
  return driver;
}

/* What the facts do not hold yet, since it may cost a process. A QEMU that is missing is the probe's
 * business. */
static gboolean
ask_version (VmHost *host, GError **error)
{
  if (host->qemu != NULL && host->qemu_version == NULL)
    host->qemu_version = vm_qemu_version (host->qemu, host->dirs.cache, error);
  return host->qemu == NULL || host->qemu_version != NULL;
}

const VmDriver *
vm_run_choose_driver (VmRun *run, GError **error)
{
  const VmDriver *driver = vm_run_find_driver (run, error);

  if (driver == NULL || (driver == &vm_driver_qemu && !ask_version (&run->host, error)))
    return NULL;
  if (!driver->probe (&run->host, error)) {
    g_prefix_error (error, "the %s driver cannot work here: ", driver->name);
    return NULL;
  }
  return driver;
}

static gboolean
build_boot (VmContext *context, VmRun *run, VmProgress *progress, GError **error)
{
  g_autofree char *helper = NULL;
  ImageKernel kernel = {0};
  gboolean ok;

  if (image_boot_ready (run->host.vmlinux, run->host.initramfs))
    return TRUE;
  helper = vm_dirs_helper (&context->dirs, "vmctl-image", error);
  if (helper == NULL || !image_kernel_find ("", run->spec.kernel, &kernel, error))
    return FALSE;
  ok = image_boot_build (helper, context->dirs.cache, &kernel, run->host.agent, run->host.vmlinux,
                         run->host.initramfs, vm_progress_step, progress, error);
  image_kernel_clear (&kernel);
  return ok;
}

static gboolean
build_disk (VmContext *context, VmRun *run, VmProgress *progress, GError **error)
{
  guint64 bytes = vm_spec_disk_size (&run->spec);

  if (run->host.disk_base == NULL || image_scratch_ready (run->host.disk_base))
    return TRUE;
  return image_scratch_build (context->dirs.cache, bytes, vm_progress_step, progress, error);
}

/* A build that failed for want of room says a bare "No space left on device", or what a tool makes of it. */
static gboolean
explain_room (const VmRun *run, GError **error)
{
  g_autoptr (GError) room = NULL;

  if (!vm_check_require (vm_check_cache (&run->host), &room) && error != NULL) {
    g_autofree char *text = g_strdup_printf ("%s; %s", (*error)->message, room->message);

    g_clear_error (error);
    vm_error (error, VM_ERROR_HOST, "%s", text);
  }
  return FALSE;
}

gboolean
vm_run_build_images (VmContext *context, VmRun *run, gboolean quiet, GError **error)
{
  VmProgress progress;
  gboolean ok;

  vm_progress_begin (&progress, quiet);
  ok = build_boot (context, run, &progress, error) && build_disk (context, run, &progress, error);
  vm_progress_end (&progress);
  return ok || explain_room (run, error);
}
