#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# image build nix:FLAKE#SYSTEM, with a nix of our own that builds what it finds here: what it is asked for, what becomes
# of a system, and what is refused. With the real one: tests/vm/image-nix.sh.
. "$(dirname "$0")/lib.sh"
export PATH="$PATH:/usr/sbin:/sbin"
requires python3
requires busybox
requires debugfs
requires qemu-img
requires bwrap
images=$XDG_DATA_HOME/vmctl/images
work=$tmp/work
mkdir -p "$work/bin" "$work/empty" "$work/store"
parts () { find "$images" -maxdepth 1 -name '.part-*' 2> /dev/null | wc -l; }
get () { run 0 "$V" image inspect "$1" --json; json "$out" "$2"; }

cat > "$work/bin/nix" <<END
#!/bin/sh
printf '%s\n' "\$@" > "$work/words"
while [ \$# -gt 0 ]; do
  [ "\$1" != --out-link ] || link=\$2
  shift
done
echo "building '/nix/store/x-system.drv'..." >&2
[ ! -e "$work/waits" ] || { echo \$\$ > "$work/waiting"; exec sleep 1000; }
if [ -e "$work/says" ]; then cat "$work/says" >&2; exit 1; fi
[ -e "$work/system" ] || exit 0
ln -s "\$(cat "$work/system")" "\$link"
END
cat > "$work/bin/nix-store" <<END
#!/bin/sh
case \$1 in
--query) cat "$work/closure" ;;
--dump-db)
  shift
  printf 'known %s\n' "\$@"
  ;;
*) exit 9 ;;
esac
END
chmod +x "$work/bin/nix" "$work/bin/nix-store"
build () { # STATUS WORDS...
  want=$1
  shift
  run "$want" env PATH="$work/bin:$PATH" "$V" image build "$@"
}
words () { rm -f "$work/words"; }

# What is no system of a flake, is refused before anything is run.
words
for what in nix: nix:. nix:.# 'nix:#box' nix:path:/x; do
  build 2 "$what"
  has "$err" "write nix:FLAKE#SYSTEM"
done
build 2 nix:-x#box
has "$err" "does not begin with '-'"
build 2 nix:--eval#box
build 2 nix:.#box --packages git
has "$err" "--packages is for debian:SUITE"
build 2 nix:.#box --mirror http://localhost
build 2 nix:.#box --name ../x
build 2 'nix:.#a.b c'
has "$err" "write --name NAME"
run 1 env PATH="$work/empty" "$V" image build nix:.#box
has "$err" "'nix' is not in your PATH"
has "$err" "nix-bin"
[ ! -e "$work/words" ] || fail "nix was run: $(cat "$work/words")"

# A system, as NixOS has them: a closure of three more paths (a directory, a file, a link), whose files have more names.
store=$work/store
system=$store/aaaa-nixos-system-box
tools=$store/bbbb-tools
mkdir -p "$system/etc" "$system/systemd/lib/systemd" "$tools/bin" "$tools/lib"
cp "$(command -v busybox)" "$tools/bin/busybox"
ln "$tools/bin/busybox" "$tools/bin/sh"
: > "$tools/lib/empty"
ln "$tools/lib/empty" "$system/empty"
ln -s "$tools/bin/busybox" "$system/systemd/lib/systemd/systemd"
echo content > "$store/cccc-file"
ln "$store/cccc-file" "$system/file"
ln -s ./cccc-file "$store/dddd-link"
printf '#!%s/bin/sh\n' "$tools" > "$system/init"
printf '22.05pre' > "$system/nixos-version"
printf 'ID=nixos\nVERSION_ID="22.05"\nPRETTY_NAME="NixOS 22.05 (Quokka)"\n' > "$system/etc/os-release"
chmod 0555 "$system/init"
printf '%s\n' "$tools" "$store/cccc-file" "$store/dddd-link" "$system" > "$work/closure"
[ "$(id -u)" -ne 0 ] || chown -hR 1234:1234 "$store" # in an image all is root's, whoever it is here
echo "$system" > "$work/system"

