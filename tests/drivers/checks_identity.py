# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who one is inside, where, and with which environment."""
import grp
import json
import os
import time

from core import check


@check("up", "up gives the host's answers, and the command's exit status", null=True)
def _(s):
    done = s.up("--", "sh", "-c", "pwd; id -un; echo $HOME; exit 42")
    s.equal(done.text, f"{s.project}\n{s.user}\n{s.home}")
    s.equal((done.status, done.said), (42, ""))


@check("ids", "user, group and their numbers are the host's", null=True)
def _(s):
    s.equal(s.shell("id -u; id -g; id -un; id -gn; id -ru; id -rg").split(),
            [str(s.uid), str(s.passwd.pw_gid), s.user, grp.getgrgid(s.passwd.pw_gid).gr_name, str(s.uid),
             str(s.passwd.pw_gid)])


@check("groups", "there are no other groups than the user's own")
def _(s):
    s.equal(s.shell("id -G"), str(s.passwd.pw_gid))


@check("passwd", "the passwd database has this user as the host has it", null=True)
def _(s):
    done = s.inside("python3", "-c", "import os, pwd; print(*pwd.getpwuid(os.getuid())[0:1], *pwd.getpwuid(os.getuid())[2:4],"
                    " *pwd.getpwuid(os.getuid())[5:])")
    p = s.passwd
    s.equal(done.text, f"{p.pw_name} {p.pw_uid} {p.pw_gid} {p.pw_dir} {p.pw_shell}")


@check("passwd-others", "/etc/passwd and /etc/group have root, nobody, this user and nobody else")
def _(s):
    wanted = sorted({"root", "nobody", s.user})
    s.equal(sorted(s.shell("cut -d: -f1 /etc/passwd").split()), wanted)
    s.equal(set(s.shell("cut -d: -f1 /etc/group").split()) - {"root", "nogroup", "nobody", "tty", s.user}, set())


@check("hostname", "the host name is the plan's and is in /etc/hosts")
def _(s):
    name = plan(s)["hostname"]
    s.equal(s.shell("hostname; cat /etc/hostname; uname -n").split(), [name] * 3)
    s.true(int(s.shell("grep -cw localhost /etc/hosts")) > 0, "localhost is not in /etc/hosts")
    s.equal(s.inside("getent", "hosts", name).status, 0, "getent hosts of the own name")


@check("machine-id", "/etc/machine-id is not the host's")
def _(s):
    own = s.shell("cat /etc/machine-id")
    s.equal(len(own), 32)
    if os.path.exists("/etc/machine-id"):
        with open("/etc/machine-id", encoding="ascii") as f:
            s.true(own != f.read().strip(), "it is the host's")


@check("umask", "the umask is the caller's", null=True)
def _(s):
    s.equal(s.shell("umask"), "0022")
    for mask in (0o077, 0o002):
        done = s.up("--new", "--", "sh", "-c", "umask", umask=mask)
        s.equal(done.text, f"{mask:04o}", str(done))
        if s.driver == "qemu":
            break  # a machine for each is too much


@check("home", "the home is the user's, can be written, and has nothing of the host's", null=False)
def _(s):
    s.equal(s.shell("cd && pwd -P && touch x && stat -c '%u %a' x && rm x"), f"{s.home}\n{s.uid} 644")
    names = set(s.shell("ls -A ~").split())
    s.equal(names - {".local", ".gitconfig", ".config", ".cache"}, set())


@check("cwd", "the working directory is the project, by every way of asking", null=True)
def _(s):
    s.equal(s.shell("pwd; pwd -P; readlink /proc/self/cwd; echo $PWD").split(), [s.project] * 4)
    s.equal(s.inside("python3", "-c", "import os; print(os.getcwd())").text, s.project)
    s.equal(s.inside("pwd", options=("-C", "/usr/share")).text, "/usr/share")
    s.true(s.inside("pwd", options=("-C", "/nonexistent")).status != 0, "exec -C of nothing succeeded")


def plan(s, *words, env=None):
    done = s.verb("plan", "--driver", s.driver, "--json", *words, s.project, env=env)
    s.equal(done.status, 0, f"plan: {done}")
    return json.loads(done.out)["plan"]


def split(environment):
    """{name: value} of what `env -0` printed, without what a shell or env adds."""
    return dict(one.split("=", 1) for one in environment.split("\0") if one)


def outside():
    """An environment of the host with much in it that must not come along."""
    return dict(os.environ, TERM="xterm-256color", COLORTERM="truecolor", EDITOR="", VISUAL="", LANG="C.UTF-8",
                LC_TIME="", TZ="Europe/Paris", SECRET_TOKEN="swordfish", AWS_SECRET_ACCESS_KEY="x", GITHUB_TOKEN="y",
                ANTHROPIC_API_KEY="z", SSH_AUTH_SOCK="/tmp/none", DBUS_SESSION_BUS_ADDRESS="unix:path=/tmp/none",
                LD_PRELOAD="", LD_LIBRARY_PATH="/tmp/none", BASH_ENV="/tmp/none", PYTHONPATH="/tmp/none")


@check("env", "the environment is what the plan names, and nothing else", null=True)
def _(s):
    wanted = split("\0".join(plan(s, "-e", "PASSED=a b", env=outside())["environment"]))
    done = s.up("--new", "-e", "PASSED=a b", "--", "env", "-0", env=outside())
    s.equal(done.status, 0, str(done))
    got = split(done.text)
    for one in (wanted, got):
        one.pop("VMCTL_SANDBOX", None)
        one.pop("VMCTL_ID", None)  # the sandbox's own
    wanted["PWD"] = s.project
    # Where there is a sudo of vmctl's own inside, its directory comes first.
    got["PATH"] = got["PATH"].removeprefix("/run/vmctl/bin:")
    s.equal(got, wanted)


@check("env-empty", "no variable is empty", null=True)
def _(s):
    empty = [name for name, value in split(s.inside("env", "-0").text).items() if value == ""]
    s.equal(empty, [])


@check("env-exec", "exec --env adds a variable for one command", null=True)
def _(s):
    s.equal(s.inside("sh", "-c", 'echo "$X|$Y"', options=("-e", "X=1", "-e", "Y=a b")).text, "1|a b")
    s.equal(s.inside("sh", "-c", 'echo "$X"').text, "")


@check("argv", "every argument arrives as it is", null=True)
def _(s):
    words = ["", "a b", "-x", "--", "a,b=c", "quote's", 'double"', "$(id)`id`", "*", "line\nbreak", "\u00e9\u65e5", "\\n",
             "%s", "x" * 100000]
    done = s.inside("python3", "-c", "import sys; sys.stdout.write('\\0'.join(sys.argv[1:]))", *words)
    s.equal(done.out.decode(), "\0".join(words))


@check("argv-main", "and so does every argument of the main command", null=True)
def _(s):
    words = ["", "a b", "--driver", "--bind", "$(id)", "new\nline", "\u00e9"]
    done = s.up("--new", "--", "python3", "-c", "import sys; sys.stdout.write('\\0'.join(sys.argv[1:]))", *words)
    s.equal(done.out.decode(), "\0".join(words))


@check("locale", "the locale and the time zone work", null=True)
def _(s):
    before = time.time()
    done = s.inside("python3", "-c", "import locale, time; locale.setlocale(locale.LC_ALL, ''); print(time.time())")
    s.equal(done.status, 0, str(done))
    s.true(before - 3 <= float(done.text) <= time.time() + 3, f"the clock: {done}, begun at {before}")
