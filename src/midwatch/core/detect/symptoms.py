"""What users feel: failing and slow requests, traffic that stays away, messages that nobody takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.detect.deaths import lives
from midwatch.core.detect.drop import WIDTH, drops
from midwatch.core.detect.gaps import blind
from midwatch.core.detect.shift import HISTORY, THRESHOLD_INSIDE, WIDTHS, shift, sure_at_entry
from midwatch.core.slo.discover import NOTICED_MS, latency_thresholds
from midwatch.core.slo.measure import measure, total
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import DYING, Finding
from midwatch.model.world import Floats, Ints, World

MIN_RISE: Final = 0.01  # of the requests at an entry point
MIN_RISE_INSIDE: Final = 0.03  # of the requests at a service that only other services call
MIN_SLOW_RISE: Final = 0.03
MIN_SLOW_RISE_INSIDE: Final = 0.10
NOTICED_INSIDE_MS: Final = 25.0
LAG_SECONDS: Final = 8.0
CHECK_SECONDS: Final = 15.0
JUDGED_STEPS: Final = WIDTHS[-1]  # the widest look of the shift test
JUDGED: Final = ("service",)


def symptoms(turn: Turn) -> Iterator[Finding]:
    """Findings that users can feel, at every service, entry point and queue."""
    world = turn.world
    names, requests = _judged(world, signals.REQUESTS)
    if names:
        counts = np.nan_to_num(requests) * _ordinary(turn)
        yield from _errors(turn, names, counts)
        yield from _slowness(turn)
        yield from _drops(turn, names, requests)
    yield from _lags(turn)


def _judged(world: World, signal: str) -> tuple[tuple[str, ...], Floats]:
    names, values = world.series.block(signal)
    keep = [row for row, name in enumerate(names) if kind_of(name) in JUDGED]
    if len(keep) == len(names):
        return names, values
    return tuple(names[row] for row in keep), values[keep]


def _aligned(world: World, names: tuple[str, ...], signal: str) -> Floats:
    """Values of ``signal`` in the order of ``names``, zero where nothing was reported."""
    rows = world.series.index.row_of
    at = np.array([rows.get((name, signal), -1) for name in names], dtype=np.intp)
    found = np.zeros((len(names), world.series.steps))
    found[at >= 0] = np.nan_to_num(world.series.values[at[at >= 0]])
    return found


def _baselines(turn: Turn, names: tuple[str, ...]) -> Ints:
    """Where each row's history ends: before the onset of an incident that is open (its steps are not normal)."""
    grid = turn.world.series
    limit = np.full(len(names), grid.steps, dtype=np.intp)
    onsets = [i.onset_at for i in turn.state.open_incidents]
    if onsets:
        limit[:] = max(0, math.floor((min(onsets) - grid.start_at) / grid.step_seconds))
    return limit


def _ordinary(turn: Turn) -> Floats:
    """1 per step, 0 where a past incident was going on: its steps say nothing about what is normal. Shape (steps,)."""
    grid = turn.world.series
    found = np.ones(grid.steps)
    for incident in turn.state.incidents.values():
        if incident.phase == "resolved":
            over_at = incident.calm_since_at or incident.resolved_at or incident.onset_at
            found[(grid.times >= incident.onset_at - 2 * grid.step_seconds) & (grid.times < over_at)] = 0.0
    return found


def _errors(turn: Turn, names: tuple[str, ...], requests: Floats) -> Iterable[Finding]:
    world = turn.world
    errors = np.minimum(_aligned(world, names, signals.ERRORS), requests)
    entry = _entry(world, names)
    floor = np.where(entry, MIN_RISE, MIN_RISE_INSIDE)
    # A burst that is over in one step is no incident, and a shift whose newest step is clean has ended.
    found = shift(errors, requests, floor=floor, baseline_until=_baselines(turn, names), sustained=True)
    sure = np.where(entry, sure_at_entry(found.width), THRESHOLD_INSIDE)
    for row in found.fired(np.maximum(floor, 0.5 * found.before), sure):
        yield Finding(
            id=f"error_shift|{names[row]}|",
            kind="error_shift",
            entity=names[row],
            since_at=float(world.series.times[found.began[row]]),
            value=float(found.now[row]),
            baseline=float(found.before[row]),
            unit="ratio",
            log_bayes=float(found.log_bayes[row]),
            detail=f"{found.now[row]:.1%} of requests fail, {found.before[row]:.1%} before",
        )


