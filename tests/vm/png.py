#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""png.py FILE size            prints "WIDTH HEIGHT"
png.py FILE pixel X Y       prints "rrggbb"
png.py FILE most [X Y W H]  prints the most frequent colour (of that part) and its share in percent
For PNGs of 8 bits without interlacing, as screenshots are; "-" is stdin."""
import collections
import struct
import sys
import zlib


def chunks(data):
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        sys.exit("not a PNG")
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]:
            sys.exit("a broken PNG")
        yield kind, body
        at += 12 + length


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def unfilter(kind, line, above, n):
    for i in range(len(line)):
        left, up = line[i - n] if i >= n else 0, above[i]
        corner = above[i - n] if i >= n else 0
        add = (0, left, up, (left + up) // 2, paeth(left, up, corner) if kind == 4 else 0)[kind]
        line[i] = (line[i] + add) & 255
    return line


class Png:
    def __init__(self, data):
        parts = list(chunks(data))
        self.width, self.height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", parts[0][1])
        if depth != 8 or colour not in (2, 6) or interlace:
            sys.exit("another kind of PNG")
        self.channels = 3 if colour == 2 else 4
        self.raw = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))

    def rows(self, end):
        size = self.width * self.channels
        above = bytearray(size)
        for y in range(min(end, self.height)):
            start = y * (size + 1)
            line = bytearray(self.raw[start + 1:start + 1 + size])
            kind = self.raw[start]
            if kind == 2:
                line = bytearray((a + b) & 255 for a, b in zip(line, above))
            elif kind:
                line = unfilter(kind, line, above, self.channels)
            above = line
            yield line

    def colours(self, x, y, width, height):
        for number, line in enumerate(self.rows(y + height)):
            for i in range(x, x + width) if number >= y else ():
                yield bytes(line[i * self.channels:i * self.channels + 3])


def main():
    with (sys.stdin.buffer if sys.argv[1] == "-" else open(sys.argv[1], "rb")) as f:
        png = Png(f.read())
    numbers = [int(word) for word in sys.argv[3:]]
    if sys.argv[2] == "size":
        print(png.width, png.height)
    elif sys.argv[2] == "pixel":
        print(next(png.colours(*numbers, 1, 1)).hex())
    else:
        area = numbers or [0, 0, png.width, png.height]
        colour, n = collections.Counter(png.colours(*area)).most_common(1)[0]
        print(colour.hex(), 100 * n // (area[2] * area[3]))


main()
