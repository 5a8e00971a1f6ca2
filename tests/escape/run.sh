#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh DRIVER [ROW...]: vmctl-probe inside a sandbox of that driver, with canaries outside, and what only the host can
# see. One line of TAP for each row A1-B40 of the test catalogue, under the row's number.
export VM_DRIVER=${1:?usage: run.sh DRIVER [ROW...]}
DIFFERENCES=${DIFFERENCES:-$(cd "${0%/*}/../.." && pwd)/docs/differences.tsv}
VMCTL_PROBE=${VMCTL_PROBE:-$(ls -t "${0%/*}"/../../build*/tests/vmctl-probe 2>/dev/null | head -n 1)}
export DIFFERENCES VMCTL_PROBE
VM_WANTS_HOME=1
. "${0%/*}/../vm/lib.sh"
[ -x "$VMCTL_PROBE" ] || skip_all "vmctl-probe is not built"

run_suite "${0%/*}/escape.py" "${@:2}"
