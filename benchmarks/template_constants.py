"""What the log miner's constants are worth on systems that they were not chosen on.

    python benchmarks/template_constants.py --data DIR [--out docs/results/template_constants.json]

``DIR`` is the loghub archive. The constants that say how many words make a hole (``shell/ingest/holes.py``) vary over a
grid; those that do best on one half of the systems (every second by name) are scored on the other half, and the other way
round. The rules themselves were written with all of these systems in sight: this tells how far their numbers matter.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from statistics import fmean

from midwatch.gym.benchmarks.loghub import System, mined, systems
from midwatch.gym.benchmarks.template_scores import template_scores
from midwatch.shell.ingest import holes

GRID = {
    "_LIKE_VALUES": (2, 3, 4),
    "_IN_CONTEXT": (3, 4, 6, 8),
    "_ALONE": (6, 8, 12),
    "_FOR_STATES": (1, 2, 3),
}
NOW = tuple(getattr(holes, name) for name in GRID)


def scored(many: list[System], constants: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """(GA, FTA) by system."""
    for name, value in zip(GRID, constants, strict=True):
        setattr(holes, name, value)
    found = {system.name: template_scores(mined(system.lines), system.truths) for system in many}
    return {name: (scores.ga, scores.fta) for name, scores in found.items()}


def means(scores: dict[str, tuple[float, float]], names: list[str]) -> tuple[float, float]:
    return fmean(scores[name][0] for name in names), fmean(scores[name][1] for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    many = systems(options.data)
    names = [system.name for system in many]
    every = {constants: scored(many, constants) for constants in itertools.product(*GRID.values())}
    raw = []
    print(
        "| chosen on | constants | there: GA, FTA | on the other half: GA, FTA | as they are, there |\n|---|---|---|---|---|"
    )
    for chosen, other in ((names[::2], names[1::2]), (names[1::2], names[::2])):
        best = max(every, key=lambda c: (sum(means(every[c], chosen)), c == NOW))
        here, there, now = means(every[best], chosen), means(every[best], other), means(every[NOW], other)
        raw.append({"chosen_on": chosen, "constants": best, "there": here, "other": there, "as_they_are": now})
        cells = [
            ", ".join(chosen),
            ", ".join(map(str, best)),
            *(f"{ga:.3f}, {fta:.3f}" for ga, fta in (here, there, now)),
        ]
        print(f"| {' | '.join(cells)} |")
    spread = [means(scores, names) for scores in every.values()]
    lowest, highest = (tuple(pick(pair[k] for pair in spread) for k in (0, 1)) for pick in (min, max))
    print(f"\nOver the whole grid: GA {lowest[0]:.3f} to {highest[0]:.3f}, FTA {lowest[1]:.3f} to {highest[1]:.3f}.")
    if options.out:
        kept = {"grid": GRID, "halves": raw, "lowest": lowest, "highest": highest}
        options.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
