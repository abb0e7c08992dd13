"""Running many incidents, and what came of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from midwatch.gym.simulator.checked import Checked
from midwatch.gym.simulator.checkers import check
from midwatch.gym.simulator.faults import CONTROLS
from midwatch.gym.simulator.run import run
from midwatch.gym.simulator.scenario import DEFAULT_TICKS, draw
from midwatch.gym.simulator.trace import Trace
from midwatch.gym.simulator.watch import Tick
from midwatch.model.events import ActionOrdered, IncidentOpened, PageOrdered

ENOUGH: Final = 300
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Result:
    """One incident: what the checkers said, and how detection and diagnosis fared (information, not a score)."""

    seed: int
    kind: str
    ticks: int
    entities: int
    events: int
    crashes: int
    checks: tuple[Checked, ...]
    detected_seconds: float | None
    first_right: bool | None
    in_first_three: bool | None
    actions: int
    pages: int
    cured: bool
    opened: int

    @property
    def wrong(self) -> tuple[str, ...]:
        return tuple(f"{c.name}: {sentence}" for c in self.checks for sentence in c.wrong)


@dataclass
class Report:
    """Many incidents. ``failures`` are those with a broken invariant; each prints the command that runs it again."""

    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if result.wrong]

    @property
    def vacuous(self) -> list[str]:
        """Invariants that ``ENOUGH`` incidents never put to the test: a green that means nothing is not green."""
        if len(self.results) < ENOUGH:
            return []
        return [name for name, checked, _, _ in self._invariants() if checked == 0]

    @property
    def ok(self) -> bool:
        return bool(self.results) and not self.failures and not self.vacuous

    @property
    def per_minute(self) -> float:
        """Incidents per minute of one core's time (what other processes took does not count)."""
        return 60 * len(self.results) / self.cpu_seconds if self.cpu_seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: counts, failures, and figures per fault kind."""
        return {
            "incidents": len(self.results),
            "ticks": sum(r.ticks for r in self.results),
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "incidents_per_minute": round(self.per_minute, 1),
            "invariants": {name: counts for name, *counts in self._invariants()},
            "ok": self.ok,
            "vacuous": self.vacuous,
            "failures": [{"seed": r.seed, "kind": r.kind, "wrong": list(r.wrong)} for r in self.failures],
            "kinds": self._kinds(),
        }

    def lines(self) -> list[str]:
        """For people."""
        found = [
            f"{len(self.results)} incidents, {sum(r.ticks for r in self.results)} ticks, "
            f"{sum(r.crashes for r in self.results)} crashes in {self.seconds:.1f} s "
            f"({self.per_minute:.0f} a minute of one core)",
            "",
            f"{'invariant':<32}{'checked':>9}{'skipped':>9}{'broken':>8}",
        ]
        found += [
            f"{name:<32}{checked:>9}{skipped:>9}{wrong:>8}" for name, checked, skipped, wrong in self._invariants()
        ]
        found += ["", f"{'kind (information only)':<24}{'runs':>5}{'found':>7}{'median s':>10}{'first':>7}{'top 3':>7}"]
        for kind, f in self._kinds().items():
            median = "-" if f["median_seconds"] is None else f"{f['median_seconds']:.0f}"
            found.append(f"{kind:<24}{f['runs']:>5}{f['detected']:>7}{median:>10}{f['first']:>7}{f['top_three']:>7}")
        found += [f"never put to the test: {name}" for name in self.vacuous]
        for failure in self.failures[:20]:
            found += [
                "",
                f"seed {failure.seed} ({failure.kind}): midwatch gym simulate --seed {failure.seed} --incidents 1",
            ]
            found += [f"  {sentence}" for sentence in failure.wrong[:6]]
        return found

    def _invariants(self) -> list[tuple[str, int, int, int]]:
        names = [c.name for c in self.results[0].checks] if self.results else []
        table = []
        for index, name in enumerate(names):
            column = [r.checks[index] for r in self.results]
            skipped = sum(sum(c.skipped.values()) for c in column)
            table.append((name, sum(c.checked for c in column), skipped, sum(len(c.wrong) for c in column)))
        return table

    def _kinds(self) -> dict[str, dict[str, Any]]:
        kinds: dict[str, dict[str, Any]] = {}
        for kind in sorted({r.kind for r in self.results}):
            runs = [r for r in self.results if r.kind == kind]
            times = [r.detected_seconds for r in runs if r.detected_seconds is not None]
            kinds[kind] = {
                "runs": len(runs),
                "detected": sum(1 for r in runs if r.opened) if kind in CONTROLS else len(times),
                "median_seconds": statistics.median(times) if times else None,
                "first": sum(r.first_right is True for r in runs),
                "top_three": sum(r.in_first_three is True for r in runs),
                "cured": sum(r.cured for r in runs),
                "actions": sum(r.actions for r in runs),
            }
        return kinds


def simulate(
    seed: int, ticks: int = DEFAULT_TICKS, *, tick: Tick | None = None, crash_at: tuple[int, ...] | None = None
) -> tuple[Trace, Result]:
    """One incident. ``crash_at`` replaces the seed's crashes: kill at these ordinal crash points (from 1)."""
    scenario = draw(seed, ticks)
    if crash_at is not None:
        scenario = replace(scenario, crash_at=crash_at)
    trace = run(scenario, tick)
    return trace, _result(trace, check(trace))


def main(
    seeds: Iterable[int], ticks: int = DEFAULT_TICKS, progress: Progress | None = None, *, tick: Tick | None = None
) -> Report:
    """Simulate every seed of ``seeds``; ``progress(done, of)`` is called after each (``of`` 0 when unknown)."""
    numbers = list(seeds)
    report = Report()
    began, cpu = time.perf_counter(), time.process_time()
    for done, seed in enumerate(numbers, start=1):
        report.results.append(simulate(seed, ticks, tick=tick)[1])
        report.seconds, report.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        if progress is not None:
            progress(done, len(numbers))
    return report


def _result(trace: Trace, checks: list[Checked]) -> Result:
    scenario = trace.scenario
    fault = scenario.faults[0]
    opened = [r for r in trace.journal if isinstance(r.event, IncidentOpened)]
    after = [r for r in opened if r.at >= fault.onset_at]
    found = None
    if after and not scenario.healthy:
        found = next((i for i in trace.state.incidents.values() if i.opened_at == after[0].at), None)
    ranked = [h.entity for h in (found.first_ranked or found.hypotheses)] if found else []
    guessed = [
        (e.partition(":")[2].rsplit("-", 2)[0] if e.startswith("instance:") else e.partition(":")[2]) for e in ranked
    ]
    truth = fault.entity.partition(":")[2]
    return Result(
        seed=scenario.seed,
        kind=scenario.kind,
        ticks=len(trace.ticks),
        entities=len(scenario.fleet.entities),
        events=len(trace.journal),
        crashes=len(trace.crashes),
        checks=tuple(checks),
        detected_seconds=after[0].at - fault.onset_at if after and not scenario.healthy else None,
        first_right=guessed[:1] == [truth] if ranked else None,
        in_first_three=truth in guessed[:3] if ranked else None,
        actions=sum(isinstance(r.event, ActionOrdered) for r in trace.journal),
        pages=sum(isinstance(r.event, PageOrdered) for r in trace.journal),
        cured=trace.cured_at is not None,
        opened=len(opened),
    )
