"""A real Prometheus for tests: on a free loopback port, over history that promtool loads or an exporter of the test."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import httpx
from tests.conftest import missing

Sample = tuple[str, float, float]
"""A series as it is written (name and labels), a time in unix seconds, a value."""


def prometheus_is_there() -> None:
    """Skips without Debian's package; fails where CI=true."""
    if which("prometheus") is None or which("promtool") is None:
        missing("a real Prometheus is needed: apt-get install prometheus")


def backfill(folder: Path, samples: Iterable[Sample]) -> Path:
    """Blocks of a Prometheus in ``folder``/data, from ``samples`` in any order."""
    prometheus_is_there()
    rows = sorted(samples, key=lambda one: (one[0], one[1]))
    text = "".join(f"{series} {value:.17g} {at:.3f}\n" for series, at, value in rows)
    source = folder / "history.om"
    source.write_text(text + "# EOF\n")
    data = folder / "data"
    # One block: promtool reads the whole file once for each.
    create = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=744h", "openmetrics", "--quiet"]
    made = subprocess.run([*create, str(source), str(data)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return data


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def prometheus(
    folder: Path, *, targets: Iterable[str] = (), port: int = 0, options: Iterable[str] = ()
) -> Iterator[str]:
    """Its address. Scrapes ``targets`` (host:port) each second; keeps its data in ``folder``/data."""
    prometheus_is_there()
    port = port or free_port()
    config = folder / "prometheus.yml"
    scraped = "".join(f"      - {target!r}\n" for target in targets)
    job = f"  - job_name: shop\n    static_configs:\n    - targets:\n{scraped}" if scraped else ""
    config.write_text(f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{job}" if job else "{}\n")
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=400d", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *options,
    ]  # fmt: skip
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        with httpx.Client(trust_env=False, timeout=2) as http:
            while True:
                assert process.poll() is None and time.monotonic() < end, (folder / "prometheus.log").read_text()[
                    -2000:
                ]
                with contextlib.suppress(httpx.HTTPError):
                    if http.get(url + "/-/ready").status_code == 200:
                        break
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


class Exporter:
    """Counters that the test drives, as text exposition on a free loopback port. Use as a context manager."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}
        self.broken = False
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if exporter.broken:
                    self.send_error(500)
                    return
                body = "".join(f"{series} {value:g}\n" for series, value in exporter.counters.items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.target = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Exporter:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, series: str, count: float) -> None:
        self.counters[series] = self.counters.get(series, 0.0) + count
