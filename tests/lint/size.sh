#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of at most 600 lines (tests: 1000), functions of at most 100.
. "$(dirname "$0")/lib.sh"

for file in $(sources); do
  case $file in
  tests/*) limit=1000 ;;
  *) limit=600 ;;
  esac
  lines=$(wc -l < "$file")
  [ "$lines" -le "$limit" ] || complain "$file: $lines lines, the limit is $limit"
done
# shellcheck disable=SC2046
long=$(awk 'FNR == 1 { start = 0 } /^\{/ { start = FNR }
  /^\}/ { if (start && FNR - start > 100) print FILENAME ":" start ": a function of " FNR - start " lines"; start = 0 }' \
  $(sources | grep '\.c$'))
[ -z "$long" ] || complain "$long"
finish
