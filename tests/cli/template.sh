#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# template: what it shows and refuses. Real ones are made by tests/vm/template.sh.
. "$(dirname "$0")/lib.sh"
requires python3

run 0 "$V" template
has "$out" KEY
run 0 "$V" template list --json
is "none" "$(json "$out" j)" "[]"
run 1 "$V" template rm 0123456789abcdef0123456789abcdef
has "$err" "there is no template '0123456789abcdef0123456789abcdef'; see: vmctl template list"
run 1 "$V" template rm ../../x
run 2 "$V" template rm
run 0 "$V" template rm --all
run 2 "$V" template forget
has "$err" forget
run 2 "$V" template list more
run 2 "$V" template build --memory 1
has "$err" --memory
run 2 "$V" template build "$tmp/absent"
run 0 "$V" template prune
is "pruned" "$out" ""

# What is not one of ours is shown for what it is, never followed, and removed when asked.
key=00112233445566778899aabbccddeeff
templates=$XDG_CACHE_HOME/vmctl/templates
mkdir -p -m 0700 "$XDG_CACHE_HOME/vmctl" "$templates"
ln -s "$tmp/project" "$templates/$key"
touch "$tmp/project/kept"
run 0 "$V" template list --json
has "$(json "$out" 'j[0]["state"]')" "cannot be used"
run 0 "$V" template prune
is "pruned" "$out" "$key"
[ -e "$tmp/project/kept" ] || fail "a link was followed"
mkdir -m 0700 "$templates/$key"
mkfifo "$templates/$key/info.json"
run 0 "$V" template
has "$out" "cannot be used"
run 0 "$V" template rm "$key"
[ ! -e "$templates/$key" ] || fail "it is still there"
mkdir -m 0777 "$templates/$key"
chmod 0777 "$templates/$key"
printf '{' > "$templates/$key/info.json"
run 0 "$V" template prune
is "pruned" "$out" "$key"
