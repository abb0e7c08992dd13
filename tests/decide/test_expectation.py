"""What an action is expected to change, from what hurts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.decide.worlds import GATEWAY, START, STEP, STEPS, broken, finding, policy, traffic, world

from midwatch.core.decide.expectation import derived, holds
from midwatch.core.slo.measure import measure
from midwatch.model.findings import Finding
from midwatch.model.slo import Slo
from midwatch.model.world import World

NOW = START + 50


def shown(now: float, before: float = 0.0, signal: str = "errors", requests: float = 100.0) -> World:
    """Healthy until START, then ``now`` of the requests bad."""
    bad = int((NOW - START) / STEP)
    series: dict[tuple[str, str], float | list[float]] = dict(traffic(0.0, requests))
    series[(GATEWAY, signal)] = [before * requests] * (STEPS - bad) + [now * requests] * bad
    return world(NOW, series)


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.15, 0.05, 0.02, 0.01, 0.004])
def test_what_changes_nothing_never_passes_and_what_heals_does(ratio: float) -> None:
    state, seen = broken(), shown(ratio)
    (check,) = derived(state, seen, state.incidents["INC-1"], (finding(value=ratio),))
    assert check.signal == "error_ratio"
    assert holds(check, measure(seen, check.subject, check.signal, check.window_seconds)) is False
    assert holds(check, 0.0) is True
    assert holds(check, float("nan")) is None


def test_a_baseline_with_errors_is_good_enough() -> None:
    state, seen = broken(), shown(0.3, before=0.04)
    (check,) = derived(state, seen, state.incidents["INC-1"], (replace(finding(value=0.3), baseline=0.04),))
    assert holds(check, 0.05) and not holds(check, 0.15)


def test_a_slow_tail_is_judged_by_the_tail_that_was_seen() -> None:
    state, seen = broken(), shown(0.3)
    slow = Finding("l", "latency_shift", GATEWAY, START, 0.4, 0.01, "ratio", 20.0, slo="slow_ratio:250")
    (check,) = derived(state, seen, state.incidents["INC-1"], (slow,))
    assert check.signal == "slow_ratio:250" and 0.01 < check.threshold <= 0.11


def test_the_mean_stands_in_where_no_tail_is_named() -> None:
    state, seen = broken(), shown(200.0, 10.0, "time_ms")
    (check,) = derived(
        state, seen, state.incidents["INC-1"], (Finding("l", "latency_shift", GATEWAY, START, 200, 10, "ms"),)
    )
    assert check.signal == "mean_ms" and 10 < check.threshold < 70


def test_queues_and_missing_traffic() -> None:
    slo = Slo("orders", "queue:orders", "freshness", 0.99, 30_000.0)
    state = broken(using=policy(slos=(slo,)))
    lag = Finding("q", "queue_lag", "queue:orders", START, 90.0, 1.0, "seconds")
    drop = Finding("d", "traffic_drop", GATEWAY, START, 1.0, 20.0, "1/s")
    incident = state.incidents["INC-1"]
    found = derived(state, shown(0.0), incident, (lag, replace(lag, id="b", kind="burn_rate", slo="orders"), drop))
    by_subject = {c.subject: c for c in found}
    assert holds(by_subject["queue:orders"], 1.0) and not holds(by_subject["queue:orders"], 90.0)
    assert by_subject[GATEWAY].comparison == ">=" and holds(by_subject[GATEWAY], 20.0)


def test_at_most_three_checks_the_entry_first() -> None:
    state = broken()
    many = (*(finding(f"service:s{n}", 0.9) for n in range(9)), finding(GATEWAY, 0.2))
    found = derived(state, shown(0.2), state.incidents["INC-1"], many)
    assert len(found) == 3 and found[0].subject == GATEWAY
