# SPDX-License-Identifier: LGPL-2.1-or-later
"""A screen of the sandbox's own: pixels come out of it, keys and clicks go in, and it is nobody else's."""
import os
import socket
import stat
import struct
import threading

from checks_grants import bare
from core import Skipped, check

COLOUR = "336699"
EVENTS = "exec stdbuf -oL xev -geometry 300x200+100+80 >events 2>&1"
BOX, LOCK = [], threading.Lock()


def needs(s):
    s.needs_program("Xvfb", "openbox", "xev", "xsetroot", "xdpyinfo", *(["/usr/lib/xorg/Xorg"] if s.driver == "qemu" else []))


def screen(s):
    """One sandbox with a screen, shared; its command is xev, whose words are the file `events` of its project."""
    with LOCK:
        if not BOX:
            project = s.directory("screen")
            BOX.append(s.start("--display", "none", "--size", "640x480", "--", "sh", "-c", EVENTS, project=project, env=bare()))
            s.boxes.append(BOX[0])
            BOX.append(project + "/events")
            wait_for(s, "FocusIn event")
    return BOX[0]


def events():
    with open(BOX[1], encoding="utf-8", errors="replace") as f:
        return f.read()


def wait_for(s, *parts):
    s.until(lambda: os.path.exists(BOX[1]) and all(part in events() for part in parts), f"xev says {parts}", 120)


def pixel(s, path, x, y):
    return s.run(["python3", "-B", f"{s.vm_dir}/png.py", path, "pixel", str(x), str(y)]).text


def refused(s, done, *parts, status=1):
    s.equal(done.status, status, str(done))
    for part in parts:
        s.has(done.said, part)


@check("display-screen", "--display none: an X display of that size, whose colour a screenshot shows")
def _(s):
    needs(s)
    box, path = screen(s), s.tmp + "/screen.png"
    done = s.verb("exec", box, "--", "sh", "-c", f"xsetroot -solid '#{COLOUR}' && xdpyinfo | grep -c 'dimensions: *640x480'; echo $DISPLAY")
    s.equal(done.text, "1\n:0", str(done))
    s.equal(s.verb("screenshot", box, path).status, 0)
    s.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    s.equal(s.run(["python3", "-B", f"{s.vm_dir}/png.py", path, "size"]).text, "640 480")
    s.equal(pixel(s, path, 630, 470), COLOUR)
    s.equal(pixel(s, path, 5, 470), COLOUR)
    s.true(pixel(s, path, 200, 180) != COLOUR, "xev's window is not in the picture")
    # And by way of a pipe.
    done = s.verb("screenshot", box, "-")
    s.equal(s.run(["python3", "-B", f"{s.vm_dir}/png.py", "-", "pixel", "630", "470"], input=done.out).text, COLOUR, str(done))


@check("display-cookie", "the display asks for its cookie, which is the user's alone")
def _(s):
    needs(s)
    done = s.verb("exec", screen(s), "--", "sh", "-c", "stat -c '%a %u' $XAUTHORITY; XAUTHORITY=/dev/null xdpyinfo >/dev/null 2>&1 || echo no")
    s.equal(done.text, f"600 {s.uid}\nno", str(done))


@check("display-input", "keys, text, pointer and wheel arrive, where the screenshot has them")
def _(s):
    needs(s)
    box = screen(s)
    for words in (("move", "200", "180"), ("type", "aZ%\t"), ("key", "ctrl-l", "F5"), ("click", "210", "190"),
                  ("click", "--button", "right", "220", "200"), ("scroll", "2"), ("scroll", "-1")):
        done = s.verb("input", box, *words)
        s.equal((done.status, done.out, done.err), (0, b"", b""), f"{words}: {done}")
    wait_for(s, "keysym 0x61, a", "keysym 0x5a, Z", "keysym 0x25, percent", "keysym 0xff09, Tab", "keysym 0xffc2, F5", "keysym 0x6c, l",
             "root:(210,190)", "root:(220,200)", "button 1,", "button 3,", "button 5,", "button 4,")
    s.equal(events().count("ButtonPress"), 5, "presses: two clicks, three steps of the wheel")
    s.has(events().split("keysym 0x6c, l")[0].splitlines()[-1], "state 0x4", "Ctrl is held while l is pressed")
    done = s.verb("screenshot", "--json", box, s.tmp + "/pointer.png")
    for part in ('"width": 640', '"height": 480', '"x": 220', '"y": 200'):
        s.has(done.text, part)


@check("display-wrong", "what cannot be is refused, and nothing is sent: outside, no such key, no such file")
def _(s):
    needs(s)
    box = screen(s)
    refused(s, s.verb("input", box, "click", "640", "0"), "outside of the screen", "639", status=2)
    refused(s, s.verb("input", box, "move", "0", "480"), "outside of the screen", status=2)
    refused(s, s.verb("input", box, "move", "-1", "0"), "'-1'", status=2)
    refused(s, s.verb("input", box, "key", "x", "hyper-l"), "'hyper' is no key", status=2)
    refused(s, s.verb("input", box, "type", "quite \u00e4"), "U+00E4", status=2)
    refused(s, s.verb("input", box, "dance", "1"), "'dance'", status=2)
    refused(s, s.verb("input", box, "scroll", "0"), "'0'", status=2)
    s.hasnt(events(), "keysym 0x78, x", "a part of it was sent")
    s.hasnt(events(), "keysym 0x71, q", "a part of it was sent")
    refused(s, s.verb("screenshot", box, s.tmp + "/nowhere/x.png"), "nowhere")
    where = s.directory("taken")
    os.mkdir(where + "/x.png")
    refused(s, s.verb("screenshot", box, where + "/x.png"), "x.png")
    s.equal(os.listdir(where), ["x.png"], "nothing is left of what failed")


