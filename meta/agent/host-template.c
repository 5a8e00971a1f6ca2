/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates of machines that run the host's own systemd.
 *
 * How it works
 *
 * A share that is mounted cannot be saved, and neither can one that was, as long as somebody has a file of it
 * open. systemd is a file of one. So in a machine that becomes a template the first agent copies the little
 * that a boot needs (systemd, its journal, their libraries, the units) into memory, lets the share go, and
 * systemd boots from the copy.
 *
 * In a machine that goes on the service mounts the tree of the plan with the scratch disk above it, exactly
 * as a machine that boots has it, puts /proc, /sys, /dev, /run and /tmp into it as they are, and makes it the
 * root by pivot_root, which changes the root of each process that had the old one, systemd's included. What
 * runs by then goes on with the files that it has open, which are the same as those of the tree: the key of
 * the template says so (images/host-systemd.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/setup-parts.h"
#include "meta/format.h"

#define LATE_SCRATCH META_RW_DIR "/scratch"

enum { PATH_MAX_BYTES = 1024, LIST_MAX = 65536 };

/* Making one */

/* Its content under the same name, and of the same time, or systemd would say of units that they have
 * changed; nothing where there is none. 0 or -errno */
static int
copy_file (const Tree *from, const Tree *to, const char *path)
{
  int source = tree_open (from, path, 0), in, parent = -1, out = -1, r = 0;
  const char *name;
  char self[64];
  struct stat st;

  if (source < 0)
    return source == -ENOENT ? 0 : source;
  snprintf (self, sizeof self, "/proc/self/fd/%d", source);
  in = open (self, O_RDONLY | O_CLOEXEC);
  if (in < 0 || fstat (in, &st) < 0)
    r = -errno;
  else if ((parent = tree_parent (to, path, &name)) < 0)
    r = parent;
  else if ((out = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0755)) < 0)
    r = errno == EEXIST ? 0 : -errno;
  for (off_t left = r == 0 && out >= 0 ? st.st_size : 0; r == 0 && left > 0;) {
    ssize_t n = sendfile (out, in, NULL, (size_t)left);

    r = n < 0 ? -errno : n == 0 ? -EIO : 0;
    left -= n;
  }
  if (out >= 0)
    (void)futimens (out, (struct timespec[]){st.st_atim, st.st_mtim});
  close_fd (&out);
  close_fd (&parent);
  close_fd (&in);
  close_fd (&source);
  return r;
}

static void __attribute__ ((noreturn)) list_libraries (const char *program, int out)
{
  if (chroot (SETUP_LOWER) == 0 && chdir ("/") == 0 && dup2 (out, 1) == 1 &&
      setenv ("LD_TRACE_LOADED_OBJECTS", "1", 1) == 0)
    execl (program, program, NULL);
  _exit (1);
}

/* "\tNAME => /PATH (ADDRESS)" or "\t/PATH (ADDRESS)" */
static int
copy_listed (const Tree *from, const Tree *to, char *text)
{
  char *save = NULL;
  int r = 0;

  for (char *line = strtok_r (text, "\n", &save); line && r == 0; line = strtok_r (NULL, "\n", &save)) {
    char *path = strstr (line, "=> "), *end = strrchr (line, ' ');

    path = path ? path + 3 : line + strspn (line, "\t ");
    if (*path != '/' || !end || end <= path)
      continue;
    *end = '\0';
    r = copy_file (from, to, path);
  }
  return r;
}

/* What it is linked with, as this tree's own linker has it. */
static int
copy_libraries (const Tree *from, const Tree *to, const char *program)
{
  char *text = calloc (1, LIST_MAX);
  size_t at = 0;
  int ends[2] = {-1, -1}, status = 0, r = 0;
  pid_t pid = -1;
  ssize_t n;

  if (!text || pipe2 (ends, O_CLOEXEC) < 0 || (pid = fork ()) < 0)
    r = -ENOMEM;
  if (pid == 0)
    list_libraries (program, ends[1]);
  close_fd (&ends[1]);
  while (r == 0 && at < LIST_MAX - 1 && (n = read (ends[0], text + at, LIST_MAX - 1 - at)) > 0)
    at += (size_t)n;
  close_fd (&ends[0]);
  if (pid > 0 && (waitpid (pid, &status, 0) != pid || status != 0))
    r = -ENOEXEC;
  if (r == 0)
    r = copy_listed (from, to, text);
  free (text);
  return r;
}

