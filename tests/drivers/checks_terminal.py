# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands on a terminal: what they see of it, its size, its keys."""
from core import check, otherwise

LOOK = "test -t 0 && test -t 1 && test -t 2 && tty && stty size && stty -a | grep -o '[ -]icanon'; exit 4"


@check("tty-exec", "exec on a terminal has one: isatty, its name, its size; the status comes back", null=True)
def _(s):
    s.terminal("expect ^/dev/(pts/\\d+|console)\nexpect ^33 77\nexpect icanon\nstatus 4\nmode cooked\n",
               "exec", s.shared(), "--", "sh", "-c", LOOK, size="33x77")


@check("tty-none", "exec without a terminal has none; -T takes it away; -t without one is refused", null=True)
def _(s):
    s.equal(s.inside("sh", "-c", "test -t 0 || test -t 1 || test -t 2 || echo none").text, "none")
    s.terminal("expect ^none\nstatus 0\n", "exec", "-T", s.shared(), "--", "sh", "-c", "test -t 0 || echo none")
    s.equal(s.verb("exec", "-t", s.shared(), "--", "true").status, 125)


@check("tty-resize", "a change of the size arrives, as SIGWINCH and as a number", null=True)
def _(s):
    s.terminal("""expect ^ready
size 50 132
expect ^132 50
size 30 100
expect ^100 30
status 0
""", "exec", s.shared(), "--", "python3", "-c", "import signal, os; signal.pthread_sigmask(0, [28]); print('ready', flush=True); "
               "[(signal.sigwait([28]), print(*os.get_terminal_size(), flush=True)) for i in range(2)]")


@check("tty-keys", "Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-\\ do what they do on the host", null=True)
def _(s):
    s.terminal("""expect [$#] $
send sh -c 'echo run""ning; exec sleep 1000'\\r
expect ^running
send \\x03
expect [$#] $
send echo "alive $?"\\r
expect ^alive 130
expect [$#] $
send echo be""gin; cat\\r
expect ^begin
send line\\r
expect ^line\\n
expect ^line\\n
send \\x04
expect [$#] $
send sh -c 'echo run""ning; exec sleep 1000'\\r
expect ^running
send \\x1a
expect Stopped
send kill -9 %%; fg\\r
expect [$#] $
send sh -c 'echo run""ning; exec sleep 1000'\\r
expect ^running
send \\x1c
expect [$#] $
send echo "alive $?"\\r
expect ^alive 131
expect [$#] $
send exit 3\\r
status 3
mode cooked
""", "exec", s.shared(), "--", "bash", "--norc", "-i")


@check("tty-utf8", "UTF-8, and much output, through a terminal", null=True)
def _(s):
    s.terminal("expect ^caf\u00e9 xterm\nexpect ^done$\nstatus 0\n", "exec", "-e", "TERM=xterm", s.shared(), "--", "sh", "-c",
               "printf 'caf\\303\\251 %s\\n' $TERM; stty -onlcr; seq 50000; echo done")


@check("tty-main", "up on a terminal is a shell with the user's name; Ctrl-] d detaches, attach comes back", null=True)
def _(s):
    project = s.directory("tty")
    s.terminal("""expect [$#] $
mode raw
send stty size; tty; id -un; echo 'mar''ker'; export HERE=still\\r
expect ^24 80
expect ^/dev/(pts/|console)
expect ^%s$
expect ^marker
expect [$#] $
send \\x1dd
expect detached
status 0
mode cooked
""" % s.user, "up", "-q", "--driver", s.driver, "--name", "away", project)
    s.terminal("""expect ^marker
expect [$#] $
send echo $HERE; stty size\\r
expect ^still
expect ^31 90
expect [$#] $
send exit 7\\r
status 7
mode cooked
""", "attach", "away", size="31x90")


def hang_up(s, end):
    project = s.directory("hangup")
    s.terminal("expect [$#] $\nsend touch started; echo he''re\\r\nexpect ^here\nhangup\n" + end,
               "up", "-q", "--driver", s.driver, "--name", "dropped", project)
    s.equal(s.verb("exec", "dropped", "--", "sh", "-c", "test -e started && echo alive").text, "alive")
    s.stop("dropped")


@check("tty-hangup", "a dropped line harms nothing: the command goes on", null=True)
def _(s):
    hang_up(s, "status 0\n")


@otherwise("tty-hangup")
def _(s):
    hang_up(s, "end\n")
