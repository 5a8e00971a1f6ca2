#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both ends of a socket that is relayed. The server does what the first line of a connection says.

relay.py serve PATH          listens; writes "ready" when it does
relay.py PATH echo TEXT      TEXT comes back
relay.py PATH sink BYTES     the server counts and hashes so many
relay.py PATH source BYTES   the server sends so many
relay.py PATH late           the client ends its half first, and is answered all the same
relay.py PATH bye            the server ends its half first, and is told something all the same
relay.py PATH leave          what the client wrote just before it left has arrived
relay.py PATH deaf           a server that has stopped reading for good: writing fails
relay.py PATH many N BYTES   N connections at once, so many bytes through each and back
relay.py PATH gone           nobody serves: the connection ends at once
relay.py PATH hold           writes "held" when the server has, and waits for the end of the connection
"""
import hashlib
import os
import random
import socket
import sys
import threading
import time

TIMEOUT = 300


def content(n):
    return random.Random(n).randbytes(n)


def read_all(sock):
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def digest(data):
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


# The server


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            return []
        line += byte
    return line.decode().split()


def serve_one(sock, kept):
    words = read_line(sock)
    kind = words[0] if words else "end"
    if kind == "echo":
        while part := sock.recv(65536):
            sock.sendall(part)
    elif kind == "sink":
        sock.sendall(digest(read_all(sock)))
    elif kind == "source":
        sock.sendall(content(int(words[1])))
    elif kind == "late":
        sock.sendall(b"late answer to " + read_all(sock))
    elif kind == "bye":
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        kept["bye"] = read_all(sock)
    elif kind == "leave":
        kept["leave"] = read_all(sock)
    elif kind == "what":
        sock.sendall(kept.pop(words[1], b"nothing"))
    elif kind == "deaf":
        sock.shutdown(socket.SHUT_RD)
        sock.sendall(b"deaf")
        kept["lock"].wait()
    elif kind == "hold":
        sock.sendall(b"held\n")
        read_all(sock)
    sock.close()


def serve(path):
    if os.path.lexists(path):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    print("ready", flush=True)
    kept = {"lock": threading.Event()}
    while True:
        sock, _ = server.accept()
        threading.Thread(target=serve_quietly, args=(sock, kept), daemon=True).start()


def serve_quietly(sock, kept):
    try:
        serve_one(sock, kept)
    except OSError:
        sock.close()  # the client left in the middle


# The client


def connect(path, line):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)  # may wait until there is room for one more
    sock.settimeout(TIMEOUT)
    sock.sendall(line.encode() + b"\n")
    return sock


def ask(path, kind):
    """What the server kept; it may not have it yet."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        with connect(path, "what " + kind) as sock:
            answer = read_all(sock)
        if answer != b"nothing":
            return answer
        time.sleep(0.01)
    return b"nothing"


def echo(sock, data, failures):
    """Both ways at the same time, or both sides would wait for the other to read."""
    writer = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    writer.start()
    if read_all(sock) != data:
        failures.append("not the same")
    writer.join()
    sock.close()


def many(path, count, n):
    failures = []
    data = content(n)
    socks = [connect(path, "echo") for _ in range(count)]  # all are there before the first ends
    threads = [threading.Thread(target=echo, args=(sock, data, failures)) for sock in socks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{count - len(failures)} of {count}"


def client(path, kind, args):
    if kind == "many":
        return many(path, int(args[0]), int(args[1]))
    sock = connect(path, " ".join([kind, *args[:1]]) if kind == "source" else kind)
    if kind == "echo":
        sock.sendall(os.fsencode(args[0]))
        sock.shutdown(socket.SHUT_WR)
        return os.fsdecode(read_all(sock))
    if kind == "sink":
        data = content(int(args[0]))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return "same" if read_all(sock) == digest(data) else "different"
    if kind == "source":
        return "same" if digest(read_all(sock)) == digest(content(int(args[0]))) else "different"
    if kind == "late":
        sock.sendall(b"the question")
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock).decode()
    if kind == "bye":
        first = read_all(sock)
        sock.sendall(b"still here")
        sock.close()
        return f"{first.decode()} {ask(path, kind).decode()}"
    if kind == "leave":
        sock.sendall(b"last words")
        sock.close()
        return ask(path, kind).decode()
    if kind == "deaf":
        sock.recv(4)
        try:
            while True:
                sock.sendall(bytes(65536))
        except BrokenPipeError:
            return "broken pipe"
    if kind == "gone":
        try:
            return "closed" if read_all(sock) == b"" else "open"
        except ConnectionResetError:
            return "closed"
    print(*read_line(sock), flush=True)  # it has gone all the way, and come back
    read_all(sock)
    return "ended"


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    try:
        print(client(sys.argv[1], sys.argv[2], sys.argv[3:]))
    except (BrokenPipeError, ConnectionResetError) as error:
        print("closed" if sys.argv[2] == "gone" else error)


main()
