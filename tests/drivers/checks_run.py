# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exit statuses, signals, standard streams, many at once."""
import hashlib
import os
import signal
import subprocess
import threading
import time

from core import check

SIZE = 20_000_000


def blob(s):
    """20 MB that do not compress, and their checksum; made once."""
    path = s.tmp + "/blob"
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(os.urandom(SIZE))
    with open(path, "rb") as f:
        data = f.read()
    return data, hashlib.sha256(data).hexdigest()


@check("exit-codes", "exec gives the command's status: 0, 1, 42, 255; 126 cannot be executed, 127 is not there", null=True)
def _(s):
    s.write(s.project + "/plain", "text", 0o644)
    s.write(s.project + "/script", "#!/bin/sh\nexit 9\n", 0o755)
    s.write(s.project + "/no-interpreter", "#!/nonexistent\n", 0o755)
    for wanted, command in ((0, ["true"]), (1, ["false"]), (42, ["sh", "-c", "exit 42"]), (255, ["sh", "-c", "exit 255"]),
                            (9, ["./script"]), (126, ["./plain"]), (126, ["/usr"]), (127, ["no-such-command"]),
                            (127, ["./none"]), (127, ["./no-interpreter"])):
        done = s.inside(*command)
        s.equal(done.status, wanted, f"{command}: {done}")
    s.has(s.inside("no-such-command").said, "no-such-command", "what is not there is not named")


@check("exit-signals", "a command that a signal ended gives 128 + n", null=True)
def _(s):
    for name, number in (("TERM", 15), ("KILL", 9), ("HUP", 1), ("USR1", 10), ("PIPE", 13)):
        s.equal(s.inside("sh", "-c", f"kill -{name} $$").status, 128 + number, name)
    s.equal(s.inside("perl", "-e", "kill SEGV => $$; sleep 9").status, 139)
    s.equal(s.inside("perl", "-e", "kill ABRT => $$; sleep 9").status, 134)


@check("exit-main", "up gives the main command's status in the same way", null=True)
def _(s):
    s.equal(s.up("--new", "--", "sh", "-c", "kill -TERM $$").status, 143)
    done = s.up("--new", "--", "/nonexistent/command")
    s.equal(done.status, 127)
    s.has(done.said, "/nonexistent/command")
    if s.driver != "qemu":  # a machine for each is too much
        s.equal(s.up("--new", "--", "/usr").status, 126)
        s.equal(s.up("--new", "--", "sh", "-c", "kill -KILL $$").status, 137)
        s.equal(s.up("--new", "--", "true").status, 0)


def signalled(s, number):
    """The status of an up whose client got that signal while the command ran."""
    with s.client(s.up_words("--new", "--", "sh", "-c", "echo up; exec sleep 1000"), stderr=subprocess.PIPE) as client:
        s.equal(client.stdout.readline(), b"up\n")
        client.send_signal(number)
        return client.wait(60)


@check("signal-forward", "a signal to the client ends the command: 128 + n", null=True)
def _(s):
    s.equal(signalled(s, signal.SIGTERM), 143)
    if s.driver != "qemu":
        s.equal(signalled(s, signal.SIGINT), 130)


@check("signal-exec", "and the same for exec", null=True)
def _(s):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        with s.client([s.vmctl, "exec", s.shared(), "--", "sh", "-c", "echo up; exec sleep 1000"]) as client:
            s.equal(client.stdout.readline(), b"up\n")
            client.send_signal(number)
            s.equal(client.wait(60), 128 + number)


@check("exec-orphan", "the command of an exec whose client is killed ends too", null=True)
def _(s):
    with s.client([s.vmctl, "exec", s.shared(), "--", "sh", "-c", "echo $$; trap '' TERM; while :; do sleep 1000; done"]) as client:
        pid = client.stdout.readline().decode().strip()
        client.kill()
        client.wait()
    s.until(lambda: s.inside("kill", "-0", pid).status != 0, "the command has gone")


@check("exec-background", "an exec ends though its command leaves a child", null=True)
def _(s):
    s.equal(s.inside("sh", "-c", "sleep 2 </dev/null >/dev/null 2>&1 & echo started", timeout=60).text, "started")


@check("pid1", "the first process inside cannot be killed from inside")
def _(s):
    s.equal(s.inside("sh", "-c", "kill -9 1; kill -STOP 1; kill -SEGV 1; echo still here").text, "still here")
    s.equal(s.inside("echo", "again").text, "again")


@check("pid1-term", "nor does SIGTERM to it end the sandbox")
def _(s):
    # In steps: a machine that stands still for a while does not bring it to its end.
    done = s.up("--new", "--", "sh", "-c", "kill -TERM 1; kill -HUP 1; kill -INT 1; for i in $(seq 20); do sleep 0.1; done; echo still here")
    s.equal(done.text, "still here", str(done))


@check("stdin-20mb", "20 MB go in and out again unchanged", null=True)
def _(s):
    data, wanted = blob(s)
    s.equal(s.inside("sha256sum", input=data).text.split()[0], wanted, "in")
    s.equal(hashlib.sha256(s.inside("cat", input=data).out).hexdigest(), wanted, "in and out")
    s.equal(hashlib.sha256(s.inside("sh", "-c", "cat >&2", input=data).err).hexdigest(), wanted, "out by stderr")


