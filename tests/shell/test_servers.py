"""Listening sockets."""

from __future__ import annotations

import asyncio
import socket

from midwatch.shell.servers import bind


def test_an_answer_does_not_wait_for_the_last_one_to_be_acknowledged() -> None:
    """asyncio turns Nagle's algorithm off only where the socket says its protocol."""

    async def go() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def on_connect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = bind("127.0.0.1", 0, "the test", "--port")
        async with await asyncio.start_server(on_connect, sock=listener):
            _, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
            writer.close()
            return await asyncio.wait_for(found, 10)

    assert asyncio.run(go()) == 1
