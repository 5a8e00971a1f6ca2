# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs inside a sandbox and tries things, one a line of its arguments: KIND TARGET [PORT [PATIENCE]]. It prints one
line each: KIND TARGET PORT RESULT SECONDS, where RESULT is what came back, or the name of the error. PATIENCE is for what is
not answered."""
import errno
import socket
import sys

from running import Running

PATIENCE = 60
RUNNING = Running()


def tcp(host, port, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(PATIENCE)
    s.connect((host, port))
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    data = b""
    while True:
        block = s.recv(65536)
        if not block:
            return data.split(b"\r\n\r\n")[-1].decode().strip().replace(" ", "_")
        data += block


def tcp6(host, port):
    return tcp(host, port, socket.AF_INET6)


def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.settimeout(PATIENCE)
    s.connect((host, port))
    s.send(b"echo")
    return s.recv(100).decode()


def icmp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    s.settimeout(PATIENCE)
    s.sendto(b"\x08\x00\x00\x00\x00\x00\x00\x01ping", (host, 0))
    return "reply" if s.recv(100)[0] == 0 else "odd"


def abstract(name, port):
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + name)
    return "connected"


def name(host, port):
    return ",".join(sorted({a[4][0] for a in socket.getaddrinfo(host, None, socket.AF_INET)}))


def named(host, port):
    return tcp(socket.gethostbyname(host), port)


for line in sys.argv[1:]:
    kind, target, port, patience = (line.split() + ["0", "60"][len(line.split()) - 2:])[:4]
    PATIENCE, begin = float(patience), RUNNING.seconds()
    try:
        result = globals()[kind](target, int(port))
    except socket.gaierror as e:
        result = "EAI%d" % e.errno
    except TimeoutError:
        result = "timeout"
    except OSError as e:
        result = errno.errorcode.get(e.errno, str(e))
    print(kind, target, port, result, "%.3f" % (RUNNING.seconds() - begin), flush=True)
