#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sockets of the host inside a machine: ssh-agent and D-Bus for real, bulk and many at once, half closes,
# and what happens when an end goes. With VM_DRIVER=bwrap the sockets are bound, and most must be the same.
. "${0%/*}/lib.sh"
command -v ssh-agent >/dev/null || skip_all "ssh-agent is missing"

peer=$vm_here/relay.py
cp "$peer" "$P/relay.py"
servers=()
serve () {
  rm -f "$T/ready"
  mkfifo "$T/ready"
  python3 "$peer" serve "$T/host.sock" >"$T/ready" &
  server=$!
  read -r _ <"$T/ready"
  servers+=("$server")
}
# In the background until the test ends; it is ready when its socket takes a connection.
daemon () { # SOCKET COMMAND...
  local socket=$1
  shift
  timeout 900 "$@" >"$T/daemon.log" 2>&1 &
  servers+=($!)
  until_true 30 python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$socket" ||
    { no "$1 listens"; cat "$T/daemon.log"; }
}
stop_servers () {
  kill "${servers[@]}" 2>/dev/null
  wait "${servers[@]}" 2>/dev/null
}
vm_more_tidy () { stop_servers; }

serve
ssh-keygen -q -t ed25519 -N '' -C 'the key of the test' -f "$T/key"
daemon "$T/ssh.sock" ssh-agent -D -a "$T/ssh.sock"
SSH_AUTH_SOCK=$T/ssh.sock ssh-add -q "$T/key" 2>/dev/null
options=(--socket "$T/host.sock:/tmp/in.sock" --socket "$T/host.sock:/srv/deep er/in.sock" -g ssh-agent)
if command -v dbus-daemon >/dev/null; then
  daemon "$T/bus" dbus-daemon --session --nofork --nosyslog --address="unix:path=$T/bus"
  options+=(--socket "$T/bus:/tmp/bus")
fi
export SSH_AUTH_SOCK=$T/ssh.sock
start relay "${options[@]}" "$P" -- sleep infinity || { no "the sandbox starts"; finish; }
into () { timeout -k 5 "$((${DEADLINE:-200} * SLOW))" "$VMCTL" exec relay -- "$@"; }
client () { into python3 ./relay.py /tmp/in.sock "$@" 2>&1; }

is "$(into stat -c '%F %U' /tmp/in.sock)" "socket $ME" "the socket inside"
is "$(client echo 'a text')" "a text" "there and back"
is "$(into python3 ./relay.py '/srv/deep er/in.sock' echo 'a text')" "a text" "a second place, whose directories were made"
is "$(client sink 50000000)" same "50 MB out"
is "$(client source 50000000)" same "50 MB in"
is "$(client many 16 1000000)" "16 of 16" "16 connections at once, both ways"
is "$(client many 50 1000)" "50 of 50" "more connections than are relayed at once"
is "$(client late)" "late answer to the question" "the inside ends its half first"
is "$(client bye)" "bye still here" "the outside ends its half first"
is "$(client leave)" "last words" "who leaves has been heard"
is "$(client deaf)" "broken pipe" "nobody reads any more: the writer is told"

# Real programs
like "$(into ssh-add -l 2>&1)" "the key of the test (ED25519)" "ssh-add -l shows the key of the host's agent"
cp "$T/key.pub" "$P/key.pub"
is "$(into sh -c 'echo text >t && ssh-keygen -q -Y sign -n file -f key.pub t 2>/dev/null && grep -c BEGIN t.sig')" \
  1 "the agent signs for the inside"
if command -v dbus-daemon >/dev/null; then
  like "$(into dbus-send --bus=unix:path=/tmp/bus --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId 2>&1)" \
    "method return" "a bus of the host answers"
else
  skip "no dbus-daemon" "a bus of the host answers"
fi
if [ "$VM_DRIVER" = qemu ]; then
  # A connection that stands still disturbs nobody, nor does a detached sandbox.
  mkfifo "$T/held"
  into python3 -u ./relay.py /tmp/in.sock hold >"$T/held" 2>/dev/null &
  exec 8<"$T/held"
  read -r held <&8
  is "$held" held "a connection is held"
  is "$(client echo beside)" beside "and another goes on beside it"

  # The supervisor is killed, another takes over.
  kill -9 "$(pid_of "$ID" supervisor)"
  check "the sandbox is taken over" "$VMCTL" list
  control "$ID" wait running
  is "$(client echo again)" again "a new connection works with the new supervisor"

  # The server goes, and comes back.
  kill "$server"
  wait "$server" 2>/dev/null
  is "$(client gone)" closed "nobody serves: the connection ends"
  rm "$T/host.sock"
  is "$(client gone)" closed "no socket: the connection ends"
  is "$("$VMCTL" logs --supervisor relay | grep -c 'relay to .* refused')" 1 "the log says so once"
  serve
  is "$(client echo back)" back "it is there again, and so is the relay"
fi

check "the sandbox stops" "$VMCTL" stop relay
check "the host's sockets are still there" test -S "$T/host.sock" -a -S "$T/ssh.sock"
stop_servers
finish
