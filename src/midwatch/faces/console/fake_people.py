"""The people of the made-up watch: two schedules, a swap that is asked for, a gap, and a past that was not quite fair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from midwatch.faces.console.fake_story import fake_policy
from midwatch.model import events as e
from midwatch.model.people import (
    Calendar,
    Contact,
    EscalationPolicy,
    Layer,
    Level,
    Override,
    People,
    Person,
    Rotation,
    Schedule,
    Span,
    Swap,
    Target,
    Team,
    Window,
)

if TYPE_CHECKING:
    from midwatch.faces.console.fakes import FakeWatch

DAY = 86400.0


def fake_people(now: float) -> People:
    monday = (datetime.fromtimestamp(now, UTC) - timedelta(days=datetime.fromtimestamp(now, UTC).weekday() + 35)).date()
    ends = (datetime.fromtimestamp(now, UTC) + timedelta(days=20)).date().isoformat()
    named = (
        ("ana", "Ana Álvarez"),
        ("ben", "Ben Okoro"),
        ("cleo", "Cleo Nakamura"),
        ("dora", "Dora Lindqvist-Hernández"),
    )
    people = tuple(
        Person(ident, name, "Europe/Berlin", (Contact("phone", f"env:{ident.upper()}_PHONE"), Contact("chat")), "trip")
        if ident == "cleo"
        else Person(ident, name, "Europe/Berlin", (Contact("phone", f"env:{ident.upper()}_PHONE"), Contact("chat")))
        for ident, name in named
    )
    office = tuple(Window(day * 1440 + 540, day * 1440 + 1020) for day in range(5))
    return People(
        people=people,
        teams=(
            Team("shop", ("ana", "ben", "cleo"), ("service:payment", "service:checkout"), "shop"),
            Team("night", ("dora",), (), "shop"),
        ),
        schedules=(
            Schedule(
                "shop",
                "Europe/Berlin",
                (Layer("week", Rotation(("ana", "ben", "cleo"), monday.isoformat()), ends_on=ends),),
            ),
            Schedule(
                "second",
                "Europe/Berlin",
                (
                    Layer("office hours", Rotation(("dora", "ana"), monday.isoformat(), 1), office),
                    Layer("nights", Rotation(("ben", "dora"), monday.isoformat(), 7, (1020,)), (), "as_usual", ""),
                ),
            ),
        ),
        escalations=(
            EscalationPolicy("shop", (Level((Target("schedule", "shop"),)), Level((Target("schedule", "second"),)))),
        ),
        calendars=(Calendar("trip", (Span(now + 3 * DAY, now + 4 * DAY, "Lisbon"),)),),
        catch_all="shop",
    )


def tell_people(watch: FakeWatch) -> None:
    """Shifts of the last weeks, pages by night, a stand-in and an open swap."""
    now = watch.now
    watch.say(now - 29 * DAY, e.PolicyLoaded(replace(fake_policy(watch.mode), people=fake_people(now)), ("people/",)))
    watch.say(
        now - 28 * DAY, e.OnCallChanged("shop", "ana", "", "week"), e.OnCallChanged("second", "dora", "", "nights")
    )
    for week, (person, was) in enumerate((("ben", "ana"), ("cleo", "ben"), ("ana", "cleo")), start=1):
        at = now - (28 - 7 * week) * DAY
        for number in range(2 + 3 * (person == "cleo")):
            order = e.PageOrdered(f"P-{week}-{number}", f"INC-{week}", f"k{week}{number}", "phone", "", "", 2, number)
            watch.say(at - (3 - number % 3) * DAY, replace(order, person=was, run=1))
        watch.say(at, e.OnCallChanged("shop", person, was, "week"))
    stand_in = Override("second", "cleo", now + 2 * DAY, now + 3 * DAY, "", "dora", "dentist", "OVR-1")
    swap = Swap("SWP-1", "shop", "ben", now + 8 * DAY, now + 9 * DAY, "cleo", now + 15 * DAY, now + 16 * DAY)
    watch.say(now - DAY, e.OverrideSet(stand_in), e.SwapAsked(swap))