static int
copy_program (const Tree *from, const Tree *to, const char *path)
{
  int fd = tree_open (from, path, 0), r;

  if (fd < 0)
    return fd == -ENOENT ? 0 : fd;
  close_fd (&fd);
  r = copy_file (from, to, path);
  return r < 0 ? r : copy_libraries (from, to, path);
}

/* /bin and the like: links, and what they lead to. */
static int
copy_links (const Tree *to)
{
  DIR *dir = opendir (SETUP_LOWER);
  struct dirent *entry;
  int r = dir ? 0 : -errno;

  while (r == 0 && (entry = readdir (dir))) {
    char text[256], path[260];
    ssize_t n = readlinkat (dirfd (dir), entry->d_name, text, sizeof text - 1);
    int fd;

    if (n <= 0)
      continue;
    text[n] = '\0';
    snprintf (path, sizeof path, "/%s", text + strspn (text, "/"));
    fd = tree_make_dirs (to, path);
    r = fd < 0 ? fd : units_link (to->root, entry->d_name, text);
    close_fd (&fd);
  }
  if (dir)
    closedir (dir);
  return r;
}

/* Files, and the directories of settings beside them. The links are there, and no wish but ours. */
static int
copy_units (const Tree *from, const Tree *to, const char *path, bool is_below)
{
  char self[PATH_MAX_BYTES];
  struct dirent *entry;
  int r = 0;
  DIR *dir;

  snprintf (self, sizeof self, SETUP_LOWER "%s", path);
  dir = opendir (self);
  while (dir && r == 0 && (entry = readdir (dir))) {
    size_t n = strlen (entry->d_name);

    snprintf (self, sizeof self, "%s/%s", path, entry->d_name);
    if (entry->d_type == DT_REG)
      r = copy_file (from, to, self);
    else if (entry->d_type == DT_DIR && !is_below && n > 2 && strcmp (entry->d_name + n - 2, ".d") == 0)
      r = copy_units (from, to, self, true);
  }
  if (dir)
    closedir (dir);
  return r;
}

