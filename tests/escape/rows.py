# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of the test catalogue and what of each is done or seen from outside. In a row, `e.part(NAME, HELD, DETAIL)`
is one observation; what the probe reports inside comes to it."""
import contextlib
import json
import os
import pty
import re
import secrets
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import traceback
from types import SimpleNamespace

from checks_life import tree
from core import SLOW, Failed, Skipped

NAMES = {
    "A1": "links out of the project are not followed by the host's readers",
    "A2": "a directory swapped for a link while the host looks",
    "A3": "a link of the host to a file outside leads nowhere inside",
    "A4": "a project path that changes between check and mount",
    "A5": "no setuid or setgid bit, device, or foreign owner reaches the host",
    "A6": "file names with control characters are escaped where vmctl shows them",
    "A7": "git settings and hooks made inside are not run by vmctl",
    "A8": "protected paths that were not there at the start",
    "A9": "a .git file that points elsewhere widens nothing",
    "A10": "settings and hooks of the coding agent are the host's alone",
    "A11": "protected paths hold against rename, links, mounts",
    "A12": "other spellings of a path lead to the same decision",
    "A13": "a share in a share",
    "A14": "special files of the project hang nobody",
    "A15": "very many open files, very long names",
    "A16": "what is read-only cannot be written by any way",
    "A17": "filling the disk",
    "A18": "a project path made of options is that directory",
    "A19": "the root, the home and system directories are refused",
    "A20": "removing state does not follow what the sandbox planted",
    "B21": "the host's processes are not to be seen nor signalled",
    "B22": "the host's sockets, abstract ones too, and vmctl's own are out of reach",
    "B23": "nothing is typed into the caller's terminal",
    "B24": "system calls that widen the kernel's surface",
    "B25": "vmctl's own programs cannot be overwritten",
    "B26": "no descriptor of the caller is inherited",
    "B27": "the supervisor loses no descriptors",
    "B28": "odd command lines are run as they are, or refused",
    "B29": "no way to more rights",
    "B30": "root inside is not root outside",
    "B31": "records, pids and locks made inside mean nothing",
    "B32": "no terminal server of the sandbox is attached to",
    "B33": "terminal sequences are escaped in listings and logs",
    "B34": "the terminal is restored",
    "B35": "absurd terminal sizes",
    "B36": "keys go to the sandbox, the detach key to vmctl",
    "B37": "too many processes",
    "B38": "the first process ends at once",
    "B39": "without namespaces it fails closed, with the mend",
    "B40": "no weaker driver is chosen silently",
}
STARTED = []  # processes of the host to be ended
ROWS = {}
ESC = "\x1b"


def row(*names):
    def register(function):
        ROWS[names] = function
        return function
    return register


def run(e, wanted):
    for names, function in ROWS.items():
        if wanted and not set(names) & set(wanted):
            continue
        try:
            function(e)
        except Skipped as why:
            for name in names:
                e.skipped[name] = str(why)
        except Failed as why:
            e.part(f"{names[0]}-run", False, str(why))
        except Exception:
            e.part(f"{names[0]}-run", False, traceback.format_exc())


def listener(address):
    s = socket.socket(socket.AF_UNIX)
    s.bind(address)
    s.listen()
    return s


def prepare(e):
    """The project with its traps, and the canaries outside."""
    project = e.directory("trap/project")
    e.write(e.tmp + "/trap/canary", "canary\n")
    os.symlink(e.tmp + "/trap/canary", project + "/link-to-canary")
    os.symlink(e.tmp + "/trap", project + "/link-to-dir")
    e.write(project + "/.git/hooks/pre-commit", "keep", 0o755)
    e.write(project + "/.git/config", "[core]\n")
    os.mkfifo(project + "/host-fifo")
    if e.uid == 0:
        os.mknod(project + "/host-null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    shutil.copy(os.environ["VMCTL_PROBE"], project + "/vmctl-probe")
    return project


def probe_words(e, project, part):
    words = {"project": project, "canary": e.tmp + "/trap/canary", "runtime": e.runtime, "marker": e.marker, "pid": e.canary.pid,
             "abstract": e.marker[:20], "socket": e.tmp + "/s"}
    return ["./vmctl-probe", part, *[f"{k}={v}" for k, v in words.items()]]


@row("A3", "A5", "A6", "A11", "A12", "A14", "A15", "A16", "A17", "B21", "B22", "B24", "B25", "B26", "B29", "B30")
def _(e):
    """The probe, in one sandbox, as a main command with descriptors left open, and what is left on the host."""
    e.marker = "canary" + secrets.token_hex(8)
    e.canary = subprocess.Popen(["sleep", "1000"], env={"MARK": e.marker})
    STARTED.append(e.canary)
    sockets = [listener("\0" + e.marker[:20]), listener(e.tmp + "/s")]
    project = prepare(e)
    box = e.start(project=project)
    usr = checksum("/usr/bin/env"), checksum(e.bin + "/vmctl-agent")
    low = os.open("/", os.O_RDONLY)
    os.dup2(low, 700)
    for fd in (low, 700):
        os.set_inheritable(fd, True)
    try:
        for part in ("files", "processes", "kernel"):
            e.inside_parts(part, e.verb("exec", box, "--", *probe_words(e, project, part), close_fds=False, timeout=240))
        done = e.up("--new", "--", *probe_words(e, project, "processes"), project=project, close_fds=False)
        e.inside_parts("processes as the main command", done)
    finally:
        for fd in (low, 700):
            os.close(fd)
    e.part("B21-alive", e.canary.poll() is None, "the host's process was ended")
    e.part("B25-host", (checksum("/usr/bin/env"), checksum(e.bin + "/vmctl-agent")) == usr, "a program was changed")
    for s in sockets:
        s.close()
    on_host(e, project)
    log = e.verb("logs", "--supervisor", box).text
    e.part("A14-log", e.driver != "qemu" or "special file" in log, f"nothing of it is in the log: {log[-300:]}")
    e.part("A16-host-xattr", not os.listxattr("/usr/bin/env"), "an attribute of the host's file was set")
    e.part("A15-alive", e.verb("exec", box, "--", "true").status == 0, "the sandbox is dead")
    e.stop(box)


def checksum(path):
    return subprocess.run(["sha256sum", path], capture_output=True, check=True).stdout


def on_host(e, project):
    """What the probe has left in the project."""
    bits, nodes, owners = [], [], []
    for root, dirs, files in os.walk(os.fsencode(project)):
        for name in dirs + files:
            st = os.lstat(os.path.join(root, name))
            if st.st_mode & 0o6000:
                bits.append(name)
            if stat.S_ISBLK(st.st_mode) or stat.S_ISCHR(st.st_mode):
                nodes.append(name)
            if (st.st_uid, st.st_gid) != (e.uid, e.passwd.pw_gid):
                owners.append(name)
    e.part("A5-host-bits", not bits, f"setuid or setgid on the host: {bits}")
    e.part("A5-host-nodes", nodes in ([], [b"host-null"]), f"devices on the host: {nodes}")
    e.part("A5-host-owners", not owners, f"owners: {owners}")
    with open(project + "/.git/hooks/pre-commit", encoding="utf-8") as f:
        e.part("A11-host", f.read() == "keep" and os.listdir(project + "/.git/hooks") == ["pre-commit"], "a hook was changed")
    with open(e.tmp + "/trap/canary", encoding="utf-8") as f:
        e.part("A16-canary", f.read() == "canary\n", "the canary was changed")


@row("A1", "A7", "A9")
def _(e):
    """Hostile files for every reader that vmctl has on the host."""
    project = e.directory("readers")
    secret = e.write(e.tmp + "/secret-dir/HEAD", "canary-of-readers")
    e.write(e.tmp + "/secret-dir/config", "canary-of-readers")
    box = e.start(project=project)
    run_inside = f"""mkdir -p sub .git/hooks .git/objects .git/refs
