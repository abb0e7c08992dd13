"""iCalendar files (RFC 5545) written out as spans: holidays, absences, quiet hours.

Each event is read with its time zone, and repeated as its rules say, on the clock of that zone, within a horizon. An event
that is marked as free time (TRANSP:TRANSPARENT) or cancelled counts as none, except that calendars of holidays mark whole
days as free: those count.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rruleset, rrulestr
from icalendar import Calendar as ICalendar

from midwatch.model.people import Calendar, Span
from midwatch.shell.files.yaml_lines import Problem

MAX_BYTES: Final = 5_000_000
MAX_SPANS: Final = 5000
_FREQUENT: Final = ("SECONDLY", "MINUTELY", "HOURLY")


def read_calendar(
    path: Path, name: str, zone: str, horizon: tuple[datetime, datetime]
) -> tuple[Calendar, list[Problem]]:
    """The file's events within ``horizon`` (UTC). ``zone`` is whose days those are that have no zone. Never raises."""
    empty = Calendar(name)
    try:
        if path.stat().st_size > MAX_BYTES:
            return empty, [_problem(path, f"is larger than {MAX_BYTES} bytes", "cut off its past")]
        calendar = ICalendar.from_ical(path.read_bytes())
    except OSError as error:
        return empty, [_problem(path, f"cannot be read: {error.strerror}", "does it exist, may this user read it?")]
    except (ValueError, IndexError, KeyError, TypeError) as error:
        return empty, [_problem(path, f"is no iCalendar file: {error}", "export it again as .ics")]
    problems, spans, endless = [], [], False
    moved = _moved(calendar)
    for event in calendar.walk("VEVENT"):
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        try:
            found = list(_spans(event, ZoneInfo(zone), horizon, moved))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            title = str(event.get("SUMMARY", "an event"))[:60]
            problems.append(_problem(path, f"{title!r} cannot be read: {error}", "correct it, or take it out"))
            continue
        endless |= "RRULE" in event
        spans += found
    if len(spans) > MAX_SPANS:
        problems.append(_problem(path, f"holds more than {MAX_SPANS} entries in three years", "merge or drop some"))
    spans = sorted(spans[:MAX_SPANS], key=lambda span: (span.start_at, span.end_at))
    return Calendar(name, tuple(spans), horizon[1].timestamp() if endless else 0.0), problems


def _problem(path: Path, message: str, hint: str) -> Problem:
    return Problem(str(path), 0, "", message, hint, "calendar")


def _moved(calendar: Any) -> set[tuple[str, datetime]]:
    """Occurrences that stand as events of their own: (UID, when the rule would have had them)."""
    found = set()
    for event in calendar.walk("VEVENT"):
        if "RECURRENCE-ID" in event:
            found.add((str(event.get("UID", "")), _wall(event.decoded("RECURRENCE-ID"), UTC).astimezone(UTC)))
    return found


def _spans(
    event: Any, zone: ZoneInfo, horizon: tuple[datetime, datetime], moved: set[tuple[str, datetime]]
) -> Iterator[Span]:
    start = event.decoded("DTSTART")
    whole_days = not isinstance(start, datetime)
    if not whole_days and str(event.get("TRANSP", "")).upper() == "TRANSPARENT":
        return
    begins = _wall(start, zone)
    length = _length(event, start)
    summary, ident = str(event.get("SUMMARY", ""))[:200], str(event.get("UID", ""))
    for wall in _occurrences(event, begins, zone, horizon, length):
        ends = wall + length  # on the wall: a whole day is a day, however many hours it has
        if (ident, wall.astimezone(UTC)) in moved and "RECURRENCE-ID" not in event:
            continue
        since, until = wall.timestamp(), ends.timestamp()
        if not whole_days:
            until = since + length.total_seconds()
        if until > since and since < horizon[1].timestamp() and until > horizon[0].timestamp():
            yield Span(since, until, summary)


def _wall(value: date | datetime, zone: Any) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=zone)
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)


def _length(event: Any, start: date | datetime) -> timedelta:
    if "DTEND" in event:
        end = event.decoded("DTEND")
        if isinstance(end, datetime) != isinstance(start, datetime):
            raise ValueError("it begins on a day and ends at a time, or the other way round")
        if isinstance(end, datetime) and isinstance(start, datetime):
            same = (end.tzinfo is None) == (start.tzinfo is None)
            return end.astimezone(UTC) - start.astimezone(UTC) if same and end.tzinfo else _naive(end) - _naive(start)
        return end - start  # type: ignore[no-any-return]
    if "DURATION" in event:
        return event.decoded("DURATION")  # type: ignore[no-any-return]
    return timedelta() if isinstance(start, datetime) else timedelta(days=1)


def _naive(value: datetime) -> datetime:
    return value.replace(tzinfo=None)


def _occurrences(
    event: Any, begins: datetime, zone: ZoneInfo, horizon: tuple[datetime, datetime], length: timedelta
) -> Iterator[datetime]:
    """The first one and its repetitions, as times on the wall of the event's zone. Rules run on naive local times, so that
    nine o'clock stays nine o'clock over a change of the clocks."""
    if "RRULE" not in event and "RDATE" not in event:
        yield begins
        return
    local, rules = begins.replace(tzinfo=None), rruleset()
    rules.rdate(local)
    for rule in _many(event.get("RRULE")):
        if str(rule.get("FREQ", [""])[0]).upper() in _FREQUENT:
            raise ValueError("it repeats more often than daily")
        if int(rule.get("INTERVAL", [1])[0]) < 1:
            raise ValueError("it repeats without ever moving on")
        rules.rrule(rrulestr(_rule_text(rule, begins), dtstart=local))
    for extra in _dates(event, "RDATE", begins):
        rules.rdate(extra)
    for gone in _dates(event, "EXDATE", begins):
        rules.exdate(gone)
    margin = length + timedelta(days=2)
    since, until = (moment.astimezone(begins.tzinfo).replace(tzinfo=None) for moment in horizon)
    for wall in rules.xafter(since - margin, count=MAX_SPANS, inc=True):
        if wall > until:
            return
        yield wall.replace(tzinfo=begins.tzinfo)


def _rule_text(rule: Any, begins: datetime) -> str:
    """The rule with its UNTIL on the same local clock, without a zone, as the rest."""
    parts = dict(rule)
    until = parts.pop("UNTIL", None)
    text = ";".join(part for part in rule.to_ical().decode().split(";") if not part.upper().startswith("UNTIL="))
    if until is None:
        return text
    last = until[0] if isinstance(until, list) else until
    if isinstance(last, datetime):
        last = last.astimezone(begins.tzinfo).replace(tzinfo=None) if last.tzinfo else last
    else:
        last = datetime(last.year, last.month, last.day, 23, 59, 59)
    return f"{text};UNTIL={last:%Y%m%dT%H%M%S}"


def _dates(event: Any, name: str, begins: datetime) -> Iterator[datetime]:
    for one in _many(event.get(name)):
        for part in one.dts:
            value = part.dt[0] if isinstance(part.dt, tuple) else part.dt
            at = _wall(value, begins.tzinfo)
            yield at.astimezone(begins.tzinfo).replace(tzinfo=None)


def _many(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
