# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stopping at each moment, pausing, and the death of each process."""
import contextlib
import glob
import json
import os
import signal
import subprocess

from core import Skipped, check, otherwise


def kind(s, box):
    return s.record(box)["reason"]["kind"]


def children(pid):
    """None, of one that has ended meanwhile."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(word) for word in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def tree(pid):
    """The process and all below it, from the top."""
    return [pid] + [below for child in children(pid) for below in tree(child)]


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def nothing_left(s, box, pids, project_sum=None):
    s.gone(box)
    s.until(lambda: all(gone(pid) for pid in pids), f"all of {pids} have ended")
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        s.hasnt(f.read(), box, "mounts")


def everything(s, box):
    record = s.record(box)
    return [record["supervisor"]["pid"]] + tree(record["keeper"]["pid"])


def ready(s, project, script, *options):
    """A sandbox whose command has said that it is ready (a file in the project)."""
    box = s.start(*options, "--", "sh", "-c", script, project=project)
    s.until(lambda: os.path.exists(project + "/ready"), "the command starts", 60)
    # The command may be quicker than the word of it: until then the sandbox counts as starting.
    s.until(lambda: s.record(box)["state"] == "running", "the sandbox runs")
    return box


@check("stop-at-once", "stop right after up -d: it ends, and nothing is left when stop returns", null=True)
def _(s):
    box = s.up("-d", "-T", "--", "sleep", "1000", project=s.directory("stop1")).text
    done = s.verb("stop", box)
    s.equal(done.status, 0, str(done))
    s.gone(box, 1)
    s.equal(kind(s, box), "stopped")
    s.has(s.verb("stop", box).text, "ended already")


@check("stop-soon", "stop a moment after up -d, at many moments: nothing is left, ever", null=True)
def _(s):
    project = s.directory("stop0")
    for i in range(2 if s.driver == "qemu" else 12):
        box = s.up("-d", "-T", "--", "sleep", "1000", project=project).text
        s.run(["sleep", f"{i * 0.01:.2f}"])
        s.equal(s.verb("stop", "--force", box).status, 0)
        s.gone(box, 1)
        s.until(lambda box=box: box.encode() not in everybody(), f"no process knows of {box}")


def everybody():
    """The words of all processes of this user."""
    words = b""
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as f:
                words += f.read()
        except OSError:
            pass  # it has gone, or is somebody else's
    return words


@check("stop-running", "stop asks with SIGTERM first; what the command writes then is kept", null=True)
def _(s):
    project = s.directory("stop2")
    box = ready(s, project, "trap 'head -c 3000000 /dev/zero >late; exit 0' TERM; touch ready; while :; do sleep 0.1; done")
    pids = everything(s, box)
    s.equal(s.verb("stop", "--time", "60", box).status, 0)  # how long it takes is another check's
    s.gone(box, 1)
    nothing_left(s, box, pids)
    s.equal(kind(s, box), "stopped")
    s.equal(os.path.getsize(project + "/late"), 3000000)


@check("stop-deaf", "a command that ignores SIGTERM is ended by --force at once")
def _(s):
    project = s.directory("stop3")
    box = ready(s, project, "trap '' TERM HUP INT; touch ready; while :; do sleep 1000; done")
    pids = everything(s, box)
    s.equal(s.verb("stop", "--force", box, timeout=15).status, 0)
    nothing_left(s, box, pids)


@check("stop-time", "and by --time after that time")
def _(s):
    project = s.directory("stop4")
    box = ready(s, project, "trap '' TERM HUP INT; touch ready; while :; do sleep 1000; done")
    pids = everything(s, box)
    s.equal(s.verb("stop", "--time", "1", box, timeout=30).status, 0)
    nothing_left(s, box, pids)


@check("stop-starting", "stop while it starts and its client waits: the client gives 125, or 143 if the command ran already")
def _(s):
    project = s.directory("stop5")
    with s.client(s.up_words("--name", "starts", "--", "sleep", "1000", project=project), stderr=subprocess.PIPE) as client:
        s.until(lambda: '"starts"' in s.verb("list", "--json").text, "it is listed")
        done = s.verb("stop", "starts")
        s.equal(done.status, 0, done.said)
        s.true(client.wait(60) in (125, 143), f"the status is {client.returncode}")


@check("end-children", "when the main command ends, so does everything it left inside")
def _(s):
    project = s.directory("children")
    box = s.start("--", "sh", "-c", "trap '' TERM HUP; (trap '' TERM HUP INT; setsid sleep 1000 &) ; touch ready; "
                  "while [ ! -e go ]; do sleep 0.05; done; exit 5", project=project)
    s.until(lambda: os.path.exists(project + "/ready"), "the command starts")
    pids = everything(s, box)
    s.write(project + "/go")
    nothing_left(s, box, pids)
    s.equal((kind(s, box), s.record(box)["reason"]["status"]), ("exited", 5))


@check("pause", "pause stops everything inside, resume lets it go on, and status tells it")
def _(s):
    s.needs_verb("pause", "resume")
    project = s.directory("pause")
    box = ready(s, project, "i=0; while :; do i=$((i+1)); echo $i >c; mv c count; touch ready; sleep 0.02; done")

    def count():
        with open(project + "/count", encoding="ascii") as f:
            return f.read()

    done = s.verb("pause", box)
    if "no control group" in done.said:  # refused, as it should be; tests/vm/groups.sh gives such a user groups
        s.equal((done.status, s.record(box)["state"]), (1, "running"))
        s.stop(box)
        raise Skipped(done.said)
    s.equal(done.status, 0)
    s.equal(s.record(box)["state"], "paused")
    s.has(s.verb("status", box).text, "paused")
    before = count()
    s.run(["sleep", "0.5"])  # nothing happens: that is the point
    s.true(int(count()) - int(before) <= 1, "it went on")  # a rename may have been under way
    s.equal(s.verb("resume", box).status, 0)
    s.until(lambda: count() != before, "it goes on")
    s.equal(s.record(box)["state"], "running")
    s.equal(s.verb("pause", box).status, 0)
    s.equal(s.verb("stop", box).status, 0, "stop of a paused one")
    s.gone(box, 2)


# Limits. tests/vm/groups.sh has what becomes of those who run into them.

def limited(s, *words, project=None):
    """vmctl up with a limit; skipped where vmctl says that nobody keeps it."""
    done = s.run([s.vmctl, "up", "--new", "-T", "--driver", s.driver, *words[:words.index("--")], project or s.project,
                  *words[words.index("--"):]])
    for line in done.said.splitlines():
        if "limits are not kept" in line:
            raise Skipped(line)
    return done


@check("limits-memory", "--memory bounds what commands have")
def _(s):
    done = limited(s, "--memory", "256M", "--", "python3", "-c", "x = bytearray(600 << 20); print('too much')")
    s.hasnt(done.text, "too much")
    s.true(done.status in (1, 137), str(done))  # MemoryError, or killed
    done = limited(s, "--memory", "700M", "--", "python3", "-c", "x = bytearray(300 << 20); print('enough')")
    s.equal((done.status, done.text), (0, "enough"), str(done))


BUSY = """
import os, time
begin = time.monotonic()
pids = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        while time.monotonic() < begin + 2:
            pass
        os._exit(0)
    pids.append(pid)
