"""Does "well again between these two moments" hold as often as it says?

Incidents whose lengths are drawn from a seed in several shapes, told as they come; and those of the gym, each from the rest.
At each incident the estimate is made as in production: from the incidents that were over by then (the newest 200, as state
keeps them), when it opens, once its cause is known, and while it goes on. Reported are how often the interval held what came
(with Wilson's interval), how wide it was, and how often nothing was said; beside it the same of Wilks' formula alone, over
all that is remembered.

    python benchmarks/eta_coverage.py [--histories 60] [--incidents 150] [--seed 1] [--json docs/results/eta.json]
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from midwatch.core.oncall import eta
from midwatch.core.oncall.eta import COVERAGE, Eta, depth, depths_of, estimate
from midwatch.gym.score.stats import median, wilson
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.fold.incidents import MAX_CLOSED_INCIDENTS

BEGIN = 1_764_000_000.0
DETECT_SECONDS = 30.0
DIAGNOSE_SECONDS = 20.0
KINDS = ("pool_exhausted", "bad_deploy", "disk_full", "cert_expired", "network_fault")


@dataclass(frozen=True)
class Drawn:
    """An incident as it will have been: how long it lasts, its cause as told, its severity, and the time to the next one."""

    length_seconds: float
    kind: str = KINDS[0]
    severity: int = 2
    gap_seconds: float = 7200.0


Shape = Callable[[random.Random, int], Iterator[Drawn]]


def lognormal(draw: random.Random, count: int) -> Iterator[Drawn]:
    """Repairs as they are mostly modelled: median 11 min, one in six more than 37 min."""
    yield from (Drawn(draw.lognormvariate(6.5, 1.2) + 40) for _ in range(count))


def bimodal(draw: random.Random, count: int) -> Iterator[Drawn]:
    """A playbook cures seven of ten in two minutes; the rest waits for a person for hours."""
    for _ in range(count):
        yield Drawn(draw.lognormvariate(*((math.log(120), 0.3) if draw.random() < 0.7 else (math.log(9000), 0.5))) + 40)


def heavy(draw: random.Random, count: int) -> Iterator[Drawn]:
    """Pareto with a tail index of 1.1: hardly a mean."""
    yield from (Drawn(120 * draw.paretovariate(1.1)) for _ in range(count))


def few(draw: random.Random, count: int) -> Iterator[Drawn]:
    """A quiet team: fourteen incidents in all."""
    yield from lognormal(draw, min(count, 14))


def rounded(draw: random.Random, count: int) -> Iterator[Drawn]:
    """Ended at the next full five minutes, so many are equally long."""
    yield from (Drawn(300.0 * math.ceil((draw.lognormvariate(6.5, 1.0) + 40) / 300)) for _ in range(count))


def causes(draw: random.Random, count: int) -> Iterator[Drawn]:
    """Five causes, with medians from 3 min to 3 h, and one in seven diagnosed wrongly; severity goes with the cause."""
    for _ in range(count):
        number = draw.randrange(5)
        told = draw.randrange(5) if draw.random() < 0.15 else number
        length = draw.lognormvariate(math.log(180 * 2.8**number), 0.7) + 40
        yield Drawn(length, KINDS[told], 1 + (number + draw.randrange(2)) // 2)


def drift(draw: random.Random, count: int) -> Iterator[Drawn]:
    """The team gets better: incidents last half as long every fifty."""
    yield from (Drawn(draw.lognormvariate(7.5, 0.8) * 0.5 ** (n / 50) + 40) for n in range(count))


def jump(draw: random.Random, count: int) -> Iterator[Drawn]:
    """In the middle a playbook is let loose: from then on everything takes a sixth of the time."""
    yield from (Drawn(draw.lognormvariate(7.5, 0.8) / (6 if n >= count // 2 else 1) + 40) for n in range(count))


def worse(draw: random.Random, count: int) -> Iterator[Drawn]:
    """In the middle who knew the system leaves: from then on everything takes four times as long."""
    yield from (Drawn(draw.lognormvariate(6.5, 0.8) * (4 if n >= count // 2 else 1) + 40) for n in range(count))


def clustered(draw: random.Random, count: int) -> Iterator[Drawn]:
    """Bad weeks: incidents that come together last alike."""
    level = 0.0
    for n in range(count):
        level = draw.gauss(0, 1.0) if n % 8 == 0 else level
        yield Drawn(math.exp(6.5 + level + draw.gauss(0, 0.5)) + 40, gap_seconds=900 if n % 8 else 40_000)


SHAPES: tuple[Shape, ...] = (lognormal, bimodal, heavy, few, rounded, causes, drift, jump, worse, clustered)


@dataclass
class Tally:
    """Of the looks of one sort."""

    looks: int = 0
    told: int = 0
    held: int = 0
    early: int = 0  # it was over before the interval
    ratios: list[float] | None = None

    def add(self, told: Eta | None, began: float, ends: float) -> None:
        self.looks += 1
        if told is None:
            return
        self.told += 1
        self.held += told.early_at <= ends <= told.late_at
        self.early += ends < told.early_at
        self.ratios = [*(self.ratios or []), (told.late_at - began) / (told.early_at - began)]

    def row(self) -> dict[str, Any]:
        share = wilson(self.held, self.told)
        return {
            "looks": self.looks, "told": self.told, "silent": 1 - self.told / self.looks if self.looks else None,
            "held": share.share if self.told else None, "low": share.low if self.told else None,
            "high": share.high if self.told else None,
            "over_before": self.early / self.told if self.told else None,
            "ratio_median": median(self.ratios) if self.ratios else None,
        }  # fmt: skip


def told_as_they_come(history: Sequence[Drawn], tallies: dict[str, Tally]) -> None:
    """Each incident of one history, from those that were over by the look."""
    over: list[Incident] = []  # in the order in which they ended
    depths: list[float] = []

    def by(now: float) -> slice:
        known = bisect.bisect_right(over, now, key=_end)
        return slice(max(0, known - MAX_CLOSED_INCIDENTS), known)

    began = BEGIN
    for number, one in enumerate(history):
        began += one.gap_seconds
        ends, opened = began + one.length_seconds, began + DETECT_SECONDS
        bare = Incident(f"INC-{number}", opened, began, one.severity, "x")
        known = _with_cause(bare, one.kind)
        looks = {
            "as it opens": (bare, opened),
            "its cause known": (known, opened + DIAGNOSE_SECONDS),
            "after 10 min": (known, began + 600),
            "after 1 h": (known, began + 3600),
        }
        for name, (shown, now) in looks.items():
            if now < ends:
                told = estimate(shown, over[by(now)], now, depths[by(now)])
                tallies[name].add(told, began, ends)
        ended = _over(known, ends)
        place = bisect.bisect_right(over, _end(ended), key=_end)
        depths.insert(place, depth(ended, over[by(opened)]))
        over.insert(place, ended)


def _with_cause(incident: Incident, kind: str) -> Incident:
    said = (Hypothesis("service:a", kind, 0.9),)
    return replace(incident, hypotheses=said, first_ranked=said)


def _over(incident: Incident, ends: float) -> Incident:
    return replace(incident, phase="resolved", mitigated_at=ends, resolved_at=ends + 60)


def _end(incident: Incident) -> float:
    return incident.resolved_at or 0.0


def of_shape(shape: Shape, histories: int, incidents: int, seed: int) -> dict[str, Any]:
    names = ("as it opens", "its cause known", "after 10 min", "after 1 h")
    tallies = {name: Tally() for name in names}
    for number in range(histories):
        draw = random.Random(f"{seed} {shape.__name__} {number}")
        told_as_they_come(list(shape(draw, incidents)), tallies)
    return {name: tally.row() for name, tally in tallies.items()}


def of_gym(results: Path) -> dict[str, Any]:
    """The gym's played incidents in ``results``: each from all others, as it was detected and once its cause was known."""
    cases = []
    for path in sorted(results.glob("gym-seed-*/case-*.json")):
        found = json.loads(path.read_text())
        score = found["score"]
        if score["recovered"] and score["recover_seconds"] and score["detect_seconds"] is not None:
            said = score["ranking"][0].split()[1] if score["ranking"] else ""
            cases.append((max(0.0, score["detect_seconds"]), score["recover_seconds"], said))
    tallies = {"as it opens": Tally(), "its cause known": Tally()}
    last = BEGIN + 10_000 * len(cases)
    for number, (detect, length, kind) in enumerate(cases):
        others = []
        for place, (d, took, cause) in enumerate(cases[:number] + cases[number + 1 :]):
            began = BEGIN + 10_000 * place
            others.append(_over(_with_cause(Incident(f"INC-{place}", began + d, began, 2, "x"), cause), began + took))
        if detect < length:
            bare, depths = Incident("INC-X", last + detect, last, 2, "x"), depths_of(others)
            for name, shown in (("as it opens", bare), ("its cause known", _with_cause(bare, kind))):
                tallies[name].add(estimate(shown, others, last + detect, depths), last, last + length)
    return {name: tally.row() for name, tally in tallies.items()}


def measured(given: argparse.Namespace) -> dict[str, Any]:
    shapes = {s.__name__: of_shape(s, given.histories, given.incidents, given.seed) for s in SHAPES}
    return {**shapes, "gym": of_gym(given.gym)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=60)
    parser.add_argument("--incidents", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gym", type=Path, default=Path("docs/results"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"nominal": COVERAGE, "seed": given.seed, "histories": given.histories}
    found["as it is"] = measured(given)
    for constant in ("NEWEST", "MIN_CHECKED"):  # nothing is forgotten, nothing is checked: the formula alone
        setattr(eta, constant, 10**9)
    found["formula alone"] = measured(given)
    for how in ("as it is", "formula alone"):
        print(f"-- {how}")
        for name, rows in found[how].items():
            for look, row in rows.items():
                said = f"{name:10} {look:16} looks {row['looks']:6} silent {row['silent']:4.0%}"
                print(f"{said} held {row['held']:.3f} [{row['low']:.3f}, {row['high']:.3f}] "
                      f"ratio {row['ratio_median']:6.1f}" if row["told"] else said)  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
