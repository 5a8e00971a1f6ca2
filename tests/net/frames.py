#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl-net by itself, in the network of world.py: frames that no sound machine sends, thousands of them, the same ones
each time ($SEED says which); floods; and policies that come before, between and after. After each batch a flow that is
allowed must work, new and old, by the same process. frames.py [NAME...]: only these.

Its program is $VMCTL_NET, which may be one with sanitizers."""
import fcntl
import os
import random
import struct
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True

from guest import (ACK, ADDRESS, FIN, GATEWAY, MAC, NAMESERVER, RST, SLOW, SYN, URG, Guest, Helper, Lost, Reset, Stream, arp, broadcast, checksum,  # noqa: E402
                   ethernet, icmp, ip, question, tcp, udp)

PUBLIC, OTHER, HOLE = "198.51.100.10", "198.51.100.11", "198.51.99.1"
HEAD = "vmctl-net-policy 2\n"
RESOLVER = "nameserver 127.0.0.53\n"
LIST = (HEAD + "mode list\n" + RESOLVER + "allow name public.test any 0-0 public.test\n"
        "allow name *.rate.test any 0-0 *.rate.test\nallow name *.garbage.test any 0-0 *.garbage.test\nallow net 198.51.99.0/24 any 0-0 the hole\n"
        "allow net 198.51.100.14/32 udp 0-0 udp\n")
OPEN = HEAD + "mode public\n" + RESOLVER
R = random.Random(int(os.environ.get("SEED", "6")))
count = failed = 0


def check(good, what, *notes):
    global count, failed
    count += 1
    print("%s %d - %s" % ("ok" if good else "not ok", count, what), flush=True)
    if not good:
        failed += 1
        for note in notes:
            print("#   " + str(note).replace("\n", "\n#   "), flush=True)


def log_of_questions():
    with open(os.environ["WORLD"] + "/dns.log") as f:
        return f.read()


class Bench:
    """A helper, somebody behind it, and a connection that must stay."""

    def __init__(self, policy=LIST):
        self.helper = Helper(policy)
        self.guest = Guest(self.helper)
        self.guest.meet()
        self.n = 0
        self.guest.resolve("public.test")
        self.old = self.guest.connect(PUBLIC, 7777)

    def echo(self):
        self.n += 1
        word = b"echo %06d\n" % self.n
        self.old.write(word)
        return self.old.read(len(word), 20) == word

    def name(self):
        """REFUSED is what is said to who asks too often."""
        end = time.monotonic() + 20 * SLOW
        while (said := self.guest.resolve("public.test", 20))[0] == 5 and time.monotonic() < end:
            self.guest.take(0.2)
        return said

    def works(self, what, old=True):
        """A name, a new connection and an old one; one line of TAP."""
        try:
            self.guest.drain()
            self.guest.meet()
            said = self.name()
            assert said == (0, [PUBLIC]), said
            said = self.guest.fetch(PUBLIC, 80, b"GET / HTTP/1.0\r\nHost: public.test\r\n\r\n")
            assert said.endswith(b"I am 198.51.100.10\n"), said
            assert not old or self.echo(), "the old connection"
            assert self.helper.alive(), "another process"
            check(True, what)
        except (AssertionError, Lost, OSError) as e:
            check(False, what, type(e).__name__, e, self.helper.said())

    def is_small(self, limit):
        """MiB"""
        check(self.helper.is_sanitized() or self.helper.memory() < limit << 10, "its memory is bounded", "%d KiB" % self.helper.memory())

    def stop(self):
        self.helper.stop()


# What is malformed

def noise(n):
    return R.randbytes(n)


def runts():
    for length in range(1, 61):
        yield noise(length)
        yield (ethernet(noise(60), R.choice((0x0800, 0x0806, 0x86dd, 0x8100)))[:length])
        yield udp(NAMESERVER, 4000, 53, question("public.test"))[:length]
        yield tcp(PUBLIC, 4000, 80, 1, 0, SYN)[:length]
        yield arp(GATEWAY)[:length]


def jumbos():
    for length in (65507, 65520, 65534, 65535, 65536, 70000, 100000):
        yield ethernet(noise(length))
        yield udp(PUBLIC, 4000, 7777, b"")[:42] + noise(length)
        yield ethernet(ip(noise(length - 20), 17, PUBLIC, length=min(length, 65535)))
        yield ethernet(noise(length), 0x0806)


def headers():
    """Everything of an IP header that can be wrong."""
    for protocol in (1, 6, 17):
        body = {1: b"\x08\0\xf7\xff\0\0\0\0", 6: tcp(PUBLIC, 4001, 80, 1, 0, SYN)[34:], 17: udp(PUBLIC, 4001, 7777, b"x")[34:]}[protocol]
        for version in range(16):
            yield ethernet(ip(body, protocol, PUBLIC, version=version))
        for words in range(16):
            yield ethernet(ip(body, protocol, PUBLIC, words=words))
        for length in (0, 1, 19, 20, 21, 27, 28, 39, 40, 41, 1500, 65535):
            yield ethernet(ip(body, protocol, PUBLIC, length=length))
        for flags in (0x2000, 0x2001, 0x0001, 0x1fff, 0x3fff, 0x8000, 0x4001):
            for identity in range(20):
                yield ethernet(ip(body + noise(identity * 8), protocol, PUBLIC, flags=flags, identity=identity))
        for options in (b"\0" * 4, b"\1" * 40, b"\x07\x27\x04" + bytes(37), b"\x83\0\4\0", b"\x83\x03\x04\1", b"\x44\xff\5\0",
                        b"\x89\x07\x04" + bytes(5)):
            yield ethernet(ip(body, protocol, PUBLIC, options=options))
        for source in ("0.0.0.0", "127.0.0.1", "255.255.255.255", GATEWAY, NAMESERVER, PUBLIC, "224.0.0.1"):
            yield ethernet(ip(body, protocol, PUBLIC, source=source))
        yield ethernet(ip(body, protocol, PUBLIC, sum_=0))
        yield ethernet(ip(body, protocol, PUBLIC, ttl=0))
        yield ethernet(ip(body[:4], protocol, PUBLIC))


def segments(stream):
    """TCP into a connection that there is, and to where there is none."""
    for offset in range(16):
        if offset != 5:
            yield stream.frame(ACK, b"data", offset=offset)
        yield tcp(PUBLIC, 4002, 80, 1, 0, SYN, offset=offset)
    for options in (b"\2\0\0\0", b"\2\1\0\0", b"\2\xff\0\0", b"\3\3\xff\0", b"\x08\x0a" + bytes(2), b"\1" * 40, b"\2\4\0\0", b"\2\4\0\1",
                    b"\5\xff" + bytes(38)):
        yield tcp(PUBLIC, 4003, 80, 1, 0, SYN, options=options)
        yield stream.frame(ACK, options=options)
    for flags in range(256):
        yield tcp(PUBLIC, 4100 + flags, 80, R.getrandbits(32), R.getrandbits(32), flags, noise(flags % 32))
    for _ in range(300):  # far away in its sequence; a SYN alone would begin another connection of the same ports
        yield stream.frame(R.choice((ACK, ACK | URG, SYN | ACK, SYN | FIN, FIN | ACK)), noise(R.randrange(200)),
                           stream.sequence + R.randrange(1 << 30, 1 << 31), urgent=R.getrandbits(16))
    for port in (0, 1, 53, 69, 80, 65535):
        for to in (PUBLIC, GATEWAY, NAMESERVER, ADDRESS, "10.0.2.255", "255.255.255.255", "0.0.0.0", "224.0.0.1"):
            yield tcp(to, 4004, port, 1, 0, SYN)
            yield tcp(to, 0, port, 1, 0, SYN)
    yield tcp(PUBLIC, 4005, 80, 1, 0, SYN, sum_=0)


def urgent(guest):
    """Urgent bytes where they may be: each in a connection of its own (libslirp emulates them)."""
    for pointer in (0, 1, 2, 5, 100, 65535):
        for data in (b"", b"x", b"urgent data"):
            stream = guest.connect(PUBLIC, 7777)
            yield stream.frame(ACK | URG, data, urgent=pointer)
            yield stream.frame(ACK | URG | FIN, b"y", stream.sequence + len(data), urgent=pointer)
            stream.close()


def datagrams():
    for length in (0, 1, 7, 8, 9, 20, 1000, 65535):
        yield udp(PUBLIC, 4006, 7777, b"data", length=length)
        yield udp(NAMESERVER, 4006, 53, question("public.test"), length=length)
    for port in (0, 1, 53, 67, 68, 69, 65535):
        for to in (PUBLIC, GATEWAY, NAMESERVER, ADDRESS, "10.0.2.4", "10.0.2.255", "255.255.255.255", "224.0.0.251"):
            for data in (b"", b"x", noise(300), noise(1400)):
                yield udp(to, 4007, port, data)
                yield udp(to, 0, port, data)
    yield udp(PUBLIC, 4006, 7777, b"data", sum_=1)
    for data in (b"\0\1/etc/passwd\0octet\0", b"\0\1" + b"A" * 1400, b"\0\1", b"\0\1x", b"\0\1x\0octet\0blksize\0" + b"9" * 400 + b"\0",
                 b"\0\4\0\1", b"\0\2x\0netascii\0", b"\0\5\0\0no\0"):
        for to in (GATEWAY, "10.0.2.4", "255.255.255.255"):
            yield udp(to, 4008, 69, data)


def dhcp(options, operation=1, hardware=b"\1\6", cookie=b"\x63\x82\x53\x63"):
    body = bytes([operation]) + hardware + noise(5) + bytes(20) + noise(16) + bytes(192) + cookie + options
    return broadcast(udp("255.255.255.255", 68, 67, body, source="0.0.0.0"))


def bootp():
    for kind in range(16):
        yield dhcp(bytes([53, 1, kind, 255]))
    for options in (b"", b"\xff", b"\x35", b"\x35\xff", b"\x35\0", b"\x35\1", b"\x32\4" + b"\xff" * 4 + b"\x35\1\3", b"\xfe\xff" * 100,
                    b"\x0c\xff" + b"A" * 255 + b"\x35\1\1\xff", noise(300), noise(1200), b"\0" * 500 + b"\x35\1\1\xff"):
        yield dhcp(options)
        yield dhcp(options, cookie=noise(4))
        yield dhcp(options, operation=2)
        yield dhcp(options, hardware=noise(2))
    for i in range(600):  # more machines than there are addresses
        yield dhcp(bytes([53, 1, 1 + 2 * (i % 2), 255])).replace(b"RT\0\x124V", b"RT" + struct.pack(">I", i), 1)


def arps():
    for operation in (0, 1, 2, 3, 8, 65535):
        for target in (GATEWAY, NAMESERVER, ADDRESS, "10.0.2.4", "10.0.2.255", "0.0.0.0", "255.255.255.255", PUBLIC):
            yield arp(target, operation)
            yield arp(target, operation, sender="0.0.0.0")
    for head in (b"\0\0\x08\0\6\4", b"\0\1\x86\xdd\6\4", b"\0\1\x08\0\xff\xff", b"\0\1\x08\0\0\0", b"\0\1\x08\0\6\x10"):
        yield arp(GATEWAY, head=head)
    for i in range(2000):
        yield arp(GATEWAY, R.choice((1, 2)), sender="10.0.2.%d" % R.choice((1, 2, 3, 4, i % 256)), mac=noise(6))


def icmps():
    for kind in range(256):
        for code in (0, 1, 3, 4, 255):
            yield icmp(GATEWAY, kind, code, b"\0\0\0\0" + noise(32))
    for size in (0, 1, 3, 4, 1400, 9000, 65000):
        yield icmp(GATEWAY, 8, data=noise(size))
        yield icmp(PUBLIC, 8, data=noise(size))
    for to in ("255.255.255.255", "224.0.0.1", PUBLIC):
        yield broadcast(icmp(to, 8))


def ipv6(payload, following, to="ff020000000000000000000000000002", source="fe800000000000005054000000123456"[:32], length=None):
    return ethernet(b"\x60\0\0\0" + struct.pack(">HBB", len(payload) if length is None else length, following, 255)
                    + bytes.fromhex(source) + bytes.fromhex(to) + payload, 0x86dd, b"\x33\x33\0\0\0\2")


def neighbours():
    options = (b"", b"\1\1" + bytes(6), b"\1\0" + bytes(6), b"\3\4" + bytes(30), b"\5\1\0\0\0\0\0\1", b"\x18\xff" + bytes(30), noise(40))
    for kind in list(range(128, 138)) + [0, 1, 143, 255]:
        for option in options:
            yield ipv6(bytes([kind, 0]) + noise(2) + bytes(20) + option, 58)
            yield ipv6(bytes([kind, 0]) + noise(2), 58, length=R.choice((0, 1, 4, 2000, 65535)))
    for following in (0, 6, 17, 43, 44, 50, 51, 59, 60, 135, 255):
        for to in ("20010db8000000000000000000000010", "00000000000000000000ffffc633640a", "0064ff9b000000000000000a09090909"[:32],
                   "fec00000000000000000000000000002", "00000000000000000000000000000001"):
            yield ipv6(noise(R.randrange(100)), following, to=to)
            yield ipv6(b"\x3b\0" + noise(6), following, to=to)
    for i in range(500):
        yield ipv6(b"\x87\0" + noise(2) + bytes(4) + noise(16) + b"\1\1" + noise(6), 58)


def kinds():
    for kind in (0, 1, 46, 60, 1500, 0x0800, 0x0805, 0x0835, 0x8035, 0x8100, 0x86dd, 0x8863, 0x8864, 0x88a8, 0x88cc, 0x88f8, 0x9000, 0xffff):
        for size in (0, 1, 28, 46, 300):
            yield ethernet(noise(size), kind)
            yield ethernet(udp(PUBLIC, 4009, 7777, b"x")[14:], kind)
            yield ethernet(b"\0\1\x08\0" + udp(PUBLIC, 4009, 7777, b"x")[14:], kind)  # a VLAN's tag
    for protocol in range(256):
        yield ethernet(ip(noise(R.randrange(64)), protocol, PUBLIC))
    for _ in range(300):  # libslirp knows NC-SI
        yield ethernet(noise(R.randrange(64)), 0x88f8)


def questions():
    sound = question("public.test")
    for i in range(len(sound)):
        yield udp(NAMESERVER, 4010, 53, sound[:i])
    head = sound[:12]
    for name in (b"\xc0\x0c", b"\xc0\x0c\xc0\x0c", b"\xc0\xff", b"\x3f" + b"a" * 62, b"\x40" + b"a" * 64 + b"\0", b"\x80\0",
                 (b"\x3f" + b"a" * 63) * 4 + b"\0", b"\1a" * 127 + b"\0", b"\1a" * 200 + b"\0", b"\6pub\0ic\4test\0", b"\0", b"\1.\0",
                 b"\6PUBLIC\4TEST\0", b"\4\xff\xfe\xfd\xfc\0", b"\1a\xc0\x0c"):
        yield udp(NAMESERVER, 4010, 53, head + name + b"\0\1\0\1")
        yield udp(NAMESERVER, 4010, 53, head + name)
    for counts in (b"\0\0\0\0\0\0\0\0", b"\xff\xff\0\0\0\0\0\0", b"\0\2\0\0\0\0\0\0", b"\0\1\xff\xff\xff\xff\xff\xff", b"\0\1\0\0\0\0\0\1"):
        yield udp(NAMESERVER, 4010, 53, sound[:4] + counts + sound[12:])
        yield udp(NAMESERVER, 4010, 53, sound[:4] + counts + sound[12:] + noise(30))
    for flags in (0x8180, 0x0000, 0x7800, 0x2800, 0xffff, 0x0200):
        yield udp(NAMESERVER, 4010, 53, sound[:2] + struct.pack(">H", flags) + sound[4:])
    for edns in (b"\0\0\x29\0\0\0\0\0\0\0\0", b"\0\0\x29\xff\xff\0\xff\0\0\0\0", b"\0\0\x29\x10\0\0\0\0\0\xff\xff", b"\0\0\x29",
                 b"\0\0\x29\x10\0\0\0\0\0\0\4\0\x0a\xff\xff"):
        yield udp(NAMESERVER, 4010, 53, sound[:10] + b"\0\1" + sound[12:] + edns)
    for kind in (0, 2, 5, 6, 12, 16, 28, 33, 41, 65, 249, 250, 251, 252, 255, 65535):
        yield udp(NAMESERVER, 4010, 53, question("public.test", kind))
    for size in (0, 1, 11, 12, 13, 512, 4096, 60000):
        yield udp(NAMESERVER, 4010, 53, noise(size))


def tcp_questions(guest):
    """Lengths that lie, many in one segment, one in many segments."""
    sound = question("public.test")
    for data in (b"\0\0", b"\0\1x", b"\xff\xff" + sound, b"\0\x0b" + sound[:11], struct.pack(">H", len(sound)) + sound[:5],
                 (struct.pack(">H", len(sound)) + sound) * 300, noise(1000), b"\0"):
        stream = guest.connect(NAMESERVER, 53)
        stream.write(data)
        guest.take(0.01)
        stream.close()
    for _ in range(60):  # more than there are slots
        guest.connect(NAMESERVER, 53)
    for port in list(guest.streams)[-60:]:
        guest.streams[port].close()
    return ()


def mend(frame):
    """Right sums for a frame that was changed, so that it comes further."""
    b = bytearray(frame)
    if len(b) < 34 or b[12:14] != b"\x08\0":
        return frame
    size = max(20, (b[14] & 15) * 4)
    b[24:26] = b"\0\0"
    b[24:26] = struct.pack(">H", checksum(bytes(b[14:14 + size])))
    at = {6: 16, 17: 6, 1: 2}.get(b[23])
    start = 14 + size
    if at is not None and len(b) >= start + at + 2:
        b[start + at:start + at + 2] = b"\0\0"
        head = b"" if b[23] == 1 else bytes(b[26:34]) + struct.pack(">BBH", 0, b[23], len(b) - start)
        b[start + at:start + at + 2] = struct.pack(">H", checksum(head + bytes(b[start:])))
    return bytes(b)


def mutants(sound, n, spared):
    """Sound frames with some bytes changed, cut or made longer; not those of the connection that must stay, which a reset
    within its window would end rightly."""
    sound = [f for f in sound if not (len(f) > 38 and f[23] == 6 and struct.unpack(">H", f[34:36])[0] == spared)]
    for i in range(n):
        b = bytearray(R.choice(sound))
        for _ in range(R.choice((1, 1, 2, 4, 16))):
            b[R.randrange(len(b))] = R.choice((0, 1, 0x7f, 0x80, 0xff, R.randrange(256)))
        if i % 5 == 0:
            b = b[:R.randrange(1, len(b) + 1)]
        if i % 7 == 0:
            b += noise(R.randrange(1500))
        frame = bytes(b) if i % 3 else mend(bytes(b))
        if not (len(frame) > 38 and frame[34:36] == struct.pack(">H", spared)):
            yield frame


def malformed():
    bench = Bench()
    bench.guest.keep = True
    bench.works("an allowed flow, before anything else")
    bench.guest.keep = False
    batches = [
        ("runts", runts()), ("jumbo frames", jumbos()), ("IP headers, fragments, options", headers()), ("TCP segments", segments(bench.old)),
        ("urgent pointers", urgent(bench.guest)), ("UDP datagrams, TFTP", datagrams()), ("BOOTP and a flood of DHCP", bootp()),
        ("a flood of ARP", arps()), ("ICMP", icmps()), ("IPv6 and a flood of NDP", neighbours()),
        ("ethernet types and IP protocols", kinds()), ("questions by UDP", questions()), ("questions by TCP", tcp_questions(bench.guest)),
    ] + [("4000 mutants (%d)" % i, mutants(bench.guest.sent, 4000, bench.old.port)) for i in range(4)]
    for what, frames in batches:
        n = 0
        try:
            for frame in frames:
                bench.guest.put(frame)
                n += 1
        except (Lost, OSError) as e:
            check(False, what + ": the helper takes them", type(e).__name__, e, bench.helper.said())
            bench.stop()
            bench = Bench()
        bench.works("after %s: an allowed flow works, new and old" % what)
    bench.is_small(64)
    bench.stop()


# Refusals

def refusals():
    """At once, each in its own way; and of what is nobody's, nothing comes."""
    bench = Bench()
    g = bench.guest

    def reset(p):
        return p.protocol == 6 and p.flags & RST

    def unreachable(p):
        return p.protocol == 1 and p.body[0] == 3
    tries = [("TCP to " + to, tcp(to, 5000 + i, 80, 1, 0, SYN), reset)
             for i, to in enumerate((OTHER, "10.9.9.9", "169.254.169.254", GATEWAY, "10.0.2.4", "203.0.113.7", "100.64.1.1"))]
    tries += [("UDP to " + to, udp(to, 5100, port, b"x"), unreachable)
              for to, port in ((OTHER, 7777), ("10.9.9.9", 7777), (PUBLIC, 443), (OTHER, 53), (PUBLIC, 853), (GATEWAY, 7777))]
    tries += [("a ping of " + to, icmp(to, 8), unreachable) for to in ("10.9.9.9", OTHER)]
    tries += [("IP protocol %d" % n, ethernet(ip(b"12345678", n, PUBLIC)), unreachable) for n in (47, 132, 2, 50)]
    for what, frame, good in tries:
        try:
            check(g.refuses(frame, good), "%s is refused at once" % what, bench.helper.logged()[-500:])
        except Lost as e:
            check(False, "%s is refused at once" % what, e, bench.helper.logged()[-500:])
        g.drain()
    bench.works("after refusals an allowed flow works")
    log = bench.helper.logged()
    check(" refuse tcp - 169.254.169.254 80 cloud metadata" in log, "the log says why", log)
    check(" refuse tcp - 198.51.100.11 80 not on the list" in log, "and that a list does not have it", log)
    check(" allow tcp public.test 198.51.100.10 80 public.test" in log, "and what was allowed, by which rule", log)
    bench.stop()


