"""How events change what is known of alerts: the part of the fold that is about ``State.alerts``. Pure; each gives a new
mapping back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from midwatch.model.alerts import Alert, AlertNote, AlertRecord, Judged

MAX_ALERTS: Final = 100_000
"""Alerts that state remembers. The oldest that are over make room; one that fires never does (the inbox takes no new one
then)."""
MAX_CHANGES: Final = 12
MAX_NOTES: Final = 20
_SLACK: Final = 0.05  # make room for many at once: looking for the oldest costs


def received(
    known: Mapping[str, AlertRecord], alerts: Iterable[Alert], again: Mapping[str, int], at: float
) -> dict[str, AlertRecord]:
    told = dict(known)
    for alert in alerts:
        told[alert.key] = after(told.get(alert.key), alert, at)
    for key, times in again.items():
        if (old := told.get(key)) is not None:
            told[key] = replace(old, seen_at=at, count=old.count + times)
    return told if len(told) <= MAX_ALERTS else _with_room(told)


def after(old: AlertRecord | None, alert: Alert, at: float) -> AlertRecord:
    """The record once ``alert`` was heard at ``at``."""
    if old is None:
        return AlertRecord(alert, at, at, changed_at=(at,))
    fires = alert.state != "resolved"
    if alert.state != "firing":  # such a message often says little but the key
        alert = replace(old.alert, state=alert.state, at=alert.at, by=alert.by)
    elif old.firing:  # new words about the same trouble
        since = min(alert.since_at, old.alert.since_at)
        alert = replace(alert, state=old.alert.state, by=old.alert.by, since_at=since)
    if old.firing == fires:
        return replace(old, alert=alert, seen_at=at, count=old.count + 1)
    changed = (*old.changed_at, at)[-MAX_CHANGES:]
    record = replace(old, alert=alert, seen_at=at, count=old.count + 1, changed_at=changed)
    return replace(record, place="", why="") if fires else record


def _with_room(alerts: dict[str, AlertRecord]) -> dict[str, AlertRecord]:
    over = sorted((k for k, r in alerts.items() if not r.firing), key=lambda k: alerts[k].seen_at)
    for key in over[: len(alerts) - int(MAX_ALERTS * (1 - _SLACK))]:
        del alerts[key]
    return alerts


def judged(known: Mapping[str, AlertRecord], judgements: Iterable[Judged]) -> dict[str, AlertRecord]:
    told = dict(known)
    for one in judgements:
        if (old := told.get(one.key)) is not None:
            told[one.key] = replace(old, place=one.place, why=one.why, finding=one.finding, incident=one.incident)
    return told


def noted(known: Mapping[str, AlertRecord], key: str, note: AlertNote) -> dict[str, AlertRecord]:
    if (old := known.get(key)) is None:
        return dict(known)
    return {**known, key: replace(old, notes=(*old.notes, note)[-MAX_NOTES:])}


def closed_with(known: Mapping[str, AlertRecord], incident: str, at: float) -> Mapping[str, AlertRecord]:
    """What still fires when its incident is over is closed with it; a sender that says it again opens it again."""
    mine = [key for key, record in known.items() if record.incident == incident and record.place != "over"]
    if not mine:
        return known
    told = dict(known)
    for key in mine:
        old = told[key]
        changed = (*old.changed_at, at)[-MAX_CHANGES:] if old.firing else old.changed_at
        alert = replace(old.alert, state="resolved")
        told[key] = replace(old, alert=alert, changed_at=changed, place="over", why=f"closed with {incident}")
    return told


def moved(
    known: Mapping[str, AlertRecord], source: str, into: str, findings: frozenset[str]
) -> Mapping[str, AlertRecord]:
    """Alerts that count for one of ``findings`` in the incident ``source`` count in ``into`` from now on."""
    mine = {k: replace(r, incident=into) for k, r in known.items() if r.incident == source and r.finding in findings}
    return {**known, **mine} if mine else known
