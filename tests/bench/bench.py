#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures vmctl against named baselines, in one run, interleaved, medians. Never a test: it asserts nothing.

    bench.py [--n 10] [--only cold,template,memory,exec,stream,rest,pause,plug,qmp,list,plan,bwrap,bwrap-exec,bwrap-many,screenshot,net-vm,net-bwrap,net-connect,net-rest,image-import,image-run,image-write] [--json]

Baselines: floor.sh (cold start by hand), clone.py (a clone by hand), ssh into the same guest (exec), a raw virtio-serial port of the same guest (stream),
QEMU's own user network and slirp4netns (net-vm, net-bwrap)."""
import argparse, glob, json, os, shutil, socket, subprocess, sys, tempfile, threading, time

import clone, image, lib, namespace, net

MEGABYTES = 100


class Bench:
    def __init__(self, n):
        self.n, self.rows = n, []
        self.dir = tempfile.mkdtemp(prefix="vmctl-bench-")
        self.project = os.path.join(self.dir, "project")
        os.mkdir(self.project)
        runtime = os.path.join(self.dir, "run")
        os.mkdir(runtime, 0o700)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=runtime, XDG_STATE_HOME=os.path.join(self.dir, "state"),
                        XDG_CACHE_HOME=os.environ.get("BENCH_CACHE", os.path.join(self.dir, "cache")))
        self.runtime = runtime

    def vmctl(self, *args, **kw):
        return subprocess.run([lib.VMCTL, *args], env=self.env, check=True, **kw)

    def row(self, name, value, unit, baseline=None, base_value=None, target=None):
        self.rows.append(dict(name=name, value=value, unit=unit, baseline=baseline, base_value=base_value,
                              ratio=value / base_value if base_value else None, target=target))

    def plan(self):
        out = subprocess.run([lib.VMCTL, "plan", "--json", self.project, "--", "true"], env=self.env, check=True,
                             stdout=subprocess.PIPE).stdout
        return json.loads(out)["plan"]

    # cold start

    def floor_initramfs(self, plan):
        init = os.path.join(self.dir, "floor-init")
        subprocess.run(["cc", "-O2", "-static", "-D_GNU_SOURCE", "-o", init,
                        os.path.join(lib.ROOT, "tests/bench/floor-init.c")], check=True)
        target = os.path.join(self.dir, "floor.cpio")
        lib.newc_replace(plan["initramfs"], target, "init", open(init, "rb").read())
        return target

    def floor_root(self):
        """The same small tree that vmctl exports: /usr and the links into it, and mount points."""
        root = tempfile.mkdtemp(prefix="floor-root-", dir=self.dir)
        for name in ("proc", "dev", "tmp", "usr"):
            os.mkdir(os.path.join(root, name))
        for link in ("bin", "lib", "lib64", "sbin"):
            os.symlink("usr/" + link, os.path.join(root, link))
        subprocess.run(["mount", "--bind", "/usr", os.path.join(root, "usr")], check=True)
        return root

    def cold(self):
        self.vmctl("up", "-q", "--cold", self.project, "--", "true")
        plan = self.plan()
        root = self.floor_root()
        floor = [os.path.join(lib.ROOT, "tests/bench/floor.sh"), plan["vmlinux"], self.floor_initramfs(plan),
                 plan["disk-base"], self.project, str(plan["memory"] >> 20), str(plan["cpus"]), root]

        def run_floor():
            out = subprocess.run(floor, check=True, stdout=subprocess.PIPE).stdout
            if b"floor: status 0" not in out:
                raise RuntimeError(out)
        try:
            t = lib.interleaved(self.n, {"floor": run_floor,
                                         "up": lambda: self.vmctl("up", "-q", "--cold", self.project, "--", "true")})
        finally:
            subprocess.run(["umount", os.path.join(root, "usr")], check=True)
        self.row("cold `vmctl up P -- true`", lib.median(t["up"]), "s", "floor.sh", lib.median(t["floor"]), "<= 1.15")

    # from a template

    def template(self):
        self.vmctl("template", "build", "-q", self.project, stdout=subprocess.DEVNULL)
        plan = self.plan()
        root, directory = self.floor_root(), os.path.join(self.dir, "clone")
        os.mkdir(directory)
        by_hand = clone.Clone(plan["vmlinux"], self.floor_initramfs(plan), plan["disk-base"], self.project, plan["memory"] >> 20,
                              plan["cpus"], root, directory)
        try:
            by_hand.build()
            t = lib.interleaved(self.n, {"cold": lambda: self.vmctl("up", "-q", "--cold", self.project, "--", "true"),
                                         "by hand": by_hand.run,
                                         "up": lambda: self.vmctl("up", "-q", self.project, "--", "true")})
        finally:
            subprocess.run(["umount", os.path.join(root, "usr")], check=True)
        name = "`vmctl up P -- true` from a template"
        self.row(name, lib.median(t["up"]), "s", "the same, cold", lib.median(t["cold"]), "<= 0.25")
        self.row(name, lib.median(t["up"]), "s", "clone.py, by hand", lib.median(t["by hand"]), "<= 1.25")

    def machines(self, count, *options):
        """Their PSS together, in MiB, once all have run a command."""
        ids = [self.vmctl("up", "-q", "-d", "--new", *options, self.project, "--", "sleep", "1000000",
                          stdout=subprocess.PIPE).stdout.decode().strip() for _ in range(count)]
        try:
            for sandbox in ids:
                self.vmctl("exec", sandbox, "--", "sh", "-c", "echo hello", stdout=subprocess.DEVNULL)
            return sum(lib.pss_kib(pid) for sandbox in ids for pid in self.qemu_of(sandbox)) / 1024
        finally:
            self.vmctl("stop", "--force", *ids, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def qemu_of(self, sandbox):
        record = json.load(open(os.path.join(self.runtime, "vmctl", sandbox, "record.json")))
        pids = [record["keeper"]["pid"]]
        for pid in pids:
            pids += namespace.children(pid)
        return [pid for pid in pids if open(f"/proc/{pid}/comm").read().startswith("qemu")]

    def memory(self):
        self.vmctl("template", "build", "-q", self.project, stdout=subprocess.DEVNULL)
        cold = self.machines(1, "--cold")
        self.row("eight machines from a template", self.machines(8), "MiB PSS", "one that booted", cold, "<= 1.6")
        self.vmctl("template", "build", "-q", "--memory", "1G", self.project, stdout=subprocess.DEVNULL)
        listed = json.loads(self.vmctl("template", "--json", stdout=subprocess.PIPE).stdout)
        size = next(t["bytes"] for t in listed if t["machine"]["memory"] == 1 << 30)
        self.row("the template of a guest with 1 GiB, on the disk", size / (1 << 20), "MiB", target="<= 120")

    # a running guest

    def start(self):
        out = self.vmctl("up", "-q", "-d", self.project, "--", "sleep", "1000000", stdout=subprocess.PIPE).stdout
        self.id = out.decode().strip()
        while subprocess.run([lib.VMCTL, "exec", self.id, "--", "true"], env=self.env,
                             stderr=subprocess.DEVNULL).returncode != 0:
            time.sleep(0.1)
        self.control = lib.Control(os.path.join(self.runtime, "vmctl", self.id, "control.sock"))

    def exec(self):
        """ssh comes by a port of its own: the network lets nobody in."""
        key, listener, path = os.path.join(self.dir, "key"), socket.socket(socket.AF_UNIX), os.path.join(self.dir, "ssh")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shutil.copy(key + ".pub", os.path.join(self.project, "key.pub"))
        shutil.copy(os.path.join(lib.ROOT, "tests/bench/guest-sshd.py"), self.project)
        listener.bind(path)
        listener.listen(8)
        self.add_port("ssh", 3, listener, True)
        self.guest_root("mkdir -p /run/sshd /root/.ssh; cp key.pub /root/.ssh/authorized_keys;"
                        "chmod 700 /root/.ssh; chmod 600 /root/.ssh/authorized_keys; chown -R 0:0 /root/.ssh;"
                        "mkdir -p /etc/ssh; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/hk;"
                        "printf 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\\n' >> /etc/passwd;"
                        "setsid python3 guest-sshd.py </dev/null >/dev/null 2>&1 &")
        ssh = ["ssh", "-i", key, "-o", f"ProxyCommand=socat - UNIX-CONNECT:{path}", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-F", "none", "root@guest", "true"]
        wait_for(lambda: subprocess.run(ssh, stderr=subprocess.DEVNULL).returncode == 0, 120)
        t = lib.interleaved(self.n, {"ssh": lambda: subprocess.run(ssh, check=True),
                                     "exec": lambda: self.vmctl("exec", self.id, "--", "true")})
        self.row("`vmctl exec S -- true`", lib.median(t["exec"]), "s", "ssh, same guest", lib.median(t["ssh"]), "<= 0.2")

    def add_port(self, name, number, sock, is_server):
        self.control.call("getfd", fds=[sock.fileno()], fdname=name)
        data = {"addr": {"type": "fd", "data": {"str": name}}, "server": is_server}
        if is_server:
            data["wait"] = False
        self.control.call("chardev-add", id=name, backend={"type": "socket", "data": data})
        self.control.call("device_add", driver="virtserialport", id=name + "port", bus="serial.0", nr=number, chardev=name,
                          name=name)

    def guest_root(self, script):
        self.vmctl("exec", "--root", self.id, "--", "sh", "-c", script)

    def stream(self):
        ours, theirs = socket.socketpair()
        self.add_port("raw", 2, theirs, False)
        theirs.close()
        ours.settimeout(60)
        count = MEGABYTES << 20
        self.guest_root("until [ -e /dev/vport*p2 ]; do :; done; chmod 666 /dev/vport*p2")
        script = f"head -c {count} /dev/zero"

        def raw():
            writer = threading.Thread(target=lambda: self.vmctl(
                "exec", self.id, "--", "sh", "-c", script + " > $(echo /dev/vport*p2)"))
            writer.start()
            got = 0
            while got < count:
                got += len(ours.recv(1 << 20))
            writer.join()

        def framed():
            self.vmctl("exec", self.id, "--", "sh", "-c", script, stdout=subprocess.DEVNULL)
        t = lib.interleaved(max(3, self.n // 2), {"raw port": raw, "exec": framed})
        self.row(f"{MEGABYTES} MB of stdout through exec", MEGABYTES / lib.median(t["exec"]), "MB/s",
                 "raw virtio-serial port", MEGABYTES / lib.median(t["raw port"]), ">= 0.5")

    def rest(self):
        record = json.load(open(os.path.join(self.runtime, "vmctl", self.id, "record.json")))
        pid = record["supervisor"]["pid"]
        before = lib.wakeups(pid)
        time.sleep(10)
        self.row("supervisor at rest", lib.pss_kib(pid) / 1024, "MiB PSS", target="<= 8")
        self.row("its wake-ups in 10 s", lib.wakeups(pid) - before, "", target="0")

    def pause(self):
        t = lib.interleaved(self.n, {"pause": lambda: self.vmctl("pause", self.id), "resume": lambda: self.vmctl("resume", self.id)})
        for verb in t:
            self.row(f"`vmctl {verb} S`", lib.median(t[verb]) * 1000, "ms", target="<= 50")

    def plug(self):
        """From the verb's start until a program inside has read a file of the directory: it waits for it by itself."""
        more = os.path.join(self.dir, "more")
        os.mkdir(more)
        with open(os.path.join(more, "file"), "w", encoding="ascii") as f:
            f.write("x")
        times = []
        script = "echo go; while ! test -e /mnt/plugged/file; do :; done; echo there; while test -e /mnt/plugged/file; do :; done; echo gone"
        for _ in range(self.n):
            inside = subprocess.Popen([lib.VMCTL, "exec", self.id, "--", "sh", "-c", script], env=self.env, stdout=subprocess.PIPE)
            assert inside.stdout.readline() == b"go\n"
            began = time.monotonic()
            self.vmctl("plug", self.id, "dir", f"{more}:/mnt/plugged", "--id", "bench", stdout=subprocess.DEVNULL)
            assert inside.stdout.readline() == b"there\n"
            times.append(time.monotonic() - began)
            self.vmctl("unplug", self.id, "bench")
            assert inside.stdout.readline() == b"gone\n"
            inside.wait()
        self.row("`vmctl plug S dir D` to visible inside", lib.median(times), "s", target="<= 0.25")

    def qmp(self):
        """A machine of its own is the baseline: QEMU's monitor talks to one, and that is the supervisor."""
        path, count = os.path.join(self.dir, "direct"), 2000
        with subprocess.Popen(["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-qmp",
                               f"unix:{path},server=on,wait=off"]) as qemu:
            wait_for(lambda: os.path.exists(path), 20)
            direct = lib.Control(path)

            def ask(control):
                for _ in range(count):
                    control.call("query-status")
            t = lib.interleaved(max(3, self.n // 2), {"direct": lambda: ask(direct), "control socket": lambda: ask(self.control)})
            qemu.kill()
        self.row("`query-status` through the control socket", count / lib.median(t["control socket"]), "/s", "QEMU's own socket",
                 count / lib.median(t["direct"]), ">= 0.7")

    def stop(self):
        self.vmctl("stop", self.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    # without a guest

    def list(self):
        state = tempfile.mkdtemp(dir=self.dir)
        sandboxes = os.path.join(state, "vmctl/sandboxes")
        os.makedirs(sandboxes, 0o700)
        self.vmctl("up", "-q", "--driver", "null", self.project, "--", "true")
        source = sorted(glob.glob(os.path.join(self.env["XDG_STATE_HOME"], "vmctl/sandboxes/*/record.json")))[0]
        for i in range(50):
            record = json.load(open(source))
            record["id"] = f"bench{i:03d}"
            path = os.path.join(sandboxes, record["id"])
            os.mkdir(path, 0o700)
            json.dump(record, open(os.path.join(path, "record.json"), "w"))
        env = dict(self.env, XDG_STATE_HOME=state)
        times = [lib.cpu_of([lib.VMCTL, "list", "--all"], env=env) for _ in range(self.n)]
        self.row("`vmctl list --all`, 50 recorded", lib.median(times) * 1000, "ms CPU", target="<= 10")

    def plan_cost(self):
        out = subprocess.run([os.path.join(os.path.dirname(lib.VMCTL), "../tests/golden-plan-test"), "--cost", "debian"],
                             check=True, stdout=subprocess.PIPE).stdout
        self.row("making the plan", float(out) * 1000, "ms CPU", target="< 5")
        empty = [lib.cpu_of([lib.VMCTL, "version"], env=self.env) for _ in range(self.n)]
        times = [lib.cpu_of([lib.VMCTL, "plan", self.project, "--", "true"], env=self.env) for _ in range(self.n)]
        self.row("`vmctl plan` (with process start)", lib.median(times) * 1000, "ms CPU", "vmctl version",
                 lib.median(empty) * 1000, None)


def screenshot(b):
    """A screen of the usual size, in a machine and in namespaces."""
    for driver in ("qemu", "bwrap"):
        box = b.vmctl("up", "-d", "-q", "-T", "--new", "--driver", driver, "--display", "none", b.project, "--", "sleep", "1000",
                      stdout=subprocess.PIPE, text=True).stdout.strip()
        b.vmctl("exec", box, "--", "xsetroot", "-solid", "#336699")  # waits until it is up
        shot = lambda: b.vmctl("screenshot", box, os.path.join(b.dir, "x.png"))
        t = lib.interleaved(b.n, {"shot": shot})
        b.vmctl("stop", box, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        b.row(f"`vmctl screenshot`, 1280x800, {driver}", lib.median(t["shot"]) * 1000, "ms", target="at most 300 ms")


def wait_for(check, seconds):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise RuntimeError("timed out")
        time.sleep(0.2)


def table(rows):
    print("| what | measured | baseline | ratio | target |\n| --- | --- | --- | --- | --- |")
    for r in rows:
        base = f"{r['baseline']}: {r['base_value']:.3f}" if r["baseline"] else ""
        ratio = f"{r['ratio']:.3f}" if r["ratio"] else ""
        print(f"| {r['name']} | {r['value']:.3f} {r['unit']} | {base} | {ratio} | {r['target'] or ''} |")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=10)
    p.add_argument("--only", default="cold,template,memory,exec,stream,rest,pause,plug,qmp,list,plan,bwrap,bwrap-exec,bwrap-many,screenshot,net-vm,net-bwrap,net-connect,net-rest,image-import,image-run,image-write")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    only, b = a.only.split(","), Bench(a.n)
    try:
        if "cold" in only:
            b.cold()
        for name in ("template", "memory"):
            if name in only:
                getattr(b, name)()
        if {"exec", "stream", "rest", "pause", "plug", "qmp"} & set(only):
            b.start()
            try:
                for name in ("rest", "pause", "plug", "qmp", "exec", "stream"):
                    if name in only:
                        getattr(b, name)()
            finally:
                b.stop()
        if "list" in only:
            b.list()
        if "plan" in only:
            b.plan_cost()
        for name, run in (("bwrap", namespace.start), ("bwrap-exec", namespace.execute), ("bwrap-many", namespace.many), ("screenshot", screenshot),
                          ("net-vm", net.vm), ("net-bwrap", net.bwrap), ("net-connect", net.connect), ("net-rest", net.rest),
                          ("image-import", image.imports), ("image-run", image.runs), ("image-write", image.writes)):
            if name in only:
                run(b)
    finally:
        shutil.rmtree(b.dir, ignore_errors=True)
    if a.json:
        print(json.dumps(b.rows, indent=2))
    else:
        table(b.rows)


main()
