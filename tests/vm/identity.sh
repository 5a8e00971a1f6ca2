#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The inside looks like the outside: who, where, with which environment, tools and files; and what of the host is
# not there.
. "${0%/*}/lib.sh"

run_up "$P" -- sh -c 'pwd; id -un; echo $HOME; exit 42'
is "$OUT" "$P
$ME
$MY_HOME" "up: the host's own three answers"
is "$STATUS" 42 "up: and the command's status"

# A project with what projects have.
mkdir "$P/sub" "$P/dir with spaces"
printf 'int main (void) { return 7; }\n' >"$P/seven.c"
printf '#!/bin/sh\necho "ran $1"\n' >"$P/tool"
chmod 0755 "$P/tool"
chmod 0640 "$P/seven.c"
ln -s sub/target "$P/link"
ln "$P/tool" "$P/hard"
echo hello >"$P/sub/target"
git -C "$P" init -q 2>/dev/null
git -C "$P" -c user.name=x -c user.email=x@x add tool seven.c
git -C "$P" -c user.name=x -c user.email=x@x commit -qm one
git -C "$P" worktree add -q "$T/tree" -b tree

# Variables of the host: some come along, most do not.
unset LC_ALL
export TERM=xterm-256color COLORTERM=truecolor LANG=C.UTF-8 LC_TIME=POSIX TZ=Europe/Paris EDITOR= LANGUAGE=
export SECRET_TOKEN=swordfish AWS_SECRET_ACCESS_KEY=x GITHUB_TOKEN=y SSH_AUTH_SOCK=/tmp/x
start identity -e PASSED=on -e SECRET_EMPTY= "$P" -- sleep infinity
inside () { run "$VMCTL" exec identity -- "$@"; }

# Who and where
for question in "pwd -P" "id -un" "id -u" "id -g" "id -gn" "umask"; do
  inside sh -c "$question"
  is "$OUT" "$(cd "$P" && umask 022 && sh -c "$question")" "inside: $question"
done
inside python3 -c 'import os, pwd; p = pwd.getpwuid (os.getuid ()); print (os.getcwd (), p.pw_name, p.pw_dir, p.pw_shell)'
is "$OUT" "$P $ME $MY_HOME $(getent passwd "$ME" | cut -d: -f7)" "getcwd and the passwd database agree"
inside sh -c 'echo "$HOME|$USER|$LOGNAME|$PWD"'
is "$OUT" "$MY_HOME|$ME|$ME|$P" "HOME, USER, LOGNAME, PWD"
inside sh -c 'cd; touch x && ls -ld . x | cut -d" " -f3 | sort -u'
is "$OUT" "$ME" "the home can be written and is the user's"
inside hostname
isnt "$OUT" "" "there is a host name"
name=$OUT
inside sh -c "grep -cw -- '$name' /etc/hosts"
isnt "$OUT" 0 "and it is in /etc/hosts"
inside getent hosts localhost
is "$STATUS" 0 "localhost resolves"

# Environment
inside sh -c 'echo "$TERM|$COLORTERM|$LANG|$LC_TIME"'
is "$OUT" "xterm-256color|truecolor|C.UTF-8|POSIX" "terminal and locale are passed on"
inside sh -c 'echo "$TZ|$PASSED"'
like "$OUT" "|on" "--env NAME=VALUE is set"
inside env
unlike "$OUT" swordfish "other variables are not passed on"
unlike "$OUT" AWS_ "nor credentials"
unlike "$OUT" SSH_AUTH_SOCK "nor sockets that are not there"
for name in EDITOR LANGUAGE; do
  inside sh -c "echo \${$name+set}"
  is "$OUT" "" "an empty \$$name is not set inside"
done
inside locale
is "$STATUS" 0 "the locale works"
before=$(date +%s)
inside date +%s
after=$(date +%s)
check "the clock is right" test "$OUT" -ge $((before - 3)) -a "$OUT" -le $((after + 3))

