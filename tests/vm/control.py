#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""control.py SOCKET wait STATE [SECONDS]     waits until the sandbox is in that state (or has ended)
control.py SOCKET event NAME [SECONDS]    waits for an event and prints its data
control.py SOCKET do COMMAND [JSON]       runs a command and prints what it returns"""
import json
import os
import socket
import sys

SLOW = float(os.environ.get("VM_SLOW") or 1)


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(os.path.dirname(path), os.O_PATH)  # the path may be longer than an address may be
        self.socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        self.lines = self.socket.makefile("rb")
        self.events = []
        self.read()
        self.command("qmp_capabilities")

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def command(self, name, arguments=None):
        message = {"execute": name}
        if arguments is not None:
            message["arguments"] = arguments
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self.read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                sys.exit(f"{name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def next_event(self):
        return self.events.pop(0) if self.events else self.read()


def wait(control, state):
    if control.command("query-sandbox")["state"] == state:
        return 0
    while True:
        event = control.next_event()
        if event["event"] == "SANDBOX_STATE" and event["data"]["state"] == state:
            return 0


def main():
    control = Control(sys.argv[1])
    control.socket.settimeout(SLOW * (float(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[2] != "do" else 120))
    if sys.argv[2] == "wait":
        return wait(control, sys.argv[3])
    if sys.argv[2] == "event":
        while True:
            event = control.next_event()
            if event["event"] == sys.argv[3]:
                print(json.dumps(event.get("data")))
                return 0
    print(json.dumps(control.command(sys.argv[3], json.loads(sys.argv[4]) if len(sys.argv) > 4 else None)))
    return 0


try:
    sys.exit(main())
except (EOFError, ConnectionError, FileNotFoundError) as e:
    sys.exit(0 if sys.argv[2:4] == ["wait", "ended"] else f"control.py: the sandbox has gone: {e!r}")
except socket.timeout:
    sys.exit("control.py: timed out")
