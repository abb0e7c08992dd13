"""What happens to processes: memory that grows until they are killed, crashes, starvation of CPU, silence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.calls import way_share
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import Entity, edge_key, kind_of, name_of
from midwatch.model.world import Floats

GROWTH: Final = 1.35
THROTTLED: Final = 0.15
BUSY: Final = 0.75
FULL: Final = 0.90
JUMP: Final = 0.50


def processes(case: Case, blame: Blame) -> Iterator[Clue]:
    for service in case.services:
        yield from _memory_and_crashes(case, blame, service)
        yield from _starvation(case, blame, service)


def _memory_and_crashes(case: Case, blame: Blame, service: str) -> Iterator[Clue]:
    # Starts of processes during normal time are deploys and scalings; what counts is what lies above that.
    restarts = case.sum(service, signals.RESTARTS, case.bad)
    leaking = [(i, rise) for i in case.instances(service) if (rise := _rise(case, i)) is not None]
    share = max(blame.of(service), _turned_away(case, service))
    for instance, (low, high, limit) in leaking:
        near = limit > 0 and high >= 0.8 * limit
        weight = 1.5 + (1.5 if near else 0.0) + (1.5 if restarts >= 1 else 0.0)
        text = f"memory of {instance.name} grew from {low / 1e6:.0f} to {high / 1e6:.0f} MB" + (
            f" of {limit / 1e6:.0f} MB" if limit > 0 else ""
        )
        yield clue(
            service, faults.MEMORY_LEAK, weight, "resource", text, value=high / 1e6, baseline=low / 1e6, unit="MB",
            share=share, scope={"instance": instance.name} if len(leaking) == 1 else {}, seen_at=instance.key,
        )  # fmt: skip
    deployed = any(
        c.kind in ("deploy", "scale")
        and name_of(c.entity).startswith(name_of(service))
        and abs(c.at - case.onset_at) < 20
        for c in case.changes
    )
    if restarts >= 1 and not leaking:
        weight = (1.0 if restarts < 2 else 3.5) - (
            2.0 if deployed and restarts <= 2 * len(case.instances(service)) else 0.0
        )
        text = f"{restarts:.0f} restarts of {name_of(service)} since the trouble began"
        yield clue(
            service,
            faults.CRASH_LOOP,
            weight,
            "resource",
            text,
            value=restarts,
            baseline=0.0,
            unit="count",
            share=share,
        )
    silent = [i for i in case.instances(service) if fell_silent(case, i) and not _succeeded(case, i)]
    if silent:
        everybody = len(silent) == len([i for i in case.instances(service) if _was_up(case, i)])
        names = ", ".join(i.name for i in silent)
        kind = faults.SERVICE_DOWN if everybody else faults.BAD_INSTANCE
        scope = {} if everybody else {"instance": silent[0].name}
        text = f"{names} no longer report{'s' if len(silent) == 1 else ''}"
        yield clue(service, kind, 2.0, "silence", text, value=float(len(silent)), unit="count", scope=scope)
        if restarts >= 1:
            yield clue(service, faults.CRASH_LOOP, 1.0, "silence", text, value=float(len(silent)), unit="count")


def died(case: Case, instance: Entity) -> bool:
    """Whether an instance fell silent or began anew since the trouble began."""
    return fell_silent(case, instance) or case.sum(instance.key, signals.RESTARTS, case.bad) >= 1


def _turned_away(case: Case, service: str) -> float:
    """The share of the usual requests that an entry point no longer takes while its instances die: their users see it,
    and no span tells."""
    usual = case.sum(service, signals.REQUESTS, case.normal) * case.scale
    if service not in case.world.entries or usual <= 0 or not any(died(case, i) for i in case.instances(service)):
        return 0.0
    return float(np.clip(1.0 - case.sum(service, signals.REQUESTS, case.bad) / usual, 0.0, 1.0))


def _rise(case: Case, instance: Entity) -> tuple[float, float, float] | None:
    """(before, highest, limit) in bytes when memory climbed steadily by more than a third within the case."""
    memory = case.world.series.get(instance.key, signals.MEMORY_BYTES)
    if memory is None:
        return None
    seen = memory[case.normal.start : case.bad.stop]
    seen = seen[np.isfinite(seen)]
    if seen.size < 6:
        return None
    top = int(np.argmax(seen))
    climb = seen[: top + 1]
    low, high = float(climb.min()), float(seen[top])
    if climb.size < 4 or high < GROWTH * low or high - low < 10e6 or not _steady(climb):
        return None
    limit = case.peak(instance.key, signals.MEMORY_LIMIT_BYTES, slice(0, case.world.series.steps))
    return low, high, 0.0 if math.isnan(limit) else limit


def _steady(climb: Floats) -> bool:
    """A leak climbs in many steps; a warm-up jumps once."""
    rises = np.diff(climb[int(np.argmin(climb)) :])
    total = rises.sum()
    return bool(rises.size >= 3 and total > 0 and (rises > 0.02 * total).sum() >= 3 and rises.max() < 0.7 * total)


def _was_up(case: Case, instance: Entity) -> bool:
    return case.sum(instance.key, signals.UP, slice(max(0, case.normal.stop - 6), case.normal.stop)) >= 2


def fell_silent(case: Case, instance: Entity) -> bool:
    """It reported just before the onset, and not in the newest three steps, nor for longer than it used to pause."""
    if not _was_up(case, instance) or case.world.series.steps - case.bad.start < 3 or speaks(case, instance):
        return False
    seen = case.values(instance.key, signals.UP, slice(case.normal.start, case.world.series.steps))
    reported = np.flatnonzero(np.nan_to_num(seen) > 0)
    pauses = np.diff(reported) - 1
    return bool(reported.size and seen.size - 1 - reported[-1] > pauses.max(initial=0))


def speaks(case: Case, instance: Entity) -> bool:
    """Whether it reported in one of the newest steps."""
    newest = slice(max(case.bad.start, case.world.series.steps - 4), case.world.series.steps)
    return case.sum(instance.key, signals.UP, newest) > 0


def _succeeded(case: Case, instance: Entity) -> bool:
    """Whether another process took its place: of one that is gone for good nobody says that it is down."""
    return not np.isfinite(case.values(instance.key, signals.UP, case.bad)[-3:]).any()


def kept_from_cpu(case: Case, service: str) -> list[tuple[Entity, float, float]]:
    """Instances that wait for the CPU more than before: (instance, share of the time now, before)."""
    hit: list[tuple[Entity, float, float]] = []
    for instance in case.instances(service):
        now = case.level(instance.key, signals.CPU_THROTTLED_RATIO, case.bad)
        before = case.level(instance.key, signals.CPU_THROTTLED_RATIO, case.normal)
        before = 0.0 if math.isnan(before) else before
        if now >= before + THROTTLED:
            hit.append((instance, now, before))
    return hit


def _starvation(case: Case, blame: Blame, service: str) -> Iterator[Clue]:
    """A starved service also explains the time that its callers wait on the way to it."""
    hit = kept_from_cpu(case, service)
    callers = [key for key in case.world.callers.get(service, ()) if kind_of(key) == "service"]
    waited = sum(way_share(case, blame, edge_key(caller, service)) for caller in callers) if hit else 0.0
    for instance, now, before in hit:
        text = f"{instance.name} is kept from the CPU {now:.0%} of the time, {before:.0%} before"
        scope = {"instance": instance.name} if len(hit) == 1 and len(case.instances(service)) > 1 else {}
        yield clue(
            service, faults.CPU_STARVED, 4.5, "saturation", text, value=now, baseline=before, unit="ratio", scope=scope,
            share=min(1.0, blame.of(service) + waited), seen_at=instance.key,
        )  # fmt: skip
    if not hit:
        for instance in case.instances(service):
            yield from _busy(case, service, instance)


def _busy(case: Case, service: str, instance: Entity) -> Iterator[Clue]:
    """An instance that used little of its CPU and now uses nearly all, and not because it has more to do."""
    seen = case.values(instance.key, signals.CPU_RATIO, case.bad)
    seen = seen[np.isfinite(seen)]
    before = case.level(instance.key, signals.CPU_RATIO, case.normal)
    highest = case.peak(instance.key, signals.CPU_RATIO, case.normal)
    if not seen.size:
        return
    now = float(seen[-max(1, seen.size // 2) :].mean())  # a gauge that is told once a minute shows it late
    before, highest = (0.0, 0.0) if math.isnan(before) else (before, highest)
    usual = case.sum(service, signals.REQUESTS, case.normal) * case.scale
    busier = max(1.0, case.sum(service, signals.REQUESTS, case.bad) / usual) if usual > 0 else 1.0
    jumped = now >= highest + JUMP and now > 1.5 * busier * before
    if now >= BUSY and (jumped or (now >= FULL and now > 1.5 * before)):
        text = f"{instance.name} uses {now:.0%} of its CPU, {before:.0%} before"
        yield clue(
            service, faults.CPU_STARVED, 4.5 if jumped else 2.0, "saturation", text, value=now, baseline=before,
            unit="ratio", scope={"instance": instance.name}, seen_at=instance.key,
        )  # fmt: skip
