#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Snapshots of sandboxes that run an image: of an overlay that is thrown away, and of a kept disk, which has the newest
# data and is sound whatever is killed, and is what it was once it is restored.
images=$(bash "${0%/*}/make-images.sh" 2>&1) || { echo "1..0 # SKIP $images"; exit 0; }
. "${0%/*}/lib.sh"
export PATH=$PATH:/usr/sbin:/sbin

disk=$XDG_DATA_HOME/vmctl/disks/tools
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl" "$XDG_DATA_HOME/vmctl/images"
python3 "$vm_here/store.py" "$XDG_DATA_HOME/vmctl/images" tiny "$images/tiny.qcow2" partition=1 >/dev/null
inside () { run "$VMCTL" exec one -- /bin/sh -c "$1"; }
write () { inside "dd if=/dev/urandom of=/data bs=65536 count=32 2>/dev/null; busybox sync; busybox sha256sum </data"; }
data () { inside 'busybox sha256sum </data'; }
snapshot () { run "$VMCTL" snapshot "$@"; }
sound () { qemu-img check -q -f qcow2 "$disk/disk.qcow2"; }
restarts () { record "$ID" restarts; }
names () { "$VMCTL" snapshot list --json one | python3 -c 'import json, sys; print(*[s["name"] for s in json.load(sys.stdin)])'; }

# Thrown away
start one --image tiny "$P" -- /bin/sh -c 'exec busybox sleep 9999'
write
first=$OUT
VMCTL_PLUGFAIL=7 snapshot create one fails
is "$STATUS|$(names)" "1|" "one that fails leaves nothing"
VMCTL_FREEZEMS=1 snapshot create one unsure
is "$STATUS|$(names)" "1|" "refused: nobody knows that the guest stood still"
snapshot create one first
is "$STATUS" 0 "a snapshot"
like "$OUT" "first	*ms" "it says how long the guest stood still"
write
isnt "$OUT" "$first" "the guest goes on writing"
snapshot restore --yes one first
is "$STATUS|$(restarts)" "0|1" "restored"
data
is "$OUT" "$first" "what was written is there again"
is "$(ls "$XDG_STATE_HOME/vmctl/sandboxes/$ID" | grep -c next-disk)" 0 "and the copy has no name"
run "$VMCTL" reset one
inside 'ls /data'
is "$STATUS" 1 "a reset is as the image is"
run "$VMCTL" stop one

# Another file system on the same disk stands still as well.
qemu-img convert -f qcow2 -O raw "$images/tiny.qcow2" "$T/tiny.raw" && mke2fs -q -t ext4 "$T/more.raw" 16M >/dev/null &&
  python3 - "$T" <<'END' && qemu-img convert -f raw -O qcow2 "$T/two.raw" "$T/two.qcow2" || { echo "Bail out! no image"; exit 1; }
