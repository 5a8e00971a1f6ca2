#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sessions on a terminal: size, keys, detaching and coming back, the serial console.
. "${0%/*}/lib.sh"
export TERM=xterm SHELL=/bin/bash SLOW

# A shell, its size, its keys, its end.
check "a shell on a terminal" drive 24x80 "$VMCTL" up -q --name shell "$P" <<'EOS'
expect [$#] $
mode raw
send stty size; tty; id -un\r
expect ^24 80
expect ^/dev/pts/
send python3 -c 'import signal, os; signal.pthread_sigmask (0, [28]); print ("rea" + "dy"); [(signal.sigwait ([28]), print (*os.get_terminal_size ())) for i in range (2)]'\r
expect ready
size 50 132
expect ^132 50
size 30 100
expect ^100 30
expect [$#] $
send stty size\r
expect ^30 100
send sh -c 'echo run""ning; exec sleep 1000'\r
expect running
send \x03
expect \^C
expect [$#] $
send echo "alive $?"\r
expect ^alive 130
expect [$#] $
send echo be""gin; cat\r
expect ^begin
send line\r
expect ^line\n
expect ^line\n
send \x04
expect [$#] $
send sleep 999 & jobs; kill %1; fg; echo "job $?"\r
expect ^job
expect [$#] $
send sh -c 'echo run""ning; exec sleep 1000'\r
expect ^running
send \x1a
expect Stopped
send kill -9 %%; fg\r
expect Killed
send printf 'caf\\303\\251 %s\\n' $TERM\r
expect ^café xterm
send exit 7\r
status 7
mode cooked
EOS
nothing_left "and nothing is left after it"

# Detach, come back, be hung up, come back.
check "Ctrl-] d detaches" drive "$VMCTL" up -q --name away "$P" <<'EOS'
expect [$#] $
send echo 'mar''ker one'; export HERE=still\r
expect ^marker one
expect [$#] $
send \x1dd
expect detached from 'away'
status 0
mode cooked
EOS
is "$("$VMCTL" list --json | python3 -c 'import json, sys; print (*[r["name"] + " " + r["state"] for r in json.load (sys.stdin)])')" \
  "away running" "the detached sandbox goes on"
check "attach shows the last output and goes on; Ctrl-] alone detaches after a second" drive 31x90 "$VMCTL" attach away <<'EOS'
expect ^marker one
expect [$#] $
mode raw
send echo $HERE; stty size\r
expect ^still
expect ^31 90
expect [$#] $
send \x1d
pause
expect detached
status 0
mode cooked
EOS
check "Ctrl-] and another key types both; twice types it once" drive "$VMCTL" attach away <<'EOS'
expect [$#] $
send echo be""gin; cat -v\r
expect ^begin
send \x1dx\x1d\x1d\r
expect ^\^\]x\^\]$
send \x04
expect [$#] $
send sleep 5000 & echo $! >sleeper\r
expect [$#] $
hangup
status 0
EOS
check "a dropped line harms nothing" "$VMCTL" exec away -- sh -c 'kill -0 $(cat sleeper)'
check "SIGHUP of the client detaches" drive "$VMCTL" attach away <<'EOS'
expect [$#] $
send echo "again $HERE"\r
expect ^again still
expect [$#] $
signal HUP
status 0
EOS
check "SIGTERM of the client goes to the shell, which ignores it" drive "$VMCTL" attach away <<'EOS'
expect [$#] $
signal TERM
send echo "not gone"\r
expect ^not gone
expect [$#] $
send \x1dd
status 0
mode cooked
EOS
check "up on the same project comes back to the shell" drive "$VMCTL" up "$P" <<'EOS'
expect joining
expect [$#] $
send \x1dd
status 0
EOS
mkfifo "$T/first"
drive "$VMCTL" attach away <"$T/first" >"$T/first.out" 2>&1 &
first=$!
exec 5>"$T/first"
printf '%s\n' 'expect [$#] $' 'send touch first\r' 'expect detached from .away.' 'status 0' 'mode cooked' >&5
exec 5>&-
until_true 60 test -e "$P/first"
check "a second terminal is refused" drive "$VMCTL" attach away <<'EOS'
expect another terminal is attached.*--steal
status 125
EOS
check "--steal takes it" drive "$VMCTL" attach --steal away <<'EOS'
expect [$#] $
send echo "here $HERE"\r
expect ^here still
expect [$#] $
send \x1dd
status 0
EOS
wait $first
is $? 0 "and the first one is detached"

# More sessions beside it.
check "exec on a terminal" drive 33x77 "$VMCTL" exec away -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size; read -r x; echo "<$x>"; exit 4' <<'EOS'
expect ^33 77
send typed\r
expect ^<typed>
status 4
mode cooked
EOS
check "enter is a shell" drive "$VMCTL" enter away <<'EOS'
expect [$#] $
send id -un; exit 3\r
status 3
EOS
check "exec -T has no terminal" drive "$VMCTL" exec -T away -- sh -c 'test -t 0 || echo "none"' <<'EOS'
expect ^none
status 0
EOS
run "$VMCTL" exec -t away -- true
isnt "$STATUS" 0 "exec -t without a terminal is refused"
check "Ctrl-C reaches the command of an exec" drive "$VMCTL" exec away -- sh -c 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 1; done' <<'EOS'
expect ^ready
send \x03
expect caught$
status 9
EOS
check "much output through a terminal" drive "$VMCTL" exec away -- sh -c 'stty -onlcr; seq 200000; echo done' <<'EOS'
expect ^done$
status 0
EOS

# The console: a way in that needs no agent's session.
check "console: Enter gives a shell" drive "$VMCTL" console away <<'EOS'
expect serial console of 'away'
mode raw
send \r
expect [$#] $
send id -un; pwd; exit\r
expect exit
expect press Enter
send \x1dd
expect left the console
status 0
mode cooked
EOS
check "the shell ends the sandbox with its status" drive "$VMCTL" attach away <<'EOS'
expect [$#] $
send exit 5\r
status 5
EOS
nothing_left "and nothing is left after it"

# The session on the serial line itself.
cat >"$T/serial" <<EOS
expect [\$#] \$
mode raw
send tty; id -un; pwd; echo "<\$HOME>"\r
expect ^/dev/ttyS0
expect ^$ME\$
expect ^$P\$
expect ^<$MY_HOME>
expect [\$#] \$
send sh -c 'echo run""ning; exec sleep 1000'\r
expect ^running
send \x03
expect [\$#] \$
send exit 6\r
status 6
mode cooked
EOS
check "up --serial: the same identity, keys and exit status" drive "$VMCTL" up -q --serial "$P" <"$T/serial"
finish
