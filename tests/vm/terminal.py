#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""terminal.py [ROWSxCOLUMNS] COMMAND...: runs COMMAND on a terminal of its own (it is the session's leader and the
terminal controls it) and follows the script on standard input, one step a line:

  expect REGEX     waits until the output since the last match has it (^ and $ are ends of lines)
  absent REGEX     the output since the last match does not have it
  send TEXT        types TEXT, with Python's escapes; no newline is added: use \\r
  size ROWS COLS   changes the terminal's size (SIGWINCH)
  signal NAME      sends a signal to COMMAND
  hangup           closes the terminal, as a dropped line does
  mode raw|cooked  waits until the terminal is in it
  status N         waits for COMMAND's end and compares its exit status
  end              waits for COMMAND's end, whatever its status
  pause            1.5 s of nothing typed (for keys whose meaning is a pause)

Ends with 0 if every step was so; else says which was not."""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

WAIT = 60 * float(os.environ.get("SLOW", "1"))
MARK = b"\x1b]ended\x07"


class Failed(Exception):
    pass


class Terminal:
    def __init__(self, rows, columns, command):
        self.master, self.slave = pty.openpty()  # the slave is held so that its mode can be read at the end
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.output = self.rest = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(self.slave, fd)
            os.closerange(3, 64)
            for name in ("SIGINT", "SIGQUIT", "SIGHUP"):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            os.execvp(command[0], command)
        self.pidfd = os.pidfd_open(self.pid)
        self.ended = False

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, end):
        """More output, or the end of the command. False: neither came in time."""
        fds = [self.pidfd] + ([self.master] if self.master >= 0 else [])
        ready, _, _ = select.select(fds, [], [], max(0, end - time.monotonic()))
        if self.master in ready:
            self.take(self.decoder.decode(os.read(self.master, 65536)))
            return True
        if self.pidfd in ready and not self.ended and self.master >= 0:
            self.take_last()
            return True
        return bool(ready) and None

    def take_last(self):
        """The command has ended, but the kernel may still be handing on what it wrote: all that is before our own mark."""
        self.ended = True
        os.write(self.slave, MARK)
        rest = b""
        while MARK not in rest:
            rest += os.read(self.master, 65536)
        self.take(self.decoder.decode(rest.replace(MARK, b"")))

    def take(self, text):
        """What a person would read: without control sequences, and a carriage return begins a line."""
        text = self.rest + text
        cut = re.search(r"(\x1b(\[[0-9;?]*)?|\r)\Z", text)
        self.rest = text[cut.start():] if cut else ""
        text = text[:cut.start()] if cut else text
        text = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[^\[])", "", text)
        self.output += re.sub(r"\r+\n?", "\n", text)

    def do_expect(self, text):
        end = time.monotonic() + WAIT
        while True:
            match = re.search(text, self.output, re.MULTILINE)
            if match:
                self.output = self.output[match.end():]
                return
            if not self.read(end):
                raise Failed("was not seen")

    def do_absent(self, text):
        if re.search(text, self.output, re.MULTILINE):
            raise Failed("was seen")

    def do_send(self, text):
        os.write(self.master, codecs.decode(text, "unicode_escape").encode("latin-1"))

    def do_size(self, text):
        self.resize(*map(int, text.split()))

    def do_signal(self, text):
        os.kill(self.pid, getattr(signal, "SIG" + text))

    def do_hangup(self, _):
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def do_mode(self, text):
        end = time.monotonic() + WAIT  # nothing tells when it changes
        while True:
            now = termios.tcgetattr(self.slave)
            wrong = (now != self.before if text == "cooked"
                     else now[3] & (termios.ICANON | termios.ECHO | termios.ISIG))
            if not wrong:
                return
            if time.monotonic() > end:
                raise Failed(f"is not {text}: {now}, at first {self.before}")
            time.sleep(0.01)

    def do_pause(self, _):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.read(end)

    def do_end(self, _):
        end = time.monotonic() + WAIT
        while self.read(end):
            pass
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            raise Failed("did not end")
        return status

    def do_status(self, text):
        status = self.do_end("")
        if os.waitstatus_to_exitcode(status) != int(text):
            raise Failed(f"was {os.waitstatus_to_exitcode(status)}")


def main():
    rows, columns = 24, 80
    command = sys.argv[1:]
    if re.fullmatch(r"\d+x\d+", command[0]):
        rows, columns = map(int, command.pop(0).split("x"))
    script = sys.stdin.read().splitlines()
    terminal = Terminal(rows, columns, command)
    for line in script:
        step, _, rest = line.strip().partition(" ")
        if not step or step.startswith("#"):
            continue
        try:
            getattr(terminal, "do_" + step)(rest)
        except (Failed, OSError) as e:
            print(f"'{line.strip()}': {e}; the output since the last match:\n{terminal.output[-2000:]!r}")
            os.kill(terminal.pid, signal.SIGKILL)
            return 1
    return 0


sys.exit(main())
