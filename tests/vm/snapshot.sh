#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Snapshots of a running machine's disk: what is in them, also while somebody writes all the time; restoring; refused when
# nobody can say that the guest stood still; undone when a step fails, or when its supervisor is killed at one.
. "${0%/*}/lib.sh"

VMCTL_FAILPOINT=snapshot1 start one --memory 512M --cpus 1 "$P" -- sh -c 'echo started >>started; sleep infinity'
ONE=$ID
files=$XDG_STATE_HOME/vmctl/sandboxes/$ONE/snapshots

inside () { run "$VMCTL" exec --root one -- sh -c "$1"; }
snapshot () { run "$VMCTL" snapshot "$@"; }
names () { "$VMCTL" snapshot list --json one | python3 -c 'import json, sys; print(*[s["name"] for s in json.load(sys.stdin)])'; }
has_none () { [ "$(names)" = "" ] && [ "$(ls "$files" 2>/dev/null)" = "" ]; }
machine () { # what QEMU has of files and jobs
  local c
  for c in query-named-block-nodes query-fdsets query-jobs; do control "$ONE" do $c; done |
    python3 -c 'import re, sys; print(*sorted(re.findall(r"\"(?:node-name|fdset-id|id)\": [^,}]*", sys.stdin.read())))'
}
before=$(machine)

# Its supervisor is killed at one step, and each that takes over at another one: with a file, while the guest stands still,
# while it is copied, and when that is over.
for point in snapshot5 snapshot6 snapshot8 copied; do
  supervisor=$(pid_of "$ONE" supervisor)
  snapshot create one half
  is "$STATUS" 1 "a supervisor that is killed in the middle"
  until_true 20 dead "$supervisor"
  VMCTL_FAILPOINT=$point run "$VMCTL" list
  check "what is half done is taken away" until_true 30 has_none
  inside 'mkdir -p /t && touch /t/written && sync /t/written && echo yes'
  is "$OUT" yes "and the guest can write"
done
is "$(machine)" "$before" "QEMU has what it had"

# Each step fails.
for step in 1 2 3 4 5 6 7 8 9 10; do
  VMCTL_PLUGFAIL=$step snapshot create one fails
  is "$STATUS" 1 "fails behind step $step"
  like "$ERR" "behind step $step" "  and says so"
done
is "$(machine)|$(names)|$(ls "$files")" "$before||" "all of that was undone"
python3 - "$XDG_RUNTIME_DIR/vmctl/$ONE/control.sock" <<'END'
import os, socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
control.sendall(b'{"execute": "qmp_capabilities"}\n')
lines = control.makefile()
while "return" not in lines.readline():
    pass
control.sendall(b'{"execute": "snapshot-create", "arguments": {"name": "unwanted"}}\n')
os._exit(0) # at once: it does not take long
END
gave_up () { grep -q "unwanted: who asked for it has gone" "$XDG_STATE_HOME/vmctl/sandboxes/$ONE/supervisor.log"; }
check "a client that goes does not want it any more" until_true 20 gave_up
check "and all of that is undone" until_true 20 has_none
is "$(machine)" "$before" "in QEMU, too"
VMCTL_FREEZEMS=1 snapshot create one unsure
is "$STATUS" 1 "refused: nobody knows that the guest stood still"
like "$ERR" "timed out" "  and why"
is "$(machine)|$(names)|$(ls "$files")" "$before||" "nothing is left of it"
inside 'touch /t/written && echo yes'
is "$OUT" yes "and the guest can write"

# One, and back to it
inside 'dd if=/dev/urandom of=/t/data bs=1M count=8 2>/dev/null; mv /usr/bin/env /t/env; sha256sum </t/data'
is "$STATUS" 0 "the guest writes to its disk"
first=$OUT
snapshot create one first
is "$STATUS" 0 "a snapshot"
like "$OUT" "first	*ms" "it says how long the guest stood still"
like "$ERR" "memory" "and what is not in it"
is "$(stat -c %a "$files/first/root.qcow2") $(stat -c %a "$files" "$files/first" | tr '\n' ' ')" "600 700 700 " "its file is the user's alone"
if command -v qemu-img >/dev/null; then check "and sound" qemu-img check -q "$files/first/root.qcow2"; fi
inside 'dd if=/dev/urandom of=/t/data bs=1M count=8 conv=notrunc 2>/dev/null; sha256sum </t/data'
isnt "$OUT" "$first" "the guest goes on writing"

