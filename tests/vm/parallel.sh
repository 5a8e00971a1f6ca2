#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Six machines at once on six projects, two at once on one: each gives its own exact answer, and nothing is left.
. "${0%/*}/lib.sh"

one () { # NUMBER
  timeout -k 5 $((400 * SLOW)) "$VMCTL" up -q --driver "$VM_DRIVER" -m 512M --boot-timeout $((300 * SLOW)) "$T/p$1" -- \
    sh -c 'sha256sum <input; cat >copy; pwd; exit '"$1" <"$T/p$1/input" >"$T/out$1" 2>"$T/err$1"
  echo $? >"$T/status$1"
}

for i in 1 2 3 4 5 6; do
  mkdir "$T/p$i"
  head -c 200000 /dev/urandom >"$T/p$i/input"
  one $i &
done
wait $(jobs -p)
for i in 1 2 3 4 5 6; do
  is "$(cat "$T/status$i")" $i "machine $i ended with its own status"
  is "$(cat "$T/out$i")" "$(sha256sum <"$T/p$i/input")"$'\n'"$T/p$i" "and gave its own answer"
  check "and copied its own input" cmp "$T/p$i/input" "$T/p$i/copy"
  is "$(cat "$T/err$i")" "" "and said nothing else"
done
nothing_left "nothing is left of six"

# Two on one project: the second needs --new, and they see one directory.
start first -m 512M "$P" -- sleep infinity
run_up -d "$P" -- true
is "$STATUS" 125 "a second detached sandbox on one project is refused"
like "$ERR" "--new" "and the message says how"
start second --new -m 512M "$P" -- sleep infinity
run "$VMCTL" exec first -- sh -c 'echo from first >shared'
run "$VMCTL" exec second -- cat shared
is "$OUT" "from first" "two machines on one project see the same file"
run "$VMCTL" list --quiet
is "$(echo "$OUT" | wc -w)" 2 "both are listed"
run "$VMCTL" up -q --driver "$VM_DRIVER" "$P" -- sh -c 'echo joined'
is "$OUT" joined "up joins one of them"
run "$VMCTL" stop first second
is "$STATUS" 0 "both are stopped"
finish
