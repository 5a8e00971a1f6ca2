#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# image: a small distribution of our own, as every format that can be imported, and what is refused. Nothing is booted.
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
requires python3
requires busybox
requires debugfs
requires qemu-img
requires bwrap
images=$XDG_DATA_HOME/vmctl/images
work=$tmp/work
mkdir "$work"

parts () { find "$images" -maxdepth 1 -name '.part-*' 2> /dev/null | wc -l; }
# id_of NAME, and WHAT of it
id_of () { run 0 "$V" image inspect "$1" --json; json "$out" 'j["id"]'; }
get () { run 0 "$V" image inspect "$1" --json; json "$out" "$2"; }
# ext4 COMMAND: debugfs on the exported disk of an image
export_raw () {
  rm -f "$work/$1.raw"
  run 0 "$V" image export "$1" "$work/$1.raw" --format raw -q
}

# An empty store.
run 0 "$V" image
has "$out" ORIGIN
run 0 "$V" image list --json
is none "$(json "$out" j)" "[]"
run 0 "$V" image prune
run 1 "$V" image inspect nothing
has "$err" "there is no image 'nothing'"
run 2 "$V" image rm
run 2 "$V" image inspect
has "$err" "vmctl image inspect IMAGE"
run 2 "$V" image forget
[ ! -e "$images" ] || fail "looking has made the store"

# Looking into one: what is wrong is said before anything is started.
for words in "ls" "cat nothing" "copy-out nothing /etc" "copy-in nothing /etc" "customize" "customize a b"; do
  run 2 "$V" image $words
  has "$err" "write vmctl image ${words%% *} IMAGE"
done
for words in "cat nothing etc" "cat nothing /a/../b" "ls nothing /." "copy-in nothing $work etc" "copy-out nothing / $work" \
  "copy-out nothing /a/x /b/x $work" "customize nothing" "customize nothing --delete /" "customize nothing --mkdir a" \
  "customize nothing --write /x" "customize nothing --upload /etc/passwd" "customize nothing --hostname a/b" \
  "copy-in nothing $work /etc --delete /etc" "customize nothing --upload $work:/x" "copy-in nothing /etc/passwd $tmp/passwd /x"; do
  : > "$tmp/passwd"
  run 2 "$V" image $words
done
run 2 "$V" image customize nothing --run-command ''
run 1 "$V" image ls nothing
has "$err" "there is no image 'nothing'"
run 1 "$V" image copy-out nothing /a "$work/none"
has "$err" "cannot open the directory '$work/none'"
: > "$work/there"
run 1 "$V" image copy-out nothing /a/there "$work"
has "$err" "has a 'there' already"
rm "$work/there"
run 1 "$V" image customize nothing --upload "$work/none:/x"
has "$err" "cannot read '$work/none'"
[ ! -e "$images" ] || fail "what was refused has made the store"

# The root of a small distribution, with what is hard: links, owners, devices, holes, odd names, depth.
root=$work/root
mkdir -p "$root"/{bin,etc,sbin,dev,lib/modules/6.1.0-test,boot,usr/lib,srv}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
ln -s /bin/busybox "$root/sbin/init"
ln "$root/bin/busybox" "$root/bin/ls"
printf 'ID=tiny\nVERSION_ID="1.2"\nPRETTY_NAME="Tiny \xc3\xa9 1.2"\n' > "$root/usr/lib/os-release"
ln -s ../usr/lib/os-release "$root/etc/os-release"
echo tiny > "$root/etc/hostname"
printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' > "$root/etc/passwd"
truncate -s 3M "$root/srv/hole"
printf end >> "$root/srv/hole"
printf x > "$root/srv/a b \"c\""
printf x > "$root/srv/$(printf 'new\nline')"
printf x > "$root/boot/vmlinuz-6.1.0-test"
deep=$root/srv
for i in $(seq 40); do deep=$deep/d$i; done
mkdir -p "$deep"
chmod 4755 "$root/bin/busybox"

