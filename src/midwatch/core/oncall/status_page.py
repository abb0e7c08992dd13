"""What customers are told: which components are well, how they were over the last days, and incidents in their words.

Made from the journal and the ledgers only. Nothing inside shows: no service, cause or action is named, only the components
that the settings name. Corrections count: what a person left out is left out here too. Times are unix seconds, days are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from midwatch.core.memory import Ledger
from midwatch.core.oncall.words import happens, harm, percent
from midwatch.core.slo import ledger as books
from midwatch.core.slo.corrected import corrected, touching
from midwatch.core.slo.report import concerns
from midwatch.model.entity import name_of
from midwatch.model.findings import Impact, Incident
from midwatch.model.rating_steps import widest
from midwatch.model.slo import Slo
from midwatch.model.state import State

DAYS: Final = 30  # as far as every ledger reaches
DAY_SECONDS: Final = 86_400.0
MAX_INCIDENTS: Final = 50
BLIND_SECONDS: Final = 600.0  # without counts for so long, nothing is known of now
OUTAGE_SEVERITY: Final = 1
KNOWN: Final = 0.5  # so probable a cause is known well enough to say so
BAD_DAY: Final = 10.0  # times the failures that the target allows
TITLES: Final = {
    "": "Possible problem of",
    "slow": "Slow responses of",
    "missing": "Missing requests of",
    "unkept": "Trouble of",
}

Standing = Literal["operational", "degraded", "outage", "no data"]
DayStanding = Literal["good", "fair", "bad", "no traffic", "no data"]
Phase = Literal["investigating", "identified", "monitoring", "resolved"]


@dataclass(frozen=True)
class Component:
    """A name for customers; ``slo`` gives its uptime, or "": it has none. ``services`` are those whose incidents concern
    it besides."""

    name: str
    slo: str = ""
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Day:
    """``uptime`` is the share of good events, None without any."""

    at: float
    standing: DayStanding
    uptime: float | None


@dataclass(frozen=True)
class ComponentState:
    """``days`` oldest first, none without a promise; ``uptime`` over all of them, None without events."""

    name: str
    standing: Standing
    days: tuple[Day, ...]
    uptime: float | None
    target: float | None


@dataclass(frozen=True)
class Told:
    """One thing that was said, and when."""

    at: float
    text: str


@dataclass(frozen=True)
class PublicIncident:
    """``phase`` in the words that status pages have; ``standing`` is what it makes of its components while it goes on;
    ``updates`` newest first."""

    id: str
    title: str
    components: tuple[str, ...]
    began_at: float
    ended_at: float | None
    updates: tuple[Told, ...]
    phase: Phase
    standing: Standing


@dataclass(frozen=True)
class StatusPage:
    """Everything that is shown, ``incidents`` newest first."""

    title: str
    made_at: float
    standing: Standing
    components: tuple[ComponentState, ...]
    incidents: tuple[PublicIncident, ...]


def status_page(
    state: State,
    ledgers: Mapping[str, Ledger],
    components: Sequence[Component],
    now: float,
    *,
    title: str = "Status",
    severity: int = 2,
) -> StatusPage:
    """The page at ``now``: incidents of ``severity`` or worse that concern a component, of the last ``DAYS`` days."""
    slos = {slo.name: slo for slo in state.slos}
    concerned = {
        incident.id: tuple(c.name for c in components if _concerns(incident, c, slos.get(c.slo)))
        for incident in state.incidents.values()
        if incident.outside <= severity and not incident.merged_into
    }
    shown = [
        incident
        for incident in state.incidents.values()
        if concerned.get(incident.id) and (incident.resolved_at or now) > now - DAYS * DAY_SECONDS
    ]
    shown.sort(key=lambda incident: (-incident.onset_at, incident.id))
    states = tuple(
        _component(
            state,
            ledgers.get(c.slo),
            c,
            slos.get(c.slo),
            [i for i in shown if c.name in concerned[i.id] and i.resolved_at is None],
            now,
        )
        for c in components
    )
    return StatusPage(
        title,
        now,
        _worst(states),
        states,
        tuple(_public(incident, concerned[incident.id]) for incident in shown[:MAX_INCIDENTS]),
    )


def _concerns(incident: Incident, component: Component, slo: Slo | None) -> bool:
    if slo is not None and concerns(incident, slo):
        return True
    entry = incident.impact.entry if incident.impact is not None else ""
    return any(name_of(entity) in component.services for entity in (entry, *incident.symptoms) if entity)


def _component(
    state: State, ledger: Ledger | None, component: Component, slo: Slo | None, open_now: Sequence[Incident], now: float
) -> ComponentState:
    standing: Standing = "operational"
    if open_now:
        standing = _standing(min(map(_severity, open_now)))
    elif component.slo and (ledger is None or now - ledger.seen_until > BLIND_SECONDS):
        standing = "no data"
    if not component.slo:
        return ComponentState(component.name, standing, (), None, None)
    first = (math.floor(now / DAY_SECONDS) - DAYS + 1) * DAY_SECONDS
    target = slo.target if slo is not None else None
    if ledger is not None:
        ledger = corrected(ledger, touching(state.adjustments, component.slo, first, now))
    days = tuple(_day(ledger, first + n * DAY_SECONDS, now, target) for n in range(DAYS))
    good, total = books.between(ledger, max(first, ledger.first_at), now) if ledger is not None else (0.0, 0.0)
    return ComponentState(component.name, standing, days, good / total if total > 0 else None, target)


def _severity(incident: Incident) -> int:
    """How bad it is now; where nothing was measured, by a person's word alone."""
    return incident.outside if incident.unmeasured else incident.severity


