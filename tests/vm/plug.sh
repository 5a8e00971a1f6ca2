#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Plugging into a running machine: each kind, what is refused, and that a plug that fails at any step leaves QEMU as it
# was.
. "${0%/*}/lib.sh"

mkdir "$T/more" "$T/cut"
echo "from the host" >"$T/more/file"
truncate -s 64M "$T/raw.img"
VMCTL_FAILPOINT=plugging start one --memory 512M --cpus 1 --root-ports 3 "$P" -- sleep infinity
ONE=$ID

plug () { run "$VMCTL" plug one "$@"; }
unplug () { run "$VMCTL" unplug one "$@"; }
inside () { run "$VMCTL" exec one -- sh -c "$1"; }
machine () { # all that QEMU has, but for what counts or moves by itself
  local c
  for c in query-block query-named-block-nodes query-chardev query-fdsets query-memory-devices query-memdev query-pci \
    'human-monitor-command {"command-line":"info\u0020network"}' 'qom-list {"path":"/machine/peripheral"}' 'qom-list {"path":"/objects"}' 'qom-list {"path":"/chardevs"}'; do
    # shellcheck disable=SC2086
    control "$ONE" do $c
  done | python3 -c '
import re, sys
moves = r"\"(actual-size|address|base|limit|secondary|subordinate|bus)\": -?\d+"
print(re.sub(moves, r"\1", sys.stdin.read()).replace(", ", ",\n"))'
  pgrep -c -P "$(pid_of "$ONE" keeper)" -x vmctl-net
  "$VMCTL" net show "$ONE"
  ls "$XDG_RUNTIME_DIR/vmctl/$ONE" "$XDG_RUNTIME_DIR/vmctl/$ONE/door"
  "$VMCTL" devices --json one
}
refused () { # WHAT TEXT ARGS...: that it is refused, with these words, and nothing has changed
  local what=$1 text=$2
  shift 2
  plug "$@"
  is "$STATUS" 1 "refused: $what"
  like "$ERR" "$text" "  and why"
}

# A supervisor that is killed in the middle
supervisor=$(pid_of "$ONE" supervisor)
plug dir "$T/more:/mnt/half"
is "$STATUS" 1 "a supervisor that is killed behind the first step"
until_true 20 dead "$supervisor"
nothing_plugged () { [ "$("$VMCTL" devices --json one | tr -d ' \n')" = "[]" ]; }
check "the next one takes what is half done away" until_true 30 nothing_plugged
is "$(ls "$XDG_RUNTIME_DIR/vmctl/$ONE/door")" "" "and leaves nothing at the door"

# Directories
plug dir "$T/more:/mnt/a b/more"
is "$STATUS $OUT" "0 dir0	/mnt/a b/more" "a directory is plugged"
inside 'cat "/mnt/a b/more/file" && echo inside >"/mnt/a b/more/new"'
is "$OUT" "from the host" "it is there, where nothing was"
is "$(cat "$T/more/new")" inside "and can be written"
plug dir "$T/more:ro" --id read
inside "cat $T/more/file && ! echo x >$T/more/file"
is "$STATUS" 0 "read-only, at its own path"
run "$VMCTL" exec --root one -- sh -c "mount -o remount,rw,bind $T/more; echo x >$T/more/file"
is "$(cat "$T/more/file")" "from the host" "which root inside cannot change"
refused "the same id twice" "'read'" dir "$T/cut" --id read
refused "all of the host" "all of this host" dir /
refused "the home" "home directory" dir "$MY_HOME"
refused "vmctl's own" "no sandbox may see" dir "$XDG_STATE_HOME/vmctl"
refused "what holds vmctl's own" "no sandbox may see" dir "$XDG_RUNTIME_DIR"
refused "a file" "no directory" dir "$T/more/file"
refused "what is not there" "No such file" dir "$T/nothing"
refused "over the project" "the project" dir "$T/cut:$P"
refused "over the kernel's" "kernel's" dir "$T/cut:/proc/1"
refused "a mount point on the host" "make it first" dir "$T/cut:$P/not-there"
check_not "  which is not made" test -e "$P/not-there"
unplug dir0 read
inside "ls '/mnt/a b/more' && ! cat $T/more/file"
is "$STATUS $OUT" "0 " "they are taken away again"
is "$(ls "$XDG_RUNTIME_DIR/vmctl/$ONE/door")" "" "and leave nothing at the door"

# Disks
plug disk 64M
is "$STATUS $OUT" "0 disk0	/dev/vdb" "a new disk is plugged"
inside 'echo on the disk >/dev/vdb && head -c 11 /dev/vdb'
is "$OUT" "on the disk" "the user inside can use it"
plug disk "$T/raw.img" --id raw
inside 'echo kept >/dev/vdc && sync /dev/vdc'
is "$(head -c 4 "$T/raw.img")" kept "what is written to a raw file is in it"
start two --memory 512M --cpus 1 "$P" --new -- sleep infinity
run "$VMCTL" plug two disk "$T/raw.img"
is "$STATUS" 1 "refused: another sandbox's disk"
like "$ERR" "in use" "  and why"
run "$VMCTL" plug two disk "$T/raw.img:ro"
is "$STATUS" 1 "refused: to read it, while the other writes"
check "the other sandbox ends" "$VMCTL" stop two
plug disk 16M
refused "a fourth device" "has 3" disk 16M
like "$ERR" "--root-ports" "  and the mend"
unplug raw disk0 disk1
is "$STATUS" 0 "disks are taken away"
inside 'ls /dev/vdb /dev/vdc 2>/dev/null'
is "$OUT" "" "and are gone inside"
printf 'QFI\373\0\0\0\3' | dd of="$T/raw.img" conv=notrunc status=none
refused "a raw file with a qcow2 head" ":raw" disk "$T/raw.img"
plug disk "$T/raw.img:raw:ro"
inside 'head -c 3 /dev/vdb; echo x 2>/dev/null >/dev/vdb'
is "$OUT" QFI "as raw it shows its bytes, whatever they are"
is "$(head -c 3 "$T/raw.img")" QFI "and read-only it is"
unplug disk0
printf '\0\0\0\1' | dd of="$T/raw.img" bs=1 seek=12 conv=notrunc status=none
refused "a backing file" "backing file" disk "$T/raw.img:qcow2"
refused "no disk at all" "neither" disk /dev/null
unplug scratch
is "$STATUS" 1 "refused: to unplug the machine's own disk"