static int
fill (const Tree *from, const Tree *to, const Meta *meta)
{
  static const char *const programs[] = {"systemd-journald", "systemd-executor"};
  char own[PATH_MAX_BYTES / 2], path[PATH_MAX_BYTES];
  int r;

  snprintf (own, sizeof own, "%s", meta->init);
  *strrchr (own, '/') = '\0';
  if ((r = copy_links (to)) < 0 || (r = host_units_hide (SETUP_ROOT, meta)) < 0 ||
      (r = copy_program (from, to, meta->init)) < 0 || (r = copy_program (from, to, "/sbin/agetty")) < 0)
    return r;
  for (size_t i = 0; i < sizeof programs / sizeof *programs && r == 0; i++) {
    snprintf (path, sizeof path, "%s/%s", own, programs[i]);
    r = copy_program (from, to, path);
  }
  snprintf (path, sizeof path, "%s/system", own);
  if (r < 0 || (r = copy_units (from, to, path, false)) < 0 ||
      (r = units_put (to->root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")) < 0)
    return r;
  return units_put (to->root, "etc/group", "root:x:0:\n");
}

static int
fill_root (Setup *setup, const Meta *meta)
{
  Tree from = {.root = open (SETUP_LOWER, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .home = "/"};
  Tree to = {.root = -1, .home = "/"};
  int r;

  (void)mkdir (SETUP_ROOT, 0755);
  if (from.root < 0 || mount ("tmpfs", SETUP_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0 ||
      (to.root = open (SETUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    r = -errno;
  else
    r = fill (&from, &to, meta);
  close_fd (&to.root);
  close_fd (&from.root);
  return r < 0 ? why_set (setup->why, -r, "cannot copy this host's systemd") : 0;
}

int
setup_host_prepare (Setup *setup, char *init)
{
  Meta meta = {.init = init, .home = "/"};
  int r = *init == '/' ? setup_prepare_disk (setup) : why_set (setup->why, EINVAL, "the init has no path");

  if (r < 0)
    return r;
  (void)mkdir (SETUP_LOWER, 0755);
  if (setup_mount (setup, META_TAG_RO, SETUP_LOWER, "9p", MS_RDONLY | MS_NOSUID | MS_NODEV,
                   META_9P_OPTIONS_RO) < 0)
    return why_set (setup->why, errno, "cannot mount the read-only share '%s'", META_TAG_RO);
  if ((r = host_units_hide (SETUP_SCRATCH "/upper", &meta)) < 0)
    return why_set (setup->why, -r, "cannot hide what this host's systemd would start");
  r = fill_root (setup, &meta);
  if (r == 0 && umount (SETUP_LOWER) < 0)
    r = why_set (setup->why, errno, "cannot let the read-only share go");
  (void)rmdir (SETUP_LOWER);
  setup->agent->premade.is_host = true;
  setup->agent->premade.init = init;
  return r;
}

/* In a machine that went on */

static int
mount_disk (Setup *setup)
{
  int r;

  (void)mkdir (LATE_SCRATCH, 0700);
  r = setup_mount_scratch (setup, LATE_SCRATCH, NULL);
  if (r < 0)
    return r;
  if (!setup->meta->root)
    (void)unlink (LATE_SCRATCH "/upper/usr/bin/sudo");
  return setup_image_watch (setup->agent, LATE_SCRATCH, setup->why);
}

static int
mount_tree (Setup *setup)
{
  (void)mkdir (SETUP_ROOT, 0755);
  return setup_mount_layers (setup, "lowerdir=" SETUP_LATE_LOWER ",upperdir=" LATE_SCRATCH
                                    "/upper,workdir=" LATE_SCRATCH "/work");
}

static int
take_along (Setup *setup, const char *path, const char *except)
{
  int from = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC), to = tree_make_dirs (&setup->tree, path), r;
  char lower[64];
  int over = -1;

  r = from < 0 ? -errno : to < 0 ? to : mount_bind_at (from, 0, to);
  if (r == 0 && except)
    r = over = tree_open (&setup->tree, path, O_DIRECTORY);
  snprintf (lower, sizeof lower, SETUP_LATE_LOWER "%s", path);
  if (over >= 0)
    mount_carry_over (lower, to, over, except);
  close_fd (&over);
  close_fd (&to);
  close_fd (&from);
  return r < 0 ? why_set (setup->why, -r, "cannot take '%s' along", path) : 0;
}

/* What was opened before is of a mount that has gone, and cannot be shown anywhere. */
static int
open_meta (Setup *setup)
{
  close_fd (&setup->meta_fd);
  setup->meta_fd = open (SETUP_LATE_LOWER META_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return setup->meta_fd < 0 ? why_set (setup->why, errno, "cannot open the meta dir '%s'", META_DIR) : 0;
}

/* Nothing is shared while it is done: what is mounted twice would go in both places. */
int
setup_host_late (Setup *setup)
{
  static const struct {
    const char *path, *except; /* of what the tree has in it; NULL: of all */
  } mounts[] = {{"/proc", NULL}, {"/sys", NULL}, {"/dev", NULL}, {"/run", "vmctl"}, {"/tmp", ""}};
  int r = mount_disk (setup);

  if (r < 0)
    return r;
  (void)mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  if ((r = mount_tree (setup)) < 0 || (r = setup_make_owned (setup, "/", 0, 0, 0755)) < 0)
    return r;
  for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
    if ((r = take_along (setup, mounts[i].path, mounts[i].except)) < 0)
      return r;
  close_fd (&setup->tree.root);
  if (chdir (SETUP_ROOT) < 0 || syscall (SYS_pivot_root, ".", ".") < 0 || umount2 (".", MNT_DETACH) < 0 ||
      chdir ("/") < 0)
    return why_set (setup->why, errno, "cannot make the overlay the root");
  (void)mount (NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
  (void)umount2 (LATE_SCRATCH, MNT_DETACH);
  return open_meta (setup);
}
