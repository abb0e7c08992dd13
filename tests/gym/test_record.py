"""One fault, struck and recorded: on a fleet that only writes down what is asked of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from midwatch.gym import record as recording
from midwatch.gym.faults.shop import shop
from midwatch.gym.score.users import Request


class Quiet:
    """Stands for a fleet: the dark channel and the platform say yes to everything, telemetry is a line at a time."""

    def __init__(self, directory: str, record: Path, **_: Any) -> None:
        self.dark, self.file, self.asked = self, record / "traces.jsonl", list[str]()
        self.file.write_text("cold\n")

    async def __aenter__(self) -> Quiet:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, op: str, **_: Any) -> dict[str, Any]:
        self.asked.append(op)
        with self.file.open("a") as out:
            out.write(f"{op}\n")
        known = shop()
        return {name: getattr(known, name) for name in known.__dataclass_fields__} if op == "targets" else {}

    async def op(
        self, verb: str, target: str, parameters: Any = None, *, key: str = "", by: str = ""
    ) -> dict[str, Any]:
        return {}


class Users:
    """Stands for the witness: users whose requests fail from the moment that they are watched a second time."""

    def __init__(self, fleet: Quiet) -> None:
        self.watched: list[Request] = []

    async def settled(self) -> None:
        pass

    async def watch(self, seconds: float) -> None:
        now, hurt = time.time(), bool(self.watched)
        self.watched += [Request(now + n / 1000, "browse", not hurt, 1.0) for n in range(20)]
        await asyncio.sleep(0.03)

    def requests(self, since_at: float) -> list[Request]:
        return [r for r in self.watched if r.at >= since_at]


def test_a_recording_begins_when_the_fleet_is_warm_and_its_truth_lies_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recording, "Fleet", Quiet)
    monkeypatch.setattr(recording, "Witness", Users)
    said: list[str] = []
    found = asyncio.run(recording.record("lock_contention", 3, tmp_path / "dir", say=said.append))
    assert found.harm_at is not None and found.harm_at >= found.injected_at and found.bad_before == 0.0
    kept = (tmp_path / "dir" / "traces.jsonl").read_text().split()
    assert "hold_lock" in kept and "cold" not in kept and "targets" not in kept
    assert [p.name for p in (tmp_path / "dir").iterdir()] == ["traces.jsonl"]
    truth = msgspec.json.decode((tmp_path / "truth.json").read_bytes())["case"]["truth"]
    assert (truth["fault"], truth["injected_at"]) == ("lock_contention", found.injected_at)
    assert said[-1].startswith("lock_contention-3-0: bad requests 0.0% before")


def test_the_truth_may_not_lie_where_a_watch_reads(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="outside"):
        asyncio.run(recording.record("bad_flag", 3, tmp_path, truth=tmp_path / "truth.json"))