# A directory.
run 0 "$V" image import "$root" --name dir --size 64M
is id "$out" "$(id_of dir)"
is os "$(get dir 'j["os-name"]')" "Tiny é 1.2"
is init "$(get dir 'j["init-kind"], j["init"]')" "('other', '/sbin/init')"
is arch "$(get dir 'j["arch"]')" "$(uname -m)"
is root "$(get dir 'j["partition"], j["filesystem"], j["size"]')" "(0, 'ext4', 67108864)"
is user "$(get dir '[u["name"] for u in j["inspection"]["users"]]')" "['ann']"
is kernels "$(get dir 'j["inspection"]["kernels"]')" "['6.1.0-test']"
has "$(get dir 'j["kernel-problem"]')" "no modules for it"
[ "$(stat -c %a "$images"/sha256-*/disk.qcow2)" = 400 ] || fail "the disk can be written"
is parts "$(parts)" 0
run 0 "$V" image inspect dir
has "$out" "ann, /home/ann"
has "$out" "the host's: it"

# What came out of it is what went in: e2fsck is content, and the files are the same, to root's hands.
export_raw dir
e2fsck -fn "$work/dir.raw" > "$work/fsck" 2>&1 || fail "e2fsck: $(cat "$work/fsck")"
debugfs -R 'stat /bin/busybox' "$work/dir.raw" > "$work/stat" 2> /dev/null
grep -q 'Mode:  04755' "$work/stat" || fail "$(cat "$work/stat")"
grep -q 'User:     0 ' "$work/stat" || fail "a file is not root's: $(cat "$work/stat")"
grep -q 'Links: 2' "$work/stat" || fail "a hard link was lost: $(cat "$work/stat")"
debugfs -R "dump /bin/ls $work/ls" "$work/dir.raw" 2> /dev/null
cmp "$work/ls" "$root/bin/busybox" || fail "content differs"
debugfs -R "dump /srv/hole $work/hole" "$work/dir.raw" 2> /dev/null
cmp "$work/hole" "$root/srv/hole" || fail "a file with a hole differs"
run 1 "$V" image export dir "$work/dir.raw"
has "$err" "there already"

# A tar keeps owners, devices and capabilities, whoever imports it; nothing of it is made on the host.
cat > "$work/tar.py" <<'END'
import io, os, sys, tarfile
kind, root, path = sys.argv[1:4]
def own(t):
    t.uid, t.gid, t.uname, t.gname = 1234, 70000, '', ''
    return t
def more(tar, name, **fields):
    t = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(t, key, value)
    tar.addfile(t, io.BytesIO(b'x' * t.size))
