#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What only a real machine shows: a panic is told at once, and starts it again; its scratch disk is new after a restart;
# memory that the guest does not use any more comes back; a core is one.
. "${0%/*}/lib.sh"

follow () { # ID: its events on descriptor 3, with the time at which each was read in front
  mkfifo "$T/events"
  "$VMCTL" events --json "$1" >"$T/events" 2>&1 &
  exec 3<"$T/events"
  rm "$T/events"
}
event () { # PART: the next one that has it is LINE
  while read -r LINE <&3; do
    case $LINE in *"$1"*) return 0 ;; esac
  done
  no "an event with $1"
  return 1
}

# A panic, twice: the first one starts it again. /big is on the scratch disk.
cat >"$P/life" <<'EOS'
if [ -e /big ]; then echo old; else echo new; fi >>lives
sudo touch /big
echo here
while [ ! -e panic ]; do sleep 0.05; done
rm panic
sync
sudo sh -c 'echo c >/proc/sysrq-trigger'
sleep 1000
EOS
start panics --restart on-failure:1 "$P" -- sh life
follow "$ID"
event '"state":"running"'
began=$(date +%s%N)
touch "$P/panic"
event '"event":"SANDBOX_RESTART"'
took=$((($(date +%s%N) - began) / 1000000))
like "$LINE" "guest kernel panic" "a panic is a failure that starts it again"
check "it is told at once (after $took ms)" test "$took" -le $((10000 * SLOW))
event '"state":"running"'
is "$(record "$ID" restarts)" 1 "the record counts"
lived_twice () { [ "$(wc -l <"$P/lives")" = 2 ]; }
until_true 60 lived_twice
touch "$P/panic"
event '"event":"SANDBOX_ENDED"'
like "$LINE" guest-panic "the second one ends it"
is "$(tr '\n' ' ' <"$P/lives")" "new new " "its scratch disk was new"
exec 3<&-
until_true 30 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"

# Memory that is free inside is free outside.
cat >"$P/eat.py" <<'EOS'
import sys
x = bytearray(b"x") * (200 << 20)
print("eaten", flush=True)
sys.stdin.readline()
EOS
rss () { awk '/^RssAnon:/ { print int($2 / 1024) }' "/proc/$(pid_of "$ID" qemu)/status"; }
# From a template of that size, where templates are used: there it is another matter (vmctl/ram-preload.c).
[ "${VM_TEMPLATES:-}" != yes ] || "$VMCTL" template build -q --memory 600M "$P" >/dev/null
start eats --memory 600M "$P" -- sleep infinity
mkfifo "$T/in"
"$VMCTL" exec "$ID" -- python3 eat.py <"$T/in" >"$T/eaten" &
eater=$!
exec 4>"$T/in"
until_true 120 grep -q eaten "$T/eaten"
full=$(rss)
[ "${VM_TEMPLATES:-}" != yes ] || isnt "$(record "$ID" template)" "" "it went on from a template"
exec 4>&-
wait $eater
falls () { [ "$(rss)" -lt $((full - 120)) ]; }
check "what a program gave back comes back to the host" until_true 30 falls
note "RssAnon: $full MiB with it, $(rss) MiB after it"

# A core, over a file that is there only when told to.
run "$VMCTL" core -q "$ID" "$T/core"
is "$STATUS" 0 "core"
is "$(stat -c %a "$T/core")" 600 "only for its user"
if command -v file >/dev/null; then
  like "$(file -b "$T/core")" "[Kk]dump" "file knows it"
fi
echo mine >"$T/mine"
run "$VMCTL" core "$ID" "$T/mine"
is "$STATUS" 1 "no core over a file"
is "$(cat "$T/mine")" mine "which stays"
run "$VMCTL" core --force "$ID" "$T/mine"
is "$(head -c 12 "$T/mine")" makedumpfile "but with --force"
is "$(ls "$T" | grep -c '^mine')" 1 "and nothing else"
run "$VMCTL" core "$ID" /dev/full
is "$STATUS" 1 "a device that is there is refused"
run "$VMCTL" core "$ID" "$T/none/core"
is "$STATUS" 1 "and so is a directory that is not there"
"$VMCTL" core "$ID" "$T/part" >/dev/null 2>&1 &
core=$!
until_true 30 test -s "$T/part" && kill -INT $core
wait $core
check "an interrupted one is removed" test ! -e "$T/part"
is "$("$VMCTL" exec "$ID" -- echo goes on)" "goes on" "the machine goes on"
"$VMCTL" stop --force "$ID" >/dev/null
finish
