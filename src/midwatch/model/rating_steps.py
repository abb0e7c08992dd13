"""How an incident's rating changes: that part of the fold. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from midwatch.model.events import IncidentRated
from midwatch.model.findings import Impact, Incident


def rated(old: Incident, event: IncidentRated, at: float) -> Incident:
    """As bad as it was before it got milder is kept, and how often it got worse again."""
    changes: dict[str, Any] = {
        "severity": event.severity,
        "severity_reason": event.reason,
        "impact": event.impact or old.impact,
        "title": event.title or old.title,
    }
    if event.severity > old.severity and old.severity < (old.worst_severity or 9):
        changes |= {"worst_severity": old.severity, "worst_reason": old.severity_reason, "worst_impact": old.impact}
    if event.severity > old.severity and not event.by:
        changes["eased_at"] = at
    if event.severity < old.severity:
        changes |= {"eased_at": None, "rises": old.rises + (1 if old.worst_severity else 0)}
    if not event.by and event.severity < old.said_severity:  # worse than was foreseen: that word is over
        changes |= {"said_severity": 0, "said_facts": 0, "said_by": ""}
    if event.by:
        said = event.severity if event.facts else 0
        changes |= {
            "said_severity": said,
            "said_facts": event.facts,
            "said_by": event.by if said else "",
            "told_severity": said,
        }
    return replace(old, **changes)


def merged(kept: Incident, absorbed: Incident, severity: int) -> dict[str, Any]:
    """What ``kept`` remembers of ratings once ``absorbed`` is part of it, and it is rated ``severity``. How often one got
    worse again that was never as bad as that is no news of this severity, and pages nobody anew."""
    changes: dict[str, Any] = {"rises": max(one.rises for one in (kept, absorbed) if one.worst <= severity)}
    worse = min((kept, absorbed), key=lambda one: one.worst)
    if worse.worst < severity:
        changes |= {
            "worst_severity": worse.worst,
            "worst_reason": worse.worst_reason or worse.severity_reason,
            "worst_impact": worse.worst_impact or worse.impact,
        }
    if absorbed.said_severity and not kept.said_severity:
        changes |= {name: getattr(absorbed, name) for name in ("said_severity", "said_facts", "said_by")}
    if absorbed.told_severity and not kept.told_severity:
        changes["told_severity"] = absorbed.told_severity
    return changes


def widest(incident: Incident) -> Impact | None:
    """What users felt when it was worst."""
    found = [one for one in (incident.impact, incident.worst_impact) if one is not None]
    return max(
        found, key=lambda one: one.affected_ratio if one.affected_ratio == one.affected_ratio else -1.0, default=None
    )
