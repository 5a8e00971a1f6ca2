# SPDX-License-Identifier: LGPL-2.1-or-later
"""The network's helper against QEMU's built-in user network and slirp4netns, in namespaces: no packet leaves the machine.

    "here": where the helpers and QEMU run; 192.168.77.2, and a veth to
    "outside": 198.51.100.10, which sends at port 5001, takes at 5002, ends what it accepts at 5003, and tells guests what to do
               at 5000 (net-init.c)
    a namespace for each sandbox: a tap, 10.0.2.15, as the keeper makes it"""
import ctypes, fcntl, json, os, shutil, signal, socket, struct, subprocess, tempfile, threading, time, traceback

import clone, lib, namespace

NEWNET, SERVER, MTU = 0x40000000, "198.51.100.10", 65520
NET = os.path.join(os.path.dirname(lib.VMCTL), "vmctl-net")
libc = ctypes.CDLL(None, use_errno=True)


def unshare_net():
    if libc.unshare(NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def die_with_parent():
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def forked(call, *args):
    """What `call` returns, from a child of its own."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            text = json.dumps(call(*args)).encode()
            while text:
                text = text[os.write(w, text):]
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    if os.waitpid(pid, 0)[1] != 0:
        raise RuntimeError("a part of the bench failed")
    return json.loads(text)


# outside

def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((SERVER, port))
    listener.listen(1000)
    return listener


def serve(port, handle):
    listener = listen(port)

    def run():
        while True:
            handle(listener.accept()[0])
    threading.Thread(target=run, daemon=True).start()


def outside(parent, count):
    block = memoryview(bytearray(1 << 20))

    def send(s):
        left = count
        while left > 0:
            left -= s.send(block[:min(left, len(block))])
        s.close()

    def take(s):
        while s.recv_into(block):
            pass
        s.close()
    die_with_parent()
    unshare_net()
    parent.send(b"n")
    parent.recv(1)
    ip("link", "set", "lo", "up")
    ip("link", "set", "in", "up")
    ip("addr", "add", "192.168.77.1/24", "dev", "in")
    ip("addr", "add", SERVER + "/32", "dev", "lo")
    serve(5001, send)
    serve(5002, take)
    serve(5003, lambda s: s.close())
    guests = listen(5000)
    socket.send_fds(parent, [b"s"], [guests.fileno()])
    while True:
        signal.pause()


def in_network(call, count):
    """What call (listener) returns (JSON), called in "here", with "outside" behind it; listener: its port 5000."""
    def here():
        ours, theirs = socket.socketpair()
        unshare_net()
        child = os.fork()
        if child == 0:
            outside(theirs, count)
        try:
            ours.recv(1)
            ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(child))
            ip("link", "set", "lo", "up")
            ip("link", "set", "out", "up")
            ip("addr", "add", "192.168.77.2/24", "dev", "out")
            ip("route", "add", "default", "via", "192.168.77.1")
            ours.send(b"g")
            return call(socket.socket(fileno=socket.recv_fds(ours, 1, 1)[1][0]))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return forked(here)


# sandboxes

class Sandbox:
    """A network namespace that is kept by a process."""

    def __init__(self, with_tap):
        ours, theirs = socket.socketpair()
        self.pid, self.tap = os.fork(), None
        if self.pid == 0:
            die_with_parent()
            try:
                unshare_net()
                ip("link", "set", "lo", "up")
                if with_tap:
                    self.make_tap(theirs)
                theirs.send(b"r")
                while True:
                    signal.pause()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        if with_tap:
            self.tap = socket.recv_fds(ours, 1, 1)[1][0]
        assert ours.recv(1) == b"r"

    def make_tap(self, to):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tap0", 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
        ip("link", "set", "tap0", "mtu", str(MTU), "up")
        ip("addr", "add", "10.0.2.15/24", "dev", "tap0")
        ip("route", "add", "default", "via", "10.0.2.2")
        socket.send_fds(to, [b"t"], [fd])
        os.close(fd)

    def inside(self, call, *args):
        def run():
            fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            if libc.setns(fd, NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            return call(*args)
        return forked(run)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def helper(packet, policy):
    """vmctl-net on a descriptor, with a policy; returns its process and the other end of its control socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    log = os.open("/dev/null", os.O_RDWR)
    os.set_inheritable(packet, True)
    p = subprocess.Popen([NET, "--packet", str(packet), "--control", str(theirs.fileno()), "--log", str(log), "--user", "65534:65534"],
                         pass_fds=[packet, theirs.fileno(), log])
    theirs.close()
    os.close(log)
    assert ours.recv(100) == b"hello 1"
    ours.send(b"policy 1\nvmctl-net-policy 2\n" + policy.encode())
    answer = ours.recv(100)
    assert answer == b"policy 1 ok", answer
    return p, ours


def down():
    block, begin = bytearray(1 << 20), time.monotonic()
    with socket.create_connection((SERVER, 5001)) as s:
        while s.recv_into(block):
            pass
    return time.monotonic() - begin


def up(count):
    block, begin = bytes(1 << 20), time.monotonic()
    with socket.create_connection((SERVER, 5002)) as s:
        for _ in range(count >> 20):
            s.sendall(block)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
    return time.monotonic() - begin


def connects(count):
    """Seconds of each; with a reset at the end, so that no port is left over."""
    times = []
    for _ in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        begin = time.monotonic()
        s.connect((SERVER, 5003))
        times.append(time.monotonic() - begin)
        s.close()
    return times


def rows_of(bench, name, t, ours, theirs, megabytes):
    for way, words in (("down", "to the sandbox"), ("up", "from the sandbox")):
        rate = {who: megabytes / lib.median(t[f"{who} {way}"]) for who in (ours, theirs)}
        bench.row(f"TCP {words}, {name}", rate[ours], "MB/s", theirs, rate[theirs], ">= 0.9")


def bwrap(bench):
    """Namespaces: vmctl-net on a tap against slirp4netns with as large an MTU."""
    if not shutil.which("slirp4netns"):
        raise RuntimeError("slirp4netns is not installed")
    megabytes = 400

    def measure(listener):
        mine, other = Sandbox(True), Sandbox(False)
        p, control = helper(mine.tap, "mode public\n")
        r, w = os.pipe()
        q = subprocess.Popen(["slirp4netns", "-c", f"--mtu={MTU}", "--disable-host-loopback", f"--ready-fd={w}", str(other.pid), "tap0"],
                             pass_fds=[w], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(w)
        os.read(r, 1)
        t = {f"{name} {way}": [] for name in ("vmctl-net", "slirp4netns") for way in ("down", "up")}
        try:
            for _ in range(bench.n):
                for name, box in (("vmctl-net", mine), ("slirp4netns", other)):
                    t[name + " down"].append(box.inside(down))
                    t[name + " up"].append(box.inside(up, megabytes << 20))
        finally:
            for child in (p, q):
                child.kill()
                child.wait()
            mine.stop(), other.stop()
        return t
    rows_of(bench, "namespaces", in_network(measure, megabytes << 20), "vmctl-net", "slirp4netns", megabytes)


def rules(count):
    """The address is reached by the last of them."""
    lines = [f"allow name *.n{i}.example.com tcp 443-443 n{i}\n" for i in range(count // 2)]
    lines += [f"allow net 203.0.{113 + i // 256}.{i % 256}/32 tcp 443-443 a{i}\n" for i in range(count - count // 2 - 1)]
    return "mode list\n" + "".join(lines) + f"allow net {SERVER}/32 tcp 5003-5003 last\n"


def connect(bench):
    """Connects with a list of 1000 rules against one of one."""
    def measure(listener):
        boxes = {"1000": Sandbox(True), "1": Sandbox(True)}
        helpers = {name: helper(box.tap, rules(int(name))) for name, box in boxes.items()}
        t = {name: [] for name in boxes}
        try:
            for i in range(10 * bench.n + 1):
                for name, box in boxes.items():
                    times = box.inside(connects, 200)
                    if i > 0:
                        t[name] += times
        finally:
            for p, control in helpers.values():
                p.kill()
                p.wait()
            for box in boxes.values():
                box.stop()
        return {name: lib.median(times) for name, times in t.items()}
    t = in_network(measure, 0)
    bench.row("TCP connect, a list of 1000 rules", t["1000"] * 1e6, "us", "of one rule", t["1"] * 1e6, "<= 1.05")


# A machine

def initramfs(bench, plan):
    init, target = os.path.join(bench.dir, "net-init"), os.path.join(bench.dir, "net.cpio")
    subprocess.run(["cc", "-O2", "-static", "-D_GNU_SOURCE", "-o", init, os.path.join(lib.ROOT, "tests/bench/net-init.c")], check=True)
    lib.newc_replace(plan["initramfs"], target, "init", open(init, "rb").read())
    return target


def machine(plan, image, netdev, device, fds=()):
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", *clone.accelerator(), "-m", "512", "-smp", "1",
             "-kernel", plan["vmlinux"], "-initrd", image, "-append", "console=ttyS0 panic=-1 quiet no_timer_check",
             "-serial", "stdio", "-display", "none", "-no-reboot", "-netdev", netdev, "-device", "virtio-net-pci,netdev=net,romfile=" + device]
    return subprocess.Popen(words, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ask(guest, way, count):
    """Seconds, by its own clock."""
    guest.write(f"{way} {count}\n")
    guest.flush()
    return float(guest.readline())


def vm(bench):
    """The same guest, once behind vmctl-net as vmctl attaches it, once behind QEMU's own user network."""
    bench.vmctl("up", "-q", "--cold", bench.project, "--", "true")  # makes the initramfs
    megabytes, plan = 100, bench.plan()
    image = initramfs(bench, plan)

    def measure(listener):
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        p, control = helper(ends[0].fileno(), "mode public\n")
        children, guests = [p], {}
        fd = ends[1].fileno()
        t = {f"{name} {way}": [] for name in ("vmctl-net", "-netdev user") for way in ("down", "up")}
        try:
            for name, words in (("vmctl-net", (f"dgram,id=net,local.type=fd,local.str={fd}", f",host_mtu={MTU}", [fd])),
                                ("-netdev user", ("user,id=net", "", []))):
                children.append(machine(plan, image, *words))
                listener.settimeout(120)
                guest = listener.accept()[0]
                guest.settimeout(None)
                guests[name] = guest.makefile("rw")
            for _ in range(bench.n):
                for name, guest in guests.items():
                    for way in ("down", "up"):
                        t[f"{name} {way}"].append(ask(guest, way, megabytes << 20))
        finally:
            for child in children:
                child.kill()
                child.wait()
        return t
    rows_of(bench, "a machine", in_network(measure, megabytes << 20), "vmctl-net", "-netdev user", megabytes)


def rest(bench):
    """The helper of a sandbox that does nothing."""
    sandbox = namespace.detached(bench, "bwrap", net=())
    pid = next(p for p in namespace.children(namespace.record(bench, sandbox)["keeper"]["pid"])
               if open(f"/proc/{p}/comm").read() == "vmctl-net\n")
    before = lib.wakeups(pid)
    time.sleep(10)
    bench.row("vmctl-net at rest", lib.pss_kib(pid) / 1024, "MiB PSS", target="<= 6")
    bench.row("its wake-ups in 10 s", lib.wakeups(pid) - before, "", target="0")
    bench.vmctl("stop", sandbox, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
