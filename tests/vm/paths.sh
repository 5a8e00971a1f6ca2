#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Projects whose path is made of what options, shells and files use: exactly that directory, and never another. One machine
# holds all of them: each is a project of its own sandbox, but QEMU's command line never sees a path.
. "${0%/*}/lib.sh"

long=$(printf 'l%.0s' $(seq 200))
names=(
  'with space'
  'a,path=/etc'
  ',readonly=on,path=/etc'
  "quote's"
  'double"quote'
  '$(touch canary)`touch canary`'
  $'new\nline'
  'per%scent%n%d'
  '-leading-dash'
  '--driver'
  $'na\xc3\xafve-\xe6\x97\xa5\xe6\x9c\xac'
  'back\slash'
  'semi;colon & amp | pipe'
  '*?[a-z]'
  '{"json": true}'
  "$long"
)

# What each must show: its own path, its own marker; what is made inside is in it.
check_path () { # DIRECTORY
  local shown=${1#"$T"/}
  shown=${shown:0:40}
  shown=${shown//$'\n'/\\n}
  echo "marker of $1" >"$1/marker"
  run_up "$1" -- sh -c 'pwd; cat marker; ls; echo x >made'
  is "$STATUS" 0 "'$shown': it runs"
  is "$OUT" "$1"$'\n'"marker of $1"$'\n'marker "'$shown': exactly that directory"
  check "'$shown': what is made inside is in it" test -s "$1/made"
}

VM_DRIVER_SAVED=$VM_DRIVER
for name in "${names[@]}"; do
  mkdir -p "$T/dirs/$name"
  # The paths of the plan are the same for every driver: all of them in the fast one, the worst also in machines.
  case $name in a,path* | $'new\n'* | --driver | *canary*) VM_DRIVER=$VM_DRIVER_SAVED ;; *) VM_DRIVER=null ;; esac
  check_path "$T/dirs/$name"
done
VM_DRIVER=$VM_DRIVER_SAVED
is "$(find "$T" -name canary | head -n 1)" "" "and left no trace of that"

# Deep, and below directories with names of their own.
deep=$T/deep
for i in 1 2 3 4 5 6 7 8; do deep="$deep/level $i, and more"; done
mkdir -p "$deep"
check_path "$deep"

# Through a link: the project is what it points to.
ln -s "$T/dirs/with space" "$T/link"
run_up --driver null "$T/link" -- pwd
is "$OUT" "$T/dirs/with space" "a project given as a link is where the link points"

# Not UTF-8: the plan travels as JSON, so it is refused, not changed.
mkdir -p "$T/dirs/"$'bad\xff'
run_up --driver null "$T/dirs/"$'bad\xff' -- pwd
is "$STATUS" 125 "a path that is not UTF-8 is refused"
like "$ERR" "UTF-8" "and the message says why"
finish
