"""A watch in the test's own process: its folder is temporary, its ports are free ones, nothing else is faked unless said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.events import PageOrdered
from midwatch.shell.config import Settings


class RecordingHands:
    """Does what it is told and remembers it, by key."""

    def __init__(self) -> None:
        self.done: dict[str, Action] = {}

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return {"restart": VerbSpec("restart", "restart it", "transient", ("restart",), ("service",), cost_seconds=5)}

    async def apply(self, action: Action) -> Outcome:
        self.done[action.key] = action
        return Outcome("done", "restarted")

    async def observe(self, action: Action) -> Outcome:
        return Outcome("done" if action.key in self.done else "failed")


class RecordingChannel:
    name = "phone"

    def __init__(self) -> None:
        self.pages: list[PageOrdered] = []

    async def send(self, page: PageOrdered) -> None:
        self.pages.append(page)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


def make_settings(tmp_path: Path, **changes: Any) -> Settings:
    values = {"folder": tmp_path / "watch", "otlp_port": 0, "console_port": 0, "store": "none", "tick_seconds": 0.2}
    return Settings(**{**values, **changes})
