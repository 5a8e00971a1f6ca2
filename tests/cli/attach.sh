#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# attach, enter, console, and up on a terminal: what a person types and sees, and the terminal afterwards.
. "$(dirname "$0")/lib.sh"
requires python3
type_to () { python3 -IS "$here/../vm/terminal.py" "$@" || fail "on a terminal: $*"; }
attached () { "$V" status "$1" --json | python3 -ISc 'import json, sys; print(json.load(sys.stdin)["sessions"][0]["attached"])'; }

# Without a terminal: the main command's output and its status.
run 0 up -d -n main -- sh -c 'read go < go; echo done; exit 9'
mkfifo go
run 0 "$V" stop main
run 0 up -d -n main -- sh -c 'read go < go; echo done; exit 9'
"$V" attach main > "$tmp/attached" 2>&1 < /dev/null &
client=$!
until_has True attached main
run 125 "$V" attach main
has "$err" "--steal"
echo go > go
wait "$client"
is "status of attach" $? 9
is "what it showed" "$(cat "$tmp/attached")" "done"

# enter: a shell that reads what is piped in.
run 0 up -d -n web -- sleep 1000
is "status of enter" "$(echo 'echo in; exit 6' | "$V" enter web > "$tmp/entered" 2>&1; echo $?)" 6
has "$(cat "$tmp/entered")" in
run 125 "$V" exec -t web -- true
has "$err" "not a terminal"
run 1 "$V" console web
has "$err" "no serial console"
run 125 up --new --serial -- true
has "$err" "--serial: only a virtual machine has a serial console; use --driver qemu"

# On a terminal: raw while the command runs, its size, detaching, coming back, and as it was afterwards.
type_to 30x100 "$V" exec web -- sh -c 'stty size; read line; echo "got $line"; exit 4' << 'SCRIPT'
expect ^30 100$
mode raw
send hello\r
expect ^got hello$
status 4
mode cooked
SCRIPT
type_to "$V" exec web -- sh -c 'trap "stty size; exit 5" WINCH; echo ready; while :; do sleep 0.1; done' << 'SCRIPT'
expect ^ready$
size 41 123
expect ^41 123$
status 5
SCRIPT
type_to "$V" exec web -- sh -c 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.1; done' << 'SCRIPT'
expect ^ready$
send \x03
expect interrupted
status 3
SCRIPT
type_to "$V" up --driver null -q --new -n shell -- sh -c 'echo first; read a; echo "a=$a"; read b; echo "b=$b"; exit 8' << 'SCRIPT'
expect ^first$
send one\r
expect a=one
send \x1dd
expect detached from 'shell'
status 0
mode cooked
SCRIPT
type_to "$V" attach shell << 'SCRIPT'
expect a=one
send two\r
expect b=two
status 8
mode cooked
SCRIPT

# A dropped line harms nothing: what was attached on purpose goes on.
run 0 up -d -t --new -n dropped -- sh -c 'read line; exit 2'
type_to "$V" attach dropped << 'SCRIPT'
mode raw
send x
hangup
end
SCRIPT
until_has False attached dropped
run 0 "$V" status dropped
has "$out" running
type_to "$V" attach dropped << 'SCRIPT'
send \r
status 2
SCRIPT