# Inspection: what the server reads must be what was judged, whatever order, overlap or flags it came in.

RAW = "198.51.100.16"
SOUND, EVIL = b"SSH-2.0-test\r\n", b"EVIL-EVIL-EVIL\r\n"


def log_of_bytes():
    with open(os.environ["WORLD"] + "/raw.log") as f:
        return [line.split()[2] for line in f if line.startswith(RAW + " 443 ")]


def tricks():
    """NAME, and what sends it on a stream that is open; may wait."""
    def overlap(s):  # other bytes for what is held
        yield s.frame(ACK, SOUND[:4])
        yield s.frame(ACK, EVIL)
        yield s.frame(ACK, SOUND[4:], s.sequence + 4)

    def overlap_after(s):  # ... for what has just been let through
        yield s.frame(ACK, SOUND)
        yield s.frame(ACK, EVIL)
        yield s.frame(ACK, EVIL, s.sequence + 4)

    def ahead(s):  # what comes first in time is not what comes first
        yield s.frame(ACK, EVIL, s.sequence + len(SOUND))
        yield s.frame(ACK, EVIL, s.sequence + 4)
        yield s.frame(ACK, SOUND)

    def before(s):  # a segment that begins in the past
        yield s.frame(ACK, b"XXXX" + EVIL, s.sequence - 4)
        yield s.frame(ACK, b"X" + SOUND, s.sequence - 1)
        yield s.frame(ACK, SOUND)

    def urgent_byte(s):
        for at in 1, 4, len(SOUND):
            yield s.frame(ACK | URG, SOUND, urgent=at)
        yield s.frame(ACK, SOUND)

    def with_fin(s):
        yield s.frame(ACK | FIN, EVIL)

    def with_syn(s):
        yield s.frame(SYN | ACK, EVIL)
        yield s.frame(SYN, EVIL, s.sequence - 1)

    def bad_sums(s):
        yield s.frame(ACK, EVIL, sum_=0x1234)
        yield s.frame(ACK, SOUND)

    def bad_sums_of_sound(s):
        yield s.frame(ACK, SOUND, sum_=0x1234)
        for _ in range(3):
            yield s.frame(ACK, EVIL)

    def bad_offset(s):  # options that are none
        yield s.frame(ACK, SOUND + EVIL, offset=8)
        yield s.frame(ACK, EVIL)

    def end(s):
        yield s.frame(FIN | ACK)
        yield s.frame(ACK, EVIL)
        yield s.frame(ACK, EVIL, s.sequence + 1)

    def far(s):
        for i in range(0, 60000, 1000):
            yield s.frame(ACK, EVIL, s.sequence + i + 1)
        yield s.frame(ACK, SOUND)
    return [overlap, overlap_after, ahead, before, urgent_byte, with_fin, with_syn, bad_sums, bad_sums_of_sound, bad_offset, end,
            far]


