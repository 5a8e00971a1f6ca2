# SPDX-License-Identifier: LGPL-2.1-or-later
"""Importing a disk of 1 GiB, full of what cannot be compressed, against a copy of it that is as much on the disk in the end."""
import os, shutil, statistics, subprocess, time

import lib

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
