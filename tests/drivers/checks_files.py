# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths, files, what is protected, what persists, and what must not be there."""
import os
import stat
import subprocess
import sys

from core import check, otherwise, Skipped

ODD = ["with space", "a,path=/etc", ",readonly=on,path=/etc", "quote's", 'double"quote', "$(touch canary)`touch canary`",
       "new\nline", "per%scent%n", "-leading-dash", "--driver", "na\u00efve-\u65e5\u672c", "back\\slash", "semi;colon & amp | pipe",
       "*?[a-z]", '{"json": true}', "colon:ro", "equals=a", "tab\tstop", "l" * 200]


@check("paths-odd", "a project whose path is made of what options and shells use is exactly that directory", null=True)
def _(s):
    # All of them in one path; where a sandbox is cheap, also each by itself.
    paths = [os.path.join(s.tmp, "deep", *ODD)]
    if s.driver != "qemu":
        paths += [os.path.join(s.tmp, "odd", name) for name in ODD]
    for path in paths:
        s.write(path + "/marker", "marker of " + path)
        done = s.up("--", "sh", "-c", "pwd; cat marker; ls; echo x >made", project=path)
        s.equal(done.text, f"{path}\nmarker of {path}marker", str(done))
        s.equal(sorted(os.listdir(path)), ["made", "marker"])
    s.equal([root for root, _, files in os.walk(s.tmp) if "canary" in files], [])


@check("paths-refused", "a path that is not UTF-8, the home and system directories are refused: 125", null=True)
def _(s):
    bad = os.path.join(s.tmp.encode(), b"bad\xff")
    os.makedirs(bad)
    for path, word in ((bad, "UTF-8"), ("/", "whole file system"), (s.home, "home"), ("/etc", "/etc"), ("/proc/self", "proc"),
                       (s.runtime, "vmctl"), (s.tmp + "/none", "none")):
        done = s.up("--", "true", project=path)
        s.equal(done.status, 125, f"{path}: {done}")
        s.has(done.said, word, path)


@check("paths-link", "a project given as a link is where the link points", null=True)
def _(s):
    os.symlink(s.project, s.tmp + "/link")
    s.equal(s.up("--new", "--", "pwd", project=s.tmp + "/link").text, s.project)


@check("siblings", "beside the project there is nothing, and above it only the way to it")
def _(s):
    s.write(s.tmp + "/secret", "canary")
    s.equal(s.shell(f"ls -A '{s.tmp}'; ls -A '{s.tmp}/..'").split(), ["project", os.path.basename(s.tmp)])