def inspection():
    bench = Bench(LIST + "allow name raw.test any 0-0 raw.test\n")
    g = bench.guest
    g.resolve("raw.test")
    for trick in tricks():
        seen = log_of_bytes()
        stream = g.connect(RAW, 443)
        for frame in trick(stream):
            g.put(frame)
            bench.helper.stats()
            g.drain()
        see(bench, stream, seen, trick.__name__)
    seen = log_of_bytes()
    stream = Stream(g, RAW, 443)  # data with the SYN
    g.send(stream.frame(SYN, EVIL))
    g.wait(lambda p: p.protocol == 6 and p.port == stream.port, again=stream.frame(SYN, EVIL))
    g.put(stream.frame(ACK, SOUND))
    see(bench, stream, seen, "data with the SYN")
    bench.works("after tricks an allowed flow works")
    bench.stop()


def see(bench, stream, seen, what):
    """The connection ends; then the server says what it got."""
    bench.helper.stats()
    bench.guest.drain()
    stream.close()
    end = time.monotonic() + 20 * SLOW
    while len(log_of_bytes()) == len(seen) and time.monotonic() < end:
        bench.guest.take(0.05)
    got = [bytes.fromhex(h.replace("-", "")) for h in log_of_bytes()[len(seen):]]
    check(got and all(SOUND.startswith(b[:len(SOUND)]) for b in got), "the server reads what was judged: " + what, got)


