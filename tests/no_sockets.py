"""Run a command none of whose processes may open a socket, but for local ones: `python no_sockets.py COMMAND...`

The kernel stands guard: a seccomp filter, which every descendant inherits and none can lift, holds each call that
would make a socket of another family than AF_UNIX, and tells us. We name the caller on stderr and kill it. Exit code:
that of the command, or CAUGHT where any of its processes asked for a socket, whatever became of it and its parents.

Without a socket there is nothing to connect, bind or send with, so those calls need no guard. Not covered: what other
programs do that are asked through a local socket.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import NoReturn

CAUGHT = 88
CALLS = {  # socket, socketpair, io_uring_setup (rings make sockets past seccomp), and the AUDIT_ARCH of the machine
    "x86_64": (41, 53, 425, 0xC000003E),
    "aarch64": (198, 199, 425, 0xC00000B7),
}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_FOREIGN = 0x40000000
"""From here on, x86-64 numbers the calls of x32, another ABI to the same kernel."""
_SET_MODE_FILTER, _NEW_LISTENER, _NO_NEW_PRIVS = 1, 1 << 3, 38
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data."""
_RECEIVE, _NOTIFICATION = 0xC0502100, struct.Struct("=QIIiIQ6Q")
"""SECCOMP_IOCTL_NOTIF_RECV, and what it fills: id, pid, flags, then struct seccomp_data."""


def why_not() -> str:
    """Return why this machine cannot do that, "" where it can."""
    if sys.platform != "linux" or platform.machine() not in CALLS:
        return "seccomp is Linux's, and these are the numbers of x86-64 and aarch64"
    child = os.fork()
    if child == 0:
        try:
            listening()
        except OSError:
            os._exit(1)
        os._exit(0)
    return "" if os.waitpid(child, 0)[1] == 0 else "this kernel, or what it runs in, has no seccomp listeners"


def listening() -> int:
    """Put the filter on this process; returns the descriptor on which the kernel tells. Raises OSError."""
    make, pair, ring, architecture = CALLS[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 8, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 6, 0, _FOREIGN),
        (_EQUAL, 5, 0, ring),
        (_EQUAL, 1, 0, make),
        (_EQUAL, 0, 2, pair),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, socket.AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ASK),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    descriptor = libc.syscall(_SECCOMP[platform.machine()], _SET_MODE_FILTER, _NEW_LISTENER, filter_)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(descriptor)


def main() -> NoReturn:
    """Start the command, and watch over it and all it starts until it ends."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        listener = listening()
        socket.send_fds(theirs, [b"."], [listener])
        theirs.close()
        os.close(listener)
        os.execvp(sys.argv[1], sys.argv[1:])
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's to answer
    ended = os.pidfd_open(child)
    caught = False
    while ready := select.select([listener, ended], [], [])[0]:
        if listener in ready and _caught(listener):
            caught = True
        elif ended in ready:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(CAUGHT if caught else code if code >= 0 else 128 - code)


def _caught(listener: int) -> bool:
    """Name and kill whoever asked for a socket; false where nobody did, or it is gone."""
    asked = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, asked)
    except OSError:  # it was killed meanwhile, or nobody is left who could ask
        return False
    _, pid, _, call, _, _, *arguments = _NOTIFICATION.unpack(asked)
    who = b""
    with contextlib.suppress(OSError):  # killed by its parent in this very moment: caught all the same
        who = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:500]
        os.kill(pid, signal.SIGKILL)
    print(f"call {call} with {arguments[:3]} by {pid}: {who!r}", file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    main()
