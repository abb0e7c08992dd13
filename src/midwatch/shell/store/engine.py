"""The ClickHouse engine of one folder, behind a few handles. Only the store's child process imports this."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READERS = 3
BUSY_SECONDS = 20.0  # a query waits so long for a free handle

_CODE = re.compile(r"Code: (\d+)\. (?:DB::)?Exception: (.*)", re.DOTALL)
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?P<what>.*?)\s+FORMAT\s+(?P<format>\w+)\s*$", re.I | re.S)
_INSERT_WITH_DATA = re.compile(
    rb"\s*INSERT\s+INTO\s+(?P<what>.{0,65536}?)\s+FORMAT\s+(?P<format>\w+)[ \t]*\r?\n", re.I | re.S
)
_READS = re.compile(
    rb"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN)\b", re.I | re.S
)

# Settings of ClickHouse's HTTP interface itself, which mean nothing to the engine.
TRANSPORT = frozenset(
    {
        "query", "database", "user", "password", "default_format", "buffer_size", "session_id", "session_timeout",
        "session_check", "query_id", "quota_key", "compress", "decompress", "wait_end_of_query", "role",
        "client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "enable_http_compression", "cancel_http_readonly_queries_on_client_close", "stacktrace", "close_session",
    }
)  # fmt: skip


class EngineError(Exception):
    """What the engine refused, with ClickHouse's error ``code``."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Caps:
    """Bounds that no request can raise."""

    memory_bytes: int = 1_500_000_000  # of the whole engine
    query_memory_bytes: int = 600_000_000
    query_seconds: int = 30
    result_bytes: int = 256_000_000
    threads: int = 2

    def settings(self) -> dict[str, int]:
        return {
            "max_memory_usage": self.query_memory_bytes,
            "max_execution_time": self.query_seconds,
            "max_result_bytes": self.result_bytes,
            "max_threads": self.threads,
        }


class Engine:
    """Opens ``folder`` with chdb. Thread-safe: a handle is used by one thread at a time, and writes have one handle of
    their own, so that a slow question never holds up an insert."""

    def __init__(self, folder: Path, database: str, caps: Caps) -> None:
        import chdb

        self._base = caps.settings()
        self._database = database
        self._readers: queue.Queue[Any] = queue.Queue()
        self._writers: queue.Queue[Any] = queue.Queue()
        target = f"{folder}?max_server_memory_usage={caps.memory_bytes}"
        for index in range(READERS + 1):
            handle = chdb.connect(target)
            if index == 0:
                handle.query(f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic")
            handle.query(f"USE `{database}`")
            handle.query("SET " + ", ".join(f"{name} = {value}" for name, value in self._base.items()))
            (self._readers if index else self._writers).put(handle)

    @contextmanager
    def _handle(self, reads: bool) -> Iterator[Any]:
        idle = self._readers if reads else self._writers
        try:
            handle = idle.get(timeout=BUSY_SECONDS)
        except queue.Empty:
            raise EngineError("Too many simultaneous queries", 202) from None
        try:
            yield handle
        finally:
            idle.put(handle)

    def run(self, sql: bytes, data: bytes, arguments: Mapping[str, str]) -> tuple[bytes, int]:
        """One request of the HTTP protocol: ``sql`` from the URL (may be empty), ``data`` the body, ``arguments`` the other
        URL parameters. Returns the answer and the number of rows written. Raises EngineError."""
        insert, rest = _insert_of(sql, data)
        text = b"" if insert else (sql + b"\n" + data if data else sql)
        settings = {name: value for name, value in arguments.items() if _is_setting(name)}
        bound = {name.removeprefix("param_"): value for name, value in arguments.items() if name.startswith("param_")}
        with self._handle(reads=not insert and bool(_READS.match(text))) as handle:
            changed: list[str] = []
            try:
                for name, value in settings.items():
                    handle.query(f"SET {name} = '{_quoted(self._capped(name, value))}'")
                    changed.append(name)
                if arguments.get("database", self._database) != self._database:
                    handle.query(f"USE `{arguments['database'].replace('`', '')}`")
                    changed.append("")
                if insert:
                    return b"", _insert(handle, insert, rest)
                result = handle.query(
                    text.decode("utf-8", "surrogateescape"), arguments.get("default_format", "TabSeparated"),
                    params=bound or None,
                )  # fmt: skip
                return bytes(result.bytes() or b""), 0
            except (RuntimeError, ValueError) as error:
                raise _translated(error) from error
            finally:
                for name in changed:
                    value = str(self._base.get(name, "DEFAULT"))
                    handle.query(f"SET {name} = {value}" if name else f"USE `{self._database}`")

    def _capped(self, name: str, value: str) -> str:
        cap = self._base.get(name)
        if cap is None:
            return value
        try:
            asked = float(value)
        except ValueError:
            raise EngineError(f"Cannot parse the value of setting {name}", 27) from None
        return str(cap if not 0 < asked < cap else int(asked))

    def close(self) -> None:
        for idle in (self._readers, self._writers):
            while not idle.empty():
                idle.get_nowait().close()


def _is_setting(name: str) -> bool:
    return name not in TRANSPORT and not name.startswith("param_") and _SETTING.fullmatch(name) is not None


def _insert_of(sql: bytes, data: bytes) -> tuple[tuple[str, str] | None, bytes]:
    """What to insert into and in which format, and the rows: the statement stands in the URL, or before the rows."""
    if found := _INSERT.match(sql):
        return (found["what"].decode(), found["format"].decode()), data
    if not sql and (found := _INSERT_WITH_DATA.match(data)):
        return (found["what"].decode(), found["format"].decode()), data[found.end() :]
    return None, b""


def _insert(handle: Any, into: tuple[str, str], rows: bytes) -> int:
    what, form = into
    inserter = handle.send_insert(f"INSERT INTO {what}", form)
    try:
        inserter.append(rows)
        return int(inserter.finish().rows_written)
    finally:
        inserter.close()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _translated(error: Exception) -> EngineError:
    found = _CODE.search(str(error))
    text = found[0] if found else str(error)
    return EngineError(text.partition("Stack trace")[0].strip()[:4000], int(found[1]) if found else 1001)
