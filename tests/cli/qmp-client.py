#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""qmp-client.py SOCKET: a QMP client written from the specification alone (QEMU's docs/interop/qmp-spec.txt), which
checks that a sandbox's control socket is what the specification says. It ends by ending the sandbox."""
import array
import base64
import json
import os
import socket
import sys


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(120)
        directory = os.open(os.path.dirname(path), os.O_PATH)
        self.socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        os.close(directory)
        self.lines = self.socket.makefile("rb")
        self.events = []
        self.greeting = self.read()

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError
        assert line.endswith(b"\n"), line
        return json.loads(line)

    def send(self, text, fds=()):
        data = text if isinstance(text, bytes) else json.dumps(text).encode() + b"\r\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([data], rights)
        self.socket.sendall(data[sent:])

    def reply(self):
        """The next message that is no event."""
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def ask(self, name, fds=(), **arguments):
        message = {"execute": name, "id": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.send(message, fds)
        reply = self.reply()
        assert reply.get("id") == name, reply
        return reply

    def call(self, name, fds=(), **arguments):
        reply = self.ask(name, fds, **arguments)
        assert set(reply) == {"return", "id"}, reply
        return reply["return"]

    def refused(self, name, kind, **arguments):
        reply = self.ask(name, **arguments)
        assert set(reply) == {"error", "id"}, reply
        assert set(reply["error"]) == {"class", "desc"}, reply
        assert reply["error"]["class"] == kind, reply
        assert reply["error"]["desc"], reply

    def wait(self, name, **data):
        """The next event of that name whose data has these members."""
        while True:
            for at, event in enumerate(self.events):
                if event["event"] == name and all(event.get("data", {}).get(k) == v for k, v in data.items()):
                    del self.events[at]
                    assert isinstance(event["timestamp"]["seconds"], int), event
                    assert 0 <= event["timestamp"]["microseconds"] < 1000000, event
                    return event.get("data", {})
            self.events.append(self.read())

    def ready(self):
        assert self.call("qmp_capabilities") == {}
        return self


def check_handshake(path):
    client = Client(path)
    assert set(client.greeting) == {"QMP"}, client.greeting
    version = client.greeting["QMP"]["version"]
    assert all(isinstance(version["qemu"][part], int) for part in ("major", "minor", "micro")), version
    assert isinstance(client.greeting["QMP"]["capabilities"], list)
    client.refused("query-version", "CommandNotFound")  # before the negotiation
    client.ready()
    client.refused("qmp_capabilities", "CommandNotFound")  # after it
    return client


def check_ids(client):
    for identity in (1, "x", None, 1.5, [1, {"a": "b"}], {"deep": [True]}, ""):
        client.send({"execute": "query-version", "id": identity})
        reply = client.reply()
        assert "return" in reply and reply["id"] == identity, (identity, reply)
    client.send({"execute": "query-version"})
    assert "id" not in client.reply()


def check_errors(client):
    client.refused("no-such-command", "CommandNotFound")
    client.refused("exec", "GenericError")
    client.refused("exec", "GenericError", argv=[])
    client.refused("attach", "GenericError")
    client.refused("resize", "GenericError", rows=0, columns=1)
    client.refused("signal", "GenericError", signal=0)
    client.refused("signal", "GenericError", signal=15, session=40000)
    for number in (0, -1, 2**32 + 1, -(2**32) + 1):  # not what is left of it in 32 bits
        client.refused("signal", "GenericError", signal=15, session=number)
        client.refused("resize", "GenericError", rows=1, columns=1, session=number)
    client.refused("query-log", "GenericError", log="passwd")
    for text in (b"{}\n", b"[]\n", b'"x"\n', b'{"execute": 5}\n', b'{"execute": "query-version", "arguments": 3}\n',
                 b'{"execute": "query-version", "more": 1}\n', b"nonsense\n", b'{"execute": "a\\u0000b"}\n'):
        client.send(text)
        reply = client.reply()
        assert reply["error"]["class"] in ("GenericError", "CommandNotFound"), (text, reply)
    assert client.call("query-version")["qemu"]  # the connection has survived all of that


def check_framing(client):
    """Messages in pieces, several at once, and over several lines."""
    text = b'{"execute": "query-version", "id": 7}\n'
    for byte in text:
        client.send(bytes([byte]))
    assert client.reply()["id"] == 7
    client.send(text * 20)
    assert [client.reply()["id"] for _ in range(20)] == [7] * 20


def check_commands(client):
    names = {entry["name"] for entry in client.call("query-commands")}
    assert {"qmp_capabilities", "query-version", "query-commands", "query-sandbox", "exec", "sandbox-stop"} <= names
    record = client.call("query-sandbox")
    assert record["state"] in ("starting", "running"), record
    assert record["clients"] >= 1, record
    return names


def capture(client, argv, **arguments):
    session = client.call("exec", argv=argv, **arguments)["session"]
    result = client.wait("SESSION_EXIT", session=session)
    output = result["output"]
    assert output["truncated"] == (len(base64.b64decode(output["stdout"])) == 1 << 20), output["truncated"]
    return result["status"], base64.b64decode(output["stdout"]), base64.b64decode(output["stderr"])


def check_exec(client):
    assert capture(client, ["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, b"out\n", b"err\n")
    assert capture(client, ["cat"]) == (0, b"", b"")  # no stdin
    assert capture(client, ["sh", "-c", "echo $A; pwd"], env=["A=b c"], cwd="/")[1] == b"b c\n/\n"
    assert capture(client, ["/no/such/program"])[0] == 127
    assert capture(client, ["sh", "-c", "kill -9 $$"])[0] == 137
    many = capture(client, ["head", "-c", "1500000", "/dev/zero"])
    assert many[0] == 0 and len(many[1]) == 1 << 20, len(many[1])
    session = client.call("exec", argv=["sleep", "1000"])["session"]
    assert session in [s["session"] for s in client.call("query-sandbox")["sessions"]]
    client.call("signal", session=session, signal=15)
    assert client.wait("SESSION_EXIT", session=session)["status"] == 143


def check_stream(client):
    mine, theirs = socket.socketpair()
    session = client.call("exec", (theirs.fileno(),), argv=["true"])["session"]
    theirs.close()
    mine.settimeout(120)
    assert mine.recv(1), "frames come"
    mine.close()
    client.wait("SESSION_EXIT", session=session)  # its number may be given again


def check_many(path, first):
    """Several clients: each gets its own replies, all get the events."""
    others = [Client(path).ready() for _ in range(8)]
    for number, client in enumerate(others):
        client.send({"execute": "query-version", "id": number})
    assert [client.reply()["id"] for client in others] == list(range(8))
    session = first.call("exec", argv=["true"])["session"]
    for client in [first, *others]:
        assert client.wait("SESSION_EXIT", session=session)["status"] == 0
    others.pop().socket.close()
    first.call("query-version")
    return others


def main():
    path = sys.argv[1]
    client = check_handshake(path)
    check_ids(client)
    check_errors(client)
    check_framing(client)
    check_commands(client)
    check_exec(client)
    check_stream(client)
    others = check_many(path, client)
    client.call("sandbox-stop", timeout_ms=5000)
    for one in [client, *others]:
        assert one.wait("SANDBOX_STOPPING")["step"] == "powerdown"
        assert one.wait("SANDBOX_ENDED")["reason"] == "stopped"
        try:
            one.read()
            raise AssertionError("there is something after SANDBOX_ENDED")
        except EOFError:
            pass
    print("ok")


main()
