# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starting again, by hand and after a failure; events; what a sandbox uses; its memory as a file."""
import contextlib
import json
import os
import signal
import subprocess

from core import Skipped, check, otherwise

from checks_life import everything, gone, kind, name_of, ready


@contextlib.contextmanager
def events(s, *words):
    """Follows `vmctl events --json`: call the result with what an event must hold to get the next such one."""
    with s.client([s.vmctl, "events", "--json", *words], stderr=subprocess.STDOUT) as process:
        def following(name, **data):
            while True:
                line = process.stdout.readline()
                s.true(line, f"no {name} {data} among the events")
                event = json.loads(line)
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    return event
        yield following


def wait_for(s, path):
    s.until(lambda: os.path.exists(path), f"{path} is there", 60)


# What it finds of its own outside the project tells whether this is a new inside.
COUNTS = ("trap 'exit 0' TERM; echo x >>runs; test -e /tmp/old && echo old >>runs; echo >/tmp/old; touch ready; "
          "while :; do sleep 0.05; done")


def runs(project):
    with open(project + "/runs", encoding="ascii") as f:
        return f.read().split()


def check_again(s, verb):
    project = s.directory(f"again-{verb}")
    box = ready(s, project, COUNTS)
    before, pids = s.record(box), everything(s, box)[1:]
    with events(s, box) as following:
        following("SANDBOX_STATE", state="running")
        os.unlink(project + "/ready")
        done = s.verb(verb, box)
        s.equal(done.status, 0, str(done))
        following("SANDBOX_RESTART", text=f"vmctl {verb}")
        following("SANDBOX_STATE", state="starting")
        following("SANDBOX_STATE", state="running")
        wait_for(s, project + "/ready")
        s.until(lambda: all(gone(pid) for pid in pids), "the old processes have ended")
        after = s.record(box)
        same = ("id", "name", "project", "command", "created", "supervisor", "driver")
        s.equal([after[key] for key in same], [before[key] for key in same])
        s.equal((after["restarts"], after["restart-why"], after["state"]), (1, f"vmctl {verb}", "running"))
        s.equal(runs(project), ["x", "x"], "the inside is not new")
        s.equal(s.verb("exec", box, "--", "sh", "-c", "exit 9").status, 9)
        s.stop(box)
        following("SANDBOX_ENDED", reason="stopped")


@check("restart", "restart: the same sandbox with its command anew, in a new inside")
def _(s):
    check_again(s, "restart")


@check("reset", "reset: the same, at once")
def _(s):
    check_again(s, "reset")


def killed_and_restarted(s):
    """A supervisor was killed, another one came, and is asked to restart."""
    box = ready(s, s.directory("restart-killed"), COUNTS)
    pid = s.record(box)["supervisor"]["pid"]
    os.kill(pid, signal.SIGKILL)
    s.until(lambda: gone(pid), "the supervisor has ended")
    done = s.verb("exec", box, "--", "true")
    s.equal(done.status, 0, f"the next supervisor: {done}")
    return box, s.verb("restart", box)


@check("restart-killed", "restart by the supervisor that came after one that was killed")
def _(s):
    box, done = killed_and_restarted(s)
    s.equal(done.status, 0, str(done))
    s.equal(s.record(box)["restarts"], 1)
    s.stop(box)


@otherwise("restart-killed")
def _(s):
    box, done = killed_and_restarted(s)
    s.equal(done.status, 1, str(done))
    s.has(done.said, "was killed")
    s.equal((s.record(box)["restarts"], s.record(box)["state"]), (0, "running"))
    s.stop(box)


FAILS = "echo x >>runs; touch ready; while [ ! -e go ]; do sleep 0.02; done; exit 3"


