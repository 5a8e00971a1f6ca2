#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# QEMU's window on a display of the test's own: what is on the screen is in both pictures, its menu ends the sandbox in
# good order, and closing it is an end.
. "${0%/*}/lib.sh"
. "${0%/*}/desk.sh"
[ -x /usr/lib/xorg/Xorg ] || skip_all "Xorg is not installed"
desk_begin

DEADLINE=200
start window --display gtk --size 800x600 "$P" -- sh -c 'trap "echo asked >ended; exit 3" TERM; sleep 1000 & echo up >up; wait'
is "$?" 0 "a machine with a window comes up"
[ "$vm_failed" = 0 ] || finish
check "the window is on the desktop" until_true 20 desk_window "QEMU (vmctl-$ID)"
unlike "$("$VMCTL" exec "$ID" -- sh -c 'echo $DISPLAY; ls /tmp/.X11-unix; xauth list 2>/dev/null; ls -d /tmp/xauthority 2>&1')" \
  "X${DISPLAY#:}" "the desktop's socket is not in the guest"

# As QEMU says, and as the desktop's own server has it.
"$VMCTL" exec "$ID" -- xsetroot -solid '#cc5500'
check "a colour is in 'vmctl screenshot'" until_true 30 shown cc5500 400 400
check "and in the desktop's window" until_true 30 desk_shows cc5500
is "$(png "$T/in.png" size)" "800 600" "the screen has the size that was asked for"

# What is done from outside arrives inside. A hand at the window is QEMU's business.
"$VMCTL" exec "$ID" -- sh -c 'exec stdbuf -oL xev -geometry 300x200+100+80 >events 2>&1' </dev/null &
client=$!
check "a program has the keyboard" until_true 30 grep -q "FocusIn event" "$P/events"
run "$VMCTL" input "$ID" click 210 190
run "$VMCTL" input "$ID" type Z
check "a click arrives, at the very pixel" until_true 30 grep -q "root:(210,190)" "$P/events"
check "and a key" until_true 30 grep -q "keysym 0x5a, Z" "$P/events"

# Machine, Power Down: the third of its items. The menu's name is at the left of the window's upper edge.
check "the command runs" until_true 60 test -e "$P/up"
check "the window has the keyboard" until_true 60 desk_active "QEMU (vmctl-$ID)"
read -r x y <<<"$(desk_window "QEMU (vmctl-$ID)")"
desk_input "abs:$((x + 25)):$((y + 12))" btn:1:1 btn:1:0
desk_input key:65364:1 key:65364:0 key:65364:1 key:65364:0 key:65364:1 key:65364:0 key:65293:1 key:65293:0
check "the menu ends the sandbox" control "$ID" wait ended
is "$(record "$ID" reason.kind): $(record "$ID" reason.text)" "stopped: from the menu of its window" "and that is the reason"
is "$(cat "$P/ended")" asked "what ran inside was asked to end"
wait $client

# Alt-F4 on the desktop closes the window.
start closed --display gtk --size 800x600 "$P" -- sleep 1000
check "another one comes up, and has the keyboard" until_true 60 desk_active "QEMU (vmctl-$ID)"
desk_input key:65513:1 key:65473:1 key:65473:0 key:65513:0
check "closing the window ends the sandbox" control "$ID" wait ended
is "$(record "$ID" reason.kind): $(record "$ID" reason.text)" "stopped: its window was closed" "and that is the reason"
desk_end
finish
