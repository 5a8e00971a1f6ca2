# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests with a desktop of their own: an X server and a window manager outside. After lib.sh, before any sandbox.
#
#   desk_begin                starts them; $DISPLAY and $XAUTHORITY are theirs
#   desk_end
#   desk_shows COLOUR         in the middle of the desktop that colour prevails
#   desk_input EVENTS...      as the agent's client takes them: key:SYMBOL:1, abs:X:Y, btn:1:1
#   desk_window NAME          a window whose name has that: "X Y" of its upper left corner
#   desk_active NAME          it is the one that has the keyboard: before that, keys go elsewhere
#   shown COLOUR X Y          in the picture that `vmctl screenshot` makes

for program in Xvfb xauth xwininfo xprop xsetroot xev openbox; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
desk_bin=$(dirname "$VMCTL")

png () { python3 -B "$vm_here/png.py" "$@"; }

desk_begin () {
  local number=$((100 + $$ % 10000)) # not :0, which is the one inside
  mkfifo "$T/number"
  export XAUTHORITY=$T/xauthority DISPLAY=:$number
  xauth -q add "$DISPLAY" . "$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')" 2>/dev/null
  Xvfb "$DISPLAY" -displayfd 3 -noreset -nolisten tcp -auth "$XAUTHORITY" -screen 0 1000x800x24 3>"$T/number" 2>"$T/xvfb.log" &
  desk_server=$!
  read -r number <"$T/number" # it takes clients
  vm_more_tidy () { kill $desk_server $desk_manager 2>/dev/null; }
  openbox >/dev/null 2>&1 &
  desk_manager=$!
}

desk_end () {
  kill $desk_server $desk_manager 2>/dev/null
  wait $desk_server $desk_manager 2>/dev/null
}

desk_input () { "$desk_bin/vmctl-agent" --screen input "$@"; }

desk_shows () {
  "$desk_bin/vmctl-agent" --screen shot >"$T/raw" && tail -c +"$(($(head -n 1 "$T/raw" | wc -c) + 1))" "$T/raw" |
    "$desk_bin/vmctl-png" 1000 800 >"$T/out.png" && png "$T/out.png" most 350 350 200 100 | grep -q "^$1"
}

desk_window () {
  xwininfo -root -tree | grep -F "$1" | sed -n 's/.* [0-9]*x[0-9]*+[-0-9]*+[-0-9]*  +\([0-9]*\)+\([0-9]*\)$/\1 \2/p' | head -n 1 | grep .
}

desk_active () {
  local id
  id=$(xprop -root _NET_ACTIVE_WINDOW | sed -n 's/.*# \(0x[0-9a-f]*\).*/\1/p') && [ -n "$id" ] && xprop -id "$id" WM_NAME | grep -qF "$1"
}

shown () {
  "$VMCTL" screenshot "$ID" "$T/in.png" && [ "$(png "$T/in.png" pixel "$2" "$3")" = "$1" ]
}
