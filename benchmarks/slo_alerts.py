"""How well do the alerts, the sequential test and the forecast do? Writes ``slo.md`` with tables and plots.

    python benchmarks/slo_alerts.py --out docs/results [--seed 1] [--only false_pages,outages,...] [--scale 1]

Raw numbers go to ``slo/*.json``; a part that is left out with ``--only`` is taken from there. All parts together take
four minutes of one core, a third of it ``false_pages``; with ``--scale 0.1`` a tenth of that.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import slo_cases as cases
import slo_forecasts
import slo_sequential
import svg
from slo_cases import SLO, Row

from midwatch.core.slo.formulas import gone_seconds, table
from midwatch.core.slo.tiers import GUARDED

PARTS = {
    "false_pages": (cases.false_pages, 60),
    "habits": (cases.habits, 40),
    "outages": (cases.outages, 300),
    "formulas": (cases.against_formulas, 300),
    "sequential_finds": (slo_sequential.sequential_finds, 2000),
    "sequential_quiet": (slo_sequential.sequential_is_quiet, 100),
    "forecasts": (slo_forecasts.forecasts, 100),
    "backtests": (cases.backtests, 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names of parts, with commas between them")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many runs")
    options = parser.parse_args()
    folder = options.out / "slo"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Row]] = {}
    for number, (name, (measure, runs)) in enumerate(PARTS.items()):
        path = folder / f"{name}.json"
        if options.only and name not in options.only.split(",") and path.exists():
            found[name] = json.loads(path.read_text())["rows"]
            continue
        rng = np.random.default_rng([options.seed, number])
        found[name] = cases.timed(name, lambda m=measure, n=runs, r=rng: m(r, max(1, round(options.scale * n))))
        path.write_text(json.dumps({"seed": options.seed, "rows": found[name]}, indent=1) + "\n")
    plots(folder, found)
    (options.out / "slo.md").write_text(page(found))


def plots(folder: Path, found: dict[str, list[Row]]) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    for r in found["false_pages"]:
        if r["errors"] == "independent":
            lines.setdefault(r["policy"], []).append((r["per_minute"], r["per_30_days"]))
    (folder / "false_pages.svg").write_text(
        svg.lines(
            "False pages at half the budget", "requests per minute", "pages in 30 days", lines, rule=(1, "allowed")
        )
    )
    lines = {}
    for r in found["outages"]:
        if r["failures_median"] is not None:
            lines.setdefault(r["policy"], []).append((r["per_minute"], r["failures_median"]))
    (folder / "outages.svg").write_text(
        svg.lines("Failures until a total outage pages", "requests per minute", "failures, median", lines, log_y=True)
    )
    bars = {
        f"{r['history']}": (r["calibrated"], r["calibrated_low"], r["calibrated_high"])
        for r in found["forecasts"]
        if r["window"] == "calendar"
    }
    (folder / "forecasts.svg").write_text(
        svg.bars(
            "What the 80 % interval held, calendar month", "share of forecasts, ties broken evenly", bars, (0.75, 0.85)
        )
    )


def page(found: dict[str, list[Row]]) -> str:
    """The results page."""
    out = [HEAD]
    out += ["## What a tier will do, by arithmetic", "", FORMULAS_HEAD, "", *_formula_table(), ""]
    out += ["## False pages", "", FALSE_HEAD, "", "![false pages over traffic](slo/false_pages.svg)", ""]
    out += _table(
        (
            "requests/min",
            "errors",
            "policy",
            "months",
            "pages",
            "per 30 days (95 %)",
            "in the first 30 days",
            "tickets per 30 days",
        ),
        [
            (
                f"{r['per_minute']:,g}",
                r["errors"],
                r["policy"],
                r["months"],
                r["pages"],
                f"{r['per_30_days']:.2f} ({r['low']:.2f} to {r['high']:.2f})",
                f"{r['first_month']:.2f}",
                f"{r['tickets_per_30_days']:.2f}",
            )
            for r in found["false_pages"]
        ],
    )
    out += ["## What a habit of clumps costs", "", HABITS_HEAD, ""]
    out += _table(
        (
            "requests/min",
            "errors",
            "one by one: median, 90 %",
            "in clumps: median, 90 %",
            "failures that come together",
        ),
        [
            (
                f"{one['per_minute']:,g}",
                f"{one['error_ratio']:.0%}",
                *(f"{_number(r['median_minutes'])}, {_number(r['minutes_90'])}" for r in (one, two)),
                f"{two['habit']:,.0f}",
            )
            for one, two in zip(found["habits"][::2], found["habits"][1::2], strict=True)
        ],
    )
    out += ["## A total outage", "", OUTAGE_HEAD, "", "![failures until a page](slo/outages.svg)", ""]
    out += _table(
        (
            "requests/min",
            "policy",
            "runs",
            "paged",
            "failures, median",
            "90 %",
            "seconds, median",
            "longest",
            "within 6 failures",
            "or at the first look after the 5th (95 %)",
            "one look later at most",
        ),
        [
            (
                f"{r['per_minute']:,g}",
                r["policy"],
                r["runs"],
                r["paged"],
                _number(r["failures_median"]),
                _number(r["failures_90"]),
                _number(r["seconds_median"]),
                _number(r["seconds_longest"]),
                f"{r['within_6']:.0%}",
                f"{r['within_6_or_first_look']:.0%} ({r['low']:.0%} to {r['high']:.0%})",
                f"{r['within_one_more_look']:.0%}",
            )
            for r in found["outages"]
        ],
    )
    out += ["## Detection against the formulas", "", _agreement(found["formulas"]), ""]
    out += _table(
        (
            "tier",
            "errors",
            "requests/min",
            "for",
            "formula, min",
            "measured, min",
            "off by, s",
            "reset: formula, measured, min",
        ),
        [
            (
                r["tier"],
                f"{r['error_ratio']:.0%}",
                f"{r['per_minute']:,g}",
                f"{r['for_seconds'] / 60:g} min",
                f"{r['formula_seconds'] / 60:.1f} to {r['formula_by_seconds'] / 60:.1f}",
                _number(r["measured_seconds"] / 60),
                f"{r['off_by_seconds']:.0f}",
                f"{r['reset_formula_seconds'] / 60:.1f}, {r['reset_measured_seconds'] / 60:.0f}",
            )
            for r in found["formulas"]
        ],
    )
    out += ["## The sequential test", "", SEQUENTIAL_HEAD, ""]
    out += _table(
        ("errors before", "errors", "runs", "median, min", "90 %, min", "under 15 min", "within 2 h"),
        [
            (
                r["errors"],
                f"{r['error_ratio']:.1%}",
                r["runs"],
                _number(r["median_minutes"]),
                _number(r["minutes_90"]),
                f"{r['under_15_minutes']:.1%}",
                f"{r['within_2_hours']:.1%}",
            )
            for r in found["sequential_finds"]
        ],
    )
    out += [QUIET_HEAD, ""]
    out += _table(
        ("healthy data", "weeks", "dispersion", "together", "false wake-ups per week (95 %)", "without both"),
        [
            (
                r["data"],
                r["weeks"],
                f"{r['dispersion']:.2f}",
                f"{r['habit']:.1f}",
                f"{r['per_week']:.3f} ({r['per_week_low']:.3f} to {r['per_week_high']:.3f})",
                f"{r['per_week_untempered']:.3f}",
            )
            for r in found["sequential_quiet"]
        ],
    )
    out += ["## Forecast of the day the budget is gone", "", FORECAST_HEAD, ""]
    out += [_pooled(found["forecasts"]), "", "![coverage](slo/forecasts.svg)", ""]
    out += _table(
        (
            "history",
            "window",
            "forecasts",
            "interval held (95 %)",
            "ties broken evenly (95 %)",
            "where it named a date",
            "ran out",
            "foreseen",
        ),
        [
            (
                r["history"],
                r["window"],
                r["runs"],
                f"{r['coverage']:.0%} ({r['low']:.0%} to {r['high']:.0%})",
                f"{r['calibrated']:.0%} ({r['calibrated_low']:.0%} to {r['calibrated_high']:.0%})",
                f"{r['coverage_open']:.0%} of {r['open']}" if r["open"] else "never",
                f"{r['ran_out']:.0%}",
                f"{r['foreseen']:.0%}",
            )
            for r in found["forecasts"]
        ],
    )
    out += ["## A back-test", "", BACKTEST_HEAD, ""]
    out += _table(
        (
            "requests/min",
            "policy",
            "pages",
            "precision (95 %)",
            "recall (95 %)",
            "delay, min",
            "budget spent",
            "pages per 30 days",
        ),
        [
            (
                f"{r['per_minute']:,g}",
                r["policy"],
                r["pages"],
                _share(r, "precision"),
                _share(r, "recall"),
                _number(r["delay_minutes"]),
                "-" if r["budget_spent"] is None else f"{r['budget_spent']:.1%}",
                f"{r['pages_per_30_days']:.1f}",
            )
            for r in found["backtests"]
        ],
    )
    return "\n".join(out)


HEAD = """# Alerts, the sequential test and forecasts, measured

