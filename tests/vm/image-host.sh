#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --image host-systemd: this host's tree, with its systemd as the first process. tests/drivers/image-host-systemd.list has
# what it has in common with other guests; here is what is systemd's. Two boots.
[ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ] || { echo "1..0 # SKIP this host has no systemd"; exit 0; }
. "${0%/*}/lib.sh"

check "it is built" "$VMCTL" image build -q host-systemd
cat >"$P/probe" <<'END'
#!/bin/sh
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
echo "by-hand $(sudo systemctl start systemd-tmpfiles-setup.service && echo starts)"
sudo touch /usr/bin/written-inside
END
chmod +x "$P/probe"
before=$(stat -c '%Y %Z' /usr/bin /etc /etc/systemd/system 2>/dev/null)
start image --image host-systemd "$P" -- sleep infinity
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
line by-hand starts "what does not start by itself can be started"
is "$(stat -c '%Y %Z' /usr/bin /etc /etc/systemd/system 2>/dev/null)" "$before" "the host is as it was"
logged_in () { "$VMCTL" logs --console image | grep -qF "$ME (automatic login)"; }
check "the user is logged in on the console" until_true 20 logged_in
run "$VMCTL" snapshot create image
is "$STATUS" 1 "a snapshot is refused"
like "$ERR" "own systemd" "and why is said"
check "the image is removed while it runs" "$VMCTL" image rm host-systemd
like "$("$VMCTL" status image)" "host-systemd" "status names it"

# Again, though the store has it no more: everything is in the plan.
run "$VMCTL" restart image
is "$STATUS" 0 "restart"
run "$VMCTL" exec image -- sh -c 'cat /proc/1/comm; ls /usr/bin/written-inside /etc/systemd/system/probe.service 2>/dev/null; exit 42'
is "$STATUS" 42 "the exit status"
is "$OUT" systemd "and what was written is gone"
run "$VMCTL" stop --time 200 image
is "$STATUS" 0 "stop"
like "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$(newest_id)/supervisor.log")" '"reason": "guest-shutdown"' "by its own shutting down"
run_up --image host-systemd "$P" -- true
is "$STATUS" 125 "an image that is removed is not there"
finish
