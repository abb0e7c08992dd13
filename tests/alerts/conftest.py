"""A watch that takes alerts: real journal, real HTTP, the real loop; only the channel is a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.shell.conftest import RecordingChannel, make_settings

from midwatch.faces.front import console_factory
from midwatch.model.policy import PagePolicy, Policy
from midwatch.shell.config import IntegrationSettings
from midwatch.shell.run import Watch

KEY = "0123456789abcdef0123456789abcdef"


class OnWatch:
    """A running watch with one integration of each kind; ``keys`` by kind."""

    KINDS = ("alertmanager", "pagerduty", "opsgenie", "cloudevents", "grafana", "json", "email")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
        self.keys = {kind: f"{n}{KEY[1:]}" for n, kind in enumerate(self.KINDS)}
        options: dict[str, Any] = given.pop("integrations", {})
        integrations = {}
        for kind, key in self.keys.items():
            monkeypatch.setenv(f"KEY_{kind.upper()}", key)
            integrations[kind] = IntegrationSettings(kind=kind, key=f"env:KEY_{kind.upper()}", **options.get(kind, {}))
        policy = given.pop("policy", None) or Policy(
            paging=PagePolicy(("phone",), repeat_seconds=3600.0), resolve_after_seconds=0.5
        )
        self.settings = make_settings(folder, integrations=integrations, **given)
        self.channel = RecordingChannel()
        self.watch = Watch(self.settings, channels=[self.channel], policy=policy, console=console_factory())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.watch.console_port}"

    async def __aenter__(self) -> OnWatch:
        await self.watch.start()
        self._running = asyncio.create_task(self.watch.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.watch.request_stop()
        await self._running
        await self.watch.stop()


async def until(holds: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """What ``holds`` gives once it is true."""
    for _ in range(int(seconds / 0.02)):
        if found := holds():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what or holds}")


@pytest.fixture
def on_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OnWatch]:
    return lambda **given: OnWatch(tmp_path, monkeypatch, **given)


def recorded_bodies() -> list[bytes]:
    """What a real Alertmanager sent."""
    file = Path(__file__).parent / "alertmanager.jsonl"
    return [json.dumps(json.loads(line)["body"]).encode() for line in file.read_text("utf-8").splitlines()]


def run(work: Awaitable[Any]) -> Any:
    async def go() -> Any:
        return await work

    return asyncio.run(go())
