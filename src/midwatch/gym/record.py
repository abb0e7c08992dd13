"""``midwatch gym run --fault KIND --seed N [--record DIR]``: one fault, and its telemetry as OTLP JSON lines to be replayed.

DIR holds what a watch would have received and nothing else. The truth is written elsewhere: ``truth.json`` beside DIR.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from midwatch.gym.faults import background
from midwatch.gym.faults.base import Map
from midwatch.gym.faults.catalog import Case, draw_case, named
from midwatch.gym.fleet import Fleet
from midwatch.gym.score.users import bad_share, first_harm
from midwatch.gym.score.witness import Witness


class Recording(msgspec.Struct, frozen=True):
    """What ``truth.json`` holds: the case, its times, and what users felt (``bad_before``, ``bad_after``: shares)."""

    case: Case
    started_at: float
    injected_at: float
    ended_at: float
    harm_at: float | None
    bad_before: float
    bad_after: float
    requests: int


async def strike(
    fleet: Fleet,
    fault: str,
    seed: int,
    *,
    number: int = 0,
    entity: str | None = None,
    normal_seconds: float = 60.0,
    fault_seconds: float = 90.0,
    settled: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = print,
) -> Recording:
    """Break a running fleet once and say what users felt: ``normal_seconds`` of health (``settled`` is called when they
    begin), the injection, ``fault_seconds`` of harm. The fault stays.

    Raises LookupError for an unknown fault or entity, FleetError when users are not served well before.
    """
    known = Map.read(await fleet.dark.call("targets"))
    case = draw_case(
        seed,
        number,
        named(fault),
        known,
        entity=entity,
        normal_seconds=(normal_seconds, normal_seconds),
        watch_seconds=fault_seconds,
    )
    await named(fault).prepare(fleet, case.truth)
    witness = Witness(fleet)
    await witness.settled()
    settled()
    started = time.time()
    planned = started + case.normal_seconds
    routine = asyncio.create_task(background.play(fleet, case.routines, planned))
    try:
        say(f"{case.name}: normal for {case.normal_seconds:.0f} s")
        await witness.watch(max(0.0, planned - time.time()))
        injected = time.time()
        await named(fault).inject(fleet, case.truth)
        case = replace(case, truth=replace(case.truth, injected_at=injected))
        say(f"{case.name}: {case.truth.entity} {dict(case.truth.strength)}")
        await witness.watch(fault_seconds)
        ended = time.time()
    finally:
        routine.cancel()
        await asyncio.gather(routine, return_exceptions=True)
    requests = witness.requests(started)
    found = Recording(
        case,
        started,
        injected,
        ended,
        first_harm(requests, injected),
        bad_share(requests, started, injected),
        bad_share(requests, injected + 10, ended),
        len(requests),
    )
    say(f"{case.name}: bad requests {found.bad_before:.1%} before, {found.bad_after:.1%} after the injection")
    return found


async def record(
    fault: str,
    seed: int,
    directory: Path,
    *,
    entity: str | None = None,
    rate: float = 25.0,
    truth: Path | None = None,
    say: Callable[[str], None] = print,
) -> Recording:
    """``strike`` a fleet of its own and keep its telemetry in ``directory``; the truth goes to ``truth`` (default:
    ``truth.json`` beside it).

    Raises LookupError for an unknown fault or entity, FleetError when the fleet does not start.
    """
    directory = directory.absolute()
    beside = truth or directory.parent / "truth.json"
    if beside.is_relative_to(directory):
        raise LookupError(f"{beside}: the truth must lie outside of what a watch may read")
    directory.mkdir(parents=True, exist_ok=True)
    cold: dict[Path, int] = {}
    with tempfile.TemporaryDirectory(prefix="midwatch-fleet-") as work:
        async with Fleet(work, rate=rate, seed=seed, record=directory) as fleet:
            found = await strike(
                fleet, fault, seed, entity=entity, settled=lambda: cold.update(_sizes(directory)), say=say
            )
    for path, size in cold.items():
        _cut(path, size)
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    return found


def _sizes(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in directory.iterdir() if path.is_file()}


def _cut(path: Path, size: int) -> None:
    """Take away the first ``size`` bytes: what was recorded while the fleet was cold."""
    fresh = path.with_name(path.name + ".new")
    with path.open("rb") as old, fresh.open("wb") as new:
        old.seek(size)
        shutil.copyfileobj(old, new)
    fresh.replace(path)
