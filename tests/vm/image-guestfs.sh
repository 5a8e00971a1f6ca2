#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Looking into images and changing them without a boot, and what a kept disk has changed: vmctl-guestfs. Each command
# starts an appliance, which takes some seconds under emulation, so each does much.
. "${0%/*}/lib.sh"
export PATH=$PATH:/usr/sbin:/sbin
[ -x "$(dirname "$VMCTL")/vmctl-guestfs" ] || skip_all "vmctl was built without libguestfs"
for program in supermin mke2fs debugfs qemu-img busybox; do
  command -v $program >/dev/null || skip_all "$program is missing"
done

store=$XDG_DATA_HOME/vmctl/images
disk=$XDG_DATA_HOME/vmctl/disks/tools
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl" "$store" "$disk" "$T/came"
json () { python3 -ISc 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$T/out.json" "$1"; }
debug () { printf '%s\n' "$@" >"$T/commands" && debugfs -w -f "$T/commands" "$T/disk.raw" >"$T/debug" 2>&1; }

# A system of a few files, on a disk without partitions, with what is hostile.
tree=$T/tree escape=$(printf 'e\033[2J')
mkdir -p "$tree"/{bin,etc,srv/deep/er,tmp} "$tree/srv/dir"
cp "$(command -v busybox)" "$tree/bin/busybox"
for name in sh cat; do ln -s busybox "$tree/bin/$name"; done
printf 'ID=tiny\nVERSION_ID=3\nPRETTY_NAME="Tiny 3"\n' >"$tree/etc/os-release"
printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\ndaemon:x:2:2::/:/bin/sh\n' >"$tree/etc/passwd"
echo tiny >"$tree/etc/hostname"
printf 'text\033[31mred\n' >"$tree/srv/text"
ln -s /srv/text "$tree/srv/link"
ln -s /etc "$tree/srv/dir/etc"
ln -s ../../../../../.. "$tree/srv/dir/up"
echo x >"$tree/srv/dir/$escape"
echo x >"$tree/srv/dir/$(printf 'new\nline')"
echo suid >"$tree/srv/dir/suid" && chmod 6755 "$tree/srv/dir/suid"
mkfifo "$tree/srv/dir/fifo"
ln "$tree/srv/dir/suid" "$tree/srv/dir/hard"
for name in gone mode same touched; do echo "$name" >"$tree/srv/deep/$name"; done
mke2fs -q -t ext4 -d "$tree" "$T/disk.raw" 48M && debug "cd /srv/dir" "mknod null c 1 3" &&
  qemu-img convert -f raw -O qcow2 "$T/disk.raw" "$T/disk.qcow2" || { echo "Bail out! no image"; exit 1; }
python3 "$vm_here/store.py" "$store" tiny "$T/disk.qcow2" >"$T/tiny" || { echo "Bail out! no image"; exit 1; }
sum=$(sha256sum "$(cat "$T/tiny")/disk.qcow2")
files () { ls -A "$store" | sort | tr '\n' ' '; }
before=$(files)

# A kept disk with changes: a qcow2 that hides all of its base. The content of one file is another one of the same
# size and time.
cp "$T/disk.raw" "$T/base.raw"
echo same >"$T/same" && echo SAME >"$T/new-same" && echo new >"$T/new"
mtime=$(stat -c %Y "$tree/srv/deep/same") extra=$(debugfs -R "stat /srv/deep/same" "$T/disk.raw" 2>/dev/null | sed -n 's/.*mtime: 0x[0-9a-f]*:\([0-9a-f]*\).*/0x\1/p')
debug "cd /srv/deep" "rm gone" "sif mode mode 0100600" "rm same" "write $T/new-same same" "sif same mode 0100644" \
  "sif same uid $(id -u)" "sif same gid $(id -g)" "sif same mtime @$mtime" "sif same mtime_extra $extra" "mkdir dir" \
  "symlink link /etc" "cd dir" "write $T/new new"
qemu-img convert -S 0 -f raw -O qcow2 "$T/disk.raw" "$disk/disk.qcow2"
printf '{"image": "%s", "image-name": "tiny", "created": 1}' "$(basename "$(cat "$T/tiny")")" >"$disk/disk.json"

DEADLINE=200 run env LIBGUESTFS_PATH=/nowhere LIBGUESTFS_HV=/bin/false LIBGUESTFS_BACKEND=libvirt TMPDIR=/nowhere \
  "$VMCTL" image ls tiny /srv/dir /bin/sh --json -q
is "$STATUS" 0 "ls, whatever the environment says"
[ "$STATUS" = 0 ] || note "$ERR"
cp "$T/out" "$T/out.json"
is "$(json '[(f["path"], f["target"]) for f in j if f["type"] == "l"]')" \
  "[('/srv/dir/etc', '/etc'), ('/srv/dir/up', '../../../../../..'), ('/bin/sh', 'busybox')]" "ls: the links"
is "$(json '[f["mode"] for f in j if f["path"].endswith("suid")]')" "['6755']" "ls: a mode"
check_not "the appliance is below vmctl's own cache, and nowhere else" test -e "/var/tmp/.guestfs-$(id -u)"
check "and there it is" test -e "$XDG_CACHE_HOME/vmctl/guestfs/appliance/root"

run "$VMCTL" image ls -lq tiny /srv/dir
like "$OUT" 'e\\x1b\[2J' "ls: an escape sequence is shown, and not sent"
like "$OUT" 'new\\nline' "ls: so is a newline"
like "$OUT" "c---" "ls: a device"
is "$(printf '%s\n' "$OUT" | wc -l)" 8 "ls: a line a file"

run "$VMCTL" image cat -q tiny /srv/link
is "$OUT" "$(cat "$tree/srv/text")" "cat: through a link, and as it is"
is "$(script -qec "$VMCTL image cat -q tiny /srv/link" /dev/null | tr -d '\r')" 'text\x1b[31mred' "cat: a terminal gets no escape sequences"

run "$VMCTL" image copy-out -q tiny /srv/dir /srv/link "$T/out-dir"
is "$STATUS" 1 "copy-out: not into what is not there"
mkdir "$T/copy"
(umask 000; DEADLINE=200 run "$VMCTL" image copy-out tiny /srv/dir /srv/link "$T/copy"; echo "$STATUS" >"$T/status"; cp "$T/err" "$T/copy-err")
is "$(cat "$T/status")" 0 "copy-out"
[ "$(cat "$T/status")" = 0 ] || note "$(cat "$T/copy-err")"
is "$(cat "$T/copy/link")" "$(cat "$tree/srv/text")" "copy-out: a link that is named is what it leads to"
is "$(readlink "$T/copy/dir/etc") $(readlink "$T/copy/dir/up")" "/etc ../../../../../.." "copy-out: others stay links"
is "$(stat -c %a "$T/copy/dir/suid")" 755 "copy-out: without set-id bits"
is "$(stat -c %h "$T/copy/dir/suid")" 2 "copy-out: a hard link"
is "$(find "$T/copy" ! -type f ! -type d ! -type l; find "$T/copy" -perm -o+w ! -type l)" "" "copy-out: no devices, nothing that all may write"
like "$(cat "$T/copy-err")" "left out: 2" "copy-out: and it says so"
is "$(ls -A "$T/copy" | tr '\n' ' ')" "dir link " "copy-out: nothing else is there"
run "$VMCTL" image copy-out -q tiny /srv/dir "$T/copy"
is "$STATUS" 1 "copy-out: over what is there: refused"

run "$VMCTL" disk diff -q tools --json
is "$STATUS" 0 "diff"
[ "$STATUS" = 0 ] || note "$ERR"
cp "$T/out" "$T/out.json"
is "$(json '[(c["change"] + c["type"], c["path"][10:]) for c in j if c["path"].startswith("/srv/deep/")]')" \
  "[('Ad', 'dir'), ('Af', 'dir/new'), ('Df', 'gone'), ('Al', 'link'), ('Mf', 'mode'), ('Mf', 'same')]" "diff: what was done"
is "$(json 'len(j)')" 6 "diff: and nothing else"
run flock "$disk/disk.qcow2" "$VMCTL" disk diff -q tools
is "$STATUS" 1 "diff: a disk in use is refused"
like "$ERR" "in use" "and why"

# An image of the store is never changed: another one has its name then.
mkdir "$T/in" "$T/in/sub" && echo in >"$T/in/sub/file" && ln -s file "$T/in/sub/l" && echo alone >"$T/alone"
DEADLINE=300 run "$VMCTL" image copy-in -q tiny "$T/in" "$T/alone" /srv/link/../../tmp
is "$STATUS" 2 "copy-in: not with .. in the path"
DEADLINE=300 run "$VMCTL" image copy-in -q tiny "$T/in" "$T/alone" /tmp
is "$STATUS" 0 "copy-in"
[ "$STATUS" = 0 ] || note "$ERR"
copied=$OUT
is "$(basename "$(readlink "$store/names/tiny")")" "$copied" "copy-in: the name has moved"
is "$(sha256sum "$(cat "$T/tiny")/disk.qcow2")" "$sum" "copy-in: the old image is what it was"
is "$(files)" "$(printf '%s\n' $before "$copied" | sort | tr '\n' ' ')" "copy-in: and nothing else is there"
DEADLINE=300 run "$VMCTL" image customize -q "$copied" --write /x:y
is "$STATUS" 2 "customize: an id is no name that could move"
echo "#!/bin/sh" >"$T/script" && chmod 755 "$T/script"
DEADLINE=300 run "$VMCTL" image customize tiny --name new --mkdir /opt/a/b --write /opt/a/b/text:one --upload "$T/script:/bin/script" \
  --run-command 'cat /opt/a/b/text /tmp/in/sub/l >/opt/both; cat /opt/both; printf "\033[1m"' --delete /opt/a --hostname other
is "$STATUS" 0 "customize"
[ "$STATUS" = 0 ] || note "$ERR"
like "$ERR" "onein" "customize: what a command says"
unlike "$ERR" "$(printf '\033\[1m')" "customize: without its escape sequences"
is "$(basename "$(readlink "$store/names/tiny")")" "$copied" "customize --name: the old name stays"
DEADLINE=200 run "$VMCTL" image copy-out -q new /opt/both /etc/hostname /bin/script /tmp "$T/came"
is "$STATUS" 0 "what came of it"
is "$(cat "$T/came/both" | tr '\n' ' ')" "onein " "customize: in the order in which it was written"
is "$(cat "$T/came/hostname") $(stat -c %a "$T/came/script") $(cat "$T/came/tmp/alone") $(readlink "$T/came/tmp/in/sub/l")" \
  "other 755 alone file" "customize and copy-in"

DEADLINE=200 run "$VMCTL" image inspect -q --deep --json new
is "$STATUS" 0 "inspect --deep"
cp "$T/out" "$T/out.json"
is "$(json '[(f["device"], f["type"], f["size"], f["root"], f["used"] > 0) for f in j["deep"]["filesystems"]]')" \
  "[('/dev/vda', 'ext4', $((48 << 20)), True, True)]" "inspect --deep: file systems"
is "$(json 'j["deep"]["os"], [(u["name"], u["uid"]) for u in j["deep"]["users"]], j["deep"]["agent"]')" \
  "('Tiny 3', [('root', 0), ('ann', 1000)], False)" "inspect --deep: the system and its users"

# Whoever is killed, all that it has started ends with it.
below () { local child; for child in $(pgrep -P "$1"); do echo "$child"; below "$child"; done; }
machine () { for pid in $(below "$1"); do case $(cat "/proc/$pid/comm" 2>/dev/null) in qemu-system*) return 0 ;; esac; done; return 1; }
all_dead () { local pid; for pid; do dead "$pid" || return 1; done; }
before=$(files)
for signal in KILL TERM; do
  "$VMCTL" image customize -q tiny --name never --run-command 'while :; do :; done' >"$T/killed" 2>&1 &
  child=$!
  if until_true 120 machine $child; then ok "$signal: its machine runs"; else no "$signal: its machine runs"; note "$(cat "$T/killed")"; fi
  started=$(below $child)
  kill -$signal $child
  wait $child 2>/dev/null
  check "$signal: all of it ends" until_true 10 all_dead $started
  [ $signal = TERM ] || check "KILL: what it left in the store can go" "$VMCTL" image prune
  is "$(files)" "$before" "$signal: nothing is left in the store"
done
finish
