"""Scores of root-cause answers: how often right, how sure, and whether being sure means anything.

Beside every accuracy: chance level, Wilson interval, the rate of confident wrong answers with the share of answers that were
so confident, and the calibration error. Fault-free cases (no truth) are right when nobody is accused with at least even
odds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from midwatch.gym.benchmarks.contract import BenchCase, Result
from midwatch.gym.score.stats import wilson

SURE: Final = 0.8
ACCUSED: Final = 0.5
BINS: Final = 10
DRAWS: Final = 400  # simulated perfect methods, for what calibration error chance alone would show


def right_within(case: BenchCase, first: int) -> bool:
    """Whether one of the culprits is among the ``first`` answers."""
    truths = (case.truth,) if isinstance(case.truth, str) else case.truth or ()
    return any(one.entity in truths for one in case.ranked[:first])


def quiet(case: BenchCase) -> bool:
    """Whether nobody is accused."""
    return not case.ranked or not case.ranked[0].probability >= ACCUSED


@dataclass(frozen=True)
class Calibration:
    """``raw`` is the mean distance between stated probability and share of right answers over bins of equal count (0..1);
    ``chance`` what a perfectly calibrated method shows on as many cases, on average; ``debiased`` the rest."""

    cases: int
    raw: float
    chance: float
    debiased: float


def calibration(stated: Sequence[float], right: Sequence[bool], seed: int = 1) -> Calibration:
    """Expected calibration error (Naeini et al. 2015) with equal counts per bin, less its mean under perfect calibration
    (outcomes drawn from the stated probabilities themselves), which small samples are full of."""
    p, y = np.asarray(stated, dtype=float), np.asarray(right, dtype=float)
    keep = np.isfinite(p)
    p, y = p[keep], y[keep]
    if not p.size:
        return Calibration(0, math.nan, math.nan, math.nan)
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    bins = np.array_split(np.arange(p.size), min(BINS, p.size))
    draws = np.random.default_rng(seed).random((DRAWS, p.size)) < p
    raw = _distance(p, y[None, :], bins)[0]
    chance = float(_distance(p, draws.astype(float), bins).mean())
    return Calibration(int(p.size), float(raw), chance, max(0.0, float(raw) - chance))


def _distance(p: Any, outcomes: Any, bins: Sequence[Any]) -> Any:
    return sum(np.abs(outcomes[:, b].mean(axis=1) - p[b].mean()) * b.size for b in bins) / p.size


def root_cause_scores(cases: Sequence[BenchCase]) -> dict[str, Any]:
    """Scores per group of cases, and over all of them where there are several groups."""
    groups = list(dict.fromkeys(case.group for case in cases))
    found: dict[str, Any] = {group or "all": _scores([c for c in cases if c.group == group]) for group in groups}
    if len(groups) > 1:
        found["all"] = _scores(cases)
    return found


def _scores(cases: Sequence[BenchCase]) -> dict[str, Any]:
    faults = [case for case in cases if case.truth is not None]
    healthy = [case for case in cases if case.truth is None]
    found: dict[str, Any] = {"cases": len(faults)}
    if faults:
        candidates = [float(case.details["candidates"]) for case in faults if case.details.get("candidates")]
        found["chance_top1"] = float(np.mean([1.0 / n for n in candidates])) if candidates else math.nan
        for first in (1, 3, 5):
            share = wilson(sum(right_within(case, first) for case in faults), len(faults))
            found |= {f"top{first}": share.share, f"top{first}_low": share.low, f"top{first}_high": share.high}
        found["unknown_mass"] = float(np.mean([1.0 - sum(r.probability for r in case.ranked) for case in faults]))
    found |= _sureness(cases)
    if healthy:
        calm = wilson(sum(quiet(case) for case in healthy), len(healthy))
        found |= {"fault_free_cases": len(healthy), "nothing_wrong": calm.share}
        found |= {"nothing_wrong_low": calm.low, "nothing_wrong_high": calm.high}
    found["seconds_per_case"] = float(np.mean([case.seconds for case in cases])) if cases else math.nan
    return found


def _sureness(cases: Sequence[BenchCase]) -> dict[str, Any]:
    """Confidence of the first answers, fault-free cases included: whoever is accused there is accused wrongly. ``sure`` is
    of all faults, and of whatever was said where there was none."""
    asked = sum(case.truth is not None or bool(case.ranked) for case in cases)
    answers = [(case.ranked[0].probability, right_within(case, 1)) for case in cases if case.ranked]
    sure = [right for p, right in answers if p >= SURE]
    measured = calibration([p for p, _ in answers], [right for _, right in answers])
    return {
        "sure": len(sure) / asked if asked else math.nan,
        "sure_and_wrong": sum(not right for right in sure) / len(sure) if sure else math.nan,
        "sure_and_wrong_cases": sum(not right for right in sure),
        "calibration_cases": measured.cases,
        "calibration_error": measured.raw,
        "calibration_error_of_chance": measured.chance,
        "calibration_error_debiased": measured.debiased,
    }


def root_cause_section(result: Result) -> str:
    """The page's part of a root-cause benchmark: scores per system, then every failure by name."""
    rows = [_row(name, s) for name, s in result.scores.items() if isinstance(s, dict) and "cases" in s]
    head = (
        "| system | cases | chance | top-1 | top-3 | mass on unknown | sure (p >= 0.8) | of these wrong | "
        "calibration error: raw, of chance, debiased | fault-free: nobody accused | s per case |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|", *rows]
    missed = [case for case in result.cases if case.truth is not None and not right_within(case, 1)]
    accused = [case for case in result.cases if case.truth is None and not quiet(case)]
    if missed or accused:
        lines += ["", "Not right at first:", ""]
        lines += [_miss(case) for case in [*missed, *accused][:MISSES]]
        if len(missed) + len(accused) > MISSES:
            lines.append(f"- and {len(missed) + len(accused) - MISSES} more, in the file of results")
    if result.peers:
        lines += ["", "Peers, run beside it on the same cases:", ""]
        lines += [f"- {name}: {_plain(scores)}" for name, scores in result.peers.items()]
    return "\n".join(lines)


MISSES: Final = 20


def _miss(case: BenchCase) -> str:
    said = ", ".join(f"{r.entity} {r.probability:.2f}" for r in case.ranked[:3]) or "nothing"
    why = "".join(f"; {key}: {value}" for key, value in case.details.items() if key not in ("candidates",))
    return f"- `{case.id}`: it was {case.truth or 'nothing'}; said {said}{why}"


def _row(name: str, s: dict[str, Any]) -> str:
    def share(key: str) -> str:
        return f"{s[key]:.2f} ({s[key + '_low']:.2f}-{s[key + '_high']:.2f})" if s.get(key) is not None else "-"

    def one(key: str) -> str:
        value = s.get(key)
        return "-" if value is None or value != value else f"{value:.2f}"

    error = ", ".join(
        one(k) for k in ("calibration_error", "calibration_error_of_chance", "calibration_error_debiased")
    )
    calm = f"{share('nothing_wrong')} of {s['fault_free_cases']}" if s.get("fault_free_cases") else "-"
    cells = [name, str(s["cases"]), one("chance_top1"), share("top1"), share("top3"), one("unknown_mass"), one("sure"),
             f"{one('sure_and_wrong')} ({s.get('sure_and_wrong_cases', 0)})", error, calm,
             f"{s['seconds_per_case']:.3f}"]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _plain(scores: Any) -> str:
    if isinstance(scores, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in scores.items())
    return f"{scores:.2f}" if isinstance(scores, float) else str(scores)
