"""Where pages arrive: one HTTP server for all channels, each in a mood of its own, and people who answer."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Got:
    """A page that was accepted (answered with 2xx, or would have been had the sender waited)."""

    channel: str
    key: str
    page: str
    incident: str
    topics: tuple[str, ...]


class Receiver:
    """``moods`` says how each channel does now: well, slow, refuses, hangs, drops, busy."""

    def __init__(self, moods: Mapping[str, str]) -> None:
        self.got: list[Got] = []
        self.refused = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                channel = self.path.strip("/")
                mood = moods.get(channel, "well")
                if mood in ("refuses", "drops", "busy"):
                    receiver.refused += 1
                if mood == "drops":
                    self.connection.close()
                    return
                if mood in ("refuses", "busy"):
                    self._answer(503 if mood == "refuses" else 429)
                    return
                time.sleep({"slow": 0.15, "hangs": 0.8}.get(mood, 0.0))
                got = Got(
                    channel, self.headers["Idempotency-Key"], said["page"], said["incident"], tuple(said["topics"])
                )
                receiver.got.append(got)
                with contextlib.suppress(OSError):
                    self._answer(200)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                return  # a sender that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
