# SPDX-License-Identifier: LGPL-2.1-or-later
"""What real programs ask for, below the world's directory: a git repository, an npm registry, an apt repository,
and an ssh server."""
import base64
import ctypes
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time

REGISTRY, ELSEWHERE = "https://registry.npm.test/files/npm/", "https://cdn.npm.test/files/npm/"
PR_SET_PDEATHSIG = 1


def run(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more).stdout


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def git(files):
    work, bare = files + "/git/work", files + "/git/hello.git"
    environment = {"PATH": os.environ["PATH"], "HOME": files, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
                   **{"GIT_%s_%s" % (who, what): "world@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    write(work + "/hello", "hello from git.test\n")
    for words in (["init", "-q", work], ["-C", work, "add", "hello"], ["-C", work, "commit", "-q", "-m", "hello"],
                  ["clone", "-q", "--bare", work, bare]):
        run("git", *words, env=environment)


def npm_package(files, name, base):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in (("package.json", json.dumps({"name": name, "version": "1.0.0", "main": "index.js"})),
                           ("index.js", "module.exports = 'hello from %s'\n" % name)):
            member = tarfile.TarInfo("package/" + path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    data = data.getvalue()
    tarball = "tar/%s-1.0.0.tgz" % name
    write(files + "/npm/" + tarball, data)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    version = {"name": name, "version": "1.0.0", "main": "index.js", "dist": {"tarball": base + tarball, "integrity": integrity}}
    write(files + "/npm/" + name,
          json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}))


def apt(files):
    tree, place = files + "/deb", files + "/apt"
    control = "Package: vmctl-test-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: world <world@test>\nDescription: hello\n"
    write(tree + "/DEBIAN/control", control)
    write(tree + "/usr/share/vmctl-test-hello", "hello from deb.test\n")
    os.makedirs(place)
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, place + "/hello.deb")
    with open(place + "/hello.deb", "rb") as f:
        deb = f.read()
    packages = control + "Filename: ./hello.deb\nSize: %d\nSHA256: %s\n" % (len(deb), hashlib.sha256(deb).hexdigest())
    write(place + "/Packages", packages)
    write(place + "/Release", "Date: Mon, 30 Nov 2026 12:00:00 UTC\nSHA256:\n %s %d Packages\n" % (hashlib.sha256(packages.encode()).hexdigest(), len(packages)))


def ssh(directory):
    """Whoever has client_key may log in, and gets the repository, or one line."""
    for name in "host_key", "client_key":
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", directory + "/" + name)
    os.chmod(directory + "/client_key", 0o644)  # the test, which is somebody else, makes a copy that ssh accepts
    with open(directory + "/host_key.pub") as f:
        write(directory + "/known_hosts", "ssh.test " + f.read())
    write(directory + "/login", """case $SSH_ORIGINAL_COMMAND in
git-upload-pack*) exec git upload-pack %s/files/git/hello.git ;;
*) echo I am ssh.test ;;
esac
""" % directory)
    write(directory + "/sshd_config", """ListenAddress 198.51.100.30:22
ListenAddress 198.51.100.30:443
HostKey {0}/host_key
AuthorizedKeysFile {0}/client_key.pub
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PidFile none
PrintMotd no
ForceCommand sh {0}/login
""".format(directory))


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def prepare(directory):
    """What lacks its program is not there; the test says so."""
    files = directory + "/files"
    if find("git"):
        git(files)
    npm_package(files, "vmctl-test-hello", REGISTRY)
    npm_package(files, "vmctl-test-elsewhere", ELSEWHERE)
    if find("dpkg-deb"):
        apt(files)
    if find("sshd") and find("ssh-keygen"):
        ssh(directory)


def start_sshd(directory):
    """In the world, with which it ends; None: there is none."""
    sshd = find("sshd")
    if sshd is None or not os.path.exists(directory + "/sshd_config"):
        return None
    os.makedirs("/run/sshd", exist_ok=True)
    libc = ctypes.CDLL(None)
    with open(directory + "/sshd.log", "wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", directory + "/sshd_config"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    while server.poll() is None and not all(listens("198.51.100.30", port) for port in (22, 443)):
        time.sleep(0.02)
    return server


def listens(address, port):
    with socket.socket() as s:
        return s.connect_ex((address, port)) == 0
