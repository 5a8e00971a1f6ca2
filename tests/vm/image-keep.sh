#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --keep: what is written to an image is there the next time, one sandbox at a time has it, the image stays as long as
# it is needed, and nobody's death spoils the disk.
images=$(bash "${0%/*}/make-images.sh" 2>&1) || { echo "1..0 # SKIP $images"; exit 0; }
. "${0%/*}/lib.sh"
export PATH=$PATH:/usr/sbin:/sbin

disk=$XDG_DATA_HOME/vmctl/disks/tools
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl" "$XDG_DATA_HOME/vmctl/images"
# The tiny image without its partition: a file system that is the whole disk can grow.
qemu-img convert -f qcow2 -O raw "$images/tiny.qcow2" "$T/tiny.raw" && tail -c +1048577 "$T/tiny.raw" >"$T/whole.raw" &&
  qemu-img convert -f raw -O qcow2 "$T/whole.raw" "$T/whole.qcow2" || { echo "Bail out! no image"; exit 1; }
put () { # NAME MEMBER=VALUE...
  python3 "$vm_here/store.py" "$XDG_DATA_HOME/vmctl/images" "$1" "$T/whole.qcow2" "${@:2}"
}
put tiny >"$T/tiny"
put other origin=other >"$T/other"
wrote_much () { [ "$(wc -l <"$T/log")" -gt 200 ]; }
sound () { qemu-img check -q -f qcow2 "$disk/disk.qcow2"; }

run_up --keep tools "$P" -- true
is "$STATUS" 125 "no image, and no disk that says which: refused"
like "$ERR" "--image" "and what to write"
run_up --image tiny --keep a/b "$P" -- true
is "$STATUS" 125 "a disk's name is no path"
run "$VMCTL" up -q --driver bwrap --image tiny --keep tools "$P" -- true
is "$STATUS" 125 "only a virtual machine keeps a disk"
check_not "and nothing was made" test -e "$XDG_DATA_HOME/vmctl/disks"

run_up --image tiny --keep tools "$P" -- /bin/sh -c 'echo kept >"$HOME/kept"; exit 7'
is "$STATUS" 7 "made: the exit status"
check "made: the disk is sound" sound
is "$(stat -c %a "$disk/disk.qcow2")" 600 "made: it is the user's alone"
before=$(sha256sum "$disk/disk.qcow2")
run_up --image other --keep tools "$P" -- true
is "$STATUS" 125 "another image: refused"
like "$ERR" "is of the image 'tiny'" "and of which it is"
is "$(sha256sum "$disk/disk.qcow2")" "$before" "and the disk is what it was"

# Another one has it.
mkdir "$T/second"
start keeper --keep tools "$P" -- /bin/sh -c 'exec busybox sleep 9999'
is "$(record "$ID" image)" tiny "kept: the image needs no naming"
is "$(record "$ID" keep)" tools "kept: the record has the disk's name"
run_up --keep tools "$T/second" -- true
is "$STATUS" 125 "a second sandbox: refused"
like "$ERR" "the kept disk 'tools' is in use" "and why"
run_up --image tiny "$T/second" -- /bin/sh -c 'cat "$HOME/kept" 2>/dev/null || echo none'
is "$OUT" none "a second one of the same image, with an overlay of its own, is fine"
for what in "disk rm" "disk reset"; do
  run "$VMCTL" $what tools
  is "$STATUS" 1 "$what of a disk in use: refused"
done
is "$("$VMCTL" disk list --json | python3 -c 'import json, sys; print([(d["name"], d["image-name"], d["busy"]) for d in json.load(sys.stdin)])')" \
  "[('tools', 'tiny', True)]" "disk list says so"
run "$VMCTL" exec keeper -- /bin/sh -c 'cd && echo synced >synced && busybox sync && cat kept'
is "$OUT" kept "kept: what the first wrote"

