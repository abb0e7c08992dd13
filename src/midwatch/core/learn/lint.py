"""A post-mortem is read for what blames people and for what it claims without showing.

It knows words, not meaning: a remark is a place to look at, and the list of words is here to be read. What stands in code,
in a quotation, in the timeline or under "Evidence" is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct


class Remark(Struct, frozen=True):
    """``code``: blame, claim, number or item. ``line`` counts from 1."""

    line: int
    code: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.line}: {self.message} ({self.hint})"


BLAME: Final = (
    "human error", "operator error", "user error", "pilot error", "careless", "carelessness", "carelessly", "negligent",
    "negligence", "incompetent", "incompetence", "stupid", "stupidly", "lazy", "sloppy", "reckless", "at fault", "to blame",
    "blame", "blames", "blamed", "guilty", "whose fault", "fault of", "mistake by", "mistake of", "should have known",
    "should have noticed", "should have seen", "should have checked", "should have tested", "should have caught",
    "should have realised", "should have realized", "should have been more careful", "ought to have", "forgot to",
    "neglected to", "did not bother", "didn't bother", "failed to notice", "failed to check", "failed to test",
    "failed to follow", "failed to read", "not paying attention", "inexperienced",
    "common sense", "obviously", "simply had to", "just had to", "only had to",
)  # fmt: skip
"""Words that name a person's failing, or that make hindsight look like foresight."""
DEEDS: Final = (
    "broke", "breaks", "caused", "causes", "forgot", "failed", "missed", "ignored", "overlooked", "misconfigured", "deleted",
    "crashed", "messed", "botched", "neglected", "mistakenly", "accidentally", "wrongly",
)  # fmt: skip
CLAIMS: Final = (
    "because", "caused by", "root cause", "due to", "led to", "leads to", "resulted in", "as a result", "triggered by",
    "was the cause", "the cause was", "the reason", "owing to", "probably", "apparently", "presumably", "it seems",
    "we believe", "we think", "must have been", "no doubt",
)  # fmt: skip
_EVIDENCE: Final = re.compile(
    r"\b(?:INC|ACT|AI|PAGE|SIL|ADJ)-\d+|\]\(|https?://|\b\d{1,2}:\d{2}\b|\[[^\]]+\]|`[^`]+`|\bevidence\b"
    r"|not (?:yet )?(?:confirmed|known|found)|most probable",
    re.IGNORECASE,
)
_MEASURED: Final = re.compile(
    r"(?<![\w.:-])(\d[\d,]*(?:\.\d+)?)\s?(%|percent\b|requests?\b|users?\b|customers?\b|errors?\b|ms\b|GB\b|MB\b)"
)
_CODE: Final = re.compile(r"`[^`]*`")
_ITEMS: Final = re.compile(r"^#+\s+action items", re.IGNORECASE)
_LEFT_ALONE: Final = re.compile(r"^#+\s+(?:timeline|evidence)", re.IGNORECASE)


def lint(markdown: str, people: Iterable[str] = (), known: str = "") -> tuple[Remark, ...]:
    """``people`` are names, for sentences that say what one of them did wrong; ``known`` is what the journal says of the
    incident: numbers that it does not have are remarked, when it is given."""
    names = _any(name for name in people if len(name) > 1)
    numbers = {_number(found[1]) for found in _MEASURED.finditer(known)} | {
        _number(n) for n in re.findall(r"\d[\d,.]*", known)
    }
    remarks: list[Remark] = []
    for line, text in _prose(markdown):
        for sentence in re.split(r"(?<=[.!?])\s+", text):
            remarks += _blame(line, sentence, names)
            remarks += _claims(line, sentence)
            if known:
                remarks += _numbers(line, sentence, numbers)
    return tuple(sorted((*remarks, *_owners(markdown)), key=lambda remark: remark.line))


def _prose(markdown: str) -> Iterator[tuple[int, str]]:
    """Lines that a person wrote as sentences, without code, quotations, headings, and sections that are evidence."""
    fenced = alone = False
    for number, text in enumerate(markdown.splitlines(), 1):
        stripped = text.strip()
        if stripped.startswith(("```", "~~~")):
            fenced = not fenced
        elif stripped.startswith("#"):
            alone = _LEFT_ALONE.match(stripped) is not None
        elif stripped and not (fenced or alone or stripped.startswith(">")):
            yield number, stripped


def _blame(line: int, sentence: str, names: re.Pattern[str] | None) -> Iterator[Remark]:
    words = _CODE.sub(" ", sentence)
    if found := _BLAMES.search(words):
        yield Remark(
            line, "blame", f"{found[0]!r} blames somebody", "say what the system allowed, and what would stop it"
        )
        return
    named = names.search(words) if names else None
    deed = _DEEDS.search(words, named.end()) if named else None
    if named and deed and deed.start() - named.end() < 40:
        message = f"{named[0]} {deed[0]}: a person stands where a condition should"
        yield Remark(
            line, "blame", message, "say what happened and what made it possible; who did it matters to nobody"
        )


def _claims(line: int, sentence: str) -> Iterator[Remark]:
    found = _CLAIMED.search(_CODE.sub(" ", sentence))
    if found and not _EVIDENCE.search(sentence):
        yield Remark(
            line,
            "claim",
            f"{found[0]!r} claims without showing",
            "add a time, an entry (INC-, ACT-), a link or the evidence",
        )


def _numbers(line: int, sentence: str, numbers: set[str]) -> Iterator[Remark]:
    for found in _MEASURED.finditer(_CODE.sub(" ", sentence)):
        if _number(found[1]) not in numbers and "](" not in sentence and "http" not in sentence:
            yield Remark(line, "number", f"{found[0]!r} is nowhere in the journal", "link to where it was read")


def _owners(markdown: str) -> Iterator[Remark]:
    """Rows of the action items' table without an owner."""
    inside, column = False, -1
    for number, text in enumerate(markdown.splitlines(), 1):
        if text.startswith("#"):
            inside, column = _ITEMS.match(text) is not None, -1
        elif inside and text.strip().startswith("|"):
            cells = [cell.strip().lower() for cell in re.split(r"(?<!\\)\|", text.strip().strip("|"))]
            if column < 0 and "owner" in cells:
                column = cells.index("owner")
            elif (
                column >= 0
                and not set(text) <= set("|-: ")
                and (len(cells) <= column or cells[column] in ("", "-", "?"))
            ):
                yield Remark(number, "item", "this action item is nobody's", "name an owner, a person or a team")


def _number(text: str) -> str:
    return text.replace(",", "").rstrip(".").removesuffix(".0")


def _any(words: Iterable[str]) -> re.Pattern[str] | None:
    parts = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(parts)})\b", re.IGNORECASE) if parts else None


_BLAMES: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, BLAME))})\b", re.IGNORECASE)
_DEEDS: Final = re.compile(rf"\b(?:{'|'.join(DEEDS)})\b", re.IGNORECASE)
_CLAIMED: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, CLAIMS))})\b", re.IGNORECASE)