@check("display-none", "without --display there is no screen, which is said with what to do", null=True)
def _(s):
    path = s.tmp + "/none.png"
    refused(s, s.verb("screenshot", s.shared(), path), "no screen", "vmctl up --display none")
    refused(s, s.verb("input", s.shared(), "key", "a"), "no screen", "vmctl up --display none")
    s.true(not os.path.exists(path), "a file was made all the same")
    if s.driver == "null":
        refused(s, s.up("--new", "--display", "none", "--", "true"), "null driver", status=125)


@check("display-alone", "the host's display stays outside, and the grant for it is another thing")
def _(s):
    needs(s)
    done = s.up("--new", "--display", "none", "-g", "display", "--", "true", env=dict(bare(), DISPLAY=":987"))
    refused(s, done, "grant 'display'", "--display", status=125)
    done = s.verb("exec", screen(s), "--", "sh", "-c", "ls /tmp/.X11-unix; echo $WAYLAND_DISPLAY")
    s.equal(done.text, "X0\n", str(done))


@check("display-vnc", "--display vnc: a socket of the user's alone, at which viewers see the screen, again and again")
def _(s):
    needs(s)
    if s.driver != "qemu":
        s.needs_program("Xvnc")
    box = s.start("--new", "--display", "vnc", "--size", "640x480", "--", "sleep", "1000", env=bare())
    path = f"{s.runtime}/{box}/vnc.sock"
    s.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    s.has(s.verb("status", box).text, "VNC at " + path)
    s.equal(s.verb("exec", box, "--", "xsetroot", "-solid", f"#{COLOUR}").status, 0)
    for _ in range(2):
        s.equal(viewed(path), (640, 480, COLOUR))
    picture = s.tmp + "/vnc.png"
    s.until(lambda: s.verb("screenshot", box, picture).status == 0 and pixel(s, picture, 600, 400) == COLOUR, "the screenshot shows it")
    s.equal(s.verb("input", box, "move", "20", "30").status, 0)
    s.has(s.verb("screenshot", "--json", box, picture).text, '"x": 20')
    s.stop(box)


def viewed(path):
    """What a viewer sees: (width, height, colour of a pixel)."""
    directory = os.open(os.path.dirname(path), os.O_PATH)  # the path may be longer than an address may be
    with socket.socket(socket.AF_UNIX) as v:
        v.settimeout(60)
        v.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        os.close(directory)
        take = v.makefile("rb").read
        assert take(12).startswith(b"RFB 003.")
        v.sendall(b"RFB 003.008\n")
        assert 1 in take(take(1)[0])  # security type: none
        v.sendall(b"\1")
        assert take(4) == bytes(4)
        v.sendall(b"\1")
        width, height = struct.unpack(">HH", take(4))
        take(struct.unpack(">16xI", take(20))[0])  # the pixel format, the name
        v.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        v.sendall(struct.pack(">BxHi", 2, 1, 0) + struct.pack(">BBHHHH", 3, 0, 600, 400, 1, 1))
        while True:  # updates, until one has that pixel
            kind, rectangles = struct.unpack(">BxH", take(4))
            assert kind == 0, f"message {kind}"
            for _ in range(rectangles):
                x, y, w, h, encoding = struct.unpack(">HHHHi", take(12))
                assert encoding == 0, f"encoding {encoding}"
                pixels = take(4 * w * h)
                if x <= 600 < x + w and y <= 400 < y + h:
                    at = 4 * ((400 - y) * w + 600 - x)
                    return width, height, "%06x" % struct.unpack_from("<I", pixels, at)


PAGE = """<!DOCTYPE html><title>vmctl page</title><body style="margin:0;background:#2266aa;height:2000px"><script>
let typed = "";
onkeydown = e => { if (e.key.length == 1) typed += e.key; document.title = "TYPED " + typed; };
onclick = e => document.title = "CLICKED " + e.screenX + " " + e.screenY;
</script>
"""


@check("display-browser", "Chromium with its own sandbox shows a page of the project; keys and a click change it")
def _(s):
    if s.driver != "bwrap" or s.uid == 0:
        raise Skipped("in a machine tests/vm/browser.sh does that; root and containers have no user namespaces for it")
    needs(s)
    s.needs_program("chromium", "xwininfo")
    project, path = s.directory("browser"), s.tmp + "/browser.png"
    s.write(project + "/page.html", PAGE)
    box = s.start("--new", "--display", "none", "-g", "userns", "--net", "none", "--", "chromium", f"file://{project}/page.html",
                  project=project, env=bare())
    titled = lambda title: f'"{title} - Chromium"' in s.verb("exec", box, "--", "xwininfo", "-root", "-tree").text
    s.until(lambda: titled("vmctl page"), "the page is there", 60)
    s.until(lambda: s.verb("screenshot", box, path).status == 0 and pixel(s, path, 500, 450) == "2266aa", "its colour is on the screen")
    s.equal(s.verb("input", box, "click", "500", "450").status, 0)
    s.until(lambda: titled("CLICKED 500 450"), "the click arrives")
    s.equal(s.verb("input", box, "type", "Hi%5").status, 0)
    s.until(lambda: titled("TYPED Hi%5"), "the text arrives")
    s.stop(box)
