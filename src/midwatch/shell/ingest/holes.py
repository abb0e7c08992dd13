"""Where templates agree but for one word: whether that place is a value, and what is common to the words seen there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from midwatch.shell.ingest.masks import WILD

_OPENING, _CLOSING = "=:([{<'\",;#@/|", ")]}>'\",;:#|"
_JOINED: Final = frozenset("/@\\_")
_PUNCTUATION: Final = re.compile("([][(){}<>,;:'\"=|#]+)")
# A program chooses the unit by the number.
_UNITS: Final = frozenset(
    "ns us µs ms s sec secs second seconds min mins minutes h hours".split()  # noqa: SIM905 - a list that reads as one
    + "B KB MB GB KiB MiB GiB bytes".split()  # noqa: SIM905
)
_LIKE_VALUES, _IN_CONTEXT, _ALONE, _FOR_STATES = 2, 4, 8, 2


def around(tokens: Sequence[str], i: int) -> int:
    """The same for templates that agree in all but the word at ``i``; -1: that agree in all."""
    # With the length: else a template would meet those of one word more that begin as it does.
    return hash((i, len(tokens), *(tokens if i < 0 else (*tokens[:i], *tokens[i + 1 :]))))


def enough(seen: Sequence[Sequence[str]], i: int) -> bool:
    """Whether templates with so many different words at ``i``, and no other difference, have a value there: few where the
    words look like values or are units of one, more for plain words, yet more for the first word and for words in
    capitals, which tell states apart. Never where no word stands around it."""
    tokens, words = seen[0], [one[i] for one in seen]
    if len(words) < _LIKE_VALUES:
        return False
    context = sum(any(map(str.isalpha, token)) for k, token in enumerate(tokens) if k != i)
    if not context:
        return False
    many = _IN_CONTEXT if context > 1 else _ALONE
    if i == 0 or all(map(str.isupper, words)):
        many *= _FOR_STATES
    if len(words) >= many or all(map(_like_a_value, _differences(words))):
        return True
    return i > 0 and WILD in tokens[i - 1] and all(word.strip(_CLOSING + ".") in _UNITS for word in words)


def alike(seen: Sequence[Sequence[str]]) -> bool:
    """Whether templates with the same ``bare`` tokens are one: there are several, and they agree in a plain word."""
    return len(seen) >= _LIKE_VALUES and any(
        len(set(words)) == 1 and any(map(str.isalpha, words[0])) and not _like_a_value(words[0])
        for words in zip(*seen, strict=True)
    )


def bare(tokens: Sequence[str]) -> list[str]:
    """``tokens`` with all that looks like a value as ``WILD``, but for the key and the brackets around it."""
    return ["".join(WILD if _like_a_value(part) else part for part in _parts(token)) for token in tokens]


def _differences(words: Sequence[str]) -> set[str]:
    """The parts that are not the same in all words; the words as they are when they are not built alike."""
    built = [_parts(word) for word in words]
    if len({(len(parts), *parts[1::2]) for parts in built}) > 1:
        return set(words)
    return {part for column in zip(*built, strict=True) if len(set(column)) > 1 for part in column}


def _parts(word: str) -> list[str]:
    """Cut at punctuation: parts at even places, what they are cut at between them."""
    return _PUNCTUATION.split(word)


def _like_a_value(part: str) -> bool:
    """Nothing, a word with a value or a digit in it, or joined from several."""
    return (
        WILD in part or not part or any(map(str.isdigit, part)) or not _JOINED.isdisjoint(part) or part.count(".") > 1
    )


def fits(pattern: str, token: str) -> bool:
    """Whether ``token`` is an example of ``pattern``, which has a value in it."""
    before, _, after = pattern.partition(WILD)
    return len(token) >= len(before) + len(after) and token.startswith(before) and token.endswith(after)


def common(words: Sequence[str]) -> str:
    """What all words begin and end with, up to punctuation, around ``WILD``: ``user=<*>,``."""
    first, shortest = words[0], min(map(len, words))
    same = sum(1 for _ in takewhile(lambda k: all(word[k] == first[k] for word in words), range(shortest)))
    start = max((k + 1 for k in range(same) if first[k] in _OPENING), default=0)
    same = sum(
        1 for _ in takewhile(lambda k: all(word[-k] == first[-k] for word in words), range(1, shortest - start + 1))
    )
    end = sum(1 for _ in takewhile(lambda k: first[-k] in _CLOSING, range(1, same + 1)))
    return first[:start] + WILD + (first[len(first) - end :] if end else "")
