"""The console's reading of a long journal: the end at once, the story of an old incident when its page is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.shell.test_recall import filled

from midwatch.faces.console import projection as module
from midwatch.faces.console.projection import JournalProjection
from midwatch.model.alerts import Alert
from midwatch.model.events import AlertsJudged, AlertsReceived, IncidentOpened
from midwatch.shell.journal.memory import MemoryJournal
from midwatch.shell.journal.sqlite import SqliteJournal


def test_alerts_are_left_in_the_journal_and_pages_come_to_its_end_all_the_same(tmp_path: Path) -> None:
    alert = Alert("prom:1", "prom", "firing", 1.0, 1.0, 4, "Down", "down")
    opened = IncidentOpened("INC-1", "down", 1.0, 4, "so", (), ("service:a",))
    for journal in (MemoryJournal(), SqliteJournal(tmp_path / "j.sqlite", ballast_bytes=0)):
        journal.append([AlertsReceived((alert,)), opened, AlertsReceived((alert,)), AlertsJudged(())], 1.0)
        read = JournalProjection(journal)
        asyncio.run(read.catch_up(4, journal.load_state()))
        assert read.seq == 4 and [r.seq for r in read.story("INC-1").events] == [2]
        assert [r.seq for r in journal.read(0, module.NOT_OURS)] == [2]
        journal.close()


def test_an_old_incident_is_told_as_if_all_had_been_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        journal = filled(MemoryJournal())
        state = journal.load_state()
        whole = JournalProjection(journal)
        monkeypatch.setattr(module, "TAIL", state.seq)
        await whole.catch_up(state.seq, state)
        monkeypatch.setattr(module, "TAIL", 100)
        short = JournalProjection(journal)
        await short.catch_up(state.seq, state)
        assert "INC-1" not in short.stories
        for incident in state.incidents.values():
            told = await short.recall(incident)
            assert told is not short and (await short.recall(incident)) is told
            story, expected = told.story(incident.id), whole.story(incident.id)
            assert list(story.events) == list(expected.events) and len(expected.events) == 7
            assert story.update == expected.update and story.postmortem == expected.postmortem
        assert (await whole.recall(incident)) is whole

    asyncio.run(go())
