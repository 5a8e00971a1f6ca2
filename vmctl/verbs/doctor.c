/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl doctor: everything that can fail in `vmctl up`, looked at beforehand. */
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "images/boot.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/base/tty.h"
#include "vmctl/checks-parts.h"
#include "vmctl/driver.h"
#include "vmctl/image-tools.h"
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
  if (!vm_host_gather (host, error))
    return FALSE;
  vm_host_gather_display (host);
  return TRUE;
}

/* The drivers that need what a check looks at; any other check is everybody's. */
static const struct {
  const char *check;
  const char *drivers[3];
} needs[] = {
    {"kvm", {"qemu"}},        {"qemu", {"qemu"}},           {"kernel", {"qemu"}},
    {"disk-tools", {"qemu"}}, {"bwrap", {"qemu", "bwrap"}}, {"namespaces", {"qemu", "bwrap"}},
};

/* NULL: everybody. */
static const char *const *
drivers_of (const VmCheck *check)
{
  for (gsize i = 0; i < G_N_ELEMENTS (needs); i++)
    if (g_str_equal (needs[i].check, check->name))
      return needs[i].drivers;
  return NULL;
}

static gboolean
lacks_nothing (const VmDriver *driver, GPtrArray *checks)
{
  for (guint i = 0; i < checks->len; i++) {
    const VmCheck *check = g_ptr_array_index (checks, i);
    const char *const *drivers = drivers_of (check);

    if (check->level == VM_CHECK_FAILED && drivers != NULL && g_strv_contains (drivers, driver->name))
      return FALSE;
  }
  return TRUE;
}

/* The strongest driver that can be used; NULL: none. */
static const VmDriver *
find_driver (const VmHost *host, GPtrArray *checks)
{
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++)
    if ((*d)->isolation != VM_ISOLATION_NONE && (*d)->probe (host, NULL) && lacks_nothing (*d, checks))
      return *d;
  return NULL;
}

/* What only other drivers need is no failure of the host: 'vmctl up' works. Returns how many failures are
 * left. */
static guint
count_failures (GPtrArray *checks, const VmDriver *usable)
{
  guint failed = 0;

  for (guint i = 0; i < checks->len; i++) {
    VmCheck *check = g_ptr_array_index (checks, i);

    if (check->level == VM_CHECK_FAILED && usable != NULL && drivers_of (check) != NULL)
      check->level = VM_CHECK_WARNING;
    failed += check->level == VM_CHECK_FAILED;
  }
  return failed;
}

static VmCheck *
check_qemu (VmHost *host)
{
  g_autoptr (GError) error = NULL;

  if (host->qemu != NULL) {
    host->qemu_version = vm_qemu_version (host->qemu, host->dirs.cache, &error);
    if (host->qemu_version == NULL)
      host->qemu_problem = g_strdup (error->message);
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

/* A kernel that boots may still have no graphics. */
static VmCheck *
check_display (const VmHost *host)
{
  const VmSpec spec = {.display = VM_DISPLAY_NONE};
  VmCheck *check = vm_check_display (host);
  ImageKernel kernel = {0};
  GError *error = NULL;

  if (check->level != VM_CHECK_OK)
    return check;
  if (image_kernel_find_for ("", NULL, vm_host_more_modules (&spec), &kernel, &error)) {
    image_kernel_clear (&kernel);
    return check;
  }
  vm_check_free (check);
  g_prefix_error (&error, "virtual machines have no screen (Debian's -cloud kernels have no graphics): ");
  return vm_check_new_error ("display", "screens", VM_CHECK_WARNING, error);
}

/* Only those who look into images need it. */
static VmCheck *
check_guestfs (const VmHost *host)
{
  static const char name[] = "guestfs", what[] = "image files";
  g_auto (VmImageGuestfs) guestfs = {.program = NULL};
  GError *error = NULL;

  if (!vm_image_guestfs_find (&host->dirs, &guestfs, &error) ||
      !image_guestfs_check (guestfs.program, &error))
    return vm_check_new_error (name, what, VM_CHECK_WARNING, error);
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("libguestfs can look into images"), NULL);
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
  g_ptr_array_add (checks, vm_check_limits (host));
  g_ptr_array_add (checks, check_display (host));
  g_ptr_array_add (checks, check_guestfs (host));
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

/* Each driver that `--driver auto` may take, with the reason that `up` would give. */
static void
print_drivers (const VmHost *host)
{
  gboolean taken = FALSE;

  printf ("\nDrivers, the strongest first; 'vmctl up' takes the first that can be used:\n");
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++) {
    g_autoptr (GError) why = NULL;
    g_autofree char *shown = NULL;

    if ((*d)->isolation == VM_ISOLATION_NONE)
      continue;
    (void)(*d)->probe (host, &why);
    shown = why != NULL ? vm_show_safe (why->message, -1) : g_strdup ((*d)->summary);
    printf ("%-8s %-13s %s%s\n", why == NULL ? "yes" : "no", (*d)->name, shown,
            why == NULL && !taken ? " (taken)" : "");
    taken = taken || why == NULL;
  }
}

static json_object *
drivers_to_json (const VmHost *host)
{
  json_object *array = json_object_new_array ();

  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++) {
    json_object *object = json_object_new_object ();
    g_autoptr (GError) why = NULL;

    vm_json_add_str (object, "name", (*d)->name);
    vm_json_add_str (object, "isolation", vm_isolation_name ((*d)->isolation));
    vm_json_add_bool (object, "usable", (*d)->probe (host, &why));
    vm_json_add_str (object, "why", why != NULL ? why->message : NULL);
    json_object_array_add (array, object);
  }
  return array;
}

