"""Replay: the same loop over recorded telemetry, under the recording's own clock, with playbooks in rehearsal.

The report's JSON is a contract (``Report.as_json``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from midwatch.core.memory import Memory
from midwatch.model.actions import VerbSpec
from midwatch.model.entity import is_edge, kind_of, name_of, split_edge
from midwatch.model.errors import UsageError
from midwatch.model.events import ChangeSeen, PolicyLoaded, Recorded, WatchStarted
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell.config import Settings
from midwatch.shell.run import SETTLE_SECONDS

if TYPE_CHECKING:
    from midwatch.shell.ingest.rows import Batch

TICK_SECONDS = 5.0
MAX_GAP_SECONDS = 3600.0
Progress = Callable[[float, int], None]
Onlooker = Callable[[State, World], None]


@dataclass
class Report:
    """What came of it. ``journal`` holds every event with its recorded time."""

    state: State
    world: World
    journal: list[Recorded] = field(default_factory=list)
    ticks: int = 0
    rows: int = 0
    slos: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """``{"incidents": [{"id", "opened_at", "resolved_at", "severity", "symptoms", "causes", "unknown", "actions"}]}``,
        times in RFC 3339, entities by their ``service.name`` where they are services, oldest incident first."""
        incidents = sorted(self.state.incidents.values(), key=lambda i: (i.opened_at, i.id))
        return {"incidents": [self._incident(one) for one in incidents]}

    def _incident(self, one: Incident) -> dict[str, Any]:
        return {
            "id": one.id,
            "opened_at": rfc3339(one.opened_at),
            "resolved_at": rfc3339(one.resolved_at) if one.resolved_at is not None else None,
            "severity": one.severity,
            "symptoms": list(dict.fromkeys(self.name(key) for key in one.symptoms)),
            "causes": [
                {
                    "entity": self.name(h.entity),
                    "kind": h.kind,
                    "probability": round(h.probability, 4),
                    "evidence": [e.text for e in h.evidence],
                }
                for h in _by_entity(one.hypotheses)
            ],
            "unknown": round(one.unknown, 4),
            "actions": [self._action(r) for r in self.state.actions_of(one.id)],
        }

    def _action(self, record: ActionRecord) -> dict[str, Any]:
        return {
            "verb": record.action.verb,
            "target": self.name(record.action.target),
            "verdict": record.verdict.decision,
            "why": record.verdict.why,
        }

    def name(self, key: str) -> str:
        """``service:payment``, ``instance:payment-eu-1`` and ``endpoint:...`` of it are ``payment``; other kinds go by
        their own name, an edge by both of its ends."""
        if is_edge(key):
            caller, callee = split_edge(key)
            return f"{self.name(caller)}>{self.name(callee)}"
        if kind_of(key) in ("instance", "endpoint", "deployment"):
            entity = self.world.entities.get(key)
            if entity is not None and entity.labels.get("service"):
                return entity.labels["service"]
        return name_of(key)


def _by_entity(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """One line per entity: its most probable kind, with the probability that it is this entity, whatever the kind."""
    best: dict[str, Hypothesis] = {}
    for h in hypotheses:
        known = best.get(h.entity)
        best[h.entity] = replace(known, probability=known.probability + h.probability) if known else h
    return sorted(best.values(), key=lambda h: -h.probability)


def replay(
    directory: Path,
    slos: Path | None = None,
    *,
    policy: Policy | None = None,
    verbs: Mapping[str, VerbSpec] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Replay the recording in ``directory``. Raises UsageError when there is none, ConfigError when ``slos`` is wrong."""
    from midwatch.shell.ingest.recording import Problems, read_changes, read_recording

    if not directory.is_dir():
        raise UsageError(f"{directory} is not a folder", hint="name the folder that holds traces*.jsonl and the like")
    problems = Problems()
    report = replay_batches(
        read_recording(directory, problems),
        rehearsal_policy(slos, policy, verbs),
        changes=read_changes(directory, problems),
        progress=progress,
        name=str(directory),
    )
    if problems.bad_lines:
        shown = "; ".join(problems.shown[:3])
        report.notes = (*report.notes, f"{problems.bad_lines} lines could not be read: {shown}")
    return report


