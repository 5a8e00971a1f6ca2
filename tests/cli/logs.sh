#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# logs: which log, how much of it, following it across its rotation to the end of the sandbox, and what a terminal gets.
. "$(dirname "$0")/lib.sh"
requires python3

# In the foreground there is no output log: the supervisor's is shown, and that is said.
run 0 up -- true
run 0 "$V" logs
has "$out" "step files"
has "$err" "the supervisor's log"
run 0 "$V" logs --supervisor --tail 1
is "lines" "$(printf '%s\n' "$out" | wc -l)" 1
run 0 "$V" logs --output
is "no output" "$out" ""
run 0 "$V" logs --console
is "no console" "$out" ""

# Detached: the output.
run 0 up -d -n web -- sh -c 'i=0; while [ $i -lt 10 ]; do i=$((i + 1)); echo line $i; done; printf "a\\\\b\\tc\\033[31m\\n"; cat'
run 0 "$V" exec web -- true
timeout 120 "$V" logs -f web | grep -q -m 1 '31m' || fail "the last line has not come"
run 0 "$V" logs web --tail 3
has "$out" "line 9
line 10
"
hasnt "$out" "line 8"
run 0 "$V" logs web --tail 0
is "--tail 0" "$out" ""
run 0 "$V" logs web --tail 1000
has "$out" "line 1
line 2"
has "$out" "$(printf 'a\\b\tc\033[31m')"
run 0 "$V" logs web --json
is "JSON lines" "$(printf '%s\n' "$out" | python3 -ISc '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
print(lines[0], len(lines), lines[-1]["line"] == "a\\b\tc\x1b[31m" or lines[-1]["line"])')" \
  "{'log': 'output', 'line': 'line 1'} 11 True"

# On a terminal control characters are shown, a backslash is itself; --raw leaves all as it is.
on_tty () {
  python3 -ISc '
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
data = b""
try:
    while True:
        block = os.read(fd, 65536)
        if not block:
            break
        data += block
except OSError:
    pass
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(data)
sys.exit(os.waitstatus_to_exitcode(status))' "$@"
}
escape=$(printf '\033')
run 0 on_tty "$V" logs web --tail 1
has "$out" 'a\b'
has "$out" '\x1b[31m'
hasnt "$out" "$escape"
run 0 on_tty "$V" logs web --raw --tail 1
has "$out" "$escape"
# Colour only on a terminal, and never with NO_COLOR.
run 0 env TERM=xterm "$V" list
hasnt "$out" "$escape"
TERM=xterm run 0 on_tty "$V" list
has "$out" "$escape[1mID"
NO_COLOR=1 TERM=xterm run 0 on_tty "$V" list
hasnt "$out" "$escape"
run 0 on_tty "$V" list
hasnt "$out" "$escape"
unset NO_COLOR
TERM=dumb

# What a sandbox is called and runs cannot write to the terminal.
mkdir "$tmp/project/$(printf 'x\033[31my')"
run 0 up -d "$tmp/project/$(printf 'x\033[31my')" -- sh -c "$(printf '# \033]0;owned\007\nsleep 1000')"
run 0 "$V" list
hasnt "$out" "$escape"
has "$out" 'x\x1b[31my'
run 0 "$V" status "$tmp/project/$(printf 'x\033[31my')"
hasnt "$out" "$escape"

# Following: what comes, across a rotation, to the end; nothing twice, nothing left out.
run 0 "$V" stop --all
run 0 up -d -n big -- sh -c 'read go < go; seq 1 400000'
mkfifo go "$tmp/pipe"
run 0 "$V" stop big
run 0 up -d -n big -- sh -c 'read go < go; seq 1 400000'
timeout 120 "$V" logs --follow --output big > "$tmp/followed" &
follower=$!
echo go > go
wait "$follower" || fail "logs --follow ended with $?"
is "the last line" "$(tail -n 1 "$tmp/followed")" 400000
is "in order" "$(sort -n -c "$tmp/followed" 2>&1)" ""
is "nothing twice" "$(uniq -d "$tmp/followed")" ""
run 0 "$V" logs big
is "the end of what is kept" "$(printf '%s\n' "$out" | tail -n 1)" 400000
# A follower whose reader leaves ends at once.
run 0 up -d -n idle -- sleep 1000
timeout 120 sh -c "'$V' logs --supervisor -f idle | head -n 1" > /dev/null || fail "follow did not end with its reader"
# A follower of a sandbox whose supervisor is killed ends, or goes on with the next one.
run 0 "$V" stop idle
run 1 "$V" logs nobody
