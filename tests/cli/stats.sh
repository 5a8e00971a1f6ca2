#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# stats, and what core says where there is no machine.
. "$(dirname "$0")/lib.sh"
requires python3

run 0 "$V" stats
has "$err" "no sandbox is running"
run 0 "$V" stats --json
is "none" "$(json "$out" j)" "[]"
run 1 "$V" stats nobody
for bad in 0 x -1 3601 ''; do
  run 2 "$V" stats --watch --interval "$bad"
  has "$err" "--interval: '$bad' is not a number of seconds from 1 to 3600"
done
run 2 "$V" stats --interval 2
has "$err" "goes with --watch"

run 0 up -d -n idle -- sleep 1000
run 0 "$V" exec idle -- true
run 0 up -d --new -n busy -- sh -c 'while :; do :; done'
run 0 "$V" exec busy -- true
run 0 "$V" stats
has "$out" "NAME"
has "$out" "idle"
has "$out" "busy"
run 0 "$V" stats --json idle busy
is "the numbers" "$(json "$out" '[j[0]["cpu-percent"] < min(5, j[1]["cpu-percent"]), j[1]["cpu-us"] > 0, j[0]["state"],
  all(r["processes"] >= 3 and r["memory"]["rss"] > 65536 and r["memory"]["limit"] > 1 << 20 for r in j),
  j[0]["disk"], j[0]["net"], j[0]["uptime-us"] > 0, [r["name"] for r in j]]')" \
  "[True, True, 'running', True, None, None, True, ['idle', 'busy']]"
# What one more process takes is seen.
before=$(json "$out" 'j[0]["processes"]')
: > "$tmp/exec" # who looks at it may be quicker than who opens it
timeout 120 "$V" exec idle -- sh -c 'echo in; exec sleep 1000' > "$tmp/exec" 2>&1 &
until_has in cat "$tmp/exec"
run 0 "$V" stats --json idle
is "one more" "$(json "$out" 'j[0]["processes"]')" $((before + 1))

# Again and again, elsewhere than on a terminal: tables, or a line of JSON each, until the sandbox ends.
mkfifo "$tmp/watch"
timeout 120 "$V" stats --watch --interval 1 --json idle > "$tmp/watch" &
watcher=$!
exec 3< "$tmp/watch"
read -r line <&3
is "a line" "$(json "$line" 'j[0]["name"], "cpu-percent" in j[0]')" "('idle', True)"
read -r line <&3
is "another" "$(json "$line" 'len(j)')" 1
run 0 "$V" stop idle
cat <&3 > /dev/null
wait "$watcher" || fail "stats --watch ended with $?"
exec 3<&-
timeout 120 sh -c "'$V' stats --watch | head -n 1" > "$tmp/head" || fail "it did not end with its reader"
has "$(cat "$tmp/head")" "NAME"

# On a terminal: a screen of its own, drawn over, and put back by Ctrl-C.
python3 -IS - "$V" > "$tmp/screen" << 'EOS' || fail "the live table: $(cat -v "$tmp/screen")"
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], [sys.argv[1], "stats", "--watch", "--interval", "1"])
seen = b""
while seen.count(b"busy") < 2:
    if not select.select([fd], [], [], 120)[0]:
        sys.exit(f"no table: {seen!r}")
    seen += os.read(fd, 65536)
os.write(fd, b"\x03")
try:
    while True:
        seen += os.read(fd, 65536)
except OSError:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
begin, end = b"\033[?1049h\033[?25l", b"\033[?25h\033[?1049l"
ok = status == 0 and seen.count(begin) == 1 and seen.count(end) == 1 and seen.index(begin) < seen.index(end) and b"\033[2J" not in seen
sys.stdout.buffer.write(seen)
sys.exit(0 if ok else f"status {status}")
EOS

# core: only a machine has one. Nothing is made.
run 1 "$V" core busy "$tmp/core"
has "$err" "is no virtual machine (null)"
[ ! -e "$tmp/core" ] || fail "a file was made"
run 2 "$V" core busy
run 1 "$V" core nobody "$tmp/core"
run 0 "$V" stop busy
