#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Templates of images: one without systemd, and a Debian that was saved when it was up. Each machine that goes on is its
# own, and a whole one; template and image are what they were.
images=$(bash "${0%/*}/make-images.sh" 2>&1) || { echo "1..0 # SKIP $images"; exit 0; }
. "${0%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache
mkdir -m 0700 "$T/cache" "$T/cache/vmctl"
for part in kernels initramfs disks index qemu-version; do
  [ ! -e "${VM_CACHE:-$vm_base/cache}/vmctl/$part" ] || cp -r "${VM_CACHE:-$vm_base/cache}/vmctl/$part" "$T/cache/vmctl/"
done
printf '[templates]\nmake=false\n' >"$T/config/vmctl/config"
templates=$T/cache/vmctl/templates
store=$XDG_DATA_HOME/vmctl/images
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl" "$store"
tiny=$(python3 "$vm_here/store.py" "$store" tiny "$images/tiny.qcow2" partition=1)
state () { # IMAGE
  "$VMCTL" template list --json | python3 -c 'import json, sys
print(*[t["state"] for t in json.load(sys.stdin) if t["machine"].get("image") == sys.argv[1]])' "$1"
}

# Without systemd
run "$VMCTL" template build -q --image tiny --memory 512M --cpus 1 "$P"
is "$STATUS" 0 "tiny: a template is made"
K=$OUT
sums=$(cd "$templates/$K" && sha256sum ram state disk)
is "$(state tiny)" current "tiny: it is current"
small="--image tiny --memory 512M --cpus 1"
up () { # shellcheck disable=SC2086 # words
  run_up $small "$@"
}
echo here >"$P/file"
up "$P" -- /bin/sh -c 'pwd; id -un; cat file; cat /proc/1/comm; touch made /bin/made; exit 9'
is "$STATUS|$OUT" "9|$P
$ME
here
init" "tiny: the project, the user, the status"
is "$(record "$(newest_id)" template)" "$K" "tiny: from the template"
is "$(stat -c %u "$P/made")" "$(id -u)" "tiny: what is written to the project is the user's"
up "$P" -- /bin/sh -c 'ls /bin/made; cat /proc/sys/kernel/random/boot_id'
like "$OUT" "-" "tiny: a second one"
unlike "$OUT" "/bin/made" "tiny: without what the first has written"
up --cold "$P" -- /bin/true
is "$STATUS|$(record "$(newest_id)" template)" "0|" "tiny: --cold boots"
run_up --image tiny --keep tools --memory 512M --cpus 1 "$P" -- /bin/true
is "$STATUS|$(record "$(newest_id)" template)" "0|" "tiny: one with a kept disk boots"
# shellcheck disable=SC2086 # words
start one $small "$P" -- /bin/sh -c 'exec busybox sleep 9999'
inside () { run "$VMCTL" exec one -- /bin/sh -c "$1"; }
is "$(record "$ID" template)" "$K" "tiny: one to be restored"
inside 'echo old >"$HOME/data"'
run "$VMCTL" snapshot create one first
is "$STATUS" 0 "tiny: a snapshot of it"
inside 'echo new >"$HOME/data"'
run "$VMCTL" template rm --all
run "$VMCTL" snapshot restore --yes one first
is "$STATUS" 0 "tiny: restored, though the template has gone"
inside 'cat "$HOME/data"'
is "$OUT" old "tiny: what was written is there again"
run "$VMCTL" stop one
run "$VMCTL" template build -q --image tiny --memory 512M --cpus 1 "$P"
is "$OUT" "$K" "tiny: the same one again"
mv "$tiny" "$T/away"
is "$(state tiny)" "stale: its image has gone" "tiny: without its image it is of no use"
run "$VMCTL" template prune
is "$OUT" "$K" "tiny: and is pruned"
mv "$T/away" "$tiny"

