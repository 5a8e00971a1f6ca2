/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A plan grows by entries in the order in which they will be made: the host's tree and the made-up /etc, the
 * home, what persists in it, the project with what is protected in it, the meta dir, then the grants, then
 * the environment (which needs the tree: PATH names only what is inside). Nothing here asks the host
 * anything; what is not in VmHost does not exist. */
#include "vmctl/plan.h"

#include <string.h>

#include "meta/format.h"
#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/choice.h"
#include "vmctl/path.h"
#include "vmctl/plan-parts.h"

#define MEMORY_UNIT (G_GUINT64_CONSTANT (2) << 20) /* QEMU's memory, in huge pages */

void
vm_mount_free (VmMount *mount)
{
  if (mount == NULL)
    return;
  g_free (mount->source);
  g_free (mount->target);
  g_free (mount->share);
  g_free (mount->content);
  g_free (mount->why);
  g_free (mount);
}

void
vm_make_free (VmMake *make)
{
  if (make == NULL)
    return;
  g_free (make->path);
  g_free (make->source);
  g_free (make->content);
  g_free (make);
}

void
vm_plan_free (VmPlan *plan)
{
  if (plan == NULL)
    return;
  char *strings[] = {plan->id,
                     plan->name,
                     plan->driver,
                     plan->accel,
                     plan->profile,
                     plan->user,
                     plan->group,
                     plan->home,
                     plan->shell,
                     plan->hostname,
                     plan->project,
                     plan->cwd,
                     plan->qemu,
                     plan->firmware,
                     plan->nspawn,
                     plan->bwrap,
                     plan->keeper,
                     plan->vmlinux,
                     plan->initramfs,
                     plan->kernel_version,
                     plan->disk_base,
                     plan->disk_file,
                     plan->state_dir,
                     plan->runtime_dir,
                     plan->mac,
                     plan->template,
                     plan->ram_preload,
                     plan->screen.server,
                     plan->screen.manager,
                     plan->screen.socket,
                     plan->screen.number,
                     plan->screen.cookies,
                     plan->screen.viewer,
                     plan->screen.jail};

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    g_free (strings[i]);
  g_clear_pointer (&plan->mounts, g_ptr_array_unref);
  vm_groups_clear (&plan->groups);
  g_strfreev (plan->unkept);
  g_strfreev (plan->passed_over);
  g_clear_pointer (&plan->makes, g_ptr_array_unref);
  g_strfreev (plan->grants);
  g_strfreev (plan->notes);
  g_strfreev (plan->linked);
  g_strfreev (plan->watched);
  g_strfreev (plan->command);
  g_strfreev (plan->environment);
  g_strfreev (plan->secrets);
  vm_image_clear (&plan->image);
  g_strfreev (plan->template_inputs);
  g_strfreev (plan->plugs);
  g_strfreev (plan->net_rules);
  g_free (plan);
}

static void
set_identity (VmPlan *plan, const VmHost *host)
{
  plan->user = g_strdup (host->user);
  plan->group = g_strdup (host->group);
  plan->home = g_strdup (host->home);
  plan->shell = g_strdup (host->shell);
  plan->hostname = g_strdup (host->hostname);
  plan->uid = host->uid;
  plan->gid = host->gid;
}

/* Four words go into lines with ':' between them. */
static gboolean
check_identity (const VmHost *host, GError **error)
{
  const struct {
    const char *what, *value;
  } words[] = {
      {"user name", host->user}, {"group name", host->group}, {"home", host->home}, {"shell", host->shell}};

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (*words[i].value == '\0' || strpbrk (words[i].value, ":\n") != NULL ||
        !g_utf8_validate (words[i].value, -1, NULL))
      return vm_error (error, VM_ERROR_HOST, "the %s '%s' cannot be written to a passwd file; change it",
                       words[i].what, words[i].value);
  if (*host->home != '/' || host->home[1] == '\0')
    return vm_error (error, VM_ERROR_HOST,
                     "the home of '%s' is '%s'; run vmctl as a user who has a home directory of their own",
                     host->user, host->home);
  return TRUE;
}

