"""What the importers share: names that fit our files, turns and hours of the week, and what could not be kept.

An importer never guesses in silence: what our files cannot say is left out, or said as near as it can be, and stands in
``lost`` either way, with what to do about it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from midwatch.model.people import DAY_MINUTES, WEEK_MINUTES, Layer, People, Rotation, Schedule, Window

DAY_SECONDS: Final = 86400
MAX_WAIT_SECONDS: Final = 86400.0
MIN_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Lost:
    """What is not in the file as it was there: ``what`` names it, ``why`` says so, ``hint`` what to do."""

    what: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Imported:
    people: People
    lost: tuple[Lost, ...] = ()


def with_members(people: People, lost: list[Lost]) -> People:
    """A team of which the export names nobody has those as members whom its escalation wakes; what was done is ``lost``."""
    teams = []
    for team in people.teams:
        if not team.members:
            woken = _woken(people, team.escalation)
            hint = "those whom its escalation wakes were taken" if woken else "add its members:"
            lost.append(Lost(f"team {team.name!r}", "has no members in this export", hint))
            team = replace(team, members=woken)
        teams.append(team)
    return replace(people, teams=tuple(teams))


def _woken(people: People, escalation: str) -> tuple[str, ...]:
    """Everybody whom the escalation names, or who is in one of its schedules."""
    policy, found = people.escalation(escalation), dict[str, None]()
    for target in (target for level in policy.levels for target in level.targets) if policy else ():
        schedule = people.schedule(target.name) if target.kind == "schedule" else None
        layers = schedule.layers if schedule else ()
        named = [target.name] if target.kind == "person" else [p for layer in layers for p in layer.rotation.people]
        found |= dict.fromkeys(filter(None, named))
    return tuple(found)


class Unread(ValueError):
    """An entry that is not what its API documents."""


@dataclass
class Names:
    """One name of ours for each thing of theirs: letters, digits, ``._-``, at most 60, each once."""

    taken: set[str] = field(default_factory=set)

    def of(self, text: str, otherwise: str = "unnamed") -> str:
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-").lower()[:50].strip("._-") or otherwise
        free, number = name, 2
        while free in self.taken:
            free, number = f"{name}-{number}", number + 1
        self.taken.add(free)
        return free


def entries(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list, whatever else is in it."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(read: Mapping[str, Any], key: str) -> str:
    value = read.get(key)
    return value.strip() if isinstance(value, str) else ""


def whole(read: Mapping[str, Any], key: str, default: int = 0) -> int:
    """A whole number of reasonable size; what is none is ``default``."""
    value = read.get(key)
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return int(value) if number and value is not None else default


def within(read: Mapping[str, Any], *keys: str) -> Any:
    """``read[a][b]``, None where something is missing on the way."""
    value: Any = read
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def moment(value: Any, zone: str = "UTC") -> datetime:
    """An ISO 8601 time, in ``zone``; one without an offset is meant there. Raises Unread."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise Unread(f"{value!r} is no time") from None
    return found.astimezone(ZoneInfo(zone)) if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))


