"""Typed masks: what in a log line is a value by its looks alone.

A line is cut at spaces and each piece is masked by itself, so that its masked form can be remembered; what spans several
pieces (a date in words, a size with its unit, a quoted sentence) is masked afterwards. A value becomes one character of a
private area of Unicode that names its type; ``shown`` makes ``<*>`` of it.

The rules are about how programs print values, and about no system in particular:

- a word is a value as a whole or not at all (``blk_-38``, ``attempt_14_m_2``), cut at ``: = , ( ) [ ]`` and their like;
- a word with digits is a value, except a name with one digit in it (``ssh2``, ``eth0``, ``log4j``, ``L3``), the key of
  ``key=value``, and letters before a hyphen or dot that a number follows (``node-246`` is ``node-<*>``);
- an address is one value and its port another; a URL keeps its scheme; a size with a unit is one value because programs
  choose the unit by the number.
"""

from __future__ import annotations

import re
from typing import Final

WILD: Final = "\ue000"  # a value of no type, or of several
NUMBER, HEX, ID, IP, PATH, URL, TIME, DURATION, SIZE, EMAIL, HOST, QUOTED, BOOLEAN, USER = map(
    chr, range(0xE001, 0xE00F)
)
KINDS: Final[dict[str, str]] = {
    WILD: "any", NUMBER: "number", HEX: "hex", ID: "id", IP: "ip", PATH: "path", URL: "url", TIME: "time",
    DURATION: "duration", SIZE: "size", EMAIL: "email", HOST: "host", QUOTED: "quoted", BOOLEAN: "boolean", USER: "user",
}  # fmt: skip
SHOWN: Final = "<*>"
_KINDS: Final = re.compile("[\ue000-\ue00e]")
# In UTF-8: a text with no digit but 0, its shape. Ten times as fast as the same on a str.
DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_REMEMBERED: Final = 50_000
_LONGEST: Final = 200  # a piece longer than this is a value: base64, minified JSON

