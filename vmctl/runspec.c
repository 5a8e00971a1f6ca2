/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/runspec.h"

#include <stdio.h>
#include <string.h>

#include "images/boot.h"
#include "images/scratch.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/checks.h"
#include "vmctl/choice.h"
#include "vmctl/net-words.h"
#include "vmctl/progress.h"
#include "vmctl/qemu-version.h"
#include "vmctl/show.h"

static gboolean
each (char **values, VmSpec *spec, gboolean (*take) (VmSpec *, const char *, const char *, GError **),
      const char *what, GError **error)
{
  for (; values != NULL && *values != NULL; values++)
    if (!take (spec, *values, what, error))
      return FALSE;
  return TRUE;
}

static gboolean
take_net (const VmRunOptions *o, VmSpec *spec, GError **error)
{
  if (!each (o->nets, spec, vm_spec_set_net, "--net", error) ||
      !each (o->host_ports, spec, vm_spec_add_host_port, "--net-host-port", error) ||
      !each (o->publish, spec, vm_spec_add_publish, "--publish", error))
    return FALSE;
  return o->host_ports == NULL || (spec->net != VM_NET_NONE && spec->net != VM_NET_HOST) ||
         vm_error (error, VM_ERROR_USAGE,
                   "--net-host-port: with --net %s there is nothing that could let a port in; leave one out",
                   vm_net_name (spec->net));
}

static gboolean
take_options (const VmRunOptions *o, VmSpec *spec, GError **error)
{
  spec->profile = g_strdup (o->profile);
  spec->kernel = g_strdup (o->kernel);
  spec->image = g_strdup (o->image);
  spec->keep = g_strdup (o->keep);
  spec->env = g_strdupv (o->env);
  spec->grants = g_strdupv (o->grants);
  spec->no_grants = g_strdupv (o->no_grants);
  if (!each (o->sockets, spec, vm_spec_add_socket, "--socket", error) ||
      !each (o->plugs, spec, vm_spec_add_plug, "--plug", error) || !take_net (o, spec, error))
    return FALSE;
  spec->cold = o->cold;
  spec->no_root = o->no_root;
  spec->serial = o->serial;
  spec->tmux = o->tmux;
  return (o->accel == NULL || vm_spec_set_accel (spec, o->accel, "--accel", error)) &&
         (o->driver == NULL || vm_spec_set_driver (spec, o->driver, "--driver", error)) &&
         (o->min_isolation == NULL ||
          vm_spec_set_min_isolation (spec, o->min_isolation, "--min-isolation", error)) &&
         (o->name == NULL || vm_spec_set_name (spec, o->name, "--name", error)) &&
         (o->memory == NULL || vm_spec_set_memory (spec, o->memory, "--memory", error)) &&
         (o->cpus == NULL || vm_spec_set_cpus (spec, o->cpus, "--cpus", error)) &&
         (o->processes == NULL || vm_spec_set_processes (spec, o->processes, "--processes", error)) &&
         (o->root_ports == NULL || vm_spec_set_root_ports (spec, o->root_ports, "--root-ports", error)) &&
         (o->disk == NULL || vm_spec_set_disk (spec, o->disk, "--disk", error)) &&
         (o->display == NULL || vm_spec_set_display (spec, o->display, "--display", error)) &&
         (o->size == NULL || vm_spec_set_size (spec, o->size, "--size", error)) &&
         (o->boot_timeout == NULL || vm_spec_set_timeout (spec, o->boot_timeout, "--boot-timeout", error)) &&
         (o->restart == NULL || vm_spec_set_restart (spec, o->restart, "--restart", error)) &&
         (o->watchdog == NULL || vm_spec_set_watchdog (spec, o->watchdog, "--watchdog", error));
}

/* To look for a kernel and its modules takes a good part of the time in which a namespace starts. */
static gboolean
needs_kernel (const VmSpec *spec)
{
  const VmDriver *driver = spec->driver != NULL ? vm_driver_find (spec->driver) : NULL;

  return driver == NULL || driver->isolation == VM_ISOLATION_VM;
}

/* "~/x" as the user's. */
static void
expand_home (char **paths, const char *home)
{
  for (; paths != NULL && *paths != NULL; paths++)
    if (g_str_has_prefix (*paths, "~/")) {
      char *whole = g_build_filename (home, *paths + 2, NULL);

      g_free (*paths);
      *paths = whole;
    }
}