# Policies

def policies():
    helper = Helper(None)
    guest = Guest(helper)
    guest.put(arp(GATEWAY))
    guest.put(tcp(PUBLIC, 5000, 80, 1, 0, SYN))
    helper.stats()
    check(guest.take(0) is None, "before a policy no frame is answered")
    for text in ("", "vmctl-net-policy 1\nmode public\n", HEAD + "mode public", HEAD + "mode everything\n", HEAD + "mode public\nallow\n",
                 HEAD + "mode list\nallow net 0.0.0.0/0 any 0-0\n", HEAD + "mode public\nmode list\nx\n", "x" * 200000):
        try:
            answer = helper.set(text)
        except OSError:
            continue  # larger than the socket takes
        check(" bad " in answer, "no policy: %r" % text[:60], answer)
    helper.stats()
    check(guest.take(0) is None, "then still none is")
    check(helper.set(LIST).endswith(" ok"), "a sound one is taken")
    guest.meet()
    code, _ = guest.resolve("nosuch.example")
    check(code == 3, "and counts", code)
    check(" bad " in helper.set(HEAD + "mode public\nallow name x any\n"), "a bad one is refused")
    code, _ = guest.resolve("nosuch.example")
    check(code == 3 and guest.resolve("public.test") == (0, [PUBLIC]), "and the one before stays", code)
    helper.stop()
    changes()


