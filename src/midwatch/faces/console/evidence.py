"""The series behind a piece of evidence: what it was read from, around the onset, as a small plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from msgspec import Struct

from midwatch.core.decide.sight import place
from midwatch.faces.console import words
from midwatch.faces.console.charts import POOLED, moment_svg, pooled, pooled_times
from midwatch.model import signals as s
from midwatch.model.entity import is_edge
from midwatch.model.findings import Evidence, Hypothesis, Incident
from midwatch.model.world import Floats, World

BEFORE_SECONDS: Final = 300.0
AFTER_SECONDS: Final = 600.0
MAX_PLOTS: Final = 6  # per hypothesis


class Trace(Struct, frozen=True):
    """One line: ``name`` says what it is, ``values`` (shape (steps,), NaN for gaps) are in ``unit``. ``of`` (same shape) is
    what each value is a mean over, requests mostly; None for a gauge."""

    name: str
    unit: str
    values: Floats
    of: Floats | None = None


class EvidencePlot(Struct, frozen=True):
    """A drawn trace with its words: the level before the onset and since."""

    name: str
    told: str
    svg: Markup


def plots_of(world: World, incident: Incident, hypothesis: Hypothesis) -> dict[int, EvidencePlot]:
    """Plots by the place of the evidence in ``hypothesis.evidence``. Evidence of which the World holds no series (any more)
    has none, and what two pieces were read from is drawn once."""
    found: dict[int, EvidencePlot] = {}
    marks = _marks(incident, hypothesis)
    drawn: set[str] = set()
    for number, one in enumerate(hypothesis.evidence):
        if len(found) >= MAX_PLOTS:
            break
        trace = trace_of(world, one, incident.onset_at)
        if trace is None or trace.name in drawn:
            continue
        plot = _plot(world, trace, incident, marks)
        if plot is not None:
            drawn.add(trace.name)
            found[number] = plot
    return found


def _marks(incident: Incident, hypothesis: Hypothesis) -> list[tuple[float, str]]:
    """The moments that every plot shows, the onset first: it keeps its words where there is little room."""
    found = [(incident.onset_at, "onset")]
    before = [
        e.value for e in hypothesis.evidence if e.kind == "change" and e.unit == "seconds" and math.isfinite(e.value)
    ]
    if before:
        found.append((incident.onset_at - before[0], "change"))
    if incident.mitigated_at is not None:
        found.append((incident.mitigated_at, "mitigated"))
    return found


def _plot(world: World, trace: Trace, incident: Incident, marks: list[tuple[float, str]]) -> EvidencePlot | None:
    grid, onset = world.series, incident.onset_at
    shown = (grid.times >= onset - BEFORE_SECONDS) & (grid.times < onset + AFTER_SECONDS)
    since, when = shown & (grid.times >= onset - grid.step_seconds), "since"
    before, over_at = shown & ~since, incident.mitigated_at or incident.resolved_at or math.inf
    if grid.times[since].min(initial=math.inf) < over_at < math.inf:  # what came after makes no trouble look small
        since, when = since & (grid.times < over_at), "while it lasted"
    times, values, step_seconds = grid.times, trace.values, grid.step_seconds
    if trace.of is not None:  # pooled as the charts of what users feel are: the same service has the same line in both
        times, step_seconds = pooled_times(grid), grid.step_seconds * POOLED
        values = pooled(trace.values * trace.of, trace.of)
    inside = (times >= onset - BEFORE_SECONDS) & (times < onset + AFTER_SECONDS)
    times, values = times[inside], values[inside]
    if not np.isfinite(values).any() or not since.any():
        return None
    told = ", ".join(
        f"{words.measured(_level(trace, part), trace.unit) or words.NO_DATA} {when}"
        for part, when in ((before, "before"), (since, when))
    )
    extreme = max(values[np.isfinite(values)].tolist(), key=abs)
    alternative = f"{trace.name}: {told}; the onset was at {words.clock(onset)} UTC"
    peak = (extreme, words.measured(extreme, trace.unit))
    drawing = moment_svg(times, values, step_seconds, marks, extreme=peak, words=alternative)
    return EvidencePlot(trace.name, told, Markup(drawing))


def _level(trace: Trace, steps: npt.NDArray[np.bool_]) -> float:
    """What ``trace`` was in ``steps``: of a gauge the median, else the mean over all requests. (The median of shares is 0 as
    long as most steps have no failure, however many requests fail.)"""
    values = trace.values[steps]
    seen = np.isfinite(values)
    if not seen.any():
        return math.nan
    if trace.of is None:
        return float(np.median(values[seen]))
    return float(np.average(values[seen], weights=trace.of[steps][seen]))


def trace_of(world: World, evidence: Evidence, onset_at: float) -> Trace | None:
    """The series that ``evidence`` was read from, as far as its kind, entity and unit tell; None when the World has none."""
    if not world.series.steps:
        return None
    candidates = [t for t in _READ.get(evidence.kind, _nothing)(world, evidence) if np.isfinite(t.values).any()]
    since = world.series.times >= onset_at - world.series.step_seconds
    return min(candidates, key=lambda t: _far(t.values[since], evidence.value), default=None)


def _far(values: Floats, value: float) -> float:
    """How far the values are from what the evidence says, where several series could be meant."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return math.inf
    if not math.isfinite(value):
        return 0.0
    return min(abs(float(pick) - value) for pick in (np.max(seen), np.median(seen), seen[-1], np.sum(seen)))


# -- what each kind of evidence is read from --

_Reader = Callable[[World, Evidence], Iterator[Trace]]


def _nothing(world: World, evidence: Evidence) -> Iterator[Trace]:
    return iter(())


