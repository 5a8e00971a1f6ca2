/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates of machines that run an image (under the host's own systemd also host-template.c).
 *
 * How it works
 *
 * Without systemd it is as with every template, but that the image's root is what is mounted beforehand.
 *
 * With systemd the first agent makes of the root what is nobody's, and becomes systemd, which brings up the
 * whole distribution. The service comes last of all. It opens its port, and the machine is saved. In one that
 * goes on from there the service does, when it is set up, what the first agent does in a machine that boots:
 * account, shares, mounts, host name, hardware address. All of that can come late, since nobody has asked for
 * it yet. Two things have been asked for, and what asked is told again: the journal is restarted, for it has
 * taken the machine id and the boot id, and the login on the console waits for a name. The kernel's boot id
 * cannot be another one; a file is laid over it, as systemd-nspawn does. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meta/agent/image-accounts.h"
#include "meta/agent/setup-parts.h"
#include "meta/format.h"

enum { ID_BYTES = 16, UNITS_MAX = 8, WAKE_S = 2 };

#define BALLOON "/run/vmctl/balloon.ko"
#define BOOT_ID "/run/vmctl/boot-id"
#define KERNEL_BOOT_ID "/proc/sys/kernel/random/boot_id"
#define MACHINE_ID "/etc/machine-id"
#define SSH_DIR "/etc/ssh"
#define SSH_PREFIX "ssh_host_"
#define SSH_WANTED "/run/vmctl/ssh-keys" /* is there if they are to be made anew */

/* "PARTITION,FILE-SYSTEM[,INIT]", or "host,INIT" */
int
setup_image_prepare (Setup *setup, char *words)
{
  Meta meta = {0};
  Setup own = *setup;
  static const char host[] = META_ROOT_HOST ",";
  char *save = NULL, *partition;
  uint64_t number;
  int r;

  if (strncmp (words, host, strlen (host)) == 0)
    return setup_host_prepare (setup, words + strlen (host));
  partition = strtok_r (words, ",", &save);
  meta.filesystem = strtok_r (NULL, ",", &save);
  if (!partition || !meta.filesystem || parse_number (partition, 128, &number) < 0)
    return why_set (setup->why, EINVAL, "'" META_WORD_ROOT "' says no root");
  meta.partition = (unsigned)number;
  own.meta = &meta;
  r = setup_image_mount (&own);
  setup->agent->premade.image = r == 0;
  setup->agent->premade.init = strtok_r (NULL, ",", &save);
  return r;
}

/* Written where nothing is, or in the place of what is. 0 or -errno */
static int
put_file (const Tree *tree, const char *path, const char *text, mode_t mode)
{
  const char *name;
  int parent = tree_parent (tree, path, &name), fd, r;

  if (parent < 0)
    return parent;
  (void)unlinkat (parent, name, 0);
  fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  r = fd < 0 ? -errno : write_all (fd, text, strlen (text));
  close_fd (&fd);
  close_fd (&parent);
  return r;
}

/* 32 hexadecimal digits, or those of a UUID, and a newline. */
static int
make_id (char *text, size_t size, bool is_uuid)
{
  uint8_t id[ID_BYTES];
  size_t n = 0;

  if (getrandom (id, sizeof id, 0) != (ssize_t)sizeof id)
    return -errno;
  id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
  id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
  for (size_t i = 0; i < sizeof id; i++)
    n += (size_t)snprintf (text + n, size - n, "%s%02x",
                           is_uuid && (i == 4 || i == 6 || i == 8 || i == 10) ? "-" : "", id[i]);
  (void)snprintf (text + n, size - n, "\n");
  return 0;
}

/* Without one systemd would take this for its first boot, and enable what nobody asked for. */
static int
put_machine_id (Setup *setup)
{
  char text[64];
  int r = make_id (text, sizeof text, false);

  if (r == 0)
    r = put_file (&setup->tree, MACHINE_ID, text, 0444);
  return r < 0 ? why_set (setup->why, -r, "cannot write '" MACHINE_ID "'") : 0;
}

/* Its driver's name has gone from the initramfs, and the initramfs goes with the first agent. */
static void
put_balloon (Setup *setup)
{
  size_t size;
  char *data =
      setup->agent->balloon_fd >= 0 ? read_open_file (setup->agent->balloon_fd, 16 << 20, &size) : NULL;
  const char *name;
  int parent = data ? tree_parent (&setup->tree, BALLOON, &name) : -1, fd = -1;

  if (parent >= 0)
    fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd >= 0 && write_all (fd, data, size) < 0)
    (void)unlinkat (parent, name, 0); /* without it no memory comes back, and nothing else is amiss */
  close_fd (&fd);
  close_fd (&parent);
  free (data);
}

