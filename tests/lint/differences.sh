#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# differences.sh [--update] SOURCE_DIR: vmctl-drivers(7) and docs/security.md print the rows of docs/differences.tsv, and
# every row names a check, or a row of the test catalogue, that there is.
update=
[ "${1:-}" = --update ] && update=yes && shift
. "$(dirname "$0")/lib.sh"
table=docs/differences.tsv
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# The same text once for all its rows.
grep -v -e '^#' -e '^$' "$table" | awk -F'\t' '{
  names = $1; gsub (/,/, "*, *", names)
  if (!(names SUBSEP $4 in seen)) { seen[names, $4]; printf "- *%s*: %s\n", names, $4 } }' > "$work/man"
grep -P '\tescape:' "$table" | awk -F'\t' '
  BEGIN { print "| driver | not held | |"; print "| --- | --- | --- |" }
  { sub (/^escape:/, "", $2); gsub (/,/, ", ", $1); key = $1 SUBSEP $4
    if (!(key in rows)) order[++n] = key
    rows[key] = rows[key] (key in rows && rows[key] != "" ? ", " : "") $2 }
  END { for (i = 1; i <= n; i++) { split (order[i], part, SUBSEP); print "| " part[1] " | " rows[order[i]] " | " part[2] " |" } }' \
  > "$work/security"

# agrees FILE BEGIN END WHAT: what is between the two lines is WHAT.
agrees () {
  awk -v b="$2" -v e="$3" -v what="$4" '$0 == e { out = 0 } !out { print }
    $0 == b { out = 1; while ((getline line < what) > 0) print line }' "$1" > "$work/new"
  grep -qxF -e "$2" "$1" || complain "$1: there is no line '$2'"
  [ -z "$update" ] || { cmp -s "$work/new" "$1" || cat "$work/new" > "$1"; }
  diff "$1" "$work/new" > "$work/diff" || complain "$1: not as $table says; run tests/lint/differences.sh --update:
$(cat "$work/diff")"
}
agrees docs/man/vmctl-drivers.7.scd '; differences: begin' '; differences: end' "$work/man"
agrees docs/security.md '<!-- differences: begin -->' '<!-- differences: end -->' "$work/security"

grep -v -e '^#' -e '^$' "$table" | cut -f2 | sort -u | while read -r name; do
  case $name in
  escape:*) part=${name#escape:}; grep -q "\"${part%%-*}\": " tests/escape/rows.py ;;
  *) grep -q "^@check(\"$name\"," tests/drivers/*.py ;;
  esac || echo "$name"
done > "$work/unknown"
[ ! -s "$work/unknown" ] || complain "$table: no such check: $(cat "$work/unknown")"
finish
