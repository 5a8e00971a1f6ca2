#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Machines that go on from a template: made behind the first boot, each its own machine, safe against whatever may
# have become of the files, and nothing changed in them.
. "${0%/*}/lib.sh"
[ "$VM_DRIVER" = qemu ] || skip_all "only virtual machines have templates"

# A cache of its own, with the kernel and the disk that are there already; small machines.
export XDG_CACHE_HOME=$T/cache
mkdir -m 0700 "$T/cache" "$T/cache/vmctl"
for part in kernels initramfs disks index qemu-version; do
  [ ! -e "${VM_CACHE:-$vm_base/cache}/vmctl/$part" ] || cp -r "${VM_CACHE:-$vm_base/cache}/vmctl/$part" "$T/cache/vmctl/"
done
: >"$T/config/vmctl/config"
templates=$T/cache/vmctl/templates
small="--memory 512M --cpus 1"
up () { # shellcheck disable=SC2086 # words
  run_up $small "$@"
}
key () { ls "$templates" 2>/dev/null | head -n 1; }
made () { [ -n "$(key)" ]; }
no_maker () { ! python3 "$vm_here/reaper.py" --left "$VM_REAPER" $$ | grep -q maketemplate; }

# The first one boots, and has one made behind it.
up "$P" -- true
is "$STATUS|$(record "$(newest_id)" template)" "0|" "the first machine boots"
# Its maker has what nobody else wants of the processors; it gives up by itself.
check "its maker ends" until_true 1000 no_maker
check "a template was made behind it" made
K=$(key)
is "$(stat -c %a "$templates/$K") $(stat -c %a "$templates/$K"/{ram,state,disk} | sort -u)" "700 600" "nobody else's to read"
sums=$(cd "$templates/$K" && sha256sum ram state disk)
mib=$(($(stat -c %b "$templates/$K/ram") / 2048))
check "at most 120 MiB for each GiB on the disk, and what a kernel needs: $mib MiB" test "$mib" -le 120

up "$P" -- sh -c 'pwd; id -un; echo "$HOME"; exit 42'
is "$STATUS|$OUT" "42|$P
$ME
$MY_HOME" "from a template: the host's own three answers, and the status"
is "$(record "$(newest_id)" template)" "$K" "it is on record"
up --cold "$P" -- true
is "$STATUS|$(record "$(newest_id)" template)" "0|" "--cold boots"
run "$VMCTL" template list --json
is "$(python3 -c 'import json, sys; t = json.loads(sys.argv[1])[0]; print(t["state"], t["uses"])' "$OUT")" "current 1" \
  "the list knows that it is current, and its uses"

# Each is its own machine.
own='cat /proc/sys/kernel/random/boot_id /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; cat /sys/class/net/e*/address
  uname -n; echo $(( $(date +%s) / 10 )); python3 -c "import os, ctypes; print(os.urandom(8).hex(), id(object()))"'
for i in 1 2 3; do
  up --name "own$i" "$P" -- sh -c "$own"
  printf '%s\n' "$OUT" >"$T/own.$i"
done
for line in 1 2 3 4; do
  is "$(for i in 1 2 3; do sed -n "${line}p" "$T/own.$i"; done | sort -u | wc -l)" 3 \
    "nothing is the same in three of them: $(printf 'boot id\nmachine id\nrandom bytes\nhardware address' | sed -n "${line}p")"
done
now=$(($(date +%s) / 10))
check "the clock is the host's" test $((now - $(sed -n 6p "$T/own.3"))) -le $((2 * SLOW))
up "$P" -- sh -c 'cat /sys/class/net/e*/address'
is "$OUT" "$(record_mac () { python3 -c 'import hashlib, sys; s = hashlib.sha256(sys.argv[1].encode()).hexdigest()
print("52:54:00:" + ":".join((s[:2], s[2:4], s[4:6])))' "$1"; }; record_mac "$(newest_id)")" "the address is the plan's"

# Any plan: no network, no disk, no root, grants, another project.
up --net none --disk none --no-root "$P" -- sh -c 'ls /sys/class/net | grep -c .; df -T / | grep -c overlay; touch /tmp/x && echo written'
like "$OUT" "written" "without network, disk and root"
is "$(record "$(newest_id)" template)" "$K" "from the same template"
up --disk none "$P" -- sh -c 'grep " /scratch " /proc/mounts; mount | grep -c ext4'
is "$OUT" 0 "--disk none: the template's disk is not there"

# (Without randomness or a clock of its own a machine does not go on: tests/unit/test-meta-agent.c.)

