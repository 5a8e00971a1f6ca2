# SPDX-License-Identifier: LGPL-2.1-or-later
"""transcript.txt: commands with the bytes that each must print, whatever the driver."""
import grp
import os

from core import check
from checks_identity import plan


def read(path):
    """[(command, [lines])]"""
    entries = []
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n")[:-1]:
            if line.startswith("$ "):
                entries.append((line[2:], []))
            elif entries:
                entries[-1][1].append(line)
            elif not line.startswith("#"):
                raise ValueError(f"{path}: a line before the first command")
    return entries


def rendered(result):
    """A result in the form of the file."""
    lines = []
    for data, mark in ((result.out, ""), (result.err, "! ")):
        text = data.decode("utf-8", "backslashreplace")
        parts = text.split("\n")
        if parts[-1] == "":
            parts.pop()
        elif parts:
            parts[-1] += "\\"  # no newline at the end
        lines += [mark + part for part in parts]
    return lines + ([f"= {result.status}"] if result.status else [])


def values(s, project):
    return {"USER": s.user, "UID": s.uid, "GID": s.passwd.pw_gid, "GROUP": grp.getgrgid(s.passwd.pw_gid).gr_name,
            "HOME": s.home, "PROJECT": project, "SHELL": s.passwd.pw_shell}


def filled(lines, names):
    for name, value in names.items():
        lines = [line.replace(f"@{name}@", str(value)) for line in lines]
    return lines


def compare(s, project, run, every=1):
    """Every command by `run`; the file's text or the host's own answer is what must come."""
    environment = dict(one.split("=", 1) for one in plan(s)["environment"])
    wrong = []
    for command, wanted in read(os.path.dirname(os.path.abspath(__file__)) + "/transcript.txt")[::every]:
        if wanted == ["@HOST"]:
            wanted = rendered(s.run(["/bin/sh", "-c", command], env=environment, cwd=project))
        wanted, got = filled(wanted, values(s, project)), rendered(run(command))
        if got != wanted:
            wrong.append(f"$ {command}\n" + "\n".join(["got:"] + got + ["wanted:"] + wanted))
    s.equal(len(wrong), 0, "\n".join(wrong))


@check("transcript", "the list of commands prints the same bytes as with every other driver (exec)")
def _(s):
    project = s.directory("transcript")
    box = s.start(project=project)
    compare(s, project, lambda command: s.verb("exec", box, "--", "sh", "-c", command))
    s.stop(box)


@check("transcript-up", "and the same when each command is an up of its own")
def _(s):
    project = s.directory("transcript-up")
    # A machine for each would take minutes: of those two.
    compare(s, project, lambda command: s.up("--", "sh", "-c", command, project=project), 30 if s.driver == "qemu" else 1)