printf 'ref: x\\n' >.git/HEAD
printf '[core]\\n\\tfsmonitor = touch {e.tmp}/ran\\n\\thooksPath = /tmp\\n[include]\\n\\tpath = {secret}\\n' >.git/config
printf '#!/bin/sh\\ntouch {e.tmp}/ran\\n' >.git/hooks/post-checkout; chmod +x .git/hooks/*
ln -s {secret} .vmctl.conf; ln -s {secret} .envrc; ln -s {e.tmp}/secret-dir .vscode; ln -s / .claude"""
    e.verb("exec", box, "--", "sh", "-c", run_inside)
    said = "".join(r.text + r.said for r in (e.verb("status", box), e.verb("list"), e.verb("logs", box), e.verb("plan", project),
                                             e.verb("up", "-q", project, "--", "true"), e.verb("stop", box), e.verb("plan", project),
                                             e.verb("status", box), e.verb("list", "--all", "--json")))
    e.part("A1-shown", "canary-of-readers" not in said, "the content of a file outside was shown")
    e.part("A7-ran", not os.path.exists(e.tmp + "/ran"), "a hook or helper was run")
    worktree = e.directory("forged")
    e.write(e.tmp + "/keys/worktrees/x/gitdir", worktree + "/.git\n")
    e.write(e.tmp + "/keys/worktrees/x/commondir", "../..\n")
    e.write(worktree + "/.git", f"gitdir: {e.tmp}/keys/worktrees/x\n")
    plan = e.verb("plan", "--driver", e.driver, "--json", worktree)
    e.part("A9-plan", plan.status == 0 and f'"{e.tmp}/keys"' not in plan.text, "the plan mounts it")


def swapping(first, second, path):
    """A thread that makes `path` a link to one and the other in turn, until its event is set."""
    stop = threading.Event()
    os.symlink(first, path)

    def work():
        while not stop.is_set():
            for target in (first, second):
                os.symlink(target, path + ".new")
                os.rename(path + ".new", path)

    thread = threading.Thread(target=work)
    thread.start()
    return stop, thread


@row("A2", "A4")
def _(e):
    one, two = e.directory("one"), e.directory("two")
    for path in (one, two):
        e.write(path + "/marker", path)
    stop, thread = swapping(one, two, e.tmp + "/swapped")
    try:
        for _ in range(1 if e.driver == "qemu" else 8):
            done = e.up("--new", "--", "sh", "-c", "pwd; cat marker", project=e.tmp + "/swapped")
            lines = done.text.splitlines()
            e.part("A4-same", len(lines) == 2 and lines[0] == lines[1] and lines[0] in (one, two), str(done))
    finally:
        stop.set()
        thread.join()
    # Inside the project: a protected directory that is now one of it and now a link out of it.
    project = e.directory("swap-inside")
    os.mkdir(project + "/real")
    stop, thread = swapping(project + "/real", e.tmp + "/two", project + "/.vscode")
    try:
        for _ in range(10):
            done = e.verb("plan", "--driver", e.driver, "--json", project)
            sources = [m.get("source", "") for m in json.loads(done.out)["plan"]["mounts"]] if done.status == 0 else []
            e.part("A2-plan", e.tmp + "/two" not in sources, "the plan mounts the link's target")
    finally:
        stop.set()
        thread.join()


@row("A6", "B33")
def _(e):
    """What is hostile and is shown: the project's name, the sandbox's command, its output."""
    project = e.directory("evil\x1b]0;title\x07\x9b31m")
    box = e.start("--", "sh", "-c", "printf '\\033]52;c;AAAA\\007\\033c\\0335n\\033]0;x\\007\\n'; exec sleep 1000", project=project)
    e.until(lambda: "52" in e.verb("logs", "--output", box).text, "the output is in the log")
    for verb in (["list"], ["list", "--all"], ["status", box], ["plan", project], ["logs", box], ["logs", "--output", box]):
        for where, text in (("pipe", "".join([(r := e.verb(*verb)).text, r.said])), ("tty", on_terminal(e, verb))):
            raw = [c for c in text if (ord(c) < 32 and c not in "\n\t\r") or 0x7f <= ord(c) < 0xa0]
            raw = raw if where == "pipe" else [c for c in hostile(text)]
            if verb[0] == "logs" and where == "pipe":
                continue  # a log in a file or a pipe is what was written
            name = "B33" if verb[0] == "logs" else "A6"
            e.part(f"{name}-{verb[0]}-{where}", not raw, f"control characters reach the caller: {text[:300]!r}")
    for verb in (["list", "--json"], ["status", "--json", box]):
        text = e.verb(*verb).text
        e.part("A6-json", json.loads(text) and ESC not in text and "\x07" not in text, "control characters in JSON")
    e.stop(box)


def hostile(text):
    """The sequences that only the sandbox has written."""
    return [s for s in (ESC + "]", ESC + "c", ESC + "5n", "\x9b", "\x07") if s in text]


def on_terminal(e, words, program=None):
    """What a verb (or another program) writes on a terminal, as it is."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(program or e.vmctl, [program or e.vmctl, *words])
    out, end = b"", time.monotonic() + 60 * SLOW
    while time.monotonic() < end and select.select([fd], [], [], 60 * SLOW)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(fd)
    os.waitpid(pid, 0)
    return out.decode("utf-8", "replace")


def sizes(directory):
    """Of its files; a log may be renamed just now."""
    found = {}
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.path.getsize(f"{directory}/{name}")
    return found


@row("B33")
def _(e):
    """Ten million bytes without an end of line: they come through, and the logs stay small."""
    line = "head -c 10000000 /dev/zero | tr '\\0' x"
    box = e.start("--", "sh", "-c", f"{line}; touch written; exec sleep 1000", project=e.directory("long-line"))
    e.until(lambda: os.path.exists(e.tmp + "/long-line/written"), "the line is written", 60)
    logs = sizes(f"{e.state}/sandboxes/{box}")
    e.part("B33-log-size", max(logs.values()) <= 2 << 20, str(logs))
    shown = e.verb("logs", "--output", box)
    e.part("B33-log", shown.status == 0 and 0 < len(shown.out) <= 4 << 20, f"{shown.status}: {len(shown.out)} bytes")
    e.part("B33-status", e.verb("status", box).status == 0 and e.verb("list").status == 0, "status or list fail")
    done = e.verb("exec", box, "--", "sh", "-c", line)
    e.part("B33-whole", done.out == b"x" * 10000000, f"{len(done.out)} bytes came")
    e.stop(box)


@row("A15")
def _(e):
    """A directory of 100000 entries, and requests that are given up in the middle (for 9p: Tflush). The size of a message
    (msize) is the guest kernel's to choose at a mount, and the channel is taken: a probe cannot try that."""
    project = e.directory("crowd")
    os.mkdir(project + "/big")
    for i in range(100000):
        os.close(os.open(f"{project}/big/{i:06}", os.O_CREAT | os.O_WRONLY, 0o644))
    shutil.copy(os.environ["VMCTL_PROBE"], project + "/vmctl-probe")
    memory = 512 << 20
    box = e.start("--memory", "512M", project=project)
    supervisor = e.record(box)["supervisor"]["pid"]
    before = resident(supervisor)
    counted = e.verb("exec", box, "--", "sh", "-c", "ls -f big | wc -l", timeout=240)
    e.part("A15-crowd", counted.text == "100002", str(counted))
    e.inside_parts("crowd", e.verb("exec", box, "--", "./vmctl-probe", "crowd", timeout=240))
    e.part("A15-supervisor", resident(supervisor) - before < 16 << 20, f"the supervisor grew from {before} to {resident(supervisor)} bytes")
    sizes = {pid: resident(pid) for pid in tree(e.record(box)["keeper"]["pid"])}
    e.part("A15-memory", sizes and max(sizes.values()) < memory + (256 << 20), f"a process of the sandbox has grown: {sizes}")
    e.part("A15-after", e.verb("exec", box, "--", "true").status == 0, "the sandbox is dead")
    e.stop(box)
    shutil.rmtree(project)


def resident(pid):
    """Bytes; of one that has gone: none."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


@row("A8")
def _(e):
    project = e.directory("ghosts")
    box = e.start(project=project)
    e.verb("exec", box, "--", "sh", "-c", "echo evil >.envrc; mkdir -p .vscode .claude; echo {} >.vscode/tasks.json; echo {} >.claude/settings.json")
    ended = e.verb("stop", box)
    said = ended.text + ended.said + str(e.record(box)["warnings"])
    made = [n for n in (".envrc", ".vscode", ".claude/settings.json") if os.path.lexists(f"{project}/{n}")]
    e.part("A8-blocked", not made, f"made inside: {made}")
    e.part("A8-flagged", all(n in said for n in made), f"not said: {said}")
    clean = e.directory("clean")
    e.up("--", "true", project=clean)
    e.part("A8-ghosts", os.listdir(clean) == [], f"left on the host: {os.listdir(clean)}")


@row("A10")
def _(e):
    base = e.own_home() + "/.claude"
    files = {n: e.write(f"{base}/{n}", '{"keep": true}\n') for n in ("settings.json", "settings.local.json", "CLAUDE.md", "hooks/x.sh", "commands/x.md",
                                                                       "agents/x.md", "plugins/x.json")}
    done = e.up("-p", "claude-shell", "--", "sh", "-c", "cd ~/.claude && cat settings.json; for f in settings.json settings.local.json CLAUDE.md "
                "hooks/x.sh commands/x.md agents/x.md plugins/x.json; do echo evil >$f; rm -f $f; mv ${f%%/*} moved; done 2>/dev/null; "
                "echo evil >hooks/new; echo evil >commands/new; echo session >projects/kept; echo tried", project=e.directory("agent"))
    e.part("A10-ran", done.text == '{"keep": true}\ntried' and os.path.exists(f"{base}/projects/kept"), str(done))
    for name, path in files.items():
        with open(path, encoding="utf-8") as f:
            e.part(f"A10-{name}", f.read() == '{"keep": true}\n', "it was changed")
    new = [n for n in ("hooks/new", "commands/new", "moved") if os.path.lexists(f"{base}/{n}")]
    e.part("A10-new", not new, f"made on the host: {new}")
    shutil.rmtree(base)


@row("A12", "A18", "A19")
def _(e):
    for spelling in ("/proc/self/root", "/proc/self/cwd/../../../../../..", "/./"):
        done = e.run([e.vmctl, "plan", "--driver", e.driver, "--json", spelling + e.project], cwd=e.project)
        e.part("A12-spelling", done.status == 0 and json.loads(done.out)["plan"]["project"] == e.project, f"{spelling}: {done}")
        refused = e.run([e.vmctl, "plan", "--driver", e.driver, spelling + "/etc"], cwd=e.project)
        e.part("A12-etc", refused.status != 0, f"{spelling}/etc is let in")
    for odd in ("a,path=/etc", "x:/etc", "--bind /etc"):
        path = e.directory("odd-" + secrets.token_hex(2) + "/" + odd)
        e.write(path + "/mine")
        if e.driver != "qemu" or odd.startswith("a,"):
            e.part("A18-" + odd[0], e.up("--", "ls", project=path).text == "mine", "another directory is shown")
    others = [e.runtime, e.state, e.home, "/", "/proc", "/etc", "/usr", "/var", "/dev", "/sys", e.home + "/.ssh"]
    for path in others:
        if os.path.isdir(path):
            e.part("A19-refused", e.up("--", "true", project=path).status == 125, f"{path} is let in")


@row("A13")
def _(e):
    project = e.own_home() + "/nested"
    e.part("A13-mounted", os.stat(project).st_dev != os.stat(project + "/sub").st_dev, "nothing is mounted there")
    e.write(project + "/sub/file", "other device")
    e.write(project + "/file", "project")
    done = e.up("--", "sh", "-c", "stat -c '%d:%i' file sub/file | sort -u | wc -l; cat file; cat sub/file; true", project=project)
    lines = done.text.split("\n")
    e.part("A13-inodes", lines[0] in ("1", "2") and "project" in done.text and done.status == 0, str(done))
    e.part("A13-clash", lines[0] == "2" or "other device" not in done.text, "two files look like one")


@row("A17")
def _(e):
    """What is not the project is bounded, or is the host's memory or disk: said in the manual."""
    done = e.up("--disk", "64M", "--", "sh", "-c", "head -c 400000000 /dev/zero >~/full 2>/dev/null; stat -c %s ~/full; echo alive",
                project=e.directory("full"))
    lines = done.text.splitlines()
    e.part("A17-alive", lines[-1:] == ["alive"], str(done))
    e.part("A17-bounded", len(lines) == 2 and int(lines[0]) < 200_000_000, f"{lines[:1]} bytes were written outside the project with --disk 64M")


@row("A20", "B31")
def _(e):
    """Links planted in what persists; forged records wherever the sandbox can write."""
    project = e.directory("planted")
    e.write(e.tmp + "/precious/file", "canary")
    forged = json.dumps({"format": 1, "id": "forged00", "keeper": {"pid": os.getpid()}})
    box = e.start(project=project)
    e.verb("exec", box, "--", "sh", "-c", f"ln -s {e.tmp}/precious ~/.local/share/link; ln -s {e.tmp}/precious/file ~/.local/bin/link; "
           f"rm -rf ~/.local/lib; ln -s {e.tmp}/precious ~/.local/lib; "
           f"mkdir -p ~/.local/state/vmctl/sandboxes/forged00 {e.runtime}/forged00; "
           f"echo '{forged}' | tee ~/.local/state/vmctl/sandboxes/forged00/record.json {e.runtime}/forged00/record.json record.json >/dev/null; true")
    listed = e.verb("list", "--all", "--json").text
    e.part("B31-listed", "forged00" not in listed, "a forged sandbox is listed")
    e.part("B31-stop", e.verb("stop", "forged00").status != 0, "a forged sandbox is stopped")
    e.stop(box)
    e.verb("rm", box)
    e.verb("prune")
    again = e.up("--", "sh", "-c", "ls ~/.local/lib; true", project=project)
    e.part("A20-again", "file" not in again.text, "what a planted link names is let in")
    e.part("A20-canary", os.path.exists(e.tmp + "/precious/file"), "something outside was removed")


@row("B23", "B34", "B35", "B36")
def _(e):
    project = e.directory("terminal")
    shutil.copy(os.environ["VMCTL_PROBE"], project + "/vmctl-probe")
    box = e.start(project=project)
    e.inside_parts("terminal", e.verb("exec", box, "--", "./vmctl-probe", "terminal"))
    text = on_terminal(e, ["exec", box, "--", "./vmctl-probe", "terminal"])
    e.inside_parts("on a terminal", SimpleNamespace(text=plain(text), status=0))
    for size in ((0, 0), (65535, 65535), (-1, -1), (2 ** 31, 2 ** 40), ("x", None)):
        e.run(["python3", "-B", f"{e.vm_dir}/control.py", f"{e.runtime}/{box}/control.sock", "do", "resize",
               json.dumps({"rows": size[0], "columns": size[1], "session": 1})])
    for _ in range(50):
        e.run(["python3", "-B", f"{e.vm_dir}/control.py", f"{e.runtime}/{box}/control.sock", "do", "resize", '{"rows": 1, "columns": 1}'])
    e.part("B35-alive", e.verb("exec", box, "--", "true").status == 0, "the sandbox is dead")
    keys(e, box)
    e.stop(box)


def plain(text):
    """Without control sequences: what the client writes to reset the terminal."""
    return re.sub("\x1b(\\[[0-9;?]*[a-zA-Z]|[^\\[])", "", text).replace("\r", "").strip()


def keys(e, box):
    for name, script, words in (
            ("B36-keys", "expect ^ready\nsend \\x03\\x1a\\x1c\\r\nexpect \\^C\\^Z\\^\\\\\nsend \\x04\nstatus 0\nmode cooked\n",
             ("exec", box, "--", "sh", "-c", "stty -isig -echoctl; echo ready; cat -v")),
            ("B34-modes", "expect ^ready\nstatus 0\nmode cooked\n",
             ("exec", box, "--", "printf", "\\033[?1049h\\033[?1000h\\033[?2004hready\\n")),
            ("B34-term", "expect ^ready\nsignal TERM\nstatus 143\nmode cooked\n", ("exec", box, "--", "sh", "-c", "echo ready; exec sleep 1000"))):
        try:
            e.terminal(script, *words)
            e.part(name, True)
        except Failed as why:
            e.part(name, False, str(why))
    seen = on_terminal(e, ["exec", box, "--", "printf", "\\033[?1049h\\033[?1000h\\033[?2004hready\\n"])
    for mode in ("1049", "1000", "2004"):
        e.part(f"B34-reset-{mode}", f"{ESC}[?{mode}l" in seen or mode == "1049" and "?1049l" in seen, f"mode {mode} is left on: {seen[-200:]!r}")


@row("B27")
def _(e):
    box = e.start(project=e.directory("cycles"))
    pid = e.record(box)["supervisor"]["pid"]
    e.verb("exec", box, "--", "true")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(100 if e.driver == "qemu" else 1000):  # under emulation each takes as long as ten elsewhere
        e.verb("exec", box, "--", "true")
    e.until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, f"the supervisor has {before} descriptors again", 5)
    e.part("B27-same", True)
    e.stop(box)


@row("B28")
def _(e):
    box = e.start(project=e.directory("words"))
    for words, wanted in ((["--help"], 127), (["-x"], 127), ([""], 127), (["--", "true"], 127), (["true", "--bind", "/"], 0)):
        done = e.verb("exec", box, "--", *words)
        e.part("B28-exec", done.status in (wanted, 126 if wanted == 127 else wanted), f"{words}: {done}")
    long = "x" * 120000
    done = e.verb("exec", box, "--", "sh", "-c", 'echo ${#1} $#', "sh", *[long] * 17)
    e.part("B28-long", done.text == "120000 17" or done.status in (125, 126), str(done)[:200])
    e.part("B28-alive", e.verb("exec", box, "--", "true").status == 0, "the sandbox is dead")
    if e.driver != "qemu":
        for words in (["--help"], ["--ro-bind", "/", "/"], [""]):
            e.part("B28-up", e.up("--new", "--", *words, project=e.directory("w" + secrets.token_hex(3))).status in (126, 127), str(words))
    e.stop(box)


@row("B32")
def _(e):
    """A client on a terminal, traced: whatever comes from inside, it starts nothing and connects to vmctl's socket alone."""
    e.needs_program("strace")
    box = e.start(project=e.directory("servers"))
    trace = e.tmp + "/trace"
    # What tmux, screen and terminals would act on; and sockets where such servers have theirs.
    script = (f"mkdir -p /tmp/tmux-{e.uid} .screen; python3 -c \"import socket; [socket.socket(socket.AF_UNIX).bind(p) for p in "
              f"('/tmp/tmux-{e.uid}/default', '/tmp/x')]\"; export TMUX=/tmp/tmux-{e.uid}/default,1,0; "
              "printf '\\033Ptmux;\\033\\033]0;x\\007\\033\\\\\\033P1000p%%begin 1 1 0\\n%%exit\\n\\033\\\\'; "
              "printf '\\033[?1000p\\033]52;c;AAAA\\007\\033P+q544e\\033\\\\'; echo over")
    seen = on_terminal(e, ["-f", "-qq", "-o", trace, "-e", "trace=execve,connect,socket,bind", e.bin + "/vmctl", "exec", box, "--", "sh", "-c", script],
                       "/usr/bin/strace")
    with open(trace, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    ran = [line for line in lines if "execve(" in line]
    # The directory of the socket is opened before; libc asks nscd.
    connected = [line for line in lines if "connect(" in line and "/nscd/" not in line]
    e.part("B32-tried", "over" in seen, seen[-300:])
    e.part("B32-started", len(ran) == 1, f"the client started programs: {ran}")
    e.part("B32-connected", len(connected) == 1 and "/control.sock\"" in connected[0], f"the client connected to: {connected}")
    e.stop(box)


@row("B37")
def _(e):
    e.needs_verb("pause")  # limits came with it
    project = e.directory("bomb")
    shutil.copy(os.environ["VMCTL_PROBE"], project + "/vmctl-probe")
    box = e.start("--memory", "512M", *([] if e.driver == "qemu" else ["--processes", "500"]), project=project)
    if "and process limits are not kept" in e.verb("status", box).text:
        raise Skipped("there is no control group for this user; status says that the limits are not kept")
    done = e.verb("exec", box, "--", "./vmctl-probe", "processes", "bomb=yes", f"project={project}", timeout=240)
    for line in done.text.splitlines():
        if "B37-fork" in line:
            e.part("B37-fork", line.startswith("ok"), line)
    e.part("B37-tried", "B37-fork" in done.text, str(done))
    hogs(e, box)
    e.part("B37-stop", e.verb("stop", box, timeout=60).status == 0, "stop does not work")


HOGS = {
    "memory": "b = []\nwhile True: b.append(bytearray(b'x' * (16 << 20)))",
    "inotify": "import ctypes, time\nc = ctypes.CDLL(None)\nn = 0\nwhile n < 1000000 and c.inotify_init1(0) >= 0: n += 1\n"
               "print('no more' if n < 1000000 else 'a million', flush=True)\ntime.sleep(1000)",
    "spin": "import os\nfor _ in range(8): os.fork()\nwhile True: pass",
}


def hogs(e, box):
    """Each while a sandbox beside it, and vmctl, must go on."""
    sibling = e.start("--memory", "512M", project=e.directory("sibling"))
    for name, program in HOGS.items():
        with e.client([e.vmctl, "exec", box, "--", "python3", "-c", program], stderr=subprocess.DEVNULL) as hog:
            if name == "inotify":
                e.part("B37-inotify", hog.stdout.readline() == b"no more\n", "a million instances of inotify could be made")
            elif name == "memory":
                hog.wait(120 * SLOW)
                e.part("B37-memory", hog.returncode not in (0, 125), f"its status is {hog.returncode}")
            before = time.monotonic()
            done = e.verb("exec", sibling, "--", "echo", "here")
            took = time.monotonic() - before
            e.part(f"B37-sibling-{name}", done.text == "here" and took < 10 * SLOW, f"after {took:.1f} s: {done}")
        e.part(f"B37-alive-{name}", e.verb("exec", box, "--", "true", timeout=60).status == 0, "the sandbox is dead")
    said = e.verb("status", box).text
    e.part("B37-told", e.driver == "qemu" or "memory" in said, said)
    e.stop(sibling)


@row("B38")
def _(e):
    project = e.directory("short")
    for command, wanted in ((["true"], {0}), (["sh", "-c", "kill -9 1; kill -9 -1; exit 3"], {0, 3, 137, 125})):
        done = e.up("--", *command, project=project)
        e.part("B38-status", done.status in wanted, str(done))
    e.until(lambda: not [b for b in os.listdir(e.runtime) if b[0] != "." and e.record(b)["project"] == project], "nothing of it runs")


@row("B39")
def _(e):
    done = e.run(["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"',
                  *e.up_words("--", "true", project=e.directory("closed"))])
    e.part("B39-closed", done.status == 125, str(done))
    e.part("B39-mend", "namespace" in done.said, done.said)


@row("B40")
def _(e):
    os.makedirs(e.tmp + "/empty-path", exist_ok=True)
    env = dict(os.environ, PATH=e.tmp + "/empty-path")
    done = e.up("--", "true", project=e.directory("missing"), env=env)
    e.part("B40-missing", done.status == 125 or done.status == 0 and "bwrap" not in done.said, str(done))
    box = e.start(project=e.directory("level"))
    record = e.record(box)
    e.part("B40-recorded", record["driver"] == e.driver and record["isolation"] in ("vm", "container", "namespace"), str(record)[:300])
    e.part("B40-shown", record["isolation"] in e.verb("status", box).text, "status does not show the isolation")
    e.stop(box)
