# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB devices. There is none here: VMCTL_TEST_USB (docs/testing.md) puts made-up ones in the place of the host's, whose
nodes are those of /dev/zero and the like."""
import contextlib
import json
import os
import socket
import stat

from core import check, otherwise

# At which place, which ids, and what stands for it.
DEVICES = {"1.4": ("f00d:0001", "/dev/zero"), "1.7": ("f00d:0002", "/dev/full"), "2.3": ("f00d:0002", "/dev/null"),
           "2.6": ("f00d:0003", "/dev/random")}
ZERO = "/dev/bus/usb/001/004"


def node_of(root, place):
    bus, device = place.split(".")
    return f"{root}/nodes/{int(bus):03}/{int(device):03}"


def add_device(s, root, place, ids, real):
    """Where that can be: a node of its own. Else a link to one."""
    facts = dict(zip(("idVendor", "idProduct", "busnum", "devnum"), ids.split(":") + place.split(".")))
    for name, value in facts.items():
        s.write(f"{root}/devices/{place.replace('.', '-')}/{name}", value + "\n")
    node = node_of(root, place)
    os.makedirs(os.path.dirname(node), exist_ok=True)
    if s.uid == 0 and real == "/dev/zero":
        os.mknod(node, stat.S_IFCHR | 0o600, os.stat(real).st_rdev)
    else:
        os.symlink(real, node)


@contextlib.contextmanager
def world(s, name, *words):
    """(the directory of the made-up devices, a sandbox)"""
    root = s.directory(name)
    for place, (ids, real) in DEVICES.items():
        add_device(s, root, place, ids, real)
    box = s.start("--new", *words, env=dict(os.environ, VMCTL_TEST_USB=root))
    try:
        yield root, box
    finally:
        s.stop(box)


def devices(s, box):
    done = s.verb("devices", "--json", box)
    s.equal(done.status, 0, str(done))
    return json.loads(done.out)


def plug(s, box, *words):
    done = s.verb("plug", box, "usb", *words)
    s.equal(done.status, 0, f"plug usb {words}: {done}")
    return done.text.split("\t")


def unplug(s, box, name):
    done = s.verb("unplug", box, name)
    s.equal(done.status, 0, f"unplug: {done}")


def refused(s, box, text, place, **more):
    before = devices(s, box)
    done = s.verb("plug", box, "usb", place, "--id", "refused", **more)
    s.equal(done.status, 1, str(done))
    s.has(done.said, text)
    s.hasnt(done.said, "could not be undone")
    s.equal(devices(s, box), before)


def inside(s, box, script):
    done = s.verb("exec", box, "--", "sh", "-c", script)
    s.equal(done.status, 0, f"{script!r}: {done}")
    return done.text


READ = f"test -c {ZERO} && head -c 4 {ZERO} | od -An -tx1 && echo x >{ZERO} && echo written"
FLAGS = "while read -r _ _ _ _ at flags _; do [ $at = %s ] && echo $flags; done </proc/self/mountinfo; true" % ZERO


@check("plug-usb", "a USB device's node appears where programs look for it, works as the user, and goes again")
def _(s):
    with world(s, "usb") as (root, box):
        s.equal(plug(s, box, "f00d:0001"), ["usb0", ZERO])
        s.equal(inside(s, box, READ), " 00 00 00 00\nwritten")
        for flags in inside(s, box, FLAGS).splitlines():  # none where it is no mount
            s.equal([f for f in ("nosuid", "noexec", "nodev") if f in flags.split(",")], ["nosuid", "noexec"])
        shown = devices(s, box)[0]
        s.equal((shown["inside"], shown.get("gone")), (ZERO, None))
        s.equal(plug(s, box, "2.3", "--id", "other"), ["other", "/dev/bus/usb/002/003"])
        s.equal(inside(s, box, "cat /dev/bus/usb/002/003"), "")
        os.unlink(node_of(root, "1.4"))  # as the kernel does when it is pulled out
        if s.uid == 0:  # and it was no link
            s.equal(devices(s, box)[0].get("gone"), True)
            s.has(s.verb("devices", box).text, "(gone)")
        unplug(s, box, "usb0")
        unplug(s, box, "other")
        s.equal(inside(s, box, "find /dev/bus/usb ! -type d"), "")
        s.equal(devices(s, box), [])
        add_device(s, root, "1.4", *DEVICES["1.4"])
        s.equal(plug(s, box, "1.4"), ["usb0", ZERO], "once more")


@otherwise("plug-usb")
def _(s):
    with world(s, "usb") as (_, box):
        refused(s, box, "failed to open host usb device", "f00d:0001")  # QEMU looks closer
        refused(s, box, "1.7, 2.3", "f00d:0002")


def forbidden():
    """A device that this caller may not open; root may open all, but a plain file is none."""
    for name in sorted(os.listdir("/dev")):
        path = f"/dev/{name}"
        if stat.S_ISCHR(os.stat(path, follow_symlinks=False).st_mode) and not os.access(path, os.R_OK | os.W_OK):
            return path, "you have no right to open"
    return "/etc/passwd", "is no device"


@check("plug-usb-refused", "a USB device that is not there, there twice, not the caller's, or none, is refused")
def _(s):
    with world(s, "usb-refused") as (root, box):
        path, why = forbidden()
        add_device(s, root, "3.1", "f00d:0004", path)
        add_device(s, root, "3.2", "f00d:0005", "/dev/not-there")
        refused(s, box, "this host has no such device", "f00d:f00d")
        refused(s, box, "this host has no such device", "1.5")
        refused(s, box, "1.7, 2.3", "f00d:0002")
        refused(s, box, why, "f00d:0004")
        refused(s, box, "No such file", "3.2")
        if s.driver == "qemu":
            return
        refused(s, box, "cannot show the device", "f00d:0003")  # may be opened, and is no USB device
        for step in "12":
            refused(s, box, f"behind step {step}", "1.4", env=dict(os.environ, VMCTL_PLUGFAIL=step))
        plug(s, box, "1.4")
        refused(s, box, "plugged already", "f00d:0001")
        unplug(s, box, "usb0")
        s.equal(inside(s, box, "find /dev/bus ! -type d 2>/dev/null; true"), "")


@check("plug-usb-kept", "it is there, and can be taken away, when another supervisor has taken the sandbox over")
def _(s):
    with world(s, "usb-kept") as (_, box):
        plug(s, box, "1.4")
        pid = s.record(box)["supervisor"]["pid"]
        s.kill(pid)
        s.until(lambda: s.verb("devices", "--json", box).status == 0, "another supervisor", 30)
        s.true(s.record(box)["supervisor"]["pid"] != pid, "it is the same supervisor")
        s.equal([d["id"] for d in devices(s, box)], ["usb0"])
        s.equal(inside(s, box, READ), " 00 00 00 00\nwritten")
        unplug(s, box, "usb0")
        s.equal(inside(s, box, f"test -e {ZERO} || echo gone"), "gone")


def ask_keeper(s, box, words, path=None, flags=0):
    """What it answers to a request that `path` comes along with, opened."""
    directory = os.open(f"{s.runtime}/{box}", os.O_PATH)  # the path may be longer than an address may be
    passed = [os.open(path, flags)] if path else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
        keeper.settimeout(60)
        keeper.connect(f"/proc/self/fd/{directory}/keeper.sock")
        socket.send_fds(keeper, ["\0".join(words).encode()], passed)
        for fd in [directory, *passed]:
            os.close(fd)
        return keeper.recv(1000).decode()


@check("plug-usb-keeper", "the keeper shows no device that was not opened for reading and writing, and no other kind")
def _(s):
    box, node = s.shared(), "/dev/bus/usb/009/009"
    words = ["device", "/dev/zero", "asked", node]
    for path, flags in ((None, 0), ("/dev/zero", os.O_RDONLY), ("/dev/zero", os.O_WRONLY), ("/dev/zero", os.O_PATH),
                        ("/dev/random", os.O_RDWR), (f"{s.project}", os.O_RDONLY), (__file__, os.O_RDONLY)):
        s.equal(ask_keeper(s, box, words, path, flags), "error cannot show the device: Operation not permitted", f"{path} {flags}")
    for bad in ("/dev/zero", "/dev/bus/usb/009/9", "/dev/bus/usb/009/00x", "/dev/bus/usb/../../x", node + "/x"):
        s.has(ask_keeper(s, box, words[:3] + [bad], "/dev/zero", os.O_RDWR), "Invalid argument", bad)
    if s.driver == "bwrap":  # which mounts what is named; it must be what was opened
        s.has(ask_keeper(s, box, ["device", "/dev/null", "asked", node], "/dev/zero", os.O_RDWR), "No such device")
    s.equal(inside(s, box, f"test -e {node} || echo none"), "none")
    s.equal(ask_keeper(s, box, words, "/dev/zero", os.O_RDWR), "ok")
    s.has(ask_keeper(s, box, words, "/dev/zero", os.O_RDWR), "File exists")
    s.has(ask_keeper(s, box, ["device", "/dev/zero", "again", node], "/dev/zero", os.O_RDWR), "File exists")
    s.equal(inside(s, box, f"head -c 1 {node} | od -An -tx1"), " 00")
    s.equal(ask_keeper(s, box, ["leave", "asked"]), "ok")
    s.equal(inside(s, box, f"test -e {node} || echo none"), "none")
