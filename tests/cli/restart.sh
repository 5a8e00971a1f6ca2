#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# restart, reset, and starting again after a failure, on the null driver.
. "$(dirname "$0")/lib.sh"
requires python3

get () { "$V" status "$1" --json | python3 -ISc "import json, sys; j = json.load(sys.stdin); print(($2))"; }

run 1 "$V" restart
has "$err" "no sandbox runs on"
run 1 "$V" reset nobody
has "$err" "no running sandbox 'nobody'"
for bad in 0 x -1 3601 ''; do
  run 2 "$V" restart --time "$bad" nobody
  has "$err" "--time: '$bad' is not a number of seconds from 1 to 3600"
done
run 2 "$V" reset --time 5 nobody

# The same sandbox, its command anew. It gets its SIGTERM, and what it said before is kept.
touch log
run 0 up -d -n one -e COLOUR=red -- sh -c 'trap "echo asked >> log; exit 0" TERM; echo "began $COLOUR" | tee -a log; while :; do sleep 0.05; done'
id=$out
until_has began cat log
before=$(get one '[j[k] for k in ("id", "name", "created", "command")], j["supervisor"]["pid"]')
keeper=$(get one 'j["keeper"]["pid"]')
run 0 "$V" restart one
has "$out" "sandbox 'one' ($id) runs again"
[ "$(grep -c asked log)" -eq 1 ] || fail "the command was not asked: $(cat log)"
is "what stays" "$(get one '[j[k] for k in ("id", "name", "created", "command")], j["supervisor"]["pid"]')" "$before"
[ "$(get one 'j["keeper"]["pid"]')" != "$keeper" ] || fail "nothing was started"
[ ! -e "/proc/$keeper" ] || fail "the old keeper lives"
until_has "asked
began red" cat log
is "the count" "$(get one 'j["restarts"], j["failures"], j["restart-why"], j["state"]')" "(1, 0, 'vmctl restart', 'running')"
run 0 "$V" status one
has "$out" "restarts   1, the last: vmctl restart"
run 6 "$V" exec one -- sh -c 'exit 6'
run 0 "$V" logs --output one
is "what was logged" "$(printf '%s\n' "$out" | grep -c "began red")" 2

# reset asks nobody.
run 0 "$V" reset --json one
is "the record" "$(json "$out" '[(r["name"], r["restarts"], r["restart-why"]) for r in j]')" "[('one', 2, 'vmctl reset')]"
until_has "asked
began red
began red" cat log

# A command of exec ends with it, and says why; one that comes meanwhile waits; an attached terminal is let go.
: > "$tmp/exec" # who looks at it may be quicker than who opens it
timeout 120 "$V" exec one -- sh -c 'echo in; exec sleep 1000' > "$tmp/exec" 2> "$tmp/exec.err" &
client=$!
until_has in cat "$tmp/exec"
timeout 120 "$V" attach one > "$tmp/attach" 2> "$tmp/attach.err" < /dev/null &
attached=$!
until_has True sh -c "'$V' status one --json | python3 -ISc 'import json, sys; print(json.load(sys.stdin)[\"sessions\"][0][\"attached\"])'"
watch one
run 0 "$V" qmp one sandbox-reset
run 7 "$V" exec one -- sh -c 'exit 7'
wait "$client" && fail "exec ended with 0"
has "$(cat "$tmp/exec.err")" "starts again"
wait "$attached" || fail "attach ended with $?: $(cat "$tmp/attach.err")"
has "$(cat "$tmp/attach.err")" "detached from 'one'; it goes on"

# Stopping one that is just being started again ends it.
run 0 "$V" qmp one sandbox-restart timeout-ms=60000
run 0 "$V" stop one
watched
has "$events" '"SANDBOX_RESTART"'
is "the events" "$(printf '%s\n' "$events" | python3 -ISc '
import json, sys
events = [json.loads(line) for line in sys.stdin]
print([e["data"].get("text", e["data"].get("state")) for e in events if e["event"] in ("SANDBOX_RESTART", "SANDBOX_STATE")][:4], events[-1]["event"])')" \
  "['vmctl reset', 'stopping', 'starting', 'running'] SANDBOX_ENDED"
is "it has ended" "$(get one 'j["state"], j["reason"]["kind"]')" "('ended', 'stopped')"
run 1 "$V" restart one
has "$err" "no running sandbox"

# A sandbox in the foreground ends with its client's command.
: > "$tmp/front"
timeout 120 "$V" up --driver null -q -n front -- sh -c 'echo up; exec sleep 1000' > "$tmp/front" 2> /dev/null < /dev/null &
client=$!
until_has up cat "$tmp/front"
run 1 "$V" restart front
has "$err" "in the foreground"
run 1 "$V" reset front
is "nothing has changed" "$(get front 'j["restarts"], j["state"]')" "(0, 'running')"
run 0 "$V" stop front
wait "$client"

# Policies.
for bad in always on-failure: on-failure:0 on-failure:x on-failure:1001 ''; do
  run 125 up --restart "$bad" -- true
  has "$err" "--restart: '$bad' is not when to start again"
done
for bad in 0 2 3601 x ''; do
  run 125 up --watchdog "$bad" -- true
  has "$err" "--watchdog: '$bad' is not a number of seconds; write one from 3 to 3600"
