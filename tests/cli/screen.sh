#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# screenshot and input, where there is no screen, and what is wrong before any is asked. With one: tests/drivers.
. "$(dirname "$0")/lib.sh"

run 2 "$V" screenshot
has "$err" "usage: vmctl screenshot"
run 1 "$V" screenshot nobody x.png
has "$err" "no running sandbox 'nobody'"
run 2 "$V" screenshot nobody ''
has "$err" "name of the file is empty"
run 2 "$V" screenshot --json nobody -
has "$err" "name a file"
run 2 "$V" input nobody
has "$err" "usage: vmctl input"
run 2 "$V" input nobody dance 1
has "$err" "'dance'"
run 2 "$V" input nobody click 1
has "$err" "'click' wants 2 words"
run 2 "$V" input --button left nobody type x
has "$err" "--button goes with click"
run 1 "$V" input nobody scroll -3
has "$err" "no running sandbox"

run 0 up -d -n one -- sleep 1000
run 1 "$V" screenshot one "$tmp/x.png"
has "$err" "no screen; start one with: vmctl up --display none"
[ -z "$(ls "$tmp" | grep -e png -e screenshot)" ] || fail "a file is left"
run 1 "$V" input one type hello
has "$err" "no screen; start one with: vmctl up --display none"
for command in query-screen screendump input-send-event; do
  run 1 "$V" qmp one "$command"
  has "$err" "no screen"
done
run 0 "$V" stop one
