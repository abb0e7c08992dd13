"""How often do the detectors cry on healthy data, and how soon on a rise? Writes Markdown tables (``--out FILE`` keeps the
raw numbers as JSON). Every detector is called as the loop calls it.

    python benchmarks/null_rates.py [--rows 2000] [--steps 1200] [--days 14] [--seed 1]
        [--parts shares seasonal leads habits onset] [--out docs/results/null_rates.json]

A look is one series at one tick; looks that fire within a minute of each other are one false alarm, as they are one
finding. The month is 518,400 ticks of 5 s. Habits look once a minute and are told by the week.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np
from null_data import DAY_MINUTES, SEASONAL, failures, levels, rates, reports, seasonal, used

from midwatch.core.detect import bursts as logs
from midwatch.core.detect import shapes as traces
from midwatch.core.detect.dead import silent
from midwatch.core.detect.drop import drops
from midwatch.core.detect.habits import THRESHOLD as UNUSUAL
from midwatch.core.detect.habits import THRESHOLD_AT_FIRST
from midwatch.core.detect.novelty import LEARN, blank, step
from midwatch.core.detect.shift import HISTORY, THRESHOLD_INSIDE, shift, sure_at_entry
from midwatch.core.detect.symptoms import MIN_RISE, MIN_RISE_INSIDE
from midwatch.core.detect.trend import HORIZON_SECONDS, WINDOW, trends

Counted = tuple[str, str, int, int]  # data, detector, false alarms, looks
PARTS = ("shares", "seasonal", "leads", "habits", "onset")
Fires = Callable[..., np.ndarray]
TICKS_PER_MONTH = 518_400
MINUTES_PER_WEEK = 10_080
MINUTE = 12  # ticks


def alarms(data: tuple[np.ndarray, ...], fires: Fires, window: int = HISTORY, every: int = 1) -> tuple[int, int]:
    """(false alarms, looks) of a detector that sees the newest ``window`` steps, asked at ``every`` tick."""
    rows, steps = data[0].shape
    last = np.full(rows, -MINUTE - 1)
    false, looks = 0, 0
    for end in range(min(20, steps) if window == HISTORY else window, steps + 1, every):
        now = fires(*(part[:, max(0, end - window) : end] for part in data))
        false += int((now & (last < end - MINUTE)).sum())
        last[now] = end
        looks += rows * every
    return false, looks


def hit(rows: int, found: np.ndarray) -> np.ndarray:
    flags = np.zeros(rows, dtype=bool)
    flags[found] = True
    return flags


def sure_inside(width: np.ndarray) -> np.ndarray:
    return np.full(len(width), THRESHOLD_INSIDE)


def rises(floor: float, sure: Callable[[np.ndarray], np.ndarray]) -> Fires:
    def fires(bad: np.ndarray, total: np.ndarray) -> np.ndarray:
        newest = total.shape[1] - 1 - np.argmax(total[:, ::-1] > 0, axis=1)  # that has requests
        at = np.arange(len(total))
        # A sustained shift asks for that: the others are quiet.
        rows = np.flatnonzero(bad[at, newest] > floor * total[at, newest])
        found = shift(bad[rows], total[rows], floor=floor, sustained=True)
        return hit(len(total), rows[found.fired(np.maximum(floor, 0.5 * found.before), sure(found.width))])

    return fires


def falls(bad: np.ndarray, total: np.ndarray) -> np.ndarray:
    return hit(len(total), drops(total)[0])


def complains(lines: np.ndarray) -> np.ndarray:
    return hit(len(lines), logs.bursts(lines).rows)


def reshapes(calls: np.ndarray, requests: np.ndarray) -> np.ndarray:
    return hit(len(calls), traces.shapes(calls, requests).rows)


def fills(share: np.ndarray) -> np.ndarray:
    return hit(len(share), trends(share, HORIZON_SECONDS / 5).rows)


def dies(values: np.ndarray) -> np.ndarray:
    return hit(len(values), silent(values, np.arange(len(values)) // 4))


def shares(rng: np.random.Generator, rows: int, steps: int) -> Iterator[Counted]:
    """What users feel."""
    for name, data in failures(rng, rows, steps):
        yield name, "error shift at an entry (1 %)", *alarms(data, rises(MIN_RISE, sure_at_entry))
        yield name, "error shift inside (3 %)", *alarms(data, rises(MIN_RISE_INSIDE, sure_inside))
        yield name, "traffic drop", *alarms(data, falls)


def healthy_weeks(rng: np.random.Generator, rows: int, steps: int) -> Iterator[Counted]:
    """The same on ten times as much seasonal traffic: enough for a word on a week."""
    for _ in range(10):
        data = seasonal(rng, rows, steps)
        yield SEASONAL, "error shift at an entry (1 %)", *alarms(data, rises(MIN_RISE, sure_at_entry))
        yield SEASONAL, "error shift inside (3 %)", *alarms(data, rises(MIN_RISE_INSIDE, sure_inside))
        yield SEASONAL, "traffic drop", *alarms(data, falls)


def summed(found: Iterator[Counted]) -> Iterator[Counted]:
    """The same, one line for each detector and kind of data."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for name, detector, false, looks in found:
        before = totals.get((name, detector), (0, 0))
        totals[name, detector] = (before[0] + false, before[1] + looks)
    yield from ((*key, *total) for key, total in totals.items())


