"""What ``midwatch gym`` calls: plain functions that answer with exit codes or JSON-able results."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from midwatch.model.errors import MidwatchError, UsageError

if TYPE_CHECKING:
    from midwatch.gym.record import Recording


def run(
    folder: Path,
    seed: int = 1,
    rate: float = 25.0,
    otlp: str = "http://127.0.0.1:4318",
    as_json: bool = False,
    fault: str = "",
    entity: str = "",
    record: Path | None = None,
    once: bool = False,
) -> int | dict[str, Any]:
    """The fleet alone, until Ctrl-C. With ``fault`` it breaks once, after a minute, and goes on; ``once``: it ends a minute
    and a half after that, and ``record`` does so too and keeps the telemetry. Those two answer with what users felt; ``ok``
    is False when a fault was not felt, or a healthy control was."""
    if not fault and (entity or once or record is not None):
        raise UsageError(
            "--entity, --record and --once need a fault", hint="--fault KIND; midwatch gym faults lists them"
        )
    if fault:
        _drawable(fault, seed, entity)
    console = Console(stderr=as_json, highlight=False)
    if record is not None:
        from midwatch.gym.record import record as make

        return _felt(_guarded(make(fault, seed, record, entity=entity or None, rate=rate, say=console.print)))
    from midwatch.gym.fleet import Fleet
    from midwatch.gym.record import strike

    async def until_over() -> Recording | None:
        async with Fleet(folder, otlp, seed=seed, rate=rate) as fleet:
            console.print(f"users come in at {fleet.info.gateway_url}, telemetry goes to {otlp}", soft_wrap=True)
            console.print(f"front doors for a watch: midwatch up --fleet {fleet.directory}", soft_wrap=True)
            found = None
            if fault:
                found = await strike(fleet, fault, seed, entity=entity or None, say=console.print)
                if not once:
                    console.print("the fault stays for an hour; Ctrl-C ends it all")
            if not once:
                await fleet.wait_closed()
            return found

    try:
        found = _guarded(until_over())
    except KeyboardInterrupt:
        return 0
    return _felt(found) if once else 0


def _drawable(fault: str, seed: int, entity: str) -> None:
    """Find out before a fleet is started. Raises UsageError when there is no such fault, or it cannot strike there."""
    from midwatch.gym.faults.catalog import draw_case, named
    from midwatch.gym.faults.shop import shop

    with _told():
        draw_case(seed, 0, named(fault), shop(), entity=entity or None)


def _felt(found: Recording) -> dict[str, Any]:
    truth = found.case.truth
    return {
        "ok": (found.harm_at is not None) == truth.harmful,
        "fault": truth.fault,
        "entity": truth.entity,
        "strength": dict(truth.strength),
        "felt_after_seconds": None if found.harm_at is None else round(found.harm_at - found.injected_at, 1),
        "bad_before": _number(found.bad_before),
        "bad_after": _number(found.bad_after),
        "requests": found.requests,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def score(
    seeds: Sequence[int],
    out: Path | None = None,
    kinds: Sequence[str] = (),
    as_json: bool = False,
    cases: int = 1,
    jobs: int = 1,
) -> dict[str, Any]:
    """Score the watch; raw cases and ``gym.md`` lie in ``out`` (default ``gym-score-<seeds>``). A case that is there is
    kept. ``ok`` is False when a bound that the page names is missed, or a case could not be played."""
    from midwatch.gym.score.report import line
    from midwatch.gym.score.run import score as play
    from midwatch.gym.score.run import wanted, write_page

    console = Console(stderr=as_json, highlight=False)
    with _told():
        wanted(seeds, kinds, cases)
    out = out or Path(f"gym-score-{'-'.join(map(str, seeds))}")
    files = _guarded(play(seeds, out, kinds=kinds, cases=cases, jobs=jobs, say=console.print))
    command = "midwatch gym score" + "".join(f" --seed {seed}" for seed in seeds)
    command += "".join(f" --kinds {name}" for name in kinds) + (f" --cases {cases}" if cases > 1 else "")
    page = write_page(out, files, command)
    console.print(f"the page: {page}", soft_wrap=True)
    harmful = [f for f in files if f.case.truth.harmful and not f.error]
    controls = [f for f in files if not f.case.truth.harmful and not f.error]
    everything = line("all", harmful)
    quiet = not any(f.score.incidents or f.score.pages or f.score.actions for f in controls)
    calm_before = not any(
        f.score.incidents_before or f.score.pages_before or f.score.actions_before for f in (*harmful, *controls)
    )
    ok = (
        len(files) == len(harmful) + len(controls)
        and everything.detected.hits == everything.detected.total
        and (not harmful or everything.detect_median <= 20)
        and everything.first.hits >= 0.85 * everything.first.total
        and everything.top3.hits == everything.top3.total
        and everything.recovered.hits >= 0.75 * everything.recovered.total
        and everything.worsened == 0
        and quiet
        and calm_before
    )
    return {
        "ok": ok,
        "cases": len(files),
        "folder": str(out),
        "page": str(page),
        "detected": str(everything.detected),
        "median_detect_seconds": _number(everything.detect_median),
        "cause_first": str(everything.first),
        "cause_top3": str(everything.top3),
        "recovered": str(everything.recovered),
        "worsened": everything.worsened,
        "controls_quiet": quiet,
        "quiet_before_the_fault": calm_before,
    }


def faults(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What can break, where, and what mends it: all of it, or those named."""
    from random import Random

    from midwatch.gym.faults.catalog import BY_NAME, named
    from midwatch.gym.faults.shop import shop

    known = shop()
    rows = []
    with _told():
        chosen = [named(name) for name in names] or list(BY_NAME.values())
    for fault in chosen:
        truth = fault.draw(Random(0), known)
        rows.append(
            {
                "name": fault.name,
                "kind": fault.kind,
                "what": fault.summary,
                "eligible": len(fault.eligible(known)),
                "fixed_by": sorted({fix.verb for fix in truth.fixes}),
                "restart_cures": fault.restart_cures,
            }
        )
    return rows


def check(names: Sequence[str] = (), seed: int = 1, as_json: bool = False) -> dict[str, Any]:
    """Does each fault do what it says? Takes about two minutes each."""
    from msgspec import to_builtins

    from midwatch.gym.faults.catalog import named
    from midwatch.gym.faults.selfcheck import selfcheck

    with _told():
        for name in names:
            named(name)
    console = Console(stderr=as_json, highlight=False)
    found = _guarded(selfcheck(names, seed, say=console.print))
    return {"ok": not any(one.problems for one in found), "faults": to_builtins(found), "at": time.time()}


def simulate(seed: int = 1, incidents: int = 100, as_json: bool = False) -> Any:
    """The simulator's command."""
    import importlib

    try:
        run_simulator = importlib.import_module("midwatch.gym.simulator.cli").simulate
    except (ImportError, AttributeError) as error:
        raise UsageError(f"this gym has no simulator command: {error}") from error
    return run_simulator(seed=seed, incidents=incidents, as_json=as_json)


@contextmanager
def _told() -> Iterator[None]:
    """What does not exist in the gym is the caller's mistake."""
    try:
        yield
    except LookupError as error:
        raise UsageError(
            str(error.args[0] if error.args else error), hint="midwatch gym faults says what there is"
        ) from error


def _guarded(work: Any) -> Any:
    """Run ``work``; errors of the gym become errors that the command line can tell."""
    from midwatch.gym.fleet import DarkError, FleetError
    from midwatch.gym.watched import WatchError

    try:
        return asyncio.run(work)
    except (FleetError, DarkError, WatchError) as error:
        raise MidwatchError(str(error)) from error
