#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# bench (what it refuses; tests/vm/template.sh runs it), and up --trace. No time is asserted.
. "$(dirname "$0")/lib.sh"
requires python3

run 2 "$V" bench --runs 0
has "$err" --runs
run 2 "$V" bench --runs many
run 2 "$V" bench extra

run 3 "$V" up --driver null -q --trace -- sh -c 'echo out; exit 3'
is "the output" "$out" out
for stage in plan supervisor keeper fix-up command end 'in all'; do has "$err" "  $stage"; done
run 0 "$V" status --json
is "the moments" "$(json "$out" 'all(j["stamps"][a] <= j["stamps"][b] for a, b in zip(list(j["stamps"]), list(j["stamps"])[1:]))')" True
