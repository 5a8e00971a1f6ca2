/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the `host` image boots from: the newest usable kernel of this host, its vmlinux, and an initramfs of
 * the agent plus the modules that it needs. Made once, cached by content below `cache_dir`/kernels and
 * `cache_dir`/initramfs.
 *
 * Finding is cheap (stat, one small index file) and links nothing heavy; building is done by the helper
 * program vmctl-image. */
#pragma once

#include <glib.h>

typedef struct {
  char *version;     /* owned; "6.1.0-56-amd64" */
  char *path;        /* owned; the bzImage (or vmlinux) */
  char *modules_dir; /* owned; "/lib/modules/6.1.0-56-amd64" */
  char **modules;    /* owned; the files of image_modules and what they need, in the order to load them; NULL:
                        not looked for yet, and image_boot_* look for themselves */
} ImageKernel;

void image_kernel_clear (ImageKernel *kernel);

/* The modules that the guest needs (canonical names, '-' as '_'), without their dependencies. Built-in ones
 * are fine, and crc32c_generic (which ext4 asks for at run time) may be absent: newer kernels have it in
 * ext4's ordinary dependencies. */
extern const char *const image_modules[];

/* Looks in /boot (vmlinuz-V, vmlinux-V), /lib/modules/V/vmlinuz, /usr/lib/modules/V/vmlinuz,
 * /run/booted-system and /run/current-system (NixOS: kernel, kernel-modules/lib/modules/V), all below `root`
 * ("" or a test's directory). Usable: readable, and every module of image_modules is in modules.builtin or
 * modules.dep with a readable file. Newest by version comparison. `override`: only that file (version from
 * its name or header; taken as it is, not below `root`). On failure the error (VM_ERROR_HOST) lists what was
 * found and why each was not usable, with the mend (install linux-image-amd64; chmod 0644 on Ubuntu's 0600
 * kernels). */
gboolean image_kernel_find (const char *root, const char *override, ImageKernel *ret, GError **error);
/* The same for a kernel that must have the modules `more` as well (NULL: none); they come after the others.
 */
gboolean image_kernel_find_for (const char *root, const char *override, const char *const *more,
                                ImageKernel *ret, GError **error);

/* Where the built files are or will be. "vmlinux" is what QEMU boots by -kernel: the unpacked vmlinux, or,
 * for a kernel without a PVH entry, a copy of its bzImage. Keyed by the content of kernel, agent and modules;
 * hashes are remembered by (device, inode, size, mtime) in an index below `cache_dir`, so that a second call
 * costs a few stat(). (transfer full) paths. */
gboolean image_boot_locate (const char *cache_dir, const ImageKernel *kernel, const char *agent_path,
                            char **ret_vmlinux, char **ret_initramfs, GError **error);

/* TRUE if both files are there. */
gboolean image_boot_ready (const char *vmlinux, const char *initramfs);

/* Called now and then with what is being done ("unpacking kernel 6.1.0-56-amd64"), percent 0..100 or -1. */
typedef void (*ImageProgress) (const char *what, int percent, gpointer data);
/* For whoever wants to hear nothing. */
void image_progress_none (const char *what, int percent, gpointer data);

/* Builds what is missing with `helper` (vmctl-image). Safe to run many at once: one builds (flock), the
 * others wait. A failure leaves nothing half. */
gboolean image_boot_build (const char *helper, const char *cache_dir, const ImageKernel *kernel,
                           const char *agent_path, const char *vmlinux, const char *initramfs,
                           ImageProgress progress, gpointer data, GError **error);