def _standing(severity: int) -> Standing:
    return "outage" if severity <= OUTAGE_SEVERITY else "degraded"


def _day(ledger: Ledger | None, at: float, now: float, target: float | None) -> Day:
    end = min(at + DAY_SECONDS, now)
    if ledger is None or end <= ledger.first_at or at >= ledger.seen_until:
        return Day(at, "no data", None)
    good, total = books.between(ledger, max(at, ledger.first_at), end)
    if total <= 0:
        return Day(at, "no traffic", None)
    uptime = max(0.0, min(1.0, good / total))
    allowed = 1.0 - (target if target is not None else 0.999)
    over = (1.0 - uptime) / max(allowed, 1e-9)
    return Day(at, "good" if over <= 1.0 else "fair" if over <= BAD_DAY else "bad", uptime)


def _worst(states: Sequence[ComponentState]) -> Standing:
    order: tuple[Standing, ...] = ("outage", "degraded", "no data", "operational")
    return next((standing for standing in order if any(s.standing == standing for s in states)), "no data")


def _public(incident: Incident, components: tuple[str, ...]) -> PublicIncident:
    where = " and ".join(components) if len(components) < 3 else f"{len(components)} components"
    told = [Told(incident.opened_at, _what(incident))]
    known = (
        incident.diagnosed_at is not None and bool(incident.hypotheses) and incident.hypotheses[0].probability >= KNOWN
    )
    if known and incident.diagnosed_at is not None and incident.mitigated_at is None and incident.resolved_at is None:
        told.append(Told(max(incident.diagnosed_at, incident.opened_at), "We know where it comes from."))
    if incident.eased_at is not None and incident.mitigated_at is None and (share := _share(incident.impact)):
        told.append(
            Told(incident.eased_at, f"It got better: about {share} % of the requests {happens(incident, False)} now.")
        )
    if incident.mitigated_at is not None:
        gone = "It no longer happens" if harm(incident) else "The signs of it are gone"
        told.append(Told(incident.mitigated_at, f"{gone}; we are watching whether it stays so."))
    if incident.resolved_at is not None:
        minutes = max(1, round((incident.resolved_at - incident.onset_at) / 60))
        told.append(Told(incident.resolved_at, f"It is over. It lasted {minutes} minute{'s' if minutes > 1 else ''}."))
    title = f"{TITLES.get(harm(incident), 'Errors of')} {where}"
    told.sort(key=lambda one: one.at)
    told.reverse()
    phase: Phase = "identified" if known else "investigating"
    if incident.mitigated_at is not None:
        phase = "monitoring"
    if incident.resolved_at is not None:
        phase = "resolved"
    return PublicIncident(
        incident.id,
        title,
        components,
        incident.onset_at,
        incident.resolved_at,
        tuple(told),
        phase,
        _standing(_severity(incident)),
    )


def _what(incident: Incident) -> str:
    over = incident.resolved_at is not None
    verb = happens(incident, over)
    if not verb:
        return (
            "We looked into a possible problem; nothing was measured that you could notice."
            if over
            else "We are looking into a possible problem; nothing is known yet of what you may notice."
        )
    share = _share(widest(incident))  # as many as it was at its worst: what was said stays said
    finding_out = "" if over else " We are finding out why."
    if not share:
        return f"Requests {verb}; how many is not known.{finding_out}"
    return f"About {share} % of the requests {verb}.{finding_out}"


def _share(impact: Impact | None) -> str:
    return "" if impact is None or math.isnan(impact.affected_ratio) else percent(impact.affected_ratio)
