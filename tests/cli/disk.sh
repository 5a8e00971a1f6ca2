#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# disk: kept disks are listed, emptied and removed; and what up refuses without a machine.
. "$(dirname "$0")/lib.sh"
requires python3
requires qemu-img
disks=$XDG_DATA_HOME/vmctl/disks
images=$XDG_DATA_HOME/vmctl/images

run 0 "$V" disk
has "$out" STATE
run 0 "$V" disk list --json
is none "$(json "$out" j)" "[]"
[ ! -e "$disks" ] || fail "looking has made the place of disks"
run 1 "$V" disk rm tools
has "$err" "there is no kept disk 'tools'"
run 2 "$V" disk rm
has "$err" "vmctl disk rm NAME"
run 2 "$V" disk rm ../images
run 2 "$V" disk forget
run 2 "$V" disk diff
run 1 "$V" disk diff tools
has "$err" "there is no kept disk 'tools'"

# put NAME DIGIT: a disk of the image whose id is all that digit
put () {
  mkdir -p -m 0700 "$disks" "$disks/$1"
  qemu-img create -q -f qcow2 "$disks/$1/disk.qcow2" 64M
  id=sha256-$(printf '%064d' 0 | tr 0 "$2")
  printf '{"image": "%s", "image-name": "debian", "created": 1}' "$id" > "$disks/$1/disk.json"
}
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl"
put tools 1
put old 2
echo '{"image": "/etc/shadow"}' > "$disks/old/disk.json"
run 0 "$V" disk list --json
is "the disks" "$(json "$out" '[(d["name"], d["image-name"], d["size"], d["busy"]) for d in j]')" \
  "[('tools', 'debian', 67108864, False)]"
has "$err" "disks/old"
run 0 "$V" disk
has "$out" "its image is missing"
run 1 "$V" disk reset tools
has "$err" "there is no image"
run 1 "$V" disk diff tools
has "$err" "there is no image"
run 0 "$V" disk rm old
[ ! -e "$disks/old" ] || fail "it is still there"

# What is started.
run 125 "$V" up -q --driver qemu --keep tools -- true
has "$err" "needs the image it was made of, 'debian'"
run 125 "$V" up -q --driver qemu --keep none -- true
has "$err" "there is no kept disk 'none'; there are: tools"
run 125 "$V" up -q --driver qemu --keep a/b -- true
has "$err" "cannot be the name of a kept disk"
run 125 "$V" up -q --driver null --image debian --keep tools -- true
has "$err" "--keep: only a virtual machine"

# An image that is needed stays.
python3 - "$images/sha256-$(printf '%064d' 0 | tr 0 1)" <<'END'
import json, os, sys
os.makedirs(sys.argv[1], 0o700)
open(sys.argv[1] + "/disk.qcow2", "w").write("x")
info = {"origin": "/x", "format": "raw", "created": 1, "size": 128 << 20, "partition": 0, "filesystem": "ext4", "init-kind": "none"}
json.dump(info, open(sys.argv[1] + "/image.json", "w"))
END
chmod 0700 "$images"
run 1 "$V" image rm "$(printf '%010d' 0 | tr 0 1)"
has "$err" "is needed by the kept disk 'tools'"
run 0 "$V" image prune
is "pruned" "$out" ""
run 0 "$V" disk reset tools
run 0 "$V" disk list --json
is "the size after a reset" "$(json "$out" 'j[0]["size"]')" $((128 << 20))
run 0 "$V" disk rm tools
run 0 "$V" image prune
has "$out" sha256-1111
run 0 "$V" complete disk-verb
has "$out" reset

# With an image that is one.
requires busybox
requires qemu-io
requires bwrap
export PATH="$PATH:/usr/sbin:/sbin"
requires mke2fs
mkdir -p "$tmp/root/bin" "$tmp/root/etc"
cp "$(command -v busybox)" "$tmp/root/bin/sh"
run 0 "$V" image import -q --name base --size 64M "$tmp/root"
put tools 3
disk=$disks/tools/disk.qcow2
printf '{"image": "%s", "image-name": "base", "created": 1}' "$out" > "$disks/tools/disk.json"
run 0 qemu-io -f qcow2 -c 'write -P 7 60M 64k' "$disk"

