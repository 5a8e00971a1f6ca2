#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The window of a sandbox without a machine ($VM_DRIVER): a viewer's, outside, in a jail. What is on the screen inside is
# in it, what is done in it arrives inside, and nothing of the desktop does.
. "${0%/*}/lib.sh"
. "${0%/*}/desk.sh"
for program in Xvnc xtigervncviewer; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
desk_begin

start window --net none --display gtk --size 800x600 "$P" -- sh -c 'echo $DISPLAY >>up; exec sleep 1000'
is "$?" 0 "a sandbox with a window comes up"
[ "$vm_failed" = 0 ] || finish
check "the window is on the desktop" until_true 20 desk_window "TigerVNC"
is "$("$VMCTL" exec "$ID" -- sh -c 'echo $DISPLAY; ls /tmp/.X11-unix')" $':0\nX0' "inside there is only its own display"

"$VMCTL" exec "$ID" -- xsetroot -solid '#cc5500'
check "a colour is in 'vmctl screenshot'" until_true 30 shown cc5500 400 400
check "and in the desktop's window" until_true 30 desk_shows cc5500
is "$(png "$T/in.png" size)" "800 600" "the screen has the size that was asked for"

# A hand at the window.
"$VMCTL" exec "$ID" -- sh -c 'exec stdbuf -oL xev -geometry 300x200+100+80 >events 2>&1' </dev/null &
client=$!
check "a program has the keyboard" until_true 30 grep -q "FocusIn event" "$P/events"
clicked () {
  desk_input abs:450:370 btn:1:1 btn:1:0
  grep -q "ButtonPress event" "$P/events"
}
check "a click in the window arrives" until_true 30 clicked
typed () {
  desk_input key:122:1 key:122:0
  grep -q "keysym 0x7a, z" "$P/events"
}
check "and a key" until_true 30 typed

# The window goes with a supervisor that is killed, and the next one opens another; what runs inside does not notice.
kill -KILL "$(record "$ID" supervisor.pid)"
check "a supervisor that comes after finds the sandbox" until_true 20 "$VMCTL" exec "$ID" -- true
check "and opens its window again" until_true 20 desk_window "TigerVNC"
check "with what was on the screen" until_true 30 desk_shows cc5500
wait $client
is "$(cat "$P/up")" ":0" "and the command is the same"

run "$VMCTL" restart "$ID"
is "$STATUS" 0 "it restarts"
check "with a window, which has the keyboard" until_true 60 desk_active "TigerVNC"

desk_input key:65513:1 key:65473:1 key:65473:0 key:65513:0
check "closing the window ends the sandbox" control "$ID" wait ended
is "$(record "$ID" reason.kind): $(record "$ID" reason.text)" "stopped: its window was closed" "and that is the reason"
nothing_left "nothing is left of it"
desk_end
finish