static gboolean
set_memory (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  g_autofree char *asked = vm_size_format (spec->memory);
  g_autofree char *there = vm_size_format (host->memory);
  guint64 memory = spec->memory;

  if (memory > host->memory)
    return vm_error (error, VM_ERROR_USAGE, "--memory: %s is more than the %s of this host; ask for less",
                     asked, there);
  if (memory == 0) {
    memory = MIN (host->memory / 2, VM_SPEC_MEMORY_DEFAULT_MAX);
    if (spec->memory_limit != 0)
      memory = MIN (memory, spec->memory_limit);
    memory = MAX (memory, VM_SPEC_MEMORY_MIN);
  }
  plan->memory = plan->memory_max = memory - memory % MEMORY_UNIT;
  if (plan->memory < VM_SPEC_MEMORY_MIN)
    return vm_error (error, VM_ERROR_USAGE, "--memory: %s is too little; a guest needs at least 128M", asked);
  return TRUE;
}

static gboolean
set_cpus (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  guint cpus = spec->cpus;

  if (cpus > host->cpus)
    return vm_error (error, VM_ERROR_USAGE,
                     "--cpus: %u is more than the %u of this host; ask for %u or fewer", cpus, host->cpus,
                     host->cpus);
  if (cpus == 0) {
    cpus = CLAMP (host->cpus / 2, 1, VM_SPEC_CPUS_DEFAULT_MAX);
    if (spec->cpus_limit != 0)
      cpus = MIN (cpus, spec->cpus_limit);
  }
  plan->cpus = plan->cpus_max = MIN (cpus, 255);
  return TRUE;
}

/* The driver adds its own part: programs, kernel, disk. */
static gboolean
set_driver (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  VmChoice choice = {0};

  if (!vm_choice_make (vm_drivers, spec, host, &choice, error))
    return FALSE;
  plan->driver = g_strdup (choice.driver->name);
  plan->isolation = choice.driver->isolation;
  plan->keeper = g_strdup (host->keeper);
  g_strfreev (plan->passed_over);
  plan->passed_over = g_steal_pointer (&choice.passed_over);
  return choice.driver->fill (plan, spec, host, error) &&
         vm_driver_check_net (choice.driver, spec->net, host, error);
}

/* A size without a screen is a default of somebody's configuration. */
static void
set_screen (VmPlan *plan, const VmSpec *spec)
{
  if (spec->display == VM_DISPLAY_UNSET)
    return;
  plan->screen.kind = spec->display;
  plan->screen.width = spec->width != 0 ? spec->width : VM_SPEC_SCREEN_WIDTH;
  plan->screen.height = spec->height != 0 ? spec->height : VM_SPEC_SCREEN_HEIGHT;
}

static gboolean
set_session (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host, GError **error)
{
  g_auto (GStrv) command = vm_profile_command (profile, spec->command);
  gboolean is_inside = vm_path_is_within (host->cwd, plan->project);

  if (!vm_spec_check_words (command, error))
    return FALSE;
  if (command != NULL && *command == NULL)
    return vm_error (error, VM_ERROR_USAGE, "the command is empty; name one, or leave it out for a shell");
  if (is_inside && !g_utf8_validate (host->cwd, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE,
                     "the path of the current directory is not UTF-8; start from another");
  plan->command = g_steal_pointer (&command);
  plan->cwd = g_strdup (is_inside ? host->cwd : plan->project);
  set_screen (plan, spec);
  plan->serial = spec->serial;
  plan->trace = spec->trace;
  plan->mask = host->mask & 0777;
  plan->root_allowed = !spec->no_root;
  plan->boot_timeout = spec->boot_timeout != 0 ? spec->boot_timeout
                       : spec->image != NULL   ? VM_SPEC_IMAGE_BOOT_TIMEOUT
                                               : VM_SPEC_BOOT_TIMEOUT_DEFAULT;
  plan->restart_max = spec->restart_max;
  plan->watchdog = spec->watchdog;
  plan->profile = g_strdup (profile->name);
  return vm_plan_set_net (plan, spec, error);
}

/* The project's share is "0" wherever its mount stands in the order. */
static void
name_shares (VmPlan *plan)
{
  guint n = 0;

  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < plan->mounts->len; i++) {
      VmMount *mount = g_ptr_array_index (plan->mounts, i);

      if (mount->kind == VM_MOUNT_RW && g_str_equal (mount->why, "project") == (pass == 0))
        mount->share = g_strdup_printf ("%u", n++);
    }
}