# Parallel, and one after the other: all right, all different, and the template is as it was.
times=1 runs=5
[ "$(id -u)" != 0 ] || times=3 runs=20
bad=0
for ((i = 0; i < runs; i++)); do
  up "$P" -- sh -c 'sha256sum </usr/bin/env; head -c 32 /dev/urandom | od -An -tx1 | tr -d "\n"; echo'
  [ "$STATUS|$(head -n 1 <<<"$OUT")|$ERR" = "0|$(sha256sum </usr/bin/env)|" ] || bad=$((bad + 1))
  tail -n 1 <<<"$OUT" >>"$T/random"
done
is "$bad" 0 "$runs one after the other"
is "$(sort -u "$T/random" | wc -l)" "$runs" "with randomness of their own"
for ((n = 0; n < times; n++)); do
  for i in 1 2 3 4 5 6 7 8; do
    # shellcheck disable=SC2086 # words
    VMCTL_RESUMEMS=$((200000 * SLOW)) timeout $((240 * SLOW)) "$VMCTL" up -q --new $small --boot-timeout $((200 * SLOW)) --name "p$i" "$P" -- sh -c "sha256sum </usr/bin/env; head -c 32 /dev/urandom | od -An -tx1" \
      >"$T/par.$i" 2>"$T/par.err.$i" &
    pids[i]=$!
  done
  bad=0
  for i in 1 2 3 4 5 6 7 8; do wait "${pids[i]}" || bad=$((bad + 1)); done
  is "$bad" 0 "eight at once"
  is "$(cat "$T"/par.err.*)" "" "and none of them had to boot"
  is "$(for i in 1 2 3 4 5 6 7 8; do head -n 1 "$T/par.$i"; done | sort -u)" "$(sha256sum </usr/bin/env)" "all read the same file"
  is "$(for i in 1 2 3 4 5 6 7 8; do tail -n +2 "$T/par.$i" | tr -d '\n'; echo; done | sort -u | wc -l)" 8 "all have randomness of their own"
done
is "$(cd "$templates/$K" && sha256sum ram state disk)" "$sums" "the template is what it was"