# With systemd
check "a Debian is imported" "$VMCTL" image import -q --name debian "$images/debian.qcow2"
before=$(sha256sum "$store/names/debian/disk.qcow2")
DEADLINE=240 run "$VMCTL" template build -q --image debian --memory 1G --cpus 1 "$P"
is "$STATUS" 0 "debian: a template is made"
K=$OUT
sums=$(cd "$templates/$K" && sha256sum ram state disk)
cat >"$P/probe" <<'END'
#!/bin/sh
echo "pid1 $(cat /proc/1/comm)"
echo "user $(id -un) $(id -u)"
echo "in $(pwd)"
echo "home $HOME $(stat -c %U "$HOME")"
echo "state $(systemctl is-system-running --wait)"
echo "failed $(systemctl --failed --no-legend --plain | tr '\n' ' ')"
echo "group $(cat /proc/self/cgroup)"
echo "name $(cat /proc/sys/kernel/hostname) $(cat /etc/hostname)"
echo "machine $(cat /etc/machine-id)"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "random $(head -c 16 /dev/urandom | od -An -tx1)"
echo "clock $(date +%s)"
echo "mount $(findmnt -no FSTYPE /)"
echo "address $(ip -4 -o addr show scope global | sed 's/.*inet \([^ ]*\) .*/\1/') $(cat /sys/class/net/e*/address)"
echo "dns $(sed -n 's/^nameserver //p' /etc/resolv.conf)"
echo "runtime $(stat -c '%U %a' "$XDG_RUNTIME_DIR")"
echo "nice $(nice)"
echo "left $(ls -A /run/vmctl/rw/lower 2>&1 | head -c 100)"
END
cat >"$P/journal" <<'END'
#!/bin/sh
# The journal is told of its new ids while the command runs already.
i=0
until journalctl -q -b -n 1 -u systemd-journald.service --no-pager 2>/dev/null | grep -q . || [ $((i = i + 1)) = 300 ]; do sleep 0.1; done
systemd-cat -t probe echo "a line for the journal"
journalctl --sync
journalctl -q -b -t probe -o cat
ls /run/log/journal /var/log/journal 2>/dev/null | grep -cx "$(cat /etc/machine-id)"
END
chmod +x "$P/probe" "$P/journal"
start image --image debian --memory 1G --cpus 1 "$P" -- sleep infinity
is "$(record "$ID" template)" "$K" "debian: from the template"
run "$VMCTL" exec image -- ./probe
is "$STATUS" 0 "debian: a command runs"
cp "$T/out" "$T/first"
line () { # WORD WANTED DESCRIPTION
  is "$(sed -n "s/^$1 //p" "$T/first")" "$2" "debian: $3"
}
line pid1 systemd "systemd is the first process"
line user "$ME $(id -u)" "the user, by name and number"
line in "$P" "in the project, at the host's path"
line home "$MY_HOME $ME" "the home is the user's"
line state running "it is up as a whole"
line failed "" "nothing failed"
line group "0::/system.slice/vmctl-agent.service" "commands are in the agent's control group"
line name "$(hostname) $(hostname)" "the host's name"
line machine "$(python3 -c 'import hashlib, sys; print(hashlib.sha256(("vmctl machine-id " + sys.argv[1]).encode()).hexdigest()[:32])' "$ID")" "a machine id of its own"
line mount ext4 "the root is the image's file system"
line address "10.0.2.15/24 $(python3 -c 'import hashlib, sys; s = hashlib.sha256(sys.argv[1].encode()).hexdigest()
print("52:54:00:" + ":".join((s[:2], s[2:4], s[4:6])))' "$ID")" "the network, and a hardware address of its own"
line dns 10.0.2.3 "the name server"
line runtime "$ME 700" "the user's runtime directory"
line nice 0 "an ordinary priority"
line left "ls: cannot access '/run/vmctl/rw/lower': Permission denied" "nothing of the set-up is to be seen"
check "debian: the clock is the host's" test $(($(date +%s) - $(sed -n 's/^clock //p' "$T/first"))) -le $((20 * SLOW))
run "$VMCTL" exec --root image -- "$P/journal"
is "$OUT" "a line for the journal
1" "debian: the journal is this machine's"
login () { "$VMCTL" logs --console image | grep -q "$ME (automatic login)"; }
check "debian: the user is logged in on the console" until_true 60 login
run "$VMCTL" snapshot create image first
is "$STATUS" 0 "debian: a snapshot, with the root frozen"
run "$VMCTL" stop --time 200 image
is "$STATUS|$(record "$(newest_id)" reason.kind)" "0|stopped" "debian: stopped"
like "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$(newest_id)/supervisor.log")" '"reason": "guest-shutdown"' "debian: by its own shutting down"
run_up --image debian --memory 1G --cpus 1 --net none --no-root "$P" -- sh -c './probe; ip link | grep -c ether; sudo -n true 2>/dev/null || echo no root'
cp "$T/out" "$T/second"
is "$STATUS|$(record "$(newest_id)" template)" "0|$K" "debian: another one, without network and root"
is "$(tail -n 2 "$T/second" | tr '\n' ' ')" "0 no root " "debian: which has neither"
for word in machine boot random; do
  isnt "$(sed -n "s/^$word //p" "$T/second")" "$(sed -n "s/^$word //p" "$T/first")" "debian: not the same in two: $word"
done
is "$(cd "$templates/$K" && sha256sum ram state disk)" "$sums" "debian: the template is what it was"
is "$(sha256sum "$store/names/debian/disk.qcow2")" "$before" "debian: and so is the image"
finish
