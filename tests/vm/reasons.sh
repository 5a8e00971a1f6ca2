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

# The agent never answers: a QEMU that is stopped before it can boot.
ID=$(vm_up -d -T --boot-timeout 3 "$P" -- true)
until_true 20 eval '[ -n "$(pid_of "$ID" qemu)" ]'
kill -STOP "$(pid_of "$ID" qemu)"
until_true 60 test ! -e "$XDG_RUNTIME_DIR/vmctl/$ID"
is "$(reason "$ID")" agent-timeout "a guest that never answers: agent-timeout"
like "$(field "$T/status.json" reason.text)" "vmctl logs --console" "and where to look"

# The state directory's disk is full.
if [ "$(id -u)" = 0 ]; then
  mkdir -m 0700 "$T/small"
  mount -t tmpfs -o size=256k,mode=700 tmpfs "$T/small"
  mkdir -m 0700 -p "$T/small/vmctl"
  head -c 1M /dev/zero >"$T/small/fill" 2>/dev/null
  XDG_STATE_HOME=$T/small run "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- true
  is "$STATUS" 125 "no space for the state: an error"
  like "$ERR" "No space left" "that says so"
  umount "$T/small"
fi
finish
