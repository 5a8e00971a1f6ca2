# SPDX-License-Identifier: LGPL-2.1-or-later
"""Grants of what lies in the home, and of the host's devices and kernel: absent, there, what may be written, left out."""
import json
import os
import shutil

from checks_grants import bare
from checks_sockets import refused
from core import check

KEPT = '{"keep": true}\n'


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


@check("grants-claude", "claude: sessions and login are written on the host, settings are not, ~/.claude.json is a copy")
def _(s):
    base, seed = s.own_home() + "/.claude", s.home + "/.claude.json"
    for path in (base, seed):
        s.true(not os.path.lexists(path), f"{path} is there: the home is another check's too")
    # What is absent on the host is made there, and nothing more than that.
    done = s.up("--new", "-g", "claude", "--", "sh", "-c", """cd ~/.claude && mkdir -p projects/new && echo session >projects/new/x &&
echo '{"token": 1}' >.credentials.json && echo made >settings.json && mkdir hooks && echo made >hooks/x && echo '{"theme": 1}' >~/.claude.json &&
cat settings.json""")
    s.equal((done.text, done.status), ("made", 0), str(done))
    s.equal((read(base + "/projects/new/x"), read(base + "/.credentials.json")), ("session\n", '{"token": 1}\n'))
    s.equal(os.stat(base).st_mode & 0o777, 0o700)
    for name in (base + "/settings.json", base + "/hooks", seed):
        s.true(not os.path.lexists(name), f"{name} was made on the host")
    # What is there is read, and of it only the data is written.
    fixed = {name: s.write(f"{base}/{name}", KEPT) for name in ("settings.json", "CLAUDE.md", "hooks/x.sh", "commands/x.md", "agents/x.md")}
    s.write(seed, KEPT)
    done = s.up("--new", "-g", "claude", "--", "sh", "-c", """cd ~/.claude; cat settings.json CLAUDE.md hooks/x.sh ~/.claude.json | sort -u
cat projects/new/x; echo more >>projects/new/x; echo '{"mine": 1}' >~/.claude.json; cat ~/.claude.json
for f in settings.json CLAUDE.md hooks/x.sh commands/x.md agents/x.md; do
  echo evil >$f && echo "$f written"; rm -f $f; mv $f moved; done 2>/dev/null
echo evil 2>/dev/null >hooks/new; true""")
    s.equal(done.text.splitlines()[:3], [KEPT.strip(), "session", '{"mine": 1}'], str(done))
    if s.driver != "qemu":  # root of a machine may write to his view
        s.hasnt(done.text, "written")
    for path in (*fixed.values(), seed):
        s.equal(read(path), KEPT, path)
    s.equal(read(base + "/projects/new/x"), "session\nmore\n")
    s.equal(sorted(os.listdir(base + "/hooks")), ["x.sh"])
    # Left out.
    done = s.up("--new", "-p", "claude-shell", "--no-grant", "claude", "--", "sh", "-c", "ls -d ~/.claude ~/.claude.json 2>/dev/null")
    s.equal(done.text, "", str(done))
    for path in (base, seed):
        (shutil.rmtree if os.path.isdir(path) else os.remove)(path)


