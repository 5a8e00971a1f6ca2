# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benches share: medians, interleaving, a sandbox's control socket, cpio."""
import array, json, os, resource, socket, statistics, struct, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VMCTL = os.environ.get("VMCTL", os.path.join(ROOT, "build/vmctl/vmctl"))


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


def interleaved(n, runs):
    """runs: {name: function}. Each is called n times, in turns; returns {name: [seconds]}."""
    times = {name: [] for name in runs}
    for i in range(n):
        for name, run in runs.items():
            progress(f"{name} {i + 1}/{n}")
            start = time.monotonic()
            run()
            times[name].append(time.monotonic() - start)
    progress("")
    return times


def median(values):
    return statistics.median(values)


def cpu_of(argv, **kw):
    """CPU seconds (user + system) of a child and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **kw)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Control:
    """A plain QMP client on a sandbox's control socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("r")
        json.loads(self.file.readline())
        self.call("qmp_capabilities")

    def call(self, command, fds=(), **arguments):
        message = json.dumps({"execute": command, "arguments": arguments, "id": 1}).encode() + b"\n"
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([message], ancillary)
        while True:
            reply = json.loads(self.file.readline())
            if reply.get("id") == 1:
                if "error" in reply:
                    raise RuntimeError(f"{command}: {reply['error']}")
                return reply["return"]


def newc_replace(source, target, name, content):
    """Copies a newc cpio, with the content of one file replaced."""
    data, out, at = open(source, "rb").read(), [], 0
    while True:
        fields = [int(data[at + 6 + i * 8:at + 14 + i * 8], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        start = (at + 110 + name_size + 3) & ~3
        path = data[at + 110:at + 110 + name_size - 1].decode()
        body = data[start:start + size]
        if path.lstrip("./") == name:
            body = content
        fields[6] = len(body)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + data[at + 110:at + 110 + name_size]
        out += [head, b"\0" * (-len(head) % 4), body, b"\0" * (-len(body) % 4)]
        if path == "TRAILER!!!":
            break
        at = (start + size + 3) & ~3
    open(target, "wb").write(b"".join(out))


def pss_kib(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def wakeups(pid):
    total = 0
    for line in open(f"/proc/{pid}/status"):
        if "ctxt_switches" in line:
            total += int(line.split()[1])
    return total
