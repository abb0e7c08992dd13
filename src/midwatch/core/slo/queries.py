"""How a promise is counted at a Prometheus-compatible source: PromQL for the good and for all events of a window.

Rules, back-tests and live budgets all ask these queries, so that they count alike. One file knows every indicator:

=============  ==========================================  =======================================
indicator      good                                        total
=============  ==========================================  =======================================
events         events(good), or total less events(bad)     events(total)
raw ratio      the ratio of good, averaged                 1 while there is a ratio
histogram      events of the bucket ``le``                 events of the count, or of ``+Inf``
native         fraction below the threshold x count        count
gauge          sum of the samples (0 or 1)                 number of samples
threshold      looks that were well                        looks
=============  ==========================================  =======================================
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from msgspec import Struct

from midwatch.core.slo import promql
from midwatch.model.errors import ConfigError
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Histogram, RawRatio, Threshold
from midwatch.model.slo import Slo

LOOK_SECONDS: Final = 60.0
LOOK_WINDOW: Final = "5m"
"""What a threshold's template sees at each look."""
_OPS: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class Counting(Struct, frozen=True):
    """PromQL that gives the number of events in a window: one series each, or one for each group. Where ``good`` gives
    nothing and ``total`` gives a number, none was good. ``bad`` is there where that is what the team counts: the good ones
    are then the total less these."""

    good: str
    total: str
    bad: str = ""


def counting(slo: Slo, window: str) -> Counting:
    """Good and all events of ``slo`` in the last ``window`` (a PromQL duration: "5m"). Raises ConfigError when the
    promise cannot be counted so, and says why."""
    match slo.indicator:
        case EventRatio():
            return _events(slo.indicator, window, slo.group_by)
        case RawRatio():
            return _raw(slo.indicator, window, slo.group_by)
        case Histogram(kind="native"):
            return _native(slo.indicator, window, slo.group_by)
        case Histogram():
            return _explicit(slo.indicator, window, slo.group_by)
        case BoolGauge():
            return _gauge(slo.indicator, window, slo.group_by)
        case Threshold():
            return _threshold(slo.indicator, window, slo.group_by)
        case Composite():
            raise ConfigError(f"{slo.name} has no events of its own: it is made of other promises")
        case None:
            raise ConfigError(f"{slo.name} is counted by midwatch itself, from the telemetry that it collects")


def _events(indicator: EventRatio, window: str, by: tuple[str, ...]) -> Counting:
    total = promql.events(indicator.total, window, by)
    if indicator.good:
        return Counting(promql.events(indicator.good, window, by), total)
    bad = promql.events(indicator.bad, window, by)
    # No series of errors is no error. Without this, one idle error counter would hide every good event.
    return Counting(f"({total}) - (({bad}) or ({total}) * 0)", total, bad)


def _raw(indicator: RawRatio, window: str, by: tuple[str, ...]) -> Counting:
    """A ratio has lost how many events it was made of, so each window counts one: budgets on it are averages over time.
    NaN and Inf (nothing by nothing) are no event at all."""
    ratio = f"((({promql.ratio(indicator.query, window, by)}) > -Inf) < Inf)"
    return Counting(ratio if indicator.of == "good" else f"1 - {ratio}", f"{ratio} * 0 + 1")


def _explicit(indicator: Histogram, window: str, by: tuple[str, ...]) -> Counting:
    total = indicator.total or promql.matched(indicator.selector, le="+Inf")
    return Counting(
        promql.events(bucket(indicator.selector, indicator.threshold), window, by), promql.events(total, window, by)
    )


def bucket(selector: str, threshold: float) -> str:
    """The bucket of an explicit histogram whose bound is ``threshold``, however its text spells the number: client
    libraries write 5, 5.0 and 1e+06 for what is 5 and a million."""
    spelt = list(dict.fromkeys((go_float(threshold), repr(float(threshold)), f"{threshold:f}".rstrip("0").rstrip("."))))
    exact = [text for text in spelt if float(text) == threshold]
    if len(exact) == 1:
        return promql.matched(selector, le=exact[0])
    return promql.matched_any(selector, "le", exact)


def go_float(value: float) -> str:
    """A float as Go prints it, and so Prometheus: 0.3, 5, 1e+06."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    exact = Decimal(repr(float(value))).normalize()
    if exact.adjusted() < -4 or exact.adjusted() >= 6:
        mantissa = exact.scaleb(-exact.adjusted())
        return f"{mantissa:f}e{exact.adjusted():+03d}"
    return f"{exact:f}"


def _native(indicator: Histogram, window: str, by: tuple[str, ...]) -> Counting:
    """Prometheus interpolates inside the bucket that holds the threshold. It has these functions from 2.40 on, with
    ``--enable-feature=native-histograms`` until 3.8."""
    grouped = f" by ({', '.join(by)})" if by else ""
    selector = promql.matched(indicator.selector)
    summed = f"sum{grouped} (increase({selector}[{window}]))"
    total = f"histogram_count({summed})"
    if indicator.total:
        total = promql.events(indicator.total, window, by)
    below = f"histogram_fraction(-Inf, {go_float(indicator.threshold)}, {summed}) * histogram_count({summed})"
    return Counting(f"(({below}) >= 0) or ({total}) * 0", total)


def _gauge(indicator: BoolGauge, window: str, by: tuple[str, ...]) -> Counting:
    grouped = f" by ({', '.join(by)})" if by else ""
    selector = promql.matched(indicator.selector)
    return Counting(
        f"sum{grouped} (sum_over_time({selector}[{window}]))", f"sum{grouped} (count_over_time({selector}[{window}]))"
    )


def _threshold(indicator: Threshold, window: str, by: tuple[str, ...]) -> Counting:
    """Looked at once a minute (once a window where that is shorter). NaN is no look: there was nothing to see."""
    step = promql.duration(min(LOOK_SECONDS, promql.seconds(window)))
    seen = f"(({promql.value(indicator.query, LOOK_WINDOW, by)}) >= -Inf)"
    grouped = f" by ({', '.join(by)})" if by else ""
    well = f"{seen} {_OPS[indicator.op]} bool {go_float(indicator.bound)}"
    return Counting(
        f"sum{grouped} (sum_over_time(({well})[{window}:{step}]))",
        f"sum{grouped} (count_over_time({seen}[{window}:{step}]))",
    )
