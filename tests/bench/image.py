# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images. Importing a disk of 1 GiB, full of what cannot be compressed, against a copy of it that is as much on the disk in the
end; and running one against QEMU by hand."""
import json, os, shutil, statistics, subprocess, sys, time

import clone, lib

GIB = 1 << 30
FULL = 940 << 20


def make_disks(b):
    root, raw, qcow2 = (os.path.join(b.dir, name) for name in ("image-root", "image.raw", "image.qcow2"))
    for name in ("bin", "etc", "sbin"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    with open(os.path.join(root, "etc/os-release"), "w") as f:
        f.write("ID=bench\n")
    with open(os.path.join(root, "blob"), "wb") as f:
        for _ in range(FULL >> 20):
            f.write(os.urandom(1 << 20))
    path = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", root, raw, str(GIB >> 10)], check=True, env=path)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    shutil.rmtree(root)
    return raw, qcow2


def timed(run):
    start = time.monotonic()
    run()
    return time.monotonic() - start


def measure(b, env, source):
    copy, times = os.path.join(b.dir, "image.copy"), {"import": [], "again": [], "cp": [], "cp-sync": []}

    def vmctl(*args):
        subprocess.run([lib.VMCTL, "image", *args], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def cp():
        subprocess.run(["cp", source, copy], check=True)

    def cp_and_sync():
        cp()
        fd = os.open(copy, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    for i in range(max(3, b.n // 2)):
        lib.progress(f"image import {i + 1}")
        for name, run in (("cp", cp), ("cp-sync", cp_and_sync)):
            os.sync()
            times[name].append(timed(run))
            os.unlink(copy)
        os.sync()
        times["import"].append(timed(lambda: vmctl("import", source, "--name", "bench")))
        times["again"].append(timed(lambda: vmctl("import", source, "--name", "bench", "--force")))
        vmctl("rm", "bench")
    lib.progress("")
    return {name: statistics.median(values) for name, values in times.items()}


def imports(b):
    env = dict(b.env, XDG_DATA_HOME=os.path.join(b.dir, "data"))
    for source in make_disks(b):
        what, t = source.rsplit(".", 1)[1], measure(b, env, source)
        b.row(f"image import, {what}, 1 GiB", t["import"], "s", "cp and fsync", t["cp-sync"], "1.5x")
        b.row(f"image import, {what}, 1 GiB, to the page cache", t["import"], "s", "cp", t["cp"])
        b.row(f"image import, {what}, again", t["again"] * 1000, "ms")


# Running

# The name of the target (its unit has colours around it), or the login prompt, whose program drops what was not sent yet.
READY = (b"Multi-User", b" login: ")


def put(b, env):
    """A Debian with systemd (tests/vm/make-images.sh), imported as "debian"; its disk, or None."""
    made = subprocess.run(["bash", os.path.join(lib.ROOT, "tests/vm/make-images.sh")], stdout=subprocess.PIPE)
    if made.returncode != 0:
        return None
    disk = os.path.join(made.stdout.decode().strip(), "debian.qcow2")
    subprocess.run([lib.VMCTL, "image", "import", "-q", "--name", "debian", disk], env=env, check=True, stdout=subprocess.DEVNULL)
    return disk


def initramfs(b, plan):
    init, target = os.path.join(b.dir, "image-init"), os.path.join(b.dir, "image.cpio")
    subprocess.run(["cc", "-O2", "-static", "-D_GNU_SOURCE", "-o", init, os.path.join(lib.ROOT, "tests/bench/image-init.c")],
                   check=True)
    with open(init, "rb") as f:
        lib.newc_replace(plan["initramfs"], target, "init", f.read())
    return target


def boot_by_hand(b, plan, base, cpio):
    """Until systemd says that it has reached its target; then the machine is thrown away."""
    overlay = os.path.join(b.dir, "by-hand.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay], check=True)
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", *clone.accelerator(),
             "-m", str(plan["memory"] >> 20), "-smp", str(plan["cpus"]), "-kernel", plan["vmlinux"], "-initrd", cpio,
             "-append", "console=ttyS0 quiet cryptomgr.notests no_timer_check systemd.show_status=1",
             "-drive", f"file={overlay},if=virtio,format=qcow2,cache=unsafe", "-serial", "stdio", "-display", "none", "-no-reboot",
             "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
    qboot = "/usr/share/qemu/qboot.rom"
    with subprocess.Popen(words + (["-bios", qboot] if os.access(qboot, os.R_OK) else []), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as p:
        said = b""
        while not any(word in said for word in READY):
            more = os.read(p.stdout.fileno(), 4096)
            if not more:
                raise RuntimeError(said[-2000:])
            said += more
        p.kill()
    os.unlink(overlay)


def runs(b):
    env = dict(b.env, XDG_DATA_HOME=os.path.join(b.dir, "data"))
    base = put(b, env)
    if base is None:
        print("no image: tests/vm/make-images.sh wants root, and a Debian mirror the first time", file=sys.stderr)
        return
    words = [b.project, "--", "true"]
    subprocess.run([lib.VMCTL, "up", "-q", "--image", "debian", "--keep", "bench", *words], env=env, check=True)
    made = lib.interleaved(b.n, {"reset": lambda: subprocess.run([lib.VMCTL, "disk", "reset", "bench"], env=env, check=True)})
    b.row("a new overlay, on the disk (`vmctl disk reset`)", lib.median(made["reset"]) * 1000, "ms", target="<= 30")
    subprocess.run([lib.VMCTL, "template", "build", "-q", "--image", "debian", b.project], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    up = [lib.VMCTL, "up", "-q", "--image", "debian"]
    subprocess.run([*up, *words], env=env, check=True)  # the first one makes the list of pages
    plan = json.loads(subprocess.run([lib.VMCTL, "plan", "--json", "--cold", "--image", "debian", *words], env=env, check=True,
                                     stdout=subprocess.PIPE).stdout)["plan"]
    cpio = initramfs(b, plan)
    t = lib.interleaved(max(3, b.n // 3), {
        "by hand": lambda: boot_by_hand(b, plan, base, cpio),
        "up": lambda: subprocess.run([*up, "--cold", *words], env=env, check=True),
        "template": lambda: subprocess.run([*up, *words], env=env, check=True)})
    b.row("`vmctl up --image debian P -- true`, cold", lib.median(t["up"]), "s", "QEMU by hand to multi-user.target",
          lib.median(t["by hand"]), "<= 1.1")
    b.row("`vmctl up --image debian P -- true`, from its template", lib.median(t["template"]), "s",
          "QEMU by hand to multi-user.target", lib.median(t["by hand"]), "<= 0.25")


# Writing

FILE_MIB, WRITES = 64, 1000


class Inside:
    """A Debian with a file system on a raw file, plugged in as a disk, besides its own, which is an overlay."""

    def __init__(self, b, env, *options):
        self.env, self.project = env, b.project
        raw = os.path.join(b.dir, "raw.img")
        with open(raw, "wb") as f:
            f.truncate(3 * FILE_MIB << 20)
        path = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", raw], check=True, env=path)
        subprocess.run(["cc", "-O2", "-static", "-D_GNU_SOURCE", "-o", os.path.join(b.project, "image-io"),
                        os.path.join(lib.ROOT, "tests/bench/image-io.c")], check=True)
        out = subprocess.run([lib.VMCTL, "up", "-q", "-d", "-T", "--new", "--image", "debian", *options, b.project, "--", "sleep",
                              "infinity"], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        self.box = out.strip()
        self.root("true")
        subprocess.run([lib.VMCTL, "plug", self.box, "disk", raw + ":raw"], env=env, check=True, stdout=subprocess.DEVNULL)
        self.root("mkdir -p /mnt/raw && mount /dev/vdb /mnt/raw")

    def root(self, script):
        return subprocess.run([lib.VMCTL, "exec", "--root", self.box, "--", "sh", "-c", script], env=self.env, check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def writes(self, directory, how, seed):
        return float(self.root(f"'{self.project}/image-io' {directory}/{how} {FILE_MIB} {WRITES} {seed} {how}"))

    def stop(self):
        subprocess.run([lib.VMCTL, "stop", "--force", self.box], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def writes(b):
    """The time is the guest's own. The first round, in which the full files are made, does not count."""
    env = dict(b.env, XDG_DATA_HOME=os.path.join(b.dir, "data"))
    if put(b, env) is None:
        print("no image: tests/vm/make-images.sh wants root, and a Debian mirror the first time", file=sys.stderr)
        return
    for what, options in ("overlay", ()), ("kept overlay", ("--keep", "writes")):
        inside = Inside(b, env, *options)
        try:
            for how, words in ("full", "written before"), ("new", "never written"):
                times = {"/mnt/raw": [], "/var/tmp": []}
                for i in range(max(3, b.n) + 1):
                    lib.progress(f"{what}, {how} {i}")
                    for directory, values in times.items():
                        values.append(inside.writes(directory, how, i + 1))
                lib.progress("")
                rate = {directory: WRITES / statistics.median(values[1:]) for directory, values in times.items()}
                b.row(f"random 4k writes in the {what}, {words}", rate["/var/tmp"], "/s", "a raw file on virtio-blk, same guest",
                      rate["/mnt/raw"], ">= 0.8")
        finally:
            inside.stop()
