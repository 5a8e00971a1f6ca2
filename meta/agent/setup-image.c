/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image's own file system as the root, and systemd in it as the first process.
 *
 * How it works
 *
 * The root is an overlay by QEMU, below the file system, so that whatever is written here is gone with the
 * sandbox, and the image is as it was. Still little is: the user's account, and what of /etc the plan names.
 * All else is mounts, and lies in /run, which systemd takes over as it finds it: the meta dir, the shares,
 * the agent's program and the unit that starts it.
 *
 * With systemd there are two agents. The first is PID 1 in the initramfs. It reads the meta dir at once,
 * without a word of the host's, makes the root, and becomes systemd. It never opens its port, unless it has
 * to say that this failed. The second is a service. It opens the port, and the host sees one agent that took
 * its time to boot. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "meta/agent/image-accounts.h"
#include "meta/agent/setup-parts.h"
#include "meta/format.h"

enum { PARTITION_WAIT_MS = 3000 };

#define EXT4_RESIZE                                                                                          \
  _IOW ('f', 16, uint64_t) /* EXT4_IOC_RESIZE_FS: blocks; no header of the kernel's has it */

/* The partitions' nodes come a moment after the disk's. */
static int
mount_image (Setup *setup, const char *path)
{
  const char *type = setup->meta->filesystem;
  int64_t started = now_ms ();
  int r;

  (void)mkdir (SETUP_ROOT, 0755);
  while ((r = setup_mount (setup, path, SETUP_ROOT, type, 0, NULL)) < 0 &&
         (errno == ENOENT || errno == ENXIO) && now_ms () - started < PARTITION_WAIT_MS)
    usleep (1000);
  return r < 0 ? why_set (setup->why, errno, "cannot mount the image's root, the %s on '%s'", type, path) : 0;
}

/* A kept disk may have been made larger (vmctl disk resize). Ext4 grows while it is mounted; what cannot
 * stays as it is. Nothing happens where it is as large as the disk. */