# QEMU is killed while the guest writes.
"$VMCTL" exec keeper -- /bin/sh -c 'i=0; while :; do echo $i; echo "$i line" >>"$HOME/log"; i=$((i+1)); [ $((i % 50)) != 0 ] || busybox sync; done' >"$T/log" 2>/dev/null &
writer=$!
until_true 60 wrote_much
kill_all "$(pid_of "$ID" vmm)"
wait $writer
until_true 30 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
check "QEMU killed: the disk is sound" sound

# A supervisor that dies, and one that takes over.
start keeper --keep tools "$P" -- /bin/sh -c 'cat "$HOME/synced" >synced; exec busybox sleep 9999'
until_true 30 test -s "$P/synced"
is "$(cat "$P/synced")" synced "after that: what was synced is there"
kill_all "$(pid_of "$ID" supervisor)"
run "$VMCTL" exec keeper -- /bin/cat "$MY_HOME/kept"
is "$OUT" kept "supervisor killed: another takes over"
run_up --keep tools "$T/second" -- true
is "$STATUS" 125 "and the disk is still in use"
run "$VMCTL" restart keeper
is "$STATUS" 0 "restarted: it has its disk again"
control "$ID" wait running
run "$VMCTL" exec keeper -- /bin/cat "$MY_HOME/kept"
is "$OUT" kept "restarted: and what is on it"
run "$VMCTL" stop keeper
check "stopped: the disk is sound" sound

# There is no room for it: the sandbox is paused, says where, and goes on once there is some.
if [ "$(id -u)" = 0 ] && [ -z "${VM_WHO:-}" ]; then
  cat >"$T/full" <<'EOS'
mount -t tmpfs -o size=4m,mode=700 tmpfs "$XDG_DATA_HOME/vmctl/disks" || exit 99
"$VMCTL" up -q --name full --image tiny --keep small "$1" -- /bin/sh -c \
  'head -c 6m /dev/urandom >"$HOME/big" && busybox sync && echo written' >"$T/full.out" 2>"$T/full.err" &
for i in $(seq 1200); do
  grep -q 'is paused' "$T/full.err" && break
  sleep 0.1
done
"$VMCTL" status full
mount -o remount,size=40m "$XDG_DATA_HOME/vmctl/disks"
"$VMCTL" resume full
wait $! || exit
qemu-img check -q -f qcow2 "$XDG_DATA_HOME/vmctl/disks/small/disk.qcow2"
EOS
  run unshare -m bash "$T/full" "$P"
  is "$STATUS" 0 "no room: it is paused, goes on once there is some, and the disk is sound"
  like "$OUT" "the file system of '$XDG_DATA_HOME/vmctl/disks/small' is full; free some space there" "no room: status says where"
  is "$(cat "$T/full.out")" written "no room: nothing was lost"
else
  skip "only root can mount a small file system" "no room"
fi

run "$VMCTL" image rm tiny
is "$STATUS" 1 "the image is needed"
like "$ERR" "by the kept disk 'tools'" "and by what"
run "$VMCTL" disk reset tools
is "$STATUS" 0 "reset"
check "resized" "$VMCTL" disk resize tools 64M
run_up --keep tools "$P" -- /bin/sh -c '[ ! -e "$HOME/kept" ] && echo empty; df -k / | while read -r dev size rest; do [ "$dev" = /dev/vda ] && [ "$size" -gt 40000 ] && echo grown; done'
is "$OUT" "empty
grown" "reset: the disk is as the image is, and its file system grows with it"
mv "$(cat "$T/tiny")" "$T/away"
run_up --keep tools "$P" -- true
is "$STATUS" 125 "the image is gone: refused"
like "$ERR" "needs the image it was made of, 'tiny'" "and which one"
mv "$T/away" "$(cat "$T/tiny")"
run "$VMCTL" disk rm tools
is "$STATUS" 0 "disk rm"
is "$(ls -A "$XDG_DATA_HOME/vmctl/disks")" "" "nothing is left of it"
run "$VMCTL" image rm tiny
is "$STATUS" 0 "and the image can be removed"
finish