def changes():
    bench = Bench(OPEN)
    g = bench.guest
    other = g.connect(OTHER, 7777)
    other.write(b"x\n")
    other.read(2)
    port = g.port()
    g.send(udp(OTHER, port, 7777, b"one"))
    g.wait(lambda p: p.protocol == 17 and p.port == port and p.data == b"one", again=udp(OTHER, port, 7777, b"one"))
    bench.helper.set(LIST)
    check(other.is_cut(), "a connection that is no longer allowed is cut at once")
    check(bench.echo(), "one that is goes on")
    check(g.refuses(udp(OTHER, port, 7777, b"two"), lambda p: p.protocol == 1), "so is a flow of UDP")
    check("udp" in bench.helper.logged().split("refuse", 1)[-1], "and that is refused", bench.helper.logged())
    bench.helper.set(LIST + "deny name public.test any 0-0 deny:public.test\n")
    check(bench.old.is_cut(), "deny cuts what allow allows")
    check(g.resolve("public.test")[0] == 3, "and its name is not told any more")
    bench.helper.set(LIST)
    bench.old = g.connect(PUBLIC, 7777)
    bench.works("with the old policy all is as before")
    bench.stop()


def host_ports():
    """Ports of this host's loopback that come and go while it runs. The library is made anew for the first."""
    bench = Bench()
    g = bench.guest

    def is_open(to, port):
        try:
            return g.fetch(to, port, b"GET / HTTP/1.0\r\n\r\n").endswith(b"I am 127.0.0.1\n")
        except Reset:
            return False
    check(not is_open(GATEWAY, 8080), "without ports of this host its loopback is closed")
    half = tcp(HOLE, 9000, 80, 1, 0, SYN)
    g.put(half)
    bench.helper.set(LIST + "hostport 8080\n")
    check(bench.old.is_cut(), "the first that comes cuts what is open")
    check(is_open(GATEWAY, 8080), "and then it is open")
    tries = (GATEWAY, 8082), ("127.0.0.1", 8080), ("10.0.2.4", 8080), ("10.0.2.15", 8080), (NAMESERVER, 8080)
    check(not any(is_open(*pair) for pair in tries), "and nothing else is")
    bench.old = g.connect(PUBLIC, 7777)
    bench.helper.set(LIST + "hostport 8082\n")
    check(bench.echo() and not is_open(GATEWAY, 8080), "another one in its place cuts nothing else")
    bench.helper.set(LIST)
    check(bench.echo() and not is_open(GATEWAY, 8082), "without any it is closed again")
    bench.works("and an allowed flow works")
    bench.stop()


