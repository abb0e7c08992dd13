"""The server of the port for everybody, against clients that never finish."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.channels.test_email import certificate as certificate
from tests.subscribers.parts import until

from midwatch.shell import public_server
from midwatch.shell.access_settings import TlsSettings
from midwatch.shell.public_server import HEAD_SECONDS, Impatient, PublicServer
from midwatch.shell.servers import bind

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = 60.0  # to wait for what must come, on a busy machine

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Reads the body, waits until it is ``free`` and answers."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (heard := await receive()).get("more_body"):
            pass
        if heard["type"] == "http.disconnect":
            return
        self.asked += 1
        await self.free.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def served(story: Callable[[App, PublicServer], Coroutine[Any, Any, None]], tls: TlsSettings | None = None) -> None:
    async def go() -> None:
        app = App()
        server = PublicServer(app, bind("127.0.0.1", 0, "the test", "--port"), tls)
        await server.start()
        try:
            await story(app, server)
        finally:
            app.free.set()
            await server.stop()

    asyncio.run(go())


async def say(server: PublicServer, what: bytes, context: ssl.SSLContext | None = None) -> Pair:
    name = "localhost" if context is not None else None
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=name)
    writer.write(what)
    return reader, writer


async def answer(pair: Pair) -> bytes:
    return await asyncio.wait_for(pair[0].readuntil(b"ok"), LONG)


async def hung_up(pair: Pair) -> bool:
    """Waits until there is nothing more to come."""
    try:
        return await asyncio.wait_for(pair[0].read(), LONG) == b""
    except ConnectionError:
        return True
    finally:
        pair[1].close()


@pytest.mark.parametrize(
    "half",
    [
        b"",
        GET[:-2],
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\naddress",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk"],
)
def test_who_never_finishes_is_hung_up_on(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_server, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(public_server, "EXCHANGE_SECONDS", 0.2)

    async def story(app: App, server: PublicServer) -> None:
        assert await hung_up(await say(server, half))
        assert app.asked == 0

    served(story)


def test_a_second_request_gets_no_longer_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(_: App, server: PublicServer) -> None:
        pair = await say(server, GET)
        await answer(pair)
        monkeypatch.setattr(public_server, "HEAD_SECONDS", 0.1)  # from the end of the next answer on
        pair[1].write(GET + GET[:9])
        await answer(pair)
        assert await hung_up(pair)

    served(story)


def test_an_answer_may_take_longer_than_a_head() -> None:
    async def story(app: App, server: PublicServer) -> None:
        app.free.clear()
        pair = await say(server, GET)
        await until(lambda: app.asked)
        [connection] = server._server.server_state.connections
        assert isinstance(connection, Impatient) and connection._late is not None
        assert connection._late.when() - asyncio.get_running_loop().time() > HEAD_SECONDS
        app.free.set()
        assert (await answer(pair)).startswith(b"HTTP/1.1 200")
        pair[1].close()

    served(story)


def test_however_many_hang_on_everybody_else_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_server, "MAX_CONNECTIONS", 5)

    async def story(_: App, server: PublicServer) -> None:
        idle = [await say(server, GET[:-2]) for _ in range(40)]
        pair = await say(server, GET)
        assert (await answer(pair)).startswith(b"HTTP/1.1 200")
        assert len(server._server.server_state.connections) <= 5
        pair[1].close()
        assert all(await asyncio.gather(*map(hung_up, idle[:30])))
        for _, writer in idle:
            writer.close()

    served(story)


def test_who_is_being_served_is_pushed_out_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_server, "MAX_CONNECTIONS", 2)

    async def story(app: App, server: PublicServer) -> None:
        app.free.clear()
        served_now = [await say(server, GET) for _ in range(2)]
        await until(lambda: app.asked == 2)
        assert await hung_up(await say(server, GET))
        app.free.set()
        for pair in served_now:
            await answer(pair)
            pair[1].close()

    served(story)


def test_who_never_ends_the_handshake_is_hung_up_on(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))

    async def story(_: App, server: PublicServer) -> None:
        pair = await say(server, GET, context)
        assert (await answer(pair)).startswith(b"HTTP/1.1 200")
        pair[1].close()
        monkeypatch.setattr(public_server, "HEAD_SECONDS", 0.1)
        assert await hung_up(await say(server, b""))
        broken = await say(server, GET)
        await asyncio.wait_for(broken[0].read(), LONG)
        broken[1].close()

    served(story, TlsSettings(certificate=certificate[0], key=certificate[1]))
