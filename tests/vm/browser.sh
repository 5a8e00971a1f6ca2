#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Chromium in a machine, by its plain name, with its own sandbox: a page of the project is in the picture and in the window
# on a desktop of the test's own, and is clicked at and typed into. The page says by its colour what has happened. Nobody asks the guest meanwhile: under emulation that
# costs as much as what is asked about, and the picture costs the guest nothing.
. "${0%/*}/lib.sh"
. "${0%/*}/desk.sh"
for program in chromium /usr/lib/xorg/Xorg; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
[ "$(id -u)" != 0 ] || skip_all "Chromium does not run as root; this is for an ordinary user"

cat >"$P/page.html" <<'END'
<!DOCTYPE html><title>vmctl page</title><body style="margin:0;background:#2266aa;height:2000px"><script>
let typed = "";
onkeydown = e => {
  if (e.key.length == 1) typed += e.key;
  document.title = "TYPED " + typed;
  if (typed == "Hi%5") document.body.style.background = "#22aa66";
};
onclick = e => {
  document.title = "CLICKED " + e.screenX + " " + e.screenY;
  document.body.style.background = "#aa2266";
};
</script>
END

# In the middle of the page, once a second: until_colour SECONDS COLOUR
until_colour () {
  local end=$((SECONDS + $1 * SLOW)) colour=
  while [ "$colour" != "$2" ] && [ "$SECONDS" -lt "$end" ]; do
    sleep 1
    "$VMCTL" screenshot "$ID" "$T/in.png" && colour=$(png "$T/in.png" pixel 400 400)
  done
  [ "$colour" = "$2" ]
}
# The window's title follows the page, sometimes seconds later: until_title TEXT
title () { "$VMCTL" exec "$ID" -- xwininfo -root -tree | sed -n 's/.*"\(.*\) - Chromium".*/\1/p' | head -n 1; }

until_title () {
  local end=$((SECONDS + 60 * SLOW)) title
  while title=$(title) && [ "$title" != "$1" ] && [ "$SECONDS" -lt "$end" ]; do sleep 2; done
  [ "$title" = "$1" ] || { echo "the title is '$title'"; return 1; }
}

desk_begin
start browser --net none --display gtk --size 800x600 --memory 2G --cpus 2 "$P" -- sleep 1000
is "$?" 0 "a machine with a screen comes up"
[ "$vm_failed" = 0 ] || finish

SECONDS=0
"$VMCTL" exec "$ID" -- chromium "file://$P/page.html" >"$T/chromium.log" 2>&1 </dev/null &
chromium=$!
if until_colour 90 2266aa; then ok "Chromium shows a page of the project, without flags"; else
  no "Chromium shows a page of the project, without flags"
  note "$(tail -n 20 "$T/chromium.log")"
fi
note "after $SECONDS s"
check "and in the window" until_true 20 desk_shows 2266aa
check "and its title" until_title "vmctl page"

run "$VMCTL" input "$ID" click 400 400
check "input click changes the page" until_colour 30 aa2266
check "at the very pixel" until_title "CLICKED 400 400"
run "$VMCTL" input "$ID" type 'Hi%5'
check "input type changes the page" until_colour 30 22aa66
check "also in the window" until_true 20 desk_shows 22aa66
check "and its title" until_title "TYPED Hi%5"
note "after $SECONDS s"
run "$VMCTL" exec "$ID" -- sh -c 'ls ~/.config/chromium/Default >/dev/null && echo own; echo "bus $DBUS_SESSION_BUS_ADDRESS"'
is "$OUT" $'own\nbus ' "the browser has a profile, and no session bus"
check "the profile is the project's, in the state directory" sh -c "ls '$XDG_STATE_HOME'/vmctl/projects/*/chromium/* >/dev/null"

run "$VMCTL" stop "$ID"
wait $chromium
desk_end
finish