@check("stdin-main", "and the same through the main command", null=True)
def _(s):
    data, wanted = blob(s)
    done = s.up("--new", "--", "sh", "-c", "cat; echo err >&2; exit 3", input=data)
    s.equal((hashlib.sha256(done.out).hexdigest(), done.err, done.status), (wanted, b"err\n", 3))


@check("stdin-bytes", "every byte is itself", null=True)
def _(s):
    data = bytes(range(256)) * 4096
    s.equal(s.inside("cat", input=data).out == data, True)


@check("stdin-closed", "an empty and a closed input are the end of the input", null=True)
def _(s):
    s.equal(s.inside("sh", "-c", "cat; echo end").text, "end")
    done = s.run(["sh", "-c", 'exec "$0" "$@" <&-', s.vmctl, "exec", s.shared(), "--", "sh", "-c", "cat; echo end"])
    s.equal(done.text, "end", str(done))
    done = s.run(["sh", "-c", 'exec "$0" "$@" <&-', *s.up_words("--new", "--", "sh", "-c", "cat; echo end")])
    s.equal(done.text, "end", str(done))


@check("stdin-unread", "a command that reads nothing, or one byte, of much input ends", null=True)
def _(s):
    data, _ = blob(s)
    s.equal(s.inside("true", input=data).status, 0)
    s.equal(s.inside("head", "-c", "1", input=data).out, data[:1])


@check("stdin-alive", "what is written comes at once, without the end of the input", null=True)
def _(s):
    with s.client([s.vmctl, "exec", s.shared(), "--", "cat"], stdin=subprocess.PIPE) as client:
        for word in (b"ping\n", b"pong\n"):
            client.stdin.write(word)
            client.stdin.flush()
            s.equal(client.stdout.readline(), word)
        client.stdin.close()
        client.stdin = None
        s.equal(client.wait(30), 0)


@check("streams-by-name", "/dev/stdin, /dev/stdout and /dev/stderr can be opened", null=True)
def _(s):
    done = s.inside("sh", "-c", "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr", input=b"in\n")
    s.equal((done.out, done.err, done.status), (b"in\nout\n", b"err\n", 0))


@check("streams-apart", "stdout and stderr are separate, and nothing of either is lost", null=True)
def _(s):
    done = s.inside("sh", "-c", "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done; exec 1>&-; echo last >&2")
    s.equal((done.text.split(), done.said.split()), (["o1", "o2", "o3", "o4", "o5"], ["e1", "e2", "e3", "e4", "e5", "last"]))


@check("sigpipe", "a pipe whose reader goes away ends the command as on the host", null=True)
def _(s):
    done = s.run(["bash", "-c", '"$0" "$@" | head -n 1; exit "${PIPESTATUS[0]}"', *s.up_words("--new", "--", "yes")])
    s.equal((done.text, done.status), ("y", 141), str(done))


@check("descriptors", "a command has its three descriptors and no other", null=True)
def _(s):
    low, high = os.open("/", os.O_RDONLY), 700
    os.dup2(low, high)
    os.set_inheritable(low, True)
    os.set_inheritable(high, True)
    try:
        script = "import os; print([int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)])"
        for done in (s.inside("python3", "-c", script, close_fds=False),
                     s.up("--new", "--", "python3", "-c", script, close_fds=False)):
            s.equal(done.text, "[0, 1, 2]", str(done))
    finally:
        os.close(low)
        os.close(high)


@check("exec-many", "eight commands at once in one sandbox, each exact, while the main command runs", null=True)
def _(s):
    data = blob(s)[0][:2_000_000]
    wanted = hashlib.sha256(data).hexdigest()
    s.shared()
    got = [None] * 8

    def one(i):
        got[i] = s.inside("sh", "-c", f"sha256sum; exit {i}", input=data)

    each(one, 8)
    s.equal([(r and r.text.split()[0], r and r.status) for r in got], [(wanted, i) for i in range(8)])


def each(function, count):
    threads = [threading.Thread(target=function, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@check("at-once", "eight sandboxes at once give each its own answer", null=True)
def _(s):
    count = 8
    got = [None] * count
    paths = [s.directory(f"many/{i}") for i in range(count)]
    options = ("-m", "256M") if s.driver == "qemu" else ()

    def one(i):
        got[i] = s.up(*options, "--", "sh", "-c", f"pwd; cat; echo {i} >made; exit {i}", project=paths[i], input=b"in %d" % i)

    each(one, count)
    s.equal([(r and r.text, r and r.status) for r in got], [(f"{paths[i]}\nin {i}", i) for i in range(count)])
    for i, path in enumerate(paths):
        with open(path + "/made", encoding="ascii") as f:
            s.equal(f.read(), f"{i}\n")


@check("two-on-one", "two sandboxes on one project see the same file; up without --new joins", null=True)
def _(s):
    project = s.directory("both")
    first, second = s.start(project=project), s.start("--new", project=project)
    s.equal(s.verb("exec", first, "--", "sh", "-c", "echo from first >shared").status, 0)
    s.equal(s.verb("exec", second, "--", "cat", "shared").text, "from first")
    done = s.up("-d", project=project)
    s.equal(done.status, 125)
    s.has(done.said, "--new")
    s.equal(s.verb("stop", first, second).status, 0)


@check("speed", "a sandbox of a running driver answers at once", null=True)
def _(s):
    s.inside("true")
    took = []
    for _ in range(3):  # the shortest: the machine may stand still, or do something else
        before = time.monotonic()
        s.inside("true")
        took.append(time.monotonic() - before)
    s.true(min(took) < 5, f"exec of true takes {took} s")
