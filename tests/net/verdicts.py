# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs inside a sandbox and tries things, one a line of standard input: LABEL KIND ARGUMENT... (a function below). It
prints one line each: LABEL RESULT SECONDS, where RESULT is what came back, without blanks, or the name of the error.

An ARGUMENT may have escapes as in Python (\\0). TARGET is a name or an address."""
import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import sys
import time

from running import Running

PATIENCE = float(os.environ.get("PATIENCE", "60"))  # all of it is answered
NAMESERVER = "10.0.2.3"


def connect(target, port):
    s = socket.socket()
    s.settimeout(PATIENCE)
    s.connect((socket.gethostbyname(target), int(port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def rest(s):
    data = b""
    while block := s.recv(65536):
        data += block
    return data


def words(data):
    return data.decode("latin-1").strip().replace(" ", "_") or "nothing"


def raw(target, port, *parts):
    """Each part is a segment; one answer is waited for."""
    s = connect(target, port)
    for part in parts:
        s.sendall(text(part))
    return words(s.recv(65536))


def text(argument):
    return argument.encode().decode("unicode_escape").encode("latin-1")


def http(target, port, host, path="/", method="GET", version="1.0"):
    s = connect(target, port)
    s.sendall(b"%s %s HTTP/%s\r\n" % (text(method), text(path), text(version))
              + (b"Host: %s\r\n" % text(host) if host != "-" else b"") + b"Connection: close\r\n\r\n")
    return words(rest(s).split(b"\r\n\r\n")[-1])


def http_split(target, port, host):
    s = connect(target, port)
    for byte in b"GET / HTTP/1.0\r\nHost: " + text(host) + b"\r\n\r\n":
        s.sendall(bytes([byte]))
    return words(rest(s).split(b"\r\n\r\n")[-1])


def tcp(target, port):
    """Is there a connection? Nothing is said, and so nothing is inspected."""
    connect(target, port)
    return "connected"


def udp(target, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    s.connect((socket.gethostbyname(target), int(port)))
    s.send(b"echo")
    return words(s.recv(100))


def tcp6(target, port):
    s = socket.socket(socket.AF_INET6)
    s.settimeout(PATIENCE)
    s.connect((target, int(port)))
    return "connected"


# TLS

class Tls:
    """A client whose bytes go through our hands."""

    def __init__(self, sni):
        context = ssl.create_default_context(cafile="ca.pem")
        context.check_hostname = False
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=sni)

    def step(self, call, *arguments):
        """What it is, or None: it wants more."""
        try:
            return call(*arguments)
        except ssl.SSLWantReadError:
            return None

    def hello(self):
        self.step(self.tls.do_handshake)
        return self.outgoing.read()

    def feed(self, s):
        s.sendall(self.outgoing.read())
        data = s.recv(65536)
        self.incoming.write(data) if data else self.incoming.write_eof()

    def get(self, s):
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.feed(s)
        self.tls.write(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while True:
            try:
                block = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.feed(s)
                continue
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                block = b""
            if not block:
                return words(data.split(b"\r\n\r\n")[-1])
            data += block


def records(hello, size):
    """The same handshake message in records of `size` bytes."""
    body = hello[5:]
    return b"".join(hello[:3] + struct.pack(">H", len(body[i:i + size])) + body[i:i + size]
                    for i in range(0, len(body), size))


def with_extension(hello, kind, data):
    """Longer by one extension, first of all: record, handshake and extensions have lengths."""
    body = bytearray(hello[9:])
    at = 34
    at += 1 + body[at]
    at += 2 + struct.unpack_from(">H", body, at)[0]
    at += 1 + body[at]
    extra = struct.pack(">HH", kind, len(data)) + data
    struct.pack_into(">H", body, at, struct.unpack_from(">H", body, at)[0] + len(extra))
    body[at + 2:at + 2] = extra
    message = b"\x01" + struct.pack(">I", len(body))[1:] + bytes(body)
    return hello[:3] + struct.pack(">H", len(message)) + message


ECH_OUTER = b"\x00\x00\x01\x00\x01\x07\x00\x04abcd\x00\x04efgh"


def tls(target, port, sni, how="whole"):
    """HOW: whole; split (a segment a byte); records (of 32 bytes); ech; pad (a hello of 12 kB); alert (behind a warning);
    version (a record of one that there is not)"""
    client, s = Tls(None if sni == "-" else sni), connect(target, port)
    hello = client.hello()
    if how == "records":
        hello = records(hello, 32)
    if how == "ech":
        hello = with_extension(hello, 0xfe0d, ECH_OUTER)
    if how == "pad":
        hello = with_extension(hello, 21, bytes(12000))
    if how == "alert":
        hello = b"\x15\x03\x01\0\2\1\x5a" + hello
    if how == "version":
        hello = b"\x16\x04" + hello[2:]
    for part in [hello[i:i + 1] for i in range(len(hello))] if how == "split" else [hello]:
        s.sendall(part)
    if how in ("ech", "pad"):  # not what the client signs: any answer will do
        return "answered" if s.recv(65536) else "nothing"
    return client.get(s)


# DNS

TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "HTTPS": 65, "ANY": 255, "PTR": 12}
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def question(name, kind, edns=0):
    labels = b"".join(bytes([len(label)]) + label for label in text(name).split(b".")) if name != "." else b""
    message = b"\x12\x34\x01\x00\0\1\0\0\0\0" + (b"\0\1" if edns else b"\0\0") + labels + b"\0" + struct.pack(
        ">HH", TYPES[kind], 1)
    return message + (b"\0\0\x29" + struct.pack(">HIH", edns, 0, 0) if edns else b"")


def skip_name(message, at):
    while message[at]:
        if message[at] & 0xc0:
            return at + 2
        at += 1 + message[at]
    return at + 1


def explain(message):
    """CODE, then the data of the answers; TC; parameters of HTTPS by their numbers"""
    flags, _, n = struct.unpack(">HHH", message[2:8])
    said = [CODES.get(flags & 15, "?")] + (["TC"] if flags & 0x200 else [])
    at = skip_name(message, 12) + 4 if n else 0
    for _ in range(n):
        at = skip_name(message, at)
        kind, _, _, size = struct.unpack(">HHIH", message[at:at + 10])
        data = message[at + 10:at + 10 + size]
        at += 10 + size
        if kind == 1:
            said.append(socket.inet_ntoa(data))
        elif kind == 65:
            said += service(data)
        else:
            said.append("type%d" % kind)
    if len(said) > 12:
        said[12:] = ["%d_more" % (len(said) - 12)]
    return ",".join(said)


def service(data):
    at, said = skip_name(data, 2), []
    while at < len(data):
        key, size = struct.unpack(">HH", data[at:at + 4])
        said.append("key%d" % key + ("=" + socket.inet_ntoa(data[at + 4:at + 8]) if key == 4 else ""))
        at += 4 + size
    return said


def ask(message, server, protocol):
    if protocol == "tcp":
        s = connect(server, 53)
        s.sendall(struct.pack(">H", len(message)) + message)
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
            block = s.recv(65536)
            if not block:
                return "closed"
            data += block
        return explain(data[2:])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    s.connect((server, 53))
    s.send(message)
    return explain(s.recv(65536))


def dns(name, kind="A", protocol="udp", server=NAMESERVER, edns="0"):
    return ask(question(name, kind, int(edns)), server, protocol)


def dns_raw(message, protocol="udp"):
    """Anything but silence that is no answer to a sound question is good: the next question must be answered."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((NAMESERVER, 53))
    s.send(bytes.fromhex(message))
    return "sent"