def _slowness(turn: Turn) -> Iterable[Finding]:
    """Requests slower than the SLO's bound, or than twice the 99th percentile of the history where there is none."""
    world = turn.world
    rows = [row for row, name in enumerate(world.latency.subjects) if kind_of(name) in JUDGED]
    if not rows:
        return
    names = tuple(world.latency.subjects[row] for row in rows)
    recent = max(0, world.series.steps - HISTORY)
    counts = (
        world.latency.counts[rows, recent:]
        if len(rows) < len(world.latency.subjects)
        else world.latency.counts[:, recent:]
    )
    ordinary = _ordinary(turn)[recent:]
    limits = np.maximum(_baselines(turn, names) - recent, 0)
    usual = _settled(counts.sum(axis=2) > 0) & (np.arange(counts.shape[1]) < np.maximum(limits - 2, 0)[:, None])
    history = np.einsum("rsb,rs->rb", counts, usual * ordinary)
    entry = _entry(world, names)
    thresholds = latency_thresholds(history, np.where(entry, NOTICED_MS, NOTICED_INSIDE_MS))
    promised = _promised(turn)
    for row in (row for row, name in enumerate(names) if name in promised):
        thresholds[row] = promised[names[row]]
    above = np.asarray((*signals.LATENCY_BOUNDS_MS, np.inf))[None, :] > thresholds[:, None]
    judged = np.isfinite(thresholds)[:, None] * ordinary
    counted = counts.sum(axis=2) * judged
    slow = np.einsum("rsb,rb->rs", counts, above.astype(np.float64)) * judged
    floor = np.where(entry, MIN_SLOW_RISE, MIN_SLOW_RISE_INSIDE)
    found = shift(slow, counted, floor=floor, baseline_until=limits, sustained=True)
    sure = np.where(entry, sure_at_entry(found.width), THRESHOLD_INSIDE)
    for row in found.fired(np.maximum(floor, found.before), sure):
        yield Finding(
            id=f"latency_shift|{names[row]}|",
            kind="latency_shift",
            entity=names[row],
            since_at=float(world.series.times[recent + found.began[row]]),
            value=float(found.now[row]),
            baseline=float(found.before[row]),
            unit="ratio",
            log_bayes=float(found.log_bayes[row]),
            detail=f"{found.now[row]:.1%} of requests take over {thresholds[row]:g} ms, {found.before[row]:.1%} before",
            slo=f"slow_ratio:{thresholds[row]:g}",
        )


