"""Alerts on counts that lie behind now, as those of sources and slices do: they fire, and close once the errors stop."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from tests.slo.turns import GATEWAY, counts, source_world, state_of

from midwatch.core.memory import Memory
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.counting import count
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.indicators import Composite, EventRatio, Part, Slices
from midwatch.model.slo import Slo
from midwatch.model.state import State

BEGIN = 1_800_000_000.0
SHOP = Slo("shop", GATEWAY, "source", 0.99, indicator=EventRatio("t", "g"))
DELAY = 15.0


def watch(
    slo: Slo, step: float, bad: tuple[float, float], until: float, *, silent_after: float = 1e9, **policy: object
) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """What opens and what closes (seconds since the begin, tier) in turns of ten seconds. All of ten events a second fail
    in ``bad``, none before and after; there are none at all after ``silent_after``."""
    state = state_of(slo, *([SHOP] if isinstance(slo.indicator, Composite) else []), **policy)
    memory = Memory(started_at=BEGIN)
    opened: list[tuple[float, str]] = []
    closed: list[tuple[float, str]] = []
    for now in np.arange(600.0, until, 10.0):
        at = np.arange(0.0, (now - DELAY) // step * step, step)
        total = np.where(at < silent_after, 10.0 * step, 0.0)
        good = np.where((at >= bad[0]) & (at < bad[1]), 0.0, total)
        said = counts("shop", BEGIN + at, good, total, BEGIN + (now - DELAY) // step * step)
        turn = judge(count(Turn(state, memory, source_world(said), BEGIN + now)))
        for event in turn.events:
            if isinstance(event, FindingOpened):
                opened.append((now, event.finding.id.rpartition("/")[2]))
            elif isinstance(event, FindingClosed):
                closed.append((now, event.finding_id.rpartition("/")[2]))
        state, memory = _folded(turn), turn.memory
    return opened, closed


def _folded(turn: Turn) -> State:
    findings = dict(turn.state.findings)
    for event in turn.events:
        if isinstance(event, FindingOpened):
            findings[event.finding.id] = event.finding
        elif isinstance(event, FindingClosed):
            findings.pop(event.finding_id, None)
    return structs.replace(turn.state, findings=findings)


@pytest.mark.parametrize("step", [10.0, 60.0, 300.0])
def test_what_a_source_counts_fires_and_closes_with_its_first_good_step(step: float) -> None:
    opened, closed = watch(SHOP, step, (1200.0, 2400.0), 4800.0)
    assert {"outage", "fast"} <= {tier for _, tier in opened}, "the short window holds a step, however wide"
    assert len(opened) == len(closed) and {t for _, t in opened} == {t for _, t in closed}, "each once, no flapping"
    assert all(1200 < at <= 2400 + step + DELAY for at, _ in opened)
    assert all(2400 + DELAY < at <= 2400 + max(step, 60) + DELAY + 20 for at, _ in closed)


def test_no_events_are_not_calm() -> None:
    opened, closed = watch(SHOP, 60.0, (1200.0, 2400.0), 4800.0, silent_after=2400.0)
    assert opened and not closed


def test_an_outage_is_seen_where_every_tier_is_off() -> None:
    opened, closed = watch(structs.replace(SHOP, tiers=()), 60.0, (1200.0, 2400.0), 4800.0)
    assert [tier for _, tier in opened] == [tier for _, tier in closed] == ["outage"]


@pytest.mark.parametrize("slices", [60.0, 300.0])
def test_slices_close_too(slices: float) -> None:
    slo = structs.replace(SHOP, slices=Slices(slices, 0.9))
    opened, closed = watch(slo, 10.0, (1200.0, 4800.0), 9600.0)
    assert opened and {t for _, t in opened} == {t for _, t in closed}


def test_a_journey_closes_with_its_part() -> None:
    journey = Slo("journey", GATEWAY, "source", 0.99, indicator=Composite((Part("shop"),)))
    opened, closed = watch(journey, 60.0, (1200.0, 2400.0), 4800.0)
    assert sorted(tier for _, tier in opened) == sorted(tier for _, tier in closed) == ["fast", "fast", "outage"]