@check("grants-ssh-keys", "ssh-keys: ssh-keygen reads a key of ~/.ssh, and nothing in it can be changed")
def _(s):
    s.needs_program("ssh-keygen")
    folder = s.own_home() + "/.ssh"
    refused(s, "ssh-keys", bare(), "~/.ssh")
    os.mkdir(folder, 0o700)
    s.equal(s.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the suite", "-f", folder + "/id_ed25519"]).status, 0)
    wanted = read(folder + "/id_ed25519.pub")
    done = s.up("--new", "-g", "ssh-keys", "--", "sh", "-c", "ssh-keygen -y -f ~/.ssh/id_ed25519; "
                "{ echo evil >>~/.ssh/authorized_keys; rm -f ~/.ssh/id_ed25519; echo evil >>~/.ssh/id_ed25519.pub; } 2>/dev/null; true")
    s.equal(done.text.split()[:2], wanted.split()[:2], str(done))
    s.equal((sorted(os.listdir(folder)), read(folder + "/id_ed25519.pub")), (["id_ed25519", "id_ed25519.pub"], wanted))
    s.equal(s.up("--new", "-p", "claude-shell", "--no-grant", "claude", "--", "sh", "-c", "ls -A ~/.ssh 2>/dev/null").text, "")
    shutil.rmtree(folder)


@check("grants-gh", "gh: ~/.config/gh is read and cannot be written")
def _(s):
    folder = s.own_home() + "/.config/gh"
    refused(s, "gh", bare(), "gh auth login")
    hosts = s.write(folder + "/hosts.yml", "github.com:\n    user: ada\n")
    done = s.up("--new", "-g", "gh", "--", "sh", "-c", "cat ~/.config/gh/hosts.yml; { echo evil >>~/.config/gh/hosts.yml; "
                "echo evil >~/.config/gh/new; } 2>/dev/null; true")
    s.equal(done.text, read(hosts).rstrip(), str(done))
    s.equal((os.listdir(folder), "evil" in read(hosts)), (["hosts.yml"], False))
    s.equal(s.up("--new", "--no-grant", "gh", "--", "sh", "-c", "ls ~/.config 2>/dev/null").text, "")
    shutil.rmtree(folder)


@check("grants-chromium", "chromium: a profile of each project's own, which is kept, and never the user's")
def _(s):
    one, two = s.directory("browser-one"), s.directory("browser-two")
    mine = s.write(s.own_home() + "/.config/chromium/Default/Cookies", "of the user")
    words = ("--new", "-g", "chromium", "--", "sh", "-c")
    s.equal(s.up(*words, "ls ~/.config/chromium; echo kept >~/.config/chromium/mark", project=one).text, "")
    s.equal(s.up(*words, "cat ~/.config/chromium/mark", project=one).text, "kept")
    s.equal(s.up(*words, "ls ~/.config/chromium", project=two).text, "")
    s.equal(read(mine), "of the user")
    s.equal(s.up("--new", "--", "sh", "-c", "ls ~/.config 2>/dev/null", project=one).text, "")
    shutil.rmtree(s.home + "/.config/chromium")


@check("grants-gpu", "gpu: the nodes of /dev/dri are there, or it says that this host or driver has none")
def _(s):
    if s.driver == "qemu" or not os.path.isdir("/dev/dri"):
        refused(s, "gpu", bare(), "graphics card" if s.driver == "qemu" else "/dev/dri")
        return
    done = s.up("--new", "-g", "gpu", "--", "sh", "-c", "ls /dev/dri")
    s.equal(done.text.split(), sorted(os.listdir("/dev/dri")), str(done))
    s.true(s.up("--new", "--", "test", "-e", "/dev/dri").status != 0, "it is in without the grant")


@check("grants-userns", "userns: unshare and chroot work by the grant alone; where they cannot, it says why")
def _(s):
    try_it = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
              "id -u; mkdir -p /tmp/root && mount --rbind / /tmp/root && /usr/sbin/chroot /tmp/root echo in"]
    without = s.up("--new", "--", *try_it)
    if s.driver == "qemu":  # a kernel of its own
        s.equal(without.text, "0\nin", str(without))
        return
    s.true(without.status != 0 and "0" not in without.text, f"they work without the grant: {without}")
    if s.driver == "nspawn" or s.uid == 0:
        refused(s, "userns", bare(), "a container" if s.driver == "nspawn" else "root")
        return
    done = s.up("--new", "-g", "userns", "--", *try_it)
    s.equal(done.text, "0\nin", str(done))
    plan = s.verb("plan", "--driver", s.driver, "-g", "userns", "--json", s.project)
    s.has(str(json.loads(plan.out)["plan"]["grants"]), "userns")
