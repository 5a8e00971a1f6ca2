#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# stop and rm, also when nobody answers: a supervisor that hangs, one that was killed, a keeper that was killed.
. "$(dirname "$0")/lib.sh"
requires python3

pid_of () { "$V" status "$1" --json | python3 -ISc "import json, sys; print(json.load(sys.stdin)['$2']['pid'])"; }
gone () { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }

# All at once, and what had ended already.
run 0 up -d -n one -- sleep 1000
run 0 up -d --new -n two -- sleep 1000
run 0 "$V" stop one two
has "$out" "'one'"
has "$out" "'two'"
run 0 "$V" stop one two --json
is "two ended ones" "$(json "$out" '[r["reason"]["kind"] for r in j]')" "['stopped', 'stopped']"
run 0 "$V" stop --all
is "nothing to do" "$out$err" ""
run 1 "$V" stop nobody
run 0 "$V" stop . # the one of this directory has ended already
has "$out" "had ended already"

# A command that ignores the gentle signal: the steps are told, each with its deadline.
run 0 up -d -n stubborn -- sh -c 'trap "" TERM HUP INT; : > deaf; while :; do sleep 1000; done'
until_has deaf ls
run 0 "$V" stop --time 4 stubborn
has "$err" "powerdown (at most 4 s)"
has "$out" "has ended: stopped"

# --force does not wait.
rm deaf
run 0 up -d -n stubborn -- sh -c 'trap "" TERM HUP INT; : > deaf; while :; do sleep 1000; done'
until_has deaf ls
run 0 timeout 120 "$V" stop --force stubborn
hasnt "$err" powerdown

# The supervisor hangs. Everything else about it still works.
run 0 up -d -n hung -- sleep 1000
supervisor=$(pid_of hung supervisor)
keeper=$(pid_of hung keeper)
kill -STOP "$supervisor"
on_exit "kill -KILL $supervisor 2> /dev/null"
run 0 "$V" list
has "$out" hung
run 0 timeout 120 "$V" status hung
has "$out" "does not answer"
run 1 timeout 120 "$V" stop --time 1 hung
has "$err" "vmctl stop --force"
run 0 timeout 120 "$V" stop --force hung
has "$out" "has ended"
gone "$supervisor" || fail "the supervisor lives"
gone "$keeper" || fail "the keeper lives"
at_exit=: # by then the number may be another process's
run 0 "$V" status hung --json
is "the reason" "$(json "$out" 'j["reason"]["kind"]')" supervisor-lost

# The supervisor was killed: the next vmctl takes over, and stops as ever.
run 0 up -d -n orphan -- sleep 1000
run 0 "$V" exec orphan -- true
supervisor=$(pid_of orphan supervisor)
kill -KILL "$supervisor"
run 0 "$V" status orphan
has "$out" running
[ "$(pid_of orphan supervisor)" != "$supervisor" ] || fail "there is no new supervisor"
run 5 "$V" exec orphan -- sh -c 'exit 5'
run 0 "$V" stop orphan
has "$out" "has ended: stopped"

# The keeper was killed, hence all of the sandbox: the supervisor says so.
run 0 up -d -n headless -- sleep 1000
run 0 "$V" exec headless -- true
keeper=$(pid_of headless keeper)
watch headless
kill -KILL "$keeper"
watched
has "$events" vmm-signal
run 0 "$V" status headless --json
is "the reason" "$(json "$out" 'j["state"], j["reason"]["kind"], j["reason"]["signal"]')" "('ended', 'vmm-signal', 9)"

# Both were killed.
run 0 up -d -n both -- sleep 1000
run 0 "$V" exec both -- true
keeper=$(pid_of both keeper)
supervisor=$(pid_of both supervisor)
kill -STOP "$supervisor"
kill -KILL "$keeper" "$supervisor"
until gone "$keeper" && gone "$supervisor"; do :; done
run 0 "$V" status both --json
is "the reason" "$(json "$out" 'j["state"], j["reason"]["kind"]')" "('ended', 'supervisor-lost')"
run 0 "$V" rm both
[ -z "$(ls "$XDG_RUNTIME_DIR/vmctl")" ] || fail "left behind: $(ls "$XDG_RUNTIME_DIR/vmctl")"

# The client vanishes: its sandbox ends, a detached one does not.
"$V" up --driver null -q -n mine -- sleep 1000 < /dev/null > /dev/null 2>&1 &
client=$!
while ! "$V" exec mine -- true 2> /dev/null; do
  [ -e "/proc/$client" ] || fail "up has ended"
done
watch mine
kill -KILL "$client"
watched
has "$events" client-gone
run 0 "$V" status mine --json
is "the reason" "$(json "$out" 'j["state"], j["reason"]["kind"]')" "('ended', 'client-gone')"

# A record that cannot be read is told of, and does not hide the others.
run 0 up -d -n fine -- sleep 1000
mkdir -m 0700 "$XDG_STATE_HOME/vmctl/sandboxes/brokenid"
echo nonsense > "$XDG_STATE_HOME/vmctl/sandboxes/brokenid/record.json"
run 0 "$V" list --all
has "$out" fine
has "$err" "warning: brokenid"
run 0 "$V" stop fine

# A command that ends with its sandbox says so: its status looks as if somebody had killed it.
run 0 up -d -n ending -- sleep 1000
: > "$tmp/exec.out" # who looks at it may be quicker than who opens it
"$V" exec ending -- sh -c 'echo up; exec sleep 1000' > "$tmp/exec.out" 2> "$tmp/exec.err" < /dev/null &
client=$!
until_has up cat "$tmp/exec.out"
run 0 "$V" stop ending
wait $client
is "its status" "$?" 143 # though its exit came just before the sandbox's
has "$(cat "$tmp/exec.err")" "the command was ended with its sandbox 'ending'"

# up joins a sandbox that ends before it takes the command: another is started, and the note says so. The supervisor is
# held, so that the client finds a running sandbox whose agent is dead.
kill_with_agent () { # KEEPER: its agent is told of its end by a signal, and may still take a command meanwhile
  agent=$(pgrep -P "$1")
  kill -KILL "$1"
  until_has gone sh -c "grep -q '^State:.[^Z]' /proc/$agent/status 2>/dev/null || echo gone"
}
run 0 up -d -n old -- sleep 1000
run 0 "$V" exec old -- true
supervisor=$(pid_of old supervisor)
keeper=$(pid_of old keeper)
kill -STOP "$supervisor"
: > "$tmp/up.err"
"$V" up --driver null -- sh -c 'echo joined' > "$tmp/up.out" 2> "$tmp/up.err" < /dev/null &
client=$!
until_has "joining the running sandbox" cat "$tmp/up.err"
kill_with_agent "$keeper"
kill -CONT "$supervisor"
wait $client
is "up's status" "$? $(cat "$tmp/up.out")" "0 joined"
has "$(cat "$tmp/up.err")" "starting a new sandbox, for the old one has just ended: 'old'"
# exec has nothing to start.
run 0 up -d -n old -- sleep 1000
run 0 "$V" exec old -- true
supervisor=$(pid_of old supervisor)
keeper=$(pid_of old keeper)
kill -STOP "$supervisor"
"$V" exec old -- echo joined > "$tmp/up.out" 2> "$tmp/up.err" < /dev/null &
client=$!
connected () { ls -l "/proc/$client/fd"; }
until_has socket connected
kill_with_agent "$keeper"
kill -CONT "$supervisor"
wait $client
is "exec's status" "$? $(cat "$tmp/up.out")" "125 "
has "$(cat "$tmp/up.err")" "ended before it took the command"
