"""What people said about belonging together, held against a new finding."""

from __future__ import annotations

import pytest

from midwatch.core.detect.together import FADES_SECONDS, word_about
from midwatch.model.regroup_steps import Pairing, learned

NOW = 1_800_000_000.0
A, B, C, D = (f"service:{n}" for n in "abcd")


def said(
    *pairs: tuple[str, str], together: bool, at: float = NOW, known: tuple[Pairing, ...] = ()
) -> tuple[Pairing, ...]:
    return learned(known, pairs, together, "INC-7", "ann", at)


@pytest.mark.parametrize(
    ("pairings", "symptoms", "verdict"),
    [
        ((), (A,), None),
        (said((A, B), together=True), (A,), True),
        (said((A, B), together=True), (A, C, D), True),  # one word that joins is enough
        (said((A, B), together=True), (C,), None),
        (said((A, B), together=False), (A,), False),
        (said((A, B), together=False), (A, C), False),
        (said((A, B), together=False), (A, C, D), None),  # it has grown beyond what was said: one outage, one incident
        (said((A, B), (C, B), together=False), (A, C, D), False),
        (said((A, B), together=False), (A, B), None),  # it is about that very entity
        (said((A, B), together=False, known=said((C, B), together=True)), (A, C), None),  # they contradict each other
        (said((A, B), together=True, at=NOW - FADES_SECONDS - 1), (A,), None),
    ],
)
def test_the_word_about_b(pairings: tuple[Pairing, ...], symptoms: tuple[str, ...], verdict: bool | None) -> None:
    word = word_about(pairings, B, symptoms, NOW)
    assert (word.together if word else None) == verdict


def test_it_says_who_said_so_and_when() -> None:
    word = word_about(said((A, B), together=True), A, (B,), NOW)
    assert word is not None and word.why == "ann said on 2027-01-15 that a and b belong together (INC-7)"
