"""How long a start waits for the journal, and how that grows:
``python benchmarks/journal_start.py [--entries 9000 90000 900000] [--out docs/results/journal_start.json]``.

Writes a journal as a year would leave it (about 100 entries in a healthy hour, and one incident a day), with the snapshot of
a clean stop, then measures in a fresh process per size: opening the books, reading every entry (what a start did before
timelines were read on demand), the console's first reading, and the whole timeline of the oldest incident that is known.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from midwatch.faces.console.projection import JournalProjection
from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.findings import Evidence, Finding, Hypothesis
from midwatch.model.world import Change
from midwatch.shell.books import Books
from midwatch.shell.health import Health
from midwatch.shell.journal.sqlite import SqliteJournal, open_readonly
from midwatch.shell.timeline import Chronicle

SIZES = (9_000, 90_000, 900_000)
START, HOUR = 1_760_000_000.0, 3600.0
PER_HOUR = 100
NAMES = tuple(f"service:s{number}" for number in range(40))


def year(entries: int) -> Iterator[tuple[float, list[e.Event]]]:
    """One batch per hour: (unix seconds, events)."""
    written, hour, number = 0, 0, 0
    while written < entries:
        batch = [*_incident(number + 1, hour), *_quiet(hour)] if hour % 24 == 12 else list(_quiet(hour))
        number += hour % 24 == 12
        yield START + hour * HOUR, batch
        written += len(batch)
        hour += 1


def _quiet(hour: int) -> Iterator[e.Event]:
    yield e.ChangeSeen(Change(f"d{hour}", START + hour * HOUR, "deploy", NAMES[hour % 40], "a deploy", "1", "2", "ci"))
    for index in range(PER_HOUR // 2):
        name = NAMES[index % 40]
        found = Finding(f"pool|{name}|", "pool", name, START + hour * HOUR, 5.0, 2.0, "count", 20.0, "5 of 5 in use")
        yield e.FindingOpened(found)
        yield e.FindingClosed(found.id)


def _incident(number: int, hour: int) -> Iterator[e.Event]:
    ident, act, name = f"INC-{number}", f"ACT-{number}", NAMES[number % 40]
    evidence = tuple(Evidence("saturation", name, f"{i} wait on 5 connections", 4.0) for i in range(6))
    causes = tuple(Hypothesis(NAMES[(number + i) % 40], "pool_exhausted", 0.3 / (i + 1), evidence) for i in range(6))
    action = Action(act, f"k{number}", ident, "resize-pool", "resize_pool", name, {"size": 20})
    yield e.IncidentOpened(ident, "elevated errors", START + hour * HOUR, 2, "15 %", (), (name,))
    for index in range(8):
        yield e.CauseRanked(ident, causes, 0.1)
        yield e.UpdateWritten(ident, f"elevated error rates in {name}, update {index}", {"share": 0.15})
    yield e.ActionJudged(action, Verdict("run", "autonomy", "the mode is auto"))
    yield e.ActionOrdered(act)
    yield e.ActionEnded(act, Outcome("done", "resized from 5 to 20", {"size": 5}))
    yield e.ExpectationJudged(act, "met", "errors fell")
    yield e.IncidentResolved(ident, "calm for 60 s")
    yield e.PostmortemWritten(ident, f"# {ident}\n\n" + "It was the pool. " * 200)


def write(path: Path, entries: int) -> None:
    journal = SqliteJournal(path, ballast_bytes=0)
    for at, events in year(entries):
        journal.append(events, at)
    journal.snapshot(journal.load_state())
    journal.close()


async def measured(path: Path) -> dict[str, float]:
    def seconds() -> float:
        return round(time.perf_counter() - began, 3)

    books = Books(Health(), lambda: START + 400 * 24 * HOUR, lambda _: None)
    began = time.perf_counter()
    await books.open(lambda: SqliteJournal(path, ballast_bytes=0))
    took = {"entries": books.state.seq, "open_seconds": seconds()}
    began = time.perf_counter()
    page = JournalProjection(books.journal)
    await page.catch_up(books.state.seq, books.state)
    took["first_page_seconds"] = seconds()
    oldest = min(books.state.incidents.values(), key=lambda one: one.opened_at)
    began = time.perf_counter()
    told = await books.recall(oldest)
    took["oldest_incident_seconds"], took["its_lines"] = seconds(), len(told.of(oldest.id))
    await books.close()
    reader = open_readonly(path)
    began = time.perf_counter()
    Chronicle().read(reader.read())
    took["reading_all_seconds"] = seconds()
    reader.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help="a journal that is there already")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measured(options.measure))))
        return
    rows = []
    for entries in options.entries:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.sqlite"
            write(path, entries)
            told = subprocess.run(
                [sys.executable, __file__, "--measure", str(path)], check=True, capture_output=True, text=True
            )
            rows.append({**json.loads(told.stdout), "megabytes": round(path.stat().st_size / 1e6)})
        print(rows[-1], flush=True)
    if options.out:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        options.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
