"""What each page shows: plain values for the templates, made from state, World, memory and journal. No markup here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
from msgspec import Struct

from midwatch.core.learn.timeline import timeline
from midwatch.core.slo.measure import window
from midwatch.faces.console import budgets, charts, words
from midwatch.faces.console.fleetmap import FleetMap, draw
from midwatch.faces.console.projection import JournalProjection, Story
from midwatch.faces.console.pulse import Fleet, read_fleet
from midwatch.faces.console.view import WatchView
from midwatch.model import signals
from midwatch.model.actions import AUTONOMY_LADDER
from midwatch.model.entity import is_edge, kind_of
from midwatch.model.findings import Incident
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import Floats, World

RECENT_SECONDS = 24 * 3600.0
SHOWN_ACTIONS = 200
SHOWN_BUDGETS = 6
SYMPTOM_PLOTS = 3
MAX_ROWS = 400


class Banner(Struct, frozen=True):
    """The state of the watch in one word (``kind``), a line and a sentence."""

    kind: str  # incident, handsoff, nodata, degraded, quiet
    title: str
    text: str
    severity: int = 0
    link: str = ""


class View(Struct, frozen=True):
    """Everything read once per rendering, so that one page never mixes two moments."""

    state: State
    world: World
    fleet: Fleet
    now: float
    hands_off: bool
    degraded: tuple[str, ...]
    mode: str
    otlp_port: int
    hands: tuple[float, str] | None  # when and by whom the hands were last taken off or put on


def read_view(watch: WatchView, projection: JournalProjection, now: float) -> View:
    state, world = watch.state, watch.world
    degraded = tuple(str(line) for line in watch.health().get("degraded", ()))[:10]
    hands = projection.hands
    since = (hands.at, getattr(hands.event, "by", "")) if hands is not None else None
    fleet = read_fleet(state, world, now)
    return View(state, world, fleet, now, watch.hands_off, degraded, watch.mode, watch.otlp_port, since)


def banner(view: View) -> Banner:
    """The worst true thing first: what a person who was just woken needs to know."""
    open_incidents = by_urgency(view.state)
    if open_incidents:
        first = open_incidents[0]
        more = f" (and {len(open_incidents) - 1} more)" if len(open_incidents) > 1 else ""
        return Banner(
            "incident",
            f"SEV{first.severity}: {words.PHASES.get(first.phase, first.phase)}{more}",
            first.title,
            first.severity,
            f"/incidents/{first.id}",
        )
    if not view.world.entities:
        return Banner("nodata", "No data", "No telemetry has arrived yet, so midwatch cannot say how things are.")
    if view.fleet.stale:
        age = view.fleet.stale_seconds
        when = f"for {words.duration(age)}" if math.isfinite(age) else "in the window that is kept"
        return Banner("nodata", "No data", f"No telemetry has arrived {when}. What you see is not the present.")
    if view.hands_off:
        by = f"By {view.state.hands_off_by}. " if view.state.hands_off_by else ""
        return Banner("handsoff", "Hands off", f"{by}midwatch watches and pages; it touches nothing.")
    if view.degraded:
        return Banner("degraded", "Degraded", view.degraded[0])
    blind = view.fleet.count("nodata")
    if blind:
        of = len(view.fleet.pulses)
        return Banner("degraded", "Partly blind", f"{blind} of {of} entities report no data. The rest is quiet.")
    bad = view.fleet.count("bad") + view.fleet.count("warn")
    if bad:
        return Banner(
            "quiet", "Watching", f"{bad} of {len(view.fleet.pulses)} entities are not quite well. No incident."
        )
    idle = view.fleet.count("idle")
    rest = f", {idle} without traffic" if idle else ""
    return Banner("quiet", "All quiet", f"{view.fleet.count('ok')} entities are well{rest}. No incident is open.")


def by_urgency(state: State) -> list[Incident]:
    return sorted(state.open_incidents, key=lambda i: (i.severity, -i.opened_at))


class Deed(Struct, frozen=True):
    """One action with what a person may do about it. ``line`` and ``status`` are words, ``tone`` their colour."""

    record: ActionRecord
    line: str
    status: str
    tone: str
    at: float
    can_undo: bool
    can_answer: bool
    can_settle: bool
    deadline: float | None
    undone_by: str = ""


def deed(state: State, record: ActionRecord) -> Deed:
    status, tone = words.status(record)
    action = record.action
    undo = next((r for r in state.actions.values() if r.action.undo_of == action.id and r.status != "dropped"), None)
    applied = record.outcome is not None and record.outcome.status == "done"
    return Deed(
        record,
        words.deed(record),
        status,
        tone,
        record.ended_at or record.ordered_at or record.judged_at,
        can_undo=applied and bool(action.undo_verb) and not action.undo_of and undo is None,
        can_answer=record.status == "asked",
        can_settle=record.status in ("in_doubt", "unknown"),
        deadline=words.deadline(record) if record.status == "done" else None,
        undone_by=undo.action.id if undo else "",
    )


def deeds(state: State, incident: str = "") -> list[Deed]:
    """Newest first; what waits for an answer before everything else."""
    records = state.actions_of(incident) if incident else tuple(state.actions.values())
    found = [deed(state, r) for r in records]
    return sorted(found, key=lambda d: (not d.can_answer, -d.at, d.record.action.id))


def just_did(view: View) -> list[Deed]:
    """What midwatch touched or asks for lately, the questions first."""
    shown = [
        d
        for d in deeds(view.state)
        if d.can_answer or (d.record.status in words.TOUCHED and view.now - d.at < RECENT_SECONDS)
    ]
    return shown[:4]


def hot_path(state: State) -> frozenset[str]:
    """Entities on the path from the likeliest cause to the symptom, over open incidents."""
    found: set[str] = set()
    for incident in state.open_incidents:
        if incident.hypotheses:
            found.update(incident.hypotheses[0].path or (incident.hypotheses[0].entity,))
    return frozenset(found)


def watch_page(view: View, watch: WatchView, projection: JournalProjection) -> dict[str, Any]:
    found = budgets.read_budgets(view.state, watch.memory, view.fleet, view.now, view.world)
    fleet_map: FleetMap = draw(view.fleet, hot_path(view.state))
    last = max((d.at for d in deeds(view.state) if d.record.status in words.TOUCHED), default=None)
    resolved = [i for i in view.state.incidents.values() if i.phase == "resolved" and i.resolved_at]
    return {
        "deeds": just_did(view),
        "last_touch": last,
        "incidents": [brief(i, projection) for i in by_urgency(view.state)],
        "last_resolved": max(resolved, key=lambda i: i.resolved_at or 0.0, default=None),
        "map": fleet_map,
        "budgets": budgets.cards(found[:SHOWN_BUDGETS], watch.memory, view.now),
        "budgets_more": max(0, len(found) - SHOWN_BUDGETS),
        "changes": sorted(view.state.changes, key=lambda c: -c.at)[:5],
    }


class Brief(Struct, frozen=True):
    incident: Incident
    text: str
    cause: str


def brief(incident: Incident, projection: JournalProjection) -> Brief:
    update = projection.story(incident.id).update
    cause = ""
    if incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        cause = f"{words.entity(entity)}: {words.fault(kind)} (confirmed)"
    elif incident.hypotheses:
        first = incident.hypotheses[0]
        cause = f"{words.entity(first.entity)}: {words.fault(first.kind)} ({words.percent(first.probability)})"
    return Brief(incident, update[1].text if update else incident.title, cause)


def incidents_page(view: View, projection: JournalProjection) -> dict[str, Any]:
    closed = sorted((i for i in view.state.incidents.values() if i.phase == "resolved"), key=lambda i: -i.opened_at)
    return {
        "open": [brief(i, projection) for i in by_urgency(view.state)],
        "closed": [brief(i, projection) for i in closed],
        "postmortems": {i.id for i in closed},  # written in the turn that resolves an incident
    }


def incident_page(view: View, incident: Incident, projection: JournalProjection) -> dict[str, Any]:
    story: Story = projection.story(incident.id)
    rows = timeline(projection.about(incident.id), incident.id)
    return {
        "incident": incident,
        "update": story.update,
        "deeds": deeds(view.state, incident.id),
        "pages": sorted(view.state.pages_of(incident.id), key=lambda p: -p.ordered_at),
        "findings": [view.state.findings[f] for f in incident.findings if f in view.state.findings],
        "timeline": rows[-MAX_ROWS:],
        "plots": symptom_plots(view.world, incident),
        "postmortem": story.postmortem is not None,
    }


def symptom_plots(world: World, incident: Incident) -> list[dict[str, Any]]:
    """Error share and mean time of the symptoms over the World's window, with the onset marked. Symptoms that the window
    does not hold any more are left out; the page says so."""
    plots = []
    if incident.resolved_at is not None and incident.resolved_at < world.series.start_at:
        return []
    marks = [(incident.onset_at, "onset")]
    if incident.mitigated_at is not None:
        marks.append((incident.mitigated_at, "mitigated"))
    marks = [m for m in marks if world.series.start_at <= m[0] <= world.series.end_at]
    subjects = dict.fromkeys((*incident.symptoms, *((incident.impact.entry,) if incident.impact else ())))
    for subject in subjects:
        edge = is_edge(subject)
        total = world.series.get(subject, signals.CALLS if edge else signals.REQUESTS)
        if total is None or not np.isfinite(total).any():
            continue
        errors = world.series.get(subject, signals.CALL_ERRORS if edge else signals.ERRORS)
        spent = world.series.get(subject, signals.CALL_MS if edge else signals.TIME_MS)
        times, count = coarse(world, total)
        lines = [("failing", ratio(world, errors, count, missing=0.0) * 100, "bad")]
        plots.append(
            charts.plot(times, lines, unit="%", title=f"{words.entity(subject)}: failing requests", marks=marks)
        )
        if spent is not None:
            lines = [("mean time", ratio(world, spent, count, missing=float("nan")), "info")]
            plots.append(charts.plot(times, lines, unit="ms", title=f"{words.entity(subject)}: mean time", marks=marks))
        if len(plots) >= 2 * SYMPTOM_PLOTS:
            break
    return plots


def coarse(world: World, series: Floats, steps: int = 2) -> tuple[Floats, Floats]:
    """``series`` summed over ``steps`` steps: (times, sums), NaN where nothing was reported."""
    used = window(world, series, world.series.steps * world.series.step_seconds)
    keep = len(used) // steps * steps
    part = used[len(used) - keep :].reshape(-1, steps)
    seen = np.isfinite(part).any(axis=1)
    times = world.series.end_at - world.series.step_seconds * steps * np.arange(len(part), 0, -1, dtype=np.float64)
    return times, np.where(seen, np.nansum(part, axis=1), np.nan)


def ratio(world: World, part: Floats | None, whole: Floats, missing: float) -> Floats:
    _, sums = coarse(world, part) if part is not None else (None, np.full(len(whole), np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, np.where(np.isfinite(sums), sums, missing) / whole, np.nan)


def budgets_page(view: View, watch: WatchView, asked: Mapping[str, str]) -> dict[str, Any]:
    """``asked`` is what the address says: ``q`` (words to find), ``state`` and ``page``."""
    state, memory = view.state, watch.memory
    found = budgets.read_budgets(state, memory, view.fleet, view.now, view.world)
    query, only = asked.get("q", "")[: budgets.MAX_QUERY_CHARS], asked.get("state", "")
    matching = budgets.wanted(found, query, "")
    chosen = [b for b in matching if not only or b.state == only]
    number = asked.get("page", "1")
    shown, page, pages = budgets.page_of(chosen, int(number) if number.isdigit() and len(number) < 6 else 1)
    rows = budgets.rows(shown, state, memory, view.now)
    return {
        "groups": [(name, list(many)) for name, many in groupby(rows, key=lambda row: row.budget.group)],
        "chips": budgets.chips(matching),
        "all_count": len(matching),
        "count": len(chosen),
        "promised": len(found),
        "query": query,
        "only": only,
        "page": page,
        "pages": pages,
        "first": (page - 1) * budgets.PER_PAGE + 1,
    }


def actions_page(view: View) -> dict[str, Any]:
    found = deeds(view.state)
    books = {p.name: p for p in view.state.policy.playbooks}
    earned = [(name, record, books.get(name)) for name, record in sorted(view.state.playbooks.items())]
    ceiling = AUTONOMY_LADDER.index(view.mode) if view.mode in AUTONOMY_LADDER else 0
    held_back = {n for n, r, _ in earned if r.level in AUTONOMY_LADDER and AUTONOMY_LADDER.index(r.level) > ceiling}
    return {
        "deeds": found[:SHOWN_ACTIONS],
        "more": max(0, len(found) - SHOWN_ACTIONS),
        "playbooks": earned,
        "held_back": held_back,
    }


def postmortems_page(view: View) -> dict[str, Any]:
    """Of every incident that is over and that state remembers: its post-mortem is written in the turn that resolves it."""
    over = [(i.id, i.resolved_at, i) for i in view.state.incidents.values() if i.resolved_at is not None]
    return {"written": sorted(over, key=lambda row: -row[1])}


def health_page(view: View, watch: WatchView) -> dict[str, Any]:
    """Numbers and sentences about midwatch itself; nested mappings become sections."""
    plain: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    for name, value in watch.health().items():
        if name in ("degraded", "silence"):
            continue  # said at the top of the page, and with what it cannot see
        if isinstance(value, dict):
            sections[name] = {str(k): v for k, v in list(value.items())[:60]}
        else:
            plain[name] = value
    head = watch.journal.head()
    gaps: list[tuple[str, str, float | None]] = [(g.subject, g.reason, g.since_at) for g in view.world.gaps]
    listed = {g[0] for g in gaps}
    gaps += [(subject, reason, None) for subject, reason in view.state.gaps.items() if subject not in listed]
    kinds: dict[str, int] = {}
    for key in view.world.entities:
        kinds[kind_of(key)] = kinds.get(kind_of(key), 0) + 1
    return {"plain": plain, "sections": sections, "head": head, "gaps": gaps[:200], "kinds": kinds}
