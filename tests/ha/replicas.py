"""Replicas as they are installed: ``midwatch up`` as processes, each with a folder and a path to PostgreSQL of its own, and
somebody who receives their pages."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.ha.postgres import Proxy, Server

from midwatch.model.events import WatchStarted
from midwatch.shell.folder import read_running
from midwatch.shell.journal.postgres import PostgresReader

SETTINGS = """
journal: {{postgres: "file:{folder}/dsn", replica: {name}}}
channels:
  phone: {{type: webhook, url: "{pager}"}}
integrations:
  pd: {{kind: pagerduty, key: "env:HA_ROUTING_KEY"}}
policy: [policy.yaml]
"""
POLICY = "discover_slos: false\nshipped_playbooks: false\npaging: {channels: [phone], repeat: 10m}\n"
KEY = "0123456789abcdef0123456789abcdef"


class Pager:
    """Receives pages: ``pages`` are (monotonic seconds, body)."""

    def __init__(self) -> None:
        self.pages: list[tuple[float, dict[str, Any]]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                pager.pages.append((time.monotonic(), json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def about(self, words: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, body) for at, body in self.pages if words in body["subject"] + body["text"]]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Replica:
    """One ``midwatch up``. ``path`` is its way to PostgreSQL."""

    def __init__(self, folder: Path, name: str, server: Server, pager: Pager) -> None:
        folder.mkdir(parents=True)
        self.folder, self.name = folder, name
        self.path = Proxy(server.port)
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "dsn").write_text(server.dsn_at(self.path.port))
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "settings.yaml").write_text(SETTINGS.format(folder=folder, name=name, pager=pager.url))
        self._client = httpx.Client(trust_env=False, timeout=10)

    def start(self) -> None:
        words = ["up", "--folder", str(self.folder), "--store", "none", "--tick", "0.5"]
        (self.folder / "running.json").unlink(missing_ok=True)
        with (self.folder / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "midwatch", *words, "--otlp-port", "0", "--console-port", "0"],
                stdout=subprocess.DEVNULL, stderr=errors,
                env={**os.environ, "HA_ROUTING_KEY": KEY, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        until(lambda: self.api, 60, lambda: f"{self.name} did not start: {self.stderr()}")

    @property
    def api(self) -> str:
        return str((read_running(self.folder) or {}).get("api", ""))

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()[-2000:]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def get(self, path: str) -> httpx.Response:
        return self._client.get(self.api + path)

    def health(self) -> dict[str, Any]:
        return dict(self.get("/api/v1/status").json()["health"])

    def leads(self) -> bool:
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            return bool(self.health()["leading"])
        return False

    def token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.folder / 'token').read_text().strip()}"}

    def alert(self, name: str) -> bool:
        """Whether the alert was accepted."""
        said = {
            "routing_key": KEY, "event_action": "trigger", "dedup_key": name,
            "payload": {"summary": f"{name} is down", "source": name, "severity": "critical"},
        }  # fmt: skip
        with contextlib.suppress(httpx.HTTPError, ValueError):  # no address: it is being started
            return self._client.post(self.api + "/v2/enqueue", json=said).status_code == 202
        return False

    def acknowledge_all(self) -> None:
        for incident in self.get("/api/v1/incidents").json():
            said = {"verb": "ack", "by": "ann", "target": incident["id"]}
            self._client.post(self.api + "/api/v1/commands", json=said, headers=self.token())

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.path.close()
        self._client.close()


class Cluster:
    """Replicas ``a`` and ``b`` (``a`` leads first), a PostgreSQL of their own, and a pager."""

    def __init__(self, folder: Path) -> None:
        self.server, self.pager = Server(), Pager()
        self.replicas = [Replica(folder / name, name, self.server, self.pager) for name in "ab"]
        try:
            for replica in self.replicas:
                replica.start()
                until(lambda: any(one.leads() for one in self.replicas), 30, self.story)
            self.journal = PostgresReader(self.server.dsn)
        except BaseException:
            self.close()
            raise

    def leader(self) -> Replica:
        found: list[Replica] = []
        until(lambda: found.extend(one for one in self.replicas if one.leads()) or found, 30, self.story)
        return found[0]

    def other(self, one: Replica) -> Replica:
        return next(replica for replica in self.replicas if replica is not one)

    def takeover_seconds(self, fault: Callable[[], object]) -> float:
        """From ``fault`` until another leader's first entry is in the journal."""
        seq, began = self.journal.head().seq, time.monotonic()
        fault()
        until(lambda: self._started_after(seq), 30, self.story)
        return time.monotonic() - began

    def _started_after(self, seq: int) -> bool:
        return any(isinstance(one.event, WatchStarted) for one in self.journal.read(seq))

    def epochs(self) -> list[int]:
        """Of each entry, in order: who wrote it."""
        with psycopg.connect(self.server.dsn) as connection:
            return [row[0] for row in connection.execute("SELECT epoch FROM midwatch.chain ORDER BY seq")]

    def story(self) -> str:
        return "\n".join(f"{one.name}: {one.stderr()}" for one in self.replicas)

    def close(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        for replica in self.replicas:
            replica.close()
        self.pager.close()
        self.server.close()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    made = Cluster(folder)
    try:
        yield made
    finally:
        made.close()


def until(true: Callable[[], object], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.05)
