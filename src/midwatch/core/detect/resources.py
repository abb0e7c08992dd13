"""Bounded things that are full, processes that restart or fall silent, certificates that run out.

These findings open no incident by themselves: they are what an incident's diagnosis rests on, and what a person would
like to have seen coming.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import World

FULL: Final = 0.95
HOLD_STEPS: Final = 2


def resources(turn: Turn) -> Iterator[Finding]:
    world = turn.world
    yield from _pools(world)
    yield from _disks(world)
    yield from _restarts(world)
    yield from _silences(turn)
    yield from _certificates(world)


def _finding(
    world: World, kind: str, entity: str, value: float, limit: float, unit: str, detail: str, tag: str
) -> Finding:
    return Finding(
        id=f"{kind}|{entity}|{tag}",
        kind=kind,
        entity=entity,
        since_at=world.series.end_at - HOLD_STEPS * world.series.step_seconds,
        value=value,
        baseline=limit,
        unit=unit,
        detail=detail,
    )


def _pools(world: World) -> Iterator[Finding]:
    """Requests wait for a connection while all are in use."""
    names, waiting = world.series.block(signals.POOL_WAITING)
    for name, waits in zip(names, waiting, strict=True):
        seen = waits[np.isfinite(waits)]
        if kind_of(name) != "service" or seen.size < HOLD_STEPS or not (seen[-HOLD_STEPS:] >= 1).all():
            continue
        limit = last(world, name, signals.POOL_LIMIT)
        used = last(world, name, signals.POOL_USED)
        if np.isnan(limit) or used >= limit * 0.5:
            text = f"{seen[-1]:.0f} waiting for a connection, {used:.0f} of {limit:.0f} in use"
            yield _finding(world, "saturation", name, float(seen[-1]), limit, "requests", text, "pool")


def _disks(world: World) -> Iterator[Finding]:
    names, used = world.series.block(signals.DISK_RATIO)
    for name, ratios in zip(names, used, strict=True):
        seen = ratios[np.isfinite(ratios)]
        if seen.size >= HOLD_STEPS and (seen[-HOLD_STEPS:] >= FULL).all():
            text = f"the disk of {name_of(name)} is {seen[-1]:.0%} full"
            yield _finding(world, "saturation", name, float(seen[-1]), 1.0, "ratio", text, "disk")


def _restarts(world: World) -> Iterator[Finding]:
    names, starts = world.series.block(signals.RESTARTS)
    for name, counts in zip(names, starts, strict=True):
        if kind_of(name) != "service":
            continue
        recent = float(np.nansum(counts[-12:]))
        if recent >= 2:
            text = f"{recent:.0f} restarts in the last minute"
            yield _finding(world, "restart", name, recent, 0.0, "count", text, "")


def _silences(turn: Turn) -> Iterator[Finding]:
    """Instances that reported and no longer do, while others still are heard (else the silence is ours: a gap)."""
    world = turn.world
    names, up = world.series.block(signals.UP)
    if not names:
        return
    heard = np.nan_to_num(up[:, -3:]).sum(axis=1) > 0
    if not heard.any():
        return
    for name, row, alive in zip(names, up, heard, strict=True):
        if kind_of(name) == "instance" and not alive and np.nan_to_num(row[-24:-3]).sum() >= 3:
            yield _finding(world, "silence", name, 0.0, 1.0, "ratio", f"{name_of(name)} no longer reports", "")


def _certificates(world: World) -> Iterator[Finding]:
    names, left = world.series.block(signals.CERT_EXPIRES_SECONDS)
    for name, seconds in zip(names, left, strict=True):
        seen = seconds[np.isfinite(seconds)]
        if seen.size and seen[-1] <= 0:
            yield _finding(
                world,
                "cert_expiry",
                name,
                float(seen[-1]),
                0.0,
                "seconds",
                f"the certificate of {name_of(name)} has expired",
                "",
            )


def last(world: World, subject: str, signal: str) -> float:
    """The newest value that was reported; NaN when there is none."""
    series = world.series.get(subject, signal)
    if series is None:
        return float("nan")
    seen = series[np.isfinite(series)]
    return float(seen[-1]) if seen.size else float("nan")