def sizes():
    """With segments of half a window Linux and the library wait for each other, for five seconds or ten."""
    bench, found = Bench(), []
    stream = bench.guest.connect(PUBLIC, 80)
    got = stream.got

    def see(p):
        found.append(len(p.data))
        got(p)
    stream.got = see
    stream.write(b"GET /big HTTP/1.0\r\nHost: public.test\r\n\r\n")
    stream.read(1 << 20, 20)
    check(16384 <= max(found) <= 65480 / 3, "no segment to the sandbox is larger than a third of a window", max(found))
    stream.close()
    bench.works("and an allowed flow works")
    bench.stop()


# Floods

def half_open():
    bench = Bench()
    g = bench.guest
    before = bench.helper.descriptors()
    for i in range(10000):
        g.put(tcp(HOLE, 10000 + i % 50000, 1 + i % 60000, i, 0, SYN))
        if i % 1000 == 0:
            check(bench.echo(), "an old connection goes on beside %d half open ones" % i)
    stats = bench.helper.stats()
    bench.works("with 10000 half open connections an allowed flow works, new and old")
    check(stats["half_open"] <= 128, "so many are held", stats)
    check(bench.helper.descriptors() < 1000, "and so many descriptors", before, bench.helper.descriptors())
    for i in range(10000):
        g.put(tcp(R.choice((HOLE, PUBLIC)), 10000 + i % 50000, R.choice((80, 1 + i % 60000)), R.getrandbits(32), R.getrandbits(32),
                  R.choice((RST, RST | ACK, FIN | ACK, SYN | ACK, ACK))))
    bench.works("after a storm of resets, too")
    bench.stop()


