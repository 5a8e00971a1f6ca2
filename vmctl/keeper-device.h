/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes of USB devices that are added to running namespaces and containers. libc only.
 *
 * How it works
 *
 * Whoever asks shows the device opened for reading and writing: that is the right that counts, as the user's
 * own process has it by whatever group or list of rights. A keeper that is root's adds none to it. And it is
 * a USB device, or one that anybody may open: other rights to devices are lent and taken back (the seat's
 * input and screen), and a node cannot be.
 *
 * In namespaces the host's node is mounted: a file system of theirs can have none that works. The mount is
 * nosuid and noexec, and alone is not nodev. In a container it is a node of its own that belongs to its user
 * alone: the host's owner and group mean nothing there, and devtmpfs has no id-mapped mounts. The container's
 * /dev is a tmpfs of the keeper's (vmctl/stage.c), in which nodes work.
 *
 * /dev inside may be read-only: what is made there is made through a copy of that mount. */
#pragma once

#include <sys/types.h>

#include "vmctl/keeper-enter.h"

/* `target`: /dev/bus/usb/BBB/DDD, where nothing is yet (EEXIST). `source` (absolute, without symbolic links)
 * and `opened` (borrowed) are the same device. 0, or -1 with errno and nothing is left but directories. */
int keeper_device_add (const KeeperInside *inside, pid_t agent, int opened, const char *source,
                       const char *target);
/* What has gone is no error. */
int keeper_device_remove (const KeeperInside *inside, pid_t agent, const char *target);
