"""Where templates agree but for one word: whether that place is a value, and what is common to the words seen there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from midwatch.shell.ingest.masks import WILD

_OPENING, _CLOSING = "=:([{<'\",;#@/|", ")]}>'\",;:#|"
_JOINED: Final = frozenset("/@\\_=")
_LIKE_VALUES, _IN_CONTEXT, _ALONE, _FOR_STATES = 2, 4, 8, 2


def around(tokens: Sequence[str], i: int) -> int:
    """The same for templates that agree in all but the word at ``i``."""
    return hash((i, *tokens[:i], *tokens[i + 1 :]))


def enough(tokens: Sequence[str], i: int, words: Sequence[str]) -> bool:
    """Whether so many different words at ``i`` make that place a value: few where the words look like values, more for plain
    words, yet more for the first word and for words in capitals, which tell states apart. Never where no word stands
    around it."""
    if len(words) < _LIKE_VALUES:
        return False
    context = sum(any(map(str.isalpha, token)) for k, token in enumerate(tokens) if k != i)
    if not context:
        return False
    many = _IN_CONTEXT if context > 1 else _ALONE
    if i == 0 or all(map(str.isupper, words)):
        many *= _FOR_STATES
    return len(words) >= many or all(map(_like_a_value, words))


def _like_a_value(word: str) -> bool:
    """A word with a value or a digit in it, or joined from several."""
    core = word.strip("()[]{}<>,;:.'\"")
    return WILD in core or any(map(str.isdigit, core)) or not _JOINED.isdisjoint(core) or core.count(".") > 1


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