# Lines, ports, sizes
plug serial talk
is "$STATUS $OUT" "0 serial0	/dev/virtio-ports/talk" "a serial line is plugged"
is "$(stat -c %a "$XDG_RUNTIME_DIR/vmctl/$ONE/serial-talk.sock")" 600 "its socket is the user's alone"
inside '(until read -r line </dev/virtio-ports/talk; do sleep 0.1; done; echo "got $line" >/dev/virtio-ports/talk) >/dev/null 2>&1 &'
is "$(python3 -c '
import os, socket, sys
os.chdir(sys.argv[1])
s = socket.socket(socket.AF_UNIX)
s.connect("serial-talk.sock")
s.sendall(b"hello\n")
print(s.makefile().readline().strip())' "$XDG_RUNTIME_DIR/vmctl/$ONE")" "got hello" "and speaks both ways"
refused "the same name" "'talk'" serial talk
unplug serial0
check_not "its socket is gone" test -e "$XDG_RUNTIME_DIR/vmctl/$ONE/serial-talk.sock"

cat >"$P/serve.py" <<'END'
import socketserver
class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())
server = socketserver.ThreadingTCPServer(("127.0.0.1", 7777), Upper)
open("serving", "w").close()
server.serve_forever()
END
inside "python3 serve.py >/dev/null 2>&1 & while ! test -e serving; do sleep 0.1; done"
# One that the kernel gives to nobody who wants just any, and another test looks for elsewhere.
port=$(python3 -c '
import itertools, socket, sys
for port in itertools.count(10000 + int(sys.argv[1]) % 20000):
    try:
        socket.socket().bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(port)' $$)
plug port "$port:7777"
is "$STATUS" 0 "a port is plugged"
ask () { python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 120)
s.sendall(b"a" * 1000000)
s.shutdown(socket.SHUT_WR)
print(len(s.makefile().read().strip("A")), end="")' "$port"; }
is "$(ask)" 0 "a megabyte goes there and back"
refused "a port in use" "in use" port "$port:80"
refused "an address of others" "no address" port "192.0.2.1:$port:80"
supervisor=$(pid_of "$ONE" supervisor)
kill -KILL "$supervisor"
until_true 20 dead "$supervisor"
vm list >/dev/null
is "$(ask)" 0 "a supervisor that takes over listens again"
unplug port0
check_not "then nobody listens" ask

plug cpu 64
is "$STATUS" 1 "refused: more processors than there are"
if [ "$(nproc)" -gt 1 ]; then
  plug cpu 2
  inside nproc
  is "$OUT" 2 "a processor more"
  unplug cpu
  inside nproc
  is "$OUT" 1 "and one less"
else
  skip "one processor" "a processor more"
fi
refused "memory that is no multiple" "128M" mem 700M
memory () { inside 'sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo'; }
memory
before=$OUT
plug mem 768M
memory
is "$((OUT - before))" 262144 "256 MiB more"
unplug mem
memory
is "$OUT" "$before" "and less"

# A failure behind each step
unchanged () { # STEPS ARGS...
  local i steps=$1
  shift
  for i in $(seq "$steps"); do
    VMCTL_PLUGFAIL=$i plug "$@"
    like "$STATUS $ERR" "1 *behind step $i" "$1: fails behind step $i"
    is "$(machine)" "$was" "  and all is as before"
  done
  run "$VMCTL" plug one "$@" --dry-run
  is "$(wc -l <"$T/out")" "$steps" "  those are all steps"
}
was=$(machine)
unchanged 2 dir "$T/more:/mnt/more"
inside 'ls /mnt/more'
is "$OUT" "" "nothing is left inside"
unchanged 5 disk 64M
unchanged 5 serial talk
unchanged 7 nic
inside 'ls /sys/class/net'
is "$OUT" "eth0
lo" "there is no other card"
unchanged 4 mem 768M
memory
is "$OUT" "$before" "its memory is what it was"
unchanged 1 port "$port:7777"
check_not "nobody listens" ask

# From the start
start three --memory 512M --cpus 1 --new --plug "dir=$T/more:/mnt/more:ro" --plug disk=16M "$P" -- \
  sh -c 'cat /mnt/more/file >early && test -b /dev/vdb && echo there >>early; sleep infinity'
check "the command runs" until_true 60 grep -q . "$P/early"
until_true 20 grep -q there "$P/early"
is "$(cat "$P/early")" "from the host
there" "what up --plug names is there before the command"
check "it ends" "$VMCTL" stop three
run_up --memory 512M --cpus 1 --new --plug "port=$port:1" --plug "port=$port:2" "$P" -- true
is "$STATUS" 125 "a plug that cannot be is the end"
like "$ERR" "in use" "and why"
run_up --new --plug "dir=" "$P" -- true
is "$STATUS" 125 "one that makes no sense even before"
check "the machine ends" "$VMCTL" stop one
finish