# Disks that were plugged: a file with a file system that somebody writes to, and a new disk, written to as it is.
PATH=$PATH:/usr/sbin:/sbin
devices () { "$VMCTL" devices --json one | python3 -c 'import json, sys; print(*[str(d.get(sys.argv[1])) for d in json.load(sys.stdin)])' "$1"; }
in_copy () { debugfs -R "cat $1" "$T/disk0" 2>/dev/null; }
truncate -s 64M "$T/data.raw" && mke2fs -q -t ext4 "$T/data.raw" || { echo "Bail out! no disk"; exit 1; }
truncate -s 1M "$T/other.raw"
run "$VMCTL" plug one disk "$T/data.raw"
run "$VMCTL" plug one disk "$T/other.raw:ro"
run "$VMCTL" plug one disk 16M
read -r data _ new <<<"$(devices inside)"
inside "mkdir -p /t/m && mount -o commit=300 $data /t/m && dd if=/dev/urandom of=/t/m/data bs=1M count=4 2>/dev/null &&
  sync /t/m/data && sha256sum </t/m/data && echo late >/t/m/late &&
  dd if=/dev/urandom of=$new bs=1M count=16 oflag=direct 2>/dev/null && sha256sum <$new"
is "$STATUS" 0 "the guest writes to disks that were plugged"
written=$OUT
with=$(machine)
for step in 4 6 10 12 13 15; do # room, a descriptor, a node, frozen, copying, copied
  VMCTL_PLUGFAIL=$step snapshot create one fails
  is "$STATUS" 1 "with plugged disks: fails behind step $step"
done
VMCTL_FREEZEMS=1 snapshot create one unsure
is "$STATUS" 1 "with plugged disks: refused: nobody knows that the guest stood still"
is "$(machine)|$(names)|$(ls "$files")" "$with|first|first" "with plugged disks: all of that was undone"
snapshot create --skip-plugged one without
is "$STATUS|$(ls "$files/without")" "0|root.qcow2" "they can be left out"
snapshot rm one without
snapshot create -q --json one plugged
is "$STATUS" 0 "a snapshot of the disk and those that were plugged"
is "$(python3 -c 'import json, sys
for d in json.load(open(sys.argv[1]))["disks"]:
    print(d["id"], d.get("source", "-").split("/")[-1], d["format"], d["copy"].split("/")[-1], d["bytes"] > 4 << 20)' "$T/out")" \
  "disk0 data.raw raw plugged-disk0.qcow2 True
disk2 - qcow2 plugged-disk2.qcow2 True" "it says which, and where their copies are"
is "$(stat -c %a "$files"/plugged/plugged-disk?.qcow2 | tr '\n' ' ')" "600 600 " "they are the user's alone"
check "and have no room for what is empty" test "$(stat -c %b "$files/plugged/plugged-disk0.qcow2")" -lt 65536
inside 'echo more >/t/m/more && sync /t/m/more && echo yes'
is "$OUT" yes "and the guest can write to them"
is "$(machine)" "$with" "QEMU has what it had"
for disk in 0 2; do qemu-img convert -O raw "$files/plugged/plugged-disk$disk.qcow2" "$T/disk$disk"; done
is "$(in_copy data | sha256sum; sha256sum <"$T/disk2")" "$written" "what was written is in the copies"
is "$(in_copy late)|$(in_copy more)" "late|" "what was not yet on the disk as well, and nothing later"
unlike "$(dumpe2fs -h "$T/disk0" 2>/dev/null)" needs_recovery "its file system was frozen"
check "and is sound" e2fsck -fn "$T/disk0"
inside 'umount /t/m'
for disk in disk0 disk1 disk2; do run "$VMCTL" unplug one $disk; done
users=$(sha256sum <"$T/data.raw")

cat >"$P/write.py" <<'END'
import hashlib, os, struct
files = [os.open("/t/" + n, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) for n in ("a", "b")]
for i in range(1 << 40):
    record = struct.pack("<Q", i)
    for f in files:
        os.write(f, record + hashlib.md5(record).digest())
    if i == 100:
        print("writing", flush=True)
