#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The door: a directory that is added to a running machine, without a device and without a restart.
. "${0%/*}/lib.sh"

mkdir "$T/more"
echo "from the host" >"$T/more/file"
start door "$P" -- sleep infinity

ask () { # WORD...: one request to the keeper, its answer on stdout
  python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.chdir(os.path.dirname(sys.argv[1]))
s.connect(os.path.basename(sys.argv[1]))
s.send("\0".join(sys.argv[2:]).encode())
print(s.recv(4096).decode())' "$XDG_RUNTIME_DIR/vmctl/$ID/keeper.sock" "$@"
}
door=/run/vmctl/rw/share/door
is "$(ask bind "$T/more" rw-dir rw)" ok "the keeper binds a directory"
run "$VMCTL" exec --root door -- cat $door/rw-dir/file
is "$OUT" "from the host" "it is in the running guest"
run "$VMCTL" exec --root door -- sh -c "echo inside >$door/rw-dir/new"
is "$(cat "$T/more/new" 2>/dev/null)" inside "and can be written"
is "$(stat -c %u "$T/more/new" 2>/dev/null)" "$(id -u)" "as the user"
is "$(ask bind "$T/more" ro-dir ro)" ok "the keeper binds it read-only"
run "$VMCTL" exec --root door -- sh -c "cat $door/ro-dir/file && ! echo x >$door/ro-dir/file"
is "$STATUS" 0 "then root inside can read and not write"
is "$(cat "$T/more/file")" "from the host" "and the host's file is as it was"
if [ "$(id -u)" != 0 ]; then
  run "$VMCTL" exec door -- ls $door
  isnt "$STATUS" 0 "the user inside does not see the door itself"
fi
like "$(ask bind "$T/nothing" x rw)" "error" "what does not exist is refused"
like "$(ask bind "$T/more" ../x rw)" "error" "a name with a slash is refused"
is "$(ask unbind rw-dir)" ok "it is taken away again"
run "$VMCTL" exec --root door -- cat $door/rw-dir/file
isnt "$STATUS" 0 "and is gone inside"
control "$ID" do sandbox-stop >/dev/null
nothing_left "nothing is left"
is "$(cat "$T/more/file")" "from the host" "what was added is still on the host"
finish
