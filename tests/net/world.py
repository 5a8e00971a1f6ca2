#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command in a network that is made for it: world.py [--tools] COMMAND...  No packet leaves the machine.

"host": the network namespace in which COMMAND (hence vmctl) runs.
    lo          127.0.0.1, a web server at 127.0.0.1:8080, echoes (TCP 8082, UDP 7777), a name server at 127.0.0.53:53
    out         192.168.77.2/24 and 203.0.113.7/32, a public address of this host; a web server at *:8081
                fd77::2/64 and a default route for IPv6
    an abstract socket, @vmctl-net-test
    /etc/resolv.conf says: nameserver $WORLD_RESOLVER (default 127.0.0.53)
"world": another one, behind a veth pair.
    192.168.77.1 (local network), public addresses (OPEN), and addresses of each kind that must stay closed (CLOSED):
    at each of them web servers at ports 80 and 8443, echoes (TCP 7777, UDP 7777), a server at 9000 that logs first bytes
    198.51.99.0/24 does not answer
    2001:db8::10, fd77::1: web servers at port 80
    192.168.77.1:53 is a name server, for *.test (world_dns.py has the names)
    198.51.100.15   by UDP what must not be reached by UDP: echoes at 443, 853, 5353; a name server at 53; TCP 853
    .12, .15 to .21, .40 to .42 (and some more): HTTPS at 443, one certificate for all names, by the CA in ca.pem
    .16:443         logs first bytes
    .30             ssh at 22 and 443 (--tools)
    a web server says "I am ADDRESS", by HTTPS also "for" which name (world_web.py says what else)

$WORLD is a directory:
    ca.pem          the CA; dns.log: every question that reached a name server; raw.log: first bytes
    files/          what web servers have at /files/; with --tools: repositories for git, npm, apt; keys for ssh
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True

import world_dns  # noqa: E402
import world_tools  # noqa: E402
from world_web import Web, background, certificates, echo, https, raw, tcp_echo, web  # noqa: E402

NEWNS, NEWNET = 0x20000, 0x40000000
CLOSED = ["169.254.169.254", "169.254.7.7", "10.9.9.9", "10.9.9.10", "10.9.8.1", "172.16.5.5", "100.64.1.1", "192.0.0.8", "198.18.0.9",
          "240.0.0.9", "192.168.77.1"]
OPEN = ["198.51.100.%d" % n for n in (10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 30, 40, 41, 42, 43)]
TLS = ["198.51.100.%d" % n for n in (10, 11, 12, 15, 17, 18, 20, 21, 40, 41, 42)]
TLS_NAMES = ["a.tls.test", "b.tls.test", "c.tls.test", "wild.test", "*.wild.test", "*.x.wild.test", "late.test", "git.test",
             "registry.npm.test", "cdn.npm.test", "public.test", "quic.test"]
libc = ctypes.CDLL(None, use_errno=True)


def unshare(what):
    if libc.unshare(what) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def log(name):
    return os.open(os.environ["WORLD"] + "/" + name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def have_ipv6():
    try:
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6") as f:
            return f.read().strip() == "0"
    except OSError:
        return False


def world_addresses():
    ip("link", "set", "lo", "up")
    ip("link", "set", "in", "up")
    ip("addr", "add", "192.168.77.1/24", "dev", "in")
    for address in CLOSED + OPEN:
        if address != "192.168.77.1":
            ip("addr", "add", address + "/32", "dev", "lo")
    ip("route", "add", "203.0.113.7/32", "dev", "in")
    ip("route", "add", "blackhole", "198.51.99.0/24")
    if have_ipv6():
        ip("addr", "add", "fd77::1/64", "dev", "in", "nodad")
        ip("addr", "add", "2001:db8::10/128", "dev", "lo", "nodad")
        for address in "fd77::1", "2001:db8::10":
            web(address, 80)


def world(ready, go, tools):
    """The other side; lives until the pipe `go` is closed."""
    unshare(NEWNET)
    os.write(ready, b"n")
    os.read(go, 1)
    world_addresses()
    for port in 80, 8443:
        web("0.0.0.0", port)
    for address in CLOSED + OPEN:
        echo(address, 7777)
    tcp_echo("0.0.0.0", 7777)
    raw_log = log("raw.log")
    raw("0.0.0.0", 9000, raw_log)
    raw("198.51.100.16", 443, raw_log)
    for port in 443, 853, 5353:
        echo("198.51.100.15", port)
    tcp_echo("198.51.100.15", 853)
    for address in TLS:
        https(address, 443, os.environ["WORLD"])
    dns_log = log("dns.log")
    for address in "192.168.77.1", "198.51.100.15":
        world_dns.serve(address, dns_log)
    sshd = world_tools.start_sshd(os.environ["WORLD"]) if tools else None
    os.write(ready, b"s")
    os.read(go, 1)
    if sshd is not None:
        sshd.kill()
        sshd.wait()
    os._exit(0)


def host():
    ip("link", "set", "lo", "up")
    ip("link", "set", "out", "up")
    ip("addr", "add", "192.168.77.2/24", "dev", "out")
    ip("addr", "add", "203.0.113.7/32", "dev", "out")
    ip("route", "add", "default", "via", "192.168.77.1")
    ip("route", "add", "240.0.0.0/8", "via", "192.168.77.1")
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:  # as systemd sets it
        f.write("0 2147483647")
    if have_ipv6():
        ip("addr", "add", "fd77::2/64", "dev", "out", "nodad")
        ip("-6", "route", "add", "default", "via", "fd77::1")
    web("127.0.0.1", 8080)
    web("0.0.0.0", 8081)
    echo("127.0.0.1", 7777)
    tcp_echo("127.0.0.1", 8082)
    world_dns.serve("127.0.0.53", log("dns.log"))
    s = socket.socket(socket.AF_UNIX)
    s.bind("\0vmctl-net-test")
    s.listen()
    background(lambda: [s.accept() for _ in iter(int, 1)])


def resolver():
    unshare(NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    path = os.environ["WORLD"] + "/resolv.conf"
    with open(path, "w") as f:
        f.write("nameserver %s\n" % os.environ.get("WORLD_RESOLVER", "127.0.0.53"))
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)


def make_directory(tools):
    path = tempfile.mkdtemp(prefix="vmctl-world.")
    os.chmod(path, 0o755)
    os.environ["WORLD"] = path
    Web.files = path + "/files"
    os.mkdir(Web.files)
    certificates(path, TLS_NAMES)
    if tools:
        world_tools.prepare(path)
    return path


def build(tools):
    """The namespaces, their addresses and servers. What ends the world: its process, and a pipe to be closed."""
    ready, go = os.pipe(), os.pipe()
    unshare(NEWNET)
    child = os.fork()
    if child == 0:
        os.close(go[1])
        try:
            world(ready[1], go[0], tools)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(ready[1]), os.close(go[0])
    assert os.read(ready[0], 1) == b"n"
    ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(child))
    os.write(go[1], b"g")
    host()
    resolver()
    assert os.read(ready[0], 1) == b"s", "the world could not be made"
    return child, go[1]


def main():
    words = sys.argv[1:]
    tools = words[0] == "--tools"
    if os.geteuid() != 0:
        print("1..0 # SKIP only root can make a network to test in")
        return 0
    directory = make_directory(tools)
    try:
        child, end = build(tools)
        command = subprocess.Popen(words[tools:])
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        status = command.wait()
        os.close(end)
        os.waitpid(child, 0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
