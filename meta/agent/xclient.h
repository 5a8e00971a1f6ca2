/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of the X server inside, for those outside: the supervisor runs it as a command.
 *
 *   vmctl-agent --screen size            prints "screen WIDTH HEIGHT X Y\n": the screen, and where the
 * pointer is vmctl-agent --screen shot            the same, then WIDTH * HEIGHT pixels: red, green, blue
 *   vmctl-agent --screen input WORD...   each in its turn: "abs:X:Y", "btn:NUMBER:DOWN", "key:KEYSYM:DOWN"
 * (numbers decimal, DOWN 0 or 1); nothing is sent unless all make sense
 *
 * $DISPLAY and $XAUTHORITY as for any other. */
#pragma once

int xclient_main (int argc, char **argv);
