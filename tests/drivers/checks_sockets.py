# SPDX-License-Identifier: LGPL-2.1-or-later
"""Grants that are sockets, each with a server of the host and a real client inside: absent, there, used, left out."""
import contextlib
import os
import subprocess

from checks_grants import bare
from core import check

NIX = """derivation {
  name = "from-inside";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "echo built by the daemon > $out" ];
}
"""


def refused(s, grant, env, *words):
    """Named, and nothing is there: an error that says so, before anything is started."""
    done = s.up("--new", "-g", grant, "--", "true", env=env)
    s.equal(done.status, 125, str(done))
    for word in (f"grant '{grant}'", *words):
        s.has(done.said, word)


@check("grants-nix-daemon", "nix build and nix-build by the host's daemon; what they built is in the host's store")
def _(s):
    s.needs_program("nix-daemon", "nix-build", "nix")
    nix, sock = s.directory("nix"), s.tmp + "/nix/socket"
    gone = dict(bare(), NIX_DAEMON_SOCKET_PATH=sock)
    s.equal(s.up("--new", "-p", "claude-shell", "--no-grant", "claude", "--", "sh", "-c", "echo $NIX_REMOTE", env=gone).text, "")
    refused(s, "nix-daemon", gone)
    s.write(nix + "/etc/nix.conf", "build-users-group =\nsubstituters =\nsandbox = false\n")
    # NIX_REMOTE: a daemon that finds no store of its own would ask the daemon at this socket, itself, without end.
    own = dict(gone, NIX_STORE_DIR=nix + "/store", NIX_STATE_DIR=nix + "/var", NIX_LOG_DIR=nix + "/log", NIX_CONF_DIR=nix + "/etc",
               NIX_REMOTE="local")
    project = s.directory("nix-project")
    s.write(project + "/default.nix", NIX)
    s.write(project + "/other.nix", NIX.replace("from-inside", "from-another"))
    with s.daemon(["nix-daemon"], sock, env=own, stderr=subprocess.DEVNULL):
        # The store of this daemon is not at the usual place; where the daemon is comes with the grant.
        done = s.up("-g", "nix-daemon", "-e", f"NIX_STORE_DIR={nix}/store", "--", "sh", "-c", """
echo $NIX_REMOTE; stat -c %F /nix/var/nix/daemon-socket/socket
nix-build --no-out-link . && nix --extra-experimental-features nix-command build -f other.nix && readlink result""",
                    project=project, env=gone, timeout=240)
        plan = s.verb("plan", "--driver", s.driver, "-g", "nix-daemon", "--json", project, env=gone)
    lines = done.text.splitlines()
    s.equal((done.status, lines[:2], len(lines)), (0, ["daemon", "socket"], 4), str(done))
    for path, name in zip(lines[2:], ("from-inside", "from-another")):
        s.true(path.startswith(nix + "/store/") and path.endswith(name), path)
        with open(path, encoding="utf-8") as f:
            s.equal(f.read(), "built by the daemon\n")
    if os.path.isdir("/nix/var/nix/db"):
        s.has(plan.text, "/nix/var/nix/db", str(plan)[:500])


@contextlib.contextmanager
def x_server(s):
    """A display that asks for a cookie, and the caller's environment for it."""
    auth, reading = s.tmp + "/x-server.auth", os.pipe()
    cookie = os.urandom(16).hex()
    subprocess.run(["xauth", "-q", "-f", auth, "add", ":0", ".", cookie], check=True, stderr=subprocess.DEVNULL)
    with s.client(["Xvfb", "-displayfd", str(reading[1]), "-noreset", "-nolisten", "tcp", "-auth", auth,
                   "-screen", "0", "640x480x8"],
                  pass_fds=[reading[1]], stderr=subprocess.DEVNULL):
        os.close(reading[1])
        with open(reading[0], encoding="ascii") as f:
            display = ":" + f.readline().strip()
        s.true(display != ":", "Xvfb has ended")
        mine = s.tmp + "/xauthority"
        # Another display's cookie is in the file too, and must stay outside.
        for name, value in ((display, cookie), (":77", "ab" * 16)):
            subprocess.run(["xauth", "-q", "-f", mine, "add", name, ".", value], check=True, stderr=subprocess.DEVNULL)
        yield dict(bare(), DISPLAY=display, XAUTHORITY=mine)


