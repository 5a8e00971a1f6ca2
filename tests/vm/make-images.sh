#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks for tests/vm/image.sh: a Debian with systemd, and a tiny one without, on a partition, and as a tar. They are
# made once, by root, and kept by a key of how they are made. Prints the directory that has debian.qcow2, tiny.qcow2
# and tiny.tar; fails with one line that says why there is none.
set -u
packages=systemd,systemd-sysv,udev,dbus,login,passwd,util-linux,mount,iproute2,kmod
key=$(cat "$0" /usr/bin/busybox 2>/dev/null | sha256sum | cut -c 1-16)
top=${VM_IMAGES:-/var/cache/vmctl-test}
place=$top/images-$key

[ ! -e "$place/made" ] || { echo "$place"; exit 0; }
die () {
  echo "$1" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || die "only root can make the image; it would be kept in $top"
PATH=$PATH:/usr/sbin:/sbin
for program in mmdebstrap mke2fs qemu-img tar busybox python3; do
  command -v $program >/dev/null || die "$program is missing"
done
mkdir -p "$top" || die "cannot make $top"
exec 9>"$top/lock" && flock 9 || die "cannot lock $top"
[ ! -e "$place/made" ] || { echo "$place"; exit 0; }
rm -rf "$top"/images-*
mkdir -p "$place/work/tree" || die "cannot make $place"
trap 'rm -rf "$place/work"' EXIT
cd "$place/work" || exit 1

debian () {
  mmdebstrap --variant=minbase --mode=root --include=$packages --aptopt='APT::Sandbox::User "root"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm tree.tar "deb ${VM_MIRROR:-http://deb.debian.org/debian} bookworm main" &&
    tar -C tree --exclude='./dev/*' -xf tree.tar &&
    mke2fs -q -t ext4 -L root -d tree -E lazy_itable_init=1,lazy_journal_init=1 debian.raw 700M &&
    qemu-img convert -O qcow2 debian.raw debian.qcow2 && rm -rf tree debian.raw
}

# Programs of busybox, and a file system that begins at 1 MiB.
tiny () {
  mkdir -p tree/bin tree/etc tree/home && cp "$(command -v busybox)" tree/bin/busybox || return 1
  for program in $(busybox --list); do
    [ "$program" = busybox ] || ln -s busybox "tree/bin/$program" || return 1
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nother:x:999:999::/:/bin/sh\n' >tree/etc/passwd
  printf 'root:x:0:\nother:x:999:\n' >tree/etc/group
  tar -C tree --sort=name -cf tiny.tar . && mke2fs -q -t ext4 -d tree part.raw 16M && python3 - <<'END' && qemu-img convert -O qcow2 tiny.raw tiny.qcow2
import struct
part = open("part.raw", "rb").read()
entry = struct.pack("<B3sB3sII", 0, b"\0\0\0", 0x83, b"\0\0\0", 2048, len(part) // 512)
with open("tiny.raw", "wb") as disk:
    disk.write(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")
    disk.seek(1 << 20)
    disk.write(part)
END
}

debian >debian.log 2>&1 || die "cannot make a Debian: $(grep -E '^(E|mke2fs|tar|qemu-img)' debian.log | tail -n 1)"
tiny >tiny.log 2>&1 || die "cannot make a tiny image: $(tail -n 1 tiny.log)"
chmod 0444 debian.qcow2 tiny.qcow2 tiny.tar && mv debian.qcow2 tiny.qcow2 tiny.tar .. && chmod 0755 "$top" "$place" && touch ../made || exit 1
echo "$place"
