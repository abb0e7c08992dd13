"""Counts of the past, for back-tests and suggestions: a CSV file, a Prometheus-compatible API, or the watch's own store.

A CSV file has a header and a row for each step::

    at,good,total,slo,group
    2026-10-01T00:00:00Z,993,1000,checkout,
    1790812860,1000,1000,checkout,"tenant=a,region=eu"

``at`` is the step's begin, as ISO 8601 with its zone or in unix seconds; ``slo`` and ``group`` may be left out. Rows may
come in any order; of two for the same step the later row holds, and that is said.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo.ledger import between
from midwatch.model.errors import ConfigError
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, SliCounts
from midwatch.shell.files.parts import moment

MAX_ROWS: Final = 5_000_000
MAX_STEPS: Final = 2_000_000  # of one promise: 3.8 years of minutes
PIECE_STEPS: Final = 2_880  # of one question: two days of minutes
NEEDED: Final = ("at", "good", "total")
KNOWN: Final = (*NEEDED, "slo", "group")

Told = Callable[[float], None]
"""Hears how much is done, 0..1."""


@dataclass(frozen=True)
class History:
    """What was counted, an entry for each group of each promise, and what has to be said about it."""

    counts: tuple[SliCounts, ...]
    notes: tuple[str, ...] = ()

    def of(self, name: str) -> SliCounts | None:
        """The counts of one promise, its groups added up; in a file that names no promise, everything is of the one."""
        mine = [one for one in self.counts if one.slo in (name, "")]
        return replace(added(mine), slo=name, group=()) if mine else None


def added(parts: Sequence[SliCounts]) -> SliCounts:
    """Several counts as one, step by step."""
    if len(parts) == 1:
        return parts[0]
    at, place = np.unique(np.concatenate([one.at for one in parts]), return_inverse=True)
    good: Floats = np.zeros(at.size)
    total: Floats = np.zeros(at.size)
    np.add.at(good, place, np.concatenate([one.good for one in parts]))
    np.add.at(total, place, np.concatenate([one.total for one in parts]))
    return SliCounts(parts[0].slo, (), at, good, total, max(one.seen_until for one in parts))


# -- a file --


def read_csv(path: Path) -> History:
    """Raises ConfigError with line and column of the first row that cannot be read."""
    rows: dict[tuple[str, str], dict[float, tuple[float, float]]] = {}
    twice = 0
    for line, row in _rows(path):
        one = rows.setdefault((row.get("slo") or "", row.get("group") or ""), {})
        at = _at(path, line, row["at"])
        twice += at in one
        one[at] = (_number(path, line, "good", row["good"]), _number(path, line, "total", row["total"]))
    if not rows:
        raise ConfigError(
            "holds no counts", path=str(path), line=1, hint="a header at,good,total and a row for each step"
        )
    notes = (f"{path.name}: {twice} steps are there twice; the later row holds",) if twice else ()
    return History(tuple(_counts(path, name, group, steps) for (name, group), steps in sorted(rows.items())), notes)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or ())
            for number, row in enumerate(reader, start=1):
                if number > MAX_ROWS:
                    raise ConfigError(
                        f"has more than {MAX_ROWS} rows", path=str(path), hint="use longer steps, or several files"
                    )
                if None in row or None in row.values():
                    raise ConfigError("has not as many columns as the header", path=str(path), line=reader.line_num)
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", path=str(path), hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    except csv.Error as error:
        raise ConfigError(f"is no CSV: {error}", path=str(path)) from error


def _check_header(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if name not in KNOWN:
            raise ConfigError(f"no such column: {name!r}", path=str(path), line=1, hint=f"known: {', '.join(KNOWN)}")
    for name in NEEDED:
        if name not in names:
            raise ConfigError(
                f"the column {name!r} is missing", path=str(path), line=1, hint="the header is at,good,total"
            )


def _at(path: Path, line: int, text: str) -> float:
    try:
        at = float(text)
    except ValueError:
        try:
            at = moment(text.strip())
        except ValueError as error:
            said, _, hint = str(error).partition(" | ")
            raise ConfigError(said, path=str(path), line=line, key="at", hint=hint) from None
    if not math.isfinite(at) or abs(at) > 1e11:
        raise ConfigError(f"{text!r} is no time", path=str(path), line=line, key="at", hint="unix seconds, or ISO 8601")
    return at


def _number(path: Path, line: int, key: str, text: str) -> float:
    try:
        return float(text)  # NaN, Inf and what is below zero go on: they are reported as impossible where they are used
    except ValueError:
        raise ConfigError(f"{text!r} is no number", path=str(path), line=line, key=key) from None


def _counts(path: Path, name: str, group: str, steps: dict[float, tuple[float, float]]) -> SliCounts:
    at = np.array(sorted(steps), dtype=np.float64)
    table = np.array([steps[one] for one in at.tolist()], dtype=np.float64).reshape(-1, 2)
    apart = float(np.diff(at).min()) if at.size > 1 else 60.0
    labels = tuple(_label(path, part) for part in group.split(",")) if group else ()
    return SliCounts(name, labels, at, table[:, 0], table[:, 1], float(at[-1]) + apart)


def _label(path: Path, text: str) -> tuple[str, str]:
    label, mark, value = text.partition("=")
    if not mark or not label.strip():
        raise ConfigError(f"{text!r} is no group", path=str(path), key="group", hint='write "label=value,label=value"')
    return label.strip(), value.strip()


# -- an API --


async def from_source(
    source: Source, slo: Slo, since_at: float, until_at: float, step_seconds: float, told: Told = lambda _: None
) -> History:
    """What a source counts in [since, until), asked in pieces that it can bear. Raises SourceError, and ConfigError for
    more steps than can be handled."""
    first, last = math.floor(since_at / step_seconds), math.floor(until_at / step_seconds)
    if last - first > MAX_STEPS:
        raise ConfigError(
            f"{last - first} steps are more than {MAX_STEPS}", hint="give a longer --step or a shorter --since"
        )
    found: dict[str, list[SliCounts]] = {}
    empty = ""
    for begin in range(first, last, PIECE_STEPS):
        end = min(begin + PIECE_STEPS, last)
        for one in await source.counts(slo, begin * step_seconds, end * step_seconds, step_seconds):
            empty = one.gap if not one.at.size else empty
            if one.at.size:
                found.setdefault(one.key, []).append(one)
        told((end - first) / max(last - first, 1))
    counts = tuple(_end_to_end(many) for many in found.values())
    notes = []
    if not counts:
        notes.append(empty or f"{source.name}: nothing was counted for {slo.name}")
    else:
        begins = min(float(one.at[0]) for one in counts)
        if begins - since_at > max(step_seconds, 3600.0):
            notes.append(f"{source.name}: its history begins {(until_at - begins) / 86400:.1f} days back")
    return History(counts, tuple(notes))


def _end_to_end(many: Sequence[SliCounts]) -> SliCounts:
    at, good, total = (np.concatenate([getattr(one, name) for one in many]) for name in ("at", "good", "total"))
    return SliCounts(many[0].slo, many[0].group, at, good, total, many[-1].seen_until)


# -- a running watch --


def of_ledger(slo: str, key: str, ledger: Ledger) -> tuple[SliCounts, str]:
    """What a ledger still knows, in steps of five minutes, and what has to be said about it: beyond three days it knows
    hours only, which are spread evenly."""
    (fine, many), (coarse, rest) = ledger.levels[1:3]
    joint = old_from = spread_until(ledger)
    if ledger.first_at < joint:
        old_from = max(math.floor(ledger.first_at / coarse) * coarse, ledger.head_at[2] - (rest - 1) * coarse)
    old, new = np.arange(old_from, joint, coarse), np.arange(joint, ledger.head_at[1] + fine, fine)
    share = round(coarse / fine)
    at_old = (old[:, None] + fine * np.arange(share)).ravel()
    held = at_old > ledger.first_at - fine  # the hour in which it begins is spread over what is left of it
    many_held = np.maximum(held.reshape(-1, share).sum(axis=1), 1)
    spread = np.repeat(_sums(ledger, old, coarse) / many_held[:, None], share, axis=0)
    at, table = np.concatenate([at_old, new]), np.concatenate([spread, _sums(ledger, new, fine)])
    kept = np.concatenate([held, np.ones(new.size, dtype=bool)]) & (at < ledger.seen_until)
    said = f"{key}: beyond {many * fine / 86400:g} days only sums of {coarse / 60:g} min are known, spread evenly"
    return SliCounts(
        slo, group_of(key), at[kept], table[kept, 0], table[kept, 1], ledger.seen_until
    ), said if old.size else ""


def spread_until(ledger: Ledger) -> float:
    """Up to where ``of_ledger`` spreads sums of its third ring evenly; from there on it has five minutes."""
    (fine, many), (coarse, _) = ledger.levels[1:3]
    oldest = ledger.head_at[1] - (many - 1) * fine  # what the five-minute ring reaches back to
    if ledger.first_at < oldest:
        return math.ceil(oldest / coarse) * coarse
    return math.floor(ledger.first_at / fine) * fine


def _sums(ledger: Ledger, starts: Floats, step_seconds: float) -> Floats:
    """Good and total of each step, shape (n, 2)."""
    found = [between(ledger, at, at + step_seconds) for at in starts.tolist()]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def group_of(key: str) -> tuple[tuple[str, str], ...]:
    """The labels in a ledger's key: ``api{tenant=a,region=eu}``."""
    _, mark, labels = key.removesuffix("}").partition("{")
    pairs = (part.partition("=") for part in labels.split(","))
    return tuple((label, value) for label, _, value in pairs) if mark else ()


def cut(one: SliCounts, since_at: float, until_at: float) -> SliCounts:
    """The steps that begin in [since, until)."""
    kept = (one.at >= since_at) & (one.at < until_at)
    return replace(one, at=one.at[kept], good=one.good[kept], total=one.total[kept])


# -- as JSON, between a watch and its command line --


def as_json(counts: Sequence[SliCounts]) -> list[dict[str, Any]]:
    return [
        {"slo": c.slo, "group": [list(pair) for pair in c.group], "at": c.at.tolist(), "good": c.good.tolist(),
         "total": c.total.tolist(), "seen_until": c.seen_until, "gap": c.gap}
        for c in counts
    ]  # fmt: skip


def from_json(said: Sequence[dict[str, Any]]) -> tuple[SliCounts, ...]:
    return tuple(
        SliCounts(
            str(one["slo"]),
            tuple((str(label), str(value)) for label, value in one["group"]),
            _floats(one["at"]),
            _floats(one["good"]),
            _floats(one["total"]),
            float(one["seen_until"]),
            str(one["gap"]),
        )
        for one in said
    )


def _floats(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