static void
add_meta (VmPlan *plan)
{
  g_autofree char *meta = g_build_filename (plan->runtime_dir, "meta", NULL);

  vm_plan_add_ro (plan, meta, META_DIR, TRUE, "meta");
  vm_plan_add_link (plan, META_DIR_ALIAS, META_DIR, "meta");
}

/* The plan travels as JSON, so what is not UTF-8 would arrive as something else. */
static gboolean
check_mounts (const VmPlan *plan, GError **error)
{
  for (guint i = 0; i < plan->mounts->len; i++) {
    const VmMount *mount = g_ptr_array_index (plan->mounts, i);

    if ((mount->source != NULL && !g_utf8_validate (mount->source, -1, NULL)) ||
        !g_utf8_validate (mount->target, -1, NULL))
      return vm_error (error, VM_ERROR_HOST, "the path '%s' is not UTF-8; rename it", mount->target);
  }
  return TRUE;
}

static gboolean
fill (VmPlan *plan, const VmSpec *spec, const VmProfile *profile, const VmHost *host, GError **error)
{
  if (!check_identity (host, error) || !vm_plan_check_project (host, error))
    return FALSE;
  set_identity (plan, host);
  plan->project = g_strdup (host->project.path);
  plan->runtime_dir = g_build_filename (host->dirs.runtime, plan->id, NULL);
  plan->state_dir = g_build_filename (host->dirs.state, "sandboxes", plan->id, NULL);
  if (!set_session (plan, spec, profile, host, error) || !set_memory (plan, spec, host, error) ||
      !set_cpus (plan, spec, host, error) || !set_driver (plan, spec, host, error) ||
      !vm_plan_set_plugs (plan, spec, error) || !vm_plan_check_image (plan, spec, error) ||
      !vm_plan_add_root (plan, host, error))
    return FALSE;
  vm_plan_set_limits (plan, spec, host);
  vm_plan_add_home (plan, host);
  vm_plan_add_project (plan, host);
  add_meta (plan);
  if (!vm_plan_add_screen (plan, host, error) || !vm_plan_add_grants (plan, spec, profile, host, error) ||
      !vm_plan_add_program (plan, spec, profile, host, error))
    return FALSE;
  vm_plan_finish_etc (plan);
  if (!vm_plan_add_sockets (plan, spec, host, error))
    return FALSE;
  name_shares (plan);
  vm_plan_add_environment (plan, profile, host);
  vm_plan_fit_image (plan, host);
  if (profile->prompt != NULL && profile->entrypoint != NULL && (spec->command == NULL || profile->appends))
    vm_plan_add_prompt (plan, profile->prompt);
  if (spec->tmux)
    vm_plan_add_tmux (plan);
  return vm_plan_add_spec_environment (plan, spec, host, error) && check_mounts (plan, error);
}

VmPlan *
vm_plan_new (void)
{
  VmPlan *plan = g_new0 (VmPlan, 1);

  plan->root_ports = VM_SPEC_ROOT_PORTS_DEFAULT;
  plan->mounts = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_mount_free);
  plan->makes = g_ptr_array_new_with_free_func ((GDestroyNotify)vm_make_free);
  plan->passed_over = g_new0 (char *, 1);
  plan->unkept = g_new0 (char *, 1);
  plan->grants = g_new0 (char *, 1);
  plan->notes = g_new0 (char *, 1);
  plan->linked = g_new0 (char *, 1);
  plan->watched = g_new0 (char *, 1);
  plan->environment = g_new0 (char *, 1);
  plan->secrets = g_new0 (char *, 1);
  plan->net_rules = g_new0 (char *, 1);
  return plan;
}

VmPlan *
vm_plan_make (const VmSpec *spec, const VmProfile *profile, const VmHost *host, const char *id,
              const char *name, GError **error)
{
  g_autoptr (VmPlan) plan = vm_plan_new ();

  plan->id = g_strdup (id);
  plan->name = g_strdup (name);
  if (!fill (plan, spec, profile, host, error))
    return NULL;
  return g_steal_pointer (&plan);
}
