#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The floor of a start from a template: a clone as one would write it by hand, with vmctl's own kernel, modules, memory and
processors. No jail, no agent, no identity, no cleaning up; `-incoming` by descriptor, QMP sent ahead in one piece.

    clone.py VMLINUX INITRAMFS BASE-DISK PROJECT MEMORY-MIB CPUS ROOT DIR   makes the template in DIR, runs one clone

INITRAMFS holds floor-init as /init (tests/bench/bench.py makes it)."""
import json, os, shutil, socket, subprocess, sys, time

APPEND = "console=ttyS0 panic=-1 quiet cryptomgr.notests no_timer_check floor.template"
IGNORE = {"execute": "migrate-set-capabilities",
          "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}}


def accelerator():
    """As vmctl chooses it (vmctl/host.c)."""
    if os.access("/dev/kvm", os.W_OK) and any(os.path.exists("/sys/module/kvm_" + v) for v in ("intel", "amd")):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg", "-cpu", "max,la57=off"]


class Clone:
    def __init__(self, vmlinux, initramfs, base, project, memory, cpus, root, directory):
        self.kernel = ["-kernel", vmlinux, "-initrd", initramfs, "-append", APPEND]
        self.base, self.project, self.root, self.dir = base, project, root, directory
        self.size = ["-m", str(memory), "-smp", str(cpus)]
        self.memory = memory

    def words(self, qmp, ctl, share, disk):
        ram = f"memory-backend-file,id=ram,size={self.memory}M,mem-path={self.dir}/ram,share={share}"
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35,memory-backend=ram", *accelerator(),
                *self.size, "-object", ram, "-serial", "stdio", "-display", "none", "-no-reboot",
                "-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control",
                "-device", "virtio-serial-pci,max_ports=4", "-chardev", f"socket,id=ctl,fd={ctl}",
                "-device", "virtserialport,id=port,nr=1,chardev=ctl,name=floor.ctl",
                "-fsdev", f"local,id=ro,path={self.root},security_model=none,multidevs=remap,readonly=on",
                "-device", "virtio-9p-pci,fsdev=ro,mount_tag=floor.ro",
                "-fsdev", f"local,id=rw,path={self.project},security_model=none,multidevs=remap",
                "-device", "virtio-9p-pci,fsdev=rw,mount_tag=floor.rw",
                "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe", "-device", "virtio-net-pci,romfile="]

    def start(self, share, disk, more, fds=()):
        qmp, its_qmp = socket.socketpair()
        ctl, its_ctl = socket.socketpair()
        pass_fds = [its_qmp.fileno(), its_ctl.fileno(), *fds]
        p = subprocess.Popen(self.words(pass_fds[0], pass_fds[1], share, disk) + more, pass_fds=pass_fds,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        its_qmp.close()
        its_ctl.close()
        return p, qmp, ctl

    def build(self):
        disk = self.dir + "/build.qcow2"
        shutil.copy(self.base, disk)
        p, qmp, ctl = self.start("on", disk, self.kernel)
        lines = qmp.makefile("r")

        def until(what):
            while True:
                message = json.loads(lines.readline())
                if what(message):
                    return message

        def call(command, fds=(), **arguments):
            socket.send_fds(qmp, [json.dumps({"execute": command, "arguments": arguments}).encode()], list(fds))
            return until(lambda m: "return" in m or "error" in m)
        call("qmp_capabilities")
        until(lambda m: m.get("event") == "VSERPORT_CHANGE" and m["data"]["open"])
        qmp.sendall(json.dumps(IGNORE).encode())
        until(lambda m: "return" in m)
        state = os.open(self.dir + "/state", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        call("getfd", [state], fdname="state")
        call("migrate", uri="fd:state")
        while call("query-migrate")["return"].get("status") != "completed":
            time.sleep(0.01)
        call("quit")
        p.communicate()
        os.close(state)
        ctl.close()

    def run(self):
        """One clone: `true` in the project, to QEMU's end."""
        disk = self.dir + "/clone.qcow2"
        shutil.copy(self.base, disk)
        state = os.open(self.dir + "/state", os.O_RDONLY)
        p, qmp, ctl = self.start("off", disk, ["-incoming", "defer"], [state])
        qmp.sendall(b'{"execute":"qmp_capabilities"}' + json.dumps(IGNORE).encode() +
                    json.dumps({"execute": "migrate-incoming", "arguments": {"uri": f"fd:{state}"}}).encode())
        ctl.sendall(b"%d\n" % time.time())
        out = p.communicate()[0]
        os.close(state)
        qmp.close()
        ctl.close()
        if b"floor: status 0" not in out:
            raise RuntimeError(out)


if __name__ == "__main__":
    clone = Clone(*sys.argv[1:])
    clone.build()
    clone.run()