def udp_flows():
    bench = Bench()
    g = bench.guest
    for i in range(10000):
        g.put(udp("198.51.100.14", 10000 + i, 1 + i % 60000 if i % 2 else 7777, b"x"))
    stats = bench.helper.stats()
    bench.works("with 10000 flows of UDP an allowed flow works, new and old")
    check(stats["udp"] <= 128, "so many are held", stats)
    check(bench.helper.descriptors() < 1000, "and so many descriptors", bench.helper.descriptors())
    port = g.port()
    frame = udp("198.51.100.14", port, 7777, b"new")
    g.put(frame)
    g.wait(lambda p: p.protocol == 17 and p.port == port and p.data == b"new", again=frame)
    check(True, "a new flow of UDP works")
    bench.stop()


def slow_readers():
    """Connections that bring much and are not read: what waits for them is bounded."""
    bench = Bench()
    streams = []
    for _ in range(100):
        stream = bench.guest.connect(PUBLIC, 80)
        stream.write(b"GET /big HTTP/1.0\r\nHost: public.test\r\n\r\n")
        stream.window = 0
        streams.append(stream)
    bench.works("beside 100 connections that are not read an allowed flow works")
    bench.is_small(160)
    for stream in streams:
        stream.close()
    bench.works("and after them")
    bench.stop()


