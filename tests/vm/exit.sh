#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Exit statuses: of the main command (a VM each) and of commands in a running VM, signals, vanished readers.
. "${0%/*}/lib.sh"

# The main command: a machine each, so only what is different there.
run_up "$P" -- sh -c 'exit 42'
is "$STATUS" 42 "up returns the command's status"
is "$ERR" "" "up -q says nothing"
run_up "$P" -- /nonexistent/command
is "$STATUS" 127 "up: a command that is not there is 127"
like "$ERR" "/nonexistent/command" "and named"
run_up "$P" -- sh -c 'kill -TERM $$'
is "$STATUS" 143 "up: a signal is 128 + n"

# Killed from outside: the client forwards it.
killed () { # SIGNAL STATUS
  mkfifo "$T/fifo.$1"
  # A shell gives its background jobs an ignored SIGINT, which is not what a person at a terminal has.
  env --default-signal="$1" "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- sh -c 'echo up; exec sleep 1000' \
    >"$T/fifo.$1" 2>"$T/err" &
  read -r line <"$T/fifo.$1"
  kill "-$1" $!
  wait $!
  is $? "$2" "SIG$1 to the client ends the command: $2"
}
killed TERM 143
nothing_left "and nothing is left after SIGTERM"
killed INT 130

# What the caller ignores is not forwarded: nohup means it.
mkfifo "$T/fifo.hup"
nohup "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- sh -c 'echo up; read -r x; exit 3' 5<>"$T/fifo.hup" \
  <"$T/fifo.hup" >"$T/hup" 2>"$T/err" &
client=$!
exec 5>"$T/fifo.hup"
until_true 60 test -s "$T/hup"
kill -HUP $client
echo go >&5
exec 5>&-
wait $client
is $? 3 "SIGHUP under nohup changes nothing"

# A pipe whose reader goes away ends the command as on the host.
run bash -c '"$VMCTL" up -q --driver "$1" "$2" -- yes | head -n 1; exit "${PIPESTATUS[0]}"' - "$VM_DRIVER" "$P"
is "$OUT" y "'yes | head' shows one line"
is "$STATUS" 141 "and yes ends by SIGPIPE"
nothing_left "and nothing is left after it"

# Commands in a running sandbox.
start exits "$P" -- sleep infinity
printf '#!/bin/sh\nexit 9\n' >"$P/script"
printf 'plain text\n' >"$P/plain"
chmod 0755 "$P/script"
chmod 0644 "$P/plain"
status_is () { # WANTED DESCRIPTION COMMAND...
  local want=$1 what=$2
  shift 2
  run "$VMCTL" exec exits -- "$@"
  is "$STATUS" "$want" "exec: $what: $want"
}
status_is 0 "true" true
status_is 1 "false" false
status_is 42 "exit 42" sh -c 'exit 42'
status_is 255 "exit 255" sh -c 'exit 255'
status_is 9 "a script of the project" ./script
status_is 126 "not executable" ./plain
status_is 126 "a directory" /usr
status_is 127 "missing" no-such-command
status_is 127 "missing, with a path" ./no-such-command
status_is 143 "SIGTERM" sh -c 'kill -TERM $$'
status_is 137 "SIGKILL" sh -c 'kill -KILL $$'
status_is 139 "a segmentation fault" sh -c 'kill -SEGV $$'
status_is 134 "an abort" perl -e 'kill ABRT => $$; sleep 9'
status_is 0 "a command that leaves a child in the background" sh -c 'sleep 1000 </dev/null >/dev/null 2>&1 &'
run "$VMCTL" exec -C /usr/share exits -- pwd
is "$OUT" /usr/share "exec --cwd"
run "$VMCTL" exec -C /nonexistent exits -- pwd
isnt "$STATUS" 0 "exec --cwd of a directory that is not there fails"
run "$VMCTL" exec -e X=1 -e 'Y=a b' exits -- sh -c 'echo "$X$Y"'
is "$OUT" "1a b" "exec --env"
run "$VMCTL" exec exits
is "$STATUS" 125 "exec without a command is our own error: 125"
run "$VMCTL" exec no-such-sandbox -- true
is "$STATUS" 125 "exec in no sandbox: 125"

# The client of an exec is killed: its command ends too, the sandbox goes on.
mkfifo "$T/fifo.exec"
"$VMCTL" exec exits -- sh -c 'echo "$$"; trap "" TERM; while :; do sleep 1000; done' >"$T/fifo.exec" &
client=$!
read -r inside <"$T/fifo.exec"
kill -9 $client
wait $client 2>/dev/null
gone () { "$VMCTL" exec exits -- sh -c "! kill -0 $inside"; }
check "the command of a killed exec client gets SIGHUP and ends" until_true 20 gone
run "$VMCTL" exec exits -- sh -c 'kill -9 1; echo still here'
is "$OUT" "still here" "PID 1 inside cannot be killed"
control "$ID" do sandbox-stop >/dev/null
finish
