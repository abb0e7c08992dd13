"""What a restart does not forget, and what it makes of a file that is not its own."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest
from tests.detect.test_habits import learned
from tests.shell.conftest import make_settings

from midwatch.core.habits import Habits
from midwatch.core.memory import Memory
from midwatch.model.state import State
from midwatch.shell.health import Health
from midwatch.shell.intake import REMEMBER_SECONDS, Intake
from midwatch.shell.remembered import HABITS, TEMPLATES, read_habits, read_templates, write_habits, write_templates

MERGED = [f"worker {name} lost its lease on shard main" for name in ("anna", "bert", "carl", "dora", "emil")]


def same(one: Habits, other: Habits | None) -> bool:
    assert other is not None
    assert (one.keys, one.seen_until) == (other.keys, other.seen_until)
    assert [s.day for s in one.novelty.daily.slots] == [s.day for s in other.novelty.daily.slots]
    for mine, theirs in (
        (one.novelty.spans.low, other.novelty.spans.low),
        (one.novelty.means.high, other.novelty.means.high),
        (one.novelty.values.squares, other.novelty.values.squares),
        (np.stack(one.novelty.recent), np.stack(other.novelty.recent)),
        (one.novelty.daily.slots[3].sum, other.novelty.daily.slots[3].sum),
        (one.value, other.value),
    ):
        np.testing.assert_array_equal(mine, theirs)
    return True


def test_habits_come_back_to_the_last_bit(tmp_path: Path) -> None:
    habits = learned(60).habits
    assert habits is not None
    write_habits(tmp_path, habits)
    assert same(habits, read_habits(tmp_path))
    assert (tmp_path / HABITS).stat().st_mode & 0o077 == 0


def test_no_file_is_nothing_and_a_strange_one_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_habits(tmp_path) is None and read_templates(tmp_path) == []
    assert not caplog.records
    (tmp_path / HABITS).write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / TEMPLATES).write_text('{"a": 1}')
    with caplog.at_level(logging.WARNING):
        assert read_habits(tmp_path) is None and read_templates(tmp_path) == []
    assert len(caplog.records) == 2 and all("left alone" in record.message for record in caplog.records)
    assert (tmp_path / HABITS).exists()


def test_habits_of_another_shape_are_learned_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    habits = learned(60).habits
    assert habits is not None
    write_habits(tmp_path, habits)
    monkeypatch.setattr("midwatch.core.detect.spans.SPANS", 5)
    assert read_habits(tmp_path) is None


def test_a_folder_that_is_full_or_gone_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_templates(tmp_path / "gone", [])
    assert "was not kept" in caplog.text


async def _lives(folder: Path, now: float, memory: Memory) -> tuple[list[str], Memory]:
    """One life of the intake: ids of the lines' templates, and the memory that it began with."""
    intake = Intake(Health(), lambda: now)
    await intake.start(make_settings(folder))
    began = await intake.warm(State(), now)
    assert intake.builder is not None
    ids = [intake.builder.templates.find(line).now().id for line in MERGED]
    intake.remember(memory, now)
    intake.remember(memory, now + REMEMBER_SECONDS)
    await intake.stop()
    return ids, began


def test_a_restart_knows_merged_templates_and_habits(tmp_path: Path) -> None:
    memory = learned(40)
    make_settings(tmp_path).folder.mkdir()
    first, began = asyncio.run(_lives(tmp_path, 1e9, memory))
    assert began.habits is None and len(set(first)) > 1, "they became one while they were read"
    second, again = asyncio.run(_lives(tmp_path, 1e9 + 1000, memory))
    assert set(second) == {first[-1]}
    assert memory.habits is not None and same(memory.habits, again.habits)
