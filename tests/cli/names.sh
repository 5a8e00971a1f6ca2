#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A sandbox is named by its id, a beginning of it, its name, or the path of its project.
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/other" "$tmp/third, with a comma"
ln -s other "$tmp/link"

run 0 up -d -- sleep 1000
one=$out
run 0 up -d -n build "$tmp/other" -- sleep 1000
two=$out
run 0 up -d "$tmp/third, with a comma" -- sleep 1000
three=$out

who () { "$V" status "$@" | sed -n '1s/.* (\(.*\))$/\1/p'; }
is "by id" "$(who "$one")" "$one"
is "by prefix" "$(who "$(printf %s "$two" | cut -c 1-6)")" "$two"
is "by name" "$(who build)" "$two"
is "by path" "$(who "$tmp/other")" "$two"
is "by a path through a link" "$(who "$tmp/link")" "$two"
is "by a relative path" "$(who ../other/.)" "$two"
is "by ." "$(who .)" "$one"
is "without a name" "$(who)" "$one"
is "by a path with a comma" "$(who "$tmp/third, with a comma")" "$three"
is "a name made of a path with a comma" "$("$V" status "$three" | sed -n '1s/ .*//p')" thirdwithacomma

run 1 "$V" status nobody
has "$err" "there is no sandbox 'nobody'"
run 1 "$V" status "$(printf %s "$one" | cut -c 1-2)"
run 1 "$V" status "$tmp"
run 125 "$V" exec "$tmp/nowhere" -- true
run 2 "$V" status a b

# Two on one project: the path is ambiguous, the message lists both, ids still work.
run 0 up -d --new -- sleep 1000
four=$out
run 2 "$V" stop .
has "$err" "names several sandboxes"
has "$err" "$one"
has "$err" "$four"
run 0 "$V" exec "$four" -- true
# A name that looks like a beginning of an id is a name.
prefix=$(printf %s "$one" | cut -c 1-4)
run 0 up -d -n "$prefix" --new -- sleep 1000
is "a name beats a prefix" "$(who "$prefix")" "$out"

# Running ones first; then the newest that has ended.
run 0 "$V" stop build
run 0 up -d -n build "$tmp/other" -- sleep 1000
five=$out
is "the running one" "$(who build)" "$five"
run 0 "$V" stop build
is "the one that ended last" "$(who build)" "$five"
run 125 "$V" exec build -- true
has "$err" "there is no running sandbox 'build'"
run 125 up -n '../x' -- true
has "$err" "--name"
