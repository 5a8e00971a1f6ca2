#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every way a machine can end has its own reason in `status --json`, and up says it.
. "${0%/*}/lib.sh"

reason () { # ID
  run "$VMCTL" status --json "$1"
  printf '%s' "$OUT" >"$T/status.json"
  field "$T/status.json" reason.kind
}

ends () { # REASON DESCRIPTION: the newest sandbox
  is "$(reason "$(newest_id)")" "$1" "$2: $1"
}

# By itself, from inside.
run_up "$P" -- sh -c 'sudo sh -c "echo c >/proc/sysrq-trigger"; sleep 1000'
is "$STATUS" 125 "a kernel panic is vmctl's 125"
like "$ERR" "panic" "and named on stderr"
ends guest-panic "a guest kernel panic"
run_up "$P" -- sh -c 'sudo sh -c "echo o >/proc/sysrq-trigger"; sleep 1000'
is "$STATUS" 125 "a guest that powers off is 125"
ends guest-shutdown "a guest that powers off by itself"
run_up "$P" -- sh -c 'sudo sh -c "echo b >/proc/sysrq-trigger"; sleep 1000'
ends guest-reset "a guest that reboots"
run_up "$P" -- sh -c 'exit 3'
ends exited "the command's own end"
is "$(field "$T/status.json" reason.status)" 3 "with its status"

# From outside.
killed () { # SIGNAL NUMBER
  start killed "$P" -- sleep infinity
  kill "-$1" "$(pid_of "$ID" qemu)"
  until_true 30 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
  is "$(reason "$ID")" vmm-signal "QEMU killed by SIG$1: vmm-signal"
  is "$(field "$T/status.json" reason.signal)" "$2" "with the signal's number"
}
killed KILL 9
killed SEGV 11
killed SYS 31
run "$VMCTL" status "$ID"
like "$OUT" "seccomp" "SIGSYS is explained"

start stopped "$P" -- sleep infinity
run "$VMCTL" stop stopped
is "$(reason "$ID")" stopped "vmctl stop: stopped"

# The client vanishes.
"$VMCTL" up -q --driver "$VM_DRIVER" --name gone "$P" -- sh -c 'echo up; exec sleep infinity' >"$T/up" 2>/dev/null &
client=$!
until_true 60 test -s "$T/up"
kill -9 $client
wait $client 2>/dev/null
until_true 30 eval '[ -z "$(ls "$XDG_RUNTIME_DIR/vmctl")" ]'
ends client-gone "the foreground client was killed"

# The agent never answers: a QEMU that is stopped before it can boot. From a template it might be done by then.
# Most boots take longer than this second, too.
ID=$(vm_up -d -T --cold --boot-timeout 1 "$P" -- true)
has_machine () { vmm=$(pid_of "$ID" qemu) && [ -n "$vmm" ] || [ ! -e "$XDG_RUNTIME_DIR/vmctl/$ID" ]; }
until_true 20 has_machine
[ -z "$vmm" ] || kill -STOP "$vmm"
until_true 60 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
is "$(reason "$ID")" agent-timeout "a guest that never answers: agent-timeout"
like "$(field "$T/status.json" reason.text)" "vmctl logs --console" "and where to look"

# The state directory's disk is full: at the start, and while the guest's scratch disk grows on it.
if [ "$(id -u)" = 0 ]; then
  mkdir -m 0700 "$T/small"
  small () { # SIZE COMMAND...: in a mount namespace of its own, so that nothing has to be unmounted
    local size=$1
    shift
    XDG_STATE_HOME=$T/small run unshare -m sh -c 'mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && shift 2 && exec "$@"' - \
      "$size" "$T/small" "$@"
  }
  small 256k sh -c 'head -c 1M /dev/zero >"$XDG_STATE_HOME/fill" 2>/dev/null; exec "$@"' - \
    "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- true
  is "$STATUS" 125 "no space for the state: an error"
  like "$ERR" "No space left" "that says so"
  # One fills the disk; another sees the warning, makes room and lets the machine go on.
  cat >"$T/full" <<'EOS'
head -c 20M /dev/zero >"$XDG_STATE_HOME/fill"
"$VMCTL" up -q --name full "$1" -- sh -c 'head -c 40M /dev/urandom >/big && sync && echo written' >"$T/full.out" 2>"$T/full.err" &
for i in $(seq 1200); do
  grep -q 'is paused' "$T/full.err" && break
  sleep 0.1
done
"$VMCTL" status full
rm "$XDG_STATE_HOME/fill"
mount -o remount,size=200m "$XDG_STATE_HOME"
"$VMCTL" resume full
wait $!
EOS
  small 30m bash "$T/full" "$P"
  is "$STATUS" 0 "a scratch disk that cannot grow pauses the sandbox; with space made it goes on to its end"
  like "$(cat "$T/full.err")" "is full, and the sandbox is paused" "the client is told"
  like "$OUT" "is full, and the sandbox is paused" "and so is status"
  like "$OUT" "is full; free some space there, then: vmctl resume" "whose state says why"
  is "$(cat "$T/full.out")" written "and nothing was lost"
fi
finish