def leads(rng: np.random.Generator, rows: int, steps: int) -> Iterator[Counted]:
    """What opens no incident."""
    for name, factor in rates(rng, rows, steps):
        lines = rng.poisson(2 * factor).astype(float)
        yield name, "log burst", *alarms((lines,), complains, logs.WIDTH + logs.HISTORY)
        requests = rng.poisson(50, factor.shape).astype(float)
        calls = rng.poisson(requests * factor).astype(float)
        yield name, "shape", *alarms((calls, requests), reshapes, traces.WIDTH + traces.HISTORY)
    for name, share in used(rng, rows, steps):
        yield name, "trend", *alarms((share,), fills, WINDOW, every=4)
    for name, values in reports(rng, rows, steps):
        yield f"reported {name}", "lost signal", *alarms((values,), dies, WINDOW)


def habits(values: np.ndarray) -> list[tuple[float, list[int]]]:
    """(threshold, false alarms in each whole week): the first holds the hours in which it says nothing."""
    state, weeks = blank(len(values)), range(values.shape[1] // MINUTES_PER_WEEK)
    begins = np.zeros_like(values)
    for column in range(values.shape[1]):
        state, _, begins[:, column] = step(state, values[:, column], 60.0 * column)
    first_day = np.arange(values.shape[1]) < DAY_MINUTES
    found = []
    for threshold in (1.0, 2.0, UNUSUAL):
        alarm = begins >= np.where(first_day, THRESHOLD_AT_FIRST, threshold)
        each = [int(alarm[:, w * MINUTES_PER_WEEK :][:, :MINUTES_PER_WEEK].sum()) for w in weeks]
        found.append((threshold, each))
    return found


def delays(
    rng: np.random.Generator, rows: int, fires: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Iterator[dict]:
    """Steps from a jump of the failing share (0.2 % before) to the first look that fires; None: not within 40."""
    for rate, to in ((rate, to) for rate in (25, 125) for to in (0.02, 0.05, 0.15, 0.5)):
        total = rng.poisson(rate, (rows, HISTORY + 40)).astype(float)
        share = np.where(np.arange(HISTORY + 40) < HISTORY, 0.002, to)
        bad = rng.binomial(total.astype(int), share).astype(float)
        first = np.full(rows, np.inf)
        for tick in range(1, 41):
            fired = fires(bad[:, tick : HISTORY + tick], total[:, tick : HISTORY + tick])
            first = np.where(fired & np.isinf(first), tick, first)
        half, most = (float(np.quantile(first, q, method="higher")) for q in (0.5, 0.9))
        yield {
            "rate_per_second": rate / 5,
            "to": to,
            "median_steps": half if np.isfinite(half) else None,
            "p90_steps": most if np.isfinite(most) else None,
        }


def by_the_month(found: Iterator[Counted]) -> list[dict]:
    raw = []
    print("| healthy data | detector | looks | false alarms | per series and month |\n|---|---|---|---|---|")
    for name, detector, false, looks in found:
        monthly = false / looks * TICKS_PER_MONTH
        bound = f"{monthly:.3g}" if false else f"< {3 / looks * TICKS_PER_MONTH:.2g} (95 %)"
        print(f"| {name} | {detector} | {looks:,} | {false} | {bound} |", flush=True)
        raw.append({"data": name, "detector": detector, "looks": looks, "false": false})
    return raw


def by_the_week(rng: np.random.Generator, rows: int, days: int) -> list[dict]:
    raw = []
    print(f"| healthy data, a value a minute, from minute {LEARN} on | deviations | by week | newest, per series |")
    print("|---|---|---|---|")
    for name, minutes in levels(rng, rows, days * DAY_MINUTES):
        for threshold, each in habits(minutes):
            bound = f"{each[-1] / rows:.3g}" if each[-1] else f"< {3 / rows:.2g} (95 %)"
            print(f"| {name} | {threshold:g} | {', '.join(map(str, each))} of {rows:,} | {bound} |", flush=True)
            raw.append({"data": name, "threshold": threshold, "false_by_week": each, "series": rows})
    return raw


def by_the_rise(rng: np.random.Generator) -> list[dict]:
    print("| requests/s | failing, from 0.2 % | seen after steps (median) | 90 % |\n|---|---|---|---|")
    raw = list(delays(rng, 1000, rises(MIN_RISE, sure_at_entry)))
    for row in raw:
        half, most = (f"{row[k]:.0f}" if row[k] else "not within 40" for k in ("median_steps", "p90_steps"))
        print(f"| {row['rate_per_second']:g} | {row['to']:.0%} | {half} | {most} |", flush=True)
    return raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="the others stay as they are in --out")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    kept = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    for part in options.parts:
        rng, began = np.random.default_rng(options.seed), time.perf_counter()
        match part:
            case "shares":
                raw = by_the_month(shares(rng, options.rows, options.steps))
            case "seasonal":
                raw = by_the_month(summed(healthy_weeks(rng, options.rows, options.steps)))
            case "leads":
                raw = by_the_month(leads(rng, options.rows, options.steps))
            case "habits":
                raw = by_the_week(rng, options.rows, options.days)
            case _:
                raw = by_the_rise(rng)
        kept[part] = {"seed": options.seed, "seconds": round(time.perf_counter() - began, 1), "rows": raw}
        print()
        if options.out:
            options.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
