/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 *   /lower    the read-only 9p share: the tree that the plan lets in, and the meta dir
 *   /scratch  the scratch disk, or a tmpfs: what is written outside the shares
 *   /newroot  an overlay of the two, the sandbox's root; on it /proc, /sys, /dev, /run, /tmp, the rw share,
 * and what the meta dir's `mounts` says
 *
 * Then /newroot is moved over / and becomes the root of the mount namespace, as every initramfs does it: a
 * mere chroot would forbid user namespaces (browsers, containers) to everybody inside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/mounts.h"
#include "meta/agent/net.h"
#include "meta/agent/ops.h"
#include "meta/agent/power.h"
#include "meta/agent/premade.h"
#include "meta/agent/setup-parts.h"
#include "meta/format.h"
#include "meta/netif.h"

#define LOWER SETUP_LOWER
#define SCRATCH SETUP_SCRATCH
#define PING_GROUPS "/proc/sys/net/ipv4/ping_group_range"
#define ALL_GROUPS "0 2147483647"

enum { DISK_WAIT_MS = 3000 };

/* A file system that the kernel does not know yet may be among the modules that are being loaded. */
int
setup_mount (Setup *setup, const char *source, const char *target, const char *type, unsigned long flags,
             const char *options)
{
  int r = mount (source, target, type, flags, options);

  if (r < 0 && errno == ENODEV && setup->agent->modules_pid > 0) {
    boot_wait_modules (setup->agent);
    r = mount (source, target, type, flags, options);
  }
  return r;
}

