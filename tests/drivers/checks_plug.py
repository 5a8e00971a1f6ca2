# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is plugged into a running sandbox: the same words mean the same everywhere, or are refused with a reason."""
import contextlib
import json
import os
import random
import socket

from core import SLOW, Skipped, check, otherwise

from checks_life import BUSY, ready


def plug(s, *words):
    done = s.verb("plug", s.shared(), *words)
    s.equal(done.status, 0, f"plug: {done}")
    return done.text.split("\t")[0]


def unplug(s, *ids):
    done = s.verb("unplug", s.shared(), *ids)
    s.equal(done.status, 0, f"unplug: {done}")


def refused(s, text, *words):
    done = s.verb("plug", s.shared(), "--id", "refused", *words)
    s.equal(done.status, 1, str(done))
    s.has(done.said, text)
    s.equal(device(s, "refused"), None, "it was plugged")


def device(s, name):
    """Of the shared sandbox, where other checks plug theirs."""
    found = [d for d in json.loads(s.verb("devices", "--json", s.shared()).out) if d["id"] == name]
    return found[0] if found else None


@check("plug-dir", "a directory appears where it is wanted, is written as the user, and goes again")
def _(s):
    more = s.directory("plugged")
    s.write(f"{more}/file", "outside")
    name = plug(s, "dir", f"{more}:/srv/not there/yet", "--id", "appears")  # another check may get "dir0" next
    s.equal(s.shell("cat '/srv/not there/yet/file'; echo inside >'/srv/not there/yet/new'; id -u"), f"outside{s.uid}")
    with open(f"{more}/new", encoding="ascii") as f:
        s.equal(f.read(), "inside\n")
    s.equal(os.stat(f"{more}/new").st_uid, s.uid, "its owner")
    s.true(not os.path.exists("/srv/not there"), "the mount point was made on the host")
    s.equal(device(s, name)["source"], os.path.realpath(more))
    unplug(s, name)
    s.equal(s.shell("ls '/srv/not there/yet'"), "")
    s.equal(device(s, name), None)


@check("plug-dir-home", "below the home and in /tmp, with what is mounted in it, and while somebody is in it")
def _(s):
    more = s.directory("plugged-home")
    s.write(f"{more}/sub/file", "deep")
    one, two = plug(s, "dir", f"{more}:{s.home}/here/more"), plug(s, "dir", f"{more}/sub:/tmp/a/b", "--id", "second")
    s.equal(two, "second")
    s.equal(s.shell(f"cat {s.home}/here/more/sub/file /tmp/a/b/file; stat -c %u {s.home}/here"), f"deepdeep{s.uid}")
    with s.client([s.vmctl, "exec", s.shared(), "--", "sh", "-c", "cd /tmp/a/b && echo in; read line"],
                  stdin=-1) as inside:  # subprocess.PIPE
        s.equal(inside.stdout.readline(), b"in\n")
        unplug(s, two, one)
    s.equal(s.shell(f"ls /tmp/a/b {s.home}/here/more | grep -v :"), "")


@check("plug-dir-ro", "with :ro nothing in it can be changed, nor can that be")
def _(s):
    more = s.directory("plugged-ro")
    s.write(f"{more}/file", "outside")
    name = plug(s, "dir", f"{more}:ro")
    change = f"echo x >{more}/file; touch {more}/new; rm -f {more}/file"
    s.equal(s.shell(f"cat {more}/file; {{ {change}; }} 2>/dev/null; ls {more}"), "outsidefile")
    # A machine's root may mount what he sees as he likes, and still it is not his to change.
    s.shell(f"{{ mount -o remount,rw,bind {more}; {change}; }} >/dev/null 2>&1; true")
    s.equal(os.listdir(more), ["file"])
    with open(f"{more}/file", encoding="ascii") as f:
        s.equal(f.read(), "outside")
    unplug(s, name)


