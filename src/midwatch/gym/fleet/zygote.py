"""The fork server: one small process that has imported everything and forks the others, so that each starts in milliseconds.

It has one thread and no event loop, so forking it is safe. Orders come as JSON lines over a socket pair:
``{"fork": n, "role": name, "spec": {...}}`` is answered ``{"forked": n, "pid": pid}``; the end of a child is told as
``{"exited": pid, "status": code}`` (negative: the signal).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from midwatch.gym.fleet.os_tools import die_with_parent


def serve(channel: socket.socket) -> NoReturn:
    """Fork on order until the other end closes; then every child dies with this process."""
    die_with_parent()
    gc.collect()
    gc.freeze()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    buffer = b""
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([channel.fileno(), wake_read], [], [], 1.0)
        if wake_read in ready:
            try:
                os.read(wake_read, 4096)
            except BlockingIOError:
                pass
        while children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            children.discard(pid)
            _tell(channel, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})
        if channel.fileno() not in ready:
            continue
        chunk = channel.recv(1 << 20)
        if not chunk:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        buffer += chunk
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                channel.close()
                os.close(wake_read)
                _become(order["role"], order["spec"])
            children.add(pid)
            _tell(channel, {"forked": order["fork"], "pid": pid})


def _tell(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


def _become(role: str, spec: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        die_with_parent()
        if os.getppid() == 1:
            os._exit(1)
        random.seed()
        asyncio.run(_role(role)(spec))
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    os._exit(code)


def _role(role: str) -> Any:
    from midwatch.gym.fleet import load, monitor, record, service

    return {
        "service": service.run_service,
        "load": load.run_load,
        "monitor": monitor.run_monitor,
        "sink": record.run_sink,
        "batch": load.run_batch,
    }[role]
