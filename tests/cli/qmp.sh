#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The control socket speaks QMP: to vmctl qmp, to socat by hand, and to a client that shares no line with ours.
. "$(dirname "$0")/lib.sh"
requires python3

run 0 up -d -- sleep 1000
id=$out
socket=$XDG_RUNTIME_DIR/vmctl/$id/control.sock
is "mode of the socket" "$(stat -c %a "$socket")" 600
is "mode of its directory" "$(stat -c %a "$XDG_RUNTIME_DIR/vmctl/$id")" 700

# vmctl qmp
run 0 "$V" qmp "$id" query-version
is "the version" "$(json "$out" 'sorted(j)')" "['package', 'qemu']"
run 0 "$V" qmp . query-sandbox
is "the sandbox" "$(json "$out" 'j["id"]')" "$id"
run 1 "$V" qmp "$id" no-such-command
has "$err" "CommandNotFound: "
hasnt "$err" "did you mean"
run 1 "$V" qmp "$id" query-sandbx
has "$err" "did you mean 'query-sandbox'?"
run 1 "$V" qmp "$id" resize rows=5
has "$err" "GenericError: 'rows' and 'columns'"
run 1 "$V" qmp "$id" exec
run 0 "$V" qmp "$id" exec '{"argv": ["true"]}'
[ "$(json "$out" 'j["session"]')" -gt 1 ] || fail "no session"
run 0 "$V" qmp "$id" exec argv='["sh","-c","exit 4"]' cwd=/
run 0 "$V" qmp "$id" query-log log=supervisor max=100
has "$out" base64
run 2 "$V" qmp "$id" exec a=1 a=2
has "$err" "given twice"
run 2 "$V" qmp "$id" exec a=1 a.b=2
run 2 "$V" qmp "$id" exec a..b=2
run 2 "$V" qmp "$id" exec =2
run 2 "$V" qmp "$id" exec word
run 1 "$V" qmp "$id" exec '{"a": '
run 2 "$V" qmp --timeout 0 "$id" query-version
run 1 "$V" qmp nobody query-version

# Events as lines, until the sandbox ends; a command may come first.
run 0 up -d --new -n events -- sleep 1000
watch events
run 0 "$V" exec events -- true
run 0 "$V" stop events
watched
is "what the events are" "$(printf '%s\n' "$events" | python3 -ISc '
import json, sys
names = [json.loads(line)["event"] for line in sys.stdin]
print("SESSION_EXIT" in names, names[-1])')" "True SANDBOX_ENDED"
# Nobody reads the events: it ends.
timeout 120 sh -c "'$V' qmp --events '$id' query-version | head -n 1" > /dev/null || fail "did not end with its reader"

# By hand.
if command -v socat > /dev/null; then
  answers=$(printf '%s\n' '{"execute": "qmp_capabilities"}' '{"execute": "query-version", "id": "by-hand"}' \
    '{"execute": "bogus"}' | timeout 120 socat -t 60 - "UNIX-CONNECT:$socket")
  is "lines" "$(printf '%s\n' "$answers" | grep -vc '"event"')" 4 # what was started above may end just now
  has "$answers" '"QMP"'
  has "$answers" '"id":"by-hand"'
  has "$answers" '"class":"CommandNotFound"'
fi

# From the specification alone. Ends the sandbox.
timeout 120 python3 -IS "$here/qmp-client.py" "$socket" > "$tmp/client" 2>&1 || {
  cat "$tmp/client"
  fail "the independent client"
}
run 0 "$V" status "$id"
has "$out" "reason     stopped"
run 1 "$V" qmp "$id" query-version
has "$err" "no running sandbox"
