#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The example, built and tested inside with the host's toolchain.
. "${0%/*}/lib.sh"

cp -r "$vm_here/../../examples/hello/." "$P/"
run_up "$P" -- make check
is "$STATUS" 0 "examples/hello: make check ends 0"
like "$OUT" "passed" "and shows its own tests"
run_up "$P" -- make clean
is "$STATUS" 0 "make clean"

finish
