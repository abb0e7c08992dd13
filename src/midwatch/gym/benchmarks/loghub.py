"""Loghub (Zhu et al. 2023; for research only): lines of logs and the templates that people gave them.

Layout: any number of files ``NAME*_structured*.csv`` at any depth, a line of a log each, with the columns ``Content`` and
``EventTemplate``. Where a folder holds corrected labels (``*_structured_corrected.csv``; Khan et al. 2022), only these
count. The miner sees the contents in their order, as at ingest, and nothing else.

Texts are compared with the values as ``<*>``, several blanks as one, and nothing else made equal; a group is the lines
whose templates read the same in the end, as in the archive's own scorer. Speed is lines per second of processor time on
one core, a fresh miner each time, the median of several times: ``cold`` is the lines as they are, ``stream`` the same
lines ten times over with their numbers redrawn, as a log goes on.
"""

from __future__ import annotations

import csv
import importlib
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from msgspec import to_builtins

from midwatch.gym.benchmarks.contract import BenchCase, Progress, Ranked, Result, folder, reading
from midwatch.gym.benchmarks.template_scores import found_of, template_scores
from midwatch.shell.ingest.templates import Templates

NEEDS: Final = "files NAME_structured_corrected.csv with the columns Content and EventTemplate"
REPEATS: Final = 5
STREAMED: Final = 10
# Their lines and labels were read while the miner was built. Scores on them flatter it; others are the test.
SEEN: Final = frozenset(
    "Apache BGL HDFS HPC Hadoop HealthApp OpenSSH Spark Thunderbird Zookeeper".split()  # noqa: SIM905
)
KINDS: Final = ("cold", "stream")
MEASURES: Final = ("ga", "fga", "pa", "fta", "pta")
SHOWN: Final = ("ga", "fga", "pa", "fta")
# Sorts lines: the text of each line's template, as it reads in the end.
Miner = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class System:
    """Lines of one system's log, in order, with the label and the text of their true templates."""

    name: str
    lines: list[str]
    labels: list[str]
    truths: list[str]


def bench(data: Path, *, progress: Progress) -> Result:
    """Every system under ``data``. Raises UsageError when there is none or one cannot be read."""
    cases: list[BenchCase] = []
    scores: dict[str, Any] = {}
    for system in systems(data):
        scores[system.name] = {**_scored(system, mined), **_speeds(system, {"midwatch": mined})["midwatch"]}
        cases += _cases(system, 1.0 / scores[system.name]["cold_lines_per_second"])
        progress(f"{system.name}: GA {scores[system.name]['ga']:.3f}, FTA {scores[system.name]['fta']:.3f}")
    return Result("loghub", _with_means(scores), tuple(cases))


def compare(data: Path, result: Result, *, progress: Progress) -> dict[str, Any]:
    """Drain3 on the same lines, its runs between ours, or how to install it."""
    try:
        importlib.import_module("drain3")
    except ImportError:
        return {"drain3": {"missing": "pip install --group bench"}}
    scores: dict[str, Any] = {}
    for system in systems(data):
        speeds = _speeds(system, {"midwatch": mined, "drain3": drained})
        theirs, ours = speeds["drain3"], speeds["midwatch"]
        scores[system.name] = {
            **_scored(system, drained),
            **theirs,
            **{f"midwatch_{kind}": value for kind, value in ours.items()},
            **{f"midwatch_times_as_fast_{kind.partition('_')[0]}": ours[kind] / theirs[kind] for kind in ours},
        }
        progress(f"{system.name}: Drain3 at {theirs['cold_lines_per_second']:,.0f} lines/s")
    return {"drain3": _with_means(scores)}


# --- data -------------------------------------------------------------------------------------------------------------


def systems(data: Path) -> list[System]:
    """By name. Raises UsageError."""
    files = sorted(data.rglob("*_structured_corrected.csv")) if data.is_dir() else []
    corrected = {path.parent for path in files}
    if data.is_dir():
        files += [path for path in sorted(data.rglob("*_structured.csv")) if path.parent not in corrected]
    folder(data, NEEDS, files)
    return sorted((_system(path) for path in files), key=lambda system: system.name)