END
cat >"$P/read.py" <<'END'
import hashlib, struct
a, b = (open("/t/" + n, "rb").read() for n in ("a", "b"))
assert len(a) % 24 == 0 and len(b) % 24 == 0, (len(a), len(b))
for i in range(len(a) // 24):
    record = struct.pack("<Q", i)
    assert a[i * 24 : i * 24 + 24] == record + hashlib.md5(record).digest(), i
assert a.startswith(b) and len(a) - len(b) in (0, 24), (len(a), len(b))
print("sound" if len(a) > 2400 else "short")
END
mkfifo "$T/said"
"$VMCTL" exec --root one -- python3 "$P/write.py" >"$T/said" 2>/dev/null &
read -r said <"$T/said"
is "$said" writing "somebody writes all the time"
snapshot create -q --json one busy
is "$STATUS" 0 "a snapshot meanwhile"
is "$(field "$T/out" parent)" plugged "which has a parent"
snapshot list one
like "$OUT" "first*plugged*busy" "all are listed"
sound () { # NAME: the file system that it has
  local fsck
  fsck=$(PATH=$PATH:/usr/sbin:/sbin command -v e2fsck) && cp "$files/$1/root.qcow2" "$T/overlay.qcow2" || return
  qemu-img rebase -u -F qcow2 -b "$XDG_CACHE_HOME/vmctl/disks/ext4-$((16 << 30)).qcow2" "$T/overlay.qcow2" &&
    qemu-img convert -O raw "$T/overlay.qcow2" "$T/raw" && "$fsck" -fn "$T/raw"
}
check "its file system is sound" sound busy

snapshot restore one first
is "$STATUS" 2 "refused: to restore without --yes"
snapshot restore --yes one third
is "$STATUS" 1 "refused: to restore what there is not"
is "$(record "$ONE" restarts)" 0 "nothing was restarted"
supervisor=$(pid_of "$ONE" supervisor)
snapshot restore --yes one first
is "$STATUS" 1 "its supervisor is killed before it restarts"
until_true 20 dead "$supervisor"
is "$(names)|$(record "$ONE" restarts)" "first plugged busy|0" "nothing was lost, nor restarted"
snapshot restore --yes one first
is "$STATUS" 0 "restored"
inside 'sha256sum </t/data; ls /t /usr/bin/env 2>&1'
like "$OUT" "$first*cannot access '/usr/bin/env'*data*env*written" "the disk is as it was"
started_again () { [ "$(wc -l <"$P/started")" = 2 ]; }
until_true 60 started_again
is "$(wc -l <"$P/started")" 2 "the command has started again"
is "$(ls "$XDG_STATE_HOME/vmctl/sandboxes/$ONE" | grep -c next-disk)" 0 "the copy that it took has no name"
snapshot restore --yes --plugged one plugged
is "$STATUS" 0 "one with disks that were plugged, which come again"
like "$ERR" "'disk0' is a new disk*data.raw' stays as it is*'disk2' is a new disk" "  as it says"
is "$(run "$VMCTL" exec one -- true; devices id; devices source; devices snapshot)" "disk0 disk2
None None
plugged plugged" "nothing else was plugged"
read -r data new <<<"$(devices inside)"
inside "mkdir -p /t/m && mount $data /t/m && sha256sum </t/m/data && sha256sum <$new && ls /t/m && echo changed >/t/m/data && umount /t/m"
like "$OUT" "$written*data*late*" "they are as they were"
unlike "$OUT" more "without what came later"
is "$(sha256sum <"$T/data.raw")" "$users" "the user's file is as it was"
qemu-img convert -O raw "$files/plugged/plugged-disk0.qcow2" "$T/disk0"
like "$written" "$(in_copy data | sha256sum)*" "and so is the copy in the snapshot"
is "$(ls "$XDG_STATE_HOME/vmctl/sandboxes/$ONE" | grep -c plugged)" 0 "the copies that it took have no names"
snapshot rm one plugged
check_not "it is removed with its copies" test -e "$files/plugged"
snapshot restore --yes one busy
is "$STATUS" 0 "the other one"
inside "python3 $P/read.py"
is "$OUT$ERR" sound "what somebody was writing is whole"

# QEMU has written it, so its head is looked at.
printf '\1' | dd of="$files/first/root.qcow2" bs=1 seek=15 conv=notrunc status=none
snapshot restore --yes one first
is "$STATUS|$(record "$ONE" restarts)" "1|3" "refused: a head that names another file"
like "$ERR" "backing file" "  and why"

# They last as long as their sandbox.
snapshot rm one first
is "$STATUS|$(names)" "0|busy" "removed"
is "$("$VMCTL" snapshot list --json one | python3 -c 'import json, sys; print([s.get("parent") for s in json.load(sys.stdin)])')" "[None]" "the other has lost its parent"
run "$VMCTL" reset one
inside 'ls /t 2>&1'
like "$OUT" "No such file" "a reset has a new disk"
is "$(names)" busy "and the snapshot stays"
kill_all "$(pid_of "$ONE" supervisor)" "$(pid_of "$ONE" keeper)"
run "$VMCTL" list
check_not "it is gone with its sandbox" test -e "$files"
is "$(record "$ONE" snapshots)" "" "and its record has none"

# QEMU is killed while the guest stands still, and while it copies.
held () { grep -q '^State:[[:space:]]*T' "/proc/$1/status"; }
for step in 5 6; do
  VMCTL_FAILPOINT=hold:snapshot$step start two --memory 512M --cpus 1 "$P" -- sleep infinity
  supervisor=$(pid_of "$ID" supervisor)
  "$VMCTL" snapshot create -q two >"$T/two" 2>&1 &
  until_true 20 held "$supervisor"
  kill_all "$(pid_of "$ID" vmm)"
  kill -CONT "$supervisor"
  wait $!
  is $? 1 "QEMU is killed behind step $step: there is no snapshot"
  nothing_left "and nothing of it"
  is "$(record "$ID" reason.kind)" vmm-signal "and why is known"
done
finish
