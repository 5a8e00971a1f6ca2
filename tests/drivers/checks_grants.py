# SPDX-License-Identifier: LGPL-2.1-or-later
"""What of the host is let in by name: present, absent, named but absent; sockets; secrets."""
import json
import os
import secrets
import socket
import subprocess
import threading

from checks_identity import plan
from core import check, Skipped

DESKTOP = ("SSH_AUTH_SOCK", "GH_TOKEN", "GITHUB_TOKEN", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
           "DBUS_SYSTEM_BUS_ADDRESS", "PULSE_SERVER", "PIPEWIRE_REMOTE", "NIX_REMOTE", "NIX_DAEMON_SOCKET_PATH",
           "ANTHROPIC_API_KEY")


def bare():
    """The caller's environment without a desktop, agents, tokens."""
    return {name: value for name, value in os.environ.items() if name not in DESKTOP}


def grants(s):
    s.needs_verb("grants")
    return json.loads(s.verb("grants", "--json", s.project, env=bare()).out)


def missing(s):
    """{name: why} of the grants that this host has nothing for."""
    where = "in-vm" if s.driver == "qemu" else "here"
    absent = {g["name"]: g[where]["problem"] for g in grants(s) if "problem" in g[where]}
    if not s.isolated:  # it takes nothing away that the grant would give back
        absent.pop("userns", None)
    return absent


@check("grants-named-absent", "a grant that is named and whose thing is not there is an error with its name: 125", null=True)
def _(s):
    absent = missing(s)
    s.true(absent, "this host has everything: nothing was tried")
    for name in absent:
        done = s.verb("plan", "--driver", s.driver, "-g", name, s.project, env=bare())
        s.true(done.status != 0, f"{name}: {done}")
        s.has(done.said, name)
    done = s.up("--new", "-g", next(iter(absent)), "--", "true", env=bare())
    s.equal(done.status, 125, str(done))


@check("grants-absent", "grants of a profile whose things are not there are left out silently", null=True)
def _(s):
    names = [g["name"] for g in grants(s)]
    path = os.environ["XDG_CONFIG_HOME"] + "/vmctl/profiles/suite.conf"
    s.write(path, "[profile]\ngrants=" + ";".join(n for n in names if n in missing(s)) + "\n")
    done = s.up("--new", "-p", "suite", "--", "echo", "runs", env=bare())
    s.equal((done.text, done.status), ("runs", 0), str(done))


@check("grants-present", "what the default grants let in is there, and what is read-only cannot be written")
def _(s):
    mounts = [m for m in plan(s)["mounts"] if m["why"].startswith("grant:")]
    there = [m["target"] for m in mounts if m["kind"] in ("ro", "rw", "file", "copy", "link")]
    s.true(there, "there is none")
    done = s.inside("sh", "-c", 'for f; do test -e "$f" || echo "$f"; done', "-", *there)
    s.equal(done.text, "", "not there")
    fixed = [m["target"] for m in mounts if m["kind"] == "ro" and not m.get("dir")]
    # In a machine root may well write to his copies: in one of its own.
    s.up("--new", "--", "sh", "-c", 'for f; do echo evil >>"$f"; done 2>/dev/null', "-", *fixed)
    for path in fixed:
        with open(path, "rb") as f:
            s.true(b"evil" not in f.read(), f"{path} was written")


@check("grants-left-out", "--no-grant leaves one out")
def _(s):
    names = {m["why"] for m in plan(s, "--no-grant", "tls", "--no-grant", "git")["mounts"]}
    s.equal(names & {"grant:tls", "grant:git"}, set())
    done = s.up("--new", "--no-grant", "tls", "--", "sh", "-c", "ls /etc/ssl/certs 2>/dev/null | head -n 1; echo $SSL_CERT_FILE")
    s.equal((done.text, done.status), ("", 0), str(done))


@check("grants-unknown", "an unknown grant or profile is an error that names it: 125", null=True)
def _(s):
    for option, name in (("-g", "no-such-grant"), ("--no-grant", "no-such-grant"), ("-p", "no-such-profile")):
        done = s.up("--new", option, name, "--", "true")
        s.equal(done.status, 125, str(done))
        s.has(done.said, name)


@check("grants-ssh-agent", "the SSH agent answers inside as on the host")
def _(s):
    s.needs_verb("grants")
    s.needs_program("ssh-agent", "ssh-add", "ssh-keygen")
    sock, key = s.tmp + "/agent", s.tmp + "/key"
    with s.daemon(["ssh-agent", "-D", "-a", sock], sock):
        env = dict(bare(), SSH_AUTH_SOCK=sock)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the suite", "-f", key], check=True)
        subprocess.run(["ssh-add", "-q", key], check=True, env=env)
        wanted = s.run(["ssh-add", "-l"], env=env).text
        done = s.up("--new", "-g", "ssh-agent", "--", "sh", "-c", "ssh-add -l; ssh-add -L | cut -d' ' -f3-", env=env)
        s.equal(done.text, f"{wanted}\nof the suite", str(done))
        s.equal(s.up("--new", "--", "sh", "-c", "echo $SSH_AUTH_SOCK", env=env).text, "")


def answer(server):
    while True:
        try:
            peer, _ = server.accept()
        except OSError:
            return
        with peer:
            data = b""
            while more := peer.recv(65536):
                data += more
            peer.sendall(b"got %d" % len(data))


@check("grants-socket", "--socket lets a socket of the host in: bytes both ways, each way ends apart", null=False)
def _(s):
    if "--socket" not in s.verb("up", "--help").text:
        raise Skipped("this vmctl has no --socket yet")
    path = s.tmp + "/socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    thread = threading.Thread(target=answer, args=(server,))
    thread.start()
    try:
        done = s.up("--new", "--socket", path + ":/run/suite.sock", "--", "python3", "-c", """
import socket
for n in (0, 1, 3000000):
    s = socket.socket(socket.AF_UNIX)
    s.connect('/run/suite.sock')
    s.sendall(b'x' * n)
    s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode())""")
        s.equal(done.text, "got 0\ngot 1\ngot 3000000", str(done))
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@check("grants-secrets", "a token comes in by its grant only, and is in no argument of any process, plan or log")
def _(s):
    s.needs_verb("grants")
    token = "tok" + secrets.token_hex(12)
    env = dict(bare(), GH_TOKEN=token)
    s.equal(s.up("--new", "--", "sh", "-c", "echo $GH_TOKEN", env=env).text, "")
    project = s.directory("secrets")
    box = s.start("-g", "gh-token", project=project, env=env)
    s.equal(s.verb("exec", box, "--", "sh", "-c", "echo $GH_TOKEN").text, token)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                s.true(token.encode() not in f.read(), f"it is in an argument of process {pid}")
        except OSError:
            pass  # it has gone
    s.hasnt(s.verb("plan", "--driver", s.driver, "-g", "gh-token", "--json", project, env=env).text, token, "plan --json")
    s.stop(box)
    found = s.run(["grep", "-rl", token, s.state, s.runtime])
    s.equal(found.text, "", "it is in files of vmctl's")
