"""Several promises as one, derived from the counts that their own native rules record.

The error ratio of a window is the mean of the parts' by weight, or, of a journey, one less the product of what they keep.
A part without events in a window says nothing: it is left out, of the weights too. No part with events: no ratio.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.core.slo.rules import Group, Rule, native
from midwatch.core.slo.rules.common import number, record, window_name
from midwatch.core.slo.tiers import guards
from midwatch.model.errors import ConfigError
from midwatch.model.indicators import Composite, Part
from midwatch.model.slo import AlertRules, Slo


def group(slo: Slo, others: Mapping[str, Slo], rules: AlertRules = AlertRules()) -> Group:
    """The rule group of a composite. ``others``: promises by name that have native rules in the same place; ConfigError
    names the part that is not among them."""
    what = slo.indicator
    assert isinstance(what, Composite)
    parts = [(part, _part(slo, part, others)) for part in what.parts]
    labels = native.own_labels(slo)
    made: list[Rule] = []
    for window in native.windows(slo, native.STEP_SECONDS):
        ratio = _journey(parts, window) if what.rule == "all" else _weighted(parts, window)
        made.append(record(native.ratio_name(window), ratio, labels))

    def failed(window: float) -> str:
        return f"on () ({' + '.join(_bad(part, window) for _, part in parts)})"

    # It has no events of its own, so nothing tells how much of the period is covered, nor how many failed.
    meta = native.meta(slo, native.STEP_SECONDS, labels, covered="1")
    return {
        "name": f"midwatch-slo-{slo.name}",
        "interval": window_name(native.STEP_SECONDS),
        "rules": [*made, *meta, *native.alerts(slo, native.STEP_SECONDS, guards(slo, rules, others), failed)],
    }


def _part(slo: Slo, part: Part, others: Mapping[str, Slo]) -> Slo:
    found = others.get(part.slo)
    if found is None or isinstance(found.indicator, Composite) or found.group_by:
        raise ConfigError(
            f"{slo.name}: no rules count its part {part.slo}", hint="write the rules of its parts with it"
        )
    return found


def _good(part: Slo, window: float) -> str:
    """The part's good share, without labels; nothing without events. One slice stands for a window shorter than it."""
    step = native.step_seconds(part)
    window = max(window, step)
    good, total = (native.summed(part.name, what, window, step) for what in ("good", "total"))
    return f"sum({good} / ({total} > 0))"


def _bad(part: Slo, window: float) -> str:
    """How many of the part's events failed, without labels."""
    step = native.step_seconds(part)
    good, total = (native.summed(part.name, what, max(window, step), step) for what in ("good", "total"))
    return f"(sum({total} - {good}) or vector(0))"


def _weighted(parts: list[tuple[Part, Slo]], window: float) -> str:
    kept = [(number(part.weight), _good(slo, window)) for part, slo in parts if part.weight > 0]
    bad = " + ".join(f"({weight} * (1 - {good}) or vector(0))" for weight, good in kept)
    weights = " + ".join(f"({weight} + 0 * {good} or vector(0))" for weight, good in kept)
    return f"({bad}) / (({weights}) > 0)"


def _journey(parts: list[tuple[Part, Slo]], window: float) -> str:
    goods = [_good(slo, window) for _, slo in parts]
    product = " * ".join(f"({good} or vector(1))" for good in goods)
    return f"(1 - {product}) and ({' or '.join(goods)})"
