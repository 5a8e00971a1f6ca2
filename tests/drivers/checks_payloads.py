# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real programs."""
import fcntl
import os
import shutil
import subprocess
import zipfile

from core import check, Skipped


def host(*words, where):
    return subprocess.run(words, cwd=where, capture_output=True, check=True, text=True).stdout.strip()


@check("git", "git init, add, commit, status, branch, merge; the host sees the commits", null=True)
def _(s):
    s.needs_program("git")
    s.shell("""mkdir repo && cd repo && git init -q -b main . && git config user.name x && git config user.email x@x &&
echo 1 >f && git add f && git commit -qm one && git switch -qc side && echo 2 >g && git add g && git commit -qm two &&
git switch -q main && git merge -q --no-edit side && git status --short && git fsck --no-progress""")
    s.equal(host("git", "log", "--format=%s", where=s.project + "/repo"), "two\none")


@check("gcc", "gcc makes a program that runs inside and outside", null=True)
def _(s):
    s.needs_program("gcc")
    s.write(s.project + "/hello.c", '#include <stdio.h>\nint main (void) { puts ("hello"); return 7; }\n')
    done = s.inside("sh", "-c", "gcc -O1 -o hello hello.c && ./hello")
    s.equal((done.text, done.status), ("hello", 7), str(done))
    s.equal(subprocess.run([s.project + "/hello"], capture_output=True, check=False).returncode, 7)


@check("make", "make runs a Makefile", null=True)
def _(s):
    s.needs_program("make")
    s.write(s.project + "/Makefile", "all: a\n\t@echo made by $$(id -un)\na:\n\t@touch a\n")
    s.equal(s.inside("make", "-s").text, f"made by {s.user}")


def wheel(path):
    """A package for pip that needs nothing to be built."""
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("of_the_suite.py", "print('installed')\n")
        z.writestr("of_the_suite-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: of-the-suite\nVersion: 1\n")
        z.writestr("of_the_suite-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("of_the_suite-1.dist-info/RECORD", "of_the_suite.py,,\n")


@check("venv", "python3 -m venv with pip, and pip installs a package of the project into it", null=True)
def _(s):
    s.needs_program("python3")
    wheel(s.project + "/of_the_suite-1-py3-none-any.whl")
    # In the project without pip: to unpack its thousand files there takes minutes in an emulated machine.
    done = s.inside("sh", "-c", "python3 -m venv --without-pip env && env/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)' && "
                    "d=$(mktemp -d) && python3 -m venv $d/env && $d/env/bin/pip --disable-pip-version-check install -q --no-index "
                    "./of_the_suite-1-py3-none-any.whl && $d/env/bin/python -c 'import of_the_suite' && rm -rf $d", timeout=400)
    s.equal(done.text, "True\ninstalled", str(done))


@check("python", "python3 with its compiled modules", null=True)
def _(s):
    s.equal(s.inside("python3", "-c", "import json, ssl, sqlite3, zlib, ctypes; print(sum(range(10)))").text, "45")


@check("perl", "perl with its library", null=True)
def _(s):
    s.equal(s.inside("perl", "-MData::Dumper", "-MFile::Temp", "-e", 'print "perl"').text, "perl")


@check("node", "node -e", null=True)
def _(s):
    s.needs_program("node")
    done = s.inside("node", "-e", "const c = require('child_process'); console.log(6 * 7, process.cwd(), c.execSync('id -un') + '')")
    s.equal(done.text.strip(), f"42 {s.project} {s.user}", str(done))


UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


def claude(s):
    """The directory of the npm package, as `npm install -g` makes it; installed once, into the cache of the tests."""
    s.needs_program("npm", "node")
    prefix = s.cache + "/claude-code-global"
    os.makedirs(s.cache, exist_ok=True)
    lock = open(prefix + ".lock", "w", encoding="ascii")  # other suites may be at it
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(prefix + "/complete"):
        shutil.rmtree(prefix, ignore_errors=True)
        os.makedirs(prefix)
        env = dict(os.environ, NODE_EXTRA_CA_CERTS=os.environ.get("VM_NODE_CA") or os.environ.get("NODE_EXTRA_CA_CERTS", ""))
        done = s.run(["npm", "install", "-g", "--no-audit", "--no-fund", "--fetch-retries=1", "--prefix", prefix,
                      "@anthropic-ai/claude-code"], timeout=240, cwd=prefix, env=env)
        if done.status != 0 and any(word in done.said for word in UNREACHABLE):
            raise Skipped(f"npm cannot reach its registry: {done.said.splitlines()[0]}")
        s.equal(done.status, 0, f"npm install: {done}")
        with open(prefix + "/complete", "w", encoding="ascii"):
            pass
    return prefix


@check("claude", "up -p claude P -- --version: the npm package that the host's PATH has")
def _(s):
    prefix = claude(s)
    env = dict(os.environ, PATH=prefix + "/bin:" + os.environ["PATH"])
    wanted = s.run(["claude", "--version"], env=env, cwd=s.project)
    s.true(wanted.status == 0 and "Claude Code" in wanted.text, str(wanted))
    # The grant makes directories in the home, which is done only in one of the tests' own.
    if s.who == "sudo":  # it has a $PATH of its own
        done = s.up("-p", "claude", "--", "--version", project=s.directory("claude"), env=env)
        s.equal(done.status, 127, str(done))
        s.has(done.said, "sudo")
        return
    options = () if os.environ.get("VM_OWN_HOME") else ("--no-grant", "claude")
    done = s.up("-p", "claude", *options, "--", "--version", project=s.directory("claude"), env=env, timeout=240)
    s.equal((done.text, done.status), (wanted.text, 0), str(done))
    if os.environ.get("VM_OWN_HOME"):
        shutil.rmtree(s.home + "/.claude")