for pid in pids:
    os.waitpid(pid, 0)
t = os.times()
print((t.children_user + t.children_system) / (time.monotonic() - begin))
"""


@check("limits-cpu", "with --cpus 1 two busy processes get no more than one processor's time")
def _(s):
    if os.cpu_count() < 2:
        raise Skipped("this host has one processor")
    done = limited(s, "--cpus", "1", "--", "python3", "-c", BUSY)
    s.true(done.status == 0 and float(done.text) < 1.3, str(done))


FORKS = """
import os, time
made = 0
try:
    for made in range(200):
        if os.fork() == 0:
            time.sleep(1000)
except BlockingIOError:
    pass
print(made)
"""


@check("limits-processes", "--processes bounds how many there are")
def _(s):
    done = limited(s, "--processes", "32", "--", "python3", "-c", FORKS)
    s.true(done.status == 0 and 8 <= int(done.text) < 32, str(done))


@otherwise("limits-processes")
def _(s):
    done = limited(s, "--processes", "32", "--", "true")
    s.has(done.said, "the process limit is not kept: a virtual machine has a kernel of its own")


# Who dies by kill -9, and what is to come of it (docs/architecture.md).

def summed(project):
    return sorted((name, os.path.getsize(f"{project}/{name}")) for name in os.listdir(project) if name != "ready")


def is_client(pid):
    """vmctl up, or sudo that runs it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"\0up\0" in f.read()
    except OSError:  # it has gone
        return False


@check("crash-client", "the client of a sandbox in the foreground: the sandbox ends by itself", null=True)
def _(s):
    project = s.directory("crash1")
    s.write(project + "/file", "not to be touched")
    with s.client(s.up_words("--", "sh", "-c", "echo up; exec sleep 1000", project=project), stderr=subprocess.DEVNULL) as client:
        s.equal(client.stdout.readline(), b"up\n")
        box = json.loads(s.verb("status", "--json", project).out)["id"]
        pids = everything(s, box)
        s.kill([pid for pid in tree(client.pid) if is_client(pid)][-1])  # sudo, where it is there, ends with it
        client.wait()
    nothing_left(s, box, pids)
    s.equal(kind(s, box), "client-gone")
    s.equal(summed(project), [("file", 17)])


@check("crash-supervisor", "the supervisor: the sandbox goes on, and the next vmctl gives it a new one", null=True)
def _(s):
    project = s.directory("crash2")
    box = ready(s, project, "touch ready; while [ ! -e go ]; do sleep 0.05; done; echo last words; exit 23")
    old = s.record(box)["supervisor"]["pid"]
    keeper = {pid: name_of(pid) for pid in tree(s.record(box)["keeper"]["pid"]) if not is_command(pid)}
    s.kill(old)
    s.until(lambda: gone(old), "it is dead")
    s.has(s.verb("list", "--json").text, box)
    # Another check's vmctl may have been the next, and be at it still.
    s.until(lambda: s.record(box)["supervisor"]["pid"] != old, "there is a new supervisor")
    s.equal([(pid, name) for pid, name in keeper.items() if gone(pid)], [], "these have ended")
    done = s.verb("exec", box, "--", "sh", "-c", "cat; exit 4", input=b"works")
    s.equal((done.status, done.out), (4, b"works"))
    pids = everything(s, box)
    s.write(project + "/go")
    nothing_left(s, box, pids)
    s.equal((kind(s, box), s.record(box)["reason"]["status"]), ("exited", 23))
    s.has(s.verb("logs", "--output", box).text, "last words")


