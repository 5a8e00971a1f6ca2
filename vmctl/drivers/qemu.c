/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The qemu driver: keeper, bwrap, QEMU. The jail's arguments travel by descriptor. */
#include "vmctl/driver.h"

#include <unistd.h>

#include "images/disk.h"
#include "images/scratch.h"
#include "images/template.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/bwrap.h"
#include "vmctl/checks.h"
#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/jail.h"
#include "vmctl/machine.h"

static gboolean
probe (const VmHost *host, GError **error)
{
  return vm_check_require (vm_check_qemu (host), error) && vm_check_require (vm_check_bwrap (host), error) &&
         vm_check_require (vm_check_userns (host), error) &&
         vm_check_require (vm_check_helpers (host), error) &&
         vm_check_require (vm_check_kernel (host), error);
}

static gboolean
need (const char *fact, const char *problem, GError **error)
{
  return fact != NULL || vm_error (error, VM_ERROR_HOST, "%s", problem);
}

static gboolean
choose_accel (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  gboolean is_kvm = host->kvm && host->kvm_problem == NULL;

  if (spec->accel != NULL && !g_str_equal (spec->accel, "auto"))
    is_kvm = g_str_equal (spec->accel, "kvm");
  if (is_kvm && !host->kvm)
    return vm_error (error, VM_ERROR_HOST,
                     "--accel kvm: /dev/kvm cannot be opened; run: vmctl doctor, or leave it out");
  plan->accel = g_strdup (is_kvm ? "kvm" : "tcg");
  return TRUE;
}

/* Of the range that QEMU gives out; what follows is the sandbox's alone. (transfer full) */
static char *
make_mac (const char *id)
{
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, id, -1);

  return g_strdup_printf ("52:54:00:%.2s:%.2s:%.2s", sum, sum + 2, sum + 4);
}

/* A template has a scratch disk, which a plan that wants none leaves alone; none is made for such a plan.
 * Under the host's own systemd the template has put something there. A kept disk is not as a template has
 * left it.
 */
static void
choose_template (VmPlan *plan, const VmSpec *spec, const VmHost *host)
{
  g_auto (GStrv) inputs = vm_qemu_template_inputs (host);
  g_autofree char *key = NULL;

  if (spec->cold || spec->serial || !vm_qemu_image_has_template (&plan->image) || host->qemu_id == NULL ||
      host->cpu_id == NULL || host->ram_preload == NULL || plan->disk_base == NULL ||
      (plan->disk == 0 && plan->image.name != NULL))
    return;
  key = vm_qemu_template_key (plan, (const char *const *)inputs);
  plan->has_template = host->templates != NULL && g_strv_contains ((const char *const *)host->templates, key);
  if (!plan->has_template && (plan->disk == 0 || spec->makes_no_templates))
    return;
  plan->template = image_template_path (host->dirs.cache, key);
  plan->templates_max = spec->templates_max != 0 ? spec->templates_max : VM_SPEC_TEMPLATES_MAX_DEFAULT;
  plan->template_inputs = g_steal_pointer (&inputs);
  plan->ram_preload = g_strdup (host->ram_preload);
}

/* For what may be plugged later: as much as this host has, in numbers that a template can be found by again.
 */
static void
leave_room (VmPlan *plan, const VmSpec *spec, const VmHost *host)
{
  guint64 memory = (host->memory + VM_QEMU_MEMORY_UNIT - 1) / VM_QEMU_MEMORY_UNIT * VM_QEMU_MEMORY_UNIT;

  plan->cpus_max = CLAMP (host->cpus, plan->cpus, MAX (plan->cpus, VM_QEMU_CPUS_MAX));
  plan->memory_max = MAX (MIN (memory, VM_QEMU_MEMORY_ROOM), plan->memory);
  if (spec->root_ports != 0)
    plan->root_ports = spec->root_ports;
}

/* What is written goes to an overlay of the image, and --disk has no meaning; unless it has no disk. */
static void
take_image (VmPlan *plan, const VmImage *image)
{
  plan->image = (VmImage){.name = g_strdup (image->name),
                          .dir = g_strdup (image->dir),
                          .filesystem = g_strdup (image->filesystem),
                          .init = g_strdup (image->init),
                          .keep = g_strdup (image->keep),
                          .partition = image->partition,
                          .size = image->size};
  if (image->filesystem == NULL)
    return;
  plan->disk = image->size;
  plan->disk_base = g_build_filename (image->dir, "disk.qcow2", NULL);
}

static gboolean
choose_disk (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  if (host->image.name != NULL)
    take_image (plan, &host->image);
  if (plan->image.filesystem != NULL) {
    choose_template (plan, spec, host);
    return TRUE;
  }
  plan->disk = vm_spec_disk_size (spec);
  if (plan->disk != 0 &&
      !need (host->disk_base, "the place of the disk is not known; run: vmctl doctor", error))
    return FALSE;
  plan->disk_base = g_strdup (host->disk_base);
  choose_template (plan, spec, host);
  if (plan->disk == 0 && !plan->has_template)
    g_clear_pointer (&plan->disk_base, g_free);
  return TRUE;
}

