"""Who is on call in a simulated incident: two schedules, three levels, and a hand-off while it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from midwatch.gym.simulator.scenario import Scenario
from midwatch.model.people import (
    Contact,
    EscalationPolicy,
    Layer,
    Level,
    Override,
    People,
    Person,
    Rotation,
    Schedule,
    Target,
    Team,
)

HANDED_OVER_AFTER_SECONDS: Final = 170.0
NAMES: Final = ("ann", "bob", "cyn", "dan")


def has_people(scenario: Scenario) -> bool:
    """Every third seed; the others page channels."""
    return scenario.seed % 3 == 1


def people_of(scenario: Scenario) -> People:
    """``ann`` and ``bob`` take days in turn, ``cyn`` is second, ``dan`` stands in from the middle of the run on. Some seeds
    have nobody on the first level, some nobody at all."""
    started = datetime.fromtimestamp(scenario.started_at, UTC)
    monday = (started - timedelta(days=started.weekday() + 14)).date().isoformat()
    days = Layer("days", Rotation(("ann", "bob"), monday, every_days=1, at=(0, 720)))
    second = Layer("second", Rotation(("cyn",), monday))
    over = scenario.started_at + HANDED_OVER_AFTER_SECONDS
    stand_in = "" if scenario.seed % 8 == 4 else "dan"
    return People(
        people=tuple(Person(name, contacts=(Contact("pager"), Contact("chat"))) for name in NAMES),
        teams=(
            Team("shop", NAMES, scenario.fleet.keys[: scenario.fleet.size // 2], "shop"),
            Team("rest", NAMES, (), "rest"),
        ),
        schedules=(
            Schedule("first", "Europe/Berlin", (days,), (Override("first", stand_in, over, over + 3600),)),
            Schedule("second", "UTC", (second,)),
        ),
        escalations=(
            EscalationPolicy(
                "shop",
                (
                    Level((Target("schedule", "first"),), wait_seconds=50.0, repeats=1),
                    Level((Target("schedule", "second"),), wait_seconds=50.0),
                    Level((Target("team", "shop"),), wait_seconds=60.0, at_once=1),
                ),
                rounds=2,
                ack_seconds=90.0,
            ),
            EscalationPolicy("rest", (Level((Target("team", "rest"),), wait_seconds=40.0, in_turn=True),), rounds=20),
        ),
        catch_all="rest",
    )