@check("grants-display", "X11: xdpyinfo and xset show the host's screen, by the cookie of that display alone")
def _(s):
    s.needs_program("Xvfb", "xdpyinfo", "xset", "xauth")
    refused(s, "display", bare(), "DISPLAY")
    refused(s, "display", dict(bare(), DISPLAY=":987"), "X11-unix")
    with x_server(s) as env:
        s.true(s.run(["xdpyinfo"], env=dict(env, XAUTHORITY="/dev/null")).status != 0, "this display asks for no cookie")
        done = s.up("--new", "-g", "display", "--", "sh", "-c",
                    "xdpyinfo | grep dimensions | tr -s ' ' | cut -d' ' -f 3; xset q | grep -c Keyboard; xauth list | wc -l", env=env)
        s.equal(done.text, "640x480\n1\n1", str(done))
        s.equal(s.up("--new", "--", "sh", "-c", "xdpyinfo 2>/dev/null; echo $DISPLAY$XAUTHORITY", env=env).text, "")


@check("grants-audio", "PulseAudio: pactl plays to a sink of the host's server")
def _(s):
    s.needs_program("pulseaudio", "pactl", "pacat")
    run, home = s.directory("pulse/run"), s.directory("pulse/home")
    sock = s.tmp + "/pulse.sock"
    env = dict(bare(), PULSE_SERVER="unix:" + sock)
    refused(s, "audio", env, "pulse.sock")
    words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=no",
             "-L", "module-null-sink sink_name=of_the_suite", "-L", f"module-native-protocol-unix socket={sock}"]
    own = dict(bare(), HOME=home, XDG_RUNTIME_DIR=run, PULSE_RUNTIME_PATH=run, PULSE_STATE_PATH=home,
               DBUS_SESSION_BUS_ADDRESS="disabled:", DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent")
    with s.daemon(words, sock, env=own, stderr=subprocess.DEVNULL):
        done = s.up("--new", "-g", "audio", "--", "sh", "-c",
                    "pactl list short sinks | cut -f 2; head -c 100000 /dev/zero | pacat --playback && echo played", env=env)
        s.equal(done.text, "of_the_suite\nplayed", str(done))
        s.true(s.up("--new", "--", "pactl", "info", env=env).status != 0, "it is in without the grant")


@contextlib.contextmanager
def bus(s, name):
    sock = f"{s.tmp}/{name}"
    with s.daemon(["dbus-daemon", "--session", "--nofork", "--nosyslog", f"--address=unix:path={sock}"], sock,
                  stderr=subprocess.DEVNULL):
        yield f"unix:path={sock}"


def get_id(option):
    return ["dbus-send", option, "--print-reply=literal", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId"]


@check("grants-dbus-system", "the system bus answers dbus-send")
def _(s):
    s.needs_program("dbus-daemon", "dbus-send")
    refused(s, "dbus-system", dict(bare(), DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={s.tmp}/no-bus"), "no-bus")
    with bus(s, "system-bus") as address:
        env = dict(bare(), DBUS_SYSTEM_BUS_ADDRESS=address)
        wanted = s.run(get_id("--system"), env=env).text
        s.true(wanted, "there is no id")
        done = s.up("--new", "-g", "dbus-system", "--", *get_id("--system"), env=env)
        s.equal(done.text, wanted, str(done))
        s.true(s.up("--new", "--", *get_id("--system"), env=env).status != 0, "it is in without the grant")


@check("grants-dbus-session", "the session bus answers dbus-send, by its own grant and by 'keyring'")
def _(s):
    s.needs_program("dbus-daemon", "dbus-send")
    for grant in ("dbus-session", "keyring"):
        refused(s, grant, dict(bare(), DBUS_SESSION_BUS_ADDRESS=f"unix:path={s.tmp}/no-bus"), "no-bus")
    with bus(s, "session-bus") as address:
        env = dict(bare(), DBUS_SESSION_BUS_ADDRESS=address)
        wanted = s.run(get_id("--session"), env=env).text
        s.true(wanted, "there is no id")
        for grant in ("dbus-session", "keyring"):
            done = s.up("--new", "-g", grant, "--", *get_id("--session"), env=env)
            s.equal(done.text, wanted, f"{grant}: {done}")
        s.true(s.up("--new", "--", *get_id("--session"), env=env).status != 0, "it is in without the grant")
        # Two browsers on one bus would find each other.
        done = s.up("--new", "-g", "dbus-session", "-g", "chromium", "--", "true", env=env)
        s.equal(done.status, 125, str(done))
        s.has(done.said, "chromium")