@check("plug-dir-links", "a link inside that lies where it is wanted leads nowhere on the host")
def _(s):
    more, victim = s.directory("plugged-links"), s.directory("plugged-victim")
    s.shell(f"ln -s {victim} /tmp/link; ln -s /proc/self/root/etc /tmp/link2")
    for place in ("/tmp/link/x", "/tmp/link2/x"):
        done = s.verb("plug", s.shared(), "dir", f"{more}:{place}", "--id", "link")
        if done.status == 0:
            unplug(s, "link")
    s.equal(os.listdir(victim), [])
    s.true(not os.path.exists("/etc/x"), "/etc/x was made")


@check("plug-dir-refused", "what no sandbox may see is refused, and what would hide what it needs")
def _(s):
    more = s.directory("plugged-bad")
    os.symlink(s.state, f"{more}/link")
    for path in ("/", s.home, os.path.dirname(s.home), s.state, s.runtime, f"{s.runtime}/{s.shared()}/meta", f"{more}/link",
                 os.environ["XDG_CACHE_HOME"] + "/vmctl"):
        refused(s, "dir: ", "dir", path)
    for place in ("/", s.home, s.project, os.path.dirname(s.project), "/run/vmctl/meta", "/proc/x", "/dev/x"):
        refused(s, "dir: ", "dir", f"{more}:{place}")
    refused(s, "make it first", "dir", f"{more}:{s.project}/not-there")
    refused(s, "No such file", "dir", f"{more}/nothing")
    s.true(not os.path.exists(f"{s.project}/not-there"), "a mount point was made in the project")


UPPER = """
import socketserver, sys
class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Upper)
print("serving", flush=True)
server.serve_forever()
"""


def free_port(kind=socket.SOCK_STREAM):
    """Below those that the kernel gives to whoever asks for any (ip_local_port_range): it may be used a while later."""
    while True:
        with socket.socket(socket.AF_INET, kind) as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.randrange(10000, 32768)))
            return s.getsockname()[1]


def ask(port, data):
    with socket.create_connection(("127.0.0.1", port), 120) as c:
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        return c.makefile("rb").read()


@check("plug-port", "a port of the host leads to one inside, also without a network", null=True)
def _(s):
    outside, inside = free_port(), free_port()
    box = s.start("--net", "none", "--new") if s.isolated else s.start("--new")
    try:
        with s.client([s.vmctl, "exec", box, "--", "python3", "-c", UPPER, str(inside)]) as server:
            s.equal(server.stdout.readline(), b"serving\n")
            s.equal(s.verb("plug", box, "port", f"{outside}:{inside}").status, 0)
            s.equal(ask(outside, b"hello"), b"HELLO")
            s.equal(ask(outside, b"a" * 3000000), b"A" * 3000000)
            done = s.verb("plug", box, "port", f"{outside}:{inside}")
            s.equal(done.status, 1)
            s.has(done.said, "in use")
            s.equal(s.verb("unplug", box, "port0").status, 0)
            try:
                s.equal(ask(outside, b"hello"), None, "somebody answers")
            except ConnectionRefusedError:
                pass
    finally:
        s.stop(box)


