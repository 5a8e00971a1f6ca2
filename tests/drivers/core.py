# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the checks stand on: how a check is written, how vmctl is run, what docs/differences.tsv says.

A check is a function with a name of its own and one sentence; it gets a Suite and returns, or raises:

    @check("exit-codes", "exec gives the command's exit status")
    def _(s):
        s.equal(s.inside("false").status, 1)

A row of differences.tsv (driver, name, kind, text) changes what one driver must do:

    limit   the check is run and must fail: if it passes, the row is wrong and the suite fails
    other   the function of @otherwise(name) is run instead, and must pass
    absent  the check makes no sense for this driver; it is printed as skipped, with the text

`driver` may end in `/root`, `/user` or `/sudo` when only that caller is meant, and it may be a list with commas."""
import concurrent.futures
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

CHECKS = {}  # name: (sentence, function, drivers or None)
LAST = set()  # names of those that wait until all others are done
OTHERWISE = {}
SLOW = float(os.environ.get("VM_SLOW") or 1)


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(name, sentence, null=False, last=False):
    """`null`: it also makes sense where there is no isolation at all. `last`: it ends what others use."""
    def register(function):
        assert name not in CHECKS, name
        CHECKS[name] = (sentence, function, null)
        if last:
            LAST.add(name)
        return function
    return register


def otherwise(name):
    def register(function):
        OTHERWISE[name] = function
        return function
    return register


class Result:
    def __init__(self, words, status, out, err):
        self.words, self.status, self.out, self.err = words, status, out, err

    @property
    def text(self):
        return self.out.decode("utf-8", "replace").removesuffix("\n")

    @property
    def said(self):
        return self.err.decode("utf-8", "replace").removesuffix("\n")

    def __str__(self):
        return f"status {self.status}, stdout {self.out[-600:]!r}, stderr {self.err[-600:]!r}"


def read_differences(path, driver, who):
    """{name: (kind, text)} for this driver and caller; a malformed table is an error."""
    found = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 4 or fields[2] not in ("limit", "other", "absent") or not all(fields):
                sys.exit(f"Bail out! {path}:{number}: not 'drivers<TAB>name<TAB>limit|other|absent<TAB>text'")
            drivers = fields[0].split(",")
            if driver in drivers or f"{driver}/{who}" in drivers:
                found[fields[1]] = (fields[2], fields[3])
    return found


def matches(name, word):
    """Of a check; "=WORD" is the whole of its name."""
    return name == word[1:] if word.startswith("=") else name.startswith(word)


def connects(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


class Suite:
    """One driver, one caller. The directories are those of tests/vm/lib.sh."""

    def __init__(self):
        self.driver = os.environ["VM_DRIVER"]
        self.image = os.environ.get("VM_IMAGE")
        self.vmctl = os.environ["VMCTL"]
        # Where its programs are; with sudo `vmctl` is a script of the tests' (tests/vm/lib.sh).
        self.bin = os.path.dirname(self.vmctl) + ("/../bin" if os.environ.get("VM_WHO") == "sudo" else "")
        self.tmp = os.environ["T"]
        self.runtime = os.environ["XDG_RUNTIME_DIR"] + "/vmctl"
        self.state = os.environ["XDG_STATE_HOME"] + "/vmctl"
        self.cache = os.environ["XDG_CACHE_HOME"]
        self.vm_dir = os.path.dirname(os.path.abspath(__file__)) + "/../vm"
        self.passwd = pwd.getpwuid(os.getuid())
        self.user, self.home, self.uid = self.passwd.pw_name, self.passwd.pw_dir, self.passwd.pw_uid
        self.who = os.environ.get("VM_WHO") or ("root" if self.uid == 0 else "user")
        self.differences = read_differences(os.environ["DIFFERENCES"], self.driver, self.who)
        self.isolated = self.driver != "null"
        self.project = self.directory("project")
        for number in (signal.SIGINT, signal.SIGQUIT):  # ignored in what a shell runs in the background
            signal.signal(number, signal.SIG_DFL)
        self.box, self.box_lock = None, threading.Lock()
        self.boxes = []  # others that checks share; stopped at the end
        self.count = self.failed = 0

    # Running

    def run(self, words, input=None, timeout=120, env=None, **more):
        """A program of the host with a deadline; `input` bytes, or None: an empty stdin."""
        stdin = {} if input is not None or "stdin" in more else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(words, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=timeout * SLOW, env=env, check=False, **stdin, **more)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"no end within {timeout} s: {words}; {e.stdout!r} {e.stderr!r}") from None
        return Result(words, done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def client(self, words, **more):
        """The same, while it runs; what is left of it is killed."""
        process = subprocess.Popen(words, stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, **more)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextlib.contextmanager
    def daemon(self, words, sock, **more):
        """The same, once something listens at its socket."""
        with self.client(words, **more) as process:
            self.until(lambda: process.poll() is not None or connects(sock), f"{words[0]} listens at {sock}")
            self.equal(process.poll(), None, f"{words[0]} has ended")
            yield process

    def verb(self, *words, **more):
        return self.run([self.vmctl, *words], **more)

    def up_words(self, *words, project=None):
        """`vmctl up`'s words; options come before "--", and the command after it."""
        cut = words.index("--") if "--" in words else len(words)
        image = ["--image", self.image] if self.image else []
        return [self.vmctl, "up", "-q", "--driver", self.driver, *image, *words[:cut], project or self.project, *words[cut:]]

    def up(self, *words, project=None, **more):
        return self.run(self.up_words(*words, project=project), **more)

    def start(self, *words, project=None, **more):
        """A detached sandbox that is up; returns its id. The default command waits."""
        words = words if "--" in words else (*words, "--", "sleep", "infinity")
        done = self.up("-d", "-T", *words, project=project, **more)
        self.equal(done.status, 0, f"up -d: {done}")
        self.control(done.text, "wait", "running")
        return done.text

    def stop(self, box):
        self.equal(self.verb("stop", box).status, 0, "stop")

    def control(self, box, *words):
        done = self.run(["python3", "-B", f"{self.vm_dir}/control.py", f"{self.runtime}/{box}/control.sock", *words])
        if done.status != 0:
            raise Failed(f"control.py {words}: {done}")
        return done.text

    def terminal(self, script, *words, size="24x80"):
        """Runs vmctl with these words on a terminal, by the script (tests/vm/terminal.py)."""
        env = dict(os.environ, TERM="xterm", SHELL="/bin/bash", SLOW=str(SLOW))
        done = self.run(["python3", "-B", f"{self.vm_dir}/terminal.py", size, self.vmctl, *words],
                        input=script.encode(), env=env)
        if done.status != 0:
            raise Failed(done.text)

    # One sandbox is shared by all checks that only look or run a command.

    def shared(self):
        with self.box_lock:
            if self.box is None or not os.path.exists(f"{self.runtime}/{self.box}"):
                options = ["--no-root"] if self.image else []
                self.box = self.start("--name", "shared", *options)  # again, if a check has ended it
        return self.box

    def inside(self, *command, options=(), **more):
        return self.verb("exec", *options, self.shared(), "--", *command, **more)

    def shell(self, script, **more):
        """The output of a shell script inside, which must succeed."""
        done = self.inside("sh", "-c", script, **more)
        if done.status != 0:
            raise Failed(f"{script!r}: {done}")
        return done.text

    # Comparing

    def equal(self, got, want, what=""):
        if got != want:
            raise Failed(f"{what}{': ' if what else ''}got {str(got)[:800]!r}, wanted {str(want)[:800]!r}")

    def true(self, value, what):
        if not value:
            raise Failed(what)

    def has(self, text, part, what=""):
        if part not in text:
            raise Failed(f"{what}{': ' if what else ''}{part!r} is not in {text[-1200:]!r}")

    def hasnt(self, text, part, what=""):
        if part in text:
            raise Failed(f"{what}{': ' if what else ''}{part!r} is in {text[-1200:]!r}")

    def kill(self, pid):
        """Under sudo the keeper and the driver's program are root's; tests/vm/lib.sh allows this."""
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            self.run(["sudo", "-n", "/usr/bin/kill", "-KILL", str(pid)])

    def until(self, ready, what, seconds=20):
        """Only where no event tells when it is so."""
        end = time.monotonic() + seconds * SLOW
        while not ready():
            if time.monotonic() > end:
                raise Failed(f"not within {seconds} s: {what}")
            time.sleep(0.02)

    # Looking from outside

    def directory(self, name):
        path = os.path.join(self.tmp, name)
        os.makedirs(path)
        return path

    def write(self, path, text="", mode=0o644):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def record(self, box):
        for path in (f"{self.runtime}/{box}/record.json", f"{self.state}/sandboxes/{box}/record.json"):
            with contextlib.suppress(FileNotFoundError):  # not there, or it ends just now
                with open(path, encoding="utf-8") as f:
                    return json.load(f)
        raise Failed(f"sandbox {box} has no record")

    def gone(self, box, seconds=20):
        self.until(lambda: not os.path.exists(f"{self.runtime}/{box}"), f"the runtime directory of {box} is removed", seconds)

    def verbs(self):
        return {line.split()[0] for line in self.verb("help").text.splitlines() if line.startswith("  ")}

    def needs_verb(self, *names):
        missing = [name for name in names if name not in self.verbs()]
        if missing:
            raise Skipped(f"this vmctl has no verb '{missing[0]}' yet")

    def needs_program(self, *names):
        """./bootstrap installs all of them: where that has run, in CI, a missing one is a failure."""
        for name in names:
            if not shutil.which(name):
                raise (Failed if os.environ.get("CI") == "true" else Skipped)(f"{name} is not installed on this host")

    def own_home(self):
        """The home, where it is the tests' own and anything may be put there."""
        if not os.environ.get("VM_OWN_HOME"):
            raise Skipped("the home is a person's: run as root, from outside of root's home")
        return self.home

    # TAP

    def say(self, good, sentence, directive="", notes=()):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {sentence}{directive}")
        for text in notes:
            for line in str(text).splitlines()[:60]:
                print("#   " + line[:1500].encode("unicode_escape").decode())
        sys.stdout.flush()

    def attempt(self, function):
        """None: it passed. Else what was wrong. Skipped is raised."""
        try:
            function(self)
        except Skipped:
            raise
        except Failed as e:
            return str(e)
        except Exception:  # an error of the check itself is a failure too
            return traceback.format_exc()
        return None

    def one(self, name):
        """The arguments of say()."""
        sentence, function, _ = CHECKS[name]
        kind, text = self.differences.get(name, (None, None))
        title = f"{name}: {sentence}"
        if kind == "absent":
            return True, title, f" # SKIP {self.driver}: {text}"
        if kind == "other":
            function, title = OTHERWISE[name], f"{name}: {text}"
        before = time.monotonic()
        try:
            wrong = self.attempt(function)
        except Skipped as e:
            return True, title, f" # SKIP {e}"
        took = time.monotonic() - before
        notes = [f"{took:.1f} s"] if took > 2 else []
        if kind != "limit":
            return wrong is None, title, "", [wrong] * (wrong is not None) + notes
        if wrong is None:
            notes.append("but it is as it should be: remove the row from docs/differences.tsv")
        return wrong is not None, f"{name}: known limit: {text}", "", notes

    def all(self, names):
        """Two at a time: most of a check is waiting. The output is in the order of the list."""
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("VM_JOBS", "2"))) as pool:
            for result in pool.map(self.one, [name for name in names if name not in LAST]):
                self.say(*result)
        for name in names:
            if name in LAST:
                self.say(*self.one(name))

    def usable(self):
        """None, or why this driver cannot be tried here, in vmctl's own words."""
        done = self.verb("plan", "--driver", self.driver, self.project)
        if done.status != 0:
            return done.said.removeprefix("vmctl: error: ").replace("\n", " ")
        return None

    def main(self, wanted):
        why = self.usable()
        if why is not None:
            print(f"1..0 # SKIP {why}", flush=True)
            self.finish("skipped")
            return 0
        unknown = [n for n in self.differences if n not in CHECKS and not n.startswith("escape:")]
        if unknown:
            print(f"Bail out! docs/differences.tsv names checks that do not exist: {unknown}")
            return 1
        if os.environ.get("VM_OWN_HOME") and not os.path.exists(self.home + "/.gitconfig"):
            self.write(self.home + "/.gitconfig", "[user]\n\tname = suite\n")  # before the first sandbox, for all of them
        self.all([name for name, (_, _, null) in CHECKS.items()
                  if (null or self.isolated) and (not wanted or any(matches(name, w) for w in wanted))])
        for box in [self.box] * (self.box is not None) + self.boxes:
            self.verb("stop", box)
        if self.failed:
            self.verb("stop", "--all", "--force")  # what the failed checks did not end
        self.finish(self.count)
        return 1 if self.failed else 0

    def finish(self, count):
        with open(f"{self.tmp}/count", "w", encoding="ascii") as f:
            f.write(str(count))
