#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# plan: all that up would do, and nothing is done.
. "$(dirname "$0")/lib.sh"
requires python3

run 0 "$V" plan --driver null -- make 'a b'
has "$out" "project    $tmp/project"
has "$out" "make 'a b'"
has "$out" "vmctl-keeper"
has "$out" "vmctl-agent"
run 0 "$V" plan --driver null --json -e A=b -- make 'a b'
is "the command" "$(json "$out" 'j["plan"]["command"], j["plan"]["id"], j["plan"]["name"]')" \
  "(['make', 'a b'], 'planonly', 'project')"
is "keys" "$(json "$out" 'sorted(j)')" "['launch', 'plan']"
is "environment" "$(json "$out" '"A=b" in j["plan"]["environment"]')" True
first=$out
run 0 "$V" plan --driver null --json -e A=b -- make 'a b'
is "the same again" "$out" "$first"
run 0 "$V" plan --driver null -n other --json "$tmp/project"
is "the name" "$(json "$out" 'j["plan"]["name"]')" other
run 0 "$V" list --all -q
is "nothing was started" "$out" ""
[ ! -e "$tmp/state/vmctl" ] || fail "something was written to the state directory"
[ ! -e "$tmp/run/vmctl" ] || fail "something was written to the runtime directory"
is "the project" "$(ls -A)" ""

# The real driver, where this host has what it needs; else its reason, which is doctor's as well.
"$V" plan --driver qemu > "$tmp/plan" 2> "$tmp/why"
if [ $? -eq 0 ]; then
  plan=$(cat "$tmp/plan")
  has "$plan" "isolation vm"
  has "$plan" "qemu-system"
  has "$plan" "--unshare-user"
  has "$plan" "-sandbox"
  run 0 "$V" plan --driver qemu --json --memory 300M --cpus 1 --net none --disk none
  is "limits" "$(json "$out" 'j["plan"]["memory"] >> 20, j["plan"]["cpus"], j["plan"]["net"]')" "(300, 1, 'none')"
  is "no network for QEMU" "$(json "$out" '"--unshare-net" in j["launch"]["inner"]')" True
  is "no disk" "$(json "$out" '"overlay" in j["launch"]["descriptors"]')" False
else
  "$V" doctor > "$tmp/doctor"
  why=$(sed 's/^vmctl: error: //; s/; .*//' "$tmp/why")
  has "$(cat "$tmp/doctor")" "$why"
fi

# Nothing of a path reaches the terminal as it is, in any part of the output; and /proc/sys is no place for root's hands.
mkdir "$tmp/$(printf 'evil\033]0;title\007\302\23331m')"
for driver in bwrap qemu; do
  "$V" plan --driver "$driver" "$tmp"/evil* > "$tmp/plan" 2> "$tmp/why" || continue
  is "control characters in the plan of $driver" "$(LC_ALL=C tr -d '\n\040-\176' < "$tmp/plan" | od -An -c)" ""
  has "$(cat "$tmp/plan")" "--ro-bind /proc/sys /proc/sys"
done
