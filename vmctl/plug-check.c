/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/plug.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/path.h"

gboolean
vm_plug_check_dir (const VmPlan *plan, const VmDirs *dirs, const char *real, GError **error)
{
  const char *const own[] = {dirs->runtime, dirs->state, dirs->cache, dirs->config};

  if (g_str_equal (real, "/"))
    return vm_error (error, VM_ERROR_USAGE,
                     "dir: '/' is all of this host; name the directory that is needed");
  if (vm_path_is_within (plan->home, real))
    return vm_error (error, VM_ERROR_USAGE,
                     "dir: '%s' is the home directory or holds it; name the directory that is needed", real);
  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    if (own[i] != NULL && (vm_path_is_within (real, own[i]) || vm_path_is_within (own[i], real)))
      return vm_error (error, VM_ERROR_USAGE,
                       "dir: '%s' is or holds '%s', where vmctl keeps what no sandbox may see", real, own[i]);
  return TRUE;
}

/* qcow2 (QEMU, docs/interop/qcow2.txt). All numbers are big-endian. */

enum { QCOW2_BACKING = 8, QCOW2_INCOMPATIBLE = 72, QCOW2_HEAD = 104, QCOW2_DATA_FILE = 1 << 2 };

static guint64
number (const guint8 *at, guint n)
{
  guint64 value = 0;

  while (n-- > 0)
    value = value << 8 | *at++;
  return value;
}

static gboolean
is_qcow2 (const guint8 *head, gsize length)
{
  return length >= 4 && memcmp (head, "QFI\xfb", 4) == 0;
}

static gboolean
check_qcow2 (const guint8 *head, gsize length, const char *file, GError **error)
{
  guint64 version = length >= QCOW2_HEAD ? number (head + 4, 4) : 0;

  if (version != 2 && version != 3)
    return vm_error (error, VM_ERROR_INVALID, "disk: '%s' is a broken qcow2 file, or of a version not known",
                     file);
  if (number (head + QCOW2_BACKING, 8) != 0)
    return vm_error (
        error, VM_ERROR_INVALID,
        "disk: '%s' is a qcow2 file that needs another one (its backing file), which is not opened; "
        "make a whole one of it: qemu-img convert -O qcow2",
        file);
  if (version == 3 && (number (head + QCOW2_INCOMPATIBLE, 8) & QCOW2_DATA_FILE) != 0)
    return vm_error (
        error, VM_ERROR_INVALID,
        "disk: '%s' is a qcow2 file whose data are in another one, which is not opened; make a whole "
        "one of it: qemu-img convert -O qcow2",
        file);
  return TRUE;
}

/* Formats that QEMU knows and nobody should be given the bytes of by mistake. */
static const char *
other_format (const guint8 *head, gsize length)
{
  static const struct {
    const char *magic, *name;
    gsize length;
  } table[] = {{"KDMV", "VMDK", 4}, {"COWD", "VMDK", 4},    {"# Disk Descriptor", "VMDK", 17},
               {"QED", "QED", 4},   {"conectix", "VHD", 8}, {"vhdxfile", "VHDX", 8},
               {"<<< ", "VDI", 4},  {"QFI\xfb", "qcow2", 4}};

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (length >= table[i].length && memcmp (head, table[i].magic, table[i].length) == 0)
      return table[i].name;
  return NULL;
}

/* A guest writes what it likes to a raw disk, a qcow2 head as well: so a file that was plugged as raw must
 * not become another format by what is in it. Which it is the user says, by the file's name or a word more.
 */
gboolean
vm_plug_check_disk (const guint8 *head, gsize length, const char *wanted, const char *file,
                    const char **ret_format, GError **error)
{
  const char *other = other_format (head, length);

  *ret_format = "raw";
  if (wanted == NULL && g_str_has_suffix (file, ".qcow2"))
    wanted = "qcow2";
  if (g_strcmp0 (wanted, "qcow2") == 0) {
    *ret_format = "qcow2";
    return is_qcow2 (head, length) ? check_qcow2 (head, length, file, error)
                                   : vm_error (error, VM_ERROR_INVALID, "disk: '%s' is no qcow2 file", file);
  }
  if (g_strcmp0 (wanted, "raw") == 0 || other == NULL)
    return TRUE;
  if (is_qcow2 (head, length))
    return vm_error (
        error, VM_ERROR_INVALID,
        "disk: '%s' begins as a qcow2 file does; a guest could have written that to a raw disk, so say "
        "which it is: %s:qcow2 or %s:raw",
        file, file, file);
  return vm_error (
      error, VM_ERROR_INVALID,
      "disk: '%s' begins as a %s file does; convert it (qemu-img convert -O qcow2), or say that its "
      "bytes are the disk: %s:raw",
      file, other, file);
}
