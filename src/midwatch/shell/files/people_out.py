"""``model/people.py`` -> a people file. Calendars stand in files of their own, and are not written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import yaml

from midwatch.model.people import DAY_MINUTES, WEEK_MINUTES, Layer, Level, Override, People, Schedule, Window

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def people_text(people: People) -> str:
    """YAML that reads back as ``people``, apart from calendars."""
    made: dict[str, Any] = {
        "people": {
            p.ident: _without_empty(
                name=p.name,
                zone=p.zone if p.zone != "UTC" else "",
                contacts=[{"channel": c.channel, "to": c.to} if c.to else c.channel for c in p.contacts],
                known_as=list(p.known_as),
            )
            for p in people.people
        },
        "teams": {
            t.name: _without_empty(members=list(t.members), services=list(t.services), escalation=t.escalation)
            for t in people.teams
        },
        "schedules": {s.name: _schedule(s) for s in people.schedules},
        "escalations": {
            e.name: {"rounds": e.rounds, "levels": [_level(one) for one in e.levels]} for e in people.escalations
        },
        "catch_all": people.catch_all,
    }
    return str(yaml.safe_dump(_without_empty(**made), sort_keys=False, allow_unicode=True, width=110))


def _without_empty(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", [], {}, ())}


def _schedule(one: Schedule) -> dict[str, Any]:
    return _without_empty(
        zone=one.zone, layers=[_layer(layer) for layer in one.layers], overrides=[_override(o) for o in one.overrides]
    )


def _layer(one: Layer) -> dict[str, Any]:
    return _without_empty(
        name=one.name,
        people=list(one.rotation.people),
        starts_on=one.rotation.starts_on,
        every=f"{one.rotation.every_days}d",
        at=[_clock(minute) for minute in one.rotation.at],
        windows=windows_text(one.windows),
        holidays=one.holidays if one.holidays != "as_usual" else "",
        ends_on=one.ends_on,
    )


def _override(one: Override) -> dict[str, Any]:
    return {
        "person": one.person,
        "start": _moment(one.start_at),
        "end": _moment(one.end_at),
        **_without_empty(instead_of=one.instead_of, reason=one.reason),
    }


def _level(one: Level) -> dict[str, Any]:
    made: dict[str, Any] = {"wake": [f"{t.kind}:{t.name}" for t in one.targets], "wait": f"{one.wait_seconds:g}s"}
    if one.repeats:
        made["repeats"] = one.repeats
    if one.in_turn:
        made["in_turn"] = True
    if one.at_once:
        made["at_once"] = one.at_once
    return made


def windows_text(windows: tuple[Window, ...]) -> list[str]:
    """``mon-fri 09:00-17:00``: the same hours of days in a row as one; ``sat-sun``: whole days."""
    pieces: list[tuple[int, str]] = []
    found: list[str] = []
    for window in windows:
        length = (window.end - window.start) % WEEK_MINUTES or WEEK_MINUTES
        if window.start % DAY_MINUTES == length % DAY_MINUTES == 0:
            first = window.start // DAY_MINUTES
            found.append(_days(first, (first + length // DAY_MINUTES - 1) % 7))
            continue
        for start in range(window.start, window.start + length, DAY_MINUTES):
            end = min(start + DAY_MINUTES, window.start + length)
            hours = f"{_clock(start % DAY_MINUTES)}-{_clock(end % DAY_MINUTES)}"
            pieces.append((start // DAY_MINUTES % 7, hours))
    for hours in dict.fromkeys(hours for _, hours in pieces):
        days = sorted(day for day, same in pieces if same == hours)
        while days:
            run = [days.pop(0)]
            while days and days[0] == run[-1] + 1:
                run.append(days.pop(0))
            found.append(f"{_days(run[0], run[-1])} {hours}")
    return found


def _days(first: int, last: int) -> str:
    return _DAYS[first] if first == last else f"{_DAYS[first]}-{_DAYS[last]}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
