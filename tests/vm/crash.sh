#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each of a sandbox's processes is killed: what ends, what goes on, what the next vmctl makes of it, and that nothing
# is left. Also run with the null driver (tests/cli/crash-kill.sh).
#
# The commands are often `cat`, which ends with the agent that holds its input: the null driver cannot end what the
# agent leaves behind.
. "${0%/*}/lib.sh"

echo "not to be touched" >"$P/file"
ln -s file "$P/link"
sum_of () { (cd "$P" && find . -not -name 'inside*' -printf '%p %m %u %l %s\n' | sort && cat file) | sha256sum; }
sum=$(sum_of)
list () { run "$VMCTL" list --json; }
listed () { # FIELD of the running sandboxes
  python3 -c 'import json, sys; print (*[r[sys.argv[2]] for r in json.load (open (sys.argv[1]))])' "$T/out" "$1"
}
kind () { record "$1" reason.kind; }

# The client of a foreground sandbox: the sandbox ends by itself.
mkfifo "$T/fifo" "$T/hold"
exec 9<>"$T/hold" # an input without an end
"$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- sh -c 'echo up; exec sleep 1000' >"$T/fifo" 2>/dev/null &
client=$!
read -r line <"$T/fifo"
id=$(ls "$XDG_RUNTIME_DIR/vmctl")
kill -9 $client
wait $client 2>/dev/null
nothing_left "client killed: the sandbox ends without anybody's help"
is "$(kind "$id")" client-gone "and the reason is recorded"

# The same while it starts: held, for it may be up sooner than anybody can look.
there () { id=$(ls "$XDG_RUNTIME_DIR/vmctl") && [ -n "$id" ]; }
held () { grep -q '^State:[[:space:]]*T' "/proc/$(pid_of "$1" supervisor)/status"; }
VMCTL_FAILPOINT=hold:boot "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- sleep 1000 2>/dev/null &
client=$!
until_true 60 there && until_true 60 held "$id" || no "it is not held while it boots"
kill -9 $client
wait $client 2>/dev/null
kill -CONT "$(pid_of "$id" supervisor)"
nothing_left "client killed while the guest boots"
is "$(kind "$id")" client-gone "for that reason"

# The client of a detached one: nobody minds.
start one "$P" -- sh -c 'echo first words; while [ ! -e inside-go ]; do sleep 0.1; done; echo last words; touch inside-done; exit 23'
is "$(kind "$ID")" none "a detached sandbox runs"
# (What is on its way when the supervisor is killed goes with it.)
check "its words are in the log" until_true 20 grep -q "first words" "$XDG_STATE_HOME/vmctl/sandboxes/$ID/output.log"

# The supervisor: the sandbox goes on, the next vmctl gives it a new one.
keeper=$(pid_of "$ID" keeper)
vmm=$(pid_of "$ID" vmm)
supervisor=$(pid_of "$ID" supervisor)
kill -9 "$supervisor"
until_true 10 dead "$supervisor"
check_not "supervisor killed: the sandbox goes on" dead "$vmm"
list
is "$STATUS|$(listed id)|$(listed state)" "0|$ID|running" "the next list shows it running"
isnt "$(pid_of "$ID" supervisor)" "$supervisor" "with a new supervisor"
is "$(pid_of "$ID" keeper)|$(pid_of "$ID" vmm)" "$keeper|$vmm" "and the same processes"
run "$VMCTL" exec one -- sh -c 'echo works; exit 4'
is "$STATUS|$OUT" "4|works" "exec works in it"
head -c 3000000 /dev/urandom >"$T/bytes"
is "$("$VMCTL" exec one -- cat <"$T/bytes" | sha256sum)" "$(sha256sum <"$T/bytes")" "and streams are exact"
many=()
kill -9 "$(pid_of "$ID" supervisor)"
for i in 1 2 3 4 5 6; do
  "$VMCTL" exec -T one -- sh -c "exit $i" >>"$T/many" 2>&1 &
  many+=($!)
done
statuses=
for i in "${many[@]}"; do
  wait "$i"
  statuses+="$? "
done
is "$statuses$(cat "$T/many")" "1 2 3 4 5 6 " "when many come at once, one makes a new supervisor and the others wait for it"
if [ "$VM_DRIVER" = qemu ]; then
  run "$VMCTL" qmp one query-status
  like "$OUT" running "QEMU's monitor answers"
  control "$ID" do query-log '{"log": "console"}' >"$T/log"
  check "the console's log can be read" test -s "$T/log"
  check "and the console works" drive "$VMCTL" console one <<'EOS'
