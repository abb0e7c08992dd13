"""Three ways in which an average of ratios is wrong, as ``promtool test rules``: Sloth's form shows each, our own stays
within half a per cent of what was counted and is never NaN. The period is 36 hours instead of 30 days: the arithmetic is
the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.rules.timeline import Asked, Counter, Timeline, nearly

from midwatch.model.indicators import EventRatio
from midwatch.model.slo import Slo
from midwatch.shell.files.rules_out import write_rules

PERIOD_MINUTES = 36 * 60.0
TARGET = 'job="shop",instance="a"'
UP = Counter(f"up{{{TARGET}}}", [(PERIOD_MINUTES, 1)], gauge=True)
SHOP = Slo(
    name="shop-availability",
    entity="service:shop",
    sli="source",
    target=0.99,
    period_seconds=PERIOD_MINUTES * 60,
    service="shop",
    annotations={"sloth/slo": "availability"},
    indicator=EventRatio(
        total='sum(rate(http_requests_total{job="shop"}[{{.window}}]))',
        bad='sum(rate(http_requests_total{job="shop",code="500"}[{{.window}}]))',
    ),
)
BUDGET = 1 - SHOP.target
OURS = '{slo="shop-availability",slo_service="shop"}'
PERIOD = "slo:sli_error:ratio_rate1d12h"
Promtool = Callable[..., str]


def requests(code: str, *pieces: tuple[float, float | None]) -> Counter:
    return Counter(f'http_requests_total{{{TARGET},code="{code}"}}', pieces)


def play(folder: Path, promtool: Promtool, counters: list[Counter], sloth: list[Asked]) -> float:
    """Both forms over the same 36 hours. ``sloth``: what Sloth's form says. The true ratio."""
    wrong = sum(c.counted for c in counters if 'code="500"' in c.name)
    truth = wrong / sum(c.counted for c in counters)
    ours = {OURS: 1.0}
    native = [
        Asked(PERIOD_MINUTES, nearly(PERIOD, truth), ours),
        Asked(PERIOD_MINUTES, nearly("slo:period_burn_rate:ratio", truth / BUDGET), ours),
        Asked(PERIOD_MINUTES, nearly("1 - slo:period_error_budget_remaining:ratio", truth / BUDGET), ours),
        # NaN is what differs from itself: in no window, at no time.
        *(
            Asked(PERIOD_MINUTES, f"count_over_time(({name} != {name})[36h:5m])", {})
            for name in (
                PERIOD,
                "slo:sli_error:ratio_rate5m",
                "slo:sli_error:ratio_rate1h",
                "slo:current_burn_rate:ratio",
            )
        ),
    ]
    for form, asked in (("sloth", sloth), ("", native)):
        Timeline(write_rules([SHOP], compat=form), [*counters, UP], asked, "5m").play(folder, promtool)
    return truth


def test_ten_idle_minutes(tmp_path: Path, promtool: Promtool) -> None:
    fine = requests("200", (600, 100), (10, 0), (1550, 100))
    failed = requests("500", (600, 0.5), (10, 0), (1550, 0.5))
    nan = Asked(PERIOD_MINUTES, f"count({PERIOD} != {PERIOD})", {"{}": 1})
    truth = play(tmp_path, promtool, [fine, failed], [nan])
    assert 0.0049 < truth < 0.0051


def test_a_series_of_errors_that_appears_and_vanishes(tmp_path: Path, promtool: Promtool) -> None:
    fine = requests("200", (PERIOD_MINUTES, 100))
    failed = requests("500", (700, None), (45, 12), (1415, None))
    far = Asked(PERIOD_MINUTES, f"count({PERIOD} > 0.1 < 0.12)", {"{}": 1})
    truth = play(tmp_path, promtool, [fine, failed], [far])
    assert 0.0023 < truth < 0.0025


def test_uneven_traffic(tmp_path: Path, promtool: Promtool) -> None:
    fine = requests("200", (1080, 12000), (1080, 6))
    failed = requests("500", (1080, 0), (1080, 6))
    far = Asked(PERIOD_MINUTES, f"count({PERIOD} > 0.24 < 0.26)", {"{}": 1})
    truth = play(tmp_path, promtool, [fine, failed], [far])
    assert 0.00049 < truth < 0.00051
