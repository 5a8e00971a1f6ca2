#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""escape.py [ROW...]: started by run.sh. Every row of the catalogue (A1 ... B40) is one line of TAP, whose number is the
row's. What vmctl-probe says inside and what the functions of rows.py see from outside are its parts.

docs/differences.tsv has rows `escape:ROW` or `escape:ROW-PART`: limit (the part must fail), absent (it is not asked).
A row of the catalogue whose only parts are known limits is ok, and names them."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../drivers")
import rows
from core import Failed, Suite

LINE = re.compile(r"(not )?ok \d+ - (([AB]\d+)-\S+): (.*)")


class Escape(Suite):
    def __init__(self):
        super().__init__()
        self.parts = {name: [] for name in rows.NAMES}  # row: [(part, held, detail)]
        self.skipped = {}
        self.wrong_rows = []

    def part(self, name, held, detail=""):
        """The result of one part, seen from outside."""
        self.parts[name.split("-")[0]].append((name, bool(held), detail))

    def inside_parts(self, what, done):
        """What the probe said. A probe that did not come to its end is a failure."""
        lines = done.text.splitlines()
        for line in lines:
            match = LINE.fullmatch(line)
            if match:
                self.parts[match[3]].append((match[2], match[1] is None, match[4]))
        if done.status != 0 or not lines or not lines[-1].startswith("1.."):
            raise Failed(f"the probe did not end well ({what}): {done}")

    def judge(self, row):
        """(good, notes, limits) of one row of the catalogue."""
        good, notes, limits = True, [], []
        for name, held, detail in self.parts[row]:
            kind, text = self.differences.get("escape:" + name, self.differences.get("escape:" + row, (None, None)))
            if kind == "absent":
                continue
            if kind == "limit":
                limits.append(text)
                if "escape:" + name in self.differences and held:
                    good = False
                    notes.append(f"{name} holds, though docs/differences.tsv calls it a limit: remove the row")
            elif not held:
                good = False
                notes.append(f"{name}: {detail}")
        return good, notes, sorted(set(limits))

    def report(self):
        for row, sentence in rows.NAMES.items():
            kind, text = self.differences.get("escape:" + row, (None, None))
            if kind == "absent":
                self.say(True, f"{row} {sentence}", f" # SKIP {self.driver}: {text}")
            elif not self.parts[row]:
                self.say(row in self.skipped, f"{row} {sentence}", f" # SKIP {self.skipped.get(row)}" if row in self.skipped else "",
                         [] if row in self.skipped else ["nothing was tried"])
            else:
                good, notes, limits = self.judge(row)
                limit = f" (known limit: {'; '.join(limits)})" if limits else ""
                self.say(good, f"{row} {sentence}{limit}", "", notes)
                if os.environ.get("VM_PARTS"):
                    self.note_parts(row)

    def note_parts(self, row):
        for name, held, detail in self.parts[row]:
            print(f"#   {'held' if held else 'OPEN'} {name}: {detail}".encode("unicode_escape").decode())

    def main(self, wanted):
        why = self.usable()
        if why is not None:
            print(f"1..0 # SKIP {why}", flush=True)
            self.finish("skipped")
            return 0
        try:
            rows.run(self, wanted)
        finally:
            for pid in rows.STARTED:
                pid.kill()
                pid.wait()
        self.report()
        self.verb("stop", "--all", "--force")
        self.finish(self.count)
        return 1 if self.failed else 0


if __name__ == "__main__":
    sys.exit(Escape().main(sys.argv[1:]))
