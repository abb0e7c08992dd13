"""One number out of the World."""

from __future__ import annotations

import math

from tests.worlds import START, flat, make_world

from midwatch.core.slo.measure import measure
from midwatch.model import signals

GATEWAY = "service:gateway"
WORLD = make_world({(GATEWAY, signals.REQUESTS): flat(50.0, 9), (GATEWAY, signals.RESTARTS): flat(1.0, 9)})


def test_a_rate_is_that_of_the_steps_there_are() -> None:
    assert measure(WORLD, GATEWAY, "request_rate", 15.0) == 10.0
    assert measure(WORLD, GATEWAY, "request_rate", 120.0) == 10.0, "45 s of history are not a quiet two minutes"
    assert measure(WORLD, GATEWAY, "request_rate", 120.0, end_at=START + 20) == 10.0
    assert measure(WORLD, GATEWAY, "request_rate", 7.0) == 10.0
    assert measure(WORLD, GATEWAY, signals.RESTARTS, 120.0) == 0.2


def test_no_data_is_no_number() -> None:
    for signal in ("request_rate", "error_ratio", "mean_ms", "slow_ratio:100", signals.RESTARTS, signals.UP):
        assert math.isnan(measure(WORLD, "service:other", signal, 15.0))
    assert math.isnan(measure(WORLD, GATEWAY, "request_rate", 15.0, end_at=START - 60))