_PIECE: Final = re.compile(
    r"""
      (?P<url>\b[a-z][a-z0-9+.-]*://)[^\s"'<>)\],;]*[^\s"'<>)\],;.:!?]
    | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<mac>\b[0-9a-f]{2}(?::[0-9a-f]{2}){5,}\b)
    | (?P<email>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b)
    | (?P<time>\b\d{4}[-/]\d\d[-/]\d\d(?:T\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b
        | (?<![\w.:])\d\d?:\d\d:\d\d(?:[.,]\d+)?(?![\w:]))
    | (?P<ip>(?:(?<![\w/])/)?(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)
        | (?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])
        | (?<![\w:])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?::[0-9a-f]{1,4}(?![\w:]))
    | (?P<path>(?<![\w/.)\]}*])(?:/[A-Z]:|~|\.\.?)?/[\w.~%@+$*!-]*[\w~%@+$*](?:/+[\w.~%@+$*!-]*[\w~%@+$*])*/?
        | \b[a-z]:\\[^\s"'<>|]+
        | (?<![\w/.])[\w.-]*[\w-]/[\w.+-]+/[\w.+-]*[\w/])
    | (?P<hex>\b0x[0-9a-f]+\b)
    | (?P<key>\b[a-z_][\w.$-]*(?=[=(]))
    | (?P<word>(?<!\w)[-+]?[a-z0-9_$%]+(?:[.-][a-z0-9_$%]+)*)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)  # fmt: skip

_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)*(?:e[-+]?\d+)?%?", re.IGNORECASE | re.ASCII)
_WITH_UNIT: Final = re.compile(
    r"[-+]?\d+(?:\.\d+)?(?:(ns|us|ms|s|secs?|mins?|m|h|d)|([kmgt]?i?b|[kmgt]))", re.IGNORECASE | re.ASCII
)
_RANGE: Final = re.compile(r"\d+(-+)\d+")
_NUMBERED: Final = re.compile(r"([a-z_$]*[a-z](?:\.[a-z_$]*[a-z])*[.-]+)[\w.]*\d[\w.]*", re.IGNORECASE | re.ASCII)
# Names that programmers give: at most one digit in each part, and not at its front.
_NAME: Final = re.compile(r"[a-z_$]*[a-z]\d?[a-z_$]*(?:[.-][a-z_$]*[a-z]\d?[a-z_$]*)*", re.IGNORECASE | re.ASCII)
_HEX_ID: Final = re.compile(r"[0-9a-f]{8,}", re.IGNORECASE | re.ASCII)
_HOST: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)+(?:com|net|org|edu|gov|io|dev|cloud|local|internal|lan|corp|localdomain)(?:\.[a-z]{2})?",
    re.IGNORECASE | re.ASCII,
)

_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# What spans pieces: (looked for when one of these is there, pattern, type).
_ACROSS: Final = tuple(
    (signs, re.compile(pattern, re.VERBOSE | re.ASCII), kind)
    for signs, pattern, kind in (
        (
            (TIME,),
            rf"""(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s)?\b{_MONTH}[a-z]*\s+{NUMBER},?\s{TIME}
                 (?:\s[A-Z]{{3,4}}\b)?(?:\s{NUMBER})?
               | {TIME}\s{TIME}(?:\s[A-Z]{{3,4}}\b)?""",
            TIME,
        ),
        ((NUMBER,), rf"{NUMBER}\s(?:[KMGT]i?B|B)\b", SIZE),
        (('"',), r'(?<=")[^"]+(?=")', QUOTED),
        (("'",), r"(?<=(?<!\w)')[^']+(?='(?!\w))", QUOTED),
        (("user",), r"(?<=\bfor\suser\s)[\w.@\\-]*\w | (?<=\binvalid\suser\s)[\w.@\\-]*\w", USER),
    )
)
_BOOLEANS: Final = frozenset(("true", "false", "null", "True", "False", "None"))
_AFTER_KEYS: Final = frozenset(("none", "nil", "yes", "no"))
_DIGIT: Final = re.compile("[0-9]")
_RUN: Final = re.compile("[\ue000-\ue00e]{2,}")


def untyped(text: str) -> str:
    """Every value of whatever type as ``WILD``."""
    return text if text.isascii() else _KINDS.sub(WILD, text)


def shown(text: str) -> str:
    """For people: every value as ``<*>``."""
    return _KINDS.sub(SHOWN, text)


def kinds(text: str) -> tuple[str, ...]:
    """The types of the values in a masked text, in order."""
    return tuple(KINDS[c] for c in text if c in KINDS)


class Pieces(dict[str, str]):
    """Masked form of each piece, found out once: ``pieces[piece]``. Forgets all when ``_REMEMBERED`` are known."""

    def __missing__(self, piece: str) -> str:
        masked = mask(piece)
        if len(piece) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[piece] = masked
        return masked


def across(text: str) -> str:
    """Mask what spans several pieces of a line whose pieces are masked."""
    for signs, pattern, kind in _ACROSS:
        if any(sign in text for sign in signs):
            text = pattern.sub(kind, text)
    return _RUN.sub(WILD, text)


def mask(piece: str) -> str:
    """One piece without blanks, its values as their types."""
    if len(piece) > _LONGEST:
        return WILD
    if piece.isalpha() and not (len(piece) >= 8 and _HEX_ID.fullmatch(piece)):
        return BOOLEAN if piece in _BOOLEANS else piece
    masked = _PIECE.sub(_value, piece)
    return masked if masked.isascii() else _RUN.sub(WILD, masked)


_WHOLE: Final = {"uuid": ID, "mac": ID, "email": EMAIL, "time": TIME, "ip": IP, "path": PATH, "hex": HEX}


def _value(match: re.Match[str]) -> str:
    name, text = match.lastgroup or "", match.group()
    whole = _WHOLE.get(name)
    if whole is not None:
        return whole
    if name == "url":
        return match.group("url") + URL
    if name == "key":
        return text if len(_DIGIT.findall(text)) <= 3 else ID
    if text in _BOOLEANS:
        return BOOLEAN
    before = match.string[: match.start()]
    if before.endswith("=") and (text in _AFTER_KEYS or before.endswith("user=")):
        return USER if before.endswith("user=") else BOOLEAN
    return _word(text)


def _word(text: str) -> str:
    if _NUMBER.fullmatch(text):
        return NUMBER
    unit = _WITH_UNIT.fullmatch(text)
    if unit:
        return DURATION if unit.group(1) else SIZE
    if _HOST.fullmatch(text) and text.count(".") >= 2:
        return HOST
    if not _DIGIT.search(text):
        return ID if _HEX_ID.fullmatch(text) else text
    if _NAME.fullmatch(text):
        return text
    between = _RANGE.fullmatch(text)
    if between:
        return NUMBER + between.group(1) + NUMBER
    numbered = _NUMBERED.fullmatch(text)
    if numbered:
        return numbered.group(1) + ID
    return ID
