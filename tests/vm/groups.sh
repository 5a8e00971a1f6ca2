#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Control groups: what a sandbox may use is bounded, and told; it pauses; nothing of its group is left. VM_AS=root:
# whatever this user may make; sudo: what the keeper makes that stays root; user: a plain user, who mostly may make none; delegated: a plain user with v1 groups
# that root gave him.
exec 9>&1
if [ "${VM_AS:-root}" = delegated ]; then
  if [ "$(id -u)" != 0 ] || ! id vmctl-test >/dev/null 2>&1; then
    echo "1..0 # SKIP only root can delegate, to the user vmctl-test"
    exit 0
  fi
  made=()
  give () { # the v1 group that we are in, of one controller
    local path
    path=/sys/fs/cgroup/$1$(sed -n "s/^[0-9]*:$1://p" /proc/self/cgroup)
    [ -w "$path/cgroup.procs" ] && mkdir "$path/vmctl-given-$$" || return 1
    made+=("$path/vmctl-given-$$")
    chown -R vmctl-test "$path/vmctl-given-$$"
  }
  for controller in memory cpu pids freezer; do give "$controller" || missing=$controller; done
  if [ -z "${missing:-}" ]; then
    (
      for dir in "${made[@]}"; do echo 0 >"$dir/cgroup.procs" || exit 1; done
      VM_AS=user exec bash "$0"
    )
    status=$?
  else
    echo "1..0 # SKIP there is no v1 controller '$missing' that could be given away"
    status=0
  fi
  for dir in "${made[@]}"; do
    for _ in $(seq 1200); do rmdir "$dir" 2>/dev/null && break; sleep 0.05; done
    [ ! -e "$dir" ] || { echo "Bail out! '$dir' is not empty: a sandbox left something"; exit 1; }
  done
  exit "$status"
fi
VM_DRIVER=${VM_DRIVER:-bwrap}
[ "$VM_DRIVER" != qemu ] || VM_DRIVER=bwrap
. "${0%/*}/lib.sh"
export VM_DRIVER

