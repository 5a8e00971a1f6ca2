# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bwrap and nspawn drivers against their programs run by hand; exec against nsenter; memory of many at rest."""
import json, os, shutil, subprocess, tempfile

import lib


class Direct:
    """bwrap itself, with the mounts and words of `vmctl plan` but for the filter (which only vmctl can make) and the agent.
    vmctl's keeper builds the tree; by hand it is bwrap that does."""

    def __init__(self, bench):
        out = subprocess.run([lib.VMCTL, "plan", "--json", "--driver", "bwrap", "--net", "none", bench.project, "--", "true"],
                             env=bench.env, check=True, stdout=subprocess.PIPE).stdout
        j = json.loads(out)
        self.dir = tempfile.mkdtemp(dir=bench.dir)
        self.contents = {m["target"]: m["content"] for m in j["plan"]["mounts"] if m["kind"] == "file"}
        self.slots = {number: slot for slot, number in j["launch"]["descriptors"].items()}
        self.words = self.usable(j["launch"]["inner"], j["launch"]["tree"], j["plan"]["runtime-dir"])
        self.bwrap = j["plan"]["bwrap"]
        for m in j["plan"]["mounts"]:
            if m["kind"] in ("pin", "absent"):
                os.makedirs(m["source"], exist_ok=True)
            elif m["kind"] == "rw" and m["why"] == "home":
                os.makedirs(m["source"], mode=0o700, exist_ok=True)

    def usable(self, words, tree, runtime):
        at = words.index(runtime + "/root")  # --bind RUNTIME/root /
        out = words[:at - 1] + self.mounts(tree, runtime)
        for word in words[at + 2:]:
            if out and out[-1] == "--seccomp":
                out.pop()
            else:
                out.append(word)
        return out

    def mounts(self, tree, runtime):
        out = []
        for i in range(0, len(tree), 5):
            kind, target, mode, _, value = tree[i:i + 5]
            value = self.dir if value.startswith(runtime + "/") else value
            out += {"ro": ["--ro-bind", value, target], "rw": ["--bind", value, target], "try": ["--ro-bind-try", value, target],
                    "pin": ["--bind", target, target], "protect": ["--ro-bind", target, target], "link": ["--symlink", value, target],
                    "dir": ["--perms", mode, "--dir", target], "file": ["--perms", mode, "--file", value, target],
                    "tmpfs": ["--size", value, "--perms", mode, "--tmpfs", target]}[kind]
        return out

    def run(self):
        fds, words = [], list(self.words)
        for i, word in enumerate(words):
            if word == "--file":
                r, w = os.pipe()
                os.write(w, self.contents[self.slots[int(words[i + 1])][len("file:"):]].encode())
                os.close(w)
                fds.append(r)
                words[i + 1] = str(r)
        try:
            subprocess.run([self.bwrap, *words, "--", "/usr/bin/true"], pass_fds=fds, check=True)
        finally:
            for fd in fds:
                os.close(fd)


