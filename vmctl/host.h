/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host facts: all that a plan depends on, as a value. vm_host_gather reads the real ones; golden tests load
 * made-up ones from JSON. Nothing after gathering looks at the host again to decide something. */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <sys/types.h>

#include "vmctl/dirs.h"
#include "vmctl/spec.h"

typedef struct {
  char *path; /* owned; absolute */
  char *link; /* owned; the text of a symbolic link, NULL: not a link */
  char
      *real; /* owned; of a dotfile: the real path, where links lead to another; NULL: the same, or nowhere */
  gboolean is_dir; /* of a link: what it points to */
} VmHostEntry;

typedef struct {
  char *path;        /* owned; real, absolute; NULL: there is no project */
  guint uid;         /* owner */
  gboolean writable; /* by the user */
  char *git_dir;  /* owned; of a worktree: the main repository's git dir, checked to point back here; NULL: no
                     worktree */
  char *worktree; /* owned; git_dir/worktrees/N, NULL with no git_dir */
  gboolean has_git_file; /* .git is a regular file: a worktree or a submodule */
  VmHostEntry
      *present; /* owned; what exists of vm_host_protected_paths (); ends with path NULL; never NULL */
} VmHostProject;

typedef struct {
  char *user, *group, *home, *shell; /* owned; the real user's, from the passwd database */
  char *home_real;                   /* owned; where home leads to through symbolic links; NULL: the same */
  guint uid, gid;
  guint mask;         /* the umask that vmctl was started with */
  gboolean is_sudo;   /* started through sudo: the facts are those of SUDO_UID */
  char *hostname;     /* owned */
  char *cwd;          /* owned; real */
  char **environment; /* owned; NAME=value */
  VmHostEntry *root;  /* owned; /usr /bin /sbin /lib* /opt /nix/store /run/current-system ... that exist; ends
                         with path NULL */
  VmHostEntry *etc;   /* owned; the entries of /etc on the allow-list that exist; ends with path NULL */
  VmHostEntry
      *dotfiles;      /* owned; what grants ask for below home and exists (~/.gitconfig, ~/.config/git and the
                         entries in it, one level, without what holds passwords); ends with path NULL */
  char *timezone;     /* owned; link text of /etc/localtime, NULL */
  guint64 memory;     /* bytes */
  guint cpus;         /* this process may use */
  gboolean kvm;       /* /dev/kvm can be opened read-write */
  char *qemu;         /* owned; absolute path, NULL: not found */
  char *qemu_version; /* owned; "7.2.22", NULL until asked */
  char *firmware;     /* owned; qboot.rom, NULL: QEMU's default */
  char *bwrap;        /* owned; NULL: not found */
  char *keeper, *agent;          /* owned; our helpers, NULL: missing */
  char *kernel, *kernel_version; /* owned; NULL: none usable; then kernel_problem says why */
  char *kernel_problem;          /* owned */
  char *vmlinux, *initramfs;     /* owned; in the cache, whether or not they are built; NULL with no kernel */
  char *disk_base;               /* owned; likewise, for the size the spec asks for; NULL: tmpfs */
  VmDirs dirs;                   /* owned */
  char **secret; /* owned; real paths that no project may be, hold, or lie in, beyond what `home`
                    and `dirs` say as they are written; NULL: none */
  VmHostProject project;
} VmHost;

/* Gathers identity, directories, root, /etc, environment, sizes, programs. No child process is started. Under
 * sudo the process must have become the real user before (vm_host_become_user). */
gboolean vm_host_gather (VmHost *ret, GError **error);
/* Opens the project once, resolves it, finds its git directory and protected paths. `project` as given (NULL:
 * "."). */
gboolean vm_host_gather_project (VmHost *host, const char *project, GError **error);
/* What a plan passes on of the host's environment without being asked: nothing in it is a secret. */
gboolean vm_host_env_is_plain (const char *name);
/* Kernel, vmlinux, initramfs and disk base for what `spec` asks (images/). No usable kernel is a fact, not an
 * error: kernel stays NULL and kernel_problem says why. */
gboolean vm_host_gather_images (VmHost *host, const VmSpec *spec, GError **error);
void vm_host_clear (VmHost *host);
/* An array that ends with path NULL; NULL is fine. */
void vm_host_entries_free (VmHostEntry *entries);
void vm_host_project_clear (VmHostProject *project);

/* All that is protected of a project, whether or not it exists: absolute paths below the project and, for a
 * worktree, below the main git dir. Pure. (transfer full), NULL-terminated */
char **vm_host_protected_paths (const VmHostProject *project);

/* Under sudo (uid 0 with SUDO_UID): becomes that user for good: groups, gid, uid, HOME, USER, LOGNAME, SHELL,
 * XDG_* that were root's are unset. Called first thing in main, single-threaded. *ret_was_sudo says whether
 * it did. */
gboolean vm_host_become_user (gboolean *ret_was_sudo, GError **error);

/* The home of the user that this process runs as, from the passwd database: $HOME may be another's. (transfer
 * full) */
char *vm_host_home (GError **error);

/* For golden tests and `vmctl doctor --json`. Of the environment only what a plan passes on by itself is
 * written: the rest may hold secrets. */
json_object *vm_host_to_json (const VmHost *host);
gboolean vm_host_from_json (json_object *object, VmHost *ret, GError **error);
