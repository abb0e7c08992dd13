"""What ``midwatch gym`` calls: plain functions that answer with exit codes or JSON-able results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from midwatch.model.errors import MidwatchError, UsageError


def run(
    folder: Path,
    seed: int = 1,
    rate: float = 25.0,
    otlp: str = "http://127.0.0.1:4318",
    as_json: bool = False,
    fault: str = "",
    record: Path | None = None,
) -> int:
    """The fleet alone, until Ctrl-C; or, with ``fault`` and ``record``, a recording of one fault."""
    console = Console(stderr=as_json, highlight=False)
    if fault or record is not None:
        if not fault or record is None:
            raise UsageError("a recording needs both a fault and a folder", hint="--fault NAME --record DIR")
        from midwatch.gym.record import record as make

        _guarded(make(fault, seed, record, rate=rate, say=console.print))
        return 0
    from midwatch.gym.fleet import Fleet

    async def until_interrupted() -> None:
        async with Fleet(folder, otlp, seed=seed, rate=rate) as fleet:
            console.print(f"users come in at {fleet.info.gateway_url}, telemetry goes to {otlp}")
            console.print(f"front doors for a watch: midwatch up --fleet {fleet.directory}")
            await fleet.wait_closed()

    try:
        _guarded(until_interrupted())
    except KeyboardInterrupt:
        pass
    return 0


def score(
    seeds: Sequence[int],
    folder: Path | None = None,
    faults: Sequence[str] = (),
    as_json: bool = False,
    cases: int = 1,
    jobs: int = 1,
) -> dict[str, Any]:
    """Score the watch; raw cases and ``gym.md`` lie in ``folder`` (default ``gym-score-<seeds>``). A case that is there
    is kept."""
    from midwatch.gym.score.report import line
    from midwatch.gym.score.run import score as play
    from midwatch.gym.score.run import write_page

    console = Console(stderr=as_json, highlight=False)
    out = folder or Path(f"gym-score-{'-'.join(map(str, seeds))}")
    files = _guarded(play(seeds, out, kinds=faults, cases=cases, jobs=jobs, say=console.print))
    command = "midwatch gym score" + "".join(f" --seed {seed}" for seed in seeds)
    command += "".join(f" --fault {name}" for name in faults)
    page = write_page(out, files, command)
    console.print(f"the page: {page}")
    harmful = [f for f in files if f.case.truth.harmful and not f.error]
    controls = [f for f in files if not f.case.truth.harmful and not f.error]
    everything = line("all", harmful)
    quiet = not any(f.score.incidents or f.score.pages or f.score.actions for f in controls)
    ok = (
        len(files) == len(harmful) + len(controls)
        and everything.detected.hits == everything.detected.total
        and (not harmful or everything.detect_median <= 20)
        and everything.first.hits >= 0.85 * everything.first.total
        and everything.top3.hits == everything.top3.total
        and everything.recovered.hits >= 0.75 * everything.recovered.total
        and everything.worsened == 0
        and quiet
    )
    return {
        "ok": ok,
        "cases": len(files),
        "folder": str(out),
        "page": str(page),
        "detected": str(everything.detected),
        "median_detect_seconds": everything.detect_median,
        "cause_first": str(everything.first),
        "cause_top3": str(everything.top3),
        "recovered": str(everything.recovered),
        "worsened": everything.worsened,
        "controls_quiet": quiet,
    }


def faults() -> list[dict[str, Any]]:
    """What can break, where, and what mends it."""
    from random import Random

    from midwatch.gym.faults.catalog import CONTROLS, FAULTS
    from midwatch.gym.faults.shop import shop

    known = shop()
    rows = []
    for fault in (*FAULTS, *CONTROLS):
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

    from midwatch.gym.faults.selfcheck import selfcheck

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


def _guarded(work: Any) -> Any:
    """Run ``work``; errors of the gym become errors that the command line can tell."""
    from midwatch.gym.fleet import DarkError, FleetError
    from midwatch.gym.watched import WatchError

    try:
        return asyncio.run(work)
    except LookupError as error:
        raise UsageError(str(error.args[0] if error.args else error)) from error
    except (FleetError, DarkError, WatchError) as error:
        raise MidwatchError(str(error)) from error
