/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The meta dir: how the outside tells the inside who and where it is. Written by meta/metadir.c on the host,
 * read by meta/agent/ and by any image that wants to. 0700 on the host; inside at META_DIR (also
 * META_DIR_ALIAS), read-only. All of it has to be there, except `files`.
 *
 *   version        "1\n"
 *   identity       lines KEY=VALUE: name, uid, gid, group, shell, hostname,
 *                  root (yes|no: may the user become root inside). Other keys are ignored
 *   host_home      the user's home, raw bytes, no newline added: paths may contain anything but NUL
 *   host_project   the project's absolute path, raw
 *   cwd            where the command starts, raw
 *   entrypoint     argv, each word ended by NUL; no quoting. Empty file: the user's shell
 *   environment    NAME=value, each ended by NUL; the whole environment of every session
 *                  (the agent adds PWD, and META_BIN_DIR in front of PATH when root is allowed)
 *   network        lines: "mac 52:54:00:12:34:56", "address 10.0.2.15/24",
 *                  "gateway 10.0.2.2"; without an address: loopback only
 *   display        lines: "server PATH" (an X server: Xorg in a VM, else Xvfb or Xvnc), "manager PATH"
 *                  (a window manager; may be missing), "size 1280x800", "vnc 5900" (the server is Xvnc, and
 *                  lets viewers in at this port of the loopback address). Empty: there is no screen
 *   disk           "blk" (the scratch disk is the upper layer), "tmpfs SIZE-IN-MIB", or, where the root is
 *                  an image's, "image PARTITION FILE-SYSTEM" ("kept" if it is there the next time; partition
 *                  0: the whole disk). The agent is the init, unless " INIT" follows (the path of a systemd
 *                  in that root: the agent becomes a service of it)
 *   mounts         operations, four NUL-ended words each: OP A B C, done in order (below)
 *   bundle         all of the above once more, in one file for those to whom a file costs: for each its name
 *                  and its size in decimal, both NUL-ended, then its bytes. Optional
 *   files/N        contents for the `file` operation, 0600
 *
 *   OP    A                     B       C
 *   dir   target                mode    user|root    mkdir -p; the last one gets mode (octal), owner
 *   bind  name in the rw share  target  ro|rw        mount --bind; the mount point is made
 *   file  name in the meta dir  target  mode         copied, owned by the user; replaces what is there
 *   link  text                  target  -            symbolic link; replaces what is there
 *   tmpfs target                mode    size in MiB  root's, or the user's at or below its home
 *   own   target                mode    -            chown to root, chmod: what the outside could only
 *                                                    make as the user
 *   relay index                 target  mode         a UNIX stream socket, the user's: who connects to it
 *                                                    is relayed to the host's socket number `index` (from
 *                                                    0; meta/frame.h, "Relays"); replaces what is there
 *   show  target                path    -            what the read-only share has there, also in an image;
 *                                                    unless `path` is "-", only where the image has that
 *   take  target                mode    -            a copy of that file, root's; replaces what is there
 *
 * Outside a VM there are only `file` and `relay`, done as the user in the root that is there: everything else
 * has been mounted by whoever started the agent.
 *
 * Missing parents are made 0755: root's, or the user's below its home (/tmp/.X11-unix: 1777). Every target is
 * resolved inside the sandbox's root, links included; every `bind` name below the rw share. Before the
 * operations there are: /proc, /sys, /dev, /run and /tmp (tmpfs; what the tree has directly in these two is
 * shown in them again), /root (0700), /run/user/UID, and the directories of this file. In an image /run and
 * /tmp begin empty. With an INIT `relay` waits until systemd has started.
 */
#pragma once

#define META_DIR "/run/vmctl/meta"
#define META_DIR_ALIAS "/mnt/meta"
#define META_VERSION "1\n"

/* Guest side names. */
#define META_TAG_RO "vmctl.ro"          /* 9p mount tag of the read-only tree */
#define META_TAG_RW "vmctl.rw"          /* 9p mount tag of the read-write share */
#define META_PORT_AGENT "vmctl.agent"   /* virtio-serial port name */
#define META_NET_ADDRESS "10.0.2.15/24" /* of every sandbox that has a network */
#define META_NET_GATEWAY "10.0.2.2"
#define META_VNC_PORT 5900                  /* of the loopback address inside, with "vnc" */
#define META_WORD_TEMPLATE "vmctl-template" /* on the kernel's command line: to be saved */
#define META_WORD_IMAGE "vmctl-image"       /* likewise: to go on as a service of a systemd */
#define META_WORD_ROOT "vmctl_root"      /* likewise, =PARTITION,FILE-SYSTEM[,INIT]: of a template's image */
#define META_ROOT_HOST "host"            /* ... in the place of the first two: this host's own systemd */
#define META_DISK_SERIAL "vmctl-scratch" /* serial number of the scratch disk */
#define META_ROOT_SERIAL "vmctl-root"    /* and of an image's overlay */
#define META_RW_DIR "/run/vmctl/rw"      /* 0700 root: hides META_RW_SHARE, whose root has the host's mode */
#define META_RW_SHARE META_RW_DIR "/share" /* where the agent mounts META_TAG_RW */
#define META_TTY_GID "5"                   /* of the group `tty` inside */
#define META_BIN_DIR "/run/vmctl/bin"      /* the agent's own programs inside: sudo */
#define META_AGENT "/run/vmctl/agent"      /* the agent, in containers and namespaces; a VM has none there */
#define META_SERVICE "/run/vmctl/service"  /* but this, where an image's systemd starts it */
#define META_9P_OPTIONS_RO "trans=virtio,version=9p2000.L,msize=65536,cache=loose"
#define META_9P_OPTIONS_RW "trans=virtio,version=9p2000.L,msize=131072,cache=mmap"
