/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host facts: all that a plan depends on, as a value. vm_host_gather reads the real ones; golden tests load
 * made-up ones from JSON. Nothing after gathering looks at the host again to decide something. */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <sys/types.h>

#include "images/boot.h"
#include "vmctl/dirs.h"
#include "vmctl/group.h"
#include "vmctl/spec.h"

/* What fontconfig knows of the system's fonts. */
#define VM_HOST_FONT_CACHE "/var/cache/fontconfig"
#define VM_HOST_RESOLV_CONF "/etc/resolv.conf"

typedef struct {
  char *path; /* owned; absolute */
  char *link; /* owned; the text of a symbolic link, NULL: not a link */
  char
      *real; /* owned; of a dotfile: the real path, where links lead to another; NULL: the same, or nowhere */
  gboolean is_dir; /* of a link: what it points to */
} VmHostEntry;

/* A socket of the host that a grant may let in. */
typedef struct {
  char *name;    /* owned; "ssh-agent", "nix-daemon", "x11", "wayland", "pipewire", "pulse", "dbus-system",
                    "dbus-session" */
  char *path;    /* owned; absolute, with no symbolic link of a user's in it; NULL: there is a problem */
  char *detail;  /* owned; x11: the number of the display, wayland: the name of the socket; else NULL */
  char *problem; /* owned; why it cannot be let in, for the end of a sentence; NULL: nothing */
} VmHostSocket;

/* The program that a profile starts, as this host's $PATH has it. */
typedef struct {
  char *name;             /* owned; what was looked for; NULL: nothing was */
  char *path;             /* owned; where it was found; NULL: nowhere */
  char *link;             /* owned; the text of the symbolic link at `path`; NULL: it is none */
  char *real;             /* owned; where it really is, NULL with no path */
  char *interpreter;      /* owned; what its first line names, NULL: it needs none, or it was not found */
  char *interpreter_real; /* owned; where that really is */
} VmHostProgram;

typedef struct {
  char *path;        /* owned; real, absolute; NULL: there is no project */
  guint uid;         /* owner */
  gboolean writable; /* by the user */
  char *git_dir;  /* owned; of a worktree: the main repository's git dir, checked to point back here; NULL: no
                     worktree */
  char *worktree; /* owned; git_dir/worktrees/N, NULL with no git_dir */
  char **modules; /* owned; the git directories of its submodules, absolute; NULL: none */
  gboolean has_git_file; /* .git is a regular file: a worktree or a submodule */
  VmHostEntry
      *present; /* owned; what exists of vm_host_protected_paths (); ends with path NULL; never NULL */
} VmHostProject;

