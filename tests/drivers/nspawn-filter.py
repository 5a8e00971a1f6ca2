#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which system calls the container lets through: ours (meta/agent/allow-list.h) against systemd-nspawn's own, with the very options
that vmctl gives it. Both are taken from the kernel. TAP."""
import json, os, platform, shutil, signal, subprocess, sys, tempfile

import seccomp

VMCTL = os.environ["VMCTL"]
NUMBERS = range(1024)
failed = 0
count = 0


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


def check(what, wrong):
    global failed, count
    count += 1
    failed += bool(wrong)
    print(f"{'not ' if wrong else ''}ok {count} - {what}")
    if wrong:
        print(f"#   {wrong}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


def below(pid, program):
    """The first process below `pid` that was started as `program`."""
    for child in children(pid):
        with open(f"/proc/{child}/cmdline", "rb") as f:
            found = child if f.read().split(b"\0")[0] == program.encode() else below(child, program)
        if found:
            return found
    return None


def wait_for_cat(process):
    """It answers, so it is no longer what has started it."""
    process.stdin.write(b"up\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"up\n", "it has not started"


def their_filters(words, tmp):
    root = os.path.join(tmp, "root")
    for name in ("usr", "etc", "proc", "sys", "dev", "run", "tmp", "var"):
        os.makedirs(os.path.join(root, name))
    for name in ("bin", "lib", "lib64", "sbin"):
        os.symlink("usr/" + name, os.path.join(root, name))
    shift = next(int(word.split("=")[1].split(":")[0]) for word in words if word.startswith("--private-users="))
    for path in (root, *(entry.path for entry in os.scandir(root))):
        os.chown(path, shift, shift, follow_symlinks=False)
    words = [word for word in words if not word.startswith(("--directory=", "--register="))]
    with subprocess.Popen([*words, "--register=no", "--directory=" + root, "--bind-ro=/usr", "--", "/bin/cat"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, SYSTEMD_NSPAWN_CHECK_OS_RELEASE="0")) as container:
        try:
            wait_for_cat(container)
            return seccomp.filters(below(container.pid, "/bin/cat"))
        finally:
            container.stdin.close()
            container.wait()


def our_filters(project):
    """The agent's, and a command's."""
    subprocess.run([VMCTL, "up", "-q", "-d", "--driver", "nspawn", "--net", "none", project, "--", "sleep", "1000"], check=True,
                   stdout=subprocess.DEVNULL)
    try:
        with subprocess.Popen([VMCTL, "exec", project, "--", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
            wait_for_cat(command)
            status = json.loads(subprocess.run([VMCTL, "status", "--json", project], check=True, stdout=subprocess.PIPE).stdout)
            agent = below(status["keeper"]["pid"], "/run/vmctl/agent")
            found = seccomp.filters(agent), seccomp.filters(below(agent, "cat"))
            command.stdin.close()
            return found
    finally:
        subprocess.run([VMCTL, "stop", "--force", project], check=True, stdout=subprocess.DEVNULL)


def allowed(filters, arch=seccomp.X86_64, bit=0, arguments=(0,) * 6):
    return {number for number in NUMBERS if seccomp.answer(filters, number | bit, arch, arguments) == ("allow",)}


def main():
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        skip("systemd-nspawn, and a process's filters, are root's")
    if platform.machine() != "x86_64":
        skip("filters are compared for x86-64")
    with tempfile.TemporaryDirectory(prefix="vmctl-filter-") as tmp:
        project = os.path.join(tmp, "project")
        os.mkdir(project)
        for name in ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME", "CONFIG_HOME", "DATA_HOME"):
            os.environ["XDG_" + name] = os.path.join(tmp, name)
            os.mkdir(os.environ["XDG_" + name], 0o700)
        plan = json.loads(subprocess.run([VMCTL, "plan", "--json", "--driver", "nspawn", "--net", "none", project, "--", "true"],
                                         check=True, stdout=subprocess.PIPE).stdout)
        words = plan["launch"]["argv"]
        words = words[words.index(plan["plan"]["nspawn"]):]
        theirs = their_filters(words[:words.index("--")], tmp)
        agent, command = our_filters(project)
    audit = (16, 3, 9, 0, 0, 0)  # AF_NETLINK, SOCK_RAW, NETLINK_AUDIT
    check("nspawn has a filter, by hand", not theirs and "none")
    check("the agent may make no call that nspawn's list has not", allowed(agent) - allowed(theirs))
    check("and most of those that it has", len(allowed(agent)) < 250 and len(allowed(agent)))
    check("a command may make fewer", allowed(command) - allowed(agent) or (len(allowed(command)) >= len(allowed(agent)) and "as many"))
    check("none of another architecture's", allowed(agent, seccomp.I386) or allowed(agent, bit=seccomp.X32_BIT) or
          allowed(command, seccomp.I386) or allowed(command, bit=seccomp.X32_BIT))
    check("no audit socket", [f for f in (theirs, agent, command) if seccomp.answer(f, 41, arguments=audit) != ("errno", 97)])
    print(f"# nspawn's has {sorted(allowed(theirs) - allowed(agent))} on top")
    print(f"1..{count}")
    return failed != 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
