#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl killed before each system call of an import, a commit and a removal that changes what is in the store: what is
# there is whole, and what is not is swept. (That its programs end with it is in image.sh.)
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
requires python3
requires busybox
requires qemu-img
requires bwrap
requires mke2fs
requires strace
strace -o /dev/null true 2> /dev/null || skip "strace cannot trace here"
images=$XDG_DATA_HOME/vmctl/images
disks=$XDG_DATA_HOME/vmctl/disks
mkdir -p "$tmp/root/bin" "$tmp/root/etc" "$XDG_DATA_HOME"
cp "$(command -v busybox)" "$tmp/root/bin/sh"
run 0 "$V" image import -q --name base --size 64M "$tmp/root"
run 0 "$V" image export -q base "$tmp/base.qcow2"
run 0 "$V" image export -q --format raw base "$tmp/base.raw"

# Each image that there is, is whole; each name leads to one; and nothing else is left but parts, which go.
sound () { # AFTER-WHAT
  run 0 "$V" image list
  is "problems after $1" "$err" ""
  run 0 "$V" image prune
  for dir in "$images"/sha256-*; do
    [ ! -e "$dir" ] || is "after $1: checksum" "sha256-$(sha256sum < "$dir/disk.qcow2" | cut -d' ' -f1)" "${dir##*/}"
  done
  for name in "$images"/names/*; do
    [ ! -L "$name" ] || [ -e "$name/disk.qcow2" ] || fail "after $1: the name ${name##*/} leads nowhere"
  done
  is "left after $1" "$(ls -A "$images" 2> /dev/null | grep -v '^sha256-\|^names$')" ""
}

# kill_in_each STATE COMMAND...: from STATE, a directory, before each of those calls, until it comes through alive.
kill_in_each () {
  state=$1 steps=0
  shift
  for call in mkdir mkdirat renameat renameat2 symlinkat unlinkat linkat fsync syncfs fchmod; do
    n=0 status=137
    while [ "$status" -ne 0 ]; do
      n=$((n + 1))
      rm -rf "$XDG_DATA_HOME"
      cp -a "$state" "$XDG_DATA_HOME"
      "$V" image verify -q --all 2> /dev/null # what was copied
      # (Under strace no leak can be looked for.)
      ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 strace -o "$tmp/trace" -e "trace=$call" -e "inject=$call:signal=KILL:when=$n" "$V" "$@" > "$tmp/said" 2>&1 < /dev/null
      status=$?
      case $status in 0 | 137) ;; *) fail "$*: ended with $status at $call $n: $(cat "$tmp/said")" ;; esac
      sound "$*, killed at $call $n"
    done
    steps=$((steps + n - 1))
  done
  echo "$*: killed at $steps steps"
  [ "$steps" -ge "$least" ] || fail "$*: only $steps steps"
}

mkdir "$tmp/empty" # no store yet
least=8
kill_in_each "$tmp/empty" image import -q --name new "$tmp/base.raw"
run 0 "$V" image inspect new

# A disk of an image, made one with it.
rm -rf "$XDG_DATA_HOME"
mkdir -m 0700 "$XDG_DATA_HOME"
run 0 "$V" image import -q --name base "$tmp/base.qcow2"
mkdir -p -m 0700 "$disks" "$disks/tools"
qemu-img create -q -f qcow2 "$disks/tools/disk.qcow2" 64M
printf '{"image": "%s", "image-name": "base", "created": 1}' "$out" > "$disks/tools/disk.json"
cp -a "$XDG_DATA_HOME" "$tmp/kept"
kill_in_each "$tmp/kept" disk commit -q tools --name new
run 0 "$V" image inspect new
is "the disk" "$(ls -A "$disks/tools")" "disk.json
disk.qcow2"

# Removed: it is there, or it is not.
rm -rf "$disks"
run 0 "$V" image name base other
cp -a "$XDG_DATA_HOME" "$tmp/two"
least=3
kill_in_each "$tmp/two" image rm base
is "images left" "$(find "$images" -name 'sha256-*')" ""
