"""What a restart should not forget: log templates and the habits of series, in two files beside the journal.

They are a convenience and no truth: they may be deleted at any time, and one that cannot be read is left alone, which is
said; midwatch then learns anew. Written whole and put in place at once, so that a crash leaves the old one.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from midwatch.core.detect.novelty import blank
from midwatch.core.habits import Habits, each_array
from midwatch.model.world import Floats

TEMPLATES: Final = "templates.json"
HABITS: Final = "habits.npz"
MAX_BYTES: Final = 256 * 2**20

log = logging.getLogger("midwatch.remembered")


def write_templates(folder: Path, saved: list[dict[str, Any]]) -> None:
    """Keep what ``Templates.saved`` told. Never raises: it says what went wrong."""
    _write(folder / TEMPLATES, json.dumps(saved).encode())


def write_habits(folder: Path, habits: Habits) -> None:
    """Keep the habits. Never raises: it says what went wrong."""
    arrays = {f"a{number}": array for number, array in enumerate(_arrays(habits))}
    told = {
        "keys": habits.keys,
        "seen_until": habits.seen_until,
        "recent": len(habits.novelty.recent),
        "days": [slot.day for slot in habits.novelty.daily.slots],
    }
    file = BytesIO()
    np.savez(file, told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    _write(folder / HABITS, file.getvalue())


def read_templates(folder: Path) -> list[dict[str, Any]]:
    """What was kept; nothing when there is no such file or it cannot be read, which is said."""
    raw = _read(folder / TEMPLATES)
    try:
        found = json.loads(raw) if raw else []
        if not isinstance(found, list):
            raise ValueError("not a list")
    except ValueError as error:
        _left_alone(folder / TEMPLATES, error)
        return []
    return found


def read_habits(folder: Path) -> Habits | None:
    """What was kept; None when there is no such file or it cannot be read, which is said."""
    raw = _read(folder / HABITS)
    if not raw:
        return None
    try:
        with np.load(BytesIO(raw), allow_pickle=False) as file:
            told = json.loads(file["told"].tobytes())
            keys = tuple((str(subject), str(signal)) for subject, signal in told["keys"])
            zero = np.zeros(len(keys))
            empty = Habits(keys, float(told["seen_until"]), blank(len(keys), int(told["recent"])), zero, zero, zero)
            wanted = _arrays(empty)
            arrays = [np.asarray(file[f"a{number}"], dtype=np.float64) for number in range(len(wanted))]
            if [a.shape for a in arrays] != [w.shape for w in wanted] or f"a{len(wanted)}" in file:
                raise ValueError("written by a version that remembers otherwise")
        taken = iter(arrays)
        found: Habits = each_array(lambda _: next(taken), empty)
        daily = found.novelty.daily
        slots = tuple(replace(slot, day=int(day)) for slot, day in zip(daily.slots, told["days"], strict=True))
        return replace(found, novelty=replace(found.novelty, daily=replace(daily, slots=slots)))
    except (ValueError, KeyError, TypeError, OSError, EOFError, BadZipFile) as error:
        _left_alone(folder / HABITS, error)
        return None


def _arrays(habits: Habits) -> list[Floats]:
    """All arrays of the habits, always in the same order."""
    found: list[Floats] = []

    def taken(array: Floats) -> Floats:
        found.append(array)
        return array

    each_array(taken, habits)
    return found


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        fresh.replace(path)
    except OSError as error:
        log.warning("%s was not kept (%s): a restart now learns anew", path, error.strerror)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise OSError(0, "it is too large to be ours")
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        _left_alone(path, error)
        return b""


def _left_alone(path: Path, error: Exception) -> None:
    log.warning("%s is left alone (%s): what it remembered is learned anew", path, error)
