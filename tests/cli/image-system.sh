#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The system's store: root makes it, and everybody else reads it. In a mount namespace whose /var/lib is its own, as root and,
# there, as an ordinary user.
if [ "$(id -u)" = 0 ] && [ -z "${IN_ITS_OWN:-}" ]; then
  IN_ITS_OWN=1 exec unshare -m -- "$(readlink -f "$0")"
fi
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
requires busybox
requires bwrap
requires mke2fs
requires setpriv
[ "$(id -u)" = 0 ] || skip "only root makes it"
mount -t tmpfs -o mode=0755 none /var/lib || fail "no tmpfs"

system=/var/lib/vmctl/images
chmod 0755 "$tmp"
mkdir "$tmp/theirs" && mkdir -m 0700 "$tmp/theirs/run" && chown -R nobody "$tmp/theirs" && mkdir -p "$tmp/root/bin" "$tmp/root/etc" || fail "directories"
cp "$(command -v busybox)" "$tmp/root/bin/sh"
by_root () { XDG_DATA_HOME=/var/lib "$V" "$@"; }
# What is built below a home of root's is not a user's to run.
cp -r "$(dirname "$V")" "$tmp/bin" && chmod -R a+rX "$tmp/bin" || fail "a copy of vmctl"
by_user () {
  env -i PATH="$PATH" XDG_RUNTIME_DIR="$tmp/theirs/run" XDG_DATA_HOME="$tmp/theirs" XDG_STATE_HOME="$tmp/theirs" \
    XDG_CACHE_HOME="$tmp/theirs" XDG_CONFIG_HOME="$tmp/theirs" \
    setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups "$tmp/bin/vmctl" "$@"
}

# Nothing there: nothing wrong.
run 0 by_user image list
run 0 by_root image import -q --name base --size 64M "$tmp/root"
id=$out
is "modes" "$(stat -c '%a %U' /var/lib/vmctl $system $system/names $system/$id $system/$id/disk.qcow2 $system/$id/image.json $system/$id/identity | tr '\n' ,)" \
  "755 root,755 root,755 root,755 root,444 root,644 root,644 root,"
is "nobody else's to write" "$(find /var/lib/vmctl ! -type l -perm /022)" ""

run 0 by_user image list --json
is "the user sees it" "$(json "$out" '[(i["names"], i["system"]) for i in j]')" "[(['base'], True)]"
run 0 by_user image inspect base
run 0 by_user image verify base
run 0 by_user image export -q --format raw base "$tmp/theirs/base.raw"
[ "$(stat -c %s "$tmp/theirs/base.raw")" = $((64 << 20)) ] || fail "what was exported"
run 1 by_user image rm base
has "$err" "the image 'base' is the system's"
run 1 by_user image unname base

# A user's own image of that name comes first, and hides it only from him.
run 0 by_user image import -q --name base --size 80M "$tmp/root"
run 0 by_user image inspect base --json
is "the user's own" "$(json "$out" '(j["system"], j["size"])')" "(False, $((80 << 20)))"
run 0 by_root image inspect base --json
is "root's" "$(json "$out" '(j["system"], j["size"])')" "(False, $((64 << 20)))"

# Root verifies: its files stay everybody's to read. Another name, and the host's own, likewise.
touch -d 2001-01-01 "$system/$id/disk.qcow2"
run 1 by_user image export -q --format raw "$id" "$tmp/theirs/again.raw"
run 0 by_root image verify base
run 0 by_user image export -q --format raw "$id" "$tmp/theirs/again.raw"
run 0 by_root image name base second
run 0 by_user image inspect second

# One that was made private by hand is said to be so, and is no reason to lose the others.
chmod 0700 "$system/$id"
run 0 by_user image list --json
is "his own is left" "$(json "$out" '[i["system"] for i in j]')" "[False]"
has "$err" "$id"
chmod 0755 "$system/$id"
chmod 0700 /var/lib/vmctl
run 0 by_user image inspect base
run 0 by_user image list --json
is "his own alone" "$(json "$out" '[i["system"] for i in j]')" "[False]"
run 0 by_root image name "$id" third # which opens it again
run 0 by_user image inspect third

run 0 by_root image rm base
run 0 by_user image list --json
is "it has gone" "$(json "$out" '[i["system"] for i in j]')" "[False]"
