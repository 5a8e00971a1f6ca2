/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks that start processes: only `vmctl doctor` pays for them. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/checks-parts.h"

static gint64
read_number (const char *path, gint64 fallback)
{
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC);
  g_autofree char *text = fd >= 0 ? vm_fd_read_all (fd, 64, NULL, NULL) : NULL;

  return text != NULL ? g_ascii_strtoll (text, NULL, 10) : fallback;
}

const char *
vm_check_userns_mend (void)
{
  if (read_number ("/proc/sys/user/max_user_namespaces", 1) == 0)
    return "allow user namespaces: sudo sysctl user.max_user_namespaces=15000";
  if (geteuid () == 0)
    return NULL;
  if (read_number ("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
    return "allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1";
  if (read_number ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
    return "allow user namespaces: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap "
           "and vmctl-keeper an AppArmor profile with 'userns,'";
  return NULL;
}

char *
vm_check_explain_child (const char *said)
{
  const char *mend;

  if (strstr (said, "namespace") == NULL && strstr (said, "uid map") == NULL)
    return g_strdup (said);
  mend = vm_check_userns_mend ();
  return g_strdup_printf ("%s; %s", said,
                          mend != NULL ? mend
                                       : "inside a container: let it make user namespaces (docker run "
                                         "--security-opt seccomp=unconfined --security-opt "
                                         "systempaths=unconfined), or run vmctl on the host");
}

/* The same namespaces as for a virtual machine (vmctl/jail.c), around a program that only prints. */
VmCheck *
vm_check_namespaces (const VmHost *host)
{
  static const char name[] = "namespaces", what[] = "namespaces";
  g_autoptr (VmArgv) argv = vm_argv_new ();
  GError *error = NULL;
  g_autofree char *explained = NULL;

  if (host->keeper == NULL || host->bwrap == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED,
                         g_strdup ("not tried: bwrap or vmctl-keeper is missing"), NULL);
  vm_argv_add_many (argv, host->keeper, "--check", "yes", "--", host->bwrap, "--unshare-user", "--uid", NULL);
  vm_argv_addf (argv, "%u", host->uid);
  vm_argv_add (argv, "--gid");
  vm_argv_addf (argv, "%u", host->gid);
  vm_argv_add_many (argv, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
                    "--unshare-net", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/",
                    "--proc", "/proc", "--dev", "/dev", "--", host->dirs.self, "version", NULL);
  if (vm_argv_run (argv, NULL, &error))
    return vm_check_new (name, what, VM_CHECK_OK, g_strdup ("user, mount and network namespaces can be made"),
                         NULL);
  explained = vm_check_explain_child (error->message);
  g_error_free (error);
  return vm_check_new_error (name, what, VM_CHECK_FAILED,
                             g_error_new_literal (VM_ERROR, VM_ERROR_HOST, explained));
}

/* (transfer full); NULL: there is none, or it does not say. QEMU loads it, vmctl does not: only here, to ask.
 */
static char *
slirp_version (void)
{
  void *library = dlopen ("libslirp.so.0", RTLD_LAZY | RTLD_LOCAL);
  const char *(*ask) (void) = NULL;
  char *version = NULL;

  if (library == NULL)
    return NULL;
  *(void **)&ask = dlsym (library, "slirp_version_string");
  if (ask != NULL)
    version = g_strdup (ask ());
  (void)dlclose (library);
  return version;
}

/* 4.6.0 mends CVE-2021-3592 to 3595: a guest reads this host's memory. */
static gboolean
slirp_is_old (const char *version)
{
  int major, minor;

  return sscanf (version, "%d.%d", &major, &minor) == 2 && (major < 4 || (major == 4 && minor < 6));
}

VmCheck *
vm_check_network (const VmHost *host)
{
  static const char name[] = "network", what[] = "network";
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *said = NULL, *version = slirp_version ();

  if (host->qemu == NULL)
    return vm_check_new (name, what, VM_CHECK_WARNING, g_strdup ("not tried: QEMU is missing"), NULL);
  vm_argv_add_many (argv, host->qemu, "-netdev", "help", NULL);
  if (!vm_argv_run (argv, &said, NULL) || strstr (said, "\nuser\n") == NULL)
    return vm_check_new (name, what, VM_CHECK_WARNING,
                         g_strdup ("this QEMU has no user network: --net public will not work"),
                         "use vmctl up --net none, or install a QEMU that is built with libslirp");
  if (version != NULL && slirp_is_old (version))
    return vm_check_new (
        name, what, VM_CHECK_WARNING,
        g_strdup_printf ("libslirp %s lets a guest read memory of this host (CVE-2021-3592)", version),
        "install libslirp 4.6 or newer (Debian 12: apt install libslirp0), or use vmctl up "
        "--net none");
  return vm_check_new (name, what, VM_CHECK_OK,
                       g_strdup_printf ("QEMU's user network%s%s; a guest with --net public reaches this "
                                        "host's loopback",
                                        version != NULL ? ", libslirp " : "", version != NULL ? version : ""),
                       NULL);
}