def _system(path: Path) -> System:
    name = re.split(r"_(?:\d+k|full)?\.?log|_structured|\.log", path.name)[0]
    with reading(path), path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("no line in it")
        truths = [row["EventTemplate"] for row in rows]
        first = {text: row.get("EventId") or text for text, row in zip(reversed(truths), reversed(rows), strict=True)}
        return System(name, [row["Content"] for row in rows], [first[text] for text in truths], truths)


def streamed(lines: Sequence[str], times: int = STREAMED, seed: int = 1) -> list[str]:
    """``lines`` over and over, the digits of numbers with two or more digits drawn anew, but the first."""
    draw = random.Random(seed)

    def other(match: re.Match[str]) -> str:
        text = match.group()
        return text[0] + str(draw.randrange(10 ** (len(text) - 1))).zfill(len(text) - 1)

    return [re.sub(r"[0-9]{2,}", other, line) for _ in range(times) for line in lines]


# --- miners -----------------------------------------------------------------------------------------------------------


def mined(lines: Sequence[str]) -> list[str]:
    """Ours, as at ingest. A line belongs to what its template became a part of by the end."""
    templates = Templates()
    found = [templates.find(line) for line in lines]
    texts = {one: one.now().text for one in set(found)}
    return [texts[one] for one in found]


def drained(lines: Sequence[str]) -> list[str]:
    """Drain3 with its own defaults (similarity 0.4, depth 4), and masks for addresses, hexadecimal and other numbers as its
    documents have them."""
    drain3, masking = importlib.import_module("drain3"), importlib.import_module("drain3.masking")
    config = importlib.import_module("drain3.template_miner_config").TemplateMinerConfig()
    alone = r"(?:(?<=[^A-Za-z0-9])|^)({})(?:(?=[^A-Za-z0-9])|$)"
    config.masking_instructions = [
        masking.MaskingInstruction(alone.format(pattern), "*")
        for pattern in (r"\d{1,3}(?:\.\d{1,3}){3}", r"0x[a-fA-F0-9]+", r"[-+]?\d+")
    ]
    miner = drain3.TemplateMiner(config=config)
    groups = [miner.add_log_message(line)["cluster_id"] for line in lines]
    texts = {cluster.cluster_id: str(cluster.get_template()) for cluster in miner.drain.clusters}
    return [texts[group] for group in groups]


# --- scores -----------------------------------------------------------------------------------------------------------


def _cases(system: System, seconds: float) -> list[BenchCase]:
    """A case per true template, by its label (the archive's texts stay there): which groups its lines came into. ``seconds``
    per line."""
    count = Counter(system.labels)
    return [
        BenchCase(
            f"{system.name}/{label}",
            label,
            tuple(Ranked(name, share) for name, share in found.groups),
            seconds * count[label],
            system.name,
            {} if found.same_text else {"text": "another"},
        )
        for label, found in found_of(mined(system.lines), system.truths, system.labels).items()
    ]


def _scored(system: System, miner: Miner) -> dict[str, Any]:
    found: dict[str, Any] = to_builtins(template_scores(miner(system.lines), system.truths))
    return found


def _speeds(system: System, miners: dict[str, Miner]) -> dict[str, dict[str, float]]:
    """Lines per second of processor time, by miner; they take turns."""
    found: dict[str, dict[str, float]] = {name: {} for name in miners}
    for kind, lines in zip(KINDS, (system.lines, streamed(system.lines)), strict=True):
        seconds: dict[str, list[float]] = {name: [] for name in miners}
        for _ in range(REPEATS):
            for name, miner in miners.items():
                began = time.process_time()
                miner(lines)
                seconds[name].append(time.process_time() - began)
        for name, taken in seconds.items():
            found[name][f"{kind}_lines_per_second"] = len(lines) / statistics.median(taken)
    return found