# Words pass as they are.
build 0 'nix:path:/a b?dir=c d&x=y#box' --size 64M
is words "$(tail -n 4 "$work/words")" "--verbose
--out-link
$(sed -n '/--out-link/{n;p}' "$work/words")
path:/a b?dir=c d&x=y#nixosConfigurations.box.config.system.build.toplevel"
is features "$(head -n 3 "$work/words")" "--extra-experimental-features
nix-command flakes
build"
is info "$(get box 'j["origin"], j["format"], j["os-id"], j["os-version"], j["names"]')" \
  "('nix:path:/a b?dir=c d&x=y#box', 'nix', 'nixos', '22.05', ['box'])"
is init "$(get box 'j["init-kind"], j["init"], j["arch"]')" "('systemd', '/nix/var/nix/profiles/system/init', '$(uname -m)')"
is kernel "$(get box 'j.get("kernel"), j["kernel-problem"]')" "(None, 'has no kernel')"
is parts "$(parts)" 0
words
build 0 nix:github:a/b/v1#nixosConfigurations.other --size 64M
has "$err" "there already"
is attribute "$(tail -n 1 "$work/words")" "github:a/b/v1#nixosConfigurations.other.config.system.build.toplevel"
is names "$(get box 'j["names"]')" "['box', 'other']"

# The file system.
run 0 "$V" image export box "$work/box.raw" --format raw -q
e2fsck -fn "$work/box.raw" > "$work/fsck" 2>&1 || fail "e2fsck: $(cat "$work/fsck")"
stat_in () { debugfs -R "stat $1" "$work/box.raw" 2> /dev/null; }
text_in () { debugfs -R "cat $1" "$work/box.raw" 2> /dev/null; }
has "$(stat_in /nix/var/nix/profiles/system)" 'Fast link dest: "system-1-link"'
has "$(stat_in /nix/var/nix/profiles/system-1-link)" "$system"
is registration "$(text_in /nix-path-registration)" "$(sed 's/^/known /' "$work/closure")"
has "$(stat_in /etc/NIXOS)" "Size: 0"
is file "$(text_in "$store/cccc-file")" content
has "$(stat_in "$store/dddd-link")" 'Fast link dest: "./cccc-file"'
has "$(stat_in "$store/cccc-file")" "Links: 2"
has "$(stat_in "$tools/lib/empty")" "Links: 1"
has "$(stat_in "$system/init")" "Mode:  0555"
for path in "$system/init" "$tools" /nix/var/nix/profiles /nix-path-registration; do
  has "$(stat_in "$path")" "User:     0   Group:     0 "
done
for path in / /nix /nix/var/nix/profiles /etc; do has "$(stat_in "$path")" "Mode:  0755"; done

# Where its own initrd has systemd, another program comes before init; with nixos-init there is none.
again () { system2=$store/$1-nixos-system-box; cp -a "$system" "$system2"; chmod -R u+w "$system2"; echo "$system2" > "$work/system"; echo "$system2" >> "$work/closure"; }
again eeee
cp "$system2/init" "$system2/prepare-root"
cp --remove-destination "$tools/bin/busybox" "$system2/init"
build 0 nix:.#stage1 --size 64M
is init "$(get stage1 'j["init"]')" /nix/var/nix/profiles/system/prepare-root
rm -f "$system2/prepare-root"
build 1 nix:.#nixosinit
has "$err" "system.nixos-init.enable = false"

