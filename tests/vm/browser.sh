#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Chromium in a machine, by its plain name, with its own sandbox: a page of the project is in the picture, and is typed
# into and clicked at. Under emulation that takes a minute or two.
. "${0%/*}/lib.sh"
for program in chromium xwininfo openbox /usr/lib/xorg/Xorg; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
[ "$(id -u)" != 0 ] || skip_all "Chromium does not run as root; this is for an ordinary user"
png () { python3 -B "$vm_here/png.py" "$@"; }

cat >"$P/page.html" <<'END'
<!DOCTYPE html><title>vmctl page</title><body style="margin:0;background:#2266aa;height:2000px"><script>
let typed = "";
onkeydown = e => { if (e.key.length == 1) typed += e.key; document.title = "TYPED " + typed; };
onclick = e => document.title = "CLICKED " + e.screenX + " " + e.screenY;
</script>
END

# A small screen, for every pixel counts; and no network, for that is where a browser looks first.
start browser --net none --display none --size 800x600 --memory 2G --cpus 2 "$P" -- sleep 1000
is "$?" 0 "a machine with a screen comes up"
[ "$vm_failed" = 0 ] || finish

"$VMCTL" exec "$ID" -- chromium "file://$P/page.html" >"$T/chromium.log" 2>&1 </dev/null &
chromium=$!
titled () { "$VMCTL" exec "$ID" -- xwininfo -root -tree 2>/dev/null | grep -q "\"$1"; }
if until_true 200 titled "vmctl page"; then ok "Chromium shows a page of the project, without flags"; else
  no "Chromium shows a page of the project, without flags"
  note "$(tail -n 20 "$T/chromium.log")"
fi
shown () { "$VMCTL" screenshot "$ID" "$T/in.png" && [ "$(png "$T/in.png" pixel 400 400)" = 2266aa ]; }
check "the page's colour is in 'vmctl screenshot'" until_true 30 shown

clicked () { titled "CLICKED 400 400" || { "$VMCTL" input "$ID" click 400 400; return 1; }; }
check "input click does, at the very pixel" until_true 30 clicked
typed () { titled "TYPED Hi%5" || { "$VMCTL" input "$ID" type 'Hi%5'; return 1; }; }
check "input type changes the page's title" until_true 30 typed
run "$VMCTL" exec "$ID" -- sh -c 'ls ~/.config/chromium/Default >/dev/null && echo own; echo "bus $DBUS_SESSION_BUS_ADDRESS"'
is "$OUT" $'own\nbus ' "the browser has a profile, and no session bus"
check "the profile is the project's, in the state directory" sh -c "ls '$XDG_STATE_HOME'/vmctl/projects/*/chromium/* >/dev/null"

run "$VMCTL" stop "$ID"
wait $chromium
finish
