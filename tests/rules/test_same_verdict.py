"""A promise gets the same verdict from the running watch, from the code that simulates alerts and from the rules that a
Prometheus evaluates: all three over the same random counts, around the thresholds and with little traffic."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import yaml
from msgspec import structs
from tests.conftest import missing
from tests.worlds import START

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import _burns
from midwatch.core.slo.rules import Group, composite, native
from midwatch.core.slo.simulate import Series, play
from midwatch.core.slo.tiers import GUARDED, guards, stretched, tiers_of
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Indicator, Part, RawRatio, Slices
from midwatch.model.slo import STANDARD_TIERS, AlertRules, Slo

STEP, STEPS = 300.0, 864  # three days
RULES = AlertRules(outage=False)
INDICATORS: list[Indicator] = [EventRatio("t", bad="b"), RawRatio("r"), BoolGauge("up")]
LOOKS = (STEPS - 12, STEPS - 6, STEPS)  # five minutes each; the rules are evaluated every half hour, up to the last one
SPAN = re.compile(r"time: (?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
FIRING = re.compile(r'slo="(\w+)".*?slo_severity="(\w+)"')


def promise(n: int) -> Slo:
    slices = Slices(300.0, 0.9) if n % 4 == 3 else None
    kind = INDICATORS[n % 3]
    return Slo(f"p{n}", "service:a", "source", (0.9, 0.99, 0.999)[n % 3], indicator=kind, slices=slices)


def counted(rng: np.random.Generator, slo: Slo) -> tuple[np.ndarray, np.ndarray]:
    """Bad and total of each step: a burn rate about one tier's factor for about its window, at any traffic."""
    looks = slo.slices is not None or not isinstance(slo.indicator, EventRatio)
    per_step = 1.0 if looks and rng.random() < 0.7 else 10 ** rng.uniform(-1.3, 3)
    total = np.full(STEPS, per_step) if looks else rng.poisson(per_step, STEPS).astype(float)
    tier = STANDARD_TIERS[rng.integers(4)]
    share = np.zeros(STEPS)
    length = max(1, int(tier.long_seconds / STEP * rng.uniform(0.2, 1.3)))
    share[-length:] = min(1.0, tier.factor * (1 - slo.target) * rng.uniform(0.7, 3.0))
    bad = total * share if looks else rng.binomial(total.astype(int), share).astype(float)
    return bad, total


def live(slo: Slo, ledger: Ledger, at: float, slos: dict[str, Slo]) -> dict[bool, bool]:
    """What the watch would say: whether it pages, whether it writes a ticket."""
    tiers = stretched(tiers_of(slo, STANDARD_TIERS), STEP)
    rules = guards(slo, RULES, slos)
    return {p: any(_burns(slo, t, ledger, rules, at) is not None for t in tiers if t.pages == p) for p in (True, False)}


def simulated(slo: Slo, bad: np.ndarray, total: np.ndarray) -> dict[bool, bool]:
    policy = structs.replace(GUARDED, rules=structs.replace(RULES, interval_seconds=STEP))
    played = play(Series(bad, total, STEP), slo, policy)
    return {True: bool(played.paging[-1]), False: bool(played.ticketing[-1])}


def evaluated(
    groups: list[Group], counts: dict[str, tuple[np.ndarray, np.ndarray]], folder: Path
) -> set[tuple[str, bool, int]]:
    """Promise, whether it pages, and the step after which its alert fires, by promtool: the counts stand in for what the
    first two rules record."""
    rules = [[r for r in g["rules"] if ":count" not in r.get("record", "")] for g in groups]
    written = {
        "groups": [{"name": g["name"], "interval": "5m", "rules": r} for g, r in zip(groups, rules, strict=True)]
    }
    (folder / "rules.yml").write_text(yaml.safe_dump(written))
    series = []
    for name, (bad, total) in counts.items():
        for what, values in (("total", total), ("good", total - bad)):
            words = " ".join(f"{value:.17g}" for value in (0.0, *values))  # a step is recorded at its end
            series.append({"series": f'slo:sli_{what}:count5m{{slo="{name}",slo_service="a"}}', "values": words})
    fires = 'ALERTS{alertstate="firing"}'
    asked = [
        {"eval_time": f"{n * 5}m", "expr": fires, "exp_samples": [{"labels": "{x='y'}", "value": 0}]} for n in LOOKS
    ]
    test = {"interval": "5m", "input_series": series, "promql_expr_test": asked}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "30m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(whole))
    said = subprocess.run(
        ["promtool", "test", "rules", str(folder / "test.yml")], capture_output=True, text=True, check=False
    )
    return _firing(said.stdout + said.stderr)


def _firing(said: str) -> set[tuple[str, bool, int]]:
    """promtool tells what it got where that is not what was expected, and that never is."""
    parts = said.split("expr: ")[1:]
    assert len(parts) == len(LOOKS), said[-2000:]
    found: set[tuple[str, bool, int]] = set()
    for part in parts:
        asked = SPAN.search(part)
        assert asked, part
        days, hours, minutes = (int(n or 0) for n in asked.groups())
        step = ((days * 24 + hours) * 60 + minutes) // 5
        got = part.partition("got:")[2]
        found |= {(name, severity == "page", step) for name, severity in FIRING.findall(got)}
    return found


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(4))
def test_every_promise_gets_one_verdict(seed: int, tmp_path: Path) -> None:
    if which("promtool") is None:
        missing("promtool is needed: apt-get install prometheus")
    rng = np.random.default_rng(seed)
    slos = [promise(n) for n in range(36)]
    counts = {slo.name: counted(rng, slo) for slo in slos}
    mixes = [
        Slo(
            f"c{n}",
            "service:a",
            "source",
            0.999,
            indicator=Composite((Part(f"p{n}"), Part(f"p{n + 12}", 2.0)), "weighted"),
        )
        for n in range(12)
    ]
    by_name = {slo.name: slo for slo in [*slos, *mixes]}
    groups = [native.group(slo, RULES) for slo in slos] + [composite.group(slo, by_name, RULES) for slo in mixes]
    by_rules = evaluated(groups, counts, tmp_path)
    begin = START // 21600 * 21600
    at = begin + STEP * np.arange(STEPS)
    spoken = {True: 0, False: 0}
    for look in LOOKS:
        now = begin + look * STEP
        ledgers: dict[str, Ledger] = {}
        for slo in slos:
            bad, total = (values[:look] for values in counts[slo.name])
            ledgers[slo.name] = books.add(books.new_ledger(begin - 30 * 86400), at[:look], total - bad, total, now)
        for slo in mixes:
            assert isinstance(slo.indicator, Composite)
            ledgers[slo.name] = books.compose(
                slo.indicator.rule, [(ledgers[part.slo], part.weight) for part in slo.indicator.parts]
            )
        for name, slo in by_name.items():
            wanted = live(slo, ledgers[name], now, by_name)
            rules = {pages: (name, pages, look) in by_rules for pages in (True, False)}
            assert rules == wanted, (slo, look)
            if name in counts and look == STEPS:
                assert simulated(slo, *counts[name]) == wanted, (slo, look)
            spoken = {pages: spoken[pages] + said for pages, said in wanted.items()}
    assert 10 < spoken[True] < 134 and 10 < spoken[False] < 134, "both verdicts came up"
