#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What vmctl snapshot refuses: wrong words, and everything where there is no machine. Real ones: tests/vm/snapshot.sh.
. "$(dirname "$0")/lib.sh"
requires python3

run 2 "$V" snapshot
run 2 "$V" snapshot teapot
has "$err" "'teapot' is not one of"
run 2 "$V" snapshot create
run 2 "$V" snapshot restore one
run 2 "$V" snapshot rm one
run 2 "$V" snapshot list one two
run 2 "$V" snapshot create one a/b
has "$err" "'a/b' is no name"
run 2 "$V" snapshot create one ..
run 2 "$V" snapshot rm one -- x
run 1 "$V" snapshot list
run 1 "$V" snapshot create nobody
has "$err" "no running sandbox 'nobody'"

run 0 up -d -n one -- sleep 1000
run 0 "$V" exec one -- true # it runs
run 1 "$V" snapshot create one
has "$err" "a snapshot is of a virtual machine's disk"
run 1 "$V" snapshot rm one s1
has "$err" "there is no snapshot 's1'"
run 2 "$V" snapshot restore one s1
has "$err" "--yes"
run 1 "$V" snapshot restore --yes --plugged one s1
has "$err" "there is no snapshot 's1'"
run 0 "$V" snapshot list one
has "$err" "no snapshots"
run 0 "$V" snapshot list one --json
is "list" "$(json "$out" 'j')" "[]"
run 0 "$V" status one --json
is "still runs" "$(json "$out" 'j["state"], j["restarts"]')" "('running', 0)"
is "no files" "$(find "$XDG_STATE_HOME" -name snapshots -o -name next-disk)" ""
run 0 "$V" complete snapshot-verb
has "$out" restore
run 0 "$V" snapshot --help
has "$out" --plugged
has "$out" --skip-plugged
run 0 "$V" complete snapshot restore one
is "none to complete" "$out" ""
run 0 "$V" stop one
