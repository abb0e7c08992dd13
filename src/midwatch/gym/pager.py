"""What many teams have between fleet and phones: Prometheus scrapes, Alertmanager says what is wrong, Slack rings.

``Alerting`` runs the real two (Debian's ``prometheus`` and ``prometheus-alertmanager``) over the fleet's proxy, which counts
answers for each service. ``slack_settings`` leads a watch to a workspace, and ``alertmanager_settings`` lets it hear alerts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.gym.fleet.os_tools import die_with_parent, free_ports
from midwatch.gym.last_words import last_words

PROGRAMS: Final = ("prometheus", "prometheus-alertmanager")
RATE_SECONDS: Final = 15
ERRORS: Final = 0.1
"""Share of a service's answers that is an alert."""


class PagerError(Exception):
    """Prometheus or Alertmanager did not start; the message holds its last words."""


def absent() -> str:
    """What is not installed here, and how to get it; "" when everything is."""
    lacking = [name for name in PROGRAMS if which(name) is None]
    return f"apt-get install {' '.join(lacking)}" if lacking else ""


def slack_settings(slack: FakeSlack, folder: Path, people: Mapping[str, str]) -> dict[str, Any]:
    """A channel of a watch's settings that leads to ``slack``; ``people`` is Slack user -> person. Its secrets are put into
    files of ``folder``."""
    return {
        "type": "slack",
        "token": _secret(folder / "slack-token", slack.token),
        "signing_secret": _secret(folder / "slack-signing", slack.signing_secret),
        "channel": slack.conversation,
        "people": dict(people),
        "api_url": f"{slack.url}/api",
    }


def alertmanager_settings(folder: Path) -> dict[str, Any]:
    """An integration of a watch's settings, with a new key in a file of ``folder``."""
    return {"kind": "alertmanager", "key": _secret(folder / "alertmanager-key", secrets.token_hex(16))}


def _secret(path: Path, value: str) -> str:
    """A reference to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(value)
    return f"file:{path.absolute()}"


class Alerting:
    """A Prometheus that scrapes ``metrics_url`` and an Alertmanager that posts to ``hook_url`` with the key in ``key_file``;
    their files lie in ``folder``. Use as an asynchronous context manager; raises PagerError."""

    def __init__(self, folder: Path, metrics_url: str, hook_url: str, key_file: Path) -> None:
        self.folder = folder.absolute()
        self._metrics, self._hook, self._key_file = urlsplit(metrics_url), hook_url, key_file.absolute()
        prometheus, alertmanager = free_ports(2)
        self.prometheus_url = f"http://127.0.0.1:{prometheus}"
        self.alertmanager_url = f"http://127.0.0.1:{alertmanager}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _alertmanager(self) -> dict[str, Any]:
        authorization = {"authorization": {"credentials_file": str(self._key_file)}}
        return {
            "route": {
                "receiver": "midwatch",
                "group_by": ["alertname"],
                "group_wait": "500ms",
                "group_interval": "2s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "midwatch", "webhook_configs": [{"url": self._hook, "http_config": authorization}]}],
        }

    def _prometheus(self) -> dict[str, Any]:
        scrape = {
            "job_name": "haproxy",
            "metrics_path": self._metrics.path,
            "params": {"scope": ["backend"]},
            "static_configs": [{"targets": [self._metrics.netloc]}],
        }
        return {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yml")],
            "scrape_configs": [scrape],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [urlsplit(self.alertmanager_url).netloc]}]}]
            },
        }

    async def start(self) -> None:
        """Returns when both answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, said in (
            ("rules.yml", rules()),
            ("prometheus.yml", self._prometheus()),
            ("alertmanager.yml", self._alertmanager()),
        ):
            (self.folder / name).write_text(json.dumps(said, indent=1))  # JSON is YAML
        self._run(
            "prometheus-alertmanager", f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/am",
            f"--web.listen-address={urlsplit(self.alertmanager_url).netloc}", "--cluster.listen-address=",
        )  # fmt: skip
        self._run(
            "prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={urlsplit(self.prometheus_url).netloc}",
        )  # fmt: skip
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as http:
            await self._ready(http, self.alertmanager_url)
            await self._ready(http, self.prometheus_url)

    def _run(self, program: str, *options: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [program, *options, "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    async def _ready(self, http: httpx.AsyncClient, url: str, within_seconds: float = 60.0) -> None:
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise PagerError(f"{name} ended by itself: {last_words(self.folder / f'{name}.log')}")
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"{url}/-/ready")).is_success:
                    return
            await asyncio.sleep(0.1)
        raise PagerError(f"{url} is not ready after {within_seconds:g} s; see {self.folder}")

    async def stop(self) -> None:
        """End both; idempotent."""
        processes, self._processes = tuple(self._processes.values()), {}
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                await asyncio.to_thread(process.wait, 10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def __aenter__(self) -> Alerting:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def rules() -> dict[str, Any]:
    """One alert for each service whose answers are errors, as its team would have it."""
    answers = 'rate(haproxy_backend_http_responses_total{proxy=~"b_.+_.+"%s}[%ds])'
    service = 'label_replace({}, "service", "$1", "proxy", "b_(.+)_[a-z]+")'
    bad, all_of_them = (
        f"sum by (service) ({service.format(answers % (code, RATE_SECONDS))})" for code in (',code="5xx"', "")
    )
    alert = {
        "alert": "HighErrorRate",
        "expr": f"{bad} / {all_of_them} > {ERRORS} and {all_of_them} > 0.5",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "{{ $value | humanizePercentage }} of the answers of {{ $labels.service }} are errors",
            "runbook_url": "https://runbooks.example.org/high-error-rate",
        },
    }
    return {"groups": [{"name": "shop", "interval": "1s", "rules": [alert]}]}
