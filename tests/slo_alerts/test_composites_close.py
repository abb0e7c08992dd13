"""Alerts on composites whose parts are counted at different paces: each opens once and closes when its errors have ended,
no later than its parts can tell, and never while one of them still fails."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from tests.slo.turns import GATEWAY, counts, source_world, state_of
from tests.slo_alerts.test_alerts_behind_time import BEGIN, DELAY, SHOP, _folded

from midwatch.core.memory import Memory
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.counting import count
from midwatch.core.slo.formulas import row
from midwatch.core.slo.tiers import in_force
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.indicators import Composite, Part
from midwatch.model.slo import Slo

FAILS, STOPS = 1200.0, 2400.0


def watch(
    rule: str, steps: dict[str, float], failing: str, *, share: float = 1.0, silent: str = "", until: float = 4200.0
) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """What opens and closes (seconds since the begin, tier) of a composite of the parts ``steps``, in turns of ten seconds.
    Ten events a second each; a ``share`` of those of ``failing`` fails from ``FAILS`` to ``STOPS``. ``silent`` has none
    after ``STOPS``."""
    parts = tuple(structs.replace(SHOP, name=name) for name in steps)
    whole = Slo("all", GATEWAY, "source", 0.999, indicator=Composite(tuple(Part(n) for n in steps), rule))  # type: ignore[arg-type]
    state, memory = state_of(*parts, whole), Memory(started_at=BEGIN)
    opened: list[tuple[float, str]] = []
    closed: list[tuple[float, str]] = []
    for now in np.arange(600.0, until, 10.0):
        said = []
        for name, step in steps.items():
            end = (now - DELAY) // step * step
            at = np.arange(0.0, end, step)
            total = np.where((at >= STOPS) & (name == silent), 0.0, 10.0 * step)
            bad = (at >= FAILS) & (at < STOPS) & (name == failing)
            said.append(counts(name, BEGIN + at, total * np.where(bad, 1 - share, 1.0), total, BEGIN + end))
        turn = judge(count(Turn(state, memory, source_world(*said), BEGIN + now)))
        for event in turn.events:
            if isinstance(event, FindingOpened) and event.finding.slo == "all":
                opened.append((now, event.finding.id.rpartition("/")[2]))
            elif isinstance(event, FindingClosed) and "|all/" in event.finding_id:
                closed.append((now, event.finding_id.rpartition("/")[2]))
        state, memory = _folded(turn), turn.memory
    return opened, closed


@pytest.mark.parametrize("rule", ["weighted", "all"])
@pytest.mark.parametrize(("fast", "slow"), [(10.0, 10.0), (10.0, 60.0), (10.0, 300.0), (300.0, 300.0)])
@pytest.mark.parametrize("failing", ["fast", "slow"])
def test_it_opens_once_and_closes_as_soon_as_its_parts_can_tell(
    rule: str, fast: float, slow: float, failing: str
) -> None:
    opened, closed = watch(rule, {"fast": fast, "slow": slow}, failing)
    assert opened and sorted(t for _, t in opened) == sorted({t for _, t in opened}), "no flapping"
    assert sorted(t for _, t in closed) == sorted(t for _, t in opened)
    latest = max(fast, slow, 60.0) + DELAY + 20
    assert all(STOPS < at <= STOPS + latest for at, _ in closed)


def test_a_part_that_fell_silent_holds_no_alert_open() -> None:
    opened, closed = watch("all", {"fast": 10.0, "slow": 60.0}, "slow", silent="slow", until=12_000.0)
    assert opened and sorted(t for _, t in closed) == sorted(t for _, t in opened)


@pytest.mark.parametrize("rule", ["weighted", "all"])
def test_it_resets_no_later_than_the_formulas_say(rule: str) -> None:
    """A fifth of one part fails: a tenth of the mean, a fifth of the journey."""
    opened, closed = watch(rule, {"fast": 10.0, "slow": 60.0}, "slow", share=0.2, until=6000.0)
    whole = Slo("all", GATEWAY, "source", 0.999, indicator=Composite((Part("fast"), Part("slow")), rule))  # type: ignore[arg-type]
    policy = in_force(whole, state_of(whole).policy)
    assert opened and len(closed) == len(opened)
    for at, tier in closed:
        said = row(
            whole, next(t for t in policy.tiers if t.name == tier), policy.rules, 0.2 if rule == "all" else 0.1, 1200
        )
        assert said.reset_seconds is not None
        assert at - STOPS <= said.reset_seconds + DELAY + 60 + 10, tier
