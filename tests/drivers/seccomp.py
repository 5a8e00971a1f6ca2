# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the seccomp filters of a process let through: taken from it by ptrace (PTRACE_SECCOMP_GET_FILTER, as root), and run by a
small interpreter of classic BPF (linux/filter.h; the words that filters may have, seccomp(2))."""
import ctypes, os, struct

SEIZE, INTERRUPT, DETACH, GET_FILTER = 0x4206, 0x4207, 17, 0x420C
ALLOW, X86_64, I386, X32_BIT = 0x7FFF0000, 0xC000003E, 0x40000003, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, address=0, data=None):
    r = libc.ptrace(request, pid, address, data)
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def filters(pid):
    """Each a list of (code, jt, jf, k)."""
    ptrace(SEIZE, pid)
    try:
        ptrace(INTERRUPT, pid)
        os.waitpid(pid, 0x40000000)  # __WALL
        found = []
        while True:
            try:
                n = ptrace(GET_FILTER, pid, len(found))
            except FileNotFoundError:  # no more of them
                return found
            words = ctypes.create_string_buffer(n * 8)
            ptrace(GET_FILTER, pid, len(found), words)
            found.append(list(struct.iter_unpack("=HBBI", words.raw)))
    finally:
        ptrace(DETACH, pid)


def run(program, data):
    """`data`: struct seccomp_data."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, jt, jf, k = program[at]
        at += 1
        kind, operand = code & 7, x if code & 8 else k
        if kind == 0:  # ld: a word of the data, a constant, a cell
            a = struct.unpack_from("=I", data, k)[0] if code & 0xE0 == 0x20 else memory[k] if code & 0xE0 == 0x60 else k
        elif kind == 1:
            x = memory[k] if code & 0xE0 == 0x60 else k
        elif kind in (2, 3):
            memory[k] = a if kind == 2 else x
        elif kind == 4:
            a = {0x00: a + operand, 0x10: a - operand, 0x40: a | operand, 0x50: a & operand, 0x60: a << operand, 0x70: a >> operand,
                 0xA0: a ^ operand}[code & 0xF0] & 0xFFFFFFFF
        elif kind == 5:
            operation = code & 0xF0
            if operation == 0:
                at += k
            else:
                at += jt if {0x10: a == operand, 0x20: a > operand, 0x30: a >= operand, 0x40: a & operand != 0}[operation] else jf
        elif kind == 6:
            return a if code & 0x18 == 0x10 else k
        elif code & 0xF8 == 0x80:
            a = x
        else:
            x = a


def answer(programs, number, arch=X86_64, arguments=(0,) * 6):
    """What comes of a call: the strictest of all, as the kernel has it. ("allow",), ("errno", N) or ("kill",)"""
    data = struct.pack("=iIQ6Q", number if number < 1 << 31 else number - (1 << 32), arch, 0, *arguments)
    actions = [run(program, data) for program in programs]
    strictest = min(actions, key=lambda action: ctypes.c_int32(action & 0xFFFF0000).value, default=ALLOW)
    if strictest & 0xFFFF0000 == ALLOW:
        return ("allow",)
    return ("errno", strictest & 0xFFFF) if strictest & 0xFFFF0000 == 0x00050000 else ("kill",)
