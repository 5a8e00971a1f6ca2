#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# events: of one sandbox to its end, of all and those that start meanwhile, across a change of the supervisor.
. "$(dirname "$0")/lib.sh"
requires python3

run 1 "$V" events nobody
has "$err" "no running sandbox 'nobody'"
run 2 "$V" events one two
run 2 "$V" events --follow

# follow N WORDS...: `vmctl events WORDS` in the background, its lines on descriptor N; its pid is in $follower.
follow () {
  n=$1
  shift
  mkfifo "$tmp/.follow" || exit 1
  timeout 120 "$V" events "$@" > "$tmp/.follow" 2>&1 < /dev/null &
  follower=$!
  eval "exec $n< '$tmp/.follow'"
  rm "$tmp/.follow"
}
# next N PART: reads lines until one has PART; it is in $line.
next () {
  while eval "read -r line <&$1"; do
    case $line in *"$2"*) return ;; esac
  done
  fail "there was no '$2' among the events"
}

# All of them: nothing runs yet.
follow 4 --json
all=$follower

# One, by its name.
run 0 up -d -n one -- sleep 1000
run 0 "$V" exec one -- true
follow 3 one
next 3 SANDBOX_STATE
has "$line" running
run 3 "$V" exec one -- sh -c 'exit 3'
next 3 SESSION_EXIT
has "$line" "ended with 3"
case $line in 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]\ *) ;; *) fail "no time: '$line'" ;; esac
hasnt "$line" " one "

# The supervisor is killed: the events are the next one's.
pid=$("$V" status one --json | python3 -ISc 'import json, sys; print(json.load(sys.stdin)["supervisor"]["pid"])')
kill -KILL "$pid"
next 3 SANDBOX_STATE
has "$line" running
run 4 "$V" exec one -- sh -c 'exit 4'
next 3 SESSION_EXIT
has "$line" "ended with 4"
run 0 "$V" stop one
next 3 SANDBOX_STOPPING
next 3 SANDBOX_ENDED
has "$line" "stopped: stopped"
wait "$follower" || fail "events ended with $?"
exec 3<&-

# The first follower has seen it all, with the sandbox in each line, and sees those that come.
next 4 '"name":"one"'
next 4 '"event":"SANDBOX_ENDED"'
has "$line" '"name":"one"'
run 0 up -d -n two -- sleep 1000
next 4 '"name":"two"'
has "$line" '"event":"SANDBOX_STATE"'
has "$line" '"state":'
run 0 "$V" stop --force two
next 4 '"event":"SANDBOX_ENDED"'
is "a line" "$(json "$line" 'j["name"], j["data"]["reason"], sorted(j["timestamp"])')" \
  "('two', 'stopped', ['microseconds', 'seconds'])"
kill "$all"
wait "$all" 2> /dev/null
exec 4<&-

# The last line of one that exits says how; a reader that has gone ends it.
run 0 up -d -n three -- sh -c 'while [ ! -e go ]; do sleep 0.02; done; exit 7'
follow 3 three
next 3 SANDBOX_STATE
: > go
next 3 SANDBOX_ENDED
has "$line" "exited: exited with 7"
wait "$follower"
exec 3<&-
run 0 up -d -n four -- sleep 1000
timeout 120 sh -c "'$V' events four | head -n 1" > /dev/null || fail "it did not end with its reader"
