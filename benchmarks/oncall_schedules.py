"""Shifts against a clock on the wall that is looked at every minute of five years.

    python benchmarks/oncall_schedules.py --out docs/results/oncall-schedules.json

One schedule for each zone and seed, with rotations, layers, windows, holidays and stand-ins drawn from it; the oracle of
``tests/oncall/test_schedule.py`` walks through every minute and counts hand-offs as it passes them. A difference is printed
with its zone and seed. Some ten seconds of one core for each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.oncall.test_schedule import CHANGES, PEOPLE, ZONES, Oracle

from midwatch.core.oncall.schedule import on_call, shifts
from midwatch.model.people import Calendar, Layer, Override, People, Rotation, Schedule, Span, Window

START = datetime(2011, 6, 1, tzinfo=UTC).timestamp()  # Apia loses a day, Pyongyang and Caracas half an hour
DAY = 86400
CHUNK_SECONDS = 20 * DAY


def drawn(zone: str, seed: int, days: int) -> tuple[People, Schedule, tuple[Override, ...]]:
    rng = random.Random(f"{zone} {seed}")
    end = START + days * DAY

    def minute() -> float:
        return START + 60.0 * rng.randrange(days * 1440)

    layers = tuple(_layer(rng, days) for _ in range(3))
    spans = tuple(Span(a, a + 60.0 * rng.randrange(60, 3000)) for a in (minute() for _ in range(60)))
    stand_ins = tuple(
        Override("s", rng.choice(("", *PEOPLE)), a, a + 60.0 * rng.randrange(10, 6000), rng.choice(("", "ana")))
        for a in (minute() for _ in range(80))
    )
    schedule = Schedule("s", zone, layers, (), "holidays")
    known = Calendar("holidays", tuple(span for span in spans if span.start_at < end))
    return People(schedules=(schedule,), calendars=(known,)), schedule, stand_ins


def _layer(rng: random.Random, days: int) -> Layer:
    first = datetime.fromtimestamp(START, UTC).date() + timedelta(days=rng.randrange(-300, days // 4))
    at = tuple(
        sorted({rng.choice((0, 30, 60, 90, 120, 150, 180, rng.randrange(1440))) for _ in range(rng.randrange(1, 4))})
    )
    rotation = Rotation(
        tuple(rng.sample(PEOPLE, rng.randrange(1, 4))), first.isoformat(), rng.choice((1, 1, 2, 7, 14)), at
    )
    windows = tuple(Window(rng.randrange(10080), rng.randrange(10080)) for _ in range(rng.randrange(3)))
    ends = first + timedelta(days=rng.randrange(days)) if rng.random() < 0.4 else None
    return Layer("layer", rotation, windows, rng.choice(("as_usual", "off", "only")), ends.isoformat() if ends else "")


def _oracle(people: People, schedule: Schedule, stand_ins: tuple[Override, ...], since: float) -> Oracle:
    """For one stretch, with what touches it: it looks through all of that every minute."""
    until = since + CHUNK_SECONDS
    near = tuple(one for one in stand_ins if one.start_at < until and one.end_at > since)
    spans = tuple(span for span in people.calendars[0].spans if span.start_at < until and span.end_at > since)
    return Oracle(People(schedules=people.schedules, calendars=(Calendar("holidays", spans),)), schedule, near, since)


def compared(zone: str, seed: int, days: int) -> dict[str, Any]:
    """How many minutes, and how many of them differ."""
    people, schedule, stand_ins = drawn(zone, seed, days)
    end = START + days * DAY
    began = time.process_time()
    found = shifts(people, schedule, stand_ins, START, end)
    shift_seconds = time.process_time() - began
    oracle, wrong, at, number, renewed = None, 0, START, 0, START
    asked = random.Random(seed)
    while at < end:
        if oracle is None or at >= renewed:
            oracle, renewed = _oracle(people, schedule, stand_ins, at), at + CHUNK_SECONDS
        while found[number].end_at <= at:
            number += 1
        who = oracle.go_to(at)
        differs = found[number].person != who
        if asked.random() < 0.002:
            differs |= on_call(people, schedule, stand_ins, at)[0] != who
        if differs:
            wrong += 1
            if wrong < 4:
                print(f"{zone} seed {seed}: {datetime.fromtimestamp(at, UTC)} is {found[number].person!r}, not {who!r}")
        at += 60
    changes = sum(START <= change < end for change in CHANGES[zone])
    return {"zone": zone, "seed": seed, "minutes": int((end - START) / 60), "shifts": len(found), "zone_changes": changes,
            "differences": wrong, "shifts_seconds": round(shift_seconds, 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--zones", nargs="*", default=list(ZONES))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    wanted = [(zone, seed, int(given.years * 365.25)) for zone in given.zones for seed in range(given.seeds)]
    with multiprocessing.Pool(given.jobs) as pool:
        rows = pool.starmap(compared, wanted, chunksize=1)
    for row in rows:
        print(json.dumps(row))
    told = {
        "years": given.years,
        "schedules": len(rows),
        "minutes": sum(row["minutes"] for row in rows),
        "zone_changes": sum(row["zone_changes"] for row in rows),
        "differences": sum(row["differences"] for row in rows),
        "rows": rows,
    }
    if given.out:
        given.out.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(bool(told["differences"]))


if __name__ == "__main__":
    main()