UPPER_UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
print("serving", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data.upper(), peer)
"""


@check("plug-port-udp", "the same for datagrams, and each answer goes to who has asked", null=True)
def _(s):
    outside, inside = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    with s.client([s.vmctl, "exec", s.shared(), "--", "python3", "-c", UPPER_UDP, str(inside)]) as server:
        s.equal(server.stdout.readline(), b"serving\n")
        name = plug(s, "port", f"{outside}:{inside}/udp")
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.settimeout(60)
            peer.connect(("127.0.0.1", outside))
            peer.send(b"peer %d" % number)
        for number, peer in enumerate(peers):
            s.equal(peer.recv(100), b"PEER %d" % number)
        peers[0].send(b"x" * 60000)
        s.equal(peers[0].recv(65536), b"X" * 60000)
        for peer in peers:
            peer.close()
        unplug(s, name)


def needs_group(s, box):
    if s.driver != "qemu" and not s.record(box)["groups"]:
        done = s.verb("plug", box, "cpu", "1")
        s.equal(done.status, 1, str(done))
        s.has(done.said, "control group")
        raise Skipped("this caller has no control group whose limits could be changed; that is said")


@check("plug-cpu", "processors come and go")
def _(s):
    if os.cpu_count() < 2:
        raise Skipped("this host has one processor")
    box = s.start("--cpus", "1", "--new")
    try:
        needs_group(s, box)
        for words, count in ((("plug", box, "cpu", "2"), 2), (("plug", box, "cpu", "1"), 1), (("unplug", box, "cpu"), 1)):
            done = s.verb(*words)
            s.equal(done.status, 0, str(done))
            if s.driver == "qemu":
                s.equal(s.verb("exec", box, "--", "nproc").text, str(count))
            elif count == 1:
                share = float(s.verb("exec", box, "--", "python3", "-c", BUSY).text)
                s.true(share < 1.3, f"{share} processors' time")
        done = s.verb("plug", box, "cpu", "250")
        s.equal(done.status, 1)
        s.has(done.said, "of this host")
    finally:
        s.stop(box)


def memory_of_machine(s, box):
    return int(s.verb("exec", box, "--", "sed", "-n", r"s/MemTotal: *\([0-9]*\) kB/\1/p", "/proc/meminfo").text)


def machine_grows(s, box):
    size, before = s.record(box)["memory"] >> 20, memory_of_machine(s, box)
    s.equal(s.verb("plug", box, "mem", f"{size + 256}M").status, 0)
    s.equal(memory_of_machine(s, box) - before, 256 << 10)
    done = s.verb("unplug", box, "mem")
    s.equal(done.status, 0, str(done))
    s.equal(memory_of_machine(s, box), before)


def limit_grows(s, box):
    eat = ["exec", box, "--", "python3", "-c", "import sys; x = bytearray(400 << 20); print(len(x))"]
    s.true(s.verb(*eat).status != 0, "400 MiB of 256 MiB are to be had")
    s.equal(s.verb("plug", box, "mem", "1G").status, 0)
    s.equal(s.verb(*eat).text, str(400 << 20))
    done = s.verb("unplug", box, "mem")
    s.equal(done.status, 0, str(done))
    s.true(s.verb(*eat).status != 0, "400 MiB of 256 MiB are to be had again")


@check("plug-mem", "memory comes and goes")
def _(s):
    box = s.start("--new") if s.driver == "qemu" else s.start("--memory", "256M", "--new")
    try:
        needs_group(s, box)
        (machine_grows if s.driver == "qemu" else limit_grows)(s, box)
        s.equal(s.verb("plug", box, "mem", "64M").status, 1)
    finally:
        s.stop(box)


@check("plug-disk", "a disk is plugged, used by the user inside, and goes again")
def _(s):
    name = plug(s, "disk", "32M")
    path = device(s, name)["inside"]
    s.equal(s.shell(f"echo on the disk >{path} && head -c 11 {path}"), "on the disk")
    unplug(s, name)
    s.true(s.inside("test", "-e", path).status != 0, "the device is still there")


@otherwise("plug-disk")
def _(s):
    refused(s, "a disk cannot be plugged into", "disk", "32M")


@check("plug-nic", "a network card comes, has an address, and goes again")
def _(s):
    name = plug(s, "nic")
    card = device(s, name)["inside"]
    s.has(s.shell("cat /proc/net/route"), f"{card}\t00000000\t0202000A")  # 0.0.0.0 by 10.0.2.2
    refused(s, "one policy", "nic", "allow:")
    unplug(s, name)
    s.true(s.inside("test", "-e", f"/sys/class/net/{card}").status != 0, "the card is still there")
    s.equal(s.verb("unplug", s.shared(), "nic").status, 1)


@otherwise("plug-nic")
def _(s):
    refused(s, "a network card cannot be plugged into", "nic")


def snapshots(s):
    return [one["name"] for one in json.loads(s.verb("snapshot", "--json", "list", s.shared()).out)]


@check("snapshot", "a snapshot of the disk is made and removed while the sandbox runs")
def _(s):
    done = s.verb("snapshot", "--skip-plugged", "create", s.shared(), "kept")  # other checks plug disks
    s.equal(done.status, 0, str(done))
    s.equal(snapshots(s), ["kept"])
    s.equal(s.verb("snapshot", "rm", s.shared(), "kept").status, 0)
    s.equal(snapshots(s), [])


@otherwise("snapshot")
def _(s):
    done = s.verb("snapshot", "create", s.shared(), "kept")
    s.equal(done.status, 1, str(done))
    s.has(done.said, "a snapshot is of a virtual machine's disk")
    s.equal(snapshots(s), [])


UPPER_LINE = """
import os, socket, stat, sys, time
path = sys.argv[1]
if stat.S_ISSOCK(os.stat(path).st_mode):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    fd = s.fileno()
else:
    fd = os.open(path, os.O_RDWR)
