#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A machine's screen, without a window: what tests/drivers (display-*) does not ask of every driver.
. "${0%/*}/lib.sh"
[ -x /usr/lib/xorg/Xorg ] || skip_all "Xorg is not installed"

png () { python3 -B "$vm_here/png.py" "$@"; }
inside () { run "$VMCTL" exec "$ID" -- "$@"; }

start screen --display vnc --size 800x600 "$P" -- sh -c 'echo up >up; exec sleep 1000'
until_true 60 test -e "$P/up" || note "the command does not start"
inside sh -c 'xdpyinfo | grep -c "dimensions: *800x600"; xsetroot -solid "#cc5500" && echo drawn'
is "$OUT" $'1\ndrawn' "Xorg has the size that was asked for, and draws"
shown () { run "$VMCTL" screenshot "$ID" "$T/a.png"; [ "$(png "$T/a.png" pixel 799 599)" = cc5500 ]; }
until_true 60 shown # the server in the guest draws when it comes to it
is "$STATUS $(png "$T/a.png" size) $(png "$T/a.png" pixel 799 599)" "0 800 600 cc5500" "QEMU's picture shows it"
inside sh -c 'ps -o user:32=,comm= -C Xorg,openbox | sort'
is "$OUT" "$(printf '%-32s Xorg\n%-32s openbox' "$ME" "$ME")" "server and window manager are the user's"
inside sh -c 'ls /dev/dri; cat /proc/cmdline'
like "$OUT" "card0" "there is a graphics card"
like "$(record "$ID" display) $(record "$ID" size)" "vnc 800x600" "the record knows"

# QMP, as any tool speaks it.
run "$VMCTL" qmp "$ID" query-screen
like "$OUT" '"width": 800' "query-screen"
run "$VMCTL" qmp "$ID" input-send-event '{"events": [{"type": "key", "data": {"down": true, "key": {"type": "qcode", "data": "nosuch"}}}]}'
is "$STATUS" 1 "QEMU's own refusals come back"
run "$VMCTL" logs --supervisor "$ID"
unlike "$OUT" "qcode" "what is typed is not logged"

# VNC: a socket of ours, to which a client speaks RFB.
vnc=$XDG_RUNTIME_DIR/vmctl/$ID/vnc.sock
is "$(stat -c %a "$vnc")" 600 "VNC's socket is the user's alone"
run "$VMCTL" status "$ID"
like "$OUT" "VNC at $vnc" "status shows where it is"
greet () {
  python3 -c '
import os, socket, sys
d = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)
for i in range(3):
    s = socket.socket(socket.AF_UNIX); s.settimeout(120); f = s.makefile("rb")
    s.connect(f"/proc/self/fd/{d}/" + os.path.basename(sys.argv[1]))
    print(f.read(12).decode().strip())
    s.sendall(b"RFB 003.008\n"); n = f.read(1)[0]; kinds = f.read(n)
    assert 1 in kinds, kinds
    s.sendall(b"\1"); assert f.read(4) == b"\0\0\0\0"
    s.sendall(b"\1"); head = f.read(24)
    print(int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big"))
    f.close(); s.close()' "$vnc"
}
is "$(greet 2>&1 | sort -u)" $'800 600\nRFB 003.008' "three clients, one after the other, see the screen"

# It ends with everything in it.
run "$VMCTL" stop "$ID"
is "$STATUS" 0 "it stops"
nothing_left "nothing is left of it"

# An X server that cannot work is said with its own words; nothing runs on as if there were one.
run "$VMCTL" up -q --driver qemu --accel tcg --display none --kernel /nonexistent "$P" -- true
is "$STATUS" 125 "a kernel that is not there: an error"
finish