@check("restart-policy", "--restart on-failure:1: a command that fails runs once more, and the end is the second one's")
def _(s):
    project = s.directory("policy")
    box = ready(s, project, FAILS, "--restart", "on-failure:1")
    with events(s, box) as following:
        following("SANDBOX_STATE", state="running")
        s.write(project + "/go")
        s.equal(following("SANDBOX_RESTART")["data"], {"text": "exited with 3", "delay-ms": 1000, "restarts": 1})
        following("SANDBOX_STATE", state="running")
        following("SANDBOX_ENDED", reason="exited", status=3)
    s.gone(box)
    s.equal(runs(project), ["x", "x"])
    s.equal([s.record(box)[key] for key in ("restarts", "failures")], [1, 1])


@check("restart-stopped", "--restart on-failure: what is stopped stays down, though its command fails by that")
def _(s):
    project = s.directory("policy-stop")
    box = ready(s, project, "trap 'exit 1' TERM; touch ready; while :; do sleep 0.05; done", "--restart", "on-failure")
    s.stop(box)
    s.gone(box, 1)
    s.equal((kind(s, box), s.record(box)["restarts"]), ("stopped", 0))


@check("watchdog", "--watchdog: when nothing answers inside any more, it ends with that reason")
def _(s):
    project = s.directory("watchdog")
    box = ready(s, project, "touch ready; exec sleep 1000", "--watchdog", "8")
    # The agent where it is a process of this host, else the machine that it is in.
    hung = [pid for pid in everything(s, box) if name_of(pid) == "agent" or name_of(pid).startswith("qemu")]
    with events(s, box) as following:
        following("SANDBOX_STATE", state="running")
        try:
            os.kill(hung[0], signal.SIGSTOP)
        except PermissionError:
            s.stop(box)
            raise Skipped("the agent is root's, and cannot be stopped by this user") from None
        following("SANDBOX_ENDED", reason="watchdog")
    s.gone(box)


@check("stats", "stats tells processor time, memory and processes; of the network what is counted")
def _(s):
    project = s.directory("stats")
    box = ready(s, project, "touch ready; while :; do :; done")

    def stats():
        done = s.verb("stats", "--json", box)
        s.equal(done.status, 0, str(done))
        return json.loads(done.text)[0]

    # Of a half second, in which the machine may do something else.
    s.until(lambda: stats()["cpu-percent"] > 2, "it has processor time", 60)
    one = stats()
    s.true(one["cpu-us"] > 0 and one["cpu-percent"] >= 0, f"no processor time: {one}")
    s.true(one["processes"] >= 3 and one["memory"]["rss"] > 1 << 20, str(one))
    s.true(one["memory"].get("pss", 1) <= one["memory"]["rss"], str(one))
    if s.driver == "qemu":
        s.true(one["disk"]["allocated"] > 0 and one["disk"]["read"] >= 0, str(one))
    else:
        s.equal(one["disk"], None)
    s.true(one["net"]["sent"] >= 0 and one["net"]["received"] >= 0, str(one))
    s.has(s.verb("stats", box).text, one["name"])
    s.stop(box)


@check("core", "core writes the machine's memory, for its user only, and never over a file that is there")
def _(s):
    box, path = s.start("--new", "--memory", "300M"), s.tmp + "/core"
    done = s.verb("core", "--json", box, path, timeout=300)
    s.equal(done.status, 0, str(done))
    told, st = json.loads(done.text), os.stat(path)
    s.equal((told["file"], told["bytes"], st.st_mode & 0o777), (path, st.st_size, 0o600))
    with open(path, "rb") as f:
        magic = f.read(16)
    s.true(magic.startswith((b"makedumpfile\0", b"KDUMP   ") if told["format"] == "kdump-zlib" else b"\x7fELF"),
           f"{told['format']}: {magic}")
    s.equal(s.verb("exec", box, "--", "echo", "goes on").text, "goes on")
    done = s.verb("core", box, path)
    s.equal((done.status, os.stat(path).st_mtime), (1, st.st_mtime), str(done))
    s.has(done.said, "add --force to replace it")
    os.unlink(path)
    s.stop(box)


@otherwise("core")
def _(s):
    path = s.tmp + "/core"
    done = s.verb("core", s.shared(), path)
    s.equal((done.status, os.path.exists(path)), (1, False), str(done))
    s.has(done.said, "is no virtual machine")
