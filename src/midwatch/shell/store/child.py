"""The store's child process: chdb on a folder, answering the ClickHouse HTTP protocol on loopback.

Started by ``supervisor.py`` as ``python -m midwatch.shell.store.child``; never forked, because a fork after chdb is open
hangs. Its first line on stdin is its configuration (JSON, with the password of this start: nothing secret in argv or the
environment), its first line on stdout says where it listens, or why it cannot. It ends when stdin closes, so it never
outlives its parent.

Protocol served: ``GET /ping``; ``GET``/``POST /`` with the statement in ``query=`` or the body, ``param_*`` bound
parameters, settings as parameters, basic or ``X-ClickHouse-*`` credentials, compressed bodies (gzip, deflate, lz4, zstd).
Not served: external tables, sessions (temporary tables), progress headers, streamed answers (they are bounded instead).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from email.parser import BytesParser
from email.policy import HTTP as HTTP_POLICY
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from midwatch.shell.store.engine import Caps, Engine, EngineError

DATABASE = "midwatch"
USER = "midwatch"

_STATUS = {60: 404, 81: 404, 62: 400, 27: 400, 43: 400, 47: 400, 115: 400, 202: 503, 241: 507, 516: 401, 1009: 413}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class ChildConfig:
    """What the parent tells the child on its first line."""

    folder: str
    password: str
    parent: int  # its pid
    body_bytes: int = 128 * 1024 * 1024
    caps: Caps = field(default_factory=Caps)

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def of(line: bytes) -> ChildConfig:
        read = json.loads(line)
        return ChildConfig(**{**read, "caps": Caps(**read["caps"])})


class Protocol:
    """The ClickHouse HTTP interface as an ASGI application."""

    def __init__(self, engine: Engine, config: ChildConfig) -> None:
        self.engine = engine
        self.config = config

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if scope["path"] == "/ping":
                return await _answer(send, 200, b"Ok.\n")
            self._authenticate(headers)
            body = _decompressed(await self._body(receive), headers.get("content-encoding", ""), self.config.body_bytes)
            arguments = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            if headers.get("content-type", "").startswith("multipart/form-data"):
                arguments |= _form(body, headers["content-type"])
                body = b""
            sql = arguments.pop("query", "").encode("utf-8", "surrogateescape")
            out, written = await asyncio.to_thread(self.engine.run, sql, body, arguments)
        except EngineError as error:
            status = _STATUS.get(error.code, 500)
            code = [(b"x-clickhouse-exception-code", str(error.code).encode())]
            return await _answer(send, status, str(error).encode("utf-8", "replace") + b"\n", code)
        summary = json.dumps({"read_rows": "0", "written_rows": str(written), "result_rows": str(written)})
        await _answer(
            send, 200, out, [(b"x-clickhouse-summary", summary.encode()), (b"x-clickhouse-timezone", b"UTC")]
        )  # fmt: skip

    def _authenticate(self, headers: dict[str, str]) -> None:
        given = headers.get("x-clickhouse-key", "")
        if headers.get("authorization", "").startswith("Basic "):
            try:
                given = base64.b64decode(headers["authorization"][6:]).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if not secrets.compare_digest(given.encode(), self.config.password.encode()):
            raise EngineError("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)", 516)

    async def _body(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self.config.body_bytes:
                raise EngineError(f"The request is larger than {self.config.body_bytes} bytes", 1009)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    size = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [size, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


def _decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """Raises EngineError on what is not ``encoding``, or would grow beyond ``limit`` bytes."""
    if not encoding or not body:
        return body
    try:
        if encoding in ("gzip", "deflate"):
            stream = zlib.decompressobj(31 if encoding == "gzip" else 15)
            out = stream.decompress(body, limit)
            if stream.unconsumed_tail:
                raise EngineError(f"The request unpacks to more than {limit} bytes", 1009)
            return out
        if encoding == "lz4":
            frame: Any = import_module("lz4.frame")
            return bytes(frame.LZ4FrameDecompressor().decompress(body, max_length=limit))
        if encoding == "zstd":
            from clickhouse_connect.driver.compression import _zstd_decompress

            return bytes(_zstd_decompress(body))
    except (zlib.error, RuntimeError, OSError, ValueError) as error:
        raise EngineError(f"Cannot unpack the request: {error}", 432) from error
    raise EngineError(f"Unknown encoding {encoding!r}", 432)


def _form(body: bytes, content_type: str) -> dict[str, str]:
    """Fields of a multipart form: the client sends one when parameters are too long for a URL."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP_POLICY).parsebytes(head + body)
    found: dict[str, str] = {}
    for part in message.iter_parts():
        disposition = part["content-disposition"]
        if disposition is None or disposition.params.get("filename"):
            raise EngineError("External tables are not supported by the embedded store", 48)
        found[disposition.params["name"]] = bytes(part.get_payload(decode=True)).decode("utf-8", "surrogateescape")
    return found


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent (Linux; elsewhere the closed stdin does)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(0)


def _open(config: ChildConfig) -> Engine:
    """Raises OSError (with a sentence) when the folder cannot be had."""
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / "midwatch.lock", os.O_RDWR | os.O_CREAT, 0o600)  # stays open as long as the process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 100).decode("ascii", "replace").strip()
        raise BlockingIOError(f"{folder} is in use by another store (pid {holder or 'unknown'})") from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return Engine(folder / "clickhouse", DATABASE, config.caps)


async def _serve(config: ChildConfig, engine: Engine, ready: Callable[[int], None]) -> None:
    import uvicorn

    # IPPROTO_TCP spelled out: without it asyncio leaves TCP_NODELAY off, and each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    options = uvicorn.Config(
        Protocol(engine, config), log_level="warning", access_log=False, lifespan="off", http="httptools",
        timeout_keep_alive=120, limit_concurrency=64, backlog=64,
    )  # fmt: skip
    server = uvicorn.Server(options)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def until_parent_is_gone() -> None:
        while await reader.read(1024):
            pass
        server.should_exit = True

    watcher = loop.create_task(until_parent_is_gone())
    listener.listen(64)
    ready(listener.getsockname()[1])
    await server.serve(sockets=[listener])
    watcher.cancel()


def main() -> int:
    # What the engine prints must not be taken for the one line that the parent waits for.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = ChildConfig.of(_first_line())
    _die_with(config.parent)

    def say(**fields: Any) -> None:
        print(json.dumps(fields), file=answer, flush=True)

    try:
        engine = _open(config)
    except (OSError, RuntimeError) as error:
        locked = isinstance(error, BlockingIOError) or "CANNOT_OPEN_FILE" in str(error)
        say(error=str(error).partition("Stack trace")[0][:500], locked=locked)
        return 3
    asyncio.run(_serve(config, engine, lambda port: say(port=port)))
    engine.close()
    return 0


def _first_line() -> bytes:
    """Read byte by byte: what follows belongs to the event loop."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise SystemExit(2)
        line += byte
    return line


if __name__ == "__main__":
    sys.exit(main())
