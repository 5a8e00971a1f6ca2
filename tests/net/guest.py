# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl-net without a sandbox: Helper runs it on socket pairs, as the keeper does; Guest speaks to it as a machine
would, frame by frame. For tests that want to send what no kernel would."""
import os
import select
import socket
import struct
import subprocess
import tempfile
import time

ADDRESS, GATEWAY, NAMESERVER = "10.0.2.15", "10.0.2.2", "10.0.2.3"
MAC, GATEWAY_MAC, BROADCAST = bytes.fromhex("525400123456"), bytes.fromhex("52550a000202"), b"\xff" * 6
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SLOW = float(os.environ.get("VM_SLOW") or 1)


class Lost(Exception):
    """Nothing came in time."""


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(payload, kind=0x0800, to=GATEWAY_MAC, source=MAC):
    return to + source + struct.pack(">H", kind) + payload


def ip(payload, protocol, to, source=ADDRESS, ttl=64, identity=0, flags=0, options=b"", length=None, version=4, words=None,
       sum_=None):
    """One packet; what is given instead of computed may be wrong."""
    size = 20 + len(options)
    head = struct.pack(">BBHHHBBH4s4s", version << 4 | (size // 4 if words is None else words), 0,
                       size + len(payload) if length is None else length, identity, flags, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to)) + options
    return head[:10] + struct.pack(">H", checksum(head) if sum_ is None else sum_) + head[12:] + payload


def pseudo(protocol, to, length, source=ADDRESS):
    return socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">BBH", 0, protocol, length)


def tcp(to, source_port, port, sequence, acknowledged, flags, data=b"", window=65535, offset=None, urgent=0, options=b"",
        sum_=None):
    size = 20 + len(options)
    head = struct.pack(">HHIIBBHHH", source_port, port, sequence & 0xffffffff, acknowledged & 0xffffffff,
                       (size // 4 if offset is None else offset) << 4, flags, window, 0, urgent) + options
    if sum_ is None:
        sum_ = checksum(pseudo(6, to, len(head) + len(data)) + head + data)
    return ethernet(ip(head[:16] + struct.pack(">H", sum_) + head[18:] + data, 6, to))


def udp(to, source_port, port, data=b"", length=None, sum_=None, source=ADDRESS):
    length = 8 + len(data) if length is None else length
    head = struct.pack(">HHHH", source_port, port, length, 0)
    if sum_ is None:
        sum_ = checksum(pseudo(17, to, length, source) + head + data) or 0xffff
    return ethernet(ip(head[:6] + struct.pack(">H", sum_) + data, 17, to, source))


def icmp(to, kind, code=0, data=b"\0\1\0\1ping"):
    message = struct.pack(">BBH", kind, code, 0) + data
    return ethernet(ip(message[:2] + struct.pack(">H", checksum(message)) + message[4:], 1, to))


def arp(target, operation=1, sender=ADDRESS, mac=MAC, head=b"\0\1\x08\0\6\4"):
    return ethernet(head + struct.pack(">H", operation) + mac + socket.inet_aton(sender) + b"\0" * 6 + socket.inet_aton(target),
                    0x0806, BROADCAST)


def broadcast(frame):
    return BROADCAST + frame[6:]


def question(name, kind=1, identity=0x1234):
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b"."))
    return struct.pack(">HHHHHH", identity, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


class Packet:
    """What came from the helper, as far as it is understood."""

    def __init__(self, frame):
        self.frame, self.kind = frame, struct.unpack(">H", frame[12:14])[0]
        self.protocol = self.source = self.source_port = self.port = None
        if self.kind == 0x0806:
            self.operation, self.target = struct.unpack(">H", frame[20:22])[0], socket.inet_ntoa(frame[38:42])
        if self.kind != 0x0800:
            return
        size = (frame[14] & 15) * 4
        self.protocol, self.source = frame[23], socket.inet_ntoa(frame[26:30])
        body = frame[14 + size:14 + struct.unpack(">H", frame[16:18])[0]]
        self.body = body
        if self.protocol in (6, 17):
            self.source_port, self.port = struct.unpack(">HH", body[:4])
        if self.protocol == 6:
            self.sequence, self.acknowledged, offset, self.flags, self.window = struct.unpack(">IIBBH", body[4:16])
            self.data = body[(offset >> 4) * 4:]
        if self.protocol == 17:
            self.data = body[8:]


class Helper:
    """The program of $VMCTL_NET, with a policy's text; `policy` None: none yet. `tap`: instead of a pair of sockets."""

    def __init__(self, policy, tap=None):
        self.packets, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in self.packets, theirs:
            s.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)  # SO_SNDBUFFORCE
        if tap is not None:
            theirs = tap
        self.log, self.errors = tempfile.TemporaryFile("a+b"), tempfile.TemporaryFile()
        fds = [theirs.fileno(), control.fileno(), self.log.fileno()]
        words = [w for pair in zip(("--packet", "--control", "--log"), map(str, fds)) for w in pair]
        self.process = subprocess.Popen([os.environ["VMCTL_NET"], *words, "--user", "65534:65534"], pass_fds=fds,
                                        stdin=subprocess.DEVNULL, stderr=self.errors,
                                        env={k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        theirs.close(), control.close()
        self.serial = 0
        self.control.settimeout(30 * SLOW)
        assert self.hear("hello") == "hello 1"
        if policy is not None:
            assert self.set(policy).endswith(" ok"), policy

    def hear(self, word):
        """The next message that begins with it; others are thrown away."""
        while True:
            text = self.control.recv(1 << 17).decode("latin-1")
            if not text:
                raise Lost("the helper has ended: " + self.said())
            if text.split()[0] == word:
                return text

    def set(self, policy):
        self.serial += 1
        self.control.send(b"policy %d\n" % self.serial + policy.encode())
        while (answer := self.hear("policy")).split()[1] not in (str(self.serial), "0"):
            pass
        return answer

    def stats(self):
        self.control.send(b"stats")
        return {k: int(v) for k, v in (word.split("=") for word in self.hear("stats").split()[1:])}

    def alive(self):
        return self.process.poll() is None

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode("latin-1")[-4000:]

    def logged(self):
        return os.pread(self.log.fileno(), 1 << 21, 0).decode("latin-1")

    def memory(self):
        """KiB, resident"""
        with open("/proc/%d/status" % self.process.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def is_sanitized(self):
        """What it needs then says nothing."""
        with open("/proc/%d/maps" % self.process.pid) as f:
            return "libasan" in f.read()

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def cpu(self):
        """Seconds"""
        with open("/proc/%d/stat" % self.process.pid) as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Guest:
    def __init__(self, helper):
        self.helper, self.link, self.streams, self.next_port = helper, helper.packets, {}, 30000
        self.sent, self.keep = [], False  # sound frames, to make worse ones of

    def send(self, *frames):
        for frame in frames:
            if self.keep:
                self.sent.append(frame)
            self.put(frame)

    def put(self, frame):
        """The helper may be slow; what it answers meanwhile is read, lest both wait."""
        while True:
            try:
                self.link.send(frame, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                self.take(0)
                select.select([], [self.link], [], 0.05)
            except (BrokenPipeError, ConnectionError):
                raise Lost("the helper has ended: " + self.helper.said())

    def take(self, patience):
        """One packet, which a stream may have got already; None: none came."""
        if not select.select([self.link], [], [], patience)[0]:
            return None
        frame = self.link.recv(1 << 17)
        if len(frame) < 14:
            raise Lost("a frame of %d bytes" % len(frame))
        packet = Packet(frame)
        if packet.kind == 0x0806 and packet.operation == 1 and packet.target == ADDRESS:
            self.put(arp(socket.inet_ntoa(frame[28:32]), 2))
        if packet.protocol == 6 and packet.port in self.streams:
            self.streams[packet.port].got(packet)
        return packet

    def drain(self):
        while self.take(0) is not None:
            pass

    def wait(self, good, patience=20, again=None):
        """Until good(packet) is true; `again` is sent each half a second."""
        end = time.monotonic() + patience * SLOW
        while True:
            packet = self.take(0.5)
            if packet is not None and good(packet):
                return packet
            if time.monotonic() > end:
                raise Lost("no answer")
            if packet is None and again is not None:
                self.put(again)

    def port(self):
        self.next_port = self.next_port + 1 if self.next_port < 59999 else 30000
        return self.next_port

    def meet(self):
        """So that the helper knows where we are."""
        self.send(arp(GATEWAY))
        self.wait(lambda p: p.kind == 0x0806 and p.operation == 2, again=arp(GATEWAY))

    def resolve(self, name, patience=20):
        """The code and the addresses."""
        port = self.port()
        frame = udp(NAMESERVER, port, 53, question(name, identity=port))
        self.send(frame)
        p = self.wait(lambda p: p.protocol == 17 and p.port == port and p.source_port == 53, patience, frame)
        found, at = [], 12 + len(name) + 2 + 4
        for _ in range(struct.unpack(">H", p.data[6:8])[0]):
            while p.data[at] and not p.data[at] & 0xc0:
                at += 1 + p.data[at]
            at += 2 if p.data[at] else 1
            kind, _, _, size = struct.unpack(">HHIH", p.data[at:at + 10])
            if kind == 1:
                found.append(socket.inet_ntoa(p.data[at + 10:at + 14]))
            at += 10 + size
        return p.data[3] & 15, found

    def connect(self, to, port, patience=20):
        stream = Stream(self, to, port)
        stream.open(patience)
        return stream

    def fetch(self, to, port, request):
        stream = self.connect(to, port)
        stream.write(request)
        return stream.rest()

    def refuses(self, frame, good):
        """Is it answered by one that says no, at once: before what is asked behind it?"""
        said = []

        def seen(packet):
            said.append(good(packet))
            return packet.kind == 0x0806 and packet.operation == 2
        self.drain()
        self.put(frame)
        self.put(arp(NAMESERVER))
        self.wait(seen)
        return any(said)


class Reset(Lost):
    """The stream was cut."""


class Stream:
    """TCP, good enough for a link that loses little."""

    def __init__(self, guest, to, port):
        self.guest, self.to, self.to_port, self.port = guest, to, port, guest.port()
        self.sequence, self.expected, self.window = 1000, 0, 65535
        self.unacknowledged, self.data = [], b""
        self.is_open = self.reset = self.ended = False
        guest.streams[self.port] = self

    def frame(self, flags, data=b"", sequence=None, **more):
        return tcp(self.to, self.port, self.to_port, self.sequence if sequence is None else sequence, self.expected, flags, data,
                   self.window, **more)

    def got(self, p):
        if p.source != self.to or p.source_port != self.to_port:
            return
        if p.flags & RST:
            self.reset = True
            return
        if p.flags & SYN:
            self.expected, self.is_open = p.sequence + 1, True
            self.sequence = p.acknowledged
            self.guest.send(self.frame(ACK))
            return
        self.unacknowledged = [(end, frame) for end, frame in self.unacknowledged if 0 < (end - p.acknowledged) & 0xffffffff < 1 << 31]
        before = self.expected
        if p.sequence == self.expected & 0xffffffff and self.window:
            self.data += p.data
            self.expected += len(p.data) + (1 if p.flags & FIN else 0)
            self.ended = bool(p.flags & FIN)
        if self.expected != before or p.data:
            self.guest.put(self.frame(ACK))

    def until(self, good, patience=20):
        end = time.monotonic() + patience * SLOW
        while not good():
            if self.reset:
                raise Reset
            if self.ended or time.monotonic() > end:
                raise Lost("no more data")
            if self.guest.take(0.3) is None:
                for _, frame in self.unacknowledged[:1]:
                    self.guest.put(frame)

    def open(self, patience):
        syn = self.frame(SYN, options=b"\2\4\x05\xb4")
        self.unacknowledged.append((self.sequence, syn))
        self.guest.send(syn)
        self.until(lambda: self.is_open, patience)
        self.unacknowledged.clear()

    def write(self, data):
        frame = self.frame(ACK | PSH, data)
        self.sequence += len(data)
        self.unacknowledged.append((self.sequence, frame))
        self.guest.send(frame)

    def read(self, size, patience=20):
        self.until(lambda: len(self.data) >= size, patience)
        data, self.data = self.data[:size], self.data[size:]
        return data

    def rest(self, patience=20):
        """To the end, or until it is cut."""
        try:
            self.until(lambda: self.ended, patience)
        except Reset:
            return b"cut after: " + self.data
        return self.data

    def is_cut(self):
        """By what has come until now."""
        self.guest.drain()
        return self.reset

    def close(self):
        self.guest.put(self.frame(RST))
        self.guest.streams.pop(self.port, None)
