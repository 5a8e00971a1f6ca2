#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command in a network that is made for it: world.py COMMAND...  No packet leaves the machine.

"host": the network namespace in which COMMAND (hence vmctl) runs.
    lo          127.0.0.1, a web server at 127.0.0.1:8080, a name server at 127.0.0.53:53
    out         192.168.77.2/24 and 203.0.113.7/32, a public address of this host; a web server at *:8081
    an abstract socket, @vmctl-net-test
    /etc/resolv.conf says: nameserver $WORLD_RESOLVER (default 127.0.0.53)
"world": another one, behind a veth pair.
    192.168.77.1 (local network), 198.51.100.10 (public), and one address of each kind that must stay closed;
    at each of them web servers at ports 80 and 8443, a UDP echo at 7777
    192.168.77.1:53 is a name server, for *.test (see NAMES)
    a web server says "I am ADDRESS"; /big has 90 MB; what is put there is counted and hashed
"""
import ctypes
import hashlib
import http.server
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading

NEWNS, NEWNET = 0x20000, 0x40000000
BIG = 90 << 20
CLOSED = ["169.254.169.254", "169.254.7.7", "10.9.9.9", "172.16.5.5", "100.64.1.1", "192.0.0.8", "198.18.0.9", "240.0.0.9",
          "192.168.77.1"]
OPEN = ["198.51.100.10", "198.51.100.11"]
NAMES = {"public.test": ["198.51.100.10"], "lan.test": ["192.168.77.1"], "metadata.test": ["169.254.169.254"],
         "loopback.test": ["127.0.0.1"], "host.test": ["203.0.113.7"], "mixed.test": ["10.9.9.9", "198.51.100.10"]}
libc = ctypes.CDLL(None, use_errno=True)


def unshare(what):
    if libc.unshare(what) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/big":
            self.answer("I am " + self.connection.getsockname()[0] + "\n")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(BIG))
        self.end_headers()
        block = bytes(range(256)) * 4096
        for _ in range(BIG // len(block)):
            self.wfile.write(block)

    def do_PUT(self):
        left, digest, got = int(self.headers["Content-Length"]), hashlib.sha256(), 0
        while left > 0:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                break
            left, got = left - len(data), got + len(data)
            digest.update(data)
        self.answer("%d %s\n" % (got, digest.hexdigest()))

    def log_message(self, *args):
        pass


class WebServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def server_bind(self):  # without asking for the host's name
        socketserver.TCPServer.server_bind(self)


def background(call, *args):
    threading.Thread(target=call, args=args, daemon=True).start()


def web(address, port):
    background(WebServer((address, port), Web).serve_forever)


def echo(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))

    def run():
        while True:
            data, peer = s.recvfrom(65536)
            s.sendto(data, peer)
    background(run)


def dns_answer(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    kind, question = struct.unpack(">H", query[at + 1:at + 3])[0], query[12:at + 5]
    addresses = NAMES.get(".".join(labels))
    records = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in addresses or []]
    if kind != 1:
        records = []
    return (query[:2] + struct.pack(">HHHHH", 0x8180 if addresses else 0x8183, 1, len(records), 0, 0) + question
            + b"".join(records))


class TcpDns(socketserver.StreamRequestHandler):
    def handle(self):
        n = struct.unpack(">H", self.rfile.read(2))[0]
        a = dns_answer(self.rfile.read(n))
        self.wfile.write(struct.pack(">H", len(a)) + a)


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True


def dns(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))

    def run():
        while True:
            data, peer = s.recvfrom(4096)
            try:
                s.sendto(dns_answer(data), peer)
            except (IndexError, struct.error):
                pass
    background(run)
    background(TcpServer((address, 53), TcpDns).serve_forever)


def world(ready, go):
    """The other side; lives until the pipe `go` is closed."""
    unshare(NEWNET)
    os.write(ready, b"n")
    os.read(go, 1)
    ip("link", "set", "lo", "up")
    ip("link", "set", "in", "up")
    ip("addr", "add", "192.168.77.1/24", "dev", "in")
    for address in CLOSED + OPEN:
        if address != "192.168.77.1":
            ip("addr", "add", address + "/32", "dev", "lo")
    ip("route", "add", "203.0.113.7/32", "dev", "in")
    for port in 80, 8443:
        web("0.0.0.0", port)
    for address in CLOSED + OPEN:
        echo(address, 7777)
    dns("192.168.77.1")
    os.write(ready, b"s")
    os.read(go, 1)
    os._exit(0)


def host():
    ip("link", "set", "lo", "up")
    ip("link", "set", "out", "up")
    ip("addr", "add", "192.168.77.2/24", "dev", "out")
    ip("addr", "add", "203.0.113.7/32", "dev", "out")
    ip("route", "add", "default", "via", "192.168.77.1")
    ip("route", "add", "240.0.0.0/8", "via", "192.168.77.1")
    web("127.0.0.1", 8080)
    web("0.0.0.0", 8081)
    echo("127.0.0.1", 7777)
    dns("127.0.0.53")
    s = socket.socket(socket.AF_UNIX)
    s.bind("\0vmctl-net-test")
    s.listen()
    background(lambda: [s.accept() for _ in iter(int, 1)])


def resolver():
    unshare(NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    path = "/run/vmctl-net-test.%d" % os.getpid()
    with open(path, "w") as f:
        f.write("nameserver %s\n" % os.environ.get("WORLD_RESOLVER", "127.0.0.53"))
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
    os.unlink(path)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP only root can make a network to test in")
        return 0
    ready, go = os.pipe(), os.pipe()
    unshare(NEWNET)
    child = os.fork()
    if child == 0:
        os.close(go[1])
        try:
            world(ready[1], go[0])
        finally:
            os._exit(1)
    os.close(ready[1]), os.close(go[0])
    assert os.read(ready[0], 1) == b"n"
    ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(child))
    os.write(go[1], b"g")
    host()
    resolver()
    assert os.read(ready[0], 1) == b"s"
    status = subprocess.run(sys.argv[1:], close_fds=True).returncode
    os.close(go[1])
    os.waitpid(child, 0)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    status = main()
    sys.stdout.flush()
    os._exit(status)
