"""The page ``docs/results/gym.md``, made from the case files and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from midwatch.gym.faults.catalog import BY_NAME, Case
from midwatch.gym.score.judge import Score
from midwatch.gym.score.stats import Share, median, quantile, wilson

_BEFORE: tuple[Callable[[Score], int], ...] = (
    lambda s: s.incidents_before,
    lambda s: s.pages_before,
    lambda s: s.actions_before,
)
_AFTER: tuple[Callable[[Score], int], ...] = (lambda s: s.incidents, lambda s: s.pages, lambda s: s.actions)


class CaseFile(Struct, frozen=True):
    """One case as it lies on disk: what was drawn, what came out, and under which versions."""

    case: Case
    score: Score
    started_at: float
    ended_at: float
    versions: dict[str, str] = field(default_factory=dict)
    error: str = ""


def read_cases(directory: Path) -> list[CaseFile]:
    """Every case below ``directory``, by name."""
    decoder = msgspec.json.Decoder(CaseFile)
    return [decoder.decode(path.read_bytes()) for path in sorted(directory.rglob("case-*.json"))]


class Line(Struct, frozen=True):
    """One row of the table: a fault kind, or all of them."""

    name: str
    cases: int
    entities: int
    felt: Share
    detected: Share
    detect_median: float
    detect_p90: float
    first: Share
    entity_first: Share
    top3: Share
    fixed: Share
    recovered: Share
    recover_median: float
    worsened: int
    wrong: int


def line(name: str, files: Sequence[CaseFile]) -> Line:
    """Metrics over ``files``. A case that users did not feel is left out of everything but ``felt``."""
    felt = [f for f in files if f.score.harm_after_seconds is not None]

    def share(test: Callable[[Score], bool]) -> Share:
        return wilson(sum(test(f.score) for f in felt), len(felt))

    times = [f.score.detect_seconds for f in felt if f.score.detect_seconds is not None]
    recoveries = [f.score.recover_seconds for f in felt if f.score.recover_seconds is not None]
    return Line(
        name,
        len(files),
        len({f.case.truth.entity for f in files}),
        wilson(len(felt), len(files)),
        share(lambda s: s.detected),
        median(times),
        quantile(times, 0.9),
        share(lambda s: s.cause_rank == 1),
        share(lambda s: s.entity_rank == 1),
        share(lambda s: s.cause_rank is not None and s.cause_rank <= 3),
        share(lambda s: s.right_fix),
        share(lambda s: s.recovered),
        median(recoveries),
        sum(f.score.worsened for f in files),
        sum(f.score.wrong_actions for f in files),
    )


def page(files: Sequence[CaseFile], *, command: str, date: str) -> str:
    """The Markdown page."""
    whole = [f for f in files if not f.error]
    broken = [f for f in files if f.error]
    harmful = [f for f in whole if f.case.truth.harmful]
    controls = [f for f in whole if not f.case.truth.harmful]
    seeds = sorted({f.case.seed for f in files})
    versions = sorted({f"{k} {v}" for f in files for k, v in f.versions.items()})
    everything = line("**all**", harmful)
    out = [
        "# The gym's score",
        "",
        f"`{command}`",
        "",
        f"{date}. Seeds {', '.join(map(str, seeds)) or '-'}; {len(harmful)} cases with a fault, {len(controls)} healthy"
        f" controls; {', '.join(versions)}. Made from the case files beside this page; nothing was left out.",
        "",
        "Times run from the first request that harmed a user, in the load generator's own log. *First* and *top 3*: the"
        " true entity **and** fault kind in the ranking as it was journaled at the first page or action. *Place first*:"
        " the true entity alone. *Recovered*: every route back in target for 120 s, with no person involved. Shares carry"
        " their 95 % Wilson interval.",
        "",
        "| | value | wanted |",
        "|---|---|---|",
        f"| detected | {everything.detected} | all |",
        f"| median time to detect | {_s(everything.detect_median)} | <= 20 s |",
        f"| true cause first | {everything.first} | >= 0.85 |",
        f"| true cause in the first three | {everything.top3} | 1.00 |",
        f"| true place first | {everything.entity_first} | |",
        f"| right fix applied | {everything.fixed} | |",
        f"| recovered without a person | {everything.recovered} | >= 0.75 |",
        f"| median time to recover | {_s(everything.recover_median)} | |",
        f"| actions that made it worse | {everything.worsened} | 0 |",
        f"| incidents, pages, actions before any fault | {_before(whole)} | 0, 0, 0 |",
        f"| incidents, pages, actions on healthy controls | {_controls(controls)} | 0, 0, 0 |",
        "",
        "## By fault",
        "",
        "| fault | cases (entities) | felt | detected | median, p90 s | first | place first | top 3 | right fix | recovered"
        " | median s | wrong actions (worsened) |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in BY_NAME:
        mine = [f for f in harmful if f.case.truth.fault == name]
        if mine:
            out.append(_row(line(name, mine)))
    out.append(_row(everything))
    out += ["", "## Healthy controls", "", "| control | cases | incidents | pages | actions |", "|---|---|---|---|---|"]
    for name in BY_NAME:
        mine = [f for f in controls if f.case.truth.fault == name]
        if mine:
            clean = [wilson(sum(count(f.score) > 0 for f in mine), len(mine)) for count in _AFTER]
            out.append(f"| {name} | {len(mine)} | {clean[0]} | {clean[1]} | {clean[2]} |")
    out += ["", "## What fell short, case by case", ""]
    failures = [text for f in whole if (text := _failure(f))]
    out += failures or ["Nothing."]
    if broken:
        out += ["", "## Cases that could not be run", ""]
        out += [f"- `{f.case.name}`: {f.error}" for f in broken]
    return "\n".join(out) + "\n"


def _row(one: Line) -> str:
    return (
        f"| {one.name} | {one.cases} ({one.entities}) | {_f(one.felt)} | {_f(one.detected)} |"
        f" {_s(one.detect_median)}, {_s(one.detect_p90)} | {_f(one.first)} | {_f(one.entity_first)} | {_f(one.top3)} |"
        f" {_f(one.fixed)} | {_f(one.recovered)} | {_s(one.recover_median)} | {one.wrong} ({one.worsened}) |"
    )


def _f(share: Share) -> str:
    return "-" if not share.total else f"{share.hits}/{share.total} ({share.low:.2f}-{share.high:.2f})"


def _s(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds:.0f}"


def _before(files: Sequence[CaseFile]) -> str:
    return ", ".join(str(sum(count(f.score) for f in files)) for count in _BEFORE)


def _controls(files: Sequence[CaseFile]) -> str:
    return ", ".join(str(sum(count(f.score) for f in files)) for count in _AFTER)


def _failure(file: CaseFile) -> str:
    score, truth = file.score, file.case.truth
    short = []
    if score.incidents_before or score.pages_before or score.actions_before:
        short.append("something was reported or touched before any fault")
    if not truth.harmful:
        if score.incidents or score.pages or score.actions:
            short.append(
                f"{score.incidents} incidents, {score.pages} pages, {score.actions} actions on a healthy fleet"
            )
    elif score.harm_after_seconds is None:
        short.append("no user felt it")
    else:
        if not score.detected:
            short.append("not detected")
        if score.detected and score.cause_rank != 1:
            short.append(
                f"said {score.ranking[0] if score.ranking else 'nothing'}, true was {truth.entity} {truth.kind}"
            )
        if not score.right_fix:
            short.append("no accepted fix")
        if not score.recovered:
            short.append("did not recover")
        if score.worsened:
            short.append(f"{score.worsened} actions made it worse")
    return f"- `{file.case.name}`: {'; '.join(short)}." if short else ""
