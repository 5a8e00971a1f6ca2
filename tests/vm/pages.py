#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pages.py PID FILE PAGE: has the process a copy of its own of this page of the file, which it maps privately? Prints yes or no."""
import os
import struct
import sys

PRESENT, OF_FILE = 1 << 63, 1 << 61


def start_of(pid, path):
    """Where the file is mapped."""
    st = os.stat(path)
    for line in open(f"/proc/{pid}/maps"):
        span, perms, offset, device, inode = line.split()[:5]
        major, minor = (int(part, 16) for part in device.split(":"))
        if int(inode) == st.st_ino and os.makedev(major, minor) == st.st_dev and perms.endswith("p") and int(offset, 16) == 0:
            return int(span.split("-")[0], 16)
    sys.exit(f"pages.py: {path} is not mapped")


pid, path, page = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
    pagemap.seek((start_of(pid, path) // 4096 + page) * 8)
    word = struct.unpack("=Q", pagemap.read(8))[0]
print("yes" if word & PRESENT and not word & OF_FILE else "no")