class DirectNspawn:
    """systemd-nspawn itself, with the options of `vmctl plan`, and its mounts, id-mapped, as nspawn's own --bind and --tmpfs:
    vmctl's keeper builds that tree; by hand it is nspawn that does. What is no mount (directories, links, files with a text) is there already.
    `bare`: without any of it, of a tree that has nothing but /usr."""

    OWN = ("/dev", "/run", "/tmp", "/proc", "/sys")  # nspawn has its own of these

    def __init__(self, bench, bare=False):
        out = subprocess.run([lib.VMCTL, "plan", "--json", "--driver", "nspawn", "--net", "none", bench.project, "--", "true"],
                             env=bench.env, check=True, stdout=subprocess.PIPE).stdout
        j = json.loads(out)
        words = j["launch"]["argv"]
        words = words[words.index(j["plan"]["nspawn"]):]
        words = [word for word in words[:words.index("--")] if not word.startswith(("--directory=", "--register="))]
        self.shift = next(int(w.split("=")[1].split(":")[0]) for w in words if w.startswith("--private-users="))
        self.dir = tempfile.mkdtemp(dir=bench.dir)
        for name in ("usr", "etc", "proc", "sys", "dev", "run", "tmp", "var"):
            os.mkdir(os.path.join(self.dir, name))
        for name in ("bin", "lib", "lib64", "sbin"):
            os.symlink("usr/" + name, os.path.join(self.dir, name))
        binds = ["--bind-ro=/usr"] if bare else self.mounts(j["launch"]["inner"], {m["target"]: m for m in j["plan"]["mounts"]})
        for directory, subdirectories, files in os.walk(self.dir):
            for name in (".", *subdirectories, *files):
                os.chown(os.path.join(directory, name), self.shift, self.shift, follow_symlinks=False)
        os.chmod(self.dir, 0o755)
        self.words = [*words, "--register=no", "--directory=" + self.dir, *binds, "--", "/usr/bin/true"]
        self.env = dict(os.environ, SYSTEMD_NSPAWN_CHECK_OS_RELEASE="0")

    def mounts(self, tree, plan):
        out = []
        for i in range(0, len(tree), 5):
            kind, target, mode, _, value = tree[i:i + 5]
            source, inside = plan.get(target, {}).get("source", target), self.dir + target
            if kind == "tmpfs" and target not in self.OWN:
                out.append(f"--tmpfs={quoted(target)}:size={value},mode={mode}")
            elif kind in ("rw", "pin"):
                os.makedirs(source, exist_ok=True)
                out.append(f"--bind={quoted(source)}:{quoted(target)}:idmap")
            elif kind in ("ro", "protect") and os.path.exists(source) and not target.startswith("/run/"):
                out.append(f"--bind-ro={quoted(source)}:{quoted(target)}:idmap")
            elif kind == "link" and not os.path.lexists(inside):
                os.makedirs(os.path.dirname(inside), exist_ok=True)
                os.symlink(value, inside)
            elif kind == "dir":
                os.makedirs(inside, exist_ok=True)
            elif kind == "file":
                os.makedirs(os.path.dirname(inside), exist_ok=True)
                open(inside, "w", encoding="utf-8").write(plan[target]["content"])
        return out

    def run(self):
        subprocess.run(self.words, check=True, env=self.env, stdin=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # it complains of its own directory in /run


def quoted(path):
    return path.replace("\\", "\\\\").replace(":", "\\:")


# Each is what the row of a driver is measured against; the second one has no target.
DIRECT = {
    "bwrap": {"the same bwrap words by hand": Direct},
    "nspawn": {"systemd-nspawn with the same options and mounts by hand": DirectNspawn,
               "systemd-nspawn with the same options on a tree that has /usr alone": lambda bench: DirectNspawn(bench, bare=True)},
}


def drivers():
    """nspawn needs root: as anybody else there are no rows of it."""
    return ["bwrap"] + (["nspawn"] if os.geteuid() == 0 and shutil.which("systemd-nspawn") else [])


def options(bench, driver="bwrap", net=("--net", "none")):
    return ["-q", "--driver", driver, *net, bench.project]


def start(bench, n=3):
    for driver in drivers():
        direct = {words: make(bench) for words, make in DIRECT[driver].items()}
        t = lib.interleaved(max(n * bench.n, 10), {
            **{words: one.run for words, one in direct.items()},
            "up": lambda driver=driver: bench.vmctl("up", *options(bench, driver), "--", "true"),
            "net": lambda driver=driver: bench.vmctl("up", *options(bench, driver, ()), "--", "true")})
        for i, words in enumerate(direct):
            bench.row(f"`vmctl up --driver {driver} --net none P -- true`", lib.median(t["up"]) * 1000, "ms", words,
                      lib.median(t[words]) * 1000, "<= 10 ms more" if i == 0 else "")
        bench.row(f"`vmctl up --driver {driver} P -- true`", lib.median(t["net"]) * 1000, "ms", "the same with --net none",
                  lib.median(t["up"]) * 1000)


def record(bench, sandbox):
    return json.load(open(os.path.join(bench.runtime, "vmctl", sandbox, "record.json")))


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def agent_of(bench, sandbox):
    """keeper -> bwrap -> the first process of the pid namespace"""
    pids = [record(bench, sandbox)["keeper"]["pid"]]
    while pids:
        pid = pids.pop()
        if open(f"/proc/{pid}/cmdline").read().startswith("/run/vmctl/agent"):
            return pid
        pids += children(pid)
    raise RuntimeError("no agent")


def detached(bench, driver, *extra, net=("--net", "none")):
    out = bench.vmctl("up", "-d", *extra, *options(bench, driver, net), "--", "sleep", "1000000", stdout=subprocess.PIPE).stdout
    sandbox = out.decode().strip()
    bench.vmctl("exec", sandbox, "--", "true")
    return sandbox


def execute(bench):
    for driver in drivers():
        sandbox = detached(bench, driver)
        agent = agent_of(bench, sandbox)
        keep = ["--preserve-credentials"] if driver == "bwrap" else []
        nsenter = ["nsenter", "-t", str(agent), "-U", "-m", "-p", "-i", "-u", "-n", *keep, "/usr/bin/true"]
        t = lib.interleaved(3 * bench.n, {"nsenter": lambda nsenter=nsenter: subprocess.run(nsenter, check=True),
                                          "exec": lambda sandbox=sandbox: bench.vmctl("exec", sandbox, "--", "true")})
        bench.vmctl("stop", sandbox, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bench.row(f"`vmctl exec S -- true`, {driver}", lib.median(t["exec"]) * 1000, "ms", "nsenter",
                  lib.median(t["nsenter"]) * 1000, "<= 8 ms more")


def many(bench, n=50):
    for driver in drivers():
        sandboxes = []
        for i in range(n):
            lib.progress(f"sandbox {i + 1}/{n}")
            sandboxes.append(detached(bench, driver, "--new"))
        lib.progress("")
        pss = [lib.pss_kib(record(bench, s)["supervisor"]["pid"]) + lib.pss_kib(agent_of(bench, s)) for s in sandboxes]
        bench.vmctl("stop", *sandboxes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bench.row(f"{n} {driver} sandboxes: supervisor and agent of each", lib.median(pss) / 1024, "MiB PSS", target="<= 6")
