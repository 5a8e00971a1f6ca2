#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# doctor says beforehand, in the same words, what up says when it fails.
. "$(dirname "$0")/lib.sh"
requires python3

"$V" doctor > "$tmp/doctor" 2> "$tmp/errors"
status=$?
is "stderr" "$(cat "$tmp/errors")" ""
for what in KVM QEMU network 'disk tools' bubblewrap namespaces 'guest kernel' 'own programs' 'runtime dir' \
  'state dir' 'cache dir' memory; do
  grep -Eq "^(ok|warning|FAILED) +$what" "$tmp/doctor" || fail "no line about $what"
done
if grep -q '^FAILED' "$tmp/doctor"; then
  is "status" "$status" 1
  grep -q "^Nothing can be started here" "$tmp/doctor" || fail "no verdict"
else
  is "status" "$status" 0
  grep -Eq "^A (virtual machine|sandbox) can be started here" "$tmp/doctor" || fail "no verdict"
fi
out=$("$V" doctor --json)
is "status of --json" $? "$status"
is "JSON" "$(json "$out" 'j["ok"], sorted(j), sorted({c["level"] for c in j["checks"]} - {"ok", "warning", "failed"})')" \
  "($([ "$status" -eq 0 ] && echo True || echo False), ['checks', 'drivers', 'host', 'ok'], [])"
hasnt "$out" SECRET_IN_ENVIRONMENT
out=$(SECRET_IN_ENVIRONMENT=1 "$V" doctor --json)
hasnt "$out" SECRET_IN_ENVIRONMENT
[ ! -e "$tmp/state/vmctl" ] || fail "doctor wrote to the state directory"

# same WORDS COMMAND...: doctor says them with a mend, up fails with both. What only virtual machines need is a warning if
# there is another driver.
no_machine=0
grep -q '^yes *\(bwrap\|nspawn\)' "$tmp/doctor" && ! grep -q '^FAILED' "$tmp/doctor" || no_machine=1
same () {
  words=$1
  shift
  run $no_machine "$@" "$V" doctor
  has "$out" "$words"
  [ $no_machine -eq 1 ] || has "$out" "A sandbox can be started here, but no virtual machine: "
  line=$(printf '%s\n' "$out" | grep -F "$words" | grep -c '^\(warning\|FAILED\)')
  [ "$line" -gt 0 ] || fail "'$words' is no warning and no failure"
  line=$(printf '%s\n' "$out" | grep -F "$words" | head -n 1)
  mend=$(printf '%s\n' "$out" | grep -F -A 1 "$words" | sed -n '2s/^ *mend: //p')
  [ -n "$mend" ] || fail "no mend for '$line'"
  run 125 "$@" "$V" up --driver qemu -- true
  has "$err" "$words"
  has "$err" "$mend"
}
if grep -q '^ok *QEMU' "$tmp/doctor" && grep -q '^ok *guest kernel' "$tmp/doctor"; then
  mkdir "$tmp/bin"
  printf '#!/bin/sh\necho "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2)"\n' > "$tmp/bin/qemu-system-x86_64"
  chmod +x "$tmp/bin/qemu-system-x86_64"
  same "is QEMU 6.2.0, which is too old" env PATH="$tmp/bin:$PATH"
  # The remembered version is not believed of another file.
  printf '#!/bin/sh\necho "QEMU emulator version 7.1.9"\n' > "$tmp/bin/qemu-system-x86_64"
  same "is QEMU 7.1.9, which is too old" env PATH="$tmp/bin:$PATH"
  printf '#!/bin/sh\necho "something else"\n' > "$tmp/bin/qemu-system-x86_64"
  same "is not QEMU" env PATH="$tmp/bin:$PATH"
  printf '#!/bin/sh\necho "no library" >&2; exit 127\n' > "$tmp/bin/qemu-system-x86_64"
  run $no_machine env PATH="$tmp/bin:$PATH" "$V" doctor
  has "$out" "no library"
  run 125 env PATH="$tmp/bin:$PATH" "$V" up --driver qemu -- true
  has "$err" "no library"
fi
# A kernel that cannot be used, and none at all.
echo x > "$tmp/notakernel"
run 125 "$V" up --driver qemu --kernel "$tmp/notakernel" -- true
has "$err" "$tmp/notakernel"

# No namespaces: in a user namespace of our own that allows no further one.
if unshare -Ur true 2> /dev/null && grep -q '^ok *namespaces' "$tmp/doctor"; then
  cat > "$tmp/without" << 'SH'
#!/bin/sh
echo 0 > /proc/sys/user/max_user_namespaces || exit 99
exec "$@"
SH
  chmod +x "$tmp/without"
  run 1 unshare -Ur "$tmp/without" "$V" doctor
  has "$out" "FAILED   namespaces"
  has "$out" "sysctl user.max_user_namespaces"
fi

# A state directory that cannot be written.
if [ "$(id -u)" -ne 0 ]; then
  chmod 0500 "$tmp/state"
  run 1 "$V" doctor
  has "$out" "FAILED   state dir"
  chmod 0700 "$tmp/state"
fi
# A small file system is full soon.
if [ "$(id -u)" -eq 0 ] && unshare -m mount -t tmpfs -o size=4m none "$tmp/cache" 2> /dev/null; then
  cat > "$tmp/small" << 'SH'
#!/bin/sh
mount -t tmpfs -o size=4m,mode=0700 none "$XDG_CACHE_HOME" || exit 99
exec "$@"
SH
  chmod +x "$tmp/small"
  run 1 unshare -m "$tmp/small" "$V" doctor
  has "$out" "FAILED   cache dir"
  words=$(printf '%s\n' "$out" | sed -n 's/^FAILED   cache dir *//p' | sed 's/has only .*//')
  if grep -q '^ok *guest kernel' "$tmp/doctor"; then
    run 125 unshare -m "$tmp/small" "$V" up --driver qemu -q -- true
    has "$err" "$words"
    has "$err" "vmctl prune --cache"
  fi
fi