`python benchmarks/slo_alerts.py --out docs/results` writes this page, its plots and the raw numbers in [slo/](slo/).
Everything is simulated: Poisson traffic, a promise of 99.9 % over 30 days. How the alerts work: [alerts.md](../alerts.md).

- *guarded*: midwatch's default. Four tiers, at least 5 failures in the long window (or 5 clumps of them), tickets 2.33
  standard errors above their threshold, and the outage rule.
- *textbook*: the same four tiers and nothing else (Site Reliability Workbook, chapter 5).
- *averaged ratios*: the textbook with every window as the mean of 5-minute ratios, as some generators record long windows.
"""
FORMULAS_HEAD = """At 100 requests a minute, with the guards; `midwatch slo alerts NAME` prints it for a promise and its own
traffic. Time to fire, to fall silent after the errors stop, and the share of the period's budget spent at firing."""
FALSE_HEAD = """Errors at half of what the budget bears, so that nobody should be woken; looked at every minute. Allowed: one
page in 30 days. *In clumps*: 5 % of the requests fail for 5 minutes on average, twenty times a week, and nothing fails
between: the mean is within the budget, but a clump of 20 minutes does spend the 2 % of it that the fast tier is there to
tell. A month of history goes before what is counted here; what that first month brought, while a service's clumps are not
known for three days and then better every day, stands beside it. Rules that were handed to a Prometheus never know them:
there the textbook's rows in clumps hold from 10 requests a minute on."""
HABITS_HEAD = """What it costs that failures which usually come together count as one: minutes until a real incident
pages, at a service with a month of such clumps behind it and at one without. An outage in which more than half of the
requests fail pages by the outage rule as soon as ever; at exactly half, chance says at each look whether it is one."""
OUTAGE_HEAD = """From one moment on everything fails, after 6.5 hours at half the budget's errors; counted in steps of 10 s
and looked at as often. *As the watch looks*: its own rule on its own ring every 5 s, as it does unless `tick_seconds` says
otherwise, when every other time the newest step is half over. Counts arrive at once here; what an exporter holds back comes
on top.

Six failures take 36 ms at 10,000 requests a minute: nobody who looks every few seconds pages within them, and from about 30
a minute on the fifth and the seventh arrive in one step. The table says how often the page came within 6 failures, and how
often within them or at the first look after the fifth. The others came one look later: an outage that begins late within a
step shows as a part of it, and less than half of a step is not called an outage. Calling a third of it one would bring the
first look from 51 % to 70 % at 1,000 a minute, and 2 s; it would page 0.3 (10 a minute) to 0.6 times (100 a minute) in 30
days because of the clumps described above, where half pages 0.03 times and never (60 months each). So it stays at half."""
OFF_HEAD = """Those that are off, with the standard errors of the medians. The formulas are for even traffic, as many
requests each minute. Where traffic swings by chance, a bound between nine failures and ten is at times below nine, and a
tenth failure is far away. A condition that must last needs a failure in the short window at each look, which a formula of
the long one does not know:"""
SEQUENTIAL_HEAD = """100 requests a minute, steps of 10 s, from no suspicion, after a month at half the budget's errors: one
by one, or in the clumps described above. It wakes the agent and never people. The recipe for people needs 3.6 hours for
1 % of errors (slow tier, above). Where failures come in clumps of 5 %, 1 % that lasts looks like the end of one for hours:
there the test is no sooner than the tiers."""
QUIET_HEAD = """Not wanted on healthy data; at most one a week is allowed. *Dispersion* is what the test measured on the
three days before, and divides its evidence by; *together* is how many failures came together in one hour of sixty of the
month before, and count as one. The last row is the clumps described above."""
FORECAST_HEAD = """Sixty days of history, the question asked at day 60, promises around the edge of their budget (0.5 to 1.5
times what it bears; those already spent left out). "Not within the period" is an answer, and right when it comes so: where
nearly every future gives that answer the interval holds it nearly always, which is why the second column breaks ties
evenly: it should read 80 %. *New level*: a step of up to 7.5 times, one to fifteen days before; nobody can know whether
it stays. *Wandering*: a level with AR(.9) from day to day."""
BACKTEST_HEAD = """Ninety days with labelled incidents of 15 minutes to 3 hours in which 2 to 100 % of the requests fail, and
errors at 0.3 of the budget between them. Seven incidents a month are no habit, and the guards miss none of them from
30 requests a minute on."""