/* An image of the store (images/info.h) that is to be the guest. */
typedef struct {
  char *name;       /* owned; as people know it; NULL: there is none */
  char *dir;        /* owned; its directory */
  char *filesystem; /* owned; of its root; NULL: that is the host's own tree, as without an image, and there
                       is no disk but the scratch disk (images/host-systemd.h) */
  char *init;       /* owned; path inside of its systemd; NULL: the agent has to be the init */
  char *host_state; /* owned; where that is the host's: what templates depend on; else NULL */
  guint partition;  /* where the root is; 0: the whole disk */
  guint64 size;     /* of the disk, bytes */
  char *keep; /* owned; directory of the kept disk (images/disk.h) that is the overlay, whether or not it
                 is there yet; NULL: what is written is thrown away */
} VmImage;

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
  VmHostEntry *dotfiles; /* owned; what grants ask for below home and exists (~/.gitconfig, ~/.config/git and
                            the entries in it, one level, without what holds passwords, ~/.ssh, ~/.claude and
                            what is known in it, ...); ends with path NULL */
  VmHostEntry
      *extra; /* owned; what grants ask for elsewhere and exists (/dev/dri, ...); ends with path NULL */
  VmHostSocket *sockets;  /* owned; those that are named or there; ends with name NULL */
  char *xorg, *xvfb;      /* owned; X servers; NULL: not found */
  char *xvnc, *viewer;    /* owned; TigerVNC's X server and viewer; NULL: not found */
  char *xorg_problem;     /* owned; why Xorg would not work in a machine; NULL */
  char *window_manager;   /* owned; openbox; NULL: not found */
  char *gtk_problem;      /* owned; why QEMU has no window; NULL: nothing is known against it */
  char *xauthority;       /* owned; the file with the X server's cookies, NULL: none */
  VmHostProgram program;  /* of the profile that was asked for */
  VmHostEntry *path_dirs; /* owned; what of the profile's `path` exists; ends with path NULL */
  char *timezone;         /* owned; link text of /etc/localtime, NULL */
  guint64 memory;         /* bytes */
  guint cpus;             /* this process may use */
  gboolean kvm;           /* /dev/kvm can be opened read-write */
  char *kvm_problem;      /* owned; why it is not used though it can be opened; NULL */
  char *qemu;             /* owned; absolute path, NULL: not found */
  char *qemu_version;     /* owned; "7.2.22", NULL until asked */
  char *qemu_problem;     /* owned; why it cannot be used, seen when its version was asked; NULL */
  char *firmware;         /* owned; qboot.rom, NULL: QEMU's default */
  char *userns_mend; /* owned; user namespaces are forbidden by the kernel's settings, and this allows them;
                        NULL: nothing is known against them */
  char *nspawn;      /* owned; from the system's own directories only; NULL: not found */
  char *nspawn_version;          /* owned; "252"; NULL: not known */
  gboolean systemd;              /* it runs here, and registers containers */
  char *root_problem;            /* owned; under sudo: why nothing of vmctl's may stay root; NULL */
  gboolean tun;                  /* /dev/net/tun is there for this user */
  gboolean is_confined;          /* root may not mount here, or make user namespaces */
  char *bwrap;                   /* owned; NULL: not found */
  char *keeper, *agent;          /* owned; our helpers, NULL: missing */
  char *kernel, *kernel_version; /* owned; NULL: none usable; then kernel_problem says why */
  char *kernel_problem;          /* owned */
  char *vmlinux, *initramfs;     /* owned; in the cache, whether or not they are built; NULL with no kernel */
  char *disk_base;               /* owned; likewise, for the size the spec asks for; NULL: tmpfs */
  VmImage image;                 /* owned; what the spec asks for */
  char *modules_dir;             /* owned; of the kernel, where it is this host's and the image is not */
  char *ram_preload;             /* owned; vmctl-ram.so, NULL: missing */
  char *qemu_id, *firmware_id, *cpu_id; /* owned; what templates depend on: the content of QEMU and of its
                                           firmware, the processor; NULL: not known, or not asked for */
  char **templates;     /* owned; the keys of those that are there; NULL: none were looked for */
  VmGroups groups;      /* owned; where control groups can be made */
  VmGroups root_groups; /* owned; under sudo: where the keeper that stays root can */
  VmDirs dirs;          /* owned */
  char **secret;        /* owned; real paths that no project may be, hold, or lie in, beyond what `home`
                           and `dirs` say as they are written; NULL: none */
  VmHostProject project;
} VmHost;

/* Gathers identity, directories, root, /etc, environment, sizes, programs. No child process is started. Under
 * sudo the process must have become the real user before (vm_host_become_user). */
gboolean vm_host_gather (VmHost *ret, GError **error);
/* Why KVM is not used though it can be opened; NULL: nothing is known against it. (transfer full) */
char *vm_host_kvm_problem (void);
/* Opens the project once, resolves it, finds its git directory and protected paths. `project` as given (NULL:
 * "."). */
gboolean vm_host_gather_project (VmHost *host, const char *project, GError **error);
/* The facts about what a profile starts and puts on PATH. `program` NULL: nothing is looked for. */
void vm_host_gather_program (VmHost *host, const char *program, char **path_dirs);
/* What a plan passes on of the host's environment without being asked: nothing in it is a secret. */
gboolean vm_host_env_is_plain (const char *name);
/* Kernel, vmlinux, initramfs and disk base for what `spec` asks (images/). No usable kernel is a fact, not an
 * error: kernel stays NULL and kernel_problem says why. */
gboolean vm_host_gather_images (VmHost *host, const VmSpec *spec, GError **error);
/* Where `spec` names a kept disk and no image: the image that the disk is of. */
gboolean vm_host_choose_image (const VmHost *host, VmSpec *spec, GError **error);
void vm_host_clear (VmHost *host);
/* X servers, window manager, QEMU's window: only looked for where a screen is asked for, or asked about. */
void vm_host_gather_display (VmHost *host);
/* The kernel's modules beyond the usual ones, for a screen. (static) NULL: none */
const char *const *vm_host_more_modules (const VmSpec *spec);
void vm_image_clear (VmImage *image);
/* The kernel that the guest boots: the image's own, where it has one that will do, else this host's. HOST:
 * there is none. */
gboolean vm_host_find_kernel (const VmHost *host, const VmSpec *spec, ImageKernel *ret, GError **error);
/* An array that ends with path NULL; NULL is fine. */
void vm_host_entries_free (VmHostEntry *entries);
void vm_host_project_clear (VmHostProject *project);
/* Looks at one more socket, whose name is its path (absolute, plain). */
void vm_host_gather_named_socket (VmHost *host, const char *path);
/* The socket of this name, borrowed; NULL: none. */
const VmHostSocket *vm_host_socket (const VmHost *host, const char *name);
/* The entry with this path, borrowed; NULL: none. */
const VmHostEntry *vm_host_entry (const VmHostEntry *entries, const char *path);
gboolean vm_host_is_nixos (const VmHost *host);

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
