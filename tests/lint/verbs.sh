#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# verbs.sh SOURCE_DIR VMCTL: the table of verbs, their files, their help and their manual pages agree.
. "$(dirname "$0")/lib.sh"
vmctl=${2:?usage: verbs.sh SOURCE_DIR VMCTL}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Each row has a file that defines it, each file a row, the rows are sorted.
sed -n 's/^VERB (\(.*\))$/\1/p' vmctl/verbs.def > "$work/rows"
sort -c "$work/rows" 2> /dev/null || complain "vmctl/verbs.def: the rows are not sorted"
while read -r verb; do
  grep -q "^const VmVerb vm_verb_$verb = {" "vmctl/verbs/$verb.c" 2> /dev/null ||
    complain "vmctl/verbs.def: '$verb' is not defined in vmctl/verbs/$verb.c"
  grep -q "\.name = \"$verb\"" "vmctl/verbs/$verb.c" || complain "vmctl/verbs/$verb.c: its name is not '$verb'"
done < "$work/rows"
for file in vmctl/verbs/*.c; do
  verb=$(basename "$file" .c)
  grep -qx "$verb" "$work/rows" || complain "$file: '$verb' is not in vmctl/verbs.def"
done

# Every verb that is shown has a page that is listed, and every page a verb.
"$vmctl" help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' > "$work/shown"
[ -s "$work/shown" ] || complain "vmctl help shows no verbs"
for page in docs/man/vmctl-*.1.scd; do
  verb=$(basename "$page" .1.scd)
  grep -qx "${verb#vmctl-}" "$work/shown" || complain "$page: there is no such verb"
done

# The manual's list of them, in the same order.
sed -n '/^# VERBS/,/^# [^V]/s/^\*\([a-z]*\)\*$/\1/p' docs/man/vmctl.1.scd > "$work/listed"
diff "$work/shown" "$work/listed" > "$work/diff" ||
  complain "docs/man/vmctl.1.scd: the verbs of 'vmctl help' (<) and of its section VERBS (>) differ:
$(grep '^[<>]' "$work/diff")"

# Every verb is run by a test of the command line.
while read -r verb; do
  grep -qE "(\"\\\$V\"|'\\\$V') $verb( |\$)" tests/cli/*.sh || complain "tests/cli: nothing runs 'vmctl $verb'"
done < "$work/shown"

# Options, both ways, and the usage. In the help: "  -d, --detach" or "      --new". In a page: bold words that begin
# with a dash, on lines of the section OPTIONS that are not indented.
while read -r verb; do
  page=docs/man/vmctl-$verb.1.scd
  if ! [ -f "$page" ]; then
    complain "$page: is missing"
    continue
  fi
  "$vmctl" "$verb" --help > "$work/help" || complain "vmctl $verb --help failed"
  sed -n '/^Options:/,$s/^  \(-.,\|   \) \(--[a-z0-9-]*\).*/\1 \2/p' "$work/help" |
    grep -o -e '-[a-z0-9A-Z-]*' | sort -u > "$work/a"
  sed -n '/^# OPTIONS/,/^# [^O]/p' "$page" | grep '^\*-' | grep -o '\*-[a-zA-Z0-9-]*\*' | tr -d '*' | sort -u > "$work/b"
  diff "$work/a" "$work/b" > "$work/diff" ||
    complain "$page: options of 'vmctl $verb --help' (<) and of the page (>) differ:
$(grep '^[<>]' "$work/diff")"
  usage=$(sed -n '1s/^Usage: vmctl //p' "$work/help")
  synopsis=$(sed -n '/^# SYNOPSIS/,/^# DESC/p' "$page" | grep '^\*vmctl' | tr -d '*_' | sed 's/^vmctl //; s/\\//g; s/++$//')
  printf '%s\n' "$synopsis" | grep -qxF "$usage" || complain "$page: the synopsis is not '$usage' but '$synopsis'"
done < "$work/shown"
finish