def name(host):
    return ",".join(sorted({a[4][0] for a in socket.getaddrinfo(host, None, socket.AF_INET)})[:4])


def name6(host):
    return ",".join(sorted({a[4][0] for a in socket.getaddrinfo(host, None, socket.AF_INET6)}))


def count(host):
    """How many addresses a resolver gets for it, by TCP where the answer is large."""
    return str(len({a[4][0] for a in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)}))


def rebind(host, port):
    """The second answer leads elsewhere. Both are tried."""
    first = socket.gethostbyname(host)
    second = socket.gethostbyname(host)
    return ",".join([first, attempt(http, first, port, host)[0], second, attempt(http, second, port, host)[0]])


# What takes a while: a word when it begins, another when it is over.

def hold(target, port, protocol="tcp"):
    """A connection to an echo that stays until it is cut."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(socket.AF_INET, kind)
    s.settimeout(PATIENCE)
    s.connect((socket.gethostbyname(target), int(port)))
    s.send(b"x\n")  # not what could be the beginning of a request
    s.recv(2)
    print("held", target, port, flush=True)
    s.settimeout(300 if protocol == "tcp" else 1)
    while protocol == "udp":  # an ICMP error comes to what is sent; an answer may be lost
        with contextlib.suppress(TimeoutError):
            s.send(b"x\n")
            s.recv(2)
        time.sleep(0.05)
    return "cut" if not s.recv(1) else "echo"


def download(target, port, host):
    """Goes on until it is cut; says when it has begun. Where nothing comes it says something, which must be answered."""
    s = connect(target, port)
    s.sendall(b"GET /endless HTTP/1.0\r\nHost: %s\r\n\r\n" % text(host))
    got = 0
    while True:
        if not select.select([s], [], [], 5)[0]:
            s.send(b"x")
        block = s.recv(65536)
        if not block:
            return "ended"
        if got < 1 << 20 <= got + len(block):
            print("downloading", flush=True)
        got += len(block)


def serve(port, protocol):
    """Answers one connection or datagram at the loopback."""
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", int(port)))
    if protocol == "tcp":
        s.listen()
    print("serving", port, protocol, flush=True)
    if protocol == "tcp":
        c, _ = s.accept()
        c.sendall(b"inside\n")
        c.close()
    else:
        s.sendto(b"inside", s.recvfrom(100)[1])
    return "served"


def flood_tcp(target, port, n):
    """So many connects that nobody answers, as fast as they can be made, in bunches that a process may hold."""
    made, sockets = 0, []
    for _ in range(int(n)):
        s = socket.socket()
        s.setblocking(False)
        made += s.connect_ex((target, int(port))) in (0, errno.EINPROGRESS)
        sockets.append(s)
        if len(sockets) == 500:
            sockets.clear()
    return str(made)


def flood_udp(target, n):
    """A flow each: another source port and another destination port."""
    sent = 0
    for i in range(int(n)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((target, 10000 + i % 50000))
            try:
                sent += s.send(b"x")
            except OSError:
                pass
    return "sent" if sent else "none"


def flood_dns(n, suffix):
    """Distinct names; how many answers of which code come back."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((NAMESERVER, 53))
    s.setblocking(False)
    codes = {}

    def take(patience):
        while select.select([s], [], [], patience)[0]:
            code = CODES.get(s.recv(4096)[3] & 15, "?")
            codes[code] = codes.get(code, 0) + 1
    for i in range(int(n)):
        select.select([], [s], [], PATIENCE)  # a slow machine's queue is full for a while
        s.send(question("n%d.%s" % (i, suffix), "A"))
        take(0)
    take(1)  # until a second of silence, in which the name server lets as many questions pass again
    return ",".join("%s=%d" % pair for pair in sorted(codes.items())) or "none"


RUNNING = Running()


def attempt(call, *arguments):
    begin = RUNNING.seconds()
    try:
        result = call(*arguments)
    except socket.gaierror as e:
        result = "EAI%d" % e.errno
    except TimeoutError:
        result = "timeout"
    except OSError as e:
        result = errno.errorcode.get(e.errno, type(e).__name__)
    except Exception as e:
        result = type(e).__name__
    return result, RUNNING.seconds() - begin


def main():
    for line in sys.stdin:
        if not line.strip():
            continue
        label, kind, *arguments = line.split()
        result, took = attempt(globals()[kind], *arguments)
        print(label, result, "%.3f" % took, flush=True)


main()