@check("crash-both", "supervisor and keeper together: everything ends, the next vmctl cleans up")
def _(s):
    project = s.directory("crash3")
    s.write(project + "/file", "not to be touched")
    box = ready(s, project, "touch ready; exec sleep 1000")
    pids = everything(s, box)
    os.kill(pids[0], signal.SIGSTOP)  # with its lock: no other check's vmctl gives the keeper a new one in between
    s.kill(pids[1])
    s.kill(pids[0])
    s.until(lambda: all(gone(pid) for pid in pids), "all have ended")
    s.equal(s.verb("list", "--json").status, 0)
    nothing_left(s, box, pids)
    s.equal(kind(s, box), "supervisor-lost")
    s.has(s.verb("status", box).text, "killed")
    s.equal(summed(project), [("file", 17)])


@check("crash-keeper", "the keeper: everything ends, with the reason")
def _(s):
    project = s.directory("crash4")
    box = ready(s, project, "touch ready; exec sleep 1000")
    pids = everything(s, box)
    s.kill(pids[1])
    nothing_left(s, box, pids)
    s.equal((kind(s, box), s.record(box)["reason"].get("signal")), ("vmm-signal", 9))


@check("crash-driver", "each process between the keeper and the command: everything ends, with the reason")
def _(s):
    project = s.directory("crash5")
    s.write(project + "/file", "not to be touched")
    at = 2
    while True:
        box = ready(s, project, "touch ready; exec sleep 1000")
        pids = [pid for pid in everything(s, box) if not is_net(pid)]
        if at >= len(pids) or is_command(pids[at]):
            s.verb("stop", "--force", box)
            break
        s.kill(pids[at])
        nothing_left(s, box, pids)
        # systemd-nspawn tells of a payload that was killed by its own status.
        known = ("vmm-signal", "agent-failed") + (("vmm-failed",) if s.driver == "nspawn" else ())
        s.true(kind(s, box) in known, f"process {at}: the reason is {kind(s, box)}")
        os.unlink(project + "/ready")
        at += 1
    s.true(at > 2, f"there was none: {pids}")
    s.equal(summed(project), [("file", 17)])


def is_net(pid):
    """The network's helper, which is replaced (tests/net)."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip() == "vmctl-net"
    except OSError:
        return False


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return "gone"


def is_command(pid):
    return name_of(pid) in ("sleep", "sh", "touch", "gone")  # a short one may have ended


@check("crash-all", "all of them at once: the next vmctl cleans up, and says which protected paths were written")
def _(s):
    project = s.directory("crash6")
    box = ready(s, project, "echo '[defaults]' >.vmctl.conf; touch ready; exec sleep 1000")
    s.true(os.path.isdir(project + "/.envrc"), "nothing stands at the protected names")
    pids = everything(s, box)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it went with one of the others
            s.kill(pid)
    s.until(lambda: all(gone(pid) for pid in pids), "all have ended")
    listed = s.verb("list", "--json")
    s.equal(listed.status, 0)
    nothing_left(s, box, pids)
    # Another check's vmctl may have been the next: the record knows it in any case.
    s.has(str(s.record(box)["warnings"]), ".vmctl.conf' appeared")
    s.has(s.verb("status", box).text, ".vmctl.conf' appeared")
    s.equal(sorted(os.listdir(project)), [".vmctl.conf", "ready"])


# Root inside

@check("sudo", "sudo inside makes root of the guest, without a password")
def _(s):
    s.equal(s.shell("sudo id -u"), "0")
    s.equal(s.inside("sudo", "sh", "-c", "exit 7").status, 7)
    s.equal(s.shell("echo typed | sudo cat"), "typed")
    s.equal(s.inside("id", "-u", options=("--root",)).text, "0")


@otherwise("sudo")
def _(s):
    done = s.inside("sudo", "id", "-u")
    s.true(done.status != 0, f"sudo works: {done}")
    s.true(done.text != "0" or s.uid == 0, "it makes root")
    for word in ("qemu", "virtual machine"):
        if word in done.said:
            break
    else:
        s.has(done.said, "virtual machine", "it does not say that only a VM offers it")
    s.true(s.inside("id", "-u", options=("--root",)).status != 0, "exec --root works")


@check("no-root", "with --no-root nobody becomes root")
def _(s):
    done = s.up("--new", "--no-root", "--", "sh", "-c", "sudo id -u 2>/dev/null; grep NoNewPrivs /proc/self/status")
    s.equal(done.text, "NoNewPrivs:\t1", str(done))
