/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/error.h"

#include <errno.h>
#include <stdarg.h>

/* clang-format off */
G_DEFINE_QUARK (vm-error, vm_error)
/* clang-format on */

static VmErrorCode
code_from_errno (int err)
{
  switch (err) {
  case ENOENT:
    return VM_ERROR_NOT_FOUND;
  case EEXIST:
    return VM_ERROR_EXISTS;
  case EBUSY:
    return VM_ERROR_BUSY;
  case ECONNREFUSED:
    return VM_ERROR_NO_PEER;
  default:
    return VM_ERROR_FAILED;
  }
}

gboolean
vm_error_errno (GError **error, int err, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list ap;

  va_start (ap, format);
  what = g_strdup_vprintf (format, ap);
  va_end (ap);
  g_set_error (error, VM_ERROR, code_from_errno (err), "%s: %s", what, g_strerror (err));
  return FALSE;
}

gboolean
vm_error (GError **error, VmErrorCode code, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list ap;

  va_start (ap, format);
  message = g_strdup_vprintf (format, ap);
  va_end (ap);
  g_set_error_literal (error, VM_ERROR, (int)code, message);
  return FALSE;
}
