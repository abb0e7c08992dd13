"""HTTP servers inside the watch's own event loop: sockets bound first, so that a busy port is said before anything runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any, ClassVar

import uvicorn

from midwatch.model.errors import ConfigError
from midwatch.shell.access_settings import TlsSettings


def bind(host: str, port: int, what: str, option: str) -> socket.socket:
    """A listening TCP socket, or a ConfigError that says what to do. ``port`` 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol said, asyncio turns Nagle's algorithm off; else each answer on a connection that is kept waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} for {what} is in use",
                hint=f"stop what listens there (ss -ltnp 'sport = :{port}' shows it), or choose another with {option}",
            ) from error
        raise ConfigError(f"cannot listen on {host}:{port} for {what}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _check(tls: TlsSettings) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate and key cannot be used: {error.strerror or type(error).__name__}",
            key="access.tls",
            hint=f"can this user read {tls.certificate} and {tls.key}, and do they belong together?",
        ) from error


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the watch, which stops its servers itself."""
        yield


class AsgiServer:
    """One ASGI app on one bound socket, with ``tls`` encrypted. Raises ConfigError for a certificate that cannot be used."""

    kind: ClassVar[type[Server]] = Server

    def __init__(self, app: Any, listener: socket.socket, tls: TlsSettings | None = None) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # who sends is who is connected; shell/gate.py says when a proxy is believed
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            timeout_graceful_shutdown=2,
            limit_concurrency=512,
            h11_max_incomplete_event_size=64 * 1024,
        )
        if tls is not None:
            _check(tls)
        self._server = self.kind(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise ConfigError("an HTTP server ended while it started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=5)
            if not done:
                self._server.force_exit = True
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
