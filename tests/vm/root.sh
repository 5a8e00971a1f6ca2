#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Root inside: it is there for the asking, it is nobody outside, and --no-root takes it away.
. "${0%/*}/lib.sh"

mkdir -p "$P/.git/hooks" "$P/.vscode" "$P/sub"
printf '[core]\n' >"$P/.git/config"
echo keep >"$P/.git/hooks/pre-commit"
echo '{}' >"$P/.vscode/tasks.json"
printf 'int main (void) { return 0; }\n' >"$P/x.c"

start root "$P" -- sleep infinity
inside () {
  run "$VMCTL" exec root -- sh -c "$1"
}
as_root () {
  run "$VMCTL" exec --root root -- sh -c "$1"
}

# sudo
inside 'sudo id -u'
is "$OUT" 0 "sudo makes root, without a password"
inside 'sudo sh -c "exit 7"'
is "$STATUS" 7 "and gives the status back"
inside "sudo -u $ME id -un"
is "$OUT" "$ME" "sudo -u"
inside 'sudo A=b sh -c "echo \$A \$SUDO_USER \$HOME"'
is "$OUT" "b $ME /root" "its environment"
inside 'echo typed | sudo cat'
is "$OUT" typed "its streams"
as_root 'id -u'
is "$OUT" 0 "exec --root"
as_root 'touch /usr/bin/made-inside && test -e /usr/bin/made-inside'
is "$STATUS" 0 "root may change the guest's own copy of /usr"
check "and the host has none of it" test ! -e /usr/bin/made-inside

# Host setuid bits mean nothing inside.
suid=$(find /usr/bin -perm -4000 -user root -name su 2>/dev/null | head -n 1)
if [ -n "$suid" ] && [ "$(id -u)" != 0 ]; then
  inside "cp $suid /tmp/su; $suid -c id </dev/null 2>&1 | grep -c uid=0"
  isnt "$OUT" 1 "the host's setuid su makes nobody root"
fi
inside 'findmnt -no OPTIONS / 2>/dev/null || grep " / " /proc/mounts'
like "$OUT" nosuid "the root file system honours no setuid bit"

# What root inside does to the project is done by the user.
as_root 'echo by root >from-root'
is "$(stat -c %u "$P/from-root")" "$(id -u)" "a file of root inside belongs to the user outside"
as_root 'chown 1:1 x.c 2>&1; echo $?'
unlike "$OUT" "Invalid argument" "chown in the project does not fail with EINVAL"
is "$(stat -c %u "$P/x.c")" "$(id -u)" "and changes nothing"
as_root 'cp /bin/true suid; chmod 4755 suid; chmod 2755 sub; install -m 6755 /bin/true suid2'
is "$(find "$P" -perm /6000 | head -n 1)" "" "no setuid or setgid bit reaches the host"
as_root 'mknod dev c 1 3; mknod blk b 8 0'
is "$(find "$P" -type b -o -type c | head -n 1)" "" "nor a device node"

# Read-only means read-only for root too.
as_root 'mount -o remount,rw /lower 2>/dev/null; d=$(mktemp -d); mount -t 9p -o trans=virtio,version=9p2000.L vmctl.ro $d && echo x >$d/usr/canary'
check "the host's /usr cannot be written through the share" test ! -e /usr/canary

# Protected paths, also for root and by every way around.
protected () { # WHAT COMMAND
  as_root "$2"
  is "$(cat "$P/.git/hooks/pre-commit")" keep "protected: $1"
}
protected "writing a hook" 'echo evil >.git/hooks/pre-commit'
protected "a new hook" 'echo evil >.git/hooks/post-checkout'
protected "removing hooks" 'rm -rf .git/hooks'
protected "renaming .git" 'mv .git .git2 && mkdir -p .git/hooks && echo evil >.git/hooks/pre-commit'
protected "renaming hooks" 'mv .git/hooks .git/h && mkdir .git/hooks && echo evil >.git/hooks/pre-commit'
protected "remounting" 'mount -o remount,rw .git/hooks; echo evil >.git/hooks/pre-commit'
protected "unmounting" 'umount .git/hooks; echo evil >.git/hooks/pre-commit'
protected "the share itself" 'echo evil >/run/vmctl/rw/share/0/.git/hooks/pre-commit'
check "no new hook came to be" test ! -e "$P/.git/hooks/post-checkout"
is "$(cat "$P/.git/config")" "[core]" "protected: .git/config"
as_root 'echo "[core] hooksPath = /tmp" >>.git/config; mv x.c .git/config; ln -f x.c .git/config'
is "$(cat "$P/.git/config")" "[core]" "protected: .git/config, replaced"
as_root 'echo evil >.vscode/tasks.json; mv .vscode v'
is "$(cat "$P/.vscode/tasks.json")" "{}" "protected: .vscode"
inside 'git -C . init -q other && echo ok'
is "$OUT" ok "another repository inside the project is the project's own business"

# What was not there cannot be made, not by root either, or it is reported.
as_root 'echo "export A=1" >.envrc; rmdir .envrc; mv .envrc e; umount .envrc; echo "export A=1" >.envrc/x'
is "$(stat -c %F "$P/.envrc"; ls -A "$P/.envrc")" directory "protected: .envrc, which does not exist"
as_root 'echo "net=none" >.vmctl.conf'
run "$VMCTL" stop root
id=$(newest_id)
like "$(record "$id" warnings)" ".vmctl.conf" "a protected file that appeared is on record"
check "nothing is left in its place" test ! -e "$P/.envrc"
rm -f "$P/.vmctl.conf"

# Nobody becomes root with --no-root.
start noroot --no-root "$P" -- sleep infinity
run "$VMCTL" exec noroot -- sh -c 'sudo id -u 2>/dev/null || echo none; grep NoNewPrivs /proc/self/status'
unlike "$OUT" $'0\n' "--no-root: no sudo"
[ "$(id -u)" = 0 ] || like "$OUT" "none" "--no-root: nothing that works by that name"
like "$OUT" $'NoNewPrivs:\t1' "--no-root: no new privileges for anybody"
run "$VMCTL" exec --root noroot -- id -u
isnt "$STATUS" 0 "--no-root: exec --root is refused"
unlike "$OUT" "0" "and runs nothing"
run "$VMCTL" stop noroot
finish