def _formula_table() -> list[str]:
    rows = table(SLO, GUARDED, 100.0)
    tiers = list(dict.fromkeys(r.tier for r in rows))
    cells = []
    for ratio in dict.fromkeys(r.error_ratio for r in rows):
        cell = [f"{ratio:.1%}"]
        for r in rows:
            if r.error_ratio == ratio:
                fires = r.detect_seconds is not None and r.reset_seconds is not None and r.spent is not None
                cell.append(f"{_span(r.detect_seconds)}, {_span(r.reset_seconds)}, {r.spent:.1%}" if fires else r.state)
        cells.append((*cell, f"{gone_seconds(SLO, ratio) / 3600:.1f} h"))
    return _table(("errors", *tiers, "budget gone in"), cells)


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _agreement(rows: list[Row]) -> str:
    def said(some: list[Row], key: str) -> str:
        return f"{sum(r[key] for r in some)} of {len(some)}"

    many = [r for r in rows if r["failures_expected"] >= 20]
    few = [r for r in rows if r["failures_expected"] < 20]
    off = [
        f"- {r['tier']}{', held for 5 min' if r['for_seconds'] else ''}, {r['error_ratio']:.0%} at {r['per_minute']:g}/min, "
        f"{r['failures_expected']:.0f} failures: formula {r['formula_seconds'] / 60:.1f} min, measured "
        f"{r['measured_seconds'] / 60:.1f}, with even traffic {r['even_traffic_seconds'] / 60:.1f} (standard errors "
        f"{r['standard_error_seconds'] / 60:.1f} and {r['even_traffic_error_seconds'] / 60:.1f})"
        for r in rows
        if not r["within_one_look"]
    ]
    return "\n".join(
        [
            "Looked at every minute, so a formula's answer is a range of one minute, from the first look that can fire to "
            f"the last. The median of {rows[0]['runs']:,} runs and, where chance needs them, up to "
            f"{max(r['runs'] for r in rows):,} lies within one more look of it in {said(rows, 'within_one_look')}: "
            f"{said(many, 'within_one_look')} where at least 20 failures are due by then, {said(few, 'within_one_look')} "
            f"with fewer. It falls silent within one look of the formula in {said(rows, 'reset_within_one_look')} cases "
            f"({said(many, 'reset_within_one_look')} and {said(few, 'reset_within_one_look')}): with few failures a short "
            "window has often none left before the formula says so.",
            "",
            *([OFF_HEAD, "", *off] if off else []),
        ]
    )


def _pooled(rows: list[Row]) -> str:
    whole = sum(r["runs"] for r in rows)
    held = sum(r["coverage"] * r["runs"] for r in rows)
    even = sum(r["calibrated"] * r["runs"] for r in rows)
    dated = sum(r["open"] for r in rows)
    right = sum(r["coverage_open"] * r["open"] for r in rows if r["open"])
    one, two, three = (cases.share_of(round(n), m) for n, m in ((held, whole), (even, whole), (right, dated)))
    return (
        f"Of {whole} forecasts together the interval held {one.value:.1%} ({one.low:.1%} to {one.high:.1%}), with ties "
        f"broken evenly {two.value:.1%} ({two.low:.1%} to {two.high:.1%}), and {three.value:.1%} ({three.low:.1%} to "
        f"{three.high:.1%}) of the {dated} that named a date."
    )


def _share(r: Row, name: str) -> str:
    return "-" if r[name] is None else f"{r[name]:.0%} ({r[f'{name}_low']:.0%} to {r[f'{name}_high']:.0%})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")


def _table(head: tuple[object, ...], rows: list[tuple[object, ...]]) -> list[str]:
    lines = ["| " + " | ".join(str(c) for c in row) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


if __name__ == "__main__":
    main()
