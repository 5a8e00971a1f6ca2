#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bytes through up and exec: exact, apart, without end, and to nobody.
. "$(dirname "$0")/lib.sh"

head -c 50000000 /dev/urandom > "$tmp/random"
sum=$(sha256sum < "$tmp/random")
run 0 up -d -- sleep 1000
id=$out

# Both ways, through both verbs.
into () { "$@" < "$tmp/random"; }
through () { "$@" < "$tmp/random" | sha256sum; }
is "sha256sum inside, by up" "$(into "$V" up --driver null -q --new -- sha256sum)" "$sum"
is "sha256sum inside, by exec" "$(into "$V" exec "$id" -- sha256sum)" "$sum"
is "through cat, by up" "$(through "$V" up --driver null -q --new -- cat)" "$sum"
is "through cat, by exec" "$(through "$V" exec "$id" -- cat)" "$sum"
is "from a file, by exec" "$("$V" exec "$id" -- cat "$tmp/random" | sha256sum)" "$sum"
is "one byte" "$(printf x | "$V" up --driver null -q --new -- od -An -tx1 | tr -d ' \n')" 78
is "no byte" "$(printf '' | "$V" exec "$id" -- wc -c | tr -d ' ')" 0

# stdout and stderr are apart.
run 5 "$V" exec "$id" -- sh -c 'echo to-out; echo to-err >&2; exit 5'
is stdout "$out" to-out
is stderr "$err" to-err
run 0 up --new -- sh -c 'head -c 3000000 /dev/zero | tr "\0" o; head -c 3000000 /dev/zero | tr "\0" e >&2'
is "much on stdout" "$(printf %s "$out" | tr -d o | wc -c | tr -d ' '),${#out}" "0,3000000"
is "much on stderr" "$(printf %s "$err" | tr -d e | wc -c | tr -d ' '),${#err}" "0,3000000"

# A reader that leaves ends the command, and a command that does not read its stdin ends all the same.
limit () { timeout 120 "$@"; }
is "head" "$(limit "$V" up --driver null -q --new -- yes | head -n 1)" y
is "head of exec" "$(limit "$V" exec "$id" -- yes | head -n 1)" y
limit "$V" exec "$id" -- true < "$tmp/random" || fail "true did not end"
yes | limit "$V" exec "$id" -- head -n 1 > "$tmp/one"
is "head inside" "$(cat "$tmp/one")" y
limit "$V" exec "$id" -- sh -c 'exec >&-; cat > /dev/null; exit 9' < "$tmp/random"
is "status after stdout was closed inside" $? 9

# A closed stdin of ours is an empty one; what is left of the command's output comes before its status.
limit "$V" exec "$id" -- wc -c <&- > "$tmp/closed" || fail "a closed stdin"
is "a closed stdin" "$(tr -d ' ' < "$tmp/closed")" 0
for i in 1 2 3 4 5; do
  is "the last words $i" "$("$V" exec "$id" -- sh -c 'head -c 200000 /dev/zero; exit 3' | wc -c | tr -d ' ')" 200000
done
# Many at once in one sandbox stay apart.
for i in 1 2 3 4 5 6; do
  "$V" exec "$id" -- sh -c "head -c 5000000 /dev/zero | tr '\\0' $i" > "$tmp/many$i" &
done
wait
for i in 1 2 3 4 5 6; do
  is "stream $i" "$(tr -d "$i" < "$tmp/many$i" | wc -c | tr -d ' '),$(wc -c < "$tmp/many$i" | tr -d ' ')" "0,5000000"
done
run 0 "$V" stop "$id"