done
run 0 "$V" plan --driver null --restart on-failure --watchdog 9 --json
is "the plan" "$(json "$out" 'j["plan"]["restart-max"], j["plan"]["watchdog"]')" "(5, 9)"
run 0 "$V" plan --driver null --restart on-failure:2
has "$out" "after a failure, at most 2 times"
mkdir -p "$XDG_CONFIG_HOME/vmctl"
printf '[defaults]\nrestart=on-failure:7\nwatchdog=30\n' > "$XDG_CONFIG_HOME/vmctl/config"
run 0 "$V" plan --driver null --json
is "from the configuration" "$(json "$out" 'j["plan"]["restart-max"], j["plan"]["watchdog"]')" "(7, 30)"
run 0 "$V" plan --driver null --restart never --json
is "the command line is stronger" "$(json "$out" 'j["plan"].get("restart-max")')" None
printf '[defaults]\nrestart=sometimes\n' > "$XDG_CONFIG_HOME/vmctl/config"
run 2 "$V" plan --driver null
has "$err" "restart: 'sometimes'"
rm "$XDG_CONFIG_HOME/vmctl/config"
printf '[defaults]\nrestart=on-failure\n' > .vmctl.conf
run 0 "$V" plan --driver null --json
has "$err" "a project may only tighten"
is "and not from the project" "$(json "$out" 'j["plan"].get("restart-max")')" None
rm .vmctl.conf

# It fails twice, after 1 s and 2 s, and then for good.
run 0 up -d -n fails --restart on-failure:2 -- sh -c 'while [ ! -e go ]; do sleep 0.02; done; echo x >> tries; exit 3'
watch fails
: > go
watched
is "tries" "$(wc -l < tries)" 3
is "how it ended" "$(get fails 'j["reason"]["kind"], j["reason"]["status"], j["restarts"], j["failures"], j["restart-why"]')" \
  "('exited', 3, 2, 2, 'exited with 3')"
is "the waits" "$(printf '%s\n' "$events" | python3 -ISc '
import json, sys
print([e["data"]["delay-ms"] for e in map(json.loads, sys.stdin) if e["event"] == "SANDBOX_RESTART"])')" "[1000, 2000]"
run 0 "$V" status fails
has "$out" "restarts   2, the last: exited with 3"

# Who attaches while it waits gets the command that comes.
run 0 up -d -n late --restart on-failure:1 -- sh -c '[ -e tried ] && read -r x && echo "got $x" && exit 0; while [ ! -e once ]; do sleep 0.02; done; : > tried; exit 3'
watch late
: > once
while read -r line <&3; do case $line in *SANDBOX_RESTART*) break ;; esac done
printf 'word\n' > "$tmp/typed"
run_in 0 timeout 120 "$V" attach late < "$tmp/typed"
is "what it said" "$out" "got word"
watched

# A good end is an end; so is a stop, also while it waits, when it is over at once.
run 0 up -d -n good --restart on-failure -- sh -c 'while [ ! -e done ]; do sleep 0.02; done'
watch good
: > done
watched
hasnt "$events" SANDBOX_RESTART
rm go once tried
run 0 up -d -n stopped --restart on-failure -- sh -c 'while [ ! -e go ]; do sleep 0.02; done; exit 3'
watch stopped
: > go
while read -r line <&3; do case $line in *SANDBOX_RESTART*) break ;; esac done
until_has "starting (restart)" "$V" list # where a second is not long it has failed again by now
run 0 timeout 120 "$V" stop stopped
watched
is "how it ended" "$(get stopped 'j["reason"]["kind"], j["restarts"]')" \
  "('stopped', $((1 + $(printf '%s\n' "$events" | grep -c '"SANDBOX_RESTART"'))))"


# One that waits starts at once when somebody asks; a killed keeper is a failure, too.
rm go
run 0 up -d -n again --restart on-failure -- sleep 1000
run 0 "$V" exec again -- true
watch again
kill -KILL "$(get again 'j["keeper"]["pid"]')"
while read -r line <&3; do case $line in *SANDBOX_RESTART*) break ;; esac done
has "$line" "killed by signal 9"
run 0 "$V" restart again
is "it runs" "$(get again 'j["state"], j["failures"]')" "('running', 1)"
run 0 "$V" stop again
watched

# The watchdog: the agent is stopped (of the null driver it is the keeper's child), and gives no answer.
run 0 up -d -n hung --watchdog 3 -- sleep 1000
run 0 "$V" exec hung -- true
watch hung
kill -STOP "$(pgrep -P "$(get hung 'j["keeper"]["pid"]')" -x vmctl-agent)"
watched
is "the reason" "$(get hung 'j["reason"]["kind"]')" watchdog
run 0 "$V" status hung
has "$out" "no sign of life for 3 s (--watchdog)"

# The supervisor is killed between the two: the sandbox has ended, and nothing of it is left.
run 0 env VMCTL_FAILPOINT=restart "$V" up --driver null -q -d -n lost -- sleep 1000
run 0 "$V" exec lost -- true
run 1 timeout 120 "$V" restart lost
has "$err" "does not run again: its supervisor died"
run 0 "$V" list
hasnt "$out" lost
is "the reason" "$(get lost 'j["state"], j["reason"]["kind"], j["restarts"]')" "('ended', 'supervisor-lost', 1)"
is "what is left" "$(ls "$XDG_RUNTIME_DIR/vmctl")" ""
