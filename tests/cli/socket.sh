#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# --socket: what is refused; and, with the null driver, the relay itself: agent, supervisor, a server of the host. The
# null driver makes the sockets below the runtime directory, in root/.
. "$(dirname "$0")/lib.sh"
requires python3

peer="python3 $here/../vm/relay.py"
# Starts the server and waits until it listens.
serve () {
  mkfifo "$tmp/.ready" || exit 1
  $peer serve "$tmp/host.sock" > "$tmp/.ready" &
  server=$!
  read -r _ < "$tmp/.ready" || fail "the server does not start"
  rm "$tmp/.ready"
}
stop_server () {
  kill "$server"
  wait "$server" 2> /dev/null
}
serve
on_exit 'kill "$server" 2> /dev/null'

# What is no socket that one should talk to, and no place for one.
touch "$tmp/file"
ln -s host.sock "$tmp/link"
mkdir -m 0777 "$tmp/open"
refused () {
  run 125 up --socket "$1" -- true
  has "$err" "--socket"
  has "$err" "$2"
}
refused "$tmp/nothing" "is not there"
refused "$tmp/file" "not a socket"
refused "$tmp/project" "not a socket"
refused "$tmp/link" "symbolic link"
refused "$tmp/host.sock:relative" "not an absolute path"
refused "$tmp/host.sock:" "not an absolute path"
refused ":/x" "names no socket"
refused "$tmp/host.sock:/proc/x" "no place for a socket"
refused "$tmp/host.sock:/run/vmctl/x" "no place for a socket"
refused "$tmp/host.sock:$tmp/project/x" "shared with the host"
refused "$tmp/host.sock:/usr/bin/x" "read-only"
refused "$tmp/host.sock:/tmp" "is there already"
refused "$tmp/host.sock:/" "is there already"
chmod 0777 "$tmp/open"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$tmp/open/s"
refused "$tmp/open/s" "everybody can write"
run 0 "$V" plan --driver null --socket "$tmp/host.sock:/in.sock"
has "$out" "/in.sock from $tmp/host.sock"

# The path may be relative; two names are two sockets.
run 0 up -d --socket ../host.sock:/in.sock --socket "$tmp/host.sock:/a b/other.sock" -- sleep 1000
id=$out
run 0 "$V" exec "$id" -- true # it is up
root=$XDG_RUNTIME_DIR/vmctl/$id/root
is "the mode" "$(stat -c '%F %a %U' "$root/in.sock")" "socket 600 $(id -un)"
run 125 "$V" up --driver null --socket "$tmp/host.sock" -- true
has "$err" "--socket cannot change it"
run 125 up --new --socket "$XDG_RUNTIME_DIR/vmctl/$id/control.sock:/x" -- true
has "$err" "vmctl's own"

client () { # WANTED ARGUMENTS...
  wanted=$1
  shift
  run 0 timeout 120 $peer "$root/in.sock" "$@"
  is "$*" "$out" "$wanted"
}
client "some text" echo "some text"
client same sink 5000000
client same source 5000000
client "late answer to the question" late
client "bye still here" bye
client "last words" leave
client "broken pipe" deaf
client "16 of 16" many 16 300000
client "80 of 80" many 80 1000
run 0 timeout 120 $peer "$root/a b/other.sock" echo other
is "the other socket" "$out" other

# The supervisor keeps nothing that it has no use for.
supervisor=$(python3 -ISc 'import json, sys; print(json.load(open(sys.argv[1]))["supervisor"]["pid"])' \
  "$XDG_RUNTIME_DIR/vmctl/$id/record.json")
hasnt "$(ls -l "/proc/$supervisor/fd")" memfd

# The server has gone: the connection ends, the log says so once; it comes back: so does the relay.
stop_server
for _ in 1 2 3; do client closed gone; done
rm "$tmp/host.sock"
client closed gone
run 0 "$V" logs --supervisor "$id"
is "complaints" "$(printf '%s\n' "$out" | grep -c 'relay to .* refused')" 1
serve
client back echo back

# The supervisor is killed and another takes over: what was open ends, new connections work.
mkfifo "$tmp/.held" || exit 1
timeout 120 $peer "$root/in.sock" hold > "$tmp/.held" &
holder=$!
exec 4< "$tmp/.held"
read -r line <&4
is "the held connection" "$line" held
kill -9 "$supervisor"
run 0 "$V" list
has "$out" "$id"
read -r line <&4
is "the held connection, afterwards" "$line" ended
wait "$holder"
client again echo again

run 0 "$V" stop "$id"
[ ! -e "$XDG_RUNTIME_DIR/vmctl/$id" ] || fail "the runtime directory is still there"
[ -S "$tmp/host.sock" ] || fail "the host's socket is gone"
