"""Where the watch is reached: its listening sockets, taken before anything else starts, and the servers behind them."""

from __future__ import annotations

import socket
from typing import Any

from midwatch.shell.access_settings import TlsSettings
from midwatch.shell.config import Settings
from midwatch.shell.public_server import PublicServer
from midwatch.shell.secret_reads import READS
from midwatch.shell.servers import AsgiServer, bind


class Doors:
    """``telemetry_port``, ``console_port`` and ``status_port`` (the page for customers) are 0 until that door is open."""

    def __init__(self) -> None:
        self.telemetry_port = self.console_port = self.status_port = 0
        self._listeners: dict[str, socket.socket] = {}
        self._servers: list[AsgiServer] = []

    def bind(self, settings: Settings, with_console: bool, with_status: bool = False) -> None:
        """Raises ConfigError for a port that cannot be had."""
        s = settings
        self._listeners["telemetry"] = bind(s.otlp_host, s.otlp_port, "telemetry (OTLP)", "--otlp-port")
        if with_console:
            self._listeners["console"] = bind(s.console_host, s.console_port, "the console", "--console-port")
        if with_status and (port := s.status_page.port) is not None:
            self._listeners["status"] = bind(s.status_page.host, port, "the status page", "status_page.port")

    async def open_telemetry(self, app: Any) -> None:
        self.telemetry_port = await self._open("telemetry", app)

    async def open_console(self, app: Any, tls: TlsSettings | None = None) -> None:
        if tls is not None:
            READS.note(f"file:{tls.key}", ok=True)
        self.console_port = await self._open("console", app, tls)

    async def open_status(self, app: Any, tls: TlsSettings | None = None) -> None:
        """Nothing where the settings name no port for it."""
        if "status" in self._listeners:
            self.status_port = await self._open("status", app, tls, PublicServer)

    async def _open(
        self, name: str, app: Any, tls: TlsSettings | None = None, kind: type[AsgiServer] = AsgiServer
    ) -> int:
        server = kind(app, self._listeners[name], tls)
        self._servers.append(server)
        await server.start()
        return server.port

    async def close(self) -> None:
        """Idempotent."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
