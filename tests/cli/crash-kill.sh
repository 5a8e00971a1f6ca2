#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every process of a sandbox killed, with the null driver: see tests/vm/crash.sh.
VM_DRIVER=null exec bash "${0%/*}/../vm/crash.sh"
