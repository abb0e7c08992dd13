"""What a post-mortem should not say, and what it may."""

from __future__ import annotations

import pytest
from tests.learn.test_learn import incident

from midwatch.core.learn.lint import lint
from midwatch.core.learn.postmortem import postmortem

PEOPLE = ("bo", "Bo Li", "ana")


@pytest.mark.parametrize(
    "text",
    [
        "Human error.",
        "The operator was careless, see 12:04.",
        "Bo should have noticed the alert at 12:04.",
        "bo broke the build at 12:04.",
        "Then Bo Li accidentally deleted the table (ACT-3).",
        "Nobody is to blame but the vendor.",
        "Obviously the limit was too low.",
        "The team forgot to renew the certificate.",
    ],
)
def test_blame_is_remarked(text: str) -> None:
    assert [one.code for one in lint(f"# INC-1\n\n## Summary\n\n{text}\n", PEOPLE)] == ["blame"]


@pytest.mark.parametrize(
    "text",
    [
        "The pool was exhausted because of a slow query.",
        "The root cause was the new build.",
        "It was probably the cache.",
        "Higher load led to timeouts.",
    ],
)
def test_claims_need_something_to_look_at(text: str) -> None:
    (remark,) = lint(text)
    assert remark.code == "claim" and remark.line == 1
    for shown in (" (ACT-3)", " [18 requests waited on 5]", " See 12:04.", " [graph](https://x.example/g)"):
        assert lint(text.rstrip(".") + shown) == ()


@pytest.mark.parametrize(
    "text",
    [
        "bo deployed 1.5 at 12:04; the check let it pass.",
        "ana answered after 2 min.",
        "## Timeline (UTC)\n\n| 12:04 | bo | rolled back, because it was probably the build |",
        "## Evidence\n\n- errors rose because of the pool",
        "> It was probably human error, one said.",
        "`it failed because of human error`",
        "```\nbecause of human error\n```",
        "The cause was not confirmed.",
        "Bob's caching forgot nothing.",
    ],
)
def test_what_may_stand(text: str) -> None:
    assert lint(text, PEOPLE) == ()


def test_numbers_are_held_against_the_journal() -> None:
    known = "15 % of the requests failed; about 1200 of them; 18 waited."
    assert lint("15 % of requests failed, about 1,200 requests.", known=known) == ()
    (wrong,) = lint("40 % of requests failed.", known=known)
    assert wrong.code == "number" and "40 %" in wrong.message
    assert lint("40 % of requests failed ([dashboard](https://x.example)).", known=known) == ()
    assert lint("40 % of requests failed.") == (), "nothing to hold it against"


def test_items_that_are_nobodys() -> None:
    table = "## Action items\n\n| item | what | owner | due |\n|---|---|---|---|\n| AI-1 | a \\| b | | 2026-12-24 |\n"
    (remark,) = lint(table + "| AI-2 | c | payments | 2026-12-24 |\n")
    assert (remark.code, remark.line) == ("item", 5)


@pytest.mark.parametrize("heals", [True, False])
def test_what_midwatch_writes_itself_has_no_remark(heals: bool) -> None:
    made = incident(heals)
    text = postmortem(made.state, "INC-1").replace(": because.", ": 5 % or more of the requests are affected.")
    assert lint(text, ("bo", "ana"), text) == ()
