"""Alerts and silences as the console, the API and the command line show them: which, in what order, how many of each."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from midwatch.core.oncall.page import wakes_nobody
from midwatch.core.oncall.silences import under
from midwatch.model.alerts import AlertRecord, fits, parse_matchers, words_of
from midwatch.model.errors import NotFound, UsageError
from midwatch.model.state import State

PLACES: Final = ("grouped", "silenced", "maintenance", "inhibited", "informs", "flapping", "over")
"""Where an alert may have been put; "" is not yet looked at."""
MAX_LIMIT: Final = 500
MAX_OFFSET: Final = 100_000


class Asked(Struct, frozen=True):
    """``q``: words that must all be found, or matchers in braces; ``place`` "" is every one but over; "all" is every one."""

    q: str = ""
    place: str = ""
    source: str = ""
    incident: str = ""
    limit: int = 50
    offset: int = 0


class Found(Struct, frozen=True):
    """``records`` are those asked for; ``total`` matched in all; ``counts`` by place, of all that there are."""

    records: tuple[AlertRecord, ...]
    total: int
    counts: Mapping[str, int]


def find(state: State, asked: Asked) -> Found:
    """Those that fire first, what changed last before the rest. Raises UsageError for matchers that cannot be read."""
    counts: dict[str, int] = {}
    for record in state.alerts.values():
        counts[record.place] = counts.get(record.place, 0) + 1
    holds = _wanted(asked)
    matching = [record for record in state.alerts.values() if holds(record)]
    wanted = min(MAX_LIMIT, asked.limit) + min(MAX_OFFSET, asked.offset)
    top = heapq.nlargest(wanted, matching, key=lambda r: (r.firing, r.changed_at[-1] if r.changed_at else r.first_at))
    return Found(tuple(top[asked.offset :]), len(matching), counts)


def _wanted(asked: Asked) -> Callable[[AlertRecord], bool]:
    text = asked.q.strip()
    matchers = None
    if text.startswith("{"):  # matchers
        try:
            matchers = parse_matchers(text)
        except ValueError as error:
            raise UsageError(str(error)) from error
    words = () if matchers is not None else tuple(text.lower().split()[:8])

    def holds(record: AlertRecord) -> bool:
        alert = record.alert
        if asked.place != "all" and (record.place != asked.place if asked.place else record.place == "over"):
            return False
        if (asked.source and alert.source != asked.source) or (asked.incident and record.incident != asked.incident):
            return False
        if matchers is not None:
            return fits(matchers, words_of(alert))
        if not words:
            return True
        said = f"{alert.name} {alert.entity} {alert.summary} {alert.key} {record.incident}".lower()
        return all(word in said for word in words)

    return holds


def wakes(state: State, record: AlertRecord, now: float) -> str:
    """That the incident of an alert that fires wakes nobody, in words; "" when it pages, or the alert's place says it."""
    incident = state.incidents.get(record.incident)
    return wakes_nobody(state, incident, now) if record.place == "grouped" and incident is not None else ""


def row(state: State, record: AlertRecord, now: float) -> dict[str, Any]:
    """One alert in a list."""
    alert = record.alert
    return {
        "key": alert.key,
        "source": alert.source,
        "state": alert.state,
        "severity": alert.severity,
        "name": alert.name,
        "summary": alert.summary,
        "entity": alert.entity,
        "since_at": alert.since_at,
        "first_at": record.first_at,
        "seen_at": record.seen_at,
        "count": record.count,
        "changes": len(record.changed_at),
        "place": record.place,
        "why": record.why,
        "wakes_nobody": wakes(state, record, now),
        "incident": record.incident,
        "by": alert.by,
    }


def whole(state: State, key: str, now: float) -> dict[str, Any]:
    """One alert with all that is known of it. Raises NotFound."""
    record = find_alert(state, key)
    alert = record.alert
    more = {"labels": dict(alert.labels), "links": list(alert.links), "group": alert.group, "finding": record.finding}
    notes = [{"at": note.at, "by": note.by, "text": note.text} for note in record.notes]
    return {**row(state, record, now), **more, "changed_at": list(record.changed_at), "notes": notes}


def find_alert(state: State, key: str) -> AlertRecord:
    """By its key, or by the end of it where only one alert has that. Raises NotFound."""
    if (record := state.alerts.get(key)) is not None:
        return record
    ending = [r for k, r in state.alerts.items() if k.endswith(key)] if len(key) >= 4 else []
    if len(ending) == 1:
        return ending[0]
    several = f", {len(ending)} end so" if ending else ""
    raise NotFound(f"no alert is called {key!r}{several}", hint="midwatch alerts --json shows their keys")


def silences(state: State, now: float) -> list[dict[str, Any]]:
    """Those that are not over, what ends first first."""
    return [
        {
            "id": one.id,
            "kind": one.kind,
            "matchers": ", ".join(map(str, one.matchers)),
            "start_at": one.start_at,
            "end_at": one.end_at,
            "active": one.active(now),
            "by": one.by,
            "reason": one.reason,
            "holds_back": under(state.alerts, one),
        }
        for one in sorted(state.silences.values(), key=lambda s: s.end_at)
    ]


def senders(accepted: Mapping[str, int], dropped: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """What came from whom since the start, and what was not taken and why; "" is a sender without a known key."""
    names = sorted({*accepted, *(source for source, _ in dropped)})
    return [
        {
            "source": name,
            "accepted": accepted.get(name, 0),
            "dropped": {why: count for (source, why), count in sorted(dropped.items()) if source == name},
        }
        for name in names
    ]
