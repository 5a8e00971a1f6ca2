/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks that start processes: only `vmctl doctor` pays for them. */
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

VmCheck *
vm_check_network (const VmHost *host)
{
  static const char name[] = "network", what[] = "network";
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autofree char *version = NULL, *helper = vm_dirs_helper (&host->dirs, "vmctl-net", NULL);
  vm_autofd tun = open ("/dev/net/tun", O_RDWR | O_CLOEXEC);
  GError *error = NULL;

  if (helper == NULL)
    return vm_check_new (name, what, VM_CHECK_FAILED, g_strdup ("'vmctl-net' is missing"),
                         "install vmctl again, or use vmctl up --net none");
  vm_argv_add_many (argv, helper, "--version", NULL);
  if (!vm_argv_run (argv, &version, &error))
    return vm_check_new_error (name, what, VM_CHECK_FAILED, error);
  if (tun < 0)
    return vm_check_new (name, what, VM_CHECK_WARNING,
                         g_strdup ("/dev/net/tun cannot be used: only a virtual machine has a network"),
                         "load its module: sudo modprobe tun; or use vmctl up --net none");
  return vm_check_new (name, what, VM_CHECK_OK, g_strdup_printf ("vmctl-net, %s", g_strchomp (version)),
                       NULL);
}