expect serial console of
mode raw
send \r
expect [$#] $
send echo "con""sole"; exit\r
expect ^console
expect press Enter
send \x1dd
status 0
EOS
fi

"$VMCTL" attach one <&9 >"$T/out1" 2>"$T/err1" &
client=$!
until_true 20 grep -q words "$T/out1"
touch "$P/inside-go"
wait $client
is "$?|$(cat "$T/out1")" "23|first words
last words" "attach: what it had written before, its last words, its exit status"
nothing_left "and then nothing is left"
is "$(kind "$ID")|$(record "$ID" reason.status)" "exited|23" "the record has the same"
rm -f "$P"/inside*

# The main command ends while there is no supervisor.
start alone "$P" -- sh -c 'while [ ! -e inside-go ]; do sleep 0.1; done; echo last words; touch inside-done; exit 24'
supervisor=$(pid_of "$ID" supervisor)
kill -9 "$supervisor"
until_true 10 dead "$supervisor"
touch "$P/inside-go"
until_true 30 test -e "$P/inside-done"
list
nothing_left "the main command ended while there was no supervisor: the next vmctl ends the sandbox"
is "$(kind "$ID")|$(record "$ID" reason.status)" "exited|24" "its exit status is recorded"
run "$VMCTL" logs --output "$ID"
like "$OUT" "last words" "and its last words are in the log"
rm -f "$P"/inside*

# The supervisor dies under an attached client.
start two "$P" -- sh -c 'echo up; exec cat'
"$VMCTL" attach two <&9 >"$T/out2" 2>"$T/err2" &
client=$!
until_true 20 grep -q up "$T/out2"
kill -9 "$(pid_of "$ID" supervisor)"
wait $client
is $? 125 "a client that loses its supervisor says so"
like "$(cat "$T/err2")" "vmctl attach $ID" "and how to come back"
list
is "$(listed id)" "$ID" "it runs"

# While it stops.
# (A command that takes no notice of being asked.)
"$VMCTL" exec two -- sh -c 'trap "" TERM HUP; echo deaf; read -r x' <&9 >"$T/deaf" 2>/dev/null &
until_true 20 test -s "$T/deaf"
"$VMCTL" stop --time 20 two >/dev/null 2>&1 &
stopper=$!
control "$ID" wait stopping
kill -9 "$(pid_of "$ID" supervisor)"
wait $stopper
list
nothing_left "supervisor killed while it stops: the next vmctl goes on with that"
is "$(kind "$ID")" stopped "and the reason stays"
exec 9>&-

# It ends while it is taken over, and its keeper has not said so yet. (Of bubblewrap's nothing is asked then.)
driver=$VM_DRIVER VM_DRIVER=bwrap
start ending --net none "$P" -- sleep 1000
keeper=$(pid_of "$ID" keeper) supervisor=$(pid_of "$ID" supervisor) inner=$(pid_of "$ID" inner)
VM_DRIVER=$driver
kill -STOP "$keeper"
kill -9 "$supervisor" "$inner"
until_true 10 dead "$supervisor"
until_true 10 dead "$inner"
list
kill -CONT "$keeper"
is "$STATUS|$ERR" "0|" "a sandbox that is ending is taken over"
nothing_left "and ended"

# Or it ends just before: what was to take it over cannot, and whoever asked for that buries it.
start ended --net none "$P" -- cat
keeper=$(pid_of "$ID" keeper) supervisor=$(pid_of "$ID" supervisor)
kill -9 "$supervisor"
until_true 10 dead "$supervisor"
VMCTL_FAILPOINT=hold:control "$VMCTL" list --json >"$T/out" 2>"$T/err" &
adopter () { pgrep -f "supervise --adopt $ID"; }
adopter_held () { grep -q "^State:[[:space:]]*T" "/proc/$(adopter)/status"; }
check "it waits" until_true 20 adopter_held
kill -9 "$keeper"
until_true 10 dead "$keeper"
kill -CONT "$(adopter)"
wait $!
is "$?|$(cat "$T/err")|$(listed id)" "0||" "a sandbox that ended while it was taken over is buried"
check_not "at once" test -e "$XDG_RUNTIME_DIR/vmctl/$ID"

# A take-over that fails harms nothing: what is in its way can be mended.
start later "$P" -- cat
vmm=$(pid_of "$ID" vmm)
supervisor=$(pid_of "$ID" supervisor)
chmod 0777 "$XDG_STATE_HOME/vmctl"
kill -9 "$supervisor"
until_true 10 dead "$supervisor"
list
is "$STATUS|$(listed id)" "0|$ID" "a take-over fails for the state directory's mode: the sandbox is still listed"
like "$ERR" "$XDG_STATE_HOME/vmctl" "and what is in the way is named"
check_not "its processes live" dead "$vmm"
check "its runtime directory is whole" test -S "$XDG_RUNTIME_DIR/vmctl/$ID/agent.sock" -a \
  -e "$XDG_RUNTIME_DIR/vmctl/$ID/record.json" -a -d "$XDG_RUNTIME_DIR/vmctl/$ID/meta"
chmod 0700 "$XDG_STATE_HOME/vmctl"
# Also one that fails with the log open: no control socket can be made where a directory is.
rm "$XDG_RUNTIME_DIR/vmctl/$ID/control.sock"
mkdir "$XDG_RUNTIME_DIR/vmctl/$ID/control.sock"
list
is "$STATUS|$(listed id)" "0|$ID" "a take-over fails for the control socket: the sandbox is still listed"
check_not "and lives" dead "$vmm"
rmdir "$XDG_RUNTIME_DIR/vmctl/$ID/control.sock"
list
is "$STATUS|$(listed id)|$(listed state)|$ERR" "0|$ID|running|" "with that mended the next vmctl takes it over"
is "$(pid_of "$ID" vmm)" "$vmm" "with the same processes"
run "$VMCTL" exec later -- sh -c 'echo works; exit 4'
is "$STATUS|$OUT" "4|works" "and exec works in it"
run "$VMCTL" stop later
is "$STATUS" 0 "and it can be stopped"

# QEMU pauses and goes on while nobody supervises it: whoever takes over asks.
if [ "$VM_DRIVER" = qemu ]; then
  start asleep "$P" -- cat
  for word in stop cont; do
    supervisor=$(pid_of "$ID" supervisor)
    kill -9 "$supervisor"
    until_true 10 dead "$supervisor"
    python3 "$vm_here/control.py" "$XDG_RUNTIME_DIR/vmctl/$ID/qmp.sock" do "$word" >/dev/null
    list
    [ "$word" = stop ] && state=paused || state=running
    check "QMP's $word while there is no supervisor: the next one knows it is $state" \
      python3 "$vm_here/control.py" "$XDG_RUNTIME_DIR/vmctl/$ID/control.sock" wait $state
  done
  run "$VMCTL" exec asleep -- sh -c 'echo works; exit 4'
  is "$STATUS|$OUT" "4|works" "and exec works"
  "$VMCTL" stop asleep >/dev/null 2>&1
fi

# Supervisor and keeper together.
start three "$P" -- cat
vmm=$(pid_of "$ID" vmm)
kill -9 "$(pid_of "$ID" supervisor)" "$(pid_of "$ID" keeper)"
until_true 10 dead "$vmm"
check "supervisor and keeper killed: the sandbox is gone" dead "$vmm"
list
is "$STATUS|$(listed id)" "0|" "the next list shows nothing"
nothing_left "and nothing is left"
is "$(kind "$ID")" supervisor-lost "the reason is recorded"
run "$VMCTL" status "$ID"
like "$OUT$ERR" "killed" "and status tells it"

# One of the others.
for who in keeper bwrap inner vmm; do
  [ "$VM_DRIVER" = null ] && [ "$who" != keeper ] && [ "$who" != vmm ] && continue
  start "kill-$who" "$P" -- cat
  kill -9 "$(pid_of "$ID" "$who")"
  nothing_left "$who killed: everything ends"
  is "$(kind "$ID")" vmm-signal "$who killed: the reason"
  is "$(record "$ID" reason.signal)" 9 "$who killed: the signal"
done

# A pid that now belongs to somebody else.
start reused "$P" -- cat
kill -9 "$(pid_of "$ID" supervisor)" "$(pid_of "$ID" keeper)"
until_true 10 dead "$(pid_of "$ID" keeper)"
sleep 1000 &
innocent=$!
python3 - "$XDG_RUNTIME_DIR/vmctl/$ID/record.json" $innocent <<'EOS'
import json, sys
record = json.load (open (sys.argv[1]))
record["keeper"]["pid"] = record["supervisor"]["pid"] = int (sys.argv[2])
json.dump (record, open (sys.argv[1], "w"))
EOS
list
is "$STATUS|$(listed id)" "0|" "a record whose pid was taken by another process is swept"
check_not "and that process lives" dead $innocent
kill $innocent
wait $innocent 2>/dev/null

# A broken record is not touched, and said.
start broken "$P" -- cat
supervisor=$(pid_of "$ID" supervisor) keeper=$(pid_of "$ID" keeper)
cp "$XDG_RUNTIME_DIR/vmctl/$ID/record.json" "$T/saved"
kill -9 "$supervisor"
until_true 10 dead "$supervisor"
echo '{' >"$XDG_RUNTIME_DIR/vmctl/$ID/record.json"
run "$VMCTL" list
like "$OUT$ERR" "$ID" "a broken record is named"
check "and its directory kept" test -d "$XDG_RUNTIME_DIR/vmctl/$ID"
cp "$T/saved" "$XDG_RUNTIME_DIR/vmctl/$ID/record.json"
run "$VMCTL" stop broken
is "$STATUS" 0 "mended, it can be stopped"

is "$(sum_of)" "$sum" "the project is as it was"
finish