static void
print_text (const VmHost *host, GPtrArray *checks, const VmDriver *usable, guint failed)
{
  gboolean colour = vm_tty_wants_colour (STDOUT_FILENO);

  for (guint i = 0; i < checks->len; i++)
    print_check (g_ptr_array_index (checks, i), colour);
  print_drivers (host);
  if (failed != 0)
    printf ("\nNothing can be started here: %u check%s failed.\n", failed, failed == 1 ? "" : "s");
  else if (usable != NULL && usable->isolation != VM_ISOLATION_VM)
    printf ("\nA sandbox can be started here, but no virtual machine: %s.\n", usable->summary);
  else
    printf ("\nA virtual machine can be started here.\n");
}

static void
print_json (const VmHost *host, GPtrArray *checks, guint failed)
{
  json_object *object = json_object_new_object (), *array = json_object_new_array ();

  for (guint i = 0; i < checks->len; i++)
    json_object_array_add (array, vm_check_to_json (g_ptr_array_index (checks, i)));
  vm_json_add_bool (object, "ok", failed == 0);
  vm_json_add (object, "checks", array);
  vm_json_add (object, "drivers", drivers_to_json (host));
  vm_json_add (object, "host", vm_host_to_json (host));
  vm_show_json (object);
}

static int
doctor (VmContext *context, gpointer data, char **args, char **command, GError **error)
{
  const DoctorOptions *o = data;
  g_autoptr (GPtrArray) checks = g_ptr_array_new_with_free_func (free_check);
  const VmDriver *usable;
  VmHost host = {0};
  guint failed;

  if (!vm_host_become_user (&context->was_sudo, error) || !gather (&host, checks, error))
    return -1;
  host.is_sudo = context->was_sudo;
  run_checks (&host, checks);
  usable = find_driver (&host, checks);
  failed = count_failures (checks, usable);
  if (o->json)
    print_json (&host, checks, failed);
  else
    print_text (&host, checks, usable, failed);
  vm_host_clear (&host);
  return failed == 0 ? 0 : 1;
}

const VmVerb vm_verb_doctor = {
    .name = "doctor",
    .usage = "[OPTIONS]",
    .summary = "check whether a sandbox can be started here",
    .details =
        "Each line: ok, warning or FAILED, what was looked at, what was found, and the command that "
        "mends it; then each driver, whether it can be used, and what mends it. What only a driver lacks "
        "is a warning if another one can be used. The exit status is 1 if anything failed.",
    .options = options,
    .options_size = sizeof (DoctorOptions),
    .flags = VM_VERB_NO_DIRS,
    .run = doctor,
};
