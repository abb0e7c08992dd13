"""The page of who is on call: now, in the next weeks, what will go wrong, and who carried how much.

What takes a while (ninety days of every escalation, the journal of three months) is worked out off the loop, and kept for
some minutes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Final

from msgspec import Struct

from midwatch.core.oncall.fairness import Load, fairness
from midwatch.core.oncall.lint import HORIZON_SECONDS, Flaw, flaws
from midwatch.core.oncall.schedule import Shift, shifts
from midwatch.faces.console.roster_chart import NARROW, WIDE, picture, said, span
from midwatch.faces.console.view import JournalView
from midwatch.model.people import Override, People, Schedule
from midwatch.model.state import State
from midwatch.shell import oncall

FRESH_SECONDS: Final = 300.0
BACK_SECONDS: Final = 90 * 86400.0
MAX_LISTED: Final = 12
MAX_FLAWS: Final = 10


class Outlook(Struct, frozen=True):
    """What is worked out beside the page."""

    flaws: tuple[Flaw, ...] = ()
    loads: tuple[Load, ...] = ()


class Roster:
    """Keeps one outlook, for the people and stand-ins that it was made for."""

    def __init__(self, journal: JournalView) -> None:
        self._journal = journal
        self._kept: tuple[float, People, tuple[Override, ...], Outlook] | None = None

    async def page(self, state: State, now: float) -> dict[str, Any]:
        """Everything that ``oncall.html`` shows."""
        people = state.policy.people
        colours = {person.ident: number for number, person in enumerate(people.people)}
        names = {person.ident: person.called for person in people.people}
        rows = oncall.who(state, now)
        return {
            "rows": rows,
            "boards": [_board(state, schedule, now, colours, names) for schedule in people.schedules],
            "outlook": await self._outlook(state, now) if people.people else Outlook(),
            "names": names,
            "zones": defaultdict(lambda: "UTC", {one.name: one.zone for one in people.schedules}),  # some may be gone
            "overrides": [one for one in state.overrides if one.end_at > now][-MAX_LISTED:],
            "swaps": [one for one in state.swaps if not one.answer and one.end_at > now][-MAX_LISTED:],
            "most_flaws": MAX_FLAWS,
        }

    async def _outlook(self, state: State, now: float) -> Outlook:
        kept = self._kept
        if (
            kept is not None
            and 0 <= now - kept[0] < FRESH_SECONDS
            and kept[1:3] == (state.policy.people, state.overrides)
        ):
            return kept[3]
        made = await asyncio.to_thread(self._made, state, now)
        self._kept = (now, state.policy.people, state.overrides, made)
        return made

    def _made(self, state: State, now: float) -> Outlook:
        since = now - BACK_SECONDS
        recorded = self._journal.read(self._journal.seq_before(since))
        return Outlook(tuple(flaws(state, now, now + HORIZON_SECONDS)), fairness(state, recorded, since, now))


class Board(Struct, frozen=True):
    """One schedule: its picture twice, its next shifts in words, and whose colours are in it."""

    schedule: Schedule
    wide: str
    narrow: str
    listed: tuple[tuple[str, str, str], ...]
    shown: tuple[tuple[int, str], ...]


def _board(state: State, schedule: Schedule, now: float, colours: dict[str, int], names: dict[str, str]) -> Board:
    since, until = span(now, schedule.zone)
    found = shifts(state.policy.people, schedule, state.overrides, since, until)
    seen = dict.fromkeys(shift.person for shift in found if shift.person)
    return Board(
        schedule,
        picture(found, schedule.zone, now, colours, names, WIDE),
        picture(found, schedule.zone, now, colours, names, NARROW),
        tuple(_line(shift, schedule.zone, names) for shift in found if shift.end_at > now)[:MAX_LISTED],
        tuple((colours.get(ident, 0), names.get(ident, ident)) for ident in seen),
    )


def _line(shift: Shift, zone: str, names: dict[str, str]) -> tuple[str, str, str]:
    return said(shift, zone), names.get(shift.person, shift.person) or "nobody", shift.why
