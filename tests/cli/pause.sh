#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# pause and resume, and the groups behind them, on the null driver. What the limits do is in tests/vm/groups.sh.
. "$(dirname "$0")/lib.sh"
requires python3

run 1 "$V" pause
has "$err" "no sandbox runs on"
run 1 "$V" pause nobody
has "$err" "no running sandbox 'nobody'"
run 0 up -- true
run 1 "$V" resume project
has "$err" "no running sandbox"

run 0 up -d -n one -- sleep 1000
run 0 "$V" exec one -- true
run 0 "$V" status one --json
groups=$(json "$out" '" ".join(j["groups"])')
if [ -n "$groups" ]; then
  # At rest nothing wakes the supervisor. (It comes to rest when it has seen that who asked has gone.)
  pid=$(json "$out" 'j["supervisor"]["pid"]')
  wakes () { sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "/proc/$pid/status"; }
  settled () { wakes=$(wakes); sleep 1; [ "$(wakes)" != "$wakes" ] || echo settled; }
  until_has settled settled
  wakes=$(wakes)
  sleep 5 # what is measured
  is "wake-ups in 5 s" "$(wakes)" "$wakes"
  # Nothing is touched if one of them is wrong.
  run 1 "$V" pause one nobody
  run 0 "$V" list
  has "$out" running
  run 0 up -d --new -n two -- sleep 1000
  run 0 "$V" exec two -- true
  watch one
  run 0 "$V" pause one two
  run 0 "$V" list --json
  is "both" "$(json "$out" '[r["state"] for r in j]')" "['paused', 'paused']"
  run 0 "$V" resume one two
  run 0 "$V" list --json
  is "both" "$(json "$out" '[r["state"] for r in j]')" "['running', 'running']"
  # Without a name: the one of this directory.
  run 0 "$V" stop two
  run 0 "$V" pause
  run 0 "$V" status
  has "$out" "paused"
  run 0 "$V" stop
  watched
  has "$events" '"STOP"'
  has "$events" '"RESUME"'
  has "$events" '"paused"'
  for group in $groups; do [ ! -e "$group" ] || fail "the group '$group' is left"; done
else
  run 1 "$V" pause one
  has "$err" "no control group that could be frozen"
  run 0 "$V" resume one
  run 0 "$V" status one
  has "$out" "limits are not kept"
  run 0 "$V" stop one
fi
run 1 "$V" pause one

# A sandbox that is asked for many processes, and for nonsense.
for bad in 0 15 -1 1.5 x 4194305 ''; do
  run 125 up --processes "$bad" -- true
  has "$err" "--processes: '$bad' is not a number of processes; write one from 16 to 4194304"
done
run 0 "$V" plan --driver null --processes 16 --json
is "the plan" "$(json "$out" 'j["plan"]["processes"]')" 16
printf '[defaults]\nprocesses=32\n' > .vmctl.conf
run 0 "$V" plan --driver null --json
is "a project may tighten" "$(json "$out" 'j["plan"]["processes"]')" 32
run 0 "$V" plan --driver null --json --processes 64
is "the command line says otherwise" "$(json "$out" 'j["plan"]["processes"]')" 64
has "$err" "processes=32, which was ignored"
printf '[defaults]\nprocesses=9999\n' > .vmctl.conf
run 0 "$V" plan --driver null --json
has "$err" "processes=9999, which was ignored: it is more than without it"
rm .vmctl.conf

# A scope of systemd's, where that is all there is: in a mount namespace with a /sys/fs/cgroup and a /run/systemd of
# our own, and a systemd-run that only notes what it was told.
if [ "$(id -u)" -ne 0 ] || ! unshare -m mount -t tmpfs none /sys/fs/cgroup 2> /dev/null; then
  echo "note: no mount namespace here: systemd-run was not tried"
  exit 0
fi
mkdir "$tmp/bin"
cat > "$tmp/bin/systemd-run" << SH
#!/bin/sh
printf '%s\n' "\$@" > "$tmp/told"
while [ "\$1" != -- ]; do shift; done
shift
exec "\$@"
SH
cat > "$tmp/with-systemd" << 'SH'
#!/bin/sh
mount -t tmpfs none /sys/fs/cgroup && echo cpu memory pids > /sys/fs/cgroup/cgroup.controllers || exit 99
[ -d /run/systemd ] || { mount -t tmpfs none /run && mkdir /run/systemd; } || exit 99
mount -t tmpfs none /run/systemd && : > /run/systemd/private || exit 99
exec "$@"
SH
chmod +x "$tmp/bin/systemd-run" "$tmp/with-systemd"
PATH="$tmp/bin:$PATH"
run 7 unshare -m "$tmp/with-systemd" "$V" up -q --driver null -n scope --memory 1G --cpus 1 --processes 100 -- sh -c 'exit 7'
told=$(cat "$tmp/told")
for word in --scope --slice=system.slice --property=MemoryMax=1073741824 --property=MemorySwapMax=0 \
  --property=TasksMax=100 --property=CPUQuota=100%; do
  has "$told" "$word"
done
run 0 "$V" status scope --json
id=$(json "$out" 'j["id"]')
has "$told" "--unit=vmctl-$id
"
is "the group" "$(json "$out" 'j["groups"]')" "['/sys/fs/cgroup/system.slice/vmctl-$id.scope']"