# What is not there
for path in /etc/shadow /etc/gshadow /etc/ssh /etc/sudoers /var/lib/dpkg /var/log/dpkg.log /boot/grub \
  "/sys/firmware/efi/efivars/x" /lost+found /srv/anything /media/anything; do
  inside sh -c "test ! -e '$path' || ls -d '$path'"
  is "$OUT" "" "inside there is no $path"
done
inside cat /etc/shadow
isnt "$STATUS" 0 "cat /etc/shadow fails"
inside sh -c 'ls -A /root /home 2>/dev/null | grep -v : | sort | tr "\n" " "'
if [ "$ME" = root ]; then
  unlike "$OUT" vmctl-test "other homes are not there"
else
  is "$OUT" "$ME " "/root is closed or empty, and there is no other home"
fi
inside sh -c 'ls -A /home'
[ "$ME" = root ] && is "$OUT" "" "/home is empty"
inside find /var -mindepth 1 -xdev ! -type d ! -type l ! -path '/var/tmp/vmctl-test*'
is "$OUT" "" "/var has no files of the host"
ls -A "$T/.." >"$T/siblings"
inside sh -c "ls -A '$T'; ls -A '$T/..'"
is "$OUT" "p
$(basename "$T")" "beside the project there is nothing"
inside sh -c "ls '$XDG_RUNTIME_DIR' '$XDG_STATE_HOME/vmctl/sandboxes'"
isnt "$STATUS" 0 "vmctl's own directories are not there"
inside sh -c 'cat /proc/sys/kernel/random/boot_id'
isnt "$OUT" "$(cat /proc/sys/kernel/random/boot_id)" "it is another kernel"
inside sh -c 'ls /proc | grep -c "^[0-9]"'
check "and other processes" test "$OUT" -lt 100
inside sh -c 'cat /etc/machine-id'
isnt "$OUT" "$(cat /etc/machine-id 2>/dev/null)" "machine-id is its own"

# /etc is made up, with what the tools need
inside sh -c "cut -d: -f1 /etc/passwd | grep -cx -e root -e '$ME' -e nobody"
check "/etc/passwd has root, nobody and the user" test "$OUT" -ge 2
inside sh -c 'awk -F: "\$3 >= 1000 && \$3 < 60000 { print \$1 }" /etc/passwd'
if [ "$ME" = root ]; then is "$OUT" "" "and nobody else"; else is "$OUT" "$ME" "and nobody else"; fi
inside sh -c 'echo >>/etc/motd && echo yes'
if [ "$ME" = root ]; then is "$OUT" yes "root may write /etc inside"; else isnt "$OUT" yes "the user may not write /etc"; fi
inside sh -c 'test -s /etc/resolv.conf; test -e /etc/ld.so.cache && test -e /etc/nsswitch.conf && test -x /bin/sh && test -x /usr/bin/env'
is "$STATUS" 0 "resolv.conf, ld.so.cache, nsswitch.conf, sh, env are there"
inside sh -c 'df -P /dev/shm /tmp /run >/dev/null && test -w /tmp && test -w /dev/null && test -c /dev/tty && test -d /dev/pts && ls /proc/self/fd >/dev/null'
is "$STATUS" 0 "/dev, /proc, /tmp, /run are usable"
inside stat -c '%a %U' /tmp
is "$OUT" "1777 root" "/tmp is everybody's"

# Files
inside sh -c 'echo made >made && mkdir d && echo deep >d/f && chmod 0750 d && chmod 0600 d/f && ln -s ../made d/l && umask 077 && : >masked'
is "$STATUS" 0 "files are made inside"
is "$(stat -c '%U:%G:%a' "$P/made" "$P/d" "$P/d/f" "$P/masked" | tr '\n' ' ')" \
  "$ME:$(id -gn):644 $ME:$(id -gn):750 $ME:$(id -gn):600 $ME:$(id -gn):600 " "on the host they are the user's, with their modes"