pid () { record "$ID" "$1.pid"; }
state () { record "$ID" state; }
# The value of a file of the sandbox's group, under the name it has in v1 or in v2.
value () {
  local dir name
  for dir in $(record "$ID" groups | tr -d '[]",'); do
    for name in "$@"; do
      [ ! -e "$dir/$name" ] || cat "$dir/$name"
    done
  done
}
groups_left () {
  local file dir
  for file in "$XDG_STATE_HOME"/vmctl/sandboxes/*/record.json; do
    for dir in $(field "$file" groups | tr -d '[]",'); do [ ! -e "$dir" ] || echo "$dir"; done
  done
}

# What is root's under sudo can be removed by the next that is started with sudo only.
sweep () { [ "${VM_WHO:-}" != sudo ] || run_up --new "$P" -- true; }

run_up --name probe "$P" -- true
ID=$(newest_id)
if [ "$(record "$ID" groups)" = "[]" ]; then
  # Nobody keeps the limits here: that is said, and nothing else is claimed.
  run "$VMCTL" up -T --driver "$VM_DRIVER" "$P" -- true
  is "$STATUS" 0 "without a group: it works"
  like "$ERR" "warning: memory, CPU and process limits are not kept" "without a group: up says so"
  run_up "$P" -- true
  unlike "$ERR" "not kept" "with --quiet and no limit asked for: nothing is said"
  run_up --memory 300M "$P" -- true
  like "$ERR" "limits are not kept" "with a limit that was asked for: it is said all the same"
  start kept "$P" -- sleep 1000
  run "$VMCTL" status kept
  like "$OUT" "limits are not kept: no control group" "without a group: status says so"
  run "$VMCTL" pause kept
  is "$STATUS" 1 "without a freezer: pause refuses"
  like "$ERR" "no control group that could be frozen" "without a freezer: and says why"
  is "$(state)" running "without a freezer: it runs on"
  run "$VMCTL" stop kept
  is "$STATUS" 0 "without a group: stop"
  ! grep -q vmctl-given- /proc/self/cgroup || no "the groups that were given are used"
  finish
  exit
fi

# What was asked for is what the kernel was told.
start told --memory 300M --cpus 1 --processes 123 "$P" -- sleep 1000
is "$(value memory.limit_in_bytes memory.max)" $((300 << 20)) "--memory is in the group"
is "$(value cpu.cfs_quota_us cpu.max | cut -d' ' -f1)" 100000 "--cpus is in the group"
is "$(value pids.max)" 123 "--processes is in the group"
run "$VMCTL" status told
like "$OUT" "300 MiB memory, 1 CPU, 123 processes" "status tells them"
unlike "$OUT" "not kept" "status does not say that they are not kept"
check "the agent is in the group" test -n "$(value cgroup.procs)"
is "$(value cgroup.procs | grep -cx -e "$(pid supervisor)" -e "$(pid keeper)")" 0 "supervisor and keeper are not"
run "$VMCTL" stop told
is "$(groups_left)" "" "stop: nothing of the group is left"

# Memory
hog='import sys
x = bytearray(600 << 20)
print("too much")'
run_up --memory 200M --name hog "$P" -- python3 -c "$hog"
ID=$(newest_id)
is "$STATUS $OUT" "137 " "a memory hog: it is killed"
like "$ERR" "killed for want of memory: the limit is 200 MiB (--memory)" "a memory hog: up says why"
is "$(record "$ID" reason.kind) $(record "$ID" reason.status)" "out-of-memory 137" "a memory hog: it is on record"
run "$VMCTL" status hog
like "$OUT" "out-of-memory: killed for want of memory: the limit is 200 MiB" "a memory hog: and in status"
run_up --memory 200M "$P" -- sh -c 'dd if=/dev/zero of=/tmp/full bs=1M count=600 2>/dev/null; echo "dd $?"; exit 3'
is "$STATUS $OUT" "3 dd 137" "a full /tmp is memory as well: only what filled it is killed"
is "$(record "$(newest_id)" reason.kind)" exited "a hog that is not the main command: the reason is the command's"
like "$ERR" "warning: a process inside was killed for want of memory" "a hog that is not the main command: a warning"
is "$(grep -c "killed for want" <<<"$ERR")" 1 "it is told once"
run_up "$P" -- sh -c 'kill -9 $$'
is "$STATUS $(record "$(newest_id)" reason.kind)" "137 exited" "SIGKILL by somebody else is not blamed on memory"
start inner --memory 200M "$P" -- sleep 1000
run "$VMCTL" exec inner -- python3 -c "$hog"
is "$STATUS" 137 "a hog by exec: it is killed"
run "$VMCTL" exec inner -- echo alive
is "$OUT" alive "a hog by exec: the sandbox lives"
run "$VMCTL" status inner
like "$OUT" "a process inside was killed for want of memory" "a hog by exec: status has a warning"
# That was told: what is killed later, by somebody else, is not blamed on memory. Nor by a supervisor that comes later.
sleep 1.5 # nothing happens: that can only be waited for
run "$VMCTL" exec inner -- pkill -9 -x sleep
until_true 30 sh -c "! '$VMCTL' list | grep -q inner"
is "$(record "$ID" reason.kind) $(record "$ID" reason.status)" "exited 137" "SIGKILL long after a hog is not blamed on memory"
start inner --memory 200M "$P" -- sleep 1000
run "$VMCTL" exec inner -- python3 -c "$hog"
kill -KILL "$(pid supervisor)"
run "$VMCTL" exec inner -- pkill -9 -x sleep
until_true 30 sh -c "! '$VMCTL' list | grep -q inner"
is "$(record "$ID" reason.kind)" exited "nor by a supervisor that took over"
is "$(record "$ID" warnings | grep -o "killed for want" | wc -l)" 1 "nor is it told again"
start inner --memory 200M "$P" -- sleep 1000
# Eating without end, many at a time: stop still works.
"$VMCTL" exec inner -- sh -c 'while :; do for i in 1 2 3; do python3 -c "x = bytearray(150 << 20)" & done; wait; done' \
  >/dev/null 2>&1 &
until_true 30 sh -c "'$VMCTL' list | grep -q inner"
before=$SECONDS
run "$VMCTL" stop --time 5 inner
is "$STATUS" 0 "hogs without end: stop works"
check "hogs without end: in time" test $((SECONDS - before)) -le $((60 * SLOW))
wait
is "$(groups_left)" "" "hogs: nothing of the groups is left"

# Processes
bomb='f () { f | f & }; f; exec sleep 1000'
start bomb --processes 64 "$P" -- sh -c "$bomb"
told () { "$VMCTL" exec bomb -- true; [[ $(record "$ID" warnings) = *"limit of 64 processes"* ]]; }
check "a fork bomb: it is told when another command ends, or cannot be started" until_true 30 told
reached () { "$VMCTL" status bomb | grep -q "the limit of 64 processes was reached"; }
check "a fork bomb: it is told as what it is" until_true 30 reached
like "$(record "$ID" warnings)" "limit of 64 processes" "a fork bomb: on record"
counted () { count=$(value pids.current) && [ -n "$count" ]; }
until_true 30 counted || note "state $(record "$ID" state) $(record "$ID" reason) $(record "$ID" groups)" # seen empty on a busy machine
check "a fork bomb: contained" test "${count:-none}" -le 64
before=$SECONDS
run "$VMCTL" stop --time 5 bomb
is "$STATUS" 0 "a fork bomb: stop works"
check "a fork bomb: in time" test $((SECONDS - before)) -le $((60 * SLOW))
is "$(groups_left)" "" "a fork bomb: nothing of it is left"
start bomb "$P" --processes 64 -- sh -c "$bomb"
until_true 30 reached
run "$VMCTL" stop --force bomb
is "$STATUS $(groups_left)" "0 " "a fork bomb: stop --force works"

# Pausing. The command writes; while it is paused it does not.
size () { stat -c %s "$P/beats" 2>/dev/null || echo 0; }
grows () { local was; was=$(size); until_true "$1" sh -c "[ \$(stat -c %s '$P/beats') -gt $was ]"; }
beat='while :; do echo x; sleep 0.02; done >>beats'
start pausing "$P" -- sh -c "$beat"
check "running: it writes" grows 30
run "$VMCTL" pause pausing
is "$STATUS $(state) $ERR" "0 paused " "pause"
was=$(size)
sleep 0.5 # nothing happens: that can only be waited for
is "$(size)" "$was" "paused: it does not write"
run "$VMCTL" pause pausing
is "$STATUS $(state)" "0 paused" "pause again"
run "$VMCTL" list
like "$OUT" paused "list tells it"
"$VMCTL" exec pausing -- echo "after resume" >"$T/exec.out" 2>"$T/exec.err" &
exec_pid=$!
check "exec while paused says what it waits for" until_true 20 grep -q "is paused; the command starts once it goes on" "$T/exec.err"
run "$VMCTL" resume pausing
is "$STATUS $(state)" "0 running" "resume"
check "resumed: it writes" grows 30
wait "$exec_pid"
is "$? $(cat "$T/exec.out")" "0 after resume" "exec while paused: it runs when it can"
run "$VMCTL" resume pausing
is "$STATUS" 0 "resume again"

# The control socket has QMP's words for it.
run "$VMCTL" qmp pausing stop
is "$STATUS $(state)" "0 paused" "QMP stop"
run "$VMCTL" qmp pausing cont
is "$STATUS $(state)" "0 running" "QMP cont"

# A supervisor that is killed while the sandbox is paused.
run "$VMCTL" pause pausing
kill -KILL "$(pid supervisor)"
run "$VMCTL" status pausing
like "$OUT" paused "taken over: still paused"
run "$VMCTL" resume pausing
check "taken over: it writes again" grows 30
run "$VMCTL" exec pausing -- sh -c 'exit 5'
is "$STATUS" 5 "taken over: exec"

# Ends of a paused one.
run "$VMCTL" pause pausing
before=$SECONDS
run "$VMCTL" stop --time 200 pausing
is "$STATUS $(record "$ID" reason.kind)" "0 stopped" "paused: stop"
check "paused: gently, and in time" test $((SECONDS - before)) -le $((60 * SLOW))
start again "$P" -- sh -c "$beat"
run "$VMCTL" pause again
run "$VMCTL" stop --force again
is "$STATUS $(groups_left)" "0 " "paused: stop --force"
start again "$P" -- sh -c "$beat"
run "$VMCTL" pause again
keeper=$(pid keeper) supervisor=$(pid supervisor) members=$(value cgroup.procs)
kill -STOP "$supervisor"
kill_all "$keeper" "$supervisor"
until_true 20 dead "$keeper" && until_true 20 dead "$supervisor"
run "$VMCTL" status again
like "$OUT" supervisor-lost "paused, and everything killed: the next vmctl sees it"
sweep
is "$(groups_left)" "" "and leaves nothing of the group"
for member in $members; do dead "$member" || no "$member lives"; done
start again "$P" -- sh -c "$beat"
run "$VMCTL" pause again
kill_all "$(pid keeper)"
check "paused, and the keeper killed: it ends" until_true 20 sh -c "! '$VMCTL' list | grep -q again"
sweep
is "$(groups_left)" "" "and nothing of the group is left"

[ "${VM_WHO:-}" != sudo ] || finish # there it is the keeper that makes the group
# A supervisor that is killed when the group exists and nothing is in it.
VMCTL_FAILPOINT=group run "$VMCTL" up -q -d -T --driver "$VM_DRIVER" --name early "$P" -- true
is "$STATUS" 125 "killed between group and keeper: up fails"
run "$VMCTL" list
is "$(groups_left)" "" "killed between group and keeper: the next vmctl removes it"
finish