def known_zone(name: str) -> str:
    """Raises Unread for a zone that this system does not have."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise Unread(f"{name!r} is no time zone") from None
    return name


def rotation(people: Sequence[str], starts: datetime, length_seconds: int) -> Rotation:
    """Turns of ``length_seconds`` from the local time ``starts`` on. Raises Unread where they are neither whole days nor
    parts of one."""
    minute = starts.hour * 60 + starts.minute
    if length_seconds >= DAY_SECONDS and length_seconds % DAY_SECONDS == 0:
        return Rotation(tuple(people), starts.date().isoformat(), length_seconds // DAY_SECONDS, (minute,))
    if length_seconds >= 3600 and DAY_SECONDS % length_seconds == 0:
        marks = [(minute + n * length_seconds // 60) % DAY_MINUTES for n in range(DAY_SECONDS // length_seconds)]
        before = sum(mark < minute for mark in marks)  # turns of that day that were over before the first one
        turned = tuple(people[(n - before) % len(people)] for n in range(len(people)))
        return Rotation(turned, starts.date().isoformat(), 1, tuple(sorted(marks)))
    raise Unread(f"turns of {length_seconds / 3600:g} h, which are neither whole days nor parts of one")


def late(people: Sequence[str], virtual: datetime, begins: datetime, length_seconds: int) -> tuple[list[str], datetime]:
    """People and first hand-off of a rotation that was set up at ``virtual`` and counts from ``begins``: the hand-off at or
    before that."""
    if begins <= virtual or length_seconds <= 0:
        return list(people), virtual
    wall, first = begins.replace(tzinfo=None), virtual.replace(tzinfo=None)
    turns = int((wall - first).total_seconds()) // length_seconds
    starts = (first + timedelta(seconds=turns * length_seconds)).replace(tzinfo=virtual.tzinfo)
    shift = turns % len(people)
    return [*people[shift:], *people[:shift]], starts


def daily(start_minute: int, length_minutes: int) -> tuple[Window, ...]:
    """The same hours on each day of the week; none stands for always."""
    return weekly([day * DAY_MINUTES + start_minute for day in range(7)], length_minutes)


def weekly(starts: Iterable[int], length_minutes: int) -> tuple[Window, ...]:
    """``length_minutes`` from each of ``starts`` (minutes of the week), put together where they touch; none for always."""
    if length_minutes >= WEEK_MINUTES:
        return ()
    covered = bytearray(WEEK_MINUTES)
    for start in starts:
        for minute in range(start, start + length_minutes):
            covered[minute % WEEK_MINUTES] = 1
    return from_minutes(covered)


def from_minutes(covered: bytearray) -> tuple[Window, ...]:
    """The windows that cover exactly the minutes of the week that are set; none for all of them."""
    if all(covered):
        return ()
    edges = [m for m in range(WEEK_MINUTES) if covered[m] and not covered[m - 1]]
    found = []
    for start in edges:
        end = start
        while covered[end % WEEK_MINUTES]:
            end += 1
        found.append(Window(start, end % WEEK_MINUTES))
    return tuple(found)


def minutes_of(windows: Sequence[Window]) -> set[int]:
    """The minutes of the week that the windows cover; all of them without any."""
    if not windows:
        return set(range(WEEK_MINUTES))
    found: set[int] = set()
    for window in windows:
        length = (window.end - window.start) % WEEK_MINUTES or WEEK_MINUTES
        found |= {minute % WEEK_MINUTES for minute in range(window.start, window.start + length)}
    return found


def lanes(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Layers that count at the same time as others, told apart: in each list no two do. Ours asks one layer after the other;
    where all are on call at once, each needs a schedule of its own."""
    found: list[tuple[set[int], list[Layer]]] = []
    for layer in layers:
        minutes = minutes_of(layer.windows)
        for taken, lane in found:
            if not taken & minutes:
                taken |= minutes
                lane.append(layer)
                break
        else:
            found.append((minutes, [layer]))
    return [lane for _, lane in found]


def schedules_of(name: str, zone: str, made: Sequence[Sequence[Layer]], names: Names) -> list[Schedule]:
    """One schedule for each lane."""
    many = len(made) > 1
    return [
        Schedule(names.of(f"{name}-{number}" if many else name), zone, tuple(lane))
        for number, lane in enumerate(made, 1)
        if lane
    ]


def wait_of(seconds: float, what: str, lost: list[Lost]) -> float:
    kept = min(max(seconds, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
    if kept != seconds:
        lost.append(Lost(what, f"waits {seconds:g} s there and {kept:g} s here", "between 30 s and a day is possible"))
    return kept


def utc(at: datetime) -> float:
    return at.astimezone(UTC).timestamp()
