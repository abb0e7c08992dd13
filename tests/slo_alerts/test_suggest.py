"""Targets from history: what was kept, with an interval, and what was assumed."""

from __future__ import annotations

import numpy as np
import pytest

from midwatch.core.slo.discover import TARGETS
from midwatch.core.slo.suggest import LADDER, MIN_ALLOWED, suggest
from midwatch.model import signals

BOUNDS = signals.LATENCY_BOUNDS_MS
GATEWAY = "service:gateway"


def counts(share: float, days: int = 28, per_hour: float = 2000.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    total = rng.poisson(per_hour, days * 24).astype(float)
    return total - rng.binomial(total.astype(int), share), total


@pytest.mark.parametrize(("share", "target"), [(0.00002, 0.9999), (0.0003, 0.9995), (0.0008, 0.999), (0.03, 0.95)])
def test_a_target_is_the_highest_that_is_kept_anyway(share: float, target: float) -> None:
    (found,) = suggest(GATEWAY, *counts(share)).suggestions
    assert (found.slo.name, found.slo.sli, found.slo.target) == ("gateway-availability", "ratio", target)
    assert found.low <= found.sli <= found.high and found.kept >= 0.9
    assert found.allowed == pytest.approx((1 - target) * 2000 * 720, rel=0.01)
    assert any("28 days" in one for one in found.assumed) and f"{found.sli:.3%}" in found.why


def test_little_traffic_lowers_the_target_and_says_so() -> None:
    (found,) = suggest(GATEWAY, *counts(0.0, per_hour=4.0)).suggestions
    assert found.slo.target == 0.995 and found.allowed >= MIN_ALLOWED
    assert any("allows fewer than 10 failures" in one for one in found.assumed)
    assert "too few for a target" in suggest(GATEWAY, *counts(0.0, per_hour=0.05)).reasons[0]


def test_one_bad_day_widens_the_interval_and_lowers_the_target() -> None:
    good, total = counts(0.0002)
    calm = suggest(GATEWAY, good, total).suggestions[0]
    good[100:104] *= 0.7
    wild = suggest(GATEWAY, good, total).suggestions[0]
    assert wild.slo.target < calm.slo.target
    assert wild.high - wild.low > 5 * (calm.high - calm.low)


def test_a_latency_bound_is_a_bucket_that_holds() -> None:
    good, total = counts(0.0)
    latency = np.zeros((total.size, len(BOUNDS) + 1))
    latency[:, BOUNDS.index(50.0)] = 0.97 * total
    latency[:, BOUNDS.index(250.0)] = 0.025 * total
    latency[:, -1] = 0.005 * total
    found = {s.slo.sli: s for s in suggest(GATEWAY, good, total, latency).suggestions}
    assert found["latency"].slo.threshold_ms == 250.0 and found["latency"].slo.target == 0.99
    assert found["latency"].sli == pytest.approx(0.995)
    latency[:, -1] = total
    assert "not within 10000 ms" in suggest(GATEWAY, good, total, latency).reasons[0]


def test_what_cannot_be_said_is_not_said() -> None:
    good, total = counts(0.001, days=5)
    assert suggest(GATEWAY, good, total).reasons == ("5.0 days of history are too few: it takes 7",)
    assert suggest(GATEWAY, np.zeros(240), np.zeros(240)).reasons == ("no events were seen",)
    assert "not even 90%" in suggest(GATEWAY, *counts(0.4)).reasons[0]


def test_the_targets_of_a_fresh_install_are_among_those_suggested() -> None:
    assert set(TARGETS) <= set(LADDER)
