"""NAB (Lavin & Ahmad, 2015; data MIT): series with windows in which something was wrong, scored by how early and how rarely
a detector speaks.

Layout: ``data/**/*.csv`` (timestamp, value) and ``labels/combined_windows.json`` ({file under ``data``: [[from, until],
...]}), times without a zone. The detector is the live loop's own (``core/detect/novelty.py``), fed row by row in the file's
order; it is told the time and the value of a row and nothing else, and never a later row.

The detector's constants were chosen on one half of the series alone: those at even places of each folder, by name
(``tuned_on``). The other half is the test, at the threshold that is best on the first; the score of all of them at their own
best threshold is what others publish.

A case is a series; its truth is its windows and its answer the times flagged at the standard profile's threshold, strongest
first. The benchmark states no probabilities.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from midwatch.core.detect.habits import THRESHOLD
from midwatch.core.detect.novelty import novelty
from midwatch.gym.benchmarks.contract import BenchCase, Progress, Ranked, Result, folder, reading
from midwatch.gym.benchmarks.nab_peers import PEERS
from midwatch.gym.benchmarks.nab_scoring import PROFILES, Labelled, Profile, alarms, normalised, sweep
from midwatch.gym.benchmarks.page import number
from midwatch.model.world import Floats

NEEDS: Final = "data/**/*.csv and labels/combined_windows.json"
MOST_SHOWN: Final = 40  # flagged times kept per case

Scored = list[tuple[Labelled, Floats]]


def bench(data: Path, *, progress: Progress) -> Result:
    """Every series that ``labels/combined_windows.json`` names."""
    many: Scored = []
    seconds: list[float] = []
    for series in labelled(data):
        began = time.perf_counter()
        many.append((series, ours(series)))
        seconds.append(time.perf_counter() - began)
        progress(f"{series.name}: {len(series.values)} rows, {1e6 * seconds[-1] / len(series.values):.0f} us each")
    scores = profiles(many)
    threshold = scores["standard"]["threshold"]
    windows = sum(len(series.windows) for series, _ in many)
    live = sweep(many, PROFILES["standard"]).at(THRESHOLD)
    scores["standard"]["score_at_the_live_threshold"] = normalised(live, windows, PROFILES["standard"])
    cases = [_case(series, score, threshold, s) for (series, score), s in zip(many, seconds, strict=True)]
    scores["rows"] = sum(len(series.values) for series, _ in many)
    scores["windows"] = windows
    scores["us_per_row"] = 1e6 * sum(seconds) / scores["rows"]
    return Result("nab", scores, tuple(cases), notes=NOTES)


def ours(series: Labelled) -> Floats:
    """The live detector's score of each row, in standard deviations."""
    return np.asarray(novelty(series.values[None, :], series.times)[0])


def compare(data: Path, result: Result, *, progress: Progress) -> dict[str, Any]:
    """The peers that are installed, by the same scorer."""
    every = labelled(data)
    found: dict[str, Any] = {}
    for name, make in PEERS.items():
        try:
            scorer = make()
        except ImportError:
            found[name] = {"missing": "pip install --group bench"}
            continue
        found[name] = profiles(_scored(every, scorer))
        progress(f"{name}: {found[name]['standard']['score']:.1f}")
    return found


def _scored(every: Sequence[Labelled], scorer: Callable[[Labelled], Floats]) -> Scored:
    return [(series, scorer(series)) for series in every]


NOTES: Final = (
    "The threshold of a profile is NAB's own choice: the one that scores best on these very series. The other columns take "
    "it from elsewhere: what a stranger's series would get.",
    "The detector is online. It looks at no later row, has one set of constants for all series, and knows no file. Four of "
    "them (how long a mean is, how long an alarm stands, how much stronger another must be, what a daily shape is) were "
    "chosen on the tuned half by the mean score over the other three; differences of half a point are chance there, so "
    "the cheapest was taken. The constants before that had been set with the whole corpus in sight (70.9).",
    f"The live loop asks for {THRESHOLD:g} deviations, so that healthy series are quiet for months; NAB's best is a "
    "tenth of that.",
    "ruptures and Otava see the whole series before they say where it changed: they look ahead, and are here for "
    "comparison only.",
)


# --- data -------------------------------------------------------------------------------------------------------------


def labelled(data: Path) -> list[Labelled]:
    """By name. Raises UsageError."""
    labels = data / "labels" / "combined_windows.json"
    folder(data, NEEDS, labels.is_file())
    with reading(labels):
        windows: dict[str, list[list[str]]] = json.loads(labels.read_text(encoding="utf-8"))
        told = {name: [(_seconds(a), _seconds(b)) for a, b in spans] for name, spans in windows.items()}
    found = [_series(data / "data" / name, name, told[name]) for name in sorted(told)]
    folder(data, "at least one labelled series", *found)
    return found


def _series(path: Path, name: str, windows: list[tuple[float, float]]) -> Labelled:
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
        times = np.array([_seconds(row["timestamp"]) for row in rows])
        values = np.array([float(row["value"] or "nan") for row in rows])
        within = [np.flatnonzero((times >= first) & (times <= last)) for first, last in windows]
        if not rows or not all(inside.size for inside in within):
            raise ValueError("no row in it, or none in one of its windows")
        return Labelled(name, times, values, tuple((int(inside[0]), int(inside[-1])) for inside in within))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# --- scores -----------------------------------------------------------------------------------------------------------


