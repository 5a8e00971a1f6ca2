#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `meson install` puts somewhere works from there, with its helpers, manual and completions.
. "$(dirname "$0")/lib.sh"
requires meson
build=$(cd "$(dirname "$V")/.." && pwd)
[ -f "$build/build.ninja" ] || skip "$V does not lie in a build directory"

run 0 env DESTDIR="$tmp/dest" meson install -C "$build" --no-rebuild
installed=$(find "$tmp/dest" -path '*/bin/vmctl' -type f)
[ -x "$installed" ] || fail "there is no bin/vmctl"
prefix=${installed%/bin/vmctl}

run 7 "$installed" up --driver null -q -- sh -c 'echo works; exit 7'
is "what it says" "$out" works
run 0 "$installed" plan --driver null --json
has "$(json "$out" 'j["plan"]["keeper"]')" "$prefix/"
run 0 "$installed" up -d --driver null -q -- sleep 1000
id=$out
run 0 "$installed" exec "$id" -- true
# The one that takes over is the installed one as well.
supervisor=$(run 0 "$installed" status "$id" --json && json "$out" 'j["supervisor"]["pid"]')
kill -KILL "$supervisor"
while kill -0 "$supervisor" 2> /dev/null; do :; done
run 0 "$installed" exec "$id" -- true
run 0 "$installed" stop "$id"

for link in "$prefix"/bin/*; do [ -x "$link" ] || fail "'$link' leads nowhere"; done
for name in vmctl-agent vmctl-keeper vmctl-net vmctl-image vmctl-ext; do
  [ -n "$(find "$prefix" -name "$name" -perm /1)" ] || fail "$name is not installed"
done
for shell in bash-completion/completions/vmctl fish/vendor_completions.d/vmctl.fish zsh/site-functions/_vmctl; do
  grep -q supervise "$prefix/share/$shell" && fail "$shell has a hidden verb"
  grep -q prune "$prefix/share/$shell" || fail "$shell does not have the verbs"
done
command -v scdoc > /dev/null || skip "scdoc is not installed, so there are no manual pages"
for page in "$here"/../../docs/man/*.scd; do
  name=$(basename "$page" .scd)
  [ -s "$prefix/share/man/man${name##*.}/$name" ] || fail "the manual page $name is not installed"
done
