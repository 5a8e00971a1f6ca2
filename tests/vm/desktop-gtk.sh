#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# QEMU's window on a display of the test's own: what is on the screen is in both pictures, and closing it is an end.
. "${0%/*}/lib.sh"
for program in Xvfb xauth xwininfo xsetroot xev openbox /usr/lib/xorg/Xorg; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
bin=$(dirname "$VMCTL")

png () { python3 -B "$vm_here/png.py" "$@"; }

# The desktop
mkfifo "$T/number"
export XAUTHORITY=$T/xauthority
xauth -q add :0 . "$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')" 2>/dev/null
Xvfb -displayfd 3 -nolisten tcp -auth "$XAUTHORITY" -screen 0 1000x800x24 3>"$T/number" 2>"$T/xvfb.log" &
xvfb=$!
read -r number <"$T/number"
vm_more_tidy () { kill $xvfb $manager 2>/dev/null; }
cookie=$(xauth list :0 | head -n 1 | sed 's/.* //')
xauth -q add ":$number" . "$cookie" 2>/dev/null
export DISPLAY=:$number
openbox >/dev/null 2>&1 &
manager=$!

DEADLINE=200
start window --display gtk --size 800x600 "$P" -- sleep 1000
is "$?" 0 "a machine with a window comes up"
[ "$vm_failed" = 0 ] || finish
has_window () { xwininfo -root -tree | grep -q "QEMU (vmctl-$ID)"; }
check "the window is on the desktop" until_true 20 has_window
unlike "$("$VMCTL" exec "$ID" -- sh -c 'echo $DISPLAY; ls /tmp/.X11-unix; xauth list 2>/dev/null; ls -d /tmp/xauthority 2>&1')" "X$number" \
  "the desktop's socket is not in the guest"

# As QEMU says, and as the desktop's own server has it.
shown () { # COLOUR
  "$VMCTL" screenshot "$ID" "$T/in.png" && [ "$(png "$T/in.png" pixel 400 400)" = "$1" ]
}
out () { # COLOUR
  "$bin/vmctl-agent" --screen shot >"$T/raw" && tail -c +"$(($(head -n 1 "$T/raw" | wc -c) + 1))" "$T/raw" |
    "$bin/vmctl-png" 1000 800 >"$T/out.png" && png "$T/out.png" most 350 350 200 100 | grep -q "^$1"
}
"$VMCTL" exec "$ID" -- xsetroot -solid '#cc5500'
check "a colour is in 'vmctl screenshot'" until_true 30 shown cc5500
check "and in the desktop's window" until_true 30 out cc5500
is "$(png "$T/in.png" size)" "800 600" "the screen has the size that was asked for"

# What is done from outside arrives inside. A hand at the window is QEMU's business.
"$VMCTL" exec "$ID" -- sh -c 'exec stdbuf -oL xev -geometry 300x200+100+80 >events 2>&1' </dev/null &
client=$!
check "a program has the keyboard" until_true 30 grep -q "FocusIn event" "$P/events"
run "$VMCTL" input "$ID" click 210 190
run "$VMCTL" input "$ID" type Z
check "a click arrives, at the very pixel" until_true 30 grep -q "root:(210,190)" "$P/events"
check "and a key" until_true 30 grep -q "keysym 0x5a, Z" "$P/events"

# Alt-F4 on the desktop closes the window.
"$bin/vmctl-agent" --screen input key:65513:1 key:65473:1 key:65473:0 key:65513:0
check "closing the window ends the sandbox" control "$ID" wait ended
is "$(record "$ID" reason.kind): $(record "$ID" reason.text)" "stopped: its window was closed" "and that is the reason"
wait $client
kill $xvfb $manager 2>/dev/null
wait $xvfb $manager 2>/dev/null
finish
