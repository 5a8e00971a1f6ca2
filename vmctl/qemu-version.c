/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/qemu-version.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

#define CACHE_NAME "qemu-version"

enum { CACHE_MAX = 8192 };

/* The first line of the cache file; the version is the second. */
static char *
identity_of (const char *qemu)
{
  struct stat st;

  if (strchr (qemu, '\n') != NULL || stat (qemu, &st) < 0)
    return NULL;
  return g_strdup_printf ("%s %lu %lu %lld %lld.%09ld", qemu, (unsigned long)st.st_dev,
                          (unsigned long)st.st_ino, (long long)st.st_size, (long long)st.st_ctim.tv_sec,
                          st.st_ctim.tv_nsec);
}

static char *
remembered (const char *cache_dir, const char *identity)
{
  vm_autofd dir = vm_file_open_private_dir (cache_dir, NULL);
  g_autofree char *text = dir >= 0 ? vm_file_read (dir, CACHE_NAME, CACHE_MAX, NULL, NULL) : NULL;
  g_auto (GStrv) lines = text != NULL ? g_strsplit (text, "\n", 3) : NULL;

  if (lines == NULL || g_strv_length (lines) < 2 || identity == NULL || !g_str_equal (lines[0], identity))
    return NULL;
  return g_strdup (lines[1]);
}

/* Only a cache: failing costs time. */
static void
remember (const char *cache_dir, const char *identity, const char *version)
{
  g_autofree char *text = g_strdup_printf ("%s\n%s\n", identity, version);
  vm_autofd dir = -1;

  if (!vm_file_make_private_dir (cache_dir, NULL))
    return;
  dir = vm_file_open_private_dir (cache_dir, NULL);
  if (dir >= 0)
    (void)vm_file_replace (dir, CACHE_NAME, text, strlen (text), 0600, FALSE, NULL);
}

char *
vm_qemu_version_parse (const char *said)
{
  const char *at = strstr (said, "version ");
  gsize length;

  if (at == NULL || !g_str_has_prefix (said, "QEMU"))
    return NULL;
  at += strlen ("version ");
  length = strspn (at, "0123456789.");
  return length > 0 && length < 32 && g_ascii_isdigit (*at) ? g_strndup (at, length) : NULL;
}

gboolean
vm_qemu_version_is_enough (const char *version)
{
  int major, minor;

  return sscanf (version, "%d.%d", &major, &minor) == 2 &&
         (major > VM_QEMU_MAJOR_MIN || (major == VM_QEMU_MAJOR_MIN && minor >= VM_QEMU_MINOR_MIN));
}

char *
vm_qemu_version (const char *qemu, const char *cache_dir, GError **error)
{
  g_autofree char *identity = identity_of (qemu), *said = NULL, *shown = NULL;
  char *version = remembered (cache_dir, identity);
  g_autoptr (VmArgv) argv = NULL;

  if (version != NULL)
    return version;
  argv = vm_argv_new ();
  vm_argv_add_many (argv, qemu, "--version", NULL);
  if (!vm_argv_run (argv, &said, error)) {
    g_prefix_error (error,
                    "'%s' does not run, install it again (Debian: apt install --reinstall "
                    "qemu-system-x86): ",
                    qemu);
    return NULL;
  }
  version = vm_qemu_version_parse (said);
  if (version == NULL) {
    shown = vm_escape_terminal (said, -1, 100);
    vm_error (error, VM_ERROR_HOST, "'%s' is not QEMU: it says '%s'; put QEMU first in PATH", qemu, shown);
  } else if (identity != NULL) {
    remember (cache_dir, identity, version);
  }
  return version;
}
