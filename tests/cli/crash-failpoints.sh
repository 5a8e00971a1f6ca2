#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The supervisor killed at each of its steps, with the null driver: see tests/vm/failpoints.sh.
VM_DRIVER=null exec bash "${0%/*}/../vm/failpoints.sh"
