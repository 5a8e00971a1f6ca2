#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# QEMU's window on a display of the test's own, and Chromium in the guest: a page is seen in both pictures, and is
# typed into and clicked at. Chromium with its own sandbox wants an ordinary user.
. "${0%/*}/lib.sh"
for program in chromium Xvfb xauth xwininfo openbox /usr/lib/xorg/Xorg; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
[ "$(id -u)" != 0 ] || skip_all "Chromium does not run as root; this is for an ordinary user"
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
openbox 2>/dev/null &
manager=$!

cat >"$P/page.html" <<'END'
<!DOCTYPE html><title>vmctl page</title><body style="margin:0;background:#2266aa;height:2000px"><script>
let typed = "";
onkeydown = e => { if (e.key.length == 1) typed += e.key; document.title = "TYPED " + typed; };
onclick = e => document.title = "CLICKED " + e.screenX + " " + e.screenY;
</script>
END

DEADLINE=200
# A small screen: under emulation every pixel of a browser counts. And no network, for it asks there first.
start window --net none --display gtk --size 800x600 --memory 2G --cpus 2 "$P" -- sleep 1000
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

"$VMCTL" exec "$ID" -- chromium "file://$P/page.html" >"$T/chromium.log" 2>&1 </dev/null &
chromium=$!
titled () { "$VMCTL" exec "$ID" -- xwininfo -root -tree 2>/dev/null | grep -q "\"$1"; }
if until_true 200 titled "vmctl page"; then ok "Chromium shows a page of the project, without flags"; else
  no "Chromium shows a page of the project, without flags"
  note "$(tail -n 20 "$T/chromium.log")"
fi
check "the page's colour is in 'vmctl screenshot'" until_true 30 shown 2266aa
check "and in the desktop's window" until_true 30 out 2266aa

clicked () { titled "CLICKED 400 400" || { "$VMCTL" input "$ID" click 400 400; return 1; }; }
check "input click does, at the very pixel" until_true 30 clicked
typed () { titled "TYPED Hi%5" || { "$VMCTL" input "$ID" type 'Hi%5'; return 1; }; }
check "input type changes the page's title" until_true 30 typed
run "$VMCTL" exec "$ID" -- sh -c 'ls ~/.config/chromium/Default >/dev/null && echo own; echo "bus $DBUS_SESSION_BUS_ADDRESS"'
is "$OUT" $'own\nbus ' "the browser has a profile, and no session bus"
check "the profile is the project's, in the state directory" sh -c "ls '$XDG_STATE_HOME'/vmctl/projects/*/chromium/* >/dev/null"

# Alt-F4 on the desktop closes the window.
"$bin/vmctl-agent" --screen input key:65513:1 key:65473:1 key:65473:0 key:65513:0
check "closing the window ends the sandbox" control "$ID" wait ended
is "$(record "$ID" reason.kind): $(record "$ID" reason.text)" "stopped: its window was closed" "and that is the reason"
wait $chromium
kill $xvfb $manager 2>/dev/null
wait $xvfb $manager 2>/dev/null
finish
