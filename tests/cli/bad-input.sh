#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What cannot be is refused by a message that names the option or the path; never is another directory used.
. "$(dirname "$0")/lib.sh"

# refused WORDS OPTIONS...: both by up and by plan.
refused () {
  words=$1
  shift
  run 125 "$V" up --driver null "$@"
  has "$err" "$words"
  run 2 "$V" plan --driver null "$@"
  has "$err" "$words"
}

for size in 0 -1 1 abc 1Q 10M '' ' ' 99999999999T 1.5.2G; do refused --memory --memory "$size"; done
for size in 0 -1 abc 1K 100T none1; do refused --disk --disk "$size"; done
for count in 0 -1 x 256 1000 1.5 ''; do refused --cpus --cpus "$count"; done
refused --cpus --cpus 255
refused --memory --memory 15T
refused --net --net everything
# Names have one form. What is none, or would be taken for an address, is not made one.
long=$(printf 'a.%.0s' $(seq 126))ab # 254 bytes
for name in bücher.example github．com 'github。com' github%2ecom 2130706433 0x7f.1 0x7f000001 0177.0.0.1 127.1 '[::1%25eth0]' \
            '[::1]' ::ffff:127.0.0.1 "$long" github..com .github.com github.com.. 'github.com ' ' github.com' '*' '*github.com' \
            'a.*.b' '*.*.b' user@github.com https://github.com github.com/ 'github.com\0' 1.2.3.4.5 10.1.2.300 10.1.2.3/33; do
  refused --net --net "allow:$name"
  refused --net --net "public,deny:$name"
done
for name in GITHUB.COM. github.com.evil.com notgithub.com xn--bcher-kva.example '*.npmjs.org' _sip._tcp.example; do
  run 0 "$V" plan --driver null --net "allow:$name"
done
refused --display --display wayland
for size in 0x0 1280 1280x 1280x800x2 1281x800 99999x800 319x200 -1x1 ''; do refused --size --size "$size"; done
refused --display --display none
refused --driver --driver xen
refused --profile --profile no-such-profile
refused --grant --grant no-such-grant
refused --no-grant --no-grant no-such-grant
refused --name --name 'a b'
refused --name --name ''
refused --env --env '=x'
refused --env --env '1x=y'
for seconds in 0 x 3601; do refused --boot-timeout --boot-timeout "$seconds"; done

refused "does not exist" "$tmp/nowhere"
touch "$tmp/file"
refused "is not a directory" "$tmp/file"
refused "'/'" /
refused / /usr
refused / /etc
real_home=$(getent passwd "$(id -u)" | cut -d: -f 6)
[ ! -d "$real_home" ] || refused "$real_home" "$real_home"
mkdir -p "$tmp/state/vmctl/x" "$tmp/cache/vmctl" "$tmp/run/vmctl"
chmod 0700 "$tmp/state/vmctl" "$tmp/cache/vmctl" "$tmp/run/vmctl"
refused "$tmp/state" "$tmp/state/vmctl"
refused "$tmp/state" "$tmp/state/vmctl/x"
refused "$tmp/state" "$tmp/state"
refused "$tmp/run" "$tmp/run/vmctl"
refused "$tmp/cache" "$tmp/cache/vmctl"
refused "$tmp" "$tmp"
mkdir -m 0 "$tmp/closed"
if [ "$(id -u)" -ne 0 ]; then
  refused "$tmp/closed" "$tmp/closed"
fi
run 125 up one two -- true
has "$err" "too many arguments"

# Odd names are exactly right, or refused; nothing else is touched.
newline='new
line'
for name in 'a b' 'a,b' "a'b" 'a"b' 'a\b' '-dash' 'ünï' 'a$b' 'a;b' 'a%b' "$newline"; do
  mkdir -- "$tmp/project/$name"
  run 0 up "./$name" -- sh -c 'pwd; touch here'
  is "the project" "$out" "$tmp/project/$name"
  [ -f "$tmp/project/$name/here" ] || fail "the file is elsewhere"
done
mkdir "$tmp/project/$(printf 'bad\377')"
refused "UTF-8" "$tmp/project/$(printf 'bad\377')"

# Configuration: a typing mistake must not weaken anything.
mkdir -p "$tmp/config/vmctl"
printf '[defaults]\nmemroy=1G\n' > "$tmp/config/vmctl/config"
run 125 up -- true
has "$err" memroy
run 0 up --no-config -- true
printf '[defaults]\ncpus=0\n' > "$tmp/config/vmctl/config"
run 125 up -- true
has "$err" cpus
rm "$tmp/config/vmctl/config"
run 0 up -- true

# Nothing that a project chose reaches the terminal raw: escape sequences, C1 controls, bidi marks.
esc=$(printf '\033') csi=$(printf '\302\233') bidi=$(printf '\342\200\256')
tame () { hasnt "$err" "$esc"; hasnt "$err" "$csi"; hasnt "$err" "$bidi"; }
for line in "k${esc}]0;owned$csi$bidi=1" "cpus=${esc}[2J${csi}2J$bidi" "net=${esc}[2J$csi$bidi"; do
  printf '[defaults]\n%s\n' "$line" > .vmctl.conf
  run 125 up -- true
  has "$err" '\x1b'
  has "$err" '\u{9b}'
  tame
done
printf '[def%s]\n' "$esc[2J$csi$bidi" > .vmctl.conf
run 125 up -- true
has "$err" '\x1b[2J'
tame
rm .vmctl.conf
run 125 up "$tmp/no$esc[2J$csi$bidi" -- true
has "$err" '/no\x1b[2J'
tame
run 125 up "$tmp/a\\b" -- true # a backslash is one, and a message of two lines is two
has "$err" 'a\b'
hasnt "$err" 'a\\\\b'
run 125 "$V" exec "x$esc[2J" -- true
tame
