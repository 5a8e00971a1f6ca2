#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh DRIVER [NAME...]: the one list of checks that every driver must pass, as TAP. With NAMEs only those checks,
# and what begins with them. VM_AS=user runs it as an ordinary user (tests/vm/lib.sh).
export VM_DRIVER=${1:?usage: run.sh DRIVER [NAME...]}
DIFFERENCES=${DIFFERENCES:-$(cd "${0%/*}/../.." && pwd)/docs/differences.tsv}
export DIFFERENCES
VM_WANTS_HOME=1
. "${0%/*}/../vm/lib.sh"

run_suite "${0%/*}/suite.py" "${@:2}"
