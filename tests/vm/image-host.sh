#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --image host-systemd: this host's tree, with its systemd as the first process. tests/drivers/image-host-systemd.list has
# what it has in common with other guests; here is what is systemd's. One machine becomes a template, two go on from it, and one boots, from
# a snapshot.
[ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ] || { echo "1..0 # SKIP this host has no systemd"; exit 0; }
. "${0%/*}/lib.sh"

# Templates of its own, as in image-template.sh.
export XDG_CACHE_HOME=$T/cache
mkdir -m 0700 "$T/cache" "$T/cache/vmctl"
for part in kernels initramfs disks index qemu-version; do
  [ ! -e "${VM_CACHE:-$vm_base/cache}/vmctl/$part" ] || cp -r "${VM_CACHE:-$vm_base/cache}/vmctl/$part" "$T/cache/vmctl/"
done
printf '[templates]\nmake=false\n' >"$T/config/vmctl/config"

check "it is built" "$VMCTL" image build -q host-systemd
DEADLINE=240 run "$VMCTL" template build -q --image host-systemd --memory 1G --cpus 1 "$P"
is "$STATUS" 0 "a template is made"
K=$OUT
sums=$(cd "$T/cache/vmctl/templates/$K" && sha256sum ram state disk)
machine="--image host-systemd --memory 1G --cpus 1"
cat >"$P/probe" <<'END'
#!/bin/sh
# The journal is told of its new ids while the command runs already, and starts again.
i=0
until sudo journalctl -q -b -n 1 -u systemd-journald.service --no-pager 2>/dev/null | grep -q . && systemctl is-active -q systemd-journald.service || [ $((i = i + 1)) = 1200 ]; do sleep 0.1; done
echo "pid1 $(cat /proc/1/comm)"
echo "state $(systemctl is-system-running --wait)"
echo "failed $(systemctl --failed --no-legend --plain | tr '\n' ' ')"
echo "target $(systemctl get-default)"
echo "services $(systemctl list-units --type=service --state=active --plain --no-legend | sed 's/ .*//' | grep -v '^\(dbus\|systemd-logind\|user@.*\|user-runtime-dir@.*\|serial-getty@ttyS0\)\.service$' | tr '\n' ' ')"
echo "enabled $(ls -A /etc/systemd 2>/dev/null)"
echo "fstab $(grep -vc '^#' /etc/fstab)"
systemd-cat -t probe echo "a line for the journal"
sudo journalctl --sync
echo "journal $(sudo journalctl -b -t probe -o cat)"
echo "run $(sudo systemd-run --quiet --wait --pipe -p DynamicUser=no -p MemoryMax=64M cat /proc/self/cgroup | sed 's/run-[a-z0-9]*/run-N/')"
sudo mkdir -p /etc/systemd/system
printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "echo made >/run/made"\n[Install]\nWantedBy=multi-user.target\n' | sudo tee /etc/systemd/system/probe.service >/dev/null
sudo systemctl enable --quiet --now probe.service
echo "unit $(cat /run/made) $(systemctl is-active probe.service) $(systemctl is-enabled probe.service)"
echo "root $(findmnt -no FSTYPE /) $(sudo readlink /proc/1/root /proc/1/exe | tr '\n' ' ')"
echo "machine $(cat /etc/machine-id)"
echo "left $(ls -A /run/vmctl/rw/lower /newroot 2>&1 | wc -l)"
echo "shared $(findmnt -rno PROPAGATION /)"
echo "by-hand $(sudo systemctl start systemd-tmpfiles-setup.service && echo starts)"
sudo touch /usr/bin/written-inside
END
chmod +x "$P/probe"
before=$(stat -c '%Y %Z' /usr/bin /etc /etc/systemd/system 2>/dev/null)
# shellcheck disable=SC2086 # words
start image $machine "$P" -- sleep infinity
is "$(record "$ID" template)" "$K" "from the template"
run "$VMCTL" exec image -- ./probe
is "$STATUS" 0 "a command runs"
line () { # WORD WANTED DESCRIPTION
  is "$(printf '%s\n' "$OUT" | sed -n "s/^$1 //p")" "$2" "$3"
}
line pid1 systemd "systemd is the first process"
line state running "it comes up whole"
line failed "" "nothing failed"
line target multi-user.target "the target is the usual one"
line services "systemd-journald.service vmctl-agent.service " "no service but what was asked for"
line enabled "" "nothing of the host is enabled"
line fstab 0 "nothing is in /etc/fstab"
line journal "a line for the journal" "the journal has what was said"
line run "0::/system.slice/run-N.service" "systemd-run, in a control group of its own"
line unit "made active enabled" "a unit is written, enabled and started"
line root "overlay / /usr/lib/systemd/systemd " "the root is the host's tree, systemd's as well"
line machine "$(python3 -c 'import hashlib, sys; print(hashlib.sha256(("vmctl machine-id " + sys.argv[1]).encode()).hexdigest()[:32])' "$ID")" "a machine id of its own"
line left 2 "nothing of the set-up is to be seen"
line shared shared "mounts are shared, as systemd has it"
line by-hand starts "what does not start by itself can be started"
is "$(stat -c '%Y %Z' /usr/bin /etc /etc/systemd/system 2>/dev/null)" "$before" "the host is as it was"
logged_in () { "$VMCTL" logs --console image | grep -qF "$ME (automatic login)"; }
check "the user is logged in on the console" until_true 20 logged_in

