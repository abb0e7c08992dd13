"""Online log templates: lines that differ only in their variables become one pattern.

A line is masked (numbers, ids, addresses, paths, quoted text, durations become ``<*>``), cut into tokens, and compared
with the known templates of the same length that begin alike; where nearly all tokens agree it joins one, and what
differs becomes ``<*>``, too. The id of a template is the hash of its text when it was first seen, so that the
same line gives the same id in every service and after every restart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

WILD: Final = "<*>"
_WORDS_PER_VARIABLE: Final = 6  # one word in so many may differ, so that short messages never merge
_MAX_TOKENS: Final = 40
_MAX_CHARS: Final = 1000
_CACHE: Final = 20_000

_MASKS: Final = re.compile(
    r"""
      (?P<quoted>"[^"]*"|'[^']{0,200}')
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}      # UUID
    | \d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?   # time
    | \b[a-z][a-z0-9+.-]*://[^\s"',;]+                                     # URL
    | \b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b                                     # IP
    | (?<![\w/])/[\w.~%@-]+(/[\w.~%@-]*)*                                  # path
    | \b0x[0-9a-f]+\b
    | \b(?=[a-f]*\d)[0-9a-f]{8,}\b                                         # hex id
    | [-+]?\b\d+([.,]\d+)*(e[-+]?\d+)?\s?(ns|us|µs|ms|s|sec|seconds|min|m|h|kb|mb|gb|kib|mib|gib|b|%)?(?![\w.])
    | (?<=[\w-])\d+\b                                                      # order17
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(slots=True)
class Template:
    """``tokens`` may still grow more general; ``id`` never changes."""

    id: str
    tokens: list[str]

    @property
    def text(self) -> str:
        return " ".join(self.tokens)


def mask(line: str) -> str:
    """The line with its variables as ``<*>``."""
    return _MASKS.sub(WILD, line[:_MAX_CHARS])


class Templates:
    """All templates seen, at most ``limit``; beyond it lines of a new shape share one template, ``other``."""

    def __init__(self, limit: int = 5000) -> None:
        self._limit = limit
        self._leaves: dict[tuple[int, str], list[Template]] = {}
        self._known: dict[str, Template] = {}
        self._masked: dict[str, Template] = {}
        self._lines: dict[str, Template] = {}
        self._other = Template("other", ["(other", "lines)"])

    def __len__(self) -> int:
        return len(self._known)

    def find(self, line: str, exception_type: str = "") -> Template:
        """The template of ``line``; ``exception_type`` (from the record's attributes) is part of it."""
        key = f"{exception_type}\0{line}"
        found = self._lines.get(key)
        if found is None:
            found = self._match(line, exception_type)
            if len(self._lines) >= _CACHE:
                self._lines.clear()
            self._lines[key] = found
        return found

    def _match(self, line: str, exception_type: str) -> Template:
        first_line = line.strip().partition("\n")[0]
        text = mask(first_line)
        if exception_type and exception_type not in text:
            text = f"{exception_type}: {text}"
        known = self._masked.get(text)
        if known is not None:
            return known
        tokens = text.split()[:_MAX_TOKENS]
        if not tokens:
            tokens = ["(empty)"]
        leaf = self._leaves.setdefault((len(tokens), exception_type or _head(tokens)), [])
        best, fewest = None, len(tokens) // _WORDS_PER_VARIABLE + 1
        for candidate in leaf:
            other = sum(a != b and a != WILD for a, b in zip(candidate.tokens, tokens, strict=True))
            if other < fewest:
                best, fewest = candidate, other
        if best is None:
            if len(self._known) >= self._limit:
                return self._other
            name = " ".join(tokens)
            best = Template(blake2b(name.encode(), digest_size=6).hexdigest(), tokens)
            best = self._known.setdefault(best.id, best)
            leaf.append(best)
        else:
            best.tokens = [a if a == b else WILD for a, b in zip(best.tokens, tokens, strict=True)]
        if len(self._masked) >= _CACHE:
            self._masked.clear()
        self._masked[text] = best
        return best


def _head(tokens: list[str]) -> str:
    """The first word that is not a variable: templates that begin differently are never compared."""
    return next((token for token in tokens if WILD not in token), WILD)
