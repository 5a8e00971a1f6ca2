#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Standard input, output and error: exact, separate, and a stalled one stalls nobody else.
. "${0%/*}/lib.sh"

is "$(printf x | vm_up "$P" -- sha256sum)" "$(printf x | sha256sum)" "printf x | up -- sha256sum"

start streams "$P" -- sleep infinity
into () { "$VMCTL" exec streams -- "$@"; }

head -c 50000000 /dev/urandom >"$T/blob"
sum=$(sha256sum <"$T/blob")
is "$(into sha256sum <"$T/blob")" "$sum" "50 MB in"
is "$(into cat <"$T/blob" | sha256sum)" "$sum" "50 MB in and out again"
cp "$T/blob" "$P/data"
is "$(into sh -c 'cat data' | sha256sum)" "$sum" "50 MB out"
is "$(into sh -c 'cat data >&2' 2>&1 >/dev/null | sha256sum)" "$sum" "50 MB out of standard error"
rm "$P/data"
is "$(into sh -c 'yes | head -c 100000000' 2>/dev/null | sha256sum)" "$(yes | head -c 100000000 | sha256sum)" "100 MB out"

# Separate streams
into sh -c 'echo out; echo err >&2' >"$T/o" 2>"$T/e"
is "$(cat "$T/o")|$(cat "$T/e")" "out|err" "stdout and stderr are separate"
into sh -c 'exec 1>&-; echo err >&2; exec 2>&-; sleep 0.2' >"$T/o" 2>"$T/e"
is "$(cat "$T/o")|$(cat "$T/e")" "|err" "a command may close its streams"
is "$(into sh -c 'for i in 1 2 3 4 5; do echo $i; echo $i >&2; done' 2>&1 | sort | tr -d '\n')" 1122334455 "nothing is lost in short turns"
into sh -c 'exec >/dev/null 2>&1; seq 1000' </dev/null
is $? 0 "no output at all"

# Input
is "$(into sh -c 'cat; echo end' </dev/null)" end "an empty input"
is "$(into sh -c 'cat; echo end' <&-)" end "a closed input"
is "$(printf 'a\0b\377\r\n\004\003\032\035' | into od -An -c | tr -s ' ')" "$(printf 'a\0b\377\r\n\004\003\032\035' | od -An -c | tr -s ' ')" "eight bits, and no byte means anything"
is "$(into head -c 1 <"$T/blob" | wc -c)" 1 "a command that reads one byte of much"
is "$(into true <"$T/blob"; echo $?)" 0 "a command that reads nothing"
python3 -c 'import sys; sys.stdout.buffer.write (bytes (range (256)) * 4096)' >"$T/all"
is "$(into cat <"$T/all" | sha256sum)" "$(sha256sum <"$T/all")" "every byte"
is "$(for i in 1 2 3; do echo $i; done | into sh -c 'while read -r x; do echo "got $x"; done' | tr '\n' ' ')" "got 1 got 2 got 3 " "lines"
mkfifo "$T/in" "$T/out2"
into cat <"$T/in" >"$T/out2" &
exec 5>"$T/in" 6<"$T/out2"
echo ping >&5
read -r -u 6 answer
is "$answer" ping "what is written comes at once, without end of input"
echo pong >&5
read -r -u 6 answer
is "$answer" pong "and again"
exec 5>&-
read -r -u 6 answer
is "$answer" "" "the end of the input ends the command"
exec 6<&-
wait

# A reader that does not read stalls its own command only.
mkfifo "$T/stalled"
exec 7<>"$T/stalled"
"$VMCTL" exec streams -- yes >&7 &
stalled=$!
# It has stopped to write when it sleeps: yes does nothing else.
blocked () { into sh -c 'pid=$(pgrep -x yes) && grep -q "^State:.S" "/proc/$pid/status"'; }
check "the stalled command stops to write" until_true 30 blocked
is "$(into sha256sum <"$T/blob")" "$sum" "beside a stalled one another command gets 50 MB"
is "$(into sh -c 'yes | head -c 10000000' 2>/dev/null | wc -c)" 10000000 "and gives 10 MB"
kill -9 $stalled
wait $stalled 2>/dev/null
exec 7<&-
no_yes () { into sh -c '! pgrep -x yes'; }
check "when its client is killed it ends" until_true 20 no_yes

# Many at once
for i in 1 2 3 4 5 6 7 8; do
  (is "$(head -c 2000000 "$T/blob" | into sha256sum)" "$(head -c 2000000 "$T/blob" | sha256sum)" x | grep -c '^ok' >"$T/many.$i") &
done
wait
is "$(cat "$T"/many.* | tr -d '\n')" 11111111 "eight commands at once, each exact"

control "$ID" do sandbox-stop >/dev/null
control "$ID" wait ended

# The main command's streams are the same thing, through the same path; its output is complete at its end.
is "$(vm_up "$P" -- sh -c 'cat; echo err >&2' <"$T/blob" 2>"$T/e" | sha256sum)" "$sum" "50 MB through the main command"
is "$(cat "$T/e")" err "and its standard error"
finish