def git(*words, where):
    subprocess.run(["git", "-C", where, "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@check("worktree", "a git worktree works: its repository's git directory comes along, the repository's files do not")
def _(s):
    main = s.directory("main")
    git("init", "-q", where=main)
    s.write(main + "/f", "x")
    git("add", "f", where=main)
    git("commit", "-qm", "one", where=main)
    git("worktree", "add", "-q", s.tmp + "/tree", "-b", "tree", where=main)
    done = s.up("--", "sh", "-c", f"git status --short && git log -1 --format=%s && git branch --show-current && ls -A '{main}' && "
                "git -c user.name=x -c user.email=x@x commit -q --allow-empty -m two", project=s.tmp + "/tree")
    s.equal((done.text, done.said), ("one\ntree\n.git", ""))
    log = subprocess.run(["git", "-C", main, "log", "-1", "--format=%s", "tree"], capture_output=True, check=True)
    s.equal(log.stdout, b"two\n")


@check("files-owner", "files made inside are the user's on the host, with their modes", null=True)
def _(s):
    s.shell("mkdir own own/d && cd own && echo made >made && echo deep >d/f && chmod 0750 d && chmod 0600 d/f && ln -s made link &&"
            " ln made hard && umask 077 && : >masked && mkdir masked-dir && install -m 0755 /bin/true prog")
    base = s.project + "/own/"
    got = {name: f"{os.lstat(base + name).st_uid}:{os.lstat(base + name).st_gid}:{stat.S_IMODE(os.lstat(base + name).st_mode):o}"
           for name in ("made", "d", "d/f", "masked", "masked-dir", "prog", "hard")}
    ids = f"{s.uid}:{s.passwd.pw_gid}:"
    s.equal(got, {"made": ids + "644", "d": ids + "750", "d/f": ids + "600", "masked": ids + "600", "masked-dir": ids + "700",
                  "prog": ids + "755", "hard": ids + "644"})
    s.equal(os.readlink(base + "link"), "made")
    s.equal(os.lstat(base + "made").st_nlink, 2)
    s.equal(s.shell("stat -c %u:%g own/made own/d/f"), f"{s.uid}:{s.passwd.pw_gid}\n" * 1 + f"{s.uid}:{s.passwd.pw_gid}")


@check("files-host", "files made and changed on the host are seen at once", null=True)
def _(s):
    s.write(s.project + "/seen", "first")
    s.equal(s.shell("cat seen"), "first")
    s.write(s.project + "/seen", "second, and longer")
    s.equal(s.shell("cat seen"), "second, and longer")
    os.rename(s.project + "/seen", s.project + "/moved")
    s.equal(s.shell("test ! -e seen && cat moved"), "second, and longer")


@check("files-work", "rename, append, map, lock, times, exec bits, odd names work in the project", null=True)
def _(s):
    s.equal(s.shell("""mkdir -p w/sub && cd w && echo 1 >a && mv a sub/b && printf 2 >>sub/b && cat sub/b && echo
touch -d '2001-02-03 04:05:06 UTC' dated && TZ=UTC stat -c %y dated | cut -c 1-19 && flock -n dated echo locked
printf '#!/bin/sh\\necho ran\\n' >s && chmod +x s && ./s
touch "$(printf 'odd\\nname "$x"')" && ls -1b | grep -c odd"""), "1\n2\n2001-02-03 04:05:06\nlocked\nran\n1")
    s.equal(s.inside("python3", "-c", """
import mmap
with open('w/mapped', 'w+b') as f:
    f.truncate(8192)
    m = mmap.mmap(f.fileno(), 8192)
    m[4096:4099] = b'abc'
    m.flush()""").status, 0)
    with open(s.project + "/w/mapped", "rb") as f:
        s.equal(f.read()[4096:4099], b"abc")


@check("files-pipes", "named pipes and sockets work in /tmp", null=True)
def _(s):
    s.equal(s.shell("cd $(mktemp -d) && mkfifo f && (echo through >f &) && cat f"), "through")
    s.equal(s.inside("python3", "-c", "import socket, tempfile; s = socket.socket(socket.AF_UNIX);"
                     " s.bind(tempfile.mkdtemp() + '/s'); print('bound')").text, "bound")


@check("project-pipes", "a named pipe and a socket can be made in the project")
def _(s):
    s.equal(s.shell("mkfifo pipe && test -p pipe && rm pipe && echo made"), "made")
    s.equal(s.inside("python3", "-c", "import socket; socket.socket(socket.AF_UNIX).bind('sock'); print('bound')").text, "bound")
    os.unlink(s.project + "/sock")


@otherwise("project-pipes")
def _(s):
    s.true(s.inside("mkfifo", "pipe").status != 0, "mkfifo succeeded")
    s.true(not os.path.lexists(s.project + "/pipe"), "the pipe is there on the host")


@check("system", "the host's programs are there and cannot be changed for the host")
def _(s):
    s.equal(s.shell("test -x /bin/sh && test -x /usr/bin/env && test -s /etc/resolv.conf && test -e /etc/nsswitch.conf && echo yes"), "yes")
    s.inside("sh", "-c", "echo x >/usr/canary; echo x >/usr/bin/canary; echo x >/etc/canary; rm -f /usr/bin/factor")
    for path in ("/usr/canary", "/usr/bin/canary", "/etc/canary"):
        s.true(not os.path.exists(path), path)
    s.true(os.path.exists("/usr/bin/factor"), "/usr/bin/factor was removed")


@check("dev", "/dev, /proc, /tmp, /run, /dev/shm are usable and the sandbox's own")
def _(s):
    s.shell("df -P /dev/shm /tmp /run >/dev/null && test -w /tmp && test -w /dev/null && test -c /dev/zero && test -d /dev/pts && "
            "ls /proc/self/fd >/dev/null && echo x >/dev/shm/x && rm /dev/shm/x && head -c 1 /dev/urandom >/dev/null")
    s.equal(s.shell("stat -c %a /tmp /var/tmp"), "1777\n1777")
    canary = f"/tmp/vmctl-canary-{os.getpid()}"
    s.write(canary)
    try:
        s.true(s.inside("test", "-e", canary).status != 0, "the host's /tmp is visible")
    finally:
        os.unlink(canary)


@check("owners", "the system's files are root's")
def _(s):
    s.equal(s.shell("stat -c %u / /usr /usr/bin/env /etc /etc/passwd /tmp").split(), ["0"] * 6)


@check("hidden", "no /etc/shadow, no other homes, no /root, no /var of the host, no /boot, no disks")
def _(s):
    hidden = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/var/lib/dpkg", "/var/log/dpkg.log", "/boot/grub",
              "/lost+found", "/work", "/dev/sda", "/run/systemd", "/run/dbus"]
    s.equal(s.shell(f"ls -d {' '.join(hidden)} 2>/dev/null; true"), "")
    others = [e for e in os.listdir("/home") if not s.home.startswith(f"/home/{e}")]
    s.equal([name for name in s.shell("ls -A /home").split() if name in others], [])
    if s.uid != 0:
        s.equal(s.shell("ls -A /root 2>/dev/null || true"), "")
    files = s.shell("find /var -mindepth 1 -xdev ! -type d ! -type l ! -path '/var/tmp/*' 2>/dev/null || true")
    s.equal(files, "", "/var")


@check("hidden-vmctl", "vmctl's own directories are not visible, nor are other sandboxes")
def _(s):
    other = s.start(project=s.directory("other"))
    hidden = [s.runtime, s.state + "/sandboxes", s.cache, f"{s.runtime}/{other}", f"{s.state}/projects"]
    s.equal(s.shell(f"ls -d {' '.join(hidden)} 2>/dev/null; true"), "")
    s.equal(s.shell("find /run /tmp /var /home /root /dev /mnt /etc -name control.sock -o -name keeper.sock -o -name qmp.sock "
                    f"-o -name agent.sock -o -name '{other}*' 2>/dev/null; true"), "")
    s.stop(other)


@check("hidden-processes", "the processes of the host are not visible")
def _(s):
    names = s.shell("cat /proc/[0-9]*/comm 2>/dev/null | sort -u")
    for name in ("vmctl-keeper", "qemu-system-x86"):
        s.hasnt(names, name)
    # Another check may run a python3 inside; this one of the host tells by its words.
    s.hasnt(s.shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"), os.path.basename(sys.argv[0]))
    s.true(int(s.shell("ls /proc | grep -c '^[0-9]'")) < 100, "many processes")
    s.true(s.inside("sh", "-c", f"test -e /proc/{os.getpid()} && grep -q suite.py /proc/{os.getpid()}/cmdline").status != 0,
           "this process is visible")


PROTECTED = [".git/hooks/pre-commit", ".git/config", ".vscode/tasks.json", ".claude/settings.json", ".mcp.json", ".idea/x"]


@check("protected", "what the host would run or trust in a project is read-only inside")
def _(s):
    project = s.directory("protected")
    for name in PROTECTED:
        s.write(f"{project}/{name}", "keep")
    script = "".join(f"echo evil >'{n}'; rm -rf '{n}'; rm -rf '{os.path.dirname(n) or n}'; mv '{n.split('/')[0]}' moved; "
                     f"mkdir -p '{os.path.dirname(n) or '.'}' && echo evil >'{n}'; " for n in PROTECTED)
    s.up("--", "sh", "-c", script + "echo evil >.git/hooks/post-checkout; ln -sf /tmp/x .git/hooks/new; true", project=project)
    for name in PROTECTED:
        with open(f"{project}/{name}", encoding="utf-8") as f:
            s.equal(f.read(), "keep", name)
    s.equal(os.listdir(project + "/.git/hooks"), ["pre-commit"])


ABSENT = [".envrc", ".mcp.json", ".vscode", ".idea", ".claude/settings.json"]


@check("protected-absent", "what is protected but is not there yet cannot be made, and is no ghost on the host afterwards")
def _(s):
    project = s.directory("absent")
    made = s.up("--", "sh", "-c", "".join(f"mkdir -p '{os.path.dirname(n) or '.'}'; echo evil >'{n}'; " for n in ABSENT) + "echo '[defaults]' >.vmctl.conf",
                project=project)
    found = [name for name in ABSENT if os.path.lexists(f"{project}/{name}")]
    s.equal(found, [], str(made))
    s.has(made.said, ".vmctl.conf", "the one that may be made, since it can only tighten, is not said")


@check("ghosts", "a sandbox that writes nothing leaves the project as it was")
def _(s):
    project = s.directory("ghosts")
    s.write(project + "/file", "x")
    os.mkdir(project + "/.git")
    s.equal(s.up("--", "true", project=project).status, 0)
    tree = sorted(os.path.relpath(os.path.join(root, name), project) for root, dirs, files in os.walk(project) for name in dirs + files)
    s.equal(tree, [".git", "file"])


@check("persist", "~/.local/{bin,lib,share} persist, one set a project; the rest of the home does not")
def _(s):
    one, two = s.directory("persist/same"), s.directory("persist2/same")
    write = "for d in bin lib share; do echo mine >~/.local/$d/kept; done; echo x >~/lost; "
    show = "cat ~/.local/bin/kept ~/.local/lib/kept ~/.local/share/kept 2>/dev/null; test -e ~/lost && echo lost; true"
    s.equal(s.up("--", "sh", "-c", write, project=one).status, 0)
    s.equal(s.up("--", "sh", "-c", show, project=one).text, "mine\nmine\nmine")
    s.equal(s.up("--", "sh", "-c", show, project=two).text, "")


@check("read-only", "grants that are read-only cannot be written, and the host's file stays")
def _(s):
    config = s.home + "/.gitconfig"
    if not os.path.exists(config):
        raise Skipped(f"there is no {config}, and it is not the suite's to make")
    with open(config, "rb") as f:
        before = f.read()
    done = s.up("--new", "--", "sh", "-c", "cat ~/.gitconfig; echo evil >>~/.gitconfig; rm -f ~/.gitconfig; "
                "git config --global user.name evil; true")
    s.equal(done.out, before)
    with open(config, "rb") as f:
        s.equal(f.read(), before)