def _settled(heard: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Steps whose latency may say what is usual, shape (rows, steps): all but the newest half of those with requests, 2 to
    ``JUDGED_STEPS`` of them, so that slowness does not become usual before it was judged. Steps that are empty because a
    service reports late do not count as judged."""
    newer = np.cumsum(heard[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(newer > np.clip(newer[:, :1] // 2, 2, JUDGED_STEPS))


def _promised(turn: Turn) -> dict[str, float]:
    return {slo.entity: slo.threshold_ms for slo in turn.state.slos if slo.sli == "latency"}


def _entry(world: World, names: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    entries = frozenset(world.entries)
    return np.array([name in entries for name in names], dtype=bool)


def _drops(turn: Turn, names: tuple[str, ...], requests: Floats) -> Iterable[Finding]:
    """Entry points whose requests stay away. ``requests`` keeps its NaN: where nobody was heard in the newest steps there is
    a gap, and a gap is no drop. An entry that says nothing serves nothing only if what it calls is called less as well. Of
    one that tells its requests late, the newest steps are not judged yet."""
    world = turn.world
    if blind(turn) or turn.state.open_incidents:
        return
    heard = np.asarray(np.isfinite(requests[:, -WIDTH:]).all(axis=1))
    dying = {name for name in world.entries if _lost_an_instance(world, name)}
    dying |= {callee for name in dying for callee in world.callees.get(name, ())}
    suspected = np.array([name in dying for name in names], dtype=bool)
    late = _late(turn, names)
    fallen = list(_fallen(requests, suspected, late))
    less = {names[row] for row, *_ in fallen if heard[row]}
    step = world.series.step_seconds
    for row, after, usual in fallen:
        name = names[row]
        if name not in world.entries or not (heard[row] or not less.isdisjoint(world.callees.get(name, ()))):
            continue
        yield Finding(
            id=f"traffic_drop|{name}|",
            kind="traffic_drop",
            entity=name,
            since_at=world.series.end_at - (WIDTH + int(late[row])) * step,
            value=after / step,
            baseline=usual / step,
            unit="requests/s",
            detail=f"{after / step:.1f} requests/s, {usual / step:.1f} before",
        )


def _fallen(requests: Floats, suspected: npt.NDArray[np.bool_], late: Ints) -> Iterable[tuple[int, float, float]]:
    """Rows whose traffic fell away, each without its ``late`` newest steps, with the requests of a step now and before."""
    for steps in np.unique(late):
        same = np.flatnonzero(late == steps)
        rows, now, before = drops(np.nan_to_num(requests[same, : requests.shape[1] - steps]), suspected[same])
        yield from zip(same[rows].tolist(), now.tolist(), before.tolist(), strict=True)


def _late(turn: Turn, names: tuple[str, ...]) -> Ints:
    """Newest steps that say too little yet, per row. A drop has to hold for ``WIDTH`` anyway, so what is told one step late
    costs nothing; of what is later, a step more than was seen is waited for, as batches wander."""
    known = turn.memory.lateness
    if known is None or not (known.steps > 1).any():
        return np.zeros(len(names), dtype=np.intp)
    steps = np.array([known.steps[known.row_of[name]] if name in known.row_of else 0.0 for name in names])
    return np.asarray(np.maximum(np.ceil(steps).astype(np.intp) + 1 - (WIDTH - 1), 0))


def _lost_an_instance(world: World, service: str) -> bool:
    """Whether an instance that reported before was silent, or began anew, in one of the newest steps."""
    for instance in world.instances.get(service, ()):
        up = world.series.get(instance.key, signals.UP)
        if up is not None and np.nan_to_num(up[-4 * WIDTH : -WIDTH]).sum() >= 2 and not (up[-WIDTH:] > 0).all():
            return True
        restarts = world.series.get(instance.key, signals.RESTARTS)
        if restarts is not None and np.nansum(restarts[-WIDTH:]) >= 1:
            return True
    return False


def _lags(turn: Turn) -> Iterable[Finding]:
    """Queues whose oldest message keeps getting older: nobody takes it."""
    world = turn.world
    names, lags = world.series.block(signals.QUEUE_LAG_SECONDS)
    for name, lag in zip(names, lags, strict=True):
        if kind_of(name) != "queue":
            continue
        seen = np.flatnonzero(np.isfinite(lag))
        if seen.size < 6:
            continue
        values = lag[seen]
        usual = float(np.median(values[:-3]))
        grows = bool((np.diff(values[-3:]) > 0).all())
        if grows and values[-1] >= max(LAG_SECONDS, 4 * usual + 2):
            yield Finding(
                id=f"queue_lag|{name}|",
                kind="queue_lag",
                entity=name,
                since_at=float(world.series.times[seen[-1]] - values[-1]),
                value=float(values[-1]),
                baseline=usual,
                unit="seconds",
                detail=f"the oldest message in {name_of(name)} waits for {values[-1]:.0f} s, {usual:.1f} s before",
            )


def recovered(turn: Turn, finding: Finding) -> bool:
    """Whether the signal of a harmful finding is seen to be back where it was. No traffic and no data are not."""
    world = turn.world
    if finding.kind == DYING:
        return lives(turn, finding.entity)
    if finding.kind == "traffic_drop":
        rate = measure(world, finding.entity, "request_rate", CHECK_SECONDS)
        return rate >= 0.6 * finding.baseline
    if finding.kind == "queue_lag":
        lag = measure(world, finding.entity, signals.QUEUE_LAG_SECONDS, CHECK_SECONDS)
        return lag <= max(LAG_SECONDS / 2, 2 * finding.baseline + 1)
    signal = "error_ratio" if finding.kind == "error_shift" else finding.slo
    entry = finding.entity in world.entries
    rise = (MIN_RISE if entry else MIN_RISE_INSIDE) if signal == "error_ratio" else MIN_SLOW_RISE
    # Rarely called services get a longer look, so that one failure in three requests does not keep a finding open.
    window = CHECK_SECONDS
    while window < 120 and not total(world, finding.entity, signals.REQUESTS, window) >= 20:
        window *= 2
    ratio = measure(world, finding.entity, signal, window)
    if np.isnan(ratio):
        return _abandoned(turn, finding)
    return ratio <= finding.baseline + max(
        rise, 0.25 * (finding.value - finding.baseline) if window > CHECK_SECONDS else rise
    )


def _abandoned(turn: Turn, finding: Finding) -> bool:
    """An inner service that nobody calls any more while requests still enter elsewhere harms nobody."""
    if finding.entity in turn.world.entries:
        return False
    return any(measure(turn.world, entry, "request_rate", CHECK_SECONDS) > 0 for entry in turn.world.entries)
