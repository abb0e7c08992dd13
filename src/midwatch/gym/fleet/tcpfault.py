"""A TCP proxy in the path of calls that delays, stalls or resets them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct


class FaultyPath:
    """Listens on ``port`` and forwards to ``target``. Each request from the client (one chunk) is hit with ``ratio``."""

    def __init__(self, target: int, mode: str, ratio: float, ms: float) -> None:
        self.target, self.mode, self.ratio, self.ms = target, mode, ratio, ms
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        back = asyncio.create_task(_copy(far_reader, writer))
        try:
            while chunk := await reader.read(65536):
                if random.random() < self.ratio:
                    if self.mode == "reset":
                        _reset(writer)
                        return
                    await asyncio.sleep(60.0 if self.mode == "stall" else self.ms / 1000)
                far_writer.write(chunk)
                await far_writer.drain()
        except OSError:
            pass
        finally:
            back.cancel()
            for end in (writer, far_writer):
                with contextlib.suppress(OSError):
                    end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