static int
mount_lower (Setup *setup)
{
  unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV;

  (void)mkdir (LOWER, 0755);
  if (setup_mount (setup, META_TAG_RO, LOWER, "9p", flags, META_9P_OPTIONS_RO) < 0)
    return why_set (setup->why, errno, "cannot mount the read-only share '%s'", META_TAG_RO);
  setup->meta_fd = open (LOWER META_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (setup->meta_fd < 0)
    return why_set (setup->why, errno, "no meta dir '%s' in the read-only share", META_DIR);
  return meta_load (setup->meta, setup->meta_fd, setup->agent->bundle, setup->agent->bundle_size, setup->why);
}

static bool
find_disk (const char *serial, char *ret, size_t n)
{
  DIR *dir = opendir ("/sys/block");
  struct dirent *entry;
  bool found = false;

  while (dir && !found && (entry = readdir (dir))) {
    char path[300], text[64];

    if (strncmp (entry->d_name, "vd", 2) != 0)
      continue;
    snprintf (path, sizeof path, "/sys/block/%s/serial", entry->d_name);
    if (read_line (path, text, sizeof text) < 0)
      continue;
    found = strcmp (text, serial) == 0;
    snprintf (ret, n, "/dev/%.*s", (int)n - 6, entry->d_name);
  }
  if (dir)
    closedir (dir);
  return found;
}

int
setup_find_disk (Setup *setup, const char *serial, char *ret, size_t n)
{
  int64_t started = now_ms ();

  boot_wait_modules (setup->agent);
  while (!find_disk (serial, ret, n)) {
    if (now_ms () - started > DISK_WAIT_MS)
      return why_set (setup->why, ENODEV, "no disk with the serial number '%s'", serial);
    usleep (1000);
  }
  return 0;
}

int
setup_mount_scratch (Setup *setup, const char *target, const char *options)
{
  char path[64];
  int r = setup_find_disk (setup, META_DISK_SERIAL, path, sizeof path);

  if (r < 0)
    return r;
  if (mount (path, target, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, options) < 0)
    return why_set (setup->why, errno, "cannot mount the scratch disk '%s'", path);
  return 0;
}

/* A disk that comes from a snapshot bears the kernel's note that it was mounted `volatile` and not unmounted,
 * with which no overlay mounts it again. It was frozen, so nothing is missing. */
static void
remove_note (void)
{
  (void)unlink (SCRATCH "/work/work/incompat/volatile/dirty");
  (void)rmdir (SCRATCH "/work/work/incompat/volatile");
}

/* It is frozen by this descriptor: where it is mounted has no path once the root is another. */
static int
take_disk (Setup *setup)
{
  int *fd = &setup->agent->scratch_fd,
      r = setup->agent->premade.disk ? 0 : setup_mount_scratch (setup, SCRATCH, "noinit_itable");

  if (r < 0)
    return r;
  if (!setup->agent->premade.disk)
    remove_note ();
  *fd = open (SCRATCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *fd < 0 ? why_set (setup->why, errno, "cannot open the scratch disk") : 0;
}

static int
mount_scratch (Setup *setup)
{
  char options[64];

  (void)mkdir (SCRATCH, 0700);
  if (setup->meta->tmpfs_mib == 0)
    return take_disk (setup);
  if (setup->agent->premade.disk)
    (void)umount2 (SCRATCH, MNT_DETACH);
  snprintf (options, sizeof options, "mode=0700,size=%llum", (unsigned long long)setup->meta->tmpfs_mib);
  if (mount ("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
    return why_set (setup->why, errno, "cannot mount a tmpfs for the root");
  return 0;
}

/* Scripts call it by this name. The host's own would only complain, without its set-user-ID bit. */
static void
link_sudo (bool wanted)
{
  static const char *const name = SCRATCH "/upper/usr/bin/sudo";

  if (!wanted) { /* what a template has */
    (void)unlink (name);
    return;
  }
  (void)mkdir (SCRATCH "/upper/usr", 0755);
  (void)mkdir (SCRATCH "/upper/usr/bin", 0755);
  (void)symlink (META_BIN_DIR "/sudo", name);
}

/* What the tree below may lack is made here, not through the overlay, which is slow at it. */
static void
make_layers (bool sudo)
{
  static const char *const dirs[] = {"proc", "sys", "dev", "run", "tmp", "mnt"};

  (void)mkdir (SCRATCH "/upper", 0755);
  for (unsigned i = 0; i < sizeof dirs / sizeof *dirs; i++) {
    char path[64];

    snprintf (path, sizeof path, SCRATCH "/upper/%s", dirs[i]);
    (void)mkdir (path, 0755);
  }
  (void)mkdir (SCRATCH "/upper/root", 0700);
  (void)mkdir (SCRATCH "/work", 0700);
  (void)mkdir (SETUP_ROOT, 0755);
  link_sudo (sudo);
}

/* The upper layer lives as long as the sandbox, so it need not be flushed (volatile) and its own notes can be
 * trusted (redirect_dir: renaming a directory of the lower layer works). The root of the overlay has the
 * upper directory's owner and mode. */
int
setup_mount_layers (Setup *setup, const char *layers)
{
  const char *extras[] = {",redirect_dir=on,volatile", ",redirect_dir=on", ""};
  char options[256];

  for (unsigned i = 0; i < 3; i++) {
    snprintf (options, sizeof options, "%s%s", layers, extras[i]);
    if (setup_mount (setup, "overlay", SETUP_ROOT, "overlay", MS_NOSUID | MS_NODEV, options) == 0)
      break;
    if (i == 2 || errno != EINVAL)
      return why_set (setup->why, errno, "cannot mount the overlay");
  }
  return setup_open_root (setup);
}

static int
mount_overlay (Setup *setup)
{
  int r;

  if (!setup->agent->premade.disk || setup->meta->tmpfs_mib != 0)
    make_layers (setup->meta->root);
  else if (!setup->meta->root) /* all else is there */
    link_sudo (false);
  r = setup->meta->init ? host_units_hide (SCRATCH "/upper", setup->meta) : 0;
  if (r < 0)
    return why_set (setup->why, -r, "cannot hide what this host's systemd would start");
  return setup_mount_layers (setup, "lowerdir=" LOWER ",upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work");
}

int
setup_open_root (Setup *setup)
{
  setup->tree = (Tree){.root = open (SETUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC),
                       .uid = setup->meta->uid,
                       .gid = setup->meta->gid,
                       .home = setup->meta->home};
  return setup->tree.root < 0 ? why_set (setup->why, errno, "cannot open the new root") : 0;
}

int
setup_mount_premade (Setup *setup, PremadeWhich which, const char *path)
{
  int target = tree_make_dirs (&setup->tree, path), r;

  r = target < 0 ? target : premade_attach (&setup->agent->premade, which, target);
  close_fd (&target);
  return r;
}

/* systemd finds the first three, as from every initramfs, and mounts the others itself, as it wants them. */
static int
mount_kernel_fs (Setup *setup)
{
  static const struct {
    const char *path;
    PremadeWhich which;
    bool needed, first;
  } table[] = {
      {"/proc", PREMADE_PROC, true, true},
      {"/sys", PREMADE_SYS, true, true},
      {"/sys/fs/cgroup", PREMADE_CGROUP, false, false},
      {"/dev", PREMADE_DEV, true, true},
      {"/dev/shm", PREMADE_SHM, true, false},
      {"/dev/mqueue", PREMADE_MQUEUE, false, false},
      {"/dev/pts", PREMADE_PTS, true, false},
  };
  int r;

  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (setup->meta->init && !table[i].first)
      continue;
    r = setup_mount_premade (setup, table[i].which, table[i].path);
    if (r < 0 && table[i].needed)
      return why_set (setup->why, -r, "cannot mount '%s'", table[i].path);
  }
  return 0;
}

static int
cover (Setup *setup, const char *path, PremadeWhich which, const char *except)
{
  int under = tree_make_dirs (&setup->tree, path), over, r;
  char lower[64];

  if (under < 0)
    return why_set (setup->why, -under, "cannot make '%s'", path);
  r = premade_attach (&setup->agent->premade, which, under);
  over = r < 0 ? r : tree_open (&setup->tree, path, O_DIRECTORY);
  snprintf (lower, sizeof lower, LOWER "%s", path);
  if (over >= 0 && !setup->meta->filesystem) /* not over an image's */
    mount_carry_over (lower, under, over, except);
  close_fd (&over);
  close_fd (&under);
  return r < 0 ? why_set (setup->why, -r, "cannot mount a tmpfs on '%s'", path) : 0;
}

int
setup_make_owned (Setup *setup, const char *path, uid_t uid, gid_t gid, mode_t mode)
{
  int fd = tree_make_dirs (&setup->tree, path), r;

  r = fd < 0 ? fd : fd_set_owner (fd, uid, gid, mode);
  close_fd (&fd);
  return r < 0 ? why_set (setup->why, -r, "cannot make '%s'", path) : 0;
}

int
setup_mount_system (Setup *setup)
{
  int r;

  if ((r = mount_kernel_fs (setup)) < 0 || (r = cover (setup, "/run", PREMADE_RUN, "vmctl")) < 0 ||
      (r = cover (setup, "/tmp", PREMADE_TMP, "")) < 0 ||
      (r = setup_make_owned (setup, "/root", 0, 0, 0700)) < 0)
    return r;
  return setup_make_owned (setup, META_RW_DIR, 0, 0, 0700);
}

static int
make_user_dir (Setup *setup)
{
  char path[64];

  snprintf (path, sizeof path, "/run/user/%u", setup->meta->uid);
  return setup_make_owned (setup, path, setup->meta->uid, setup->meta->gid, 0700);
}

static int
mount_share (Setup *setup)
{
  int r = mount_new (&setup->tree, "9p", META_TAG_RW, META_9P_OPTIONS_RW, MOUNT_PLAIN, META_RW_SHARE);

  if (r < 0)
    return why_set (setup->why, -r, "cannot mount the read-write share '%s'", META_TAG_RW);
  setup->share_fd = tree_open (&setup->tree, META_RW_SHARE, O_DIRECTORY);
  return setup->share_fd < 0 ? why_set (setup->why, -setup->share_fd, "cannot open '%s'", META_RW_SHARE) : 0;
}

static int
show_meta (Setup *setup)
{
  int target = tree_make_dirs (&setup->tree, META_DIR), parent, r;
  const char *name;

  r = target < 0 ? target : mount_bind_at (setup->meta_fd, MOUNT_PLAIN | MOUNT_ATTR_RDONLY, target);
  close_fd (&target);
  if (r < 0)
    return why_set (setup->why, -r, "cannot mount the meta dir on '%s'", META_DIR);
  parent = tree_parent (&setup->tree, META_DIR_ALIAS, &name);
  if (parent >= 0)
    (void)symlinkat (META_DIR, parent, name);
  close_fd (&parent);
  return 0;
}

/* Ourselves, under the name of sudo. */
static int
install_sudo (Setup *setup)
{
  int r = setup_mount_premade (setup, PREMADE_SUDO, META_BIN_DIR);

  return r < 0 ? why_set (setup->why, -r, "cannot install sudo in '%s'", META_BIN_DIR) : 0;
}

int
setup_mount_shares (Setup *setup)
{
  int r;

  if ((r = mount_share (setup)) < 0 || (r = show_meta (setup)) < 0)
    return r;
  return setup->meta->root ? install_sudo (setup) : 0;
}

static void
set_kernel_value (const char *path, const char *value)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  if (fd >= 0)
    (void)!write (fd, value, strlen (value));
  close_fd (&fd);
}

static bool
is_usual (const Meta *meta)
{
  return meta->address && strcmp (meta->address, META_NET_ADDRESS) == 0 && meta->gateway &&
         strcmp (meta->gateway, META_NET_GATEWAY) == 0;
}

static int
set_addresses (const Setup *setup, const char *card)
{
  const Meta *meta = setup->meta;
  bool is_template = setup->agent->is_template, is_ready = is_template && is_usual (meta);
  int r = is_template && !is_ready ? netif_down (card) : 0;

  if (!is_template)
    net_without_ipv6 (card);
  if (r == 0 && meta->mac)
    r = net_set_mac (card, meta->mac);
  return r == 0 && !is_ready ? net_configure (card, meta->address, meta->gateway) : r;
}

/* Every machine has a card. One that is nobody's is taken away; that of a machine from a template has the
 * template's hardware address until it gets its own, and the addresses that every sandbox with a network has.
 */
static int
set_network (Setup *setup)
{
  char *card = setup->agent->premade.card;
  int r;

  boot_wait_modules (setup->agent);
  r = *card != '\0' ? 0 : net_find_card (card);
  if (!setup->meta->address) {
    r = r == 0 ? net_remove (card) : r;
    return r < 0 && r != -ENODEV ? why_set (setup->why, -r, "cannot take the network card away") : 0;
  }
  if (r == 0)
    r = set_addresses (setup, card);
  if (r < 0 && setup->agent->is_template)
    return why_set (setup->why, -r, "cannot give the network card its own address");
  if (r < 0)
    agent_log (setup->agent, "cannot configure the network: %s", strerror (-r));
  return 0;
}

int
setup_set_system (Setup *setup)
{
  const char *name = setup->meta->hostname;

  if (name && *name && sethostname (name, strlen (name)) < 0)
    return why_set (setup->why, errno, "cannot set the host name");
  if (!setup->agent->is_template) {
    net_loopback_up ();
    set_kernel_value (PING_GROUPS, ALL_GROUPS);
  }
  return set_network (setup);
}

int
setup_switch_root (Setup *setup)
{
  (void)unlink ("/init"); /* the initramfs stays below everything, as memory that nobody can reach */
  (void)umount2 ("/proc", MNT_DETACH);
  (void)umount2 ("/sys", MNT_DETACH);
  (void)umount2 ("/dev", MNT_DETACH);
  if (chdir (SETUP_ROOT) < 0 || mount (".", "/", NULL, MS_MOVE, NULL) < 0 || chroot (".") < 0 ||
      chdir ("/") < 0)
    return why_set (setup->why, errno, "cannot make the overlay the root");
  (void)mount (NULL, "/", NULL, MS_REC | MS_SHARED, NULL); /* as systemd has it; containers expect it */
  return 0;
}

static int
make_root (Setup *setup)
{
  int r;

  if (setup->meta->filesystem)
    return setup_image_root (setup);
  if ((r = mount_scratch (setup)) < 0 || (r = mount_overlay (setup)) < 0)
    return r;
  return setup_make_owned (setup, "/", 0, 0, 0755);
}

static int
run (Setup *setup)
{
  int r;

  if ((r = mount_lower (setup)) < 0 || (r = make_root (setup)) < 0 || (r = setup_mount_system (setup)) < 0)
    return r;
  if ((r = make_user_dir (setup)) < 0 || (r = setup_mount_shares (setup)) < 0)
    return r;
  if ((r = setup_image_finish (setup)) < 0)
    return r;
  r = ops_run (&(Ops){.tree = &setup->tree,
                      .part = setup->meta->init ? OPS_MOUNTS : OPS_ALL,
                      .lower = setup->lower.root >= 0 ? &setup->lower : NULL,
                      .meta_fd = setup->meta_fd,
                      .share_fd = setup->share_fd,
                      .relays = &setup->agent->relays},
               setup->meta, setup->why);
  if (r < 0 || (r = setup_set_system (setup)) < 0)
    return r;
  return setup_switch_root (setup);
}

/* A machine that goes on finds work for its kernel: a new generation, told by the firmware's byte code, a
 * port that has a host. That is done while we wait for the shares, instead of in front of us. */
static void
hurry (bool yes)
{
  (void)setpriority (PRIO_PROCESS, 0, yes ? -20 : 0);
}

int
setup_prepare_disk (Setup *setup)
{
  int r;

  (void)mkdir (SCRATCH, 0700);
  r = setup_mount_scratch (setup, SCRATCH, "noinit_itable");
  if (r < 0)
    return r;
  make_layers (true);
  setup->agent->premade.disk = true;
  return 0;
}

/* What a template saves others: everything that needs neither a share nor a name. */
int
setup_prepare (Agent *agent, Why *why)
{
  Setup setup = {.agent = agent, .meta = &agent->meta, .why = why};
  char *root = getenv (META_WORD_ROOT);
  int r;

  boot_wait_modules (agent);
  net_loopback_up ();
  if ((r = premade_make_all (&agent->premade, why)) < 0 ||
      (r = root ? setup_image_prepare (&setup, root) : setup_prepare_disk (&setup)) < 0)
    return r;
  set_kernel_value (PING_GROUPS, ALL_GROUPS);
  if ((r = net_find_card (agent->premade.card)) < 0)
    return why_set (why, -r, "there is no network card");
  net_without_ipv6 (agent->premade.card);
  if ((r = net_configure (agent->premade.card, META_NET_ADDRESS, META_NET_GATEWAY)) < 0)
    return why_set (why, -r, "cannot configure the network");
  agent->power_port = power_find_port ();
  hurry (!agent->premade.init); /* which goes on as that */
  premade_scrub_memory ();
  sync ();
  return 0;
}

void
setup_close (Setup *setup)
{
  close_fd (&setup->meta_fd);
  close_fd (&setup->share_fd);
  close_fd (&setup->tree.root);
  close_fd (&setup->lower.root);
}

int
setup_vm (Agent *agent, Why *why)
{
  Setup setup = SETUP_INIT (agent, &agent->meta, why);
  int r;

  r = run (&setup);
  hurry (false); /* what is started is not */
  setup_close (&setup);
  if (r == 0 && !agent->meta.init)
    say ("press Enter for a shell");
  return r;
}
