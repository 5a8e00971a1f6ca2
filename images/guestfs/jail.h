/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where vmctl-guestfs finds things: what images/guestfs.c binds in its jail. */
#pragma once

#define IMAGE_JAIL_PROGRAM "/vmctl-guestfs"
#define IMAGE_JAIL_APPLIANCE "/appliance"
#define IMAGE_JAIL_TMP "/tmp"
#define IMAGE_JAIL_BASE "/base" /* the image's disk */
#define IMAGE_JAIL_DISK "/disk" /* a kept one over it */
#define IMAGE_JAIL_OUT "/out"   /* the one directory that may be written, if there is one */
#define IMAGE_JAIL_SOURCES "/src"

/* What its lines on stderr begin with that say what it is doing. */
#define IMAGE_GUESTFS_MARK "vmctl-guestfs: "

/* In IMAGE_JAIL_OUT: what the appliance has written. */
#define IMAGE_GUESTFS_OVERLAY "disk.qcow2"

/* In an appliance's directory: libguestfs takes one that has it as it is. */
#define IMAGE_GUESTFS_FIXED "README.fixed"

/* In the cache's directory: supermin fills "appliance.XXXXXXXX", and renames it. */
#define IMAGE_GUESTFS_MADE "appliance"