static void
grow_root (const char *disk)
{
  int fd = open (disk, O_RDONLY | O_CLOEXEC), root = open (SETUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct statfs st;
  uint64_t blocks;

  if (fd >= 0 && root >= 0 && ioctl (fd, BLKGETSIZE64, &blocks) == 0 && fstatfs (root, &st) == 0) {
    blocks /= (uint64_t)st.f_bsize;
    (void)ioctl (root, EXT4_RESIZE, &blocks);
  }
  close_fd (&root);
  close_fd (&fd);
}

/* By this descriptor it is frozen for a snapshot. */
int
setup_image_watch (Agent *agent, const char *root, Why *why)
{
  agent->scratch_fd = open (root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return agent->scratch_fd < 0 ? why_set (why, errno, "cannot open the root") : 0;
}

int
setup_image_mount (Setup *setup)
{
  char disk[64], path[80];
  int r = setup_find_disk (setup, META_ROOT_SERIAL, disk, sizeof disk);

  if (r < 0)
    return r;
  snprintf (path, sizeof path, "%s", disk);
  if (setup->meta->partition != 0)
    snprintf (path, sizeof path, "%s%u", disk, setup->meta->partition);
  r = mount_image (setup, path);
  if (r == 0 && setup->meta->partition == 0)
    grow_root (disk);
  return r;
}

int
setup_image_root (Setup *setup)
{
  int r = setup->agent->premade.image ? 0 : setup_image_mount (setup);

  if (r < 0 || (r = setup_open_root (setup)) < 0 ||
      (r = setup_image_watch (setup->agent, SETUP_ROOT, setup->why)) < 0)
    return r;
  setup->lower = setup->tree;
  setup->lower.root = open (SETUP_LOWER, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (setup->lower.root < 0)
    return why_set (setup->why, errno, "cannot open the read-only share");
  r = image_accounts_add (&setup->tree, setup->meta);
  return r < 0 ? why_set (setup->why, -r, "cannot add the user to the image's /etc/passwd") : 0;
}

/* Ourselves, for the unit. */
static int
install_agent (int run)
{
  int self = open ("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd = -1, r = 0;
  struct stat st;

  if (self >= 0)
    fd = openat (run, META_SERVICE + strlen ("/run/"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  if (fd < 0 || fstat (self, &st) < 0 || sendfile (fd, self, NULL, (size_t)st.st_size) != st.st_size)
    r = errno != 0 ? -errno : -EIO;
  close_fd (&fd);
  close_fd (&self);
  return r;
}

/* A mount of its own, or logind would lay one over it at the first login. */
int
setup_image_runtime_dir (Setup *setup)
{
  const Meta *meta = setup->meta;
  char path[64], options[64];
  int r;

  snprintf (path, sizeof path, "/run/user/%u", meta->uid);
  snprintf (options, sizeof options, "mode=0700,uid=%u,gid=%u", meta->uid, meta->gid);
  r = mount_new (&setup->tree, "tmpfs", "tmpfs", options, MOUNT_PLAIN, path);
  return r < 0 ? why_set (setup->why, -r, "cannot mount a tmpfs on '%s'", path) : 0;
}

int
setup_image_install (Setup *setup, bool is_template)
{
  int run, path, r;
  char name[64];

  path = tree_open (&setup->tree, "/run", O_DIRECTORY);
  snprintf (name, sizeof name, "/proc/self/fd/%d", path);
  run = path < 0 ? path : open (name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r = run < 0 ? -errno : install_agent (run);
  if (r == 0)
    r = image_units_write (run, setup->meta, setup->tree.root, is_template);
  if (r == 0 && (is_template ? setup->agent->premade.is_host : !setup->meta->filesystem))
    r = host_units_write (run, setup->meta, is_template);
  close_fd (&run);
  close_fd (&path);
  return r < 0 ? why_set (setup->why, -r, "cannot write the units below /run/systemd") : 0;
}

int
setup_image_finish (Setup *setup)
{
  int r;

  if (!setup->meta->init)
    return 0;
  r = setup_image_runtime_dir (setup);
  return r < 0 ? r : setup_image_install (setup, false);
}

/* Only a failure comes back. */
int
setup_hand_over (Agent *agent, Why *why)
{
  int r = setup_vm (agent, why);

  if (r < 0)
    return r;
  if (!agent->meta.init)
    return why_set (why, 0, "the meta dir names no init for the image");
  (void)balloon_load (agent); /* without it no memory comes back, and nothing else is amiss */
  execl (agent->meta.init, agent->meta.init, NULL);
  return why_set (why, errno, "cannot start the image's init '%s'", agent->meta.init);
}

/* Below the host's tree is the scratch disk, which the first agent has left where no path leads. Mounted once
 * more it is the same file system, and nobody needs a path. */
static int
watch_scratch (Agent *agent, Why *why)
{
  Setup setup = SETUP_INIT (agent, &agent->meta, why);
  char disk[64];
  int mount_fd, r;

  if (agent->meta.tmpfs_mib != 0)
    return 0;
  r = setup_find_disk (&setup, META_DISK_SERIAL, disk, sizeof disk);
  if (r < 0)
    return r;
  mount_fd = mount_make ("ext4", disk, NULL, MOUNT_PLAIN);
  agent->scratch_fd = mount_fd < 0 ? -1 : openat (mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r = mount_fd < 0            ? why_set (why, -mount_fd, "cannot mount the scratch disk '%s'", disk)
      : agent->scratch_fd < 0 ? why_set (why, errno, "cannot open the scratch disk")
                              : 0;
  close_fd (&mount_fd);
  return r;
}

/* In the service. */
int
setup_service (Agent *agent, Why *why)
{
  int meta_fd = open (META_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC), r;
  Tree tree = {.root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};

  if (meta_fd < 0 || tree.root < 0) {
    r = why_set (why, errno, "cannot open the meta dir '%s'", META_DIR);
    close_fd (&tree.root);
    close_fd (&meta_fd);
    return r;
  }
  r = meta_load (&agent->meta, meta_fd, agent->bundle, agent->bundle_size, why);
  tree.uid = agent->meta.uid;
  tree.gid = agent->meta.gid;
  tree.home = agent->meta.home;
  if (r == 0)
    r = agent->meta.filesystem ? setup_image_watch (agent, "/", why) : watch_scratch (agent, why);
  if (r == 0)
    r = ops_run (
        &(Ops){
            .tree = &tree, .part = OPS_SOCKETS, .meta_fd = meta_fd, .share_fd = -1, .relays = &agent->relays},
        &agent->meta, why);
  close_fd (&tree.root);
  close_fd (&meta_fd);
  return r;
}