static gboolean
gather_program (VmRun *run)
{
  const VmProfile *profile = &run->profile;
  gboolean starts = profile->entrypoint != NULL && (run->spec.command == NULL || profile->appends);

  expand_home (profile->path, run->host.home);
  vm_host_gather_program (&run->host, starts ? profile->entrypoint[0] : NULL, profile->path);
  return TRUE;
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
      !vm_host_choose_image (&run->host, &run->spec, error) ||
      !vm_host_gather_project (&run->host, project, error))
    return FALSE;
  for (char **pair = run->spec.sockets; pair != NULL && *pair != NULL; pair += 2)
    vm_host_gather_named_socket (&run->host, pair[0]);
  run->host.is_sudo = context->was_sudo;
  vm_groups_copy (&context->root_groups, &run->host.root_groups);
  run->host.root_problem = g_strdup (context->root_keeper_why);
  run->host.mask = context->mask;
  if (!vm_config_apply_policy (VM_CONFIG_POLICY, &run->spec, error))
    return FALSE;
  if (options->no_config && !vm_config_apply_policy (VMCTL_SYSCONFDIR "/config", &run->spec, error))
    return FALSE;
  if (!vm_config_apply (&context->dirs, system, options->no_config ? NULL : run->host.project.path,
                        &run->spec, &run->profile, error))
    return FALSE;
  gather_program (run);
  if (run->spec.display != VM_DISPLAY_UNSET)
    vm_host_gather_display (&run->host);
  return !needs_kernel (&run->spec) || vm_host_gather_images (&run->host, &run->spec, error);
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

static void
print_notes (char **sentences)
{
  for (char **p = sentences; p != NULL && *p != NULL; p++) {
    g_autofree char *shown = vm_escape_terminal (*p, -1, 400);

    fprintf (stderr, "vmctl: note: %s\n", shown);
  }
}

void
vm_run_print_ignored (const VmRun *run)
{
  print_notes (run->spec.ignored);
}

void
vm_run_print_notes (const VmPlan *plan)
{
  print_notes (plan->notes);
}

void
vm_run_clear (VmRun *run)
{
  vm_spec_clear (&run->spec);
  vm_profile_clear (&run->profile);
  vm_host_clear (&run->host);
}

static gboolean
is_auto (const VmSpec *spec)
{
  return spec->driver == NULL || g_str_equal (spec->driver, "auto");
}

void
vm_run_print_choice (const VmRun *run, const VmPlan *plan, gboolean quiet)
{
  g_autofree char *line = NULL, *shown = NULL;

  if (!is_auto (&run->spec) || (quiet && *plan->passed_over == NULL))
    return;
  line = vm_choice_line (plan);
  shown = vm_escape_terminal (line, -1, -1);
  fprintf (stderr, "vmctl: %s\n", shown);
}

void
vm_run_print_unkept (const VmRun *run, const VmPlan *plan, gboolean quiet)
{
  gboolean asked = run->spec.memory != 0 || run->spec.cpus != 0 || run->spec.processes != 0;

  if (plan->isolation == VM_ISOLATION_NONE || (quiet && !asked))
    return;
  for (char **one = plan->unkept; *one != NULL; one++) {
    g_autofree char *shown = vm_show_safe (*one, -1);

    fprintf (stderr, "vmctl: warning: %s\n", shown);
  }
}

void
vm_run_ask_version (VmHost *host)
{
  g_autoptr (GError) problem = NULL;

  if (host->qemu == NULL || host->qemu_version != NULL)
    return;
  host->qemu_version = vm_qemu_version (host->qemu, host->dirs.cache, &problem);
  if (host->qemu_version == NULL)
    host->qemu_problem = g_strdup (problem->message);
}

VmPlan *
vm_run_make_plan (VmRun *run, const char *id, const char *name, GError **error)
{
  if (is_auto (&run->spec) || g_str_equal (run->spec.driver, "qemu"))
    vm_run_ask_version (&run->host);
  return vm_plan_make (&run->spec, &run->profile, &run->host, id, name, error);
}

gboolean
vm_run_probe (const VmRun *run, const VmPlan *plan, GError **error)
{
  if (vm_driver_find (plan->driver)->probe (&run->host, error))
    return TRUE;
  g_prefix_error (error, "the %s driver cannot work here: ", plan->driver);
  return FALSE;
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
  if (helper == NULL || !vm_host_find_kernel (&run->host, &run->spec, &kernel, error))
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

  if (bytes == 0 || run->host.image.filesystem != NULL || run->host.disk_base == NULL ||
      image_scratch_ready (run->host.disk_base))
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
