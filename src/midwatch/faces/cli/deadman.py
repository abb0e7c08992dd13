"""``midwatch deadman``: runs elsewhere, is called by the watch, and pages when it falls silent."""

from __future__ import annotations

import asyncio
import hmac
import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import AsJson, Folder, err, folder_of, friendly, log_to_stderr, print_json
from midwatch.model.errors import ConfigError
from midwatch.shell.config import Settings, load_settings, resolve

MAX_BODY_BYTES = 64 * 1024
MIN_TOKEN_CHARS = 16


def deadman(
    folder: Folder = None,
    config: Annotated[Path | None, typer.Option(help="Settings, instead of the folder's settings.yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a watch's heartbeat, and page through the settings' channels when it does not come.

    Run it where the watch does not run: another machine, another power supply.

    Exit codes: 0 stopped in order, 2 a setting or the port is wrong.
    """
    with friendly(as_json):
        log_to_stderr()
        settings = load_settings(folder_of(folder), file=config)
        asyncio.run(listen(settings, as_json=as_json))


async def listen(settings: Settings, *, as_json: bool = False) -> None:
    """Until a signal. Raises ConfigError."""
    from midwatch.shell.channels import build_channels, unready_channels
    from midwatch.shell.deadman import Deadman
    from midwatch.shell.servers import AsgiServer, bind

    asked = settings.deadman
    token = resolve(asked.token) if asked.token else ""
    if len(token) < MIN_TOKEN_CHARS:
        raise ConfigError(
            f"needs a token of at least {MIN_TOKEN_CHARS} characters",
            key="deadman.token",
            hint="token: env:DEADMAN_TOKEN; the watch's heartbeat_url then ends in /beat/<token>",
        )
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    chosen = [one for one in build_channels(settings) if not asked.channels or one.name in asked.channels]
    if missing := set(asked.channels) - {one.name for one in chosen}:
        raise ConfigError(f"no channel is called {', '.join(sorted(missing))}", key="deadman.channels")
    watched = Deadman(
        settings.folder, chosen, patience_seconds=asked.patience_seconds, repeat_seconds=asked.repeat_seconds
    )
    server = AsgiServer(door(watched, token), bind(asked.host, asked.port, "heartbeats", "deadman.port"))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start()
    told = {"listens": f"http://{asked.host}:{server.port}/beat/<token>", "channels": [one.name for one in chosen]}
    if as_json:
        print_json(told)
    else:
        err.print(Text(f"waiting for heartbeats at {told['listens']}"), soft_wrap=True)
    if lacking := unready_channels(settings):
        err.print(Text(f"  ! {lacking}", style="bold yellow"), soft_wrap=True)
    try:
        while not stopping.is_set():
            await watched.look()
            try:
                await asyncio.wait_for(stopping.wait(), min(5.0, asked.patience_seconds / 10))
            except TimeoutError:
                continue
    finally:
        await server.stop()


def door(watched: Any, token: str) -> Any:
    """``POST /beat/<token>`` takes a heartbeat, ``GET /healthz`` says how it stands (503 while the alarm is on)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/healthz" and method == "GET":
            said = dict(watched.status())
            await _answer(send, 200 if said["ok"] else 503, json.dumps(said).encode())
        elif path.startswith("/beat/") and hmac.compare_digest(path.removeprefix("/beat/").encode(), token.encode()):
            if method not in ("POST", "GET", "HEAD"):  # what pings with GET is a heartbeat too
                await _answer(send, 405, b'{"error": "POST a heartbeat"}')
                return
            body = await _body(receive)
            if body is None:
                await _answer(send, 413, b'{"error": "a heartbeat is small"}')
                return
            await watched.heard(body)
            await _answer(send, 200, b'{"ok": true}')
        else:
            await _answer(send, 404, b'{"error": "not found"}')

    return app


async def _body(receive: Any) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
