/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/choice.h"

#include "vmctl/base/error.h"

void
vm_choice_clear (VmChoice *choice)
{
  g_strfreev (choice->passed_over);
  *choice = (VmChoice){0};
}

static const VmDriver *
find (const VmDriver *const *drivers, const char *name)
{
  for (; *drivers != NULL; drivers++)
    if (g_str_equal ((*drivers)->name, name))
      return *drivers;
  return NULL;
}

/* `--min-isolation` can be given again, a file has to be changed. */
static const char *
asked_by (const VmSpec *spec)
{
  return spec->min_isolation_by != NULL ? spec->min_isolation_by : "--min-isolation";
}

static gboolean
has_what_is_asked (const VmDriver *driver, const VmSpec *spec, GError **error)
{
  if (spec->image != NULL && driver->isolation != VM_ISOLATION_VM)
    return vm_error (
        error, VM_ERROR_USAGE,
        "%s: only a virtual machine runs an image; use --driver qemu, or leave it out for the host's own "
        "programs",
        spec->keep != NULL ? "--keep" : "--image");
  return !spec->serial || driver->isolation == VM_ISOLATION_VM ||
         vm_error (error, VM_ERROR_USAGE,
                   "--serial: only a virtual machine has a serial console; use --driver qemu");
}

static gboolean
take_named (const VmDriver *const *drivers, const VmSpec *spec, VmChoice *ret, GError **error)
{
  const VmDriver *driver = find (drivers, spec->driver);

  if (driver == NULL)
    return vm_error (error, VM_ERROR_USAGE, "--driver: there is no driver '%s'", spec->driver);
  if (driver->isolation < spec->min_isolation)
    return vm_error (
        error, VM_ERROR_USAGE,
        "--driver: the isolation of '%s' is '%s', and %s asks for '%s' at least; leave out one of "
        "the two",
        driver->name, vm_isolation_name (driver->isolation), asked_by (spec),
        vm_isolation_name (spec->min_isolation));
  if (!has_what_is_asked (driver, spec, error))
    return FALSE;
  ret->driver = driver;
  ret->passed_over = g_new0 (char *, 1);
  return TRUE;
}

static gboolean
complain (char **reasons, const VmSpec *spec, GError **error)
{
  g_autofree char *all = g_strjoinv ("; ", reasons);

  if (spec->min_isolation == VM_ISOLATION_NONE)
    return vm_error (error, VM_ERROR_HOST, "no driver can work here: %s", all);
  return vm_error (
      error, VM_ERROR_HOST,
      "no driver reaches the isolation '%s' here, which %s asks for: %s; mend that, or ask for less "
      "isolation there",
      vm_isolation_name (spec->min_isolation), asked_by (spec), *all != '\0' ? all : "none has it");
}

gboolean
vm_choice_make (const VmDriver *const *drivers, const VmSpec *spec, const VmHost *host, VmChoice *ret,
                GError **error)
{
  g_autoptr (GPtrArray) reasons = g_ptr_array_new_null_terminated (4, g_free, TRUE);

  if (spec->driver != NULL && !g_str_equal (spec->driver, "auto"))
    return take_named (drivers, spec, ret, error);
  for (; *drivers != NULL; drivers++) {
    const VmDriver *driver = *drivers;
    g_autoptr (GError) why = NULL;

    if (driver->isolation == VM_ISOLATION_NONE || driver->isolation < spec->min_isolation)
      continue;
    if (has_what_is_asked (driver, spec, &why) && driver->probe (host, &why) &&
        vm_driver_check_net (driver, spec->net, host, &why)) {
      ret->driver = driver;
      ret->passed_over = g_strdupv ((char **)reasons->pdata);
      return TRUE;
    }
    g_ptr_array_add (reasons, g_strdup_printf ("%s: %s", driver->name, why->message));
  }
  return complain ((char **)reasons->pdata, spec, error);
}

char *
vm_choice_line (const VmPlan *plan)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out, "driver %s (%s", plan->driver, vm_isolation_name (plan->isolation));
  if (g_strcmp0 (plan->accel, "tcg") == 0)
    g_string_append (out, ", emulated: not a security boundary");
  g_string_append_c (out, ')');
  for (char **one = plan->passed_over; *one != NULL; one++)
    g_string_append_printf (out, "; not %s", *one);
  return g_string_free (out, FALSE);
}

gboolean
vm_choice_allows (const VmSpec *spec, const char *isolation, GError **error)
{
  VmIsolation is = VM_ISOLATION_NONE;

  if (isolation != NULL)
    (void)vm_isolation_parse (isolation, &is); /* what is not known is none */
  return is >= spec->min_isolation ||
         vm_error (error, VM_ERROR_USAGE,
                   "the isolation of the sandbox that runs on this project is '%s', and %s asks for '%s' at "
                   "least; add --new to make another",
                   vm_isolation_name (is), asked_by (spec), vm_isolation_name (spec->min_isolation));
}
