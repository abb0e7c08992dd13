"""The console's reading of a long journal: the end at once, the story of an old incident when its page is asked for."""

from __future__ import annotations

import asyncio

import pytest
from tests.shell.test_recall import filled

from midwatch.faces.console import projection as module
from midwatch.faces.console.projection import JournalProjection
from midwatch.shell.journal.memory import MemoryJournal


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