# With a kernel: it and its modules are taken out of it, by the links that a NixOS system has.
host=
for kernel in /boot/vmlinuz-*; do
  version=${kernel#/boot/vmlinuz-}
  if [ -r "$kernel" ] && [ -r "/lib/modules/$version/modules.dep" ]; then host=$version; fi
done
if [ -n "$host" ]; then
  again ffff
  mkdir -p "$store/gggg-kernel"
  cp "/boot/vmlinuz-$host" "$store/gggg-kernel/bzImage"
  ln -s "$store/gggg-kernel/bzImage" "$system2/kernel"
  python3 "$here/../vm/store.py" --modules "$host" "$store/hhhh-modules/lib/modules/$host"
  ln -s "$store/hhhh-modules" "$system2/kernel-modules"
  printf '%s\n' "$store/gggg-kernel" "$store/hhhh-modules" >> "$work/closure"
  build 0 nix:.#kernel --size 128M
  is kernel "$(get kernel 'j["kernel"], j.get("kernel-problem")')" "('$host', None)"
  place=$(get kernel 'j["directory"]')/kernel
  cmp "$place/boot/vmlinuz-$host" "/boot/vmlinuz-$host" || fail "it is another kernel"
  [ -n "$(find "$place/lib/modules/$host" -name '9pnet_virtio.ko*')" ] || fail "a module is missing"
else
  echo "not tested: a kernel, since there is none in /boot that can be read"
fi

# Nix fails: its own words are shown, and what helps. Nothing is left.
before=$(ls "$images" "$images/names")
fails () { # WORDS OF NIX, PART
  printf '%s\n' "$1" > "$work/says"
  build 1 nix:.#nosuch
  has "$err" "cannot build 'nix:.#nosuch': nix says:"
  has "$err" "$2"
  hasnt "$err" "x-system.drv"
}
fails "error: flake 'path:/x' does not provide attribute 'nixosConfigurations.nosuch'" "nix flake show"
fails $'warning: odd\nerror:\n       at /x/flake.nix:3:1:\n\n       error: undefined variable \033[31mx' "error: undefined variable \x1b[31mx"
has "$err" "  error:
         at /x/flake.nix:3:1:"
hasnt "$err" "odd"
fails "error: unrecognised flag '--extra-experimental-features'" "Nix 2.4 or newer"
fails "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused" "systemctl start nix-daemon"
fails "error: $(seq 100)" "..."
rm "$work/says" "$work/system"
build 1 nix:.#nosuch
has "$err" "has made no link"
echo "$work/nowhere" > "$work/system"
build 1 nix:.#nosuch
has "$err" "which is not there on this host"
echo "$tools" > "$work/system"
build 1 nix:.#nosuch
has "$err" "'$tools' is no NixOS system: it has no 'init'"
echo "$system" > "$work/system"
echo "$tools" > "$work/closure"
again iiii
echo "$tools" > "$work/closure"
build 1 nix:.#nosuch
has "$err" "nix-store does not list"
printf '%s\n' "$store/nnnn-vanished" "$system2" > "$work/closure"
build 1 nix:.#nosuch
has "$err" "nnnn-vanished"
build 1 nix:.#box
has "$err" "there is an image 'box' already"
is before "$(ls "$images" "$images/names")" "$before"

# Interrupted, and killed: nix ends with it.
for signal in INT TERM KILL; do
  rm -f "$work/waiting"
  : > "$work/waits"
  PATH="$work/bin:$PATH" "$V" image build nix:.#nosuch -q > "$work/out" 2>&1 < /dev/null &
  pid=$!
  until [ -s "$work/waiting" ]; do kill -0 $pid 2> /dev/null || fail "it has ended: $(cat "$work/out")"; sleep 0.05; done
  kill -$signal $pid
  ! wait $pid 2> /dev/null || fail "$signal: it has not failed"
  end=$(($(date +%s) + 120))
  while kill -0 "$(cat "$work/waiting")" 2> /dev/null && grep -q '^State:.[^Z]' "/proc/$(cat "$work/waiting")/status" 2> /dev/null; do
    [ "$(date +%s)" -lt $end ] || fail "$signal: nix is still there"
    sleep 0.05
  done
  run 0 "$V" image prune
  is "parts after $signal" "$(parts)" 0
done
is before "$(ls "$images" "$images/names")" "$before"
