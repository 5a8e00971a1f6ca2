#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# image import of a qcow2 that is over an image of the store: it becomes one disk with that. Whatever else a header may
# name is refused, and not opened.
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
requires python3
requires busybox
requires qemu-io
requires bwrap
requires mke2fs
images=$XDG_DATA_HOME/vmctl/images
work=$tmp/work
mkdir -p "$work/root/bin" "$work/root/etc"
cp "$(command -v busybox)" "$work/root/bin/sh"
run 0 "$V" image import -q --name base --size 64M "$work/root"
id=$out
disk=$images/$id/disk.qcow2

# over FILE BACKING FORMAT: 80 MiB that are over what it names, whether or not that is there
over () {
  rm -f "$1"
  qemu-img create -q -f qcow2 -u -b "$2" -F "$3" "$1" 80M || fail "qemu-img create"
}
# unsaid FILE: without the format of its backing file (that extension becomes one that nobody knows)
unsaid () {
  python3 -c 'import sys; f = open(sys.argv[1], "r+b"); d = f.read(4096).replace(b"\xe2\x79\x2a\xca", b"\x12\x34\x56\x78", 1); f.seek(0); f.write(d)' "$1"
}

over "$work/over.qcow2" "$disk" qcow2
run 0 qemu-io -f qcow2 -c 'write -P 7 1M 64k' -c 'write -P 8 70M 1000' "$work/over.qcow2"
run 0 "$V" image import "$work/over.qcow2" --name whole
run 0 "$V" image inspect whole --json
is "the new image" "$(json "$out" '(j["size"], j["format"], j["origin"], j["init-kind"])')" \
  "($((80 << 20)), 'qcow2', '$work/over.qcow2', 'none')"
whole=$(json "$out" 'j["directory"]')/disk.qcow2
run 0 qemu-img info --output=json "$whole"
is "its backing file" "$(json "$out" 'j.get("backing-filename")')" None
run 0 "$V" image export -q --format raw base "$work/base.raw"
run 0 "$V" image export -q --format raw whole "$work/whole.raw"
python3 - "$work/base.raw" "$work/expected.raw" <<'END2'
import sys
data = bytearray(open(sys.argv[1], 'rb').read()) + bytes(16 << 20)
data[1 << 20:(1 << 20) + 65536] = b'\7' * 65536
data[70 << 20:(70 << 20) + 1000] = b'\x08' * 1000
open(sys.argv[2], 'wb').write(data)
END2
cmp "$work/expected.raw" "$work/whole.raw" || fail "it is not what both are together"
run 0 "$V" image import "$work/over.qcow2" --name again
has "$err" "there already"
run 0 "$V" image verify base whole

# The format may be unsaid, and the store may be where a link leads; both ways to write that are its path.
unsaid "$work/over.qcow2"
run 0 "$V" image import "$work/over.qcow2" --name unsaid
ln -s "$XDG_DATA_HOME" "$tmp/link"
run 0 env XDG_DATA_HOME="$tmp/link" "$V" image import "$work/over.qcow2" --name linked
over "$work/linked.qcow2" "$tmp/link/vmctl/images/$id/disk.qcow2" qcow2
run 0 env XDG_DATA_HOME="$tmp/link" "$V" image import "$work/linked.qcow2" --name linked2

# Refused, and nothing is left of it.
before=$(ls "$images" "$images/names")
refuse () { # STATUS WORDS BACKING FORMAT
  over "$work/bad.qcow2" "$3" "$4"
  run "$1" "$V" image import --name refused "$work/bad.qcow2"
  has "$err" "$2"
  is "the store after $3" "$(ls "$images" "$images/names")" "$before"
  is "parts" "$(find "$images" -maxdepth 1 -name '.part-*')" ""
}
none="vmctl opens no file that an image names"
ln -s "$images/$id" "$work/direct"
mkdir -p "$tmp/other/vmctl/images"
cp -r "$images/$id" "$tmp/other/vmctl/images/" # as another user has it
for name in "$images/names/base/disk.qcow2" "$work/direct/disk.qcow2" "$images/../images/$id/disk.qcow2" \
  "$images//$id/disk.qcow2" "$images/$id/./disk.qcow2" "$disk/" "$images/$id" "$images/$id/image.json" "file:$disk" \
  "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"$disk\"}}" "../data/vmctl/images/$id/disk.qcow2" \
  "$tmp/other/vmctl/images/$id/disk.qcow2" "$tmp/link/vmctl/images/$id/disk.qcow2" "$id" base \
  "$images/sha256-$(printf '%064d' 0)/disk.qcow2" /etc/passwd nbd://127.0.0.1/x "$disk"$'\n'; do
  refuse 1 "$none" "$name" qcow2
done
refuse 1 "is no qcow2" "$disk" raw
refuse 1 "is no qcow2" "$disk" vmdk

# Not even looked at: of what it does with files, nothing is about that name.
if strace -o /dev/null true 2> /dev/null; then
  over "$work/bad.qcow2" "$work/direct/disk.qcow2" qcow2
  run 1 strace -f -e trace=%file -o "$work/trace" "$V" image import --name refused "$work/bad.qcow2"
  has "$(cat "$work/trace")" "$work/bad.qcow2"
  hasnt "$(cat "$work/trace")" "$work/direct"
fi

# The image itself is used only as it was made: not one that was changed, is somebody else's, is being removed, or has gone.
chmod 0600 "$disk"
refuse 1 "vmctl image verify base" "$disk" qcow2
chmod 0460 "$disk"
refuse 1 "can be written by others" "$disk" qcow2
chmod 0400 "$disk"
if [ "$(id -u)" -eq 0 ]; then
  chown 4321 "$disk"
  refuse 1 "is not the store's" "$disk" qcow2
  chown 0 "$disk"
fi
run 0 "$V" image verify base
over "$work/bad.qcow2" "$disk" qcow2
run 1 flock -x "$disk" "$V" image import --name refused "$work/bad.qcow2"
has "$err" "being removed"
mv "$disk" "$work/away"
refuse 1 "cannot open the disk of the image 'base'" "$disk" qcow2
mv "$work/away" "$disk"

# What has become one needs the other no more.
run 0 "$V" image rm base
run 0 "$V" image verify whole
run 1 "$V" image import --name refused "$work/bad.qcow2"
has "$err" "$none"
