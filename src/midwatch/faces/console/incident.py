"""The page of one incident: why it is so, how sure that is, what belongs to it, what was done. Values, no markup."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct

from midwatch.core.decide.regroup import entity_of
from midwatch.core.decide.room import checklist
from midwatch.core.detect.rating import hold
from midwatch.core.detect.together import sentence
from midwatch.core.diagnose.runner_up import runner_up
from midwatch.core.learn import hindsight
from midwatch.core.learn.timeline import timeline
from midwatch.core.memory import Memory
from midwatch.core.oncall.page import wakes_nobody
from midwatch.faces.console import causal, charts, evidence, pages, words
from midwatch.faces.console.projection import JournalProjection, Story
from midwatch.model import signals
from midwatch.model.entity import is_edge
from midwatch.model.findings import Finding, Incident
from midwatch.model.room import ROLES, Room
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell.told import told

SYMPTOM_PLOTS: Final = 3
PLOTTED: Final = 2  # hypotheses whose evidence is drawn
MAX_ROWS: Final = 400
MAX_WORDS: Final = 6


class Part(Struct, frozen=True):
    """One entity that an incident is about, with what is wrong there now (``findings``; none: it is well again)."""

    key: str
    findings: tuple[Finding, ...]


class Grouping(Struct, frozen=True):
    """What belongs to an incident and why it might not. ``others`` are the other open incidents, ``taught`` what people said
    about its entities before; ``may_split`` and ``may_merge`` whether there is anything to say now."""

    parts: tuple[Part, ...]
    others: tuple[Incident, ...]
    taught: tuple[str, ...]
    may_split: bool
    may_merge: bool


def incident_page(
    view: pages.View, incident: Incident, projection: JournalProjection, memory: Memory
) -> dict[str, Any]:
    story: Story = projection.story(incident.id)
    rows = timeline(projection.about(incident.id), incident.id)
    state, lead = view.state, next(iter(incident.hypotheses), None)
    done = pages.deeds(state, incident.id)
    easing = memory.easing.get(incident.id) if incident.phase != "resolved" else None
    return {
        "incident": incident,
        "update": story.update,
        "deeds": done,
        "did": next((d for d in done if d.record.status in words.TOUCHED), None),
        "pages": sorted(state.pages_of(incident.id), key=lambda p: -p.ordered_at),
        "timeline": rows[-MAX_ROWS:],
        "plots": symptom_plots(view.world, incident),
        "postmortem": story.postmortem is not None,
        "causal": causal.causal_map(state, view.world, view.fleet, incident),
        "drawn": [evidence.plots_of(view.world, incident, h) for h in incident.hypotheses[:PLOTTED]],
        "against": runner_up(incident.hypotheses),
        "record": hindsight.similar(state.hindsight, lead.probability) if lead else None,
        "record_words": hindsight.sentence(hindsight.similar(state.hindsight, lead.probability)) if lead else "",
        "bands": hindsight.bands(state.hindsight),
        "grouping": grouping(state, incident),
        "told": told(state, incident, view.now),
        "room": state.rooms.get(incident.id, Room()),
        "ROLES": ROLES,
        "checklist": checklist(state, incident),
        "easing": easing,
        "easing_at": easing.since_at + hold(state.policy.milder_after_seconds, incident.rises) if easing else None,
        "war_room": state.war_rooms.get(incident.id),
        "wakes_nobody": wakes_nobody(state, incident, view.now),
    }


def grouping(state: State, incident: Incident) -> Grouping:
    wrong: dict[str, list[Finding]] = {key: [] for key in incident.symptoms}
    for ident in incident.findings:
        held = wrong.setdefault(entity_of(state, ident), [])
        if ident in state.findings:
            held.append(state.findings[ident])
    parts = tuple(Part(key, tuple(found)) for key, found in wrong.items())
    about = set(incident.symptoms)
    taught = [sentence(p) for p in reversed(state.pairings) if p.first in about or p.second in about]
    is_open = incident.phase != "resolved"
    others = tuple(i for i in state.open_incidents if i.id != incident.id) if is_open else ()
    separable = is_open and len(parts) > 1 and any(part.findings for part in parts)
    return Grouping(parts, others, tuple(taught[:MAX_WORDS]), separable, bool(others))


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
    times = charts.pooled_times(world.series)
    subjects = dict.fromkeys((*incident.symptoms, *((incident.impact.entry,) if incident.impact else ())))
    for subject in subjects:
        edge = is_edge(subject)
        total = world.series.get(subject, signals.CALLS if edge else signals.REQUESTS)
        if total is None or not np.isfinite(total).any():
            continue
        errors = world.series.get(subject, signals.CALL_ERRORS if edge else signals.ERRORS)
        spent = world.series.get(subject, signals.CALL_MS if edge else signals.TIME_MS)
        failed = np.zeros_like(total) if errors is None else np.where(np.isfinite(errors), errors, 0.0)
        lines = [("failing", charts.pooled(failed, total) * 100, "bad")]
        plots.append(
            charts.plot(times, lines, unit="%", title=f"{words.entity(subject)}: failing requests", marks=marks)
        )
        if spent is not None:
            lines = [("mean time", charts.pooled(spent, total), "info")]
            plots.append(charts.plot(times, lines, unit="ms", title=f"{words.entity(subject)}: mean time", marks=marks))
        if len(plots) >= 2 * SYMPTOM_PLOTS:
            break
    return plots