print("ready", flush=True)
data = b""
while not data.endswith(b"\\n"):
    got = os.read(fd, 65536)
    data += got
    if not got:
        time.sleep(0.02)  # of a port: nobody is at the other end yet
data = data.upper()
while data:
    data = data[os.write(fd, data):]
"""


def line(path, data):
    directory = os.open(os.path.dirname(path), os.O_PATH)  # the path may be longer than an address may be
    with socket.socket(socket.AF_UNIX) as outside:
        outside.settimeout(60)
        outside.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        os.close(directory)
        outside.sendall(data)
        return outside.makefile("rb").readline()


@check("plug-serial", "a serial line speaks both ways, again and again, and goes again")
def _(s):
    name = plug(s, "serial", "talk")
    path, inside = device(s, name)["socket"], device(s, name)["inside"]
    s.equal(os.stat(path).st_mode & 0o777, 0o600)
    for data in (b"hello\n", b"x" * 300000 + b"\n"):
        with s.client([s.vmctl, "exec", s.shared(), "--", "python3", "-c", UPPER_LINE, inside]) as there:
            s.equal(there.stdout.readline(), b"ready\n")
            s.equal(line(path, data), data.upper())
            s.equal(there.wait(60 * SLOW), 0)  # it has let go of the line, which has room for one
    refused(s, "already", "serial", "talk")
    unplug(s, name)
    s.true(not os.path.exists(path), "its socket is left")
    s.true(s.inside("test", "-e", inside).status != 0, "it is left inside")


def begin_again(s, verb):
    """A sandbox with a directory and a port of the plan's own, to which others are added. (box, project, its status)"""
    project, mine, other = s.directory("plug-again"), s.directory("plugged-mine"), s.directory("plugged-other")
    s.write(f"{mine}/file", "mine")
    s.write(f"{other}/file", "other")
    port = free_port()
    box = ready(s, project, "cat /srv/mine/file /srv/other/file >>seen 2>/dev/null; touch ready; exec sleep 1000", "--new",
                "--plug", f"dir={mine}:/srv/mine", "--plug", f"port={port}:1")
    s.equal(s.verb("plug", box, "dir", f"{other}:/srv/other").status, 0)
    s.equal(s.verb("plug", box, "port", f"{free_port()}:2").status, 0)
    os.unlink(project + "/ready")
    return box, project, s.verb(verb, box)


@check("plug-again", "after restart what the plan plugs is there again before the command, and nothing else")
def _(s):
    box, project, done = begin_again(s, "restart")
    try:
        s.equal(done.status, 0, str(done))
        s.until(lambda: os.path.exists(project + "/ready"), "the command starts", 60)
        with open(project + "/seen", encoding="ascii") as f:
            s.equal(f.read(), "minemine")
        devices = json.loads(s.verb("devices", "--json", box).out)
        s.equal(sorted(d["id"] for d in devices), ["dir0", "port0"])
        s.equal(s.run([s.vmctl, "exec", box, "--", "ls", "/srv"]).text, "mine")
    finally:
        s.stop(box)