with tarfile.open(path, 'w' + kind, format=tarfile.PAX_FORMAT) as tar:
    tar.add(root, '.', filter=own)
    more(tar, './dev/null', type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    more(tar, './dev/vda', type=tarfile.BLKTYPE, devmajor=252, devminor=300, mode=0o660)
    more(tar, './run/fifo', type=tarfile.FIFOTYPE, mode=0o600)
    more(tar, 'usr/bin/ping', size=4, mode=0o755,
         pax_headers={'SCHILY.xattr.security.capability': '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'})
    more(tar, 'etc/twice', size=9000)
    more(tar, 'etc/twice', size=2)
    more(tar, 'link', type=tarfile.SYMTYPE, linkname='srv')
    more(tar, 'link/through', size=1)
    if len(sys.argv) > 4:
        more(tar, sys.argv[4], size=1)
END
python3 "$work/tar.py" :gz "$root" "$work/t.tar.gz"
run 0 "$V" image import "$work/t.tar.gz" --size 64M
is name "$(get t 'j["format"], j["names"]')" "('tar', ['t'])"
export_raw t
e2fsck -fn "$work/t.raw" > "$work/fsck" 2>&1 || fail "e2fsck: $(cat "$work/fsck")"
stat_in () { debugfs -R "stat $1" "$work/t.raw" 2> /dev/null; }
has "$(stat_in /etc/hostname)" "User:  1234"
has "$(stat_in /etc/hostname)" "Group: 70000"
has "$(stat_in /dev/null)" "Device major/minor number: 01:03"
has "$(stat_in /dev/vda)" "Device major/minor number: 252:300"
has "$(stat_in /run/fifo)" "Type: FIFO"
has "$(stat_in /usr/bin/ping)" "security.capability (20)"
has "$(stat_in /etc/twice)" "Size: 2"
has "$(stat_in /srv/through)" "Size: 1"

# The same again costs nothing: the same file, and another one with the same content.
began=$(stat -c %Y.%i "$images"/sha256-*/disk.qcow2 | sort)
run 0 "$V" image import "$work/t.tar.gz" --name again
has "$err" "there already"
cp "$work/t.tar.gz" "$work/copy.tar.gz"
run 0 "$V" image import "$work/copy.tar.gz"
has "$err" "there already"
is same "$(id_of copy)" "$(id_of t)"
is unchanged "$(stat -c %Y.%i "$images"/sha256-*/disk.qcow2 | sort)" "$began"
for kind in :xz zst ''; do
  python3 "$work/tar.py" "$(echo "$kind" | grep : || echo :)" "$root" "$work/k.tar"
  if [ "$kind" = zst ]; then command -v zstd > /dev/null || continue; zstd -q --rm -f "$work/k.tar" -o "$work/k.zst"; else mv "$work/k.tar" "$work/k.$kind"; fi
  run 0 "$V" image import "$work/k.$kind" --name kind --size 64M --force
  is format "$(get kind 'j["format"], j["os-id"]')" "('tar', 'tiny')"
done

# A vmctl without vmctl-guestfs says so, and one without supermin; nothing is made.
mkdir "$work/libexec"
for program in "$(dirname "$V")"/vmctl*; do
  [ ! -f "$program" ] || [ "$(basename "$program")" = vmctl-guestfs ] || ln "$program" "$work/libexec/" 2> /dev/null || cp "$program" "$work/libexec/"
done
for words in "ls dir" "inspect dir --deep" "customize dir --mkdir /x"; do
  run 1 "$work/libexec/vmctl" image $words
  has "$err" "built without libguestfs"
  has "$err" "apt install libguestfs-dev"
done
run 0 "$V" image inspect dir
if [ -x "$(dirname "$V")/vmctl-guestfs" ]; then
  run 2 "$V" image copy-in "$(id_of dir)" "$work/fsck" /etc
  has "$err" "write --name NAME"
  mkdir "$work/path"
  for program in bwrap qemu-img qemu-system-x86_64; do ln -s "$(command -v $program)" "$work/path/"; done
  if ! [ -e /usr/sbin/supermin ] && ! [ -e /sbin/supermin ]; then
    run 1 env PATH="$work/path" "$V" image customize dir --mkdir /x -q
    has "$err" "'supermin' is missing"
  fi
  is parts "$(parts)" 0
fi

# Names that lead out, and tars that are cut off.
for name in ../out a/../../out /../out; do
  python3 "$work/tar.py" : "$root" "$work/bad.tar" "$name"
  run 1 "$V" image import "$work/bad.tar"
  has "$err" "leads out"
done
head -c 100000 "$work/t.tar.gz" > "$work/cut.tar.gz"
run 1 "$V" image import "$work/cut.tar.gz"
has "$err" "cannot import '$work/cut.tar.gz': "
has "$err" "cannot read the tar"
run 2 "$V" image import "$work/copy.tar.gz" --name big --size 1M
has "$err" "--size"
mkdir "$work/empty"
run 1 "$V" image import "$work/empty"
has "$err" "no root file system"

# Disks: the exported one, whole and in a partition, in every format.
python3 - "$work/dir.raw" "$work/disk.raw" <<'END'
import struct, sys
root = open(sys.argv[1], 'rb').read()
first, total = 2048, 1024 * 1024 * 2 + len(root) + 1024 * 1024
def entry(n, kind, first, last):
    return struct.pack('<16s16sQQQ72s', kind, bytes([n]) * 16, first, last, 0, b'')
with open(sys.argv[2], 'wb') as f:
    f.truncate(total)
    f.seek(446); f.write(struct.pack('<B3sB3sII', 0, b'', 0xee, b'', 1, total // 512 - 1))
    f.seek(510); f.write(b'\x55\xaa')
    f.seek(512); f.write(struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, 0, 0, 1, total // 512 - 1, 34, total // 512 - 34, b'g' * 16, 2, 128, 128, 0))
    f.seek(1024 + 2 * 128); f.write(entry(3, b'r' * 16, first, first + len(root) // 512 - 1))
    f.seek(first * 512); f.write(root)
END
run 0 "$V" image import "$work/disk.raw"
is root "$(get disk 'j["partition"], j["format"], j["os-id"]')" "(3, 'raw', 'tiny')"
for format in qcow2 vmdk vdi; do
  qemu-img convert -f raw -O $format "$work/disk.raw" "$work/x.$format"
  run 0 "$V" image import "$work/x.$format" --name "x-$format"
  is same "$(id_of "x-$format")" "$(id_of x-qcow2)" # what qemu-img has made is one disk, however it came
done
# A raw one is packed by our own code: what QEMU reads in it is what was there, and where nothing was is nothing.
stored=$(get disk 'j["directory"]')/disk.qcow2
run 0 qemu-img check -q -f qcow2 "$stored"
run 0 qemu-img compare -q -f raw -F qcow2 "$work/disk.raw" "$stored"
cp --sparse=never "$work/disk.raw" "$work/full.raw"
run 0 "$V" image import "$work/full.raw"
is same "$(id_of full)" "$(id_of disk)"
# A qcow2 is taken as it is, and its id is its checksum.
is id "$(id_of x-qcow2)" "sha256-$(sha256sum < "$work/x.qcow2" | cut -d' ' -f1)"
qemu-img convert -c -f raw -O qcow2 "$work/disk.raw" "$work/c.qcow2"
qemu-img snapshot -c old "$work/c.qcow2"
run 0 "$V" image import "$work/c.qcow2"
has "$(qemu-img info --output=json "$(get c 'j["directory"]')/disk.qcow2")" '"format": "qcow2"'
hasnt "$(qemu-img info "$(get c 'j["directory"]')/disk.qcow2")" Snapshot

# What is refused, and nothing is left of it.
before=$(ls "$images" "$images/names")
refuse () { # STATUS WORDS FILE OPTIONS...
  want=$1 words=$2
  shift 2
  run "$want" "$V" image import --name refused "$@"
  has "$err" "$words"
}
echo secret > "$work/secret"
qemu-img create -q -f qcow2 -b "$work/disk.raw" -F raw "$work/back.qcow2"
refuse 1 "differs from another file, '$work/disk.raw'" "$work/back.qcow2"
qemu-img create -q -f qcow2 -u -b 'json:{"driver":"file","filename":"/etc/passwd"}' -F raw "$work/json.qcow2" 1M
refuse 1 "vmctl opens no file that an image names" "$work/json.qcow2"
qemu-img create -q -f qcow2 -o "data_file=$work/data.raw" "$work/data.qcow2" 1M
refuse 1 "its data is in another file" "$work/data.qcow2"
refuse 1 "begins like a qcow2 disk" "$work/x.qcow2" --format raw
refuse 1 "begins like a raw disk" "$work/disk.raw" --format qcow2
refuse 2 "is not one of" "$work/disk.raw" --format qed
head -c 70000 "$work/x.qcow2" > "$work/cut.qcow2"
refuse 1 "not sound" "$work/cut.qcow2"
head -c $(($(stat -c %s "$work/x.qcow2") - 300000)) "$work/x.qcow2" > "$work/cut2.qcow2"
refuse 1 "its tables are damaged" "$work/cut2.qcow2"
refuse 1 "no image that is recognised" "$work/secret"
refuse 1 "has whole sectors of 512" "$work/secret" --format raw
: > "$work/nothing"
refuse 1 "it is empty" "$work/nothing"
mkfifo "$work/fifo"
refuse 2 "neither a regular file nor a directory" "$work/fifo"
refuse 1 "cannot open it" "$work/absent"
# A raw disk that begins as a qcow2 does is one to whoever looks: neither word for it is believed.
cp --sparse=always "$work/disk.raw" "$work/like.raw"
printf 'QFI\373\0\0\0\3' | dd of="$work/like.raw" bs=1 conv=notrunc status=none
refuse 1 "not sound" "$work/like.raw"
refuse 1 "begins like a qcow2 disk" "$work/like.raw" --format raw
qemu-img create -q -f qcow2 "$work/ten.qcow2" 10T
refuse 1 "no root file system that vmctl can read" "$work/ten.qcow2"
qemu-img create -q -f qcow2 "$work/twenty.qcow2" 20T
refuse 1 "larger than 16 TiB" "$work/twenty.qcow2"
truncate -s 17T "$work/huge.raw" 2> /dev/null && refuse 1 "larger than 16 TiB" "$work/huge.raw" --format raw
for signature in 'LUKS:0:LUKS\272\276' 'LVM:512:LABELONE' 'btrfs:65600:_BHRfS_M' 'xfs:0:XFSB'; do
  IFS=: read -r what at bytes <<< "$signature"
  rm -f "$work/fs.raw"
  truncate -s 1M "$work/fs.raw"
  # shellcheck disable=SC2059
  printf "$bytes" | dd of="$work/fs.raw" bs=1 seek="$at" conv=notrunc status=none
  refuse 1 "$what" "$work/fs.raw"
done
printf '\xb7' | dd of="$root/bin/busybox" bs=1 seek=18 conv=notrunc status=none
refuse 1 "is for aarch64" "$root" --size 64M
printf '\x3e' | dd of="$root/bin/busybox" bs=1 seek=18 conv=notrunc status=none
is before "$(ls "$images" "$images/names")" "$before"
is parts "$(parts)" 0

# Two roots: it asks which.
python3 - "$work/dir.raw" "$work/two.raw" <<'END'
import struct, sys
root = open(sys.argv[1], 'rb').read()
n = len(root) // 512
with open(sys.argv[2], 'wb') as f:
    f.truncate((2048 + 2 * n) * 512)
    f.seek(446)
    for i in range(2):
        f.write(struct.pack('<B3sB3sII', 0, b'', 0x83, b'', 2048 + i * n, n))
    f.seek(510); f.write(b'\x55\xaa')
    for i in range(2):
        f.seek((2048 + i * n) * 512); f.write(root)
END
refuse 1 "write --root 1 or 2" "$work/two.raw"
refuse 1 "--root 7 is no" "$work/two.raw" --root 7
run 0 "$V" image import "$work/two.raw" --root 2
is root "$(get two 'j["partition"]')" 2

# 10 TiB are a number, and no room.
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/ten.qcow2"
qemu-img resize -q "$work/ten.qcow2" 10T
cp --sparse=always "$work/disk.raw" "$work/ten.raw"
truncate -s 10T "$work/ten.raw" 2> /dev/null || rm "$work/ten.raw"
for file in "$work"/ten.*; do
  run 0 "$V" image import "$file" --name ten
  is "its size" "$(get ten 'j["size"], j["partition"], j["bytes"] < (32 << 20)')" "($((10 << 40)), 3, True)"
  run 0 "$V" image rm ten
done

# No init: that is what it says, and it can be imported.
rm "$root/sbin/init"
run 0 "$V" image import "$root" --name noinit --size 64M
is init "$(get noinit 'j["init-kind"], j.get("init")')" "('none', None)"
ln -s /bin/busybox "$root/sbin/init"
run 0 "$V" image rm noinit

# The disk fills up: it says so, and nothing is left. Some fail before the work, when it can be known.
in_namespace () { if [ "$(id -u)" -eq 0 ]; then unshare --mount "$@"; else unshare --mount --map-root-user "$@"; fi; }
mkdir "$tmp/small"
cat > "$work/full.sh" <<'END'
mount -t tmpfs -o size=2m none "$1" || exit 99
XDG_DATA_HOME=$1 "$2" image import --name full "$3" --size 64M
status=$?
find "$1" -type f -o -name '.part-*'
exit $status
END
if in_namespace mount -t tmpfs none "$tmp/small" 2> /dev/null; then
  head -c 4M /dev/urandom > "$root/srv/random"
  python3 "$work/tar.py" :gz "$root" "$work/big.tar.gz"
  "$V" image import "$root" --name random --size 64M -q > /dev/null || fail "4 MiB more"
  for format in raw qcow2; do run 0 "$V" image export random "$work/big.$format" --format $format -q; done
  qemu-img convert -f raw -O vmdk "$work/big.raw" "$work/big.vmdk"
  for file in "$work/big.raw" "$work/big.qcow2" "$work/big.vmdk" "$work/big.tar.gz" "$root"; do
    run 1 in_namespace sh "$work/full.sh" "$tmp/small" "$V" "$file"
    case $err in *'No space left'* | *'no room'*) ;; *) fail "$file: $err" ;; esac
    is "left of $file" "$out" ""
  done
  mkdir "$work/fills"
  printf '#!/bin/sh\nfor word; do case $word in */root.tar) exec head -c 9M /dev/zero > "$word" ;; esac; done\n' > "$work/fills/mmdebstrap"
  chmod +x "$work/fills/mmdebstrap"
  if [ "$(id -u)" -eq 0 ]; then
    run 1 in_namespace env PATH="$work/fills:$PATH" sh -c 'mount -t tmpfs -o size=2m none "$1" || exit 99
      XDG_DATA_HOME=$1 "$2" image build debian:sid; status=$?; find "$1" -type f -o -name ".part-*"; exit $status' - "$tmp/small" "$V"
    has "$err" "No space left"
    is "left of a build" "$out" ""
  fi
  rm "$root/srv/random"
  run 0 "$V" image rm random
else
  echo "not tested: a disk that is full, since no tmpfs can be mounted here"
fi

# Names.
run 1 "$V" image import "$work/disk.raw" --name t
has "$err" "there is an image 't' already"
run 2 "$V" image import "$work/disk.raw" --name ../x
run 0 "$V" image name disk other
is other "$(id_of other)" "$(id_of disk)"
run 1 "$V" image name dir other
run 0 "$V" image name dir other --force
is other "$(id_of other)" "$(id_of dir)"
run 0 "$V" image unname other
run 1 "$V" image unname other

# Verifying: one that was changed is found, one that was copied is good again.
run 0 "$V" image verify dir t
disk=$(get dir 'j["directory"]')/disk.qcow2
cp "$disk" "$work/saved"
chmod 0600 "$disk"
run 1 "$V" image export dir "$work/out.qcow2"
has "$err" "vmctl image verify dir"
run 0 "$V" image verify dir
run 0 "$V" image export dir "$work/out.qcow2"
chmod 0600 "$disk"
printf x | dd of="$disk" bs=1 seek=200000 conv=notrunc status=none
run 1 "$V" image verify dir
has "$err" "not what it was"
run 1 "$V" image export dir "$work/out2.qcow2"
[ ! -e "$work/out2.qcow2" ] || fail "a spoilt image was exported"
run 0 "$V" image rm dir
run 1 "$V" image inspect dir

# What others can write, or own, is not used; nor one whose disk has gone.
disk=$(get t 'j["directory"]')/disk.qcow2
chmod 0660 "$disk"
run 1 "$V" image export t "$work/out3.qcow2"
has "$err" "can be written by others"
chmod 0400 "$disk"
if [ "$(id -u)" -eq 0 ]; then
  chown 4321 "$disk"
  run 1 "$V" image export t "$work/out3.qcow2"
  has "$err" "is not the store's"
  chown 0 "$disk"
  chown 4321 "$images"
  run 1 "$V" image list
  has "$err" "belongs to somebody else"
  chown 0 "$images"
fi
run 0 "$V" image verify t
mv "$disk" "$work/moved"
run 1 "$V" image export t "$work/out3.qcow2"
has "$err" "cannot open the disk of the image"
mv "$work/moved" "$disk"
run 0 "$V" image verify t
chmod 0777 "$images"
run 1 "$V" image list
has "$err" "can be written by others"
chmod 0700 "$images"
[ ! -e "$work/out3.qcow2" ] || fail "an image that is not sound was exported"

# One that is in use stays. (flock's descriptor is what a machine's would be.)
if command -v flock > /dev/null; then
  id=$(id_of disk)
  run 1 flock -s "$images/$id/disk.qcow2" "$V" image rm disk
  has "$err" "in use"
fi

# What an action does not know is not passed over: this would remove it.
run 2 "$V" image rm --dry-run disk
has "$err" "image rm: --dry-run is for prune"
run 2 "$V" image --size 8G
has "$err" "image list: --size is for import, build"
run 2 "$V" image inspect disk --write /etc/motd:hello
has "$err" "--write is for customize"
run 0 "$V" image inspect disk

# No name: prune takes it, and nothing else.
run 0 "$V" image unname two
run 0 "$V" image prune -n
has "$out" sha256-
run 0 "$V" image prune
run 0 "$V" image list --json
is left "$(json "$out" 'sorted(n for i in j for n in i["names"])')" \
  "['again', 'c', 'copy', 'disk', 'full', 'kind', 't', 'x-qcow2', 'x-vdi', 'x-vmdk']"
run 0 "$V" complete image
has "$out" "x-vmdk"

# A kernel of its own: the host's, with the modules that vmctl wants, and one that it does not.
host=
for kernel in /boot/vmlinuz-*; do
  version=${kernel#/boot/vmlinuz-}
  if [ -r "$kernel" ] && [ -r "/lib/modules/$version/modules.dep" ]; then host=$version; fi
done
if [ -n "$host" ]; then
  rm "$root"/boot/vmlinuz-*
  cp "/boot/vmlinuz-$host" "$root/boot/"
  python3 - "/lib/modules/$host" "$root/lib/modules/$host" <<'END'
import os, shutil, sys
source, to = sys.argv[1:]
wanted = set('virtio_pci 9p 9pnet_virtio overlay virtio_console virtio_blk crc32c_generic ext4 virtio_net virtio_balloon '
             'cifs'.split())
files = {'modules.dep', 'modules.builtin'}
for line in open(f'{source}/modules.dep'):
    name, needs = line.split(':')
    if os.path.basename(name).split('.ko')[0].replace('-', '_') in wanted:
        files |= {name, *needs.split()}
for name in files:
    os.makedirs(os.path.dirname(f'{to}/{name}'), exist_ok=True)
    shutil.copy(f'{source}/{name}', f'{to}/{name}')
END
  python3 "$work/tar.py" : "$root" "$work/kernel.tar"
  run 0 "$V" image import "$work/kernel.tar" --size 128M
  is kernel "$(get kernel 'j["kernel"], j.get("kernel-problem")')" "('$host', None)"
  kernel=$(get kernel 'j["directory"]')/kernel
  cmp "$kernel/boot/vmlinuz-$host" "/boot/vmlinuz-$host" || fail "it is another kernel"
  [ -n "$(find "$kernel" -name '9pnet_virtio.ko*')" ] || fail "a module is missing"
  is others "$(find "$kernel" -name 'cifs.ko*')" ""
  rm "$root/lib/modules/$host/"*/net/9p/9pnet_virtio.ko*
  run 0 "$V" image import "$root" --name less --size 128M
  has "$(get less 'j["kernel-problem"]')" "9pnet_virtio"
  [ ! -e "$(get less 'j["directory"]')/kernel" ] || fail "the files of a kernel that cannot be used are there"
fi

# Building: by an mmdebstrap of our own, which fails, and then makes the tar. A user's runs in a namespace that sees
# nothing of his: it has to be where others may look.
builds=yes
if [ "$(id -u)" -ne 0 ]; then
  command -v newuidmap > /dev/null && grep -qs "^$(id -un):" /etc/subuid && grep -qs "^$(id -un):" /etc/subgid || builds=
fi
chmod 0711 "$tmp" "$work"
mkdir "$work/bin"
cat > "$work/bin/mmdebstrap" <<END
#!/bin/sh
echo "\$@" > "$work/words"
echo "I: running apt-get update..." >&2
[ -e "$work/works" ] || { echo "E: no such suite" >&2; exit 1; }
for word; do case \$word in */root.tar) tar=\$word ;; esac done
mkdir -m 0700 -p "\$TMPDIR/root/etc"
echo x > "\$TMPDIR/root/etc/x"
[ "\$(id -u)" -ne 0 ] || chown -R 42:42 "\$TMPDIR/root"
if [ -e "$work/waits" ]; then mkdir "\$TMPDIR/mounted"; mount -t tmpfs none "\$TMPDIR/mounted"; sleep 1000 & : > "\${tar%/*}/waiting"; wait; fi

cp "$work/bad.tar" "\$tar"
END
chmod +x "$work/bin/mmdebstrap"
python3 "$work/tar.py" : "$root" "$work/bad.tar"
chmod 0644 "$work/bad.tar"
words () { rm -f "$work/words"; : > "$work/words"; chmod 0666 "$work/words"; }
words
run 2 "$V" image build fedora:40
has "$err" "debian:bookworm"
run 2 "$V" image build debian:sid --packages 'a b'
if [ -n "$builds" ]; then
  run 1 env PATH="$work/bin:$PATH" "$V" image build debian:nosuch
  has "$err" "cannot build debian:nosuch: E: no such suite"
  hasnt "$err" apt-get
  is parts "$(parts)" 0
  touch "$work/works"
  run 0 env PATH="$work/bin:$PATH" "$V" image build debian:sid --packages git,g++ --size 64M
  has "$(cat "$work/words")" ",git,g++ sid "
  is built "$(get debian-sid 'j["origin"], j["format"], j["os-id"], j["size"]')" "('debian:sid', 'tar', 'tiny', 67108864)"
  is parts "$(parts)" 0
  words
  run 1 env PATH="$work/bin:$PATH" "$V" image build debian:sid
  has "$err" "there is an image 'debian-sid' already"
  is words "$(cat "$work/words")" ""
fi

# Killed at a step: its processes end, the next one takes what is left, and does it all. (Each step makes a file, and
# vmctl is stopped where that appears.)
rm -rf "$images"
cat > "$work/kill.py" <<'END'
import glob, os, signal, subprocess, sys, time
store, name, number, vmctl, *words = sys.argv[1:]
end = time.time() + 60
def stat(p):
    try:
        with open(f'/proc/{p}/stat') as f:
            words = f.read().rsplit(')', 1)[1].split()
    except OSError:
        return None
    return None if words[0] == 'Z' else (int(words[1]), words[19])
def below(p):
    found, level = {}, {p}
    while level:
        all = {int(q): stat(q) for q in os.listdir('/proc') if q.isdigit()}
        level = {q for q, s in all.items() if s and s[0] in level and q not in found}
        found.update({q: all[q][1] for q in level})
    return found
def start():
    child = subprocess.Popen([vmctl, 'image', *words, '-q'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not glob.glob(f'{store}/.part-*/{name}'):
        if child.poll() is not None:
            return None
    os.kill(child.pid, signal.SIGSTOP)
    if os.waitpid(child.pid, os.WUNTRACED)[1] & 0xff != 0x7f:
        return None
    if glob.glob(f'{store}/.part-*/{name}'):
        return child
    child.kill()
    child.wait()
    return None
while not (child := start()): # it was faster than we looked, or than we stopped it
    if time.time() > end:
        sys.exit(f'{name} never appeared')
    for verb in (['rm', '--all'], ['prune']):
        subprocess.run([vmctl, 'image', *verb], stdout=subprocess.DEVNULL)
end = time.time() + 60
pid = child.pid
children = below(pid)
os.kill(pid, int(number))
os.kill(pid, signal.SIGCONT)
child.wait()
left = children
while left:
    left = {q: s for q, s in left.items() if (stat(q) or (0, 0))[1] == s}
    if time.time() > end:
        sys.exit(f'still there: {left}')
print(len(children))
END
kill_at () { # FILE-THAT-APPEARS SIGNAL COMMAND...
  file=$1 signal=$2
  shift 2
  children=$(python3 "$work/kill.py" "$images" "$file" "$signal" "$V" "$@" 2>&1) || fail "$file, signal $signal: $children"
}
steps () { # FILE-THAT-APPEARS COMMAND...
  file=$1
  shift
  kill_at "$file" 9 "$@"
  is "after $file" "$(ls -d "$images"/sha256-* 2> /dev/null)" ""
  is "parts after $file" "$(parts)" 1
  run 0 "$V" image prune
  is "parts swept" "$(parts)" 0
  # A signal that can be answered leaves nothing at all.
  kill_at "$file" 15 "$@"
  is "parts after a signal" "$(parts)" 0
}
for file in disk.raw disk.qcow2; do
  steps "$file" import "$work/t.tar.gz" --size 128M
done
[ ! -e "$work/kernel.tar" ] || steps kernel import "$work/kernel.tar" --size 128M
steps disk.qcow2 import "$work/disk.raw"
steps disk.qcow2 import "$work/x.vmdk"
if [ -n "$builds" ]; then
  touch "$work/waits"
  export PATH="$work/bin:$PATH"
  steps build/waiting build debian:sid
  [ "$children" -ge 4 ] || fail "it had $children processes, and ran in no cage"
  # What it mounts is not mounted on the host, whose mounts are often shared.
  if [ "$(id -u)" -eq 0 ] && unshare --mount true 2> /dev/null; then
    run 0 unshare --mount sh -c 'mount --make-rshared / && python3 "$@" && ! grep "$0" /proc/self/mountinfo' /mounted \
      "$work/kill.py" "$images" build/waiting 9 "$V" build debian:sid
    run 0 "$V" image prune
    is "parts swept" "$(parts)" 0
  fi
fi
run 0 "$V" image import "$work/t.tar.gz" --size 64M
run 0 "$V" image rm --all
is "the end" "$(ls "$images"/names "$images" | grep -v "^$\|:$\|^names$")" ""