# QEMU cannot write to it, nor open it so.
start held $small --new "$P" -- sleep 1000
vmm=$(pid_of "$ID" vmm)
fd=$(find "/proc/$vmm/fd" -lname '*/img/ram' -o -lname '*/ram' 2>/dev/null | head -n 1)
check "QEMU has it open" test -n "$fd"
is "$(grep -h ^flags: "/proc/$vmm/fdinfo/${fd##*/}" | grep -oE '.$')" 0 "for reading only"
like "$(grep ' /img/ram ' "/proc/$vmm/mountinfo")" " ro," "and what its jail shows is read-only"

# What a machine touches first is on a list that the first one has made, and the next ones get it ready.
check "there is a list of pages" test -s "$templates/$K/hot"
is "$(stat -c %a "$templates/$K/hot")" 600 "nobody else's"
end=$((512 * 256))
# In the middle of what no machine has touched.
far=$(python3 -c 'import struct, sys
pairs = list(struct.iter_unpack("=II", open(sys.argv[1], "rb").read()))
ends = [0] + [first + (count & 0x7fffffff) for first, count in pairs]
gap, start = max((after - end, end) for end, after in zip(ends, [p[0] for p in pairs] + [int(sys.argv[2])]))
print(start + gap // 2)' "$templates/$K/hot" "$end")
own_page () { python3 "$vm_here/pages.py" "$(pid_of "$ID" vmm)" "$templates/$K/ram" "$far"; }
is "$(own_page)" no "a page that is not on it is not copied"
run "$VMCTL" stop held
list () { python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack(f"={len(sys.argv) - 1}I", *map(int, sys.argv[1:])))' "$@"; }
list "$far" $((0x80000001)) >"$templates/$K/hot"
start held $small --new "$P" -- sleep 1000
is_own () { [ "$(own_page)" = yes ]; }
check "one that is on it is" until_true 30 is_own # beside QEMU's own start
run "$VMCTL" stop held
for bad in "$end $((0x80000001))" "$far 2147483647" "4294967295 4294967295" "0 $((0x80000000 + end))" "1"; do
  # shellcheck disable=SC2086 # words
  list $bad >"$templates/$K/hot"
  up "$P" -- sh -c 'exit 7'
  is "$STATUS|$ERR" "7|" "a list that is wrong does no harm: $bad"
done
head -c 100000 /dev/urandom >"$templates/$K/hot"
start held $small --new "$P" -- sleep 1000

# Removed while one runs: that one goes on, and the next boots.
run "$VMCTL" template rm "$K"
is "$STATUS" 0 "removed while a machine runs"
run "$VMCTL" exec held -- sh -c 'sha256sum </usr/bin/env; dd if=/dev/zero of=/tmp/x bs=1M count=50 2>/dev/null && echo done'
is "$STATUS|$OUT" "0|$(sha256sum </usr/bin/env)
done" "the machine goes on"
run "$VMCTL" stop held
is "$STATUS" 0 "and ends"

# What may have become of it. Each is seen, told in one line, and ends in a boot; a broken one goes.
printf '[templates]\nmake=false\n' >"$T/config/vmctl/config"
build () { # shellcheck disable=SC2086 # words
  run "$VMCTL" template build -q $small "$P"
}
spoil () { # WHAT PATTERN
  up "$P" -- sh -c 'exit 7'
  is "$STATUS" 7 "$1: it boots"
  like "$ERR" "$2" "$1: and says why"
  is "$(grep -c "boots instead" <<<"$ERR")" 1 "$1: in one line"
  is "$(key)" "" "$1: the template is gone"
}
build
K=$(key)
isnt "$K" "" "made by hand"
cp --sparse=always "$templates/$K/ram" "$T/ram.copy"
dd if=/dev/zero of="$templates/$K/ram" bs=4096 count=1 conv=notrunc 2>/dev/null
spoil "a page overwritten" "was changed since it was made"
build
cp -a "$templates/$(key)" "$T/moved"
rm -r "$templates/$(key)"
mv "$T/moved" "$templates/$K"
spoil "copied from elsewhere" "was changed since it was made"
build
truncate -s 1M "$templates/$(key)/ram"
spoil "cut off" "was changed since it was made"
build
rm "$templates/$(key)/state"
mkfifo "$templates/$(key)/state"
spoil "a FIFO" "not a regular file"
build
mv "$templates/$(key)/disk" "$T/disk"
ln -s "$T/disk" "$templates/$(key)/disk"
spoil "a link" "cannot be opened"
if [ "$(id -u)" = 0 ]; then
  build
  chown nobody "$templates/$(key)/state"
  spoil "another user's" "not this user's alone"
fi

# Another QEMU, such as an upgraded one: another template, and no word about this one.
build
mkdir "$T/bin"
cp "$(command -v qemu-system-x86_64)" "$T/bin/"
printf x >>"$T/bin/qemu-system-x86_64"
# shellcheck disable=SC2086 # words
run env PATH="$T/bin:$PATH" "$VMCTL" plan --driver qemu $small --json "$P"
is "$STATUS|$(python3 -c 'import json, sys; p = json.loads(sys.argv[1])["plan"]; print(p.get("has-template"))' "$OUT")" "0|None" \
  "with another QEMU there is none"
run "$VMCTL" template rm --all

# Damage that does not show: identities put right, as if it had been made so.
forge () { # FILE: info.json says what is there now
  python3 - "$templates/$(key)" <<'END'
import json, os, sys
path = sys.argv[1]
info = json.load(open(path + "/info.json"))
for name in info["files"]:
    st = os.stat(path + "/" + name)
    info["files"][name] = {"inode": st.st_ino, "size": st.st_size, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}
json.dump(info, open(path + "/info.json", "w"))
END
}
build
truncate -s 100K "$templates/$(key)/state"
forge
spoil "a state that ends in the middle" "boots instead"
build
python3 -c 'import os, sys; os.truncate(sys.argv[1], 0); os.truncate(sys.argv[1], 512 << 20)' "$templates/$(key)/ram"
forge
VMCTL_RESUMEMS=3000 up "$P" -- sh -c 'exit 7' # it is silent for so long
is "$STATUS" 7 "memory that is all zeros: it boots"
like "$ERR" "boots instead" "memory that is all zeros: and says so"
run "$VMCTL" template rm --all

# A machine that is silent: told, booted, kept; the second time in a row it goes.
build
K=$(key)
named () { id=$("$VMCTL" list --json | python3 -c 'import json, sys; print(*[r["id"] for r in json.load(sys.stdin) if r["name"] == "silent"])') && [ -n "$id" ]; }
held () { grep -q '^State:[[:space:]]*T' "/proc/$(pid_of "$id" supervisor)/status"; }
has_vmm () { vmm=$(pid_of "$id" vmm) && [ -n "$vmm" ]; }
silent () {
  local stopped
  # shellcheck disable=SC2086 # words
  VMCTL_FAILPOINT=hold:boot VMCTL_RESUMEMS=2000 "$VMCTL" up -q $small --name silent "$P" -- sh -c 'exit 7' >"$T/out" 2>"$T/err" &
  stopped=$!
  until_true 60 named && until_true 60 held && until_true 60 has_vmm || no "it is not held"
  kill -STOP "$vmm"
  kill -CONT "$(pid_of "$id" supervisor)"
  wait $stopped
  STATUS=$? ERR=$(cat "$T/err")
}
silent
is "$STATUS" 7 "a silent machine: another one boots"
like "$ERR" "does not answer" "a silent machine: and says why"
is "$(key)" "$K" "a silent machine: its template stays"
up "$P" -- true
is "$STATUS|$(record "$(newest_id)" template)" "0|$K" "a silent machine: and is taken again"
silent
is "$STATUS|$(key)" "7|$K" "silent again, but not in a row: it stays"
silent
is "$STATUS|$(key)" "7|" "silent twice in a row: it goes"

# QEMU killed while it goes on is not the template's fault, and no boot hides it.
build
K=$(key)
start killed $small "$P" -- sleep 1000
kill -9 "$(pid_of "$ID" vmm)"
until_true 20 test -e "$XDG_STATE_HOME/vmctl/sandboxes/$ID/record.json"
until_true 20 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
is "$(record "$ID" reason.kind)|$(key)" "vmm-signal|$K" "a QEMU that was killed is no reason to doubt the template"

# bench: every way of starting, or why not.
mkdir "$T/tmp"
run env TMPDIR="$T/tmp" "$VMCTL" bench -q --runs 1 --json
is "$STATUS|$(python3 -c '
import json, sys
rows = json.loads(sys.argv[1])
print(len(rows), all(row.get("problem") or row["runs"] == 1 and row["median-us"] > 0 for row in rows),
      all(row["floor-median-us"] > 0 for row in rows if "floor-median-us" in row),
      all(stage in rows[1]["stages-us"] for stage in ("plan", "supervisor", "jail", "QEMU", "resume", "fix-up", "command")))' "$OUT")" \
  "0|4 True True True" "bench measures every way of starting, and its stages"
is "$(ls -A "$T/tmp")" "" "and leaves no directory"
run "$VMCTL" template rm --all

# Makers: one at a time; a killed one leaves nothing that lasts; no room is told.
run "$VMCTL" template rm --all
# shellcheck disable=SC2086 # words
"$VMCTL" template build -q $small "$P" >"$T/first" 2>&1 &
first=$!
"$VMCTL" template build -q $small "$P" >"$T/second" 2>&1 &
second=$!
wait $first
a=$?
wait $second
is "$a$?|$(sort -u "$T/first" "$T/second")|$(ls "$templates" | wc -l)" "00|$(key)|1" "two makers: one makes it, both have it"
run "$VMCTL" template rm --all
part () { ls -d "$templates"/.part-*/"$1" >/dev/null 2>&1; }
grown () { [ -s "$(ls -d "$templates"/.part-*/state 2>/dev/null)" ]; }
# A maker that was killed at that moment. One that had made it by then was too quick for us: another one.
# What the one before has left is no sign of this one.
killed_at () { # COMMAND...
  local try maker
  come () { "$@" || ! kill -0 $maker 2>/dev/null; }
  for try in 1 2 3 4 5; do
    rm -rf "$templates"/.part-*
    # shellcheck disable=SC2086 # words
    "$VMCTL" template build -q $small "$P" >/dev/null 2>&1 &
    maker=$!
    until_true 300 come "$@"
    kill -9 $maker 2>/dev/null
    wait $maker 2>/dev/null
    [ $? != 137 ] || return 0
    "$VMCTL" template rm --all
  done
  return 1
}
for moment in "part ." "part ram" "part disk" "part agent" grown; do
  # shellcheck disable=SC2086 # words
  killed_at $moment || no "a maker killed at '$moment'"
  nothing_left "a maker killed at '$moment': its QEMU is gone"
  is "$(key)" "" "a maker killed at '$moment': there is no template"
done
if [ "$(id -u)" = 0 ] && unshare -m true; then
  # shellcheck disable=SC2086 # words
  run unshare -m sh -c 'mount -t tmpfs -o size=64M,mode=0700 none "$1" && shift && exec "$@"' sh "$templates" "$VMCTL" template build -q $small "$P"
  is "$STATUS" 1 "no room for a template"
  like "$ERR" "no room for a template" "it is told"
fi
build
is "$STATUS|$(ls -A "$templates")" "0|$(key)" "a maker killed: the next one takes away what it left"
finish
