# SPDX-License-Identifier: LGPL-2.1-or-later
"""With an image as the guest (run.sh qemu:IMAGE). The sandbox that all checks share has --no-root."""
from core import check


@check("image-root", "the root is the image's, and the image has nothing of the host's programs")
def _(s):
    s.has(s.shell("while read -r dev dir type rest; do [ $dir != / ] || echo $type; done </proc/mounts"), "ext4")
    s.equal(s.record(s.shared())["image"], s.image)


@check("image-host-root", "the root is the host's tree, read-only below, and systemd the first process, with none of its services")
def _(s):
    s.has(s.shell("while read -r dev dir type rest; do [ $dir != / ] || echo $type; done </proc/mounts"), "overlay")
    s.equal(s.shell("cat /proc/1/comm; cat /proc/self/cgroup"), "systemd\n0::/system.slice/vmctl-agent.service")
    s.has("running", s.inside("systemctl", "is-system-running", "--wait", timeout=300).text)
    services = s.shell("systemctl list-units --type=service --state=active --plain --no-legend").splitlines()
    s.equal({line.split()[0] for line in services} - {"dbus.service", "systemd-journald.service"}, {"vmctl-agent.service"})
    s.equal(s.record(s.shared())["image"], s.image)


@check("image-no-root", "with --no-root nobody becomes root, and the console has no login of the user's")
def _(s):
    s.equal(s.shell("sudo id -u 2>/dev/null; grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1")
    if s.inside("test", "-e", "/run/systemd/system").status == 0:
        # Before this the console may not have been asked for yet.
        s.has("running degraded", s.inside("systemctl", "is-system-running", "--wait", timeout=300).text)
        s.hasnt(s.verb("logs", "--console", s.shared()).text, "automatic login")
        s.hasnt(s.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), "--autologin")


@check("image-stop", "stop ends it in order, and nothing is left", last=True)
def _(s):
    with s.box_lock:
        box, s.box = s.box, None
    s.equal(s.verb("stop", box, timeout=300).status, 0, "stop")
    s.gone(box)
    s.equal(s.record(box)["reason"]["kind"], "stopped")
