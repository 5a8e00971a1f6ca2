#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# image build host-systemd: an image without a disk, and every verb's answer to it. Nothing is booted.
. "$(dirname "$0")/lib.sh"
requires python3
[ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ] || skip "this host has no systemd"
images=$XDG_DATA_HOME/vmctl/images
get () { run 0 "$V" image inspect host-systemd --json; json "$out" "$1"; }

# Refused, and nothing is made.
for option in "--packages git" "--size 4G" "--mirror http://localhost/debian"; do
  # shellcheck disable=SC2086 # two words
  run 2 "$V" image build host-systemd $option
  has "$err" "no disk to make"
done
run 2 "$V" image build host-systemd --name a/b
[ -z "$(ls -A "$images" 2> /dev/null | grep -v names)" ] || fail "something was made: $(ls -A "$images")"

run 0 "$V" image build host-systemd
id=$out
is name "$(get 'j["names"], j["host-root"], j["size"], j["init-kind"], j["arch"]')" \
  "(['host-systemd'], True, 0, 'systemd', '$(uname -m)')"
is id "$(get 'j["id"]')" "$id"
is files "$(ls -A "$images/$id")" image.json
run 0 "$V" image build host-systemd --name again --quiet
is "the same again" "$out" "$id"
run 1 "$V" image build host-systemd --name again
has "$err" "there is an image 'again' already"
run 0 "$V" image list
has "$out" "again, host-systemd"
has "$out" "this host's"
run 0 "$V" image inspect again
has "$out" "this host's tree, read-only"
hasnt "$out" "not recognised"

run 0 "$V" image verify host-systemd
run 1 "$V" image export host-systemd "$tmp/x.qcow2"
has "$err" "has no disk"
[ ! -e "$tmp/x.qcow2" ] || fail "export has made a file"

# What cannot run it, and what cannot be kept.
mkdir "$tmp/p"
for driver in bwrap null; do
  run 125 "$V" up -q --driver $driver --image host-systemd "$tmp/p" -- true
  has "$err" "--driver qemu"
done
run 2 "$V" plan --image host-systemd --keep disk "$tmp/p"
has "$err" "cannot be kept"
has "$err" "vmctl image build debian:bookworm"
[ ! -e "$XDG_DATA_HOME/vmctl/disks" ] || fail "a disk was made"

# Somebody else's program is not started for it.
cp "$images/$id/image.json" "$tmp/image.json"
sed -i 's,"/[a-z/]*systemd/systemd","/tmp/mine/systemd",' "$images/$id/image.json"
run 1 "$V" image verify host-systemd
has "$err" "was changed"
run 1 "$V" plan --image host-systemd "$tmp/p"
has "$err" "was changed"
cp "$tmp/image.json" "$images/$id/image.json"
sed -i 's,"size": *0,"size": 4096,' "$images/$id/image.json"
run 1 "$V" image inspect host-systemd
has "$err" "out of bounds"
cp "$tmp/image.json" "$images/$id/image.json"

# Names, and the end.
run 0 "$V" image unname again
run 0 "$V" image unname host-systemd
run 0 "$V" image prune
is pruned "$out" "$id"
run 0 "$V" image build host-systemd --name mine
run 0 "$V" image rm mine
run 0 "$V" image list --json
is none "$(json "$out" j)" "[]"
