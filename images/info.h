/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of an image of the store: pure data, and its form as JSON (image.json).
 *
 * An image is a directory of the store whose name, the id, is the checksum of its disk:
 *
 *   sha256-HEX/disk.qcow2    0400, never modified; no backing file; the base of overlays
 *   sha256-HEX/image.json    this
 *   sha256-HEX/identity      inode, size and times of the disk when it was made, or last verified
 *   sha256-HEX/kernel/       only if `kernel` is set: boot/vmlinuz-VERSION and
 *                            lib/modules/VERSION/{modules.dep,modules.builtin,kernel/...}, no more of them
 * than vmctl may load. It is a `root` for image_kernel_find_for (images/boot.h)
 *
 * One kind has no disk, and nothing but image.json (images/host-systemd.h).
 *
 * Everything but `size`, `created`, `checksum` and the checksums was read from the image, and is hostile: it
 * is bounded, UTF-8, has no control bytes, and paths are absolute and without ".."; but it is only what the
 * image says. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

#define IMAGE_ID_PREFIX "sha256-"
/* NixOS: the link to the system that boots, in an image; in it are init, kernel, kernel-modules, etc, sw. */
#define IMAGE_NIXOS_SYSTEM "/nix/var/nix/profiles/system"
enum { IMAGE_ID_DIGITS = 64, IMAGE_ID_SHORT = 12 };

typedef enum {
  IMAGE_INIT_OTHER,   /* `init` is started as it is (OpenRC, sysvinit, busybox, ...) */
  IMAGE_INIT_SYSTEMD, /* `init` is systemd: units in /run/systemd/system reach it */
  IMAGE_INIT_NONE,    /* no init: the agent has to be it */
} ImageInit;

typedef struct {
  /* Not in image.json: where it was found. */
  char *dir;       /* owned; absolute path of its directory */
  char *id;        /* owned; "sha256-" and 64 hexadecimal digits: the checksum of disk.qcow2 */
  char **names;    /* owned; sorted; may be empty, never NULL */
  gboolean system; /* of the system's store, which is read-only */
  guint64 bytes;   /* on the disk, all of it */

  gboolean is_host; /* the root is the host's own tree: there is no disk, no `filesystem`, no `kernel`, `size`
                       is 0, and the id is the checksum of its description */

  /* How it came to be. */
  char *origin;        /* owned; as the user wrote it: a path, "debian:bookworm", "nix:.#box" */
  char *format;        /* owned; of that: "qcow2", "raw", "vmdk", "vdi", "tar", "directory", "nix",
                          "host-systemd" */
  char *origin_sha256; /* owned; of a tar or qcow2 that was imported, or of ImageImport.sum; or NULL */
  json_object *origin_identity; /* owned; device, inode, size and times of that file; NULL: it was no file */
  gint64 created;               /* microseconds since the epoch */
  guint64 size;                 /* virtual size of the disk, bytes */

  /* What is in it. */
  int partition;    /* where the root is: 1, 2, ... as in /dev/vdaN; 0: the whole disk is the file system */
  char *filesystem; /* owned; of the root: "ext4", "ext3", "ext2" */
  char *uuid;       /* owned; of that; NULL: none */
  char *arch;       /* owned; as uname -m: "x86_64", "aarch64"; NULL: not recognised */
  char *os_id, *os_version, *os_name; /* owned; os-release: ID, VERSION_ID, PRETTY_NAME; may be NULL */
  ImageInit init_kind;
  char *init;   /* owned; path inside, symbolic links resolved; NULL: IMAGE_INIT_NONE */
  char *kernel; /* owned; version of the one below kernel/; NULL: none that vmctl can boot: use the host's */
  char *kernel_problem;    /* owned; why not: a sentence's end, "it has no module '9p'"; NULL if `kernel` */
  json_object *inspection; /* owned; what `image inspect` shows besides: partitions, mounts, users, kernels */
} ImageInfo;

ImageInfo *image_info_new (void);
void image_info_free (ImageInfo *info); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageInfo, image_info_free)

/* Paths below `dir`. (transfer full) */
char *image_info_disk (const ImageInfo *info);
char *image_info_kernel_root (const ImageInfo *info); /* NULL: it has no kernel */

/* The first name, else the short id: for messages. (transfer full) */
char *image_info_label (const ImageInfo *info);

/* The first digits of the id. (transfer full) */
char *image_info_short_id (const ImageInfo *info);

/* Not empty, at most 4096 bytes of UTF-8, all printable: may be shown, and be a member of image.json. */
gboolean image_info_is_text (const char *text);

/* What image.json holds; what is not in it stays out. (transfer full) */
json_object *image_info_to_json (const ImageInfo *info);
/* For people's programs (`image list --json`): that, and id, names, directory, bytes on the disk.
 * (transfer full) */
json_object *image_info_to_shown_json (const ImageInfo *info);
/* NULL and VM_ERROR_INVALID, with the member, for anything that image_info_to_json does not write.
 * (transfer full) */
ImageInfo *image_info_from_json (json_object *object, GError **error);

const char *image_init_name (ImageInit kind); /* "systemd", "other", "none" */