def rehearsal_policy(
    slos: Path | None = None, policy: Policy | None = None, verbs: Mapping[str, VerbSpec] | None = None
) -> Policy:
    """Everything that midwatch knows how to do, judged and never done: shipped playbooks, all verbs, all permissions."""
    from midwatch.adapters.actuators.registry import VERBS
    from midwatch.shell.folder import load_policy

    if policy is None:
        policy, _ = load_policy(Settings(policy=(slos,) if slos else ()))
    declared = dict(VERBS if verbs is None else verbs)
    granted = tuple(sorted({p for spec in declared.values() for p in spec.permissions}))
    return replace(
        policy,
        mode="auto",
        rehearse=True,
        discover_slos=slos is None or policy.discover_slos,
        verbs={**declared, **policy.verbs},
        limits=replace(policy.limits, permissions=granted),
    )


def replay_batches(
    batches: Iterable[tuple[float, Batch]],
    policy: Policy,
    *,
    changes: Sequence[Change] = (),
    progress: Progress | None = None,
    name: str = "the recording",
    tick_seconds: float = TICK_SECONDS,
    seen: Onlooker | None = None,
) -> Report:
    """Replay ``batches`` (in time order): a turn every ``tick_seconds`` of recorded time, and one after the last data.
    ``seen`` is shown the state after each turn, and the World that the turn saw.

    Turns lie as in production, a little after each multiple, when the step before it is complete. A hole longer than an
    hour is jumped over.
    """
    from midwatch.core.loop import tick
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.journal.memory import MemoryJournal

    journal = MemoryJournal()
    builder = WorldBuilder(step_seconds=tick_seconds)
    report = Report(State(), empty_world(0.0))
    memory = Memory()
    notes: list[str] = []
    waiting = deque(sorted(changes, key=lambda change: change.at))

    def record(events: tuple[Any, ...], at: float) -> None:
        for one in journal.append(list(events), at):
            report.state = fold(report.state, one)
            report.journal.append(one)

    def turn(now: float) -> None:
        nonlocal memory
        inputs = tuple(ChangeSeen(waiting.popleft()) for _ in range(sum(change.at <= now for change in waiting)))
        for one in inputs:
            builder.add_change(one.change)
        record(inputs, now)
        report.world = builder.world(now)
        events, memory = tick(report.state, memory, report.world, inputs, now)
        record(events, now)
        report.ticks += 1
        if seen is not None:
            seen(report.state, report.world)
        if progress is not None and report.ticks % 12 == 0:
            progress(now, len(report.state.incidents))

    due = math.nan
    last = math.nan
    first = math.nan
    for at, batch in batches:
        if math.isnan(due):
            first = last = at
            due = _next_turn(at, tick_seconds)
            record((WatchStarted("replay", 1, "replay"), PolicyLoaded(policy, ("replay",))), at)
        at = max(at, last)
        if at - last > MAX_GAP_SECONDS:
            notes.append(f"a hole of {at - last:.0f} s in the recording was jumped over")
            due = _next_turn(at, tick_seconds)
        for now in _ticks(due, at, tick_seconds):
            turn(now)
            due = now + tick_seconds
        builder.add(batch, at)
        report.rows += len(batch)
        last = at
    if math.isnan(due):
        raise UsageError(
            f"{name} holds no telemetry",
            hint="it takes traces*.jsonl, metrics*.jsonl and logs*.jsonl as the Collector's file exporter writes them",
        )
    builder.finish()
    turn(due)
    report.seconds = last - first
    report.slos = len(report.state.slos)
    report.notes = tuple(notes)
    return report


def _next_turn(at: float, every: float) -> float:
    return (math.floor((at - SETTLE_SECONDS) / every) + 1) * every + SETTLE_SECONDS


def _ticks(due: float, until: float, every: float) -> Iterator[float]:
    while due <= until:
        yield due
        due += every


def rfc3339(at: float) -> str:
    """UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
