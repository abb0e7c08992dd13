"""``midwatch up`` as a process: it takes telemetry, obeys, and ends in order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.shell.recording import write_recording
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.shell.folder import read_running
from midwatch.shell.journal.sqlite import open_readonly

SETTINGS = """
channels:
  post: {type: email, host: localhost, port: 1, security: none, sender: status@example.org, to: [ops@example.org]}
status_page:
  port: 0
  components: [{name: Shop, slo: shop}]
  subscribers: {through: post, url: "http://localhost:8485"}
"""


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, dict[str, Any]]]:
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS)
    words = [
        "up",
        "--folder",
        str(folder),
        "--store",
        "none",
        "--tick",
        "0.5",
        "--otlp-port",
        "0",
        "--console-port",
        "0",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "from midwatch.faces.cli.app import main; main()", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        told = until(lambda: read_running(folder) or process.poll() is not None)
        assert isinstance(told, dict), process.communicate()[1]
        yield process, folder, told
    finally:
        process.kill()
        process.communicate()


@pytest.mark.integration
def test_up_takes_telemetry_obeys_and_stops(
    up: tuple[subprocess.Popen[str], Path, dict[str, Any]], tmp_path: Path
) -> None:
    process, folder, told = up
    lines = _lines(write_recording(tmp_path / "r"))
    with httpx.Client(trust_env=False) as client:
        shift = time.time() - 20 - 1_790_000_000.0
        for line in lines[:15]:
            answer = client.post(
                told["otlp"] + "/v1/traces", content=_moved(line, shift), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 200, answer.text
        bad = client.post(told["otlp"] + "/v1/traces", content=b"{", headers={"Content-Type": "application/json"})
        assert bad.status_code == 400
        change = {"id": "d1", "at": time.time(), "kind": "deploy", "entity": "service:payment", "summary": "v2"}
        assert client.post(told["otlp"] + "/v1/changes", json=change).status_code in (200, 202)
        status = until(
            lambda: (s := client.get(told["api"] + "/api/v1/status").json())["health"]["telemetry"]["rows"] == 900 and s
        )
        assert status["mode"] == "shadow" and status["health"]["tick_errors"] == 0
        assert client.get(told["api"] + "/").status_code == 200, "the console"
        assert "midwatch_rows_total 900" in client.get(told["api"] + "/metrics").text

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "from midwatch.faces.cli.app import main; main()",
            *words,
            "--folder",
            str(folder),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    _subscribers(folder, tmp_path / "www")
    assert run("ack", "INC-1").returncode == 2, "there is no such incident"
    assert json.loads(run("hands-off", "--json").stdout)["watch_told"] is True
    assert (folder / "HANDS-OFF").exists()
    again = run("up", "--store", "none", "--otlp-port", "0", "--console-port", "0")
    assert again.returncode == 4 and "pid" in again.stderr, again.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert read_running(folder) is None
    journal = open_readonly(folder / "journal.sqlite")
    assert journal.verify().ok
    assert {type(r.event).__name__ for r in journal.read()} >= {
        "WatchStarted",
        "ChangeSeen",
        "CommandGiven",
        "HandsOffChanged",
        "SubscribersTouched",
    }
    assert "ann@" not in "".join(repr(r.event) for r in journal.read())
    assert journal.load_state().hands_off
    journal.close()


def _subscribers(folder: Path, www: Path) -> None:
    def said(*words: str) -> Any:
        return CliRunner().invoke(app, ["status-page", *words, "--folder", str(folder)])

    added = json.loads(
        said("subscribers", "add", "ann@example.org", "--component", "Shop", "--confirmed", "--json").stdout
    )
    assert (added["address"], added["components"]) == ("ann@example.org", ["Shop"])
    wrong = said("subscribers", "add", "ben@example.org", "--component", "Nope")
    assert wrong.exit_code == 2 and "it has: Shop" in wrong.stderr
    shown = said("subscribers", "list").stdout
    assert "ann@example.org" in shown and "Shop" in shown
    assert added["id"] in said("subscribers", "remove", "ANN@example.org").stdout
    assert said("--out", str(www)).exit_code == 0 and (www / "index.html").exists()


def _lines(folder: Path) -> list[str]:
    import gzip

    with gzip.open(folder / "traces.jsonl.gz", "rt") as file:
        return file.read().splitlines()


def _moved(line: str, seconds: float) -> bytes:
    """The same request at another time."""
    said = json.loads(line)
    for resource in said["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in ("startTimeUnixNano", "endTimeUnixNano"):
                    span[key] = str(int(span[key]) + int(seconds * 1e9))
    return json.dumps(said).encode()