def _with_means(scores: dict[str, Any]) -> dict[str, Any]:
    """Means over all systems, over those looked at while building and over the others."""
    parts = {
        "mean": list(scores),
        "mean of seen while building": [name for name in scores if name in SEEN],
        "mean of unseen": [name for name in scores if name not in SEEN],
    }
    means = {
        part: {"systems": len(names), **{key: _mean(scores, names, key) for key in _measures(scores)}}
        for part, names in parts.items()
        if names
    }
    return {**scores, **means}


def _measures(scores: dict[str, Any]) -> list[str]:
    return [
        key for key in next(iter(scores.values())) if key in MEASURES or "_per_second" in key or "times_as_fast" in key
    ]


def _mean(scores: dict[str, Any], names: Sequence[str], key: str) -> float:
    """Speeds as of all lines together: the harmonic mean. Shares by the arithmetic, ratios by the geometric."""
    values = [float(scores[name][key]) for name in names]
    if "_per_second" in key:
        return statistics.harmonic_mean(values)
    return statistics.geometric_mean(values) if "times_as_fast" in key else statistics.fmean(values)


# --- the page ---------------------------------------------------------------------------------------------------------


def section(result: Result) -> str:
    """Scores per system beside the peer's, and what was not found as people labelled it."""
    peer = result.peers.get("drain3", {})
    lines = [
        "| system | lines | templates: true, found | GA | FGA | PA | FTA | lines/s: cold, stream "
        "| Drain3: GA | FGA | PA | FTA | lines/s: cold, stream | midwatch is faster: cold, stream |",
        "|" + "---|" * 14,
        *(_row(name, scores, peer.get(name)) for name, scores in result.scores.items()),
        "",
        *WORDS,
    ]
    if "missing" in peer:
        lines += ["", f"Drain3 was not there to compare with (`{peer['missing']}`)."]
    lines += ["", "| system | split or joined, by the label of the true template | grouped right, reads otherwise |"]
    lines += ["|---|---|---|", *(_failures(system, cases) for system, cases in by_system(result.cases).items())]
    return "\n".join(lines)


def by_system(cases: Sequence[BenchCase]) -> dict[str, list[BenchCase]]:
    return {
        name: [case for case in cases if case.group == name] for name in dict.fromkeys(case.group for case in cases)
    }


def _failures(system: str, cases: Sequence[BenchCase]) -> str:
    """Its row: what was not found as people labelled it."""
    torn: dict[str, None] = {}
    read: list[str] = []
    for case in cases:
        others = [answer.entity for answer in case.ranked if answer.entity != case.truth]
        parts = [f"{case.truth} in {len(case.ranked)}"] if len(case.ranked) > 1 else []
        torn |= dict.fromkeys((*parts, *others))
        if case.details and not parts and not others:
            read.append(str(case.truth))
    return f"| {system} | {'; '.join(torn) or '-'} | {', '.join(read) or '-'} |"


WORDS: Final = (
    "GA: lines in groups that are just as people made them. FGA: the same of templates, a rare one counting as much as a "
    "frequent one. PA: lines whose template reads as the true one. FTA: templates that group and read as the true ones. "
    "Means of speeds are harmonic, of their ratios geometric.",
)


def _row(name: str, ours: dict[str, Any], theirs: dict[str, Any] | None) -> str:
    def shares(scores: dict[str, Any]) -> list[str]:
        return [f"{scores[key]:.3f}" for key in SHOWN]

    def speed(scores: dict[str, Any], prefix: str = "") -> str:
        return ", ".join(f"{scores[f'{prefix}{kind}_lines_per_second']:,.0f}" for kind in KINDS)

    counts = f"{ours['true_templates']}, {ours['found_templates']}" if "lines" in ours else ""
    cells = [name, f"{ours['lines']:,}" if "lines" in ours else f"{ours['systems']} systems", counts, *shares(ours)]
    if theirs is None:
        return "| " + " | ".join([*cells, speed(ours), *["-"] * 6]) + " |"
    faster = ", ".join(f"{theirs[f'midwatch_times_as_fast_{kind}']:.1f} x" for kind in KINDS)
    return "| " + " | ".join([*cells, speed(theirs, "midwatch_"), *shares(theirs), speed(theirs), faster]) + " |"
