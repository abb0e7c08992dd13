"""Traffic that stays away, and the front door that fell over."""

from __future__ import annotations

import numpy as np
from tests.worlds import after, flat, make_world

from midwatch.core.detect.drop import drops
from midwatch.core.detect.symptoms import _lost_an_instance
from midwatch.model import signals

GATEWAY = "service:gateway"


def poisson(rows: int, rate: float, steps: int = 60) -> np.ndarray:
    return np.random.default_rng(5).poisson(rate, (rows, steps)).astype(float)


def test_half_of_the_traffic_gone_is_a_drop_only_where_something_else_says_so() -> None:
    requests = poisson(400, 125)
    requests[:, -3:] = np.random.default_rng(6).poisson(60, (400, 3))
    assert drops(requests)[0].size == 0
    suspected = np.zeros(400, dtype=bool)
    suspected[:200] = True
    assert drops(requests, suspected)[0].tolist() == list(range(200))


def test_ordinary_traffic_is_quiet_even_while_suspected() -> None:
    for rate in (6, 25, 125):
        assert drops(poisson(20000, rate), np.ones(20000, dtype=bool))[0].size <= 1


def lost(up: np.ndarray, restarts: np.ndarray | None = None) -> bool:
    series = {(GATEWAY, signals.REQUESTS): flat(100), ("instance:gateway-1", signals.UP): up}
    if restarts is not None:
        series["instance:gateway-1", signals.RESTARTS] = restarts
    return _lost_an_instance(make_world(series, labels={"instance:gateway-1": {"service": "gateway"}}), GATEWAY)


def test_an_instance_is_lost_when_it_falls_silent_or_begins_anew() -> None:
    assert not lost(flat(1))
    assert lost(after(1, np.nan, 58))
    assert not lost(flat(np.nan))  # it never said anything
    assert lost(flat(1), after(0, 1, 59))