import os, struct, sys
os.chdir(sys.argv[1])
disk, more = bytearray(open("tiny.raw", "rb").read()), open("more.raw", "rb").read()
disk[462:478] = struct.pack("<B3sB3sII", 0, b"\0\0\0", 0x83, b"\0\0\0", len(disk) // 512, len(more) // 512)
open("two.raw", "wb").write(disk + more)
END
python3 "$vm_here/store.py" "$XDG_DATA_HOME/vmctl/images" two "$T/two.qcow2" partition=1 >/dev/null
start one --image two "$P" -- /bin/sh -c 'exec busybox sleep 9999'
run "$VMCTL" exec --root one -- /bin/sh -c 'mkdir /more /again && busybox mount -t ext4 /dev/vda2 /more && busybox mount -o bind /more /again && echo old >/more/data'
is "$STATUS" 0 "a second file system of the disk"
snapshot create one first
is "$STATUS" 0 "a snapshot of both"
qemu-img rebase -u -f qcow2 -F qcow2 -b "$T/two.qcow2" "$XDG_STATE_HOME/vmctl/sandboxes/$ID/snapshots/first/root.qcow2" &&
  qemu-img convert -O raw "$XDG_STATE_HOME/vmctl/sandboxes/$ID/snapshots/first/root.qcow2" "$T/snapshot.raw"
tail -c 16M "$T/snapshot.raw" >"$T/part.raw"
unlike "$(dumpe2fs -h "$T/part.raw" 2>/dev/null)" needs_recovery "it has nothing left in its journal"
is "$(debugfs -R 'cat data' "$T/part.raw" 2>/dev/null)" old "and what was written"
check "it is sound" e2fsck -fn "$T/part.raw"
run "$VMCTL" exec --root one -- /bin/sh -c 'echo new >/more/data && busybox sync && cat /more/data'
is "$OUT" new "both go on"
VMCTL_FREEZEMS=1 snapshot create one unsure
is "$STATUS" 1 "refused, and thawed by the guard"
run "$VMCTL" exec --root one -- /bin/sh -c 'echo newer >/more/data && busybox sync && echo newer >/data && cat /more/data'
is "$OUT" newer "both go on after that, too"
run "$VMCTL" exec --root one -- /bin/sh -c 'busybox umount /again && busybox mount -t tmpfs none /more'
snapshot create one hidden
is "$STATUS" 1 "refused: one that is mounted where nobody can reach it"
run "$VMCTL" stop one

# Kept. Its supervisor is killed when the copy is there, and later when the machine has ended.
VMCTL_FAILPOINT=copied start one --image tiny --keep tools "$P" -- /bin/sh -c 'exec busybox sleep 9999'
write
first=$OUT
snapshot create one first
is "$STATUS" 0 "kept: a snapshot"
write
second=$OUT
supervisor=$(pid_of "$ID" supervisor)
snapshot restore --yes one first
is "$STATUS" 1 "kept: its supervisor is killed when the copy is there"
until_true 20 dead "$supervisor"
is "$(VMCTL_FAILPOINT=restart "$VMCTL" list --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" 1 "kept: another takes over"
data
is "$OUT|$(restarts)" "$second|0" "kept: nothing has changed"
supervisor=$(pid_of "$ID" supervisor)
snapshot restore --yes one first
is "$STATUS" 1 "kept: its supervisor is killed when the machine has ended"
until_true 20 dead "$supervisor"
run "$VMCTL" list
check "kept: the disk is sound" sound
nothing_left "kept: the sandbox and its snapshots have gone"
start one --keep tools "$P" -- /bin/sh -c 'exec busybox sleep 9999'
data
is "$OUT" "$second" "kept: the disk has the newest data"
check_not "kept: and the copy is gone" test -e "$disk/.part-restored.qcow2"

snapshot create one second
write
snapshot restore --yes one second
is "$STATUS" 0 "kept: restored"
data
is "$OUT" "$second" "kept: what was written is there again"
write
third=$OUT
snapshot list one
like "$OUT" "second" "kept: the snapshot stays"
# QEMU is killed while it copies.
vmm=$(pid_of "$ID" vmm)
"$VMCTL" snapshot create -q one >/dev/null 2>&1 &
creating=$!
kill_all "$vmm"
wait $creating
until_true 30 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
check "kept: QEMU killed: the disk is sound" sound
is "$(python3 -c 'import struct, sys; h = open(sys.argv[1], "rb").read(104); print(*struct.unpack(">QI", h[8:20]), struct.unpack(">I", h[60:64])[0])' "$disk/disk.qcow2")" \
  "0 0 0" "kept: it names no file, and has no snapshot in it"
is "$(ls -A "$disk" | tr '\n' ' ')" "disk.json disk.qcow2 " "kept: nor is one beside it"
run_up --keep tools "$P" -- /bin/sh -c 'busybox sha256sum </data'
is "$OUT" "$third" "kept: the next one goes on with it"
finish
