"""Small things of the operating system: privileges, ports, death with the parent."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """This process is killed when its parent ends, however it ends. Linux; elsewhere the control socket's end does it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_privileges(directory: Path) -> None:
    """As root: hand ``directory`` to ``nobody`` and become that user for good. Otherwise nothing.

    PostgreSQL refuses to run as root. Raises PermissionError when ``nobody`` cannot reach the directory."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam("nobody")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    _prctl(PR_SET_DUMPABLE, 1)  # setuid hides /proc/self from its owner
    os.environ["HOME"] = str(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(
            f"the user nobody cannot enter {directory}: choose a folder below one that everybody may enter, such as /tmp/x"
        )
    os.chdir(directory)


def free_ports(count: int) -> list[int]:
    """``count`` ports of loopback that are free now."""
    sockets = []
    try:
        for _ in range(count):
            opened = socket.socket()
            opened.bind(("127.0.0.1", 0))
            sockets.append(opened)
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