def names():
    """What is not on the list reaches no name server, however much of it there is; what is, at a bounded rate."""
    bench = Bench()
    g = bench.guest
    before = len(log_of_questions())
    begin = time.monotonic()
    for i in range(3000):
        g.put(udp(NAMESERVER, 20000 + i, 53, question("secret%d.%s.attacker.test" % (i, "x" * 50), R.choice((1, 16, 28, 65)))))
        g.take(0)
    bench.works("after 3000 questions for unlisted names an allowed flow works")
    log = log_of_questions()[before:]
    check("attacker" not in log, "none of them left", log[-300:])
    before = len(log_of_questions())
    begin = time.monotonic()
    for i in range(3000):
        g.put(udp(NAMESERVER, 20000 + i, 53, question("n%d.rate.test" % i)))
        g.take(0)
    while g.take(1) is not None:
        pass
    spent = time.monotonic() - begin
    asked = log_of_questions()[before:].count(".rate.test\n")
    check(0 < asked <= 200 + 200 * (spent + 1), "questions for listed names leave at a bounded rate", "%d in %.1f s" % (asked, spent))
    bench.works("and then an allowed flow works")
    bench.stop()


def rests(helper):
    """Seconds of CPU in a while. What it does in a turn, it does in these; one that only waits to be killed does not
    answer."""
    if helper.control.fileno() >= 0:
        helper.control.settimeout(0.3)
    try:
        for _ in range(20):
            helper.stats()
    except (Lost, OSError):
        pass
    before = helper.cpu() if helper.alive() else 0
    try:
        helper.process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass
    return (helper.cpu() if helper.alive() else before) - before


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return open(fd, "rb")


def garbage():
    """What name servers say is no better than what sandboxes say."""
    bench = Bench()
    for i in range(600):
        bench.guest.put(udp(NAMESERVER, 20000 + i, 53, question("n%d.garbage.test" % i, R.choice((1, 1, 65)))))
        bench.guest.take(0.005)  # as fast as they may be asked
    while bench.guest.take(0.5) is not None:
        pass
    bench.works("after 600 answers that are nonsense an allowed flow works")
    bench.stop()
    bench = Bench()
    code, found = bench.guest.resolve("poison.rate.test")
    check((code, found) == (0, ["198.51.100.12"]), "an address of another name in an answer is not told", code, found)
    check(bench.guest.refuses(tcp(OTHER, 5200, 80, 1, 0, SYN), lambda p: p.protocol == 6 and p.flags & RST), "nor reached")
    bench.stop()


def services():
    """What a machine asks of its network."""
    bench = Bench()
    g = bench.guest
    discover = dhcp(b"\x35\1\1\xff").replace(b"RT\0\x124V", MAC)
    g.send(discover)
    offer = g.wait(lambda p: p.protocol == 17 and p.port == 68, again=discover)
    check(offer.data[16:20] == bytes((10, 0, 2, 15)) and b"\x06\4" + bytes((10, 0, 2, 3)) in offer.data and
          b"\3\4" + bytes((10, 0, 2, 2)) in offer.data, "DHCP offers the address, the gateway and the name server", offer.data)
    for to, what in (GATEWAY, "the gateway"), (PUBLIC, "an address that may be reached"):
        ping = icmp(to, 8, data=b"\0\7\0\1" + noise(300))
        g.send(ping)
        try:
            answer = g.wait(lambda p: p.protocol == 1 and p.body[0] == 0 and p.source == to, again=ping)
            check(answer.body[4:] == ping[38:], "a ping of %s is answered" % what, answer.body)
        except Lost as e:
            check(False, "a ping of %s is answered" % what, e, bench.helper.logged())
    bench.works("and an allowed flow works")
    bench.stop()


def ends():
    """Nobody at the other end of the frames: it neither works on nor runs in circles."""
    bench = Bench()
    bench.helper.packets.close()
    used = rests(bench.helper)
    check(used < 0.2, "without a sandbox it rests", "%.2f s of CPU" % used)
    bench.stop()
    helper = Helper(LIST, tap("test0"))
    subprocess.run(["ip", "link", "del", "test0"], check=True)
    used = rests(helper)
    check(used < 0.2, "without a tap, too", "%.2f s of CPU" % used)
    helper.stop()
    bench = Bench()
    bench.helper.control.close()
    used = rests(bench.helper)
    check(used < 0.2, "without a supervisor, too", "%.2f s of CPU" % used)
    bench.works("and then an allowed flow works")
    bench.stop()


TESTS = [services, policies, host_ports, sizes, refusals, inspection, malformed, half_open, udp_flows, slow_readers, names, garbage, ends]


def main():
    for test in TESTS:
        if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
            continue
        print("# " + test.__name__, flush=True)
        try:
            test()
        except Exception as e:
            check(False, "%s runs to its end" % test.__name__, traceback.format_exc(), e)
    print("1..%d" % count)
    return failed > 0


sys.exit(main())
