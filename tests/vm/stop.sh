#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A sandbox is stopped at each moment of its life: it ends, in time, and nothing is left.
. "${0%/*}/lib.sh"
exec 9>&1

stop () {
  local before=$SECONDS
  run "$VMCTL" stop "$@"
  TOOK=$((SECONDS - before)) LEFT=$(ls -A "$XDG_RUNTIME_DIR/vmctl")
}
gone () { # DESCRIPTION: its directory goes before stop returns; its supervisor may be there for a moment longer
  is "$LEFT" "" "$1: nothing is left when it returns"
  nothing_left "$1: nor of its processes"
}
kind () { record "$ID" reason.kind; }
# A command that has set its traps says so by a file.
started () {
  until_true 60 test -e "$P/ready" || note "the command does not start"
  rm -f "$P/ready"
}

# At once, before the guest has booted.
ID=$(vm_up -d -T "$P" -- sleep 1000)
stop "$ID"
is "$STATUS" 0 "right after up -d: stop works"
gone "right after up -d"
is "$(kind)" stopped "right after up -d: the reason"

# While the guest boots, and its client waits for it. Its machine stands still until stop has been heard, or it might be
# up by then; from a template that takes no time.
there () { ID=$(ls "$XDG_RUNTIME_DIR/vmctl") && [ -n "$ID" ]; }
held () { grep -q '^State:[[:space:]]*T' "/proc/$(pid_of "$ID" supervisor)/status"; }
has_machine () { vmm=$(pid_of "$ID" vmm) && [ -n "$vmm" ]; }
VMCTL_FAILPOINT=hold:boot "$VMCTL" up -q --driver "$VM_DRIVER" --name boots "$P" -- sleep 1000 2>"$T/err" &
client=$!
until_true 60 there && until_true 60 held && until_true 60 has_machine || no "during boot: it is not held"
kill -STOP "$vmm"
kill -CONT "$(pid_of "$ID" supervisor)"
(control "$ID" wait stopping; kill -CONT "$vmm") &
stop boots
is "$STATUS" 0 "during boot: stop works"
wait $client
is $? 125 "during boot: the client says that vmctl ended it"
gone "during boot"

# Running. (Here and below: a guest may be slow, and that is not what is asked about.)
start runs "$P" -- sh -c 'trap "echo asked >asked; exit 0" TERM; touch ready; while :; do sleep 0.1; done'
started
stop --time 100 runs
is "$STATUS" 0 "running: stop works"
gone "running"
is "$(cat "$P/asked")" asked "running: the command was asked with SIGTERM"
is "$(kind)" stopped "running: the reason"
like "$OUT" "has ended" "running: and stop says so"

# Ended already: by its id.
stop "$ID"
is "$STATUS" 0 "ended: no error"
like "$OUT" "ended already" "ended: and that is said"
stop no-such-sandbox
is "$STATUS" 1 "there is no such sandbox: an error"

# The deadlines, on a guest that takes no notice: asked, then told, and printed when it takes long.
start deaf "$P" -- sh -c 'trap "" TERM; touch ready; while :; do sleep 1000; done'
started
stop --time 6 deaf
is "$STATUS" 0 "a deaf command: stop works"
like "$ERR" "powerdown (at most 6 s)" "a deaf command: the deadline is printed"
check "a deaf command: in time (took $TOOK s)" test "$TOOK" -le $((40 * SLOW))
gone "a deaf command"

# A guest that hangs: nobody inside answers any more.
start hangs "$P" -- sleep 1000
kill -STOP "$(pid_of "$ID" vmm)"
stop --time 1 hangs
is "$STATUS" 0 "a QEMU that hangs: stop works"
like "$ERR" "quit (at most 5 s)" "a QEMU that hangs: it is told to quit"
like "$ERR" "kill" "a QEMU that hangs: and killed"
gone "a QEMU that hangs"
is "$(kind)" stopped "a QEMU that hangs: the reason"

# --force does not ask.
start forced "$P" -- sh -c 'trap "" TERM; touch ready; while :; do sleep 1000; done'
started
stop --force forced
is "$STATUS" 0 "--force: stop works"
unlike "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$ID/supervisor.log")" "stop: powerdown" "--force: at once"
gone "--force"

# Two at once; the stronger one overtakes.
start twice "$P" -- sh -c 'trap "" TERM; touch ready; while :; do sleep 1000; done'
started
"$VMCTL" stop --time 600 twice >"$T/o1" 2>&1 &
first=$!
control "$ID" wait stopping
stop --force twice
is "$STATUS" 0 "while it stops: --force overtakes"
check "while it stops: at once (took $TOOK s)" test "$TOOK" -le $((60 * SLOW))
wait $first
is $? 0 "while it stops: the first stop ends too"
gone "while it stops"

# By other ways: the project's path, all, QMP, a signal to the supervisor.
start bypath "$P" -- sleep 1000
(cd "$P" && "$VMCTL" stop >/dev/null 2>&1)
is $? 0 "stop without a name: the sandbox of this directory"
nothing_left "stop without a name: nothing is left"
mkdir "$T/p2"
start all-1 "$P" -- sleep 1000
start all-2 "$T/p2" -- sleep 1000
stop --all
is "$STATUS" 0 "stop --all"
gone "stop --all"
start quit "$P" -- sleep 1000
"$VMCTL" qmp quit quit >/dev/null
nothing_left "the QMP command quit: nothing is left"
is "$(kind)" stopped "the QMP command quit: the reason"
start signal "$P" -- sleep 1000
kill -TERM "$(pid_of "$ID" supervisor)"
nothing_left "SIGTERM to the supervisor: nothing is left"
is "$(kind)" stopped "SIGTERM to the supervisor: the reason"
start keeper "$P" -- sleep 1000
kill -TERM "$(pid_of "$ID" keeper)"
nothing_left "SIGTERM to the keeper: nothing is left"

# What was written before the end is on the host's disk.
start writes "$P" -- sh -c 'trap "python3 -c \"open (\\\"late\\\", \\\"wb\\\").write (b\\\"x\\\" * 3000000)\"; exit 0" TERM; touch ready; while :; do sleep 0.1; done'
started
stop --time 100 writes
is "$(wc -c <"$P/late")" 3000000 "what the command writes while it ends is on the host"
finish
