#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl image build: Debian from its packages, once, from a mirror of Debian's. No machine is started. What is done with
# an mmdebstrap that fails, or is killed, is in tests/cli/image.sh.
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
for program in mmdebstrap qemu-img debugfs; do
  command -v $program >/dev/null || skip_all "$program is missing"
done
mirror=http://deb.debian.org/debian
python3 - "$mirror/dists/bookworm/InRelease" <<'END' || skip_all "$mirror cannot be reached"
import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=30).read(1)
except OSError:
    sys.exit(1)
END
images=$XDG_DATA_HOME/vmctl/images
get () { "$VMCTL" image inspect small --json | python3 -ISc 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

began=$SECONDS
"$VMCTL" image build debian:bookworm --name small --packages less --size 2G >"$T/out" 2>"$T/err"
is $? 0 "debian:bookworm is built"
note "it took $((SECONDS - began)) seconds"
note "$(cat "$T/err")"
like "$(cat "$T/err")" "installing essential packages" "it says what it is doing"
like "$(cat "$T/out")" "sha256-" "it prints the id"
is "$(get 'j["os-id"], j["os-version"], j["init-kind"], j["init"]')" "('debian', '12', 'systemd', '/usr/lib/systemd/systemd')" "what is in it"
is "$(get 'j["origin"], j["format"], j["size"], j["arch"]')" "('debian:bookworm', 'tar', $((2 << 30)), '$(uname -m)')" "where it comes from"
is "$(find "$images" -maxdepth 1 -name '.part-*')" "" "nothing else is left in the store"

"$VMCTL" image export small "$T/small.raw" --format raw -q
is "$(e2fsck -fn "$T/small.raw" >"$T/fsck" 2>&1; echo $?)" 0 "its file system is sound"
stat_of () { debugfs -R "stat $1" "$T/small.raw" 2>/dev/null; }
like "$(stat_of /usr/bin/less)" "Type: regular" "a package that was asked for is there"
like "$(stat_of /etc/shadow)" "User:     0   Group:    42 " "files belong to whom they should"
like "$(stat_of /usr/bin/passwd)" "Mode:  04755" "and keep their modes"
is "$("$VMCTL" image build debian:bookworm --name small 2>&1)" \
  "vmctl: error: there is an image 'small' already; write another --name, or --force to have the name moved" "a name is not taken twice"
finish