run 2 "$V" disk resize tools 32M
has "$err" "can only be made larger"
run 2 "$V" disk resize tools 17T
run 2 "$V" disk resize tools none
run 0 "$V" disk resize tools 100M
run 0 "$V" disk list --json
is "the size" "$(json "$out" 'j[0]["size"]')" $((100 << 20))
run 0 qemu-img check -q -f qcow2 "$disk"

echo x > "$disks/tools/.part-whole.qcow2" # of one that was killed
sum=$(sha256sum "$disk")
run 2 "$V" disk commit -q tools --name a/b
run 1 "$V" disk commit -q tools --name base
has "$err" "there is an image 'base' already"
run 0 flock -n "$disk" "$V" disk list
run 1 flock "$disk" "$V" disk commit -q tools
has "$err" "is in use"
if [ -x "$(dirname "$V")/vmctl-guestfs" ]; then
  run 1 flock "$disk" "$V" disk diff -q tools
  has "$err" "is in use"
fi
run 0 "$V" disk commit -q tools
run 0 "$V" image inspect tools --json
is "the new image" "$(json "$out" '(j["size"], j["origin"], j["init-kind"], j["names"])')" \
  "($((100 << 20)), 'the disk tools of base', 'none', ['tools'])"
run 0 "$V" image export -q --format raw base "$tmp/base.raw"
run 0 "$V" image export -q --format raw tools "$tmp/new.raw"
truncate -s 100M "$tmp/base.raw"
head -c 65536 /dev/zero | tr '\0' '\7' | dd of="$tmp/base.raw" bs=64k seek=960 conv=notrunc status=none
cmp "$tmp/base.raw" "$tmp/new.raw" || fail "the new image is not what base and disk are together"
is "the disk" "$(sha256sum "$disk")" "$sum"
is "left" "$(ls -A "$disks/tools")" "disk.json
disk.qcow2"

# The image is not the one that it was, or somebody else's: nothing goes on from it. The disk stays what it is.
base=$images/$(json "$(cat "$disks/tools/disk.json")" 'j["image"]')/disk.qcow2
refused () { # WORDS
  run 1 "$V" disk commit -q tools --name more
  has "$err" "$1"
  run 125 "$V" up -q --driver qemu --keep tools -- true
  has "$err" "$1"
  is "the disk" "$(sha256sum "$disk")" "$sum"
  is "left" "$(ls -A "$disks/tools")" "disk.json
disk.qcow2"
}
chmod 0600 "$base"
refused "vmctl image verify base"
chmod 0440 "$base"
if [ "$(id -u)" -eq 0 ]; then
  chown 4321 "$base"
  refused "is not the store's"
  chown 0 "$base"
fi
run 0 "$V" image verify base
mv "$base" "$tmp/away"
refused "cannot open the disk of the image 'base'"
mv "$tmp/away" "$base"
run 0 "$V" image verify base

# No room for what both are together.
in_namespace () { if [ "$(id -u)" -eq 0 ]; then unshare --mount "$@"; else unshare --mount --map-root-user "$@"; fi; }
mkdir "$tmp/small"
if in_namespace mount -t tmpfs none "$tmp/small" 2> /dev/null; then
  run 1 in_namespace sh -c 'mount -t tmpfs -o "size=$(($(du -sk "$XDG_DATA_HOME" | cut -f1) + 1200))k" none "$1" || exit 99
    cp -a --sparse=always "$XDG_DATA_HOME/." "$1" || exit 98
    export XDG_DATA_HOME=$1
    "$2" image verify -q base || exit 97
    before=$(find "$1" | sort)
    "$2" disk commit -q tools --name more
    status=$?
    [ "$(find "$1" | sort)" = "$before" ] || exit 96
    exit $status' - "$tmp/small" "$V"
  has "$err" "No space left"
else
  echo "not tested: a disk that is full, since no tmpfs can be mounted here"
fi

# What a machine that was taken over may have left: its head names a file.
printf '/etc/passwd' | dd of="$disk" bs=1 seek=512 conv=notrunc status=none
printf '\0\0\0\0\0\0\2\0\0\0\0\13' | dd of="$disk" bs=1 seek=8 conv=notrunc status=none
for verb in "commit -q tools --name more" "resize tools 1G"; do
  run 1 "$V" disk $verb
  has "$err" "the kept disk 'tools' cannot be used"
done
run 125 "$V" up -q --driver qemu --keep tools -- true
has "$err" "the kept disk 'tools' cannot be used: "
run 0 "$V" disk
has "$out" "only what differs from another file"
run 0 "$V" disk reset tools
run 0 "$V" disk rm tools
