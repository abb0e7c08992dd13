"""How often do the detectors cry on healthy data, and how soon on a rise? Writes Markdown tables (``--out FILE`` keeps the
raw numbers as JSON). The shift is called as the loop calls it: with its floor, and sustained.

    python benchmarks/null_rates.py [--rows 2000] [--steps 1200] [--seed 1] [--out docs/results/null_rates.json]

A look is one series at one tick; looks that fire within a minute of each other are one false alarm, as they are one finding.
The month is 518,400 ticks of 5 s.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from midwatch.core.detect.drop import drops
from midwatch.core.detect.shift import HISTORY, THRESHOLD, THRESHOLD_INSIDE, shift
from midwatch.core.detect.symptoms import MIN_RISE, MIN_RISE_INSIDE

Arrays = tuple[np.ndarray, np.ndarray]
TICKS_PER_MONTH = 518_400
MINUTE = 12  # ticks


def ar1(rng: np.random.Generator, rows: int, steps: int, phi: float) -> np.ndarray:
    level = np.zeros((rows, steps))
    for step in range(1, steps):
        level[:, step] = phi * level[:, step - 1] + rng.normal(0, np.sqrt(1 - phi * phi), rows)
    return level


def counts(rng: np.random.Generator, rate: np.ndarray, share: np.ndarray) -> Arrays:
    total = rng.poisson(rate).astype(float)
    return rng.binomial(total.astype(int), np.clip(share, 0, 0.5)).astype(float), total


def worlds(rng: np.random.Generator, rows: int, steps: int) -> Iterator[tuple[str, Arrays]]:
    ones = np.ones((rows, steps))
    yield "white, 50/step, 0.2 % fail", counts(rng, 50 * ones, 0.002 * ones)
    yield "white, 50/step, 2 % fail", counts(rng, 50 * ones, 0.02 * ones)
    yield "AR(.5) share around 1 %", counts(rng, 50 * ones, 0.01 * np.exp(0.3 * ar1(rng, rows, steps, 0.5)))
    yield "AR(.9) share around 1 %", counts(rng, 50 * ones, 0.01 * np.exp(0.3 * ar1(rng, rows, steps, 0.9)))
    yield "log-normal traffic, 0.5 % fail", counts(rng, 50 * rng.lognormal(0, 0.5, (rows, steps)), 0.005 * ones)
    day = 1 + 0.5 * np.sin(np.arange(steps) / 200)
    yield "seasonal traffic, 0.5 % fail", counts(rng, 50 * ones * day, 0.005 * ones)
    yield "low counts, 2/step, 0.5 % fail", counts(rng, 2 * ones, 0.005 * ones)
    yield "low counts, 0.3/step, 2 % fail", counts(rng, 0.3 * ones, 0.02 * ones)


def alarms(data: Arrays, fires: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[int, int]:
    bad, total = data
    last = np.full(total.shape[0], -MINUTE - 1)
    false, looks = 0, 0
    for end in range(20, total.shape[1] + 1):
        first = max(0, end - HISTORY)
        now = fires(bad[:, first:end], total[:, first:end])
        false += int((now & (last < end - MINUTE)).sum())
        last[now] = end
        looks += total.shape[0]
    return false, looks


def rises(floor: float, sure: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def fires(bad: np.ndarray, total: np.ndarray) -> np.ndarray:
        found = shift(bad, total, floor=floor, sustained=True)
        hit = np.zeros(total.shape[0], dtype=bool)
        hit[found.fired(np.maximum(floor, 0.5 * found.before), sure)] = True
        return hit

    return fires


def falls(bad: np.ndarray, total: np.ndarray) -> np.ndarray:
    hit = np.zeros(total.shape[0], dtype=bool)
    hit[drops(total)[0]] = True
    return hit


def delays(
    rng: np.random.Generator, rows: int, fires: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Iterator[dict]:
    """Steps from a jump of the failing share (0.2 % before) to the first look that fires; None: not within 40."""
    for rate, to in ((rate, to) for rate in (25, 125) for to in (0.02, 0.05, 0.15, 0.5)):
        total = rng.poisson(rate, (rows, HISTORY + 40)).astype(float)
        share = np.where(np.arange(HISTORY + 40) < HISTORY, 0.002, to)
        bad = rng.binomial(total.astype(int), share).astype(float)
        first = np.full(rows, np.inf)
        for step in range(1, 41):
            fired = fires(bad[:, step : HISTORY + step], total[:, step : HISTORY + step])
            first = np.where(fired & np.isinf(first), step, first)
        half, most = (float(np.quantile(first, q, method="higher")) for q in (0.5, 0.9))
        yield {
            "rate_per_second": rate / 5,
            "to": to,
            "median_steps": half if np.isfinite(half) else None,
            "p90_steps": most if np.isfinite(most) else None,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    detectors = {
        "error shift at an entry (1 %)": rises(MIN_RISE, THRESHOLD),
        "error shift inside (3 %)": rises(MIN_RISE_INSIDE, THRESHOLD_INSIDE),
        "traffic drop": falls,
    }
    raw = []
    print("| healthy data | detector | looks | false alarms | per series and month |\n|---|---|---|---|---|")
    for name, data in worlds(np.random.default_rng(options.seed), options.rows, options.steps):
        for detector, fires in detectors.items():
            started = time.perf_counter()
            false, looks = alarms(data, fires)
            monthly = false / looks * TICKS_PER_MONTH
            bound = f"{monthly:.3g}" if false else f"< {3 / looks * TICKS_PER_MONTH:.2g} (95 %)"
            print(f"| {name} | {detector} | {looks:,} | {false} | {bound} |", flush=True)
            raw.append(
                {
                    "data": name,
                    "detector": detector,
                    "looks": looks,
                    "false": false,
                    "seconds": time.perf_counter() - started,
                }
            )
    print("\n| requests/s | failing, from 0.2 % | seen after steps (median) | 90 % |\n|---|---|---|---|")
    onset = list(delays(np.random.default_rng(options.seed), 1000, detectors["error shift at an entry (1 %)"]))
    for row in onset:
        half, most = (f"{row[k]:.0f}" if row[k] else "not within 40" for k in ("median_steps", "p90_steps"))
        print(f"| {row['rate_per_second']:g} | {row['to']:.0%} | {half} | {most} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"seed": options.seed, "rows": raw, "onset": onset}, indent=1))


if __name__ == "__main__":
    main()