static gboolean
fill (VmPlan *plan, const VmSpec *spec, const VmHost *host, GError **error)
{
  if (!probe (host, error) ||
      !need (host->vmlinux, "the place of the guest's kernel is not known; run: vmctl doctor", error) ||
      !need (host->initramfs, "the place of the guest's initramfs is not known; run: vmctl doctor", error) ||
      !choose_accel (plan, spec, host, error))
    return FALSE;
  plan->qemu = g_strdup (host->qemu);
  plan->firmware = g_strdup (host->firmware);
  plan->bwrap = g_strdup (host->bwrap);
  plan->vmlinux = g_strdup (host->vmlinux);
  plan->initramfs = g_strdup (host->initramfs);
  plan->kernel_version = g_strdup (host->kernel_version);
  plan->mac = make_mac (plan->id);
  leave_room (plan, spec, host);
  return choose_disk (plan, spec, host, error);
}

static gboolean
render (const VmPlan *plan, VmLaunch *ret, GError **error)
{
  VmArgv *argv = vm_argv_new ();

  vm_driver_add_keeper (plan, argv, TRUE, TRUE, VM_KEEPER_NET_FRAMES);
  vm_bwrap_add_tree_options (plan, argv);
  vm_argv_add_many (argv, "--", plan->bwrap, "--args", NULL);
  vm_argv_addf (argv, "%d", vm_argv_slot (argv, "args"));
  vm_argv_add (argv, "--");
  if (plan->trace) {
    vm_argv_add_many (argv, VM_JAIL_STAMP, "--stamp", NULL);
    vm_argv_addf (argv, "%d", vm_argv_slot (argv, "stamp"));
    vm_argv_add (argv, "--");
  }
  vm_qemu_argv (plan, plan->has_template ? VM_QEMU_CLONE : VM_QEMU_COLD, argv);
  ret->argv = argv;
  ret->filter = VM_FILTER_VMM;
  ret->inner = vm_jail_arguments (plan, argv, &ret->tree);
  return TRUE;
}

/* What is written to an image. `disk`: a template's, -1: none. -1 and error */
static int
open_overlay (const VmPlan *plan, int disk, GError **error)
{
  const VmImage *image = &plan->image;
  g_autofree char *id = g_path_get_basename (image->dir);

  if (image->keep != NULL && plan->disk_file != NULL)
    return image_disk_restore (image->keep, id, image->name, error);
  if (image->keep != NULL)
    return image_disk_open (image->keep, id, image->name, image->size, error);
  if (plan->disk_file != NULL)
    return image_scratch_take_file (plan->disk_file, error);
  return disk >= 0 ? image_scratch_clone (disk, plan->state_dir, error)
                   : image_scratch_new (image->size, plan->state_dir, error);
}

/* The base stays open in QEMU, and so the image stays in the store. */
static gboolean
open_image (const VmPlan *plan, int disk, int *ret_overlay, int *ret_base, GError **error)
{
  *ret_base = vm_machine_open_image (plan, error);
  if (*ret_base < 0)
    return FALSE;
  *ret_overlay = open_overlay (plan, disk, error);
  return *ret_overlay >= 0;
}

/* The disk, and with a template what QEMU goes on from. INVALID: the template must go. */
static gboolean
bind_machine (const VmPlan *plan, VmArgv *argv, GError **error)
{
  g_auto (ImageTemplateFiles) files = IMAGE_TEMPLATE_FILES_INIT;
  vm_autofd overlay = -1, base = -1;

  if (plan->has_template && !image_template_open (plan->template, &files, error))
    return FALSE;
  if (plan->disk_base != NULL) {
    if (!(plan->image.filesystem != NULL ? open_image (plan, files.disk, &overlay, &base, error)
          : plan->disk_file != NULL
              ? image_scratch_take (plan->disk_base, plan->disk_file, &overlay, &base, error)
              : image_scratch_open (plan->disk_base, files.disk, plan->state_dir, &overlay, &base, error)))
      return FALSE;
    vm_argv_bind (argv, "overlay", vm_fd_steal (&overlay));
    vm_argv_bind (argv, "base", vm_fd_steal (&base));
  }
  if (plan->has_template) {
    image_template_used (&files);
    vm_argv_bind (argv, "state", vm_fd_steal (&files.state));
  }
  return TRUE;
}

static gboolean
prepare (const VmPlan *plan, VmLaunch *launch, GError **error)
{
  g_autoptr (GBytes) arguments = vm_bwrap_bytes (launch->inner), tree = vm_bwrap_bytes (launch->tree);

  if (!bind_machine (plan, launch->argv, error))
    return FALSE;
  vm_argv_bind_bytes (launch->argv, "args", arguments);
  vm_argv_bind_bytes (launch->argv, "tree", tree);
  return TRUE;
}

const VmDriver vm_driver_qemu = {
    .name = "qemu",
    .summary = "a virtual machine",
    .isolation = VM_ISOLATION_VM,
    .net = VM_KEEPER_NET_FRAMES,
    .has_qmp = TRUE,
    .probe = probe,
    .fill = fill,
    .render = render,
    .prepare = prepare,
};