# What was written, enabled and removed is in a snapshot, also what of /usr vmctl has put into the layer above itself.
inside () { run "$VMCTL" exec --root image -- sh -c "$1"; }
units=/usr/lib/systemd/system
[ -d $units ] || units=/lib/systemd/system
wishes=$(find $units/ -maxdepth 1 -name '*.target.wants' ! -name 'sockets.target.wants' ! -name 'sysinit.target.wants' | head -n 1)
inside "rm $units/sockets.target.wants/systemd-journald-dev-log.socket; rm -r $wishes; echo old >/opt-data; sync"
is "$STATUS" 0 "units are removed inside"
VMCTL_FREEZEMS=1 run "$VMCTL" snapshot create image unsure
is "$STATUS" 1 "no snapshot if nobody knows that the guest stood still"
run "$VMCTL" snapshot create image first
is "$STATUS" 0 "a snapshot"
like "$OUT" "first	*ms" "it says how long the guest stood still"
inside "echo new >/opt-data; touch /etc/systemd/system/later.service; rm /usr/bin/written-inside"
run "$VMCTL" snapshot restore --yes image first
is "$STATUS|$(record "$ID" template)" "0|" "restored"
inside "cat /proc/1/comm; systemctl is-system-running --wait; cat /opt-data; ls $wishes $units/sockets.target.wants/systemd-journald-dev-log.socket /etc/systemd/system/later.service /usr/bin/written-inside 2>/dev/null; systemctl is-active probe.service"
is "$OUT" "systemd
running
old
/usr/bin/written-inside
active" "it boots, with what was written then, and the unit that was enabled starts"
check "the image is removed while it runs" "$VMCTL" image rm host-systemd
like "$("$VMCTL" status image)" "host-systemd" "status names it"

# Again, though the store has it no more: everything is in the plan.
run "$VMCTL" restart image
is "$STATUS|$(record "$ID" template)" "0|$K" "restart, from the template"
run "$VMCTL" exec image -- sh -c 'cat /proc/1/comm; ls /usr/bin/written-inside /etc/systemd/system/probe.service 2>/dev/null; exit 42'
is "$STATUS" 42 "the exit status"
is "$OUT" systemd "and what was written is gone"
run "$VMCTL" stop --time 200 image
is "$STATUS" 0 "stop"
like "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$(newest_id)/supervisor.log")" '"reason": "guest-shutdown"' "by its own shutting down"
is "$(cd "$T/cache/vmctl/templates/$K" && sha256sum ram state disk)" "$sums" "the template is what it was"
run_up --image host-systemd "$P" -- true
is "$STATUS" 125 "an image that is removed is not there"
finish