is "$(cat "$P/d/l")" made "a symbolic link made inside works on the host"
inside sh -c 'cat link; readlink link; test -L link && ls -l hard | cut -c1-10; ls -l seven.c | cut -c1-10; stat -c %h hard'
is "$OUT" "hello
sub/target
-rwxr-xr-x
-rw-r-----
2" "links, hard links and modes of the host are seen inside"
inside stat -c '%U:%G' made seven.c
is "$OUT" "$ME:$(id -gn)
$ME:$(id -gn)" "and inside they are the user's too"
inside sh -c 'mv made "dir with spaces/renamed" && mv d sub/moved && rm masked && cat "dir with spaces/renamed"'
is "$OUT" made "rename inside"
check "is a rename on the host" test -e "$P/dir with spaces/renamed" -a -e "$P/sub/moved/f" -a ! -e "$P/made" -a ! -e "$P/masked"
inside ./tool yes
is "$OUT" "ran yes" "exec bits of the host count inside"
inside sh -c 'printf "#!/bin/sh\necho new\n" >new && chmod +x new && ./new'
is "$OUT" new "and those made inside"
check "and then on the host" test -x "$P/new"
echo "changed on the host" >"$P/seen"
inside cat seen
is "$OUT" "changed on the host" "a file made on the host is seen at once"
echo "changed again, longer" >"$P/seen"
inside cat seen
is "$OUT" "changed again, longer" "and so is a change of it"
inside sh -c 'printf "%s" "a line" >>seen; sync'
is "$(cat "$P/seen")" "changed again, longer
a line" "appending inside"
inside python3 -c '
import mmap, os
with open ("mapped", "w+b") as f:
    f.truncate (8192)
    m = mmap.mmap (f.fileno (), 8192)
    m[4096:4099] = b"abc"
    m.flush ()
with open ("mapped", "rb") as f:
    print (f.read ()[4096:4099].decode ())'
is "$OUT" abc "a shared writable mapping"
is "$(tail -c +4097 "$P/mapped" | head -c 3)" abc "and the host sees it"
inside sh -c 'touch -d "2001-02-03 04:05:06 UTC" dated && TZ=UTC stat -c %y dated | cut -c 1-19'
is "$(TZ=UTC stat -c %y "$P/dated" | cut -c 1-19)" "2001-02-03 04:05:06" "times"
inside flock -n seen true
is "$STATUS" 0 "locks"
inside sh -c 'mkfifo /tmp/f && (echo through >/tmp/f &) && cat /tmp/f'
is "$OUT" through "named pipes in /tmp"
# QEMU's 9p server opens what it has made, and since CVE-2023-2861 it opens only files and directories.
inside sh -c 'mkfifo f'
check_not "and none in the project: refused, and not on the host" test "$STATUS" = 0 -o -e "$P/f"
touch "$P/$(printf 'odd\nname \xc3\xa9 "$x"')"
inside sh -c 'ls -1b | grep -c odd; rm odd*'
is "$OUT" 1 "odd file names"
check "removed inside are gone" sh -c "! ls \"$P\" | grep -q odd"

# The host's tools
inside sh -c 'gcc -o seven seven.c && ./seven'
is "$STATUS" 7 "gcc makes a program that runs"
"$P/seven"
is $? 7 "and that runs on the host"
inside python3 -c 'import json, ssl, sqlite3; print (sum (range (10)))'
is "$OUT" 45 "python3 with its libraries"
inside perl -MData::Dumper -e 'print "perl\n"'
is "$OUT" perl "perl with its library"
printf 'all:\n\t@echo made $(shell id -un)\n' >"$P/Makefile"
inside make
is "$OUT" "made $ME" "make"
inside git status --short seven.c
is "$STATUS" 0 "git status"
is "$OUT$ERR" "" "and it trusts the directory"
inside git log --format=%s
is "$OUT" one "git log"
inside git -c user.name=x -c user.email=x@x commit -q --allow-empty -m two
is "$(git -C "$P" log -1 --format=%s)" two "a commit made inside is there on the host"
control "$ID" do sandbox-stop >/dev/null
control "$ID" wait ended

# A git worktree: the main repository's directory comes along, its files do not.
run_up "$T/tree" -- sh -c "git status --short && git log -1 --format=%s && git branch --show-current && ls -A '$P'"
is "$OUT" "one
tree
.git" "git works in a worktree"
is "$STATUS$ERR" 0 "without complaints"
finish
