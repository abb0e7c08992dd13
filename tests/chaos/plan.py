"""What happens in a chaos run, drawn from its seed: incidents and their ends, who answers when, outages, deaths, leaps."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime

BEGIN = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()  # in the night in which Berlin puts its clocks back
STEP_SECONDS = 5.0
OPEN_EVERY_SECONDS = 8.0
CHANNELS = ("phone", "sms", "chat")
SERVICES = ("payment", "checkout", "search", "ledger")
MOODS = ("well", "well", "well", "slow", "refuses", "hangs", "drops", "busy")
PEOPLE = ("ana", "ben", "cleo", "dora", "emil")


@dataclass(frozen=True)
class Planned:
    """One incident: it is there from ``opens_at`` on for so long, and answered once so many pages were seen (0: never)."""

    opens_at: float
    length_seconds: float
    severity: int
    service: str
    answer_after: int


def incidents(seed: int, count: int) -> tuple[Planned, ...]:
    rng = random.Random(f"incidents {seed}")
    found = []
    for number in range(count):
        at = BEGIN + 20.0 + OPEN_EVERY_SECONDS * number
        length = rng.choice((30.0, 60.0, 120.0, 200.0, 300.0))
        severity = rng.choice((1, 2, 2, 2, 3))
        found.append(Planned(at, length, severity, rng.choice(SERVICES), rng.choice((0, 0, 1, 2, 3))))
    return tuple(found)


DATABASE_EVERY_STEPS = 50
DATABASE_TROUBLES = (*("restart",) * 3, *("crash",) * 3, "outage", "cut")
"""What befalls the replicas' database, all of it before any of it again: stopped in order, killed, away for longer than
a leader's lease and its patience, and a path to it that lets nothing through."""


@dataclass
class Trouble:
    """Step by step: how each channel does, whether the watch is killed, by how much the clock leaps (back too), and what
    befalls the database where there is one."""

    seed: int

    def __post_init__(self) -> None:
        self._rng = random.Random(f"trouble {self.seed}")
        self._of_the_database = random.Random(f"database {self.seed}")
        self._bag: list[str] = []
        self._next = 0
        self.moods = dict.fromkeys(CHANNELS, "well")

    def step(self, number: int) -> tuple[bool, float]:
        """Whether to kill, and the leap in seconds."""
        rng = self._rng
        if number % 12 == 0:
            self.moods[rng.choice(CHANNELS)] = rng.choice(MOODS)
        kill = rng.random() < 0.016
        leap = rng.choice((-300.0, -30.0, 45.0, 120.0, 400.0)) if rng.random() < 0.01 else 0.0
        return kill, leap

    def database(self, number: int) -> str:
        """One of ``DATABASE_TROUBLES``, or "" for none."""
        rng = self._of_the_database
        if number % DATABASE_EVERY_STEPS == 0:
            self._next = number + rng.randrange(5, DATABASE_EVERY_STEPS)
        if number != self._next:
            return ""
        if not self._bag:
            self._bag = rng.sample(DATABASE_TROUBLES, len(DATABASE_TROUBLES))
        return self._bag.pop()


def team_file() -> str:
    """Shifts of twenty minutes, three levels, people with their channels in different orders."""
    contacts = {
        "ana": "[phone, sms]",
        "ben": "[sms, chat, phone]",
        "cleo": "[chat, phone]",
        "dora": "[phone, chat, sms]",
        "emil": "[sms, phone]",
    }
    hours = ", ".join(f'"{hour:02d}:00"' for hour in range(24))
    return "\n".join(
        (
            "people:",
            *(f"  {name}: {{zone: Europe/Berlin, contacts: {given}}}" for name, given in contacts.items()),
            "teams:",
            "  shop: {members: [ana, ben, cleo, dora, emil], services: [payment, checkout, search], escalation: shop}",
            "  rest: {members: [dora, emil], escalation: rest}",
            "schedules:",
            "  first:",
            "    zone: Europe/Berlin",
            f"    layers: [{{name: hours, people: [ana, ben, cleo], starts_on: 2026-10-20, every: 1d, at: [{hours}]}}]",
            "  second:",
            "    zone: America/New_York",
            f"    layers: [{{name: hours, people: [dora, emil], starts_on: 2026-10-20, every: 1d, at: [{hours}]}}]",
            "escalations:",
            "  shop:",
            "    levels:",
            "      - {wake: [schedule: first], wait: 60s, repeats: 1}",
            "      - {wake: [schedule: second], wait: 60s}",
            "      - {wake: [team: shop], wait: 120s, at_once: 1}",
            "    rounds: 2",
            "    ack_expires: 150s",
            "  rest:",
            "    levels:",
            "      - {wake: [team: rest], wait: 90s, in_turn: true}",
            "catch_all: rest",
            "",
        )
    )