static int
make_nobodys (Setup *setup)
{
  int r;

  if ((r = setup_open_root (setup)) < 0 || (r = setup_mount_system (setup)) < 0 ||
      (r = put_machine_id (setup)) < 0 || (r = setup_image_install (setup, true)) < 0)
    return r;
  put_balloon (setup);
  return setup_switch_root (setup);
}

int
setup_image_become (Agent *agent, Why *why)
{
  char *init = agent->premade.init;
  /* Whether anybody will be logged in on the console is not known yet. */
  Meta meta = {.home = "/",
               .filesystem = "",
               .init = init,
               .root = true,
               .address = META_NET_ADDRESS,
               .gateway = META_NET_GATEWAY};
  Setup setup = SETUP_INIT (agent, &meta, why);
  int r;

  if (!init)
    return 0;
  r = make_nobodys (&setup);
  if (r < 0)
    return r;
  (void)unsetenv (META_WORD_ROOT);
  execl (init, init, NULL);
  return why_set (why, errno, "cannot start the image's init '%s'", init);
}

/* Keys of an SSH server that were made by this boot would be those of every machine to come. */
static void
drop_ssh_keys (void)
{
  DIR *dir = opendir (SSH_DIR);
  time_t booted = time (NULL) - (time_t)(now_ms () / 1000);
  struct dirent *entry;
  bool wanted = false;
  struct stat st;

  while (dir && (entry = readdir (dir)))
    if (strncmp (entry->d_name, SSH_PREFIX, strlen (SSH_PREFIX)) == 0 &&
        fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime >= booted)
      wanted |= unlinkat (dirfd (dir), entry->d_name, 0) == 0;
  if (dir)
    closedir (dir);
  if (wanted) {
    int fd = open (SSH_WANTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    close_fd (&fd);
  }
}

void
setup_image_settle (Agent *agent)
{
  agent->balloon_fd = open (BALLOON, O_RDONLY | O_CLOEXEC);
  (void)unlink (BALLOON);
  drop_ssh_keys ();
  (void)setpriority (PRIO_PROCESS, 0, -20); /* as setup_prepare has it */
  premade_scrub_memory ();
  sync ();
}

/* In a machine that went on */

static int
mount_late (Setup *setup)
{
  Agent *agent = setup->agent;

  (void)mkdir (SETUP_LATE_LOWER, 0700);
  if (mount (META_TAG_RO, SETUP_LATE_LOWER, "9p", MS_RDONLY | MS_NOSUID | MS_NODEV, META_9P_OPTIONS_RO) < 0)
    return why_set (setup->why, errno, "cannot mount the read-only share '%s'", META_TAG_RO);
  setup->meta_fd = open (SETUP_LATE_LOWER META_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (setup->meta_fd < 0)
    return why_set (setup->why, errno, "no meta dir '%s' in the read-only share", META_DIR);
  return meta_load (setup->meta, setup->meta_fd, agent->bundle, agent->bundle_size, setup->why);
}

static int
open_trees (Setup *setup)
{
  setup->tree = (Tree){.root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                       .uid = setup->meta->uid,
                       .gid = setup->meta->gid,
                       .home = setup->meta->home};
  setup->lower = setup->tree;
  setup->lower.root = open (SETUP_LATE_LOWER, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return setup->tree.root < 0 || setup->lower.root < 0 ? why_set (setup->why, errno, "cannot open the root")
                                                       : 0;
}

static int
cover_boot_id (Setup *setup)
{
  char text[64];
  int r = make_id (text, sizeof text, true);

  if (r == 0)
    r = put_file (&setup->tree, BOOT_ID, text, 0444);
  if (r == 0 && (mount (BOOT_ID, KERNEL_BOOT_ID, NULL, MS_BIND, NULL) < 0 ||
                 mount (NULL, KERNEL_BOOT_ID, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0))
    r = -errno;
  return r < 0 ? why_set (setup->why, -r, "cannot give the machine a boot id of its own") : 0;
}

static int
put_login (Setup *setup, bool *ret_waits)
{
  int run = open ("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int r = run < 0 ? -errno : image_units_write_login (run, setup->meta, ret_waits);

  close_fd (&run);
  return r < 0 ? why_set (setup->why, -r, "cannot say who is to be logged in on the console") : 0;
}

static bool
has_modules (void)
{
  struct utsname name;
  char path[100];

  if (uname (&name) < 0)
    return false;
  snprintf (path, sizeof path, "/lib/modules/%s/modules.dep", name.release);
  return access (path, F_OK) == 0;
}

/* Until it has ended; what of it fails is for the journal. */
static void
run_program (const char *const *words)
{
  pid_t pid = fork ();

  if (pid == 0) {
    (void)execvp (words[0], (char *const *)words);
    _exit (1);
  }
  if (pid > 0)
    (void)waitpid (pid, NULL, 0);
}

static void
renew_ssh_keys (void)
{
  static const char *const make[] = {"ssh-keygen", "-A", NULL};
  static const char *const restart[] = {"systemctl",   "--no-block",   "try-restart",
                                        "ssh.service", "sshd.service", NULL};

  run_program (make);
  run_program (restart);
  (void)unlink (SSH_WANTED);
}

/* Beside the command, when that has started; where it has ended by then, systemd has better things to do. */
static void
wake_services (bool waits_for_login, bool got_modules)
{
  const char *words[UNITS_MAX + 4] = {"systemctl", "--no-block", "restart", "systemd-journald.service"};
  unsigned n = 4;
  sigset_t none;

  if (waits_for_login)
    words[n++] = "serial-getty@ttyS0.service";
  if (got_modules) { /* this host's kernel's; what is to be loaded, and the nodes of what could be */
    words[n++] = "kmod-static-nodes.service";
    words[n++] = "systemd-tmpfiles-setup-dev.service";
    words[n++] = "systemd-modules-load.service";
  }
  words[n] = NULL;
  if (fork () != 0)
    return;
  (void)setpriority (PRIO_PROCESS, 0, 0);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
  (void)sleep (WAKE_S);
  run_program (words);
  if (access (SSH_WANTED, F_OK) == 0)
    renew_ssh_keys ();
  _exit (0);
}

/* An image's root lacks an account; the host's tree is yet to become the root. */
static int
complete_root (Setup *setup)
{
  int r = setup->meta->filesystem ? 0 : setup_host_late (setup);

  if (r < 0 || (r = open_trees (setup)) < 0 || !setup->meta->filesystem)
    return r;
  if ((r = image_accounts_add (&setup->tree, setup->meta)) < 0)
    return why_set (setup->why, -r, "cannot add the user to the image's /etc/passwd");
  return setup_image_watch (setup->agent, "/", setup->why);
}

static int
set_up_late (Setup *setup)
{
  bool waits = false, had_modules = has_modules ();
  int r;

  if ((r = mount_late (setup)) < 0 || (r = complete_root (setup)) < 0 || (r = cover_boot_id (setup)) < 0)
    return r;
  if ((r = setup_mount_shares (setup)) < 0 || (r = setup_image_runtime_dir (setup)) < 0 ||
      (r = put_login (setup, &waits)) < 0)
    return r;
  r = ops_run (&(Ops){.tree = &setup->tree,
                      .part = OPS_ALL,
                      .lower = setup->meta->filesystem ? &setup->lower : NULL,
                      .meta_fd = setup->meta_fd,
                      .share_fd = setup->share_fd,
                      .relays = &setup->agent->relays},
               setup->meta, setup->why);
  if (r < 0 || (r = setup_set_system (setup)) < 0)
    return r;
  wake_services (waits, setup->meta->filesystem && !had_modules && has_modules ());
  return 0;
}

int
setup_image_late (Agent *agent, Why *why)
{
  Setup setup = SETUP_INIT (agent, &agent->meta, why);
  int r;

  r = set_up_late (&setup);
  (void)setpriority (PRIO_PROCESS, 0, 0);
  setup_close (&setup);
  (void)umount2 (SETUP_LATE_LOWER, MNT_DETACH);
  return r;
}
