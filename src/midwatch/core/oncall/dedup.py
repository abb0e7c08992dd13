"""Which of what came in says something new. Pure over what is known already; order within the batch counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from midwatch.model import alert_steps
from midwatch.model.alerts import Alert, AlertRecord

STALE_SECONDS: Final = 1.0


class Sorted(NamedTuple):
    """``new`` are to be told whole, ``again`` counts known ones by key, ``dropped`` counts by (source, reason)."""

    new: tuple[Alert, ...]
    again: dict[str, int]
    dropped: dict[tuple[str, str], int]


def sort_out(known: Mapping[str, AlertRecord], batch: Iterable[Alert], now: float) -> Sorted:
    new: list[Alert] = []
    again: dict[str, int] = {}
    dropped: dict[tuple[str, str], int] = {}
    told: dict[str, AlertRecord] = {}
    for alert in batch:
        old = told.get(alert.key) or known.get(alert.key)
        word = said(old, alert)
        if word == "new":
            new.append(alert)
            told[alert.key] = alert_steps.after(old, alert, now)
        elif word == "again":
            again[alert.key] = again.get(alert.key, 0) + 1
        else:
            dropped[alert.source, word] = dropped.get((alert.source, word), 0) + 1
    return Sorted(tuple(new), again, dropped)


def said(old: AlertRecord | None, alert: Alert) -> str:
    """``new``, ``again``, or why it means nothing."""
    if old is None or not old.firing:
        return "new" if alert.state == "firing" else "nothing of that key is open"
    if alert.state == "resolved":
        older = alert.since_at < old.alert.since_at - STALE_SECONDS and alert.at <= old.alert.since_at
        return "it ended before it began again" if older else "new"
    if alert.state == "acknowledged":
        return "again" if old.alert.state == "acknowledged" and old.alert.by == alert.by else "new"
    return "again" if _same(old.alert, alert) else "new"


def _same(old: Alert, alert: Alert) -> bool:
    return (old.severity, old.name, old.summary, old.entity, old.group, old.labels, old.links) == (
        alert.severity,
        alert.name,
        alert.summary,
        alert.entity,
        alert.group,
        alert.labels,
        alert.links,
    )
