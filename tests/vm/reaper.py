#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""reaper.py COMMAND...: runs a test as a child subreaper, so that whatever the test leaves running, however it
was detached, ends up as a child of this process. At the end such processes are named, killed, and the test has
failed. `reaper.py --left PID` prints what hangs on the reaper PID now (for checks in the middle of a test)."""
import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 30 * float(os.environ.get("VM_SLOW") or 1)


def children(parent, but=0):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == but:
            continue
        try:
            with open(f"/proc/{name}/stat", errors="replace") as f:
                comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except (OSError, IndexError):
            continue
        state, ppid = rest.split()[:2]
        if int(ppid) == parent and state != "Z":
            found.append((int(name), comm))
    return found


def tree(parent, but=0):
    found = []
    for pid, comm in children(parent, but):
        found += [(pid, comm)] + tree(pid)
    return found


def show(processes):
    for pid, comm in processes:
        try:
            with open(f"/proc/{pid}/cmdline", errors="replace") as f:
                words = f.read().replace("\0", " ").strip()
        except OSError:
            words = ""
        print(f"# left running: {pid} {comm}: {words[:160]}", flush=True)


def reap(child):
    """Waits for the child, and for every orphan that comes by."""
    status = None
    while status is None:
        pid, code = os.wait()
        if pid == child:
            status = code
    return os.waitstatus_to_exitcode(status)


def settle(deadline):
    """Orphans that are ending by themselves get until the deadline."""
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.05)  # there is no event for "no children" short of waiting for ever


def main():
    if sys.argv[1] == "--left":
        left = tree(int(sys.argv[2]), int(sys.argv[3]))
        show(left)
        return 1 if left else 0
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        os.environ["VM_REAPER"] = str(os.getppid())
        os.execvp(sys.argv[1], sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(child, n))
    status = reap(child)
    settle(time.monotonic() + PATIENCE)
    left = tree(os.getpid())
    if left:
        show(left)
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        settle(time.monotonic() + PATIENCE)
        print("Bail out! the test left processes behind", flush=True)
        return 1
    return status if status >= 0 else 128 - status


sys.exit(main())
