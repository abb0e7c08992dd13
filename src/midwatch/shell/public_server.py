"""The server for a port that everybody may reach: few connections, and none for long to who sends nothing.

Descriptors are the whole process's: connections that strangers keep open must not be what the next page lacks. So it accepts
by itself, no more than ``MAX_CONNECTIONS``; one more pushes out whoever has been waited for longest.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from midwatch.shell.servers import AsgiServer, Server

log = logging.getLogger("midwatch.doors")

MAX_CONNECTIONS: Final = 128  # a process may have 1024 descriptors as a rule, in places 256
HEAD_SECONDS: Final = 10.0  # for a TLS handshake, and again until the whole head of a request is there
EXCHANGE_SECONDS: Final = 60.0  # from then on, for its body and its answer


class Impatient(H11Protocol):
    """Hangs up on who is late. ``over`` is set once the connection is gone."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.over = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether the next request has yet to come."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(HEAD_SECONDS)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._within(EXCHANGE_SECONDS)

    def on_response_complete(self) -> None:
        self._within(HEAD_SECONDS)  # first: the next request may be here already
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)
        self.over.set()

    def _should_upgrade(self) -> bool:
        return False  # nobody counts what another protocol took over

    def _within(self, seconds: float) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(seconds, self.transport.abort)


class _Counting(Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._held: dict[asyncio.Task[None], Impatient] = {}  # oldest first
        await super().startup(sockets=[])
        [listener] = sockets or []
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._accepting.cancel()
        await super().shutdown(sockets)
        for task in list(self._held):
            task.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # who hung up before that
            except OSError as error:
                log.warning("nobody can connect to the status page's port for a second: %s", error.strerror)
                await asyncio.sleep(1.0)
                continue
            if len(self._held) >= MAX_CONNECTIONS and not self._made_room():
                connection.close()
            else:
                protocol = Impatient(self.config, self.server_state, self.lifespan.state)
                task = loop.create_task(self._hold(connection, protocol))
                self._held[task] = protocol
                task.add_done_callback(lambda done: self._held.pop(done, None))
            await asyncio.sleep(0)  # a flood leaves time for what was pushed out to be closed, and for everything else

    def _made_room(self) -> bool:
        task = next((task for task, protocol in self._held.items() if protocol.waits), None)
        if task is not None:
            task.cancel()
            del self._held[task]
        return task is not None

    async def _hold(self, connection: socket.socket, protocol: Impatient) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self.config.ssl,
                ssl_handshake_timeout=HEAD_SECONDS if self.config.ssl else None,
            )
            await protocol.over.wait()
        except OSError:
            pass  # a handshake that came to nothing
        finally:
            if protocol.transport is not None:
                protocol.transport.abort()


class PublicServer(AsgiServer):
    """As ``AsgiServer``, for everybody."""

    kind = _Counting
