/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/spec.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"

#define DISK_MIN (G_GUINT64_CONSTANT (64) << 20)
#define DISK_MAX (G_GUINT64_CONSTANT (16) << 40)

void
vm_spec_clear (VmSpec *spec)
{
  g_free (spec->project);
  g_strfreev (spec->command);
  g_free (spec->name);
  g_free (spec->driver);
  g_free (spec->profile);
  g_free (spec->kernel);
  g_strfreev (spec->env);
  g_strfreev (spec->grants);
  g_strfreev (spec->no_grants);
  g_strfreev (spec->ignored);
  *spec = (VmSpec){0};
}

gboolean
vm_spec_is_name (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > 63 || !g_ascii_isalnum (*text))
    return FALSE;
  for (; *text != '\0'; text++)
    if (!g_ascii_isalnum (*text) && strchr ("_.-", *text) == NULL)
      return FALSE;
  return TRUE;
}

/* Plain decimal digits only: no sign, no space, no base. */
static gboolean
parse_count (const char *text, guint max, guint *ret)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 1, max, &value, NULL))
    return FALSE;
  *ret = (guint)value;
  return TRUE;
}

gboolean
vm_spec_set_memory (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint64 bytes;

  if (!vm_size_parse (text, G_GUINT64_CONSTANT (1) << 20, what, &bytes, error))
    return FALSE;
  if (bytes < VM_SPEC_MEMORY_MIN)
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is too little; a guest needs at least 128M", what,
                     text);
  spec->memory = bytes;
  return TRUE;
}

gboolean
vm_spec_set_cpus (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (parse_count (text, 255, &spec->cpus))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of CPUs; write one from 1 to 255", what,
                   text);
}

gboolean
vm_spec_set_disk (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint64 bytes = 0;

  if (g_str_equal (text, "none")) {
    spec->disk_none = TRUE;
    spec->disk = 0;
    return TRUE;
  }
  if (!vm_size_parse (text, 1, what, &bytes, error))
    return FALSE;
  if (bytes < DISK_MIN || bytes > DISK_MAX)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '%s' is out of range; a disk has from 64M to 16T, or is 'none'", what, text);
  spec->disk_none = FALSE;
  spec->disk = bytes & ~((G_GUINT64_CONSTANT (1) << 20) - 1); /* whole MiB: one cached base a size */
  return TRUE;
}

gboolean
vm_spec_set_net (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (g_str_equal (text, "none"))
    spec->net = VM_NET_NONE;
  else if (g_str_equal (text, "public"))
    spec->net = VM_NET_PUBLIC;
  else
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a network; write 'none' or 'public'", what,
                     text);
  return TRUE;
}

gboolean
vm_spec_set_driver (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!g_str_equal (text, "auto") && !g_str_equal (text, "qemu") && !g_str_equal (text, "null"))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a driver; write 'auto' or 'qemu'", what, text);
  g_free (spec->driver);
  spec->driver = g_strdup (text);
  return TRUE;
}

gboolean
vm_spec_set_name (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!vm_spec_is_name (text))
    return vm_error (
        error, VM_ERROR_USAGE,
        "%s: '%s' is not a name; write up to 63 letters, digits, '_', '.', '-', and begin with a "
        "letter or a digit",
        what, text);
  g_free (spec->name);
  spec->name = g_strdup (text);
  return TRUE;
}

gboolean
vm_spec_set_timeout (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (parse_count (text, 3600, &spec->boot_timeout))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of seconds; write one from 1 to 3600",
                   what, text);
}

guint64
vm_spec_disk_size (const VmSpec *spec)
{
  if (spec->disk_none)
    return 0;
  return spec->disk != 0 ? spec->disk : VM_SPEC_DISK_DEFAULT;
}

gboolean
vm_spec_check_env (const char *text, const char *what, GError **error)
{
  gsize length = strcspn (text, "=");

  if (!g_utf8_validate (text, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "%s: the value of '%.*s' is not UTF-8", what, (int)length, text);
  if (length > 0 && !g_ascii_isdigit (*text) &&
      strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") >= length)
    return TRUE;
  return vm_error (
      error, VM_ERROR_USAGE,
      "%s: '%.*s' is not the name of a variable; write NAME=value, or NAME to pass the host's on", what,
      (int)length, text);
}
