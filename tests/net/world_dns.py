# SPDX-License-Identifier: LGPL-2.1-or-later
"""The name server of world.py, by UDP and TCP. Every question is written to a log, one a line:
ADDRESS udp|tcp TYPE NAME."""
import os
import random
import socket
import socketserver
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "TXT": 16, "AAAA": 28, "HTTPS": 65}
TYPE_NAMES = {number: name for name, number in TYPES.items()}

TLS_AB, TLS_C = "198.51.100.20", "198.51.100.21"
A = {
    "public.test": ["198.51.100.10"], "other.test": ["198.51.100.11"],
    "lan.test": ["192.168.77.1"], "metadata.test": ["169.254.169.254"], "loopback.test": ["127.0.0.1"],
    "host.test": ["203.0.113.7"], "mixed.test": ["10.9.9.9", "198.51.100.10"], "zero.test": ["0.0.0.0"],
    "a.tls.test": [TLS_AB], "b.tls.test": [TLS_AB], "c.tls.test": [TLS_C],
    "wild.test": ["198.51.100.12"], "x.wild.test": ["198.51.100.12"], "y.x.wild.test": ["198.51.100.12"],
    "notwild.test": ["198.51.100.12"], "x.wild.test.evil.test": ["198.51.100.12"],
    "port.test": ["198.51.100.13"], "udp.test": ["198.51.100.14"], "quic.test": ["198.51.100.15"],
    "raw.test": ["198.51.100.16"], "big.test": ["198.51.100.10"] + ["198.51.101.%d" % n for n in range(1, 60)],
    "huge.test": ["198.51.%d.%d" % (101 + n // 200, n % 200 + 1) for n in range(3900)],
    "late.test": ["198.51.100.17"], "dual.test": ["198.51.100.10"],
    "git.test": ["198.51.100.40"], "registry.npm.test": ["198.51.100.41"], "cdn.npm.test": ["198.51.100.42"],
    "deb.test": ["198.51.100.43"], "ssh.test": ["198.51.100.30"],
}
AAAA = {"v6.test": ["2001:db8::10"], "dual.test": ["2001:db8::10"], "mapped.test": ["::ffff:198.51.100.10"]}
CNAME = {"chain.test": "chain2.test", "chain2.test": "public.test", "chain-lan.test": "lan.test",
         "loop.test": "loop.test"}
HTTPS = {"a.tls.test": TLS_AB, "svc.test": "198.51.100.18", "svc-lan.test": "172.16.5.5"}
# Another answer each time, to be used at once: first a public address, then a private one.
REBIND = {"rebind.test": [["198.51.100.10"], ["192.168.77.1"]], "rebind-meta.test": [["198.51.100.10"], ["169.254.169.254"]]}
# *.garbage.test is answered with nonsense: what a name server that is not one's friend could say.
CUT = {"big.test", "huge.test"}  # too large for UDP, whatever the client says


def record(name, kind, data, ttl=60):
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def service(address):
    """alpn h2, an address, and keys for ECH"""
    parameters = [(1, b"\x02h2"), (4, socket.inet_aton(address)), (5, b"\x00\x04\xfe\x0dxx")]
    return b"\x00\x01\x00" + b"".join(struct.pack(">HH", k, len(v)) + v for k, v in parameters)


class Question:
    """One question; IndexError or struct.error: nonsense."""

    def __init__(self, message):
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1").lower())
            at += 1 + message[at]
        self.id, self.name = message[:2], ".".join(labels)
        self.kind = struct.unpack(">H", message[at + 1:at + 3])[0]
        self.bytes = message[12:at + 5]
        rest = message[at + 5:]
        self.room = 512
        if len(rest) >= 11 and rest[:3] == b"\0\0\x29":  # EDNS
            self.room = max(512, struct.unpack(">H", rest[3:5])[0])


def garbage(question):
    """An answer with an address and an alias, somewhat changed; the same for the same name."""
    r = random.Random(question.name)
    records = [record(b"\xc0\x0c", 5, wire("public.test")), record(wire("public.test"), 1, socket.inet_aton("198.51.100.11")),
               record(b"\xc0\x0c", 65, service("198.51.100.11")), record(b"\xc0\x0c", 1, b"\xc6\x33\x64")]
    r.shuffle(records)
    message = bytearray(struct.pack(">HHHHH", 0x8180, 1, r.choice((0, 1, 4, 65535)), r.choice((0, 9)), r.choice((0, 1))) + question.bytes
                        + b"".join(records) + r.choice((b"", b"\xc0\x0c", b"\0\0\x29", bytes(500))))
    for _ in range(r.choice((1, 2, 8, 30))):
        message[r.randrange(len(message))] = r.choice((0, 0xc0, 0xff, r.randrange(256)))
    return question.id + bytes(message[:r.choice((len(message), r.randrange(len(message)))) + 1])


class Names:
    def __init__(self, address, log):
        self.address, self.log = address, log
        self.asked, self.lock = {}, threading.Lock()

    def write(self, protocol, question):
        line = "%s %s %s %s\n" % (self.address, protocol, TYPE_NAMES.get(question.kind, question.kind),
                                  question.name.encode("latin-1").decode("ascii", "backslashreplace"))
        os.write(self.log, line.encode())

    def addresses(self, name):
        if name not in REBIND:
            return A.get(name, []), 60
        with self.lock:
            n = self.asked[name] = self.asked.get(name, 0) + 1
        return REBIND[name][min(n, len(REBIND[name])) - 1], 0

    def records(self, question):
        """What is said, or None: there is no such name."""
        found, name, owner = [], question.name, b"\xc0\x0c"
        for _ in range(8):
            if name not in CNAME:
                break
            found.append(record(owner, TYPES["CNAME"], wire(CNAME[name])))
            name = CNAME[name]
            owner = wire(name)
        if name in REBIND or name in A and question.kind == TYPES["A"]:
            addresses, ttl = self.addresses(name) if question.kind == TYPES["A"] else ([], 0)
            found += [record(owner, 1, socket.inet_aton(a), ttl) for a in addresses]
        if name == "poison.rate.test":  # another name's address comes along
            found = [record(owner, 1, socket.inet_aton("198.51.100.12")),
                     record(wire("public.test"), 1, socket.inet_aton("198.51.100.11"))]
        if question.kind == TYPES["AAAA"]:
            found += [record(owner, 28, socket.inet_pton(socket.AF_INET6, a)) for a in AAAA.get(name, [])]
        if question.kind == TYPES["HTTPS"] and name in HTTPS:
            found.append(record(owner, 65, service(HTTPS[name])))
        if question.kind == TYPES["TXT"]:
            found.append(record(owner, 16, b"\x05hello"))
        known = found or any(name in table for table in (A, AAAA, HTTPS, REBIND)) or name.endswith(".rate.test")
        return found if known else None

    def answer(self, message, protocol):
        question = Question(message)
        self.write(protocol, question)
        if question.name.endswith(".garbage.test"):
            return garbage(question)
        records = self.records(question)
        flags, code = 0x8180, 0 if records is not None else 3
        records = records or []
        size = 12 + len(question.bytes) + sum(map(len, records))
        if protocol == "udp" and records and (question.name in CUT or size > question.room):
            flags, records = flags | 0x200, []
        return (question.id + struct.pack(">HHHHH", flags | code, 1, len(records), 0, 0) + question.bytes
                + b"".join(records))


def serve_udp(names):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((names.address, 53))

    def run():
        while True:
            data, peer = s.recvfrom(4096)
            try:
                s.sendto(names.answer(data, "udp"), peer)
            except (IndexError, struct.error):
                pass
    threading.Thread(target=run, daemon=True).start()


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True

    def handle_error(self, request, client_address):
        pass  # clients go away as they like


def serve_tcp(names):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while True:
                head = self.rfile.read(2)
                if len(head) < 2:
                    return
                try:
                    a = names.answer(self.rfile.read(struct.unpack(">H", head)[0]), "tcp")
                except (IndexError, struct.error):
                    return
                self.wfile.write(struct.pack(">H", len(a)) + a)
    threading.Thread(target=TcpServer((names.address, 53), Handler).serve_forever, daemon=True).start()


def serve(address, log):
    names = Names(address, log)
    serve_udp(names)
    serve_tcp(names)
