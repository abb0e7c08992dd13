"""What repeats side by side in a masked line counts once, so that lines compare without regard to how often it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from midwatch.shell.ingest.masks import WILD, untyped

_LONGEST_RECORD: Final = 8  # tokens of a record that repeats


def folded(typed: list[str]) -> tuple[list[str], dict[int, str]]:
    """Tokens with what repeats side by side left once: the values of a list, records that hold a value. And what was folded,
    untyped, by position."""
    tokens = untyped(" ".join(typed)).split(" ")
    runs: dict[int, str] = {}
    if len(set(tokens)) == len(tokens):
        return typed, runs
    out: list[str] = []
    at = 0
    while at < len(tokens):
        size, times = _repeated(tokens, at)
        if times > 1:
            runs[len(out)] = " ".join(tokens[at : at + size * times])
            out.append(WILD if size == 1 else " ".join(typed[at : at + size]))
        else:
            out.append(typed[at])
        at += size * times
    return out, runs


def _repeated(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """(size, times) of what repeats at ``at``; times is 1 when nothing does."""
    first = tokens[at]
    for size in range(1, min(_LONGEST_RECORD, (len(tokens) - at) // 2) + 1):
        if tokens[at + size] != first:
            continue
        unit = tokens[at : at + size]
        if tokens[at + size : at + 2 * size] != unit or not _holds_a_value(unit):
            continue
        times = 2
        while tokens[at + size * times : at + size * (times + 1)] == unit:
            times += 1
        return size, times
    return 1, 1


def _holds_a_value(unit: Sequence[str]) -> bool:
    if len(unit) == 1 and any(c.isalnum() for c in unit[0].replace(WILD, "")):
        return False
    return any(WILD in token for token in unit)
