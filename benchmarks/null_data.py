"""Healthy data of every kind that the detectors' null rates are measured on; drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]
SEASONAL = "seasonal traffic, 0.5 % fail"
DAY_STEPS = 17_280  # of 5 s
DAY_MINUTES = 1440


def ar1(rng: np.random.Generator, rows: int, steps: int, phi: float) -> np.ndarray:
    """Autocorrelated noise of mean 0 and deviation 1, shape (rows, steps)."""
    level = np.zeros((rows, steps))
    for step in range(1, steps):
        level[:, step] = phi * level[:, step - 1] + rng.normal(0, np.sqrt(1 - phi * phi), rows)
    return level


def counts(rng: np.random.Generator, rate: np.ndarray, share: np.ndarray) -> Arrays:
    total = rng.poisson(rate).astype(float)
    return rng.binomial(total.astype(int), np.clip(share, 0, 0.5)).astype(float), total


def seasonal(rng: np.random.Generator, rows: int, steps: int) -> Arrays:
    day = 1 + 0.5 * np.sin(np.arange(steps) / 200)
    return counts(rng, np.broadcast_to(50 * day, (rows, steps)), np.full((rows, steps), 0.005))


def failures(rng: np.random.Generator, rows: int, steps: int) -> Iterator[tuple[str, Arrays]]:
    """(failing, all) requests per step of 5 s."""
    ones = np.ones((rows, steps))
    yield "white, 50/step, 0.2 % fail", counts(rng, 50 * ones, 0.002 * ones)
    yield "white, 50/step, 2 % fail", counts(rng, 50 * ones, 0.02 * ones)
    yield "AR(.5) share around 1 %", counts(rng, 50 * ones, 0.01 * np.exp(0.3 * ar1(rng, rows, steps, 0.5)))
    yield "AR(.9) share around 1 %", counts(rng, 50 * ones, 0.01 * np.exp(0.3 * ar1(rng, rows, steps, 0.9)))
    yield "log-normal traffic, 0.5 % fail", counts(rng, 50 * rng.lognormal(0, 0.5, (rows, steps)), 0.005 * ones)
    yield SEASONAL, seasonal(rng, rows, steps)
    yield "low counts, 2/step, 0.5 % fail", counts(rng, 2 * ones, 0.005 * ones)
    yield "low counts, 0.3/step, 2 % fail", counts(rng, 0.3 * ones, 0.02 * ones)


def rates(rng: np.random.Generator, rows: int, steps: int) -> Iterator[tuple[str, np.ndarray]]:
    """Factors of mean about 1 by which a rate wanders, step by step of 5 s."""
    yield "white", np.exp(0.3 * rng.normal(0, 1, (rows, steps)))
    yield "AR(.5)", np.exp(0.3 * ar1(rng, rows, steps, 0.5))
    yield "AR(.9)", np.exp(0.3 * ar1(rng, rows, steps, 0.9))
    yield "log-normal", rng.lognormal(0, 1.0, (rows, steps))
    yield "seasonal", np.broadcast_to(1 + 0.8 * np.sin(2 * np.pi * np.arange(steps) / DAY_STEPS * 12), (rows, steps))
    yield "low counts", np.full((rows, steps), 0.02)


def used(rng: np.random.Generator, rows: int, steps: int) -> Iterator[tuple[str, np.ndarray]]:
    """Shares of a bound in use, step by step of 5 s."""
    yield "white", 0.5 + 0.1 * rng.normal(0, 1, (rows, steps))
    yield "AR(.5)", 0.5 + 0.1 * ar1(rng, rows, steps, 0.5)
    yield "AR(.9)", 0.5 + 0.1 * ar1(rng, rows, steps, 0.9)
    yield "log-normal", np.minimum(0.2 * rng.lognormal(0, 0.5, (rows, steps)), 1.0)
    phase = 2 * np.pi * rng.random((rows, 1))
    day = 0.5 + 0.3 * np.sin(2 * np.pi * np.arange(steps) / DAY_STEPS + phase)
    yield "seasonal", day + 0.02 * rng.normal(0, 1, (rows, steps))
    yield "low counts", rng.poisson(2, (rows, steps)) / 20
    yield "random walk", 0.5 + 0.005 * rng.normal(0, 1, (rows, steps)).cumsum(axis=1)


def reports(rng: np.random.Generator, rows: int, steps: int) -> Iterator[tuple[str, np.ndarray]]:
    """Gauges, four to an entity, NaN where nothing was reported in a step."""
    value = np.ones((rows, steps))
    yield "every step", value.copy()
    yield "every minute", np.where(np.arange(steps) % 12 == rng.integers(0, 12, (rows, 1)), value, np.nan)
    yield (
        "every minute, one in ten lost",
        np.where(
            (np.arange(steps) % 12 == rng.integers(0, 12, (rows, 1))) & (rng.random((rows, steps)) < 0.9), value, np.nan
        ),
    )
    yield "now and then, at random", np.where(rng.random((rows, steps)) < 0.1, value, np.nan)


def levels(rng: np.random.Generator, rows: int, minutes: int) -> Iterator[tuple[str, np.ndarray]]:
    """Gauges and rates, one value a minute, as the loop feeds them: what is multiplied by its logarithm."""
    at = np.arange(minutes)
    day = np.sin(2 * np.pi * at / DAY_MINUTES + 2 * np.pi * rng.random((rows, 1)))
    yield "white", rng.normal(0, 1, (rows, minutes))
    yield "AR(.5)", ar1(rng, rows, minutes, 0.5)
    yield "AR(.9)", ar1(rng, rows, minutes, 0.9)
    yield "log-normal, by its logarithm", np.log1p(100 * rng.lognormal(0, 0.5, (rows, minutes)))
    yield "log-normal as it is", rng.lognormal(0, 0.5, (rows, minutes))
    yield "seasonal", 10 + 4 * day + rng.normal(0, 1, (rows, minutes))
    yield "seasonal, AR(.9)", 10 + 4 * day + ar1(rng, rows, minutes, 0.9)
    yield "low counts, by their logarithm", np.log1p(rng.poisson(2.0, (rows, minutes)).astype(float))
    yield "seasonal low counts, by their logarithm", np.log1p(rng.poisson(2.0 + 1.5 * day).astype(float))
