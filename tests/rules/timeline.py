"""Timelines for ``promtool test rules``: counters that grow at given rates, scraped at an odd interval, and questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SCRAPE_SECONDS = 47.0
"""Divides neither a minute nor five: evaluations fall between scrapes, as they do in life."""

Piece = tuple[float, float | None]
"""Minutes, and events per minute; None: the series is not there."""


@dataclass(frozen=True)
class Counter:
    """``name`` as PromQL writes the series. It begins at zero whenever it appears, and what it has counted by its first
    scrape is in its first value: nobody scraped the zero."""

    name: str
    pieces: Sequence[Piece]
    gauge: bool = False  # the pieces say values, not rates

    def values(self) -> list[float | None]:
        """One for each scrape from time 0; None where the series is not there."""
        ends, at = [], 0.0
        for minutes, _ in self.pieces:
            at += minutes * 60
            ends.append(at)
        found: list[float | None] = []
        for scrape in range(math.floor(at / SCRAPE_SECONDS) + 1):
            now = scrape * SCRAPE_SECONDS
            index = min(sum(end <= now for end in ends), len(ends) - 1)
            rate = self.pieces[index][1]
            if rate is None or self.gauge:
                found.append(rate)
                continue
            grown = 0.0
            for number in range(index, -1, -1):
                speed = self.pieces[number][1]
                if speed is None:
                    break
                begin = ends[number] - self.pieces[number][0] * 60
                grown += speed * (min(now, ends[number]) - begin) / 60
            found.append(math.floor(grown + 1e-9))
        return found

    @property
    def counted(self) -> float:
        """Every event that a scrape has seen, over all the lives of the series."""
        total, last = 0.0, 0.0
        for value in [*self.values(), None]:
            if value is None:
                total, last = total + last, 0.0
            else:
                last = value
        return total

    def as_input(self) -> dict[str, str]:
        words: list[str] = []
        before: float | None = None
        for value in self.values():
            gone = "stale" if before is not None else "_"
            words.append(gone if value is None else f"{value:.15g}")
            before = value
        return {"series": self.name, "values": " ".join(words)}


@dataclass(frozen=True)
class Asked:
    """``expr`` at ``minutes`` gives these: labels as PromQL writes them -> value."""

    minutes: float
    expr: str
    gives: Mapping[str, float]

    def as_test(self) -> dict[str, Any]:
        samples = [{"labels": labels, "value": value} for labels, value in self.gives.items()]
        return {"eval_time": f"{round(self.minutes * 60)}s", "expr": self.expr, "exp_samples": samples}


@dataclass(frozen=True)
class Timeline:
    """``rules``: the text of a rule file. promtool evaluates every group at ``every``, whatever interval it names."""

    rules: str
    counters: Iterable[Counter]
    asked: Sequence[Asked]
    every: str
    alerts: Sequence[dict[str, Any]] = field(default_factory=list)

    def play(self, folder: Path, promtool: Callable[..., str]) -> None:
        (folder / "rules.yml").write_text(self.rules)
        test = {
            "interval": f"{SCRAPE_SECONDS:g}s",
            "input_series": [counter.as_input() for counter in self.counters],
            "promql_expr_test": [asked.as_test() for asked in self.asked],
            "alert_rule_test": list(self.alerts),
        }
        whole = {"rule_files": ["rules.yml"], "evaluation_interval": self.every, "tests": [test]}
        (folder / "test.yml").write_text(yaml.safe_dump(whole))
        promtool("test", "rules", folder / "test.yml")


def nearly(expr: str, value: float, share: float = 0.005) -> str:
    """PromQL that gives 1 when ``expr`` is within ``share`` of ``value``."""
    return f"abs(({expr}) / {value!r} - 1) < bool {share!r}"
