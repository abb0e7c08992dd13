"""Alerts over a real Prometheus, for every kind of indicator: each opens when the arithmetic says, once, and closes with the
first calm minute. Native histograms are written to it and counted through the source like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from tests.slo.turns import state_of
from tests.sources.prom import Sample, prometheus
from tests.sources.remote_write import OPTIONS, HistogramSample, write
from tests.worlds import make_world

from midwatch.core.memory import Memory
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.counting import count
from midwatch.core.slo.formulas import row
from midwatch.core.slo.tiers import guards, stretched, tiers_of
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Histogram, Part, RawRatio, Slices, Threshold
from midwatch.model.slo import STANDARD_TIERS, AlertRules, Slo
from midwatch.shell.asked import counted_span
from midwatch.shell.config import SourceSettings
from midwatch.shell.poller import Poller
from midwatch.shell.sources import build_source

START = 1_790_000_000.0 // 3600 * 3600
SCRAPE, STEP, DELAY, LOOK = 15.0, 60.0, 15.0, 30.0
FAILS, STOPS, ENDS = 5400.0, 5400.0 + 1500.0, 5400.0 + 3600.0  # seconds from the start
SHARE, PER_SCRAPE = 0.5, 60
SLOW, FAST = -1, -26  # buckets about 0.9 s and 0.1 s; the promise is 0.5 s, a bound between them

EVENTS = EventRatio(total="orders_total", bad='orders_total{code="500"}')
KINDS = {
    "events": EVENTS,
    "histogram": Histogram("seconds_bucket", 0.5, total="seconds_count"),
    "native": Histogram("native_seconds", 0.5, kind="native"),
    "raw": RawRatio("failed_ratio"),
    "gauge": BoolGauge("well"),
    "threshold": Threshold("depth", "lt", 10.0),
}


def promise(name: str) -> Slo:
    return Slo(name, f"service:{name}", "source", 0.99, indicator=KINDS[name])


SLOS = (
    *(promise(name) for name in KINDS),
    structs.replace(promise("events"), name="slices", entity="service:slices", slices=Slices(60.0, 0.9)),
    Slo("journey", "service:journey", "source", 0.99, indicator=Composite((Part("events"), Part("native")), "all")),
)


def history() -> tuple[list[Sample], list[HistogramSample]]:
    samples: list[Sample] = []
    natives: list[HistogramSample] = []
    good = bad = 0
    for tick in range(int(ENDS / SCRAPE)):
        at = START + 3.0 + tick * SCRAPE
        failing = FAILS <= tick * SCRAPE < STOPS
        # Whole minutes of looks are well or not, so that half of them are.
        down = failing and (tick * SCRAPE // 60) % 2 == 0
        bad += int(PER_SCRAPE * SHARE) if failing else 0
        good += PER_SCRAPE - (int(PER_SCRAPE * SHARE) if failing else 0)
        job = 'instance="a",job="shop"'
        samples += [
            (f"up{{{job}}}", at, 1.0),
            (f'orders_total{{code="200",{job}}}', at, good),
            (f'orders_total{{code="500",{job}}}', at, bad),
            (f'seconds_bucket{{le="0.5",{job}}}', at, good),
            (f'seconds_bucket{{le="+Inf",{job}}}', at, good + bad),
            (f"seconds_count{{{job}}}", at, good + bad),
            (f"failed_ratio{{{job}}}", at, SHARE if failing else 0.0),
            (f"well{{{job}}}", at, 0.0 if down else 1.0),
            (f"depth{{{job}}}", at, 50.0 if down else 1.0),
        ]
        natives.append((f"native_seconds{{{job}}}", at, {FAST: good, SLOW: bad}))
    return samples, natives


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), options=OPTIONS) as url:
        write(url, *history())
        yield url


@pytest.mark.integration
def test_native_histograms_are_counted_through_the_source(url: str) -> None:
    source = build_source("prom", SourceSettings(url=url))
    whole = asyncio.run(source.counts(promise("native"), START + 300, START + ENDS - 300, STEP))[0]
    assert not whole.gap and whole.at.size == (ENDS - 600) / STEP
    seconds = whole.at.size * STEP
    assert whole.total.sum() == pytest.approx(seconds / SCRAPE * PER_SCRAPE, rel=0.005)
    bad = (whole.total - whole.good).sum()
    assert bad == pytest.approx((STOPS - FAILS) / SCRAPE * PER_SCRAPE * SHARE, rel=0.01)
    calm = whole.at < START + FAILS - STEP
    assert (whole.total - whole.good)[calm].max() < 1e-6, "all within the bound is all good"
    lower = structs.replace(promise("native"), indicator=Histogram("native_seconds", 0.01, kind="native"))
    none = asyncio.run(source.counts(lower, START + 300, START + 3000, STEP))[0]
    assert none.good.sum() == pytest.approx(0.0, abs=1e-6) and none.total.sum() > 0


@pytest.fixture(scope="module")
def life(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[float, str, str]]]:
    """By promise: when (seconds from the start) which tier opened or closed. Turns of half a minute, as a watch takes them,
    under a clock of its own."""
    now = START + FAILS - 600
    state, memory = state_of(*SLOS), Memory(started_at=now - 100)
    found: dict[str, list[tuple[float, str, str]]] = {slo.name: [] for slo in SLOS}

    async def go() -> None:
        nonlocal now, state, memory
        settings = SourceSettings(url=url, step_seconds=STEP, delay_seconds=DELAY)
        poller = Poller(
            {"prom": (build_source("prom", settings), settings)},
            slos=lambda: state.slos,
            span=lambda key: counted_span(memory.ledgers, key),
            trouble=lambda *_: None,
            clock=lambda: now,
        )
        while now < START + ENDS:
            poller.begin()
            await poller.settle()
            world = poller.shown(replace(make_world({}), now=now))
            turn = judge(count(Turn(state, memory, world, now)))
            findings = dict(state.findings)
            for event in turn.events:
                if isinstance(event, FindingOpened):
                    findings[event.finding.id] = event.finding
                    tier = event.finding.id.rpartition("/")[2]
                    found[event.finding.slo].append((now - START, tier, "opens"))
                elif isinstance(event, FindingClosed):
                    gone = findings.pop(event.finding_id)
                    found[gone.slo].append((now - START, event.finding_id.rpartition("/")[2], "closes"))
            state, memory = structs.replace(state, findings=findings), turn.memory
            now += LOOK

    asyncio.run(go())
    return found


@pytest.mark.integration
@pytest.mark.parametrize("name", [slo.name for slo in SLOS])
def test_an_alert_opens_when_the_arithmetic_says_and_closes_with_the_first_calm_minute(
    life: dict[str, list[tuple[float, str, str]]], name: str
) -> None:
    slo = next(one for one in SLOS if one.name == name)
    told = life[name]
    opened = {tier: at for at, tier, what in told if what == "opens"}
    closed = {tier: at for at, tier, what in told if what == "closes"}
    assert len(told) == len(opened) + len(closed) and opened.keys() == closed.keys(), f"each once: {told}"
    rules = guards(slo, AlertRules(), {one.name: one for one in SLOS})
    fast = next(tier for tier in stretched(tiers_of(slo, STANDARD_TIERS), STEP) if tier.name == "fast")
    slices = slo.slices is not None
    ratio = 1.0 if slices else 1 - (1 - SHARE) ** 2 if name == "journey" else SHARE
    per_minute = 1.0 if slices else 60 / SCRAPE * PER_SCRAPE
    said = row(slo, fast, rules, ratio, per_minute)
    assert said.detect_seconds is not None and said.reset_seconds is not None
    late = STEP + DELAY + LOOK + (90.0 + STEP if slices else 0.0)  # a slice is judged when nothing can come any more
    events = slo.indicator in (EVENTS, KINDS["native"], KINDS["histogram"]) and not slices
    if not events and name != "journey":  # looks come a minute apart, so half of them is every second one
        late += STEP
    assert said.detect_seconds - STEP <= opened["fast"] - FAILS <= said.detect_seconds + late
    if events:
        assert all(0 < at - STOPS <= 2 * STEP + late for at in closed.values()), "with the first calm minute"
    # The table's window holds whole looks: five of them, of which none may be bad.
    reset = said.reset_seconds if events or name == "journey" else fast.short_seconds
    assert closed["fast"] - STOPS <= reset + late, "and no later than the printed table says"
    assert all(np.isfinite(at) for at, _, _ in told)