def profiles(many: Scored) -> dict[str, Any]:
    """Per profile: the score at the best threshold, and with thresholds that were chosen on the other folders."""
    windows = sum(len(series.windows) for series, _ in many)
    found: dict[str, Any] = {}
    for name, profile in PROFILES.items():
        threshold, gain = sweep(many, profile).best()
        found[name] = {
            "score": normalised(gain, windows, profile),
            "threshold": threshold,
            "score_with_thresholds_of_the_other_folders": normalised(_elsewhere(many, name), windows, profile),
            **_halves(many, profile),
        }
    return found


def tuned_on(names: Sequence[str]) -> frozenset[str]:
    """The series that the detector's constants were chosen on: every second one of each folder, from the first on."""
    folders: dict[str, list[str]] = {}
    for name in sorted(names):
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    return frozenset(name for mine in folders.values() for name in mine[::2])


def _halves(many: Scored, profile: Profile) -> dict[str, float]:
    """The tuned half at its best threshold, and the other one at the same."""
    tuned = tuned_on([series.name for series, _ in many])
    one, other = ([pair for pair in many if (pair[0].name in tuned) == mine] for mine in (True, False))
    threshold, gain = sweep(one, profile).best()
    rest = sweep(other, profile).at(threshold) if other else 0.0
    return {
        "score_of_the_tuned_half": normalised(gain, sum(len(s.windows) for s, _ in one), profile),
        "score_of_the_other_half": normalised(rest, sum(len(s.windows) for s, _ in other), profile),
    }


def _elsewhere(many: Scored, profile: str) -> float:
    """The gain when each folder is judged by the threshold that is best on all other folders."""
    of = [series.name.rpartition("/")[0] for series, _ in many]
    gain = 0.0
    for one in sorted(set(of)):
        rest = [pair for pair, where in zip(many, of, strict=True) if where != one]
        threshold, _ = sweep(rest, PROFILES[profile]).best() if rest else (float("inf"), 0.0)
        gain += sweep([pair for pair, where in zip(many, of, strict=True) if where == one], PROFILES[profile]).at(
            threshold
        )
    return gain


def _case(series: Labelled, score: Floats, threshold: float, seconds: float) -> BenchCase:
    hit, false, rows = alarms(series, score, threshold)
    strongest = sorted(rows, key=lambda row: (-score[row], row))[:MOST_SHOWN]
    return BenchCase(
        series.name,
        tuple(f"{_told(series, first)} - {_told(series, last)}" for first, last in series.windows) or None,
        tuple(Ranked(_told(series, row), float("nan")) for row in strongest),
        seconds,
        series.name.rpartition("/")[0],
        {"rows": len(series.values), "windows": len(series.windows), "hit": hit, "false": false},
    )


def _told(series: Labelled, row: int) -> str:
    return datetime.fromtimestamp(float(series.times[row]), UTC).strftime("%Y-%m-%d %H:%M:%S")


# --- the page ---------------------------------------------------------------------------------------------------------


def section(result: Result) -> str:
    """Scores per profile beside the peers', then what was missed where."""
    lines = [
        "| detector | "
        + " | ".join(PROFILES)
        + " | thresholds of the other folders | the tuned half | the other half |",
        "|" + "---|" * (len(PROFILES) + 4),
        _row("midwatch", result.scores),
        *(_row(name, scores) for name, scores in result.peers.items()),
        "",
        f"{result.scores['windows']} windows in {result.scores['rows']:,} rows, {result.scores['us_per_row']:.0f} us a row. "
        f"At the live threshold the standard profile gives {result.scores['standard']['score_at_the_live_threshold']:.1f}. "
        "Published: ARTime 74.9 / 65.1 / 80.4, HTM 70.5 / 62.6 / 75.2, a Gaussian window 39.6 / 20.9 / 47.4.",
        "",
        "| folder | series | windows | hit | false alarms | series with a missed window |",
        "|---|---|---|---|---|---|",
    ]
    for group in sorted({case.group for case in result.cases}):
        mine = [case for case in result.cases if case.group == group]
        total = {key: sum(case.details[key] for case in mine) for key in ("windows", "hit", "false")}
        missed = [
            f"{case.id.rpartition('/')[2]} ({case.details['hit']} of {case.details['windows']})"
            for case in mine
            if case.details["hit"] < case.details["windows"]
        ]
        lines.append(
            f"| {group} | {len(mine)} | {total['windows']} | {total['hit']} | {total['false']} "
            f"| {', '.join(missed) or '-'} |"
        )
    return "\n".join(lines)


def _row(name: str, scores: dict[str, Any]) -> str:
    if "missing" in scores:
        return f"| {name} | not installed (`{scores['missing']}`) |" + " |" * (len(PROFILES) + 2)
    best = [number(scores[profile]["score"], 1) for profile in PROFILES]
    best += [
        " / ".join(number(scores[p][f"score_{what}"], 1) for p in PROFILES)
        for what in ("with_thresholds_of_the_other_folders", "of_the_tuned_half", "of_the_other_half")
    ]
    return f"| {name} | {' | '.join(best)} |"