def _failing(world: World, evidence: Evidence) -> Iterator[Trace]:
    for whole, part in _counts(world, evidence.entity, (s.REQUESTS, s.ERRORS), (s.CALLS, s.CALL_ERRORS)):
        errors = np.where(np.isfinite(part), part, 0.0)
        yield Trace(f"share of failing requests, {place(evidence.entity)}", "ratio", _over(errors, whole), whole)


def _slow(world: World, evidence: Evidence) -> Iterator[Trace]:
    for whole, part in _counts(world, evidence.entity, (s.REQUESTS, s.TIME_MS), (s.CALLS, s.CALL_MS)):
        yield Trace(f"mean time of a request, {place(evidence.entity)}", "ms", _over(part, whole), whole)


def _rate(world: World, evidence: Evidence) -> Iterator[Trace]:
    for whole, _ in _counts(world, evidence.entity, (s.REQUESTS, s.REQUESTS), (s.CALLS, s.CALLS)):
        rate = whole / world.series.step_seconds
        yield Trace(f"requests to {place(evidence.entity)}", "requests/s", rate, np.ones_like(rate))


def _way(world: World, evidence: Evidence) -> Iterator[Trace]:
    return _slow(world, evidence) if evidence.unit == "ms" else _failing(world, evidence)


_GAUGES: Final[dict[str, tuple[tuple[str, str, float], ...]]] = {
    "requests": ((s.POOL_WAITING, "requests that wait for a connection", 1.0),),
    "ratio": (
        (s.CPU_THROTTLED_RATIO, "share of time without CPU", 1.0),
        (s.CPU_RATIO, "CPU in use, of its limit", 1.0),
        (s.DISK_RATIO, "disk in use", 1.0),
    ),
    "sessions": ((s.SESSIONS_BLOCKED, "sessions that wait for a lock", 1.0),),
    "MB": ((s.MEMORY_BYTES, "memory", 1e-6),),
    "seconds": (
        (s.QUEUE_LAG_SECONDS, "age of the oldest message", 1.0),
        (s.CERT_EXPIRES_SECONDS, "until the certificate expires", 1.0),
    ),
    "count": ((s.RESTARTS, "process starts", 1.0), (s.FD_USED, "open files", 1.0)),
}


def _gauge(world: World, evidence: Evidence) -> Iterator[Trace]:
    """A gauge of the entity, or of one of its instances, in the unit of the evidence."""
    around = (evidence.entity, *(i.key for i in world.instances.get(evidence.entity, ())))
    for signal, name, times in _GAUGES.get(evidence.unit, ()):
        for key in around:
            if (values := world.series.get(key, signal)) is not None:
                yield Trace(f"{name}, {place(key)}", evidence.unit, values * times)
    hits, misses = (world.series.get(evidence.entity, signal) for signal in (s.CACHE_HITS, s.CACHE_MISSES))
    if evidence.unit == "ratio" and hits is not None and misses is not None:
        asked = hits + misses
        yield Trace(f"answers from the cache, {place(evidence.entity)}", "ratio", _over(hits, asked), asked)


def _alive(world: World, evidence: Evidence) -> Iterator[Trace]:
    rows = [world.series.get(i.key, s.UP) for i in world.instances.get(evidence.entity, ())]
    seen = [np.isfinite(row) & (row > 0) for row in rows if row is not None]
    if seen:
        yield Trace(f"processes of {place(evidence.entity)} that report", "", np.sum(seen, axis=0).astype(float))


def _lines(world: World, evidence: Evidence) -> Iterator[Trace]:
    for pattern, counts in zip(world.logs.patterns, world.logs.counts, strict=True):
        if pattern.entity == evidence.entity and pattern.severity >= 13:
            named = pattern.template if len(pattern.template) <= 48 else f"{pattern.template[:47]}…"
            unit = f"lines per {world.series.step_seconds:g} s"
            yield Trace(f"log lines like “{named}”, {place(pattern.entity)}", unit, counts, np.ones_like(counts))


_READ: Final[dict[str, _Reader]] = {
    "blame_errors": _failing,
    "blame_time": _slow,
    "concentration": _failing,
    "change": _failing,
    "network": _way,
    "traffic": _rate,
    "saturation": _gauge,
    "resource": _gauge,
    "queue": _gauge,
    "certificate": _gauge,
    "silence": _alive,
    "logs": _lines,
}


def _counts(
    world: World, subject: str, own: tuple[str, str], called: tuple[str, str]
) -> Iterator[tuple[Floats, Floats]]:
    """(whole, part) of the subject itself; of a way; or, for what counts nothing itself, of all calls to it."""
    pairs: Sequence[tuple[str, tuple[str, str]]] = [(subject, called if is_edge(subject) else own)]
    rows = list(_rows(world, pairs))
    if not rows and not is_edge(subject):
        into = [edge.key for edge in world.edges.values() if edge.callee == subject]
        rows = list(_rows(world, [(key, called) for key in into]))
    if rows:
        yield _summed([whole for whole, _ in rows]), _summed([part for _, part in rows])


def _rows(world: World, pairs: Iterable[tuple[str, tuple[str, str]]]) -> Iterator[tuple[Floats, Floats]]:
    for key, (whole, part) in pairs:
        count = world.series.get(key, whole)
        if count is not None:
            of = world.series.get(key, part)
            yield count, np.full(len(count), np.nan) if of is None else of


def _summed(rows: Sequence[Floats]) -> Floats:
    stacked = np.vstack(rows)
    return np.where(np.isfinite(stacked).any(axis=0), np.nansum(stacked, axis=0), np.nan)


def _over(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
