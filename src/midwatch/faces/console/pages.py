"""What each page shows: plain values for the templates, made from state, World, memory and journal. No markup here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from msgspec import Struct

from midwatch.core.oncall.page import wakes_nobody
from midwatch.faces.console import budgets, causal, words
from midwatch.faces.console.fleetmap import FleetMap, draw
from midwatch.faces.console.projection import JournalProjection
from midwatch.faces.console.pulse import Fleet, read_fleet
from midwatch.faces.console.view import WatchView
from midwatch.model.actions import AUTONOMY_LADDER
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import Incident
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import World

RECENT_SECONDS = 24 * 3600.0
SHOWN_ACTIONS = 200
SHOWN_BUDGETS = 6
MAX_NAMED = 500


class Banner(Struct, frozen=True):
    """The state of the watch in one word (``kind``), a line and a sentence."""

    kind: str  # incident, handsoff, nodata, degraded, quiet
    title: str
    text: str
    severity: int = 0
    link: str = ""  # where there is more about it


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
        text = f"No telemetry has arrived {when}. What you see is not the present."
        return Banner("nodata", "No data", text, link="/health")
    if view.hands_off:
        by = f"By {view.state.hands_off_by}. " if view.state.hands_off_by else ""
        return Banner("handsoff", "Hands off", f"{by}midwatch watches and pages; it touches nothing.")
    if view.degraded:
        return Banner("degraded", "Degraded", view.degraded[0], link="/health")
    blind = view.fleet.count("nodata")
    if blind:
        of = len(view.fleet.pulses)
        text = f"{blind} of {of} entities report no data. The rest is quiet."
        return Banner("degraded", "Partly blind", text, link="/health")
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


def hot_path(state: State, world: World) -> tuple[frozenset[str], Mapping[frozenset[str], str]]:
    """What lies on the ways from the likeliest causes to the symptoms, over open incidents: entities, and edges with the end
    that the harm goes to."""
    nodes: set[str] = set()
    trail: dict[frozenset[str], str] = {}
    for incident in state.open_incidents:
        if incident.hypotheses:
            way = causal.way_of(world, incident.hypotheses[0])
            nodes.update(way)
            trail |= causal.trail_of(way)
    return frozenset(nodes), trail


def watch_page(view: View, watch: WatchView, projection: JournalProjection) -> dict[str, Any]:
    found = budgets.read_budgets(view.state, watch.memory, view.fleet, view.now, view.world)
    fleet_map: FleetMap = draw(view.fleet, *hot_path(view.state, view.world))
    last = max((d.at for d in deeds(view.state) if d.record.status in words.TOUCHED), default=None)
    resolved = [i for i in view.state.incidents.values() if i.resolved_at and not i.merged_into]
    return {
        "deeds": just_did(view),
        "last_touch": last,
        "incidents": [brief(view, i, projection) for i in by_urgency(view.state)],
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
    wakes_nobody: str  # that it is too mild for a page, "" when it is not


def brief(view: View, incident: Incident, projection: JournalProjection) -> Brief:
    update = projection.story(incident.id).update
    cause = ""
    if incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        cause = f"{words.entity(entity)}: {words.fault(kind)} (confirmed)"
    elif incident.hypotheses:
        first = incident.hypotheses[0]
        cause = f"{words.entity(first.entity)}: {words.fault(first.kind)} ({words.percent(first.probability)})"
    quiet = wakes_nobody(view.state, incident, view.now)
    return Brief(incident, update[1].text if update else incident.title, cause, quiet)


def incidents_page(view: View, projection: JournalProjection) -> dict[str, Any]:
    closed = sorted((i for i in view.state.incidents.values() if i.phase == "resolved"), key=lambda i: -i.opened_at)
    return {
        "open": [brief(view, i, projection) for i in by_urgency(view.state)],
        "closed": [brief(view, i, projection) for i in closed],
        "postmortems": {i.id for i in closed if not i.merged_into},  # written in the turn that resolves an incident
        "services": sorted(name_of(e) for e in view.world.entities if kind_of(e) == "service")[:MAX_NAMED],
    }


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
    ended = (i for i in view.state.incidents.values() if not i.merged_into)
    over = [(i.id, i.resolved_at, i) for i in ended if i.resolved_at is not None]
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
    head = watch.head
    gaps: list[tuple[str, str, float | None]] = [(g.subject, g.reason, g.since_at) for g in view.world.gaps]
    listed = {g[0] for g in gaps}
    gaps += [(subject, reason, None) for subject, reason in view.state.gaps.items() if subject not in listed]
    kinds: dict[str, int] = {}
    for key in view.world.entities:
        kinds[kind_of(key)] = kinds.get(kind_of(key), 0) + 1
    return {"plain": plain, "sections": sections, "head": head, "gaps": gaps[:200], "kinds": kinds}
