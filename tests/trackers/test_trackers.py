"""GitHub, GitLab and Jira against contract fakes, by the conformance kit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from midwatch.adapters.fakes.server import Answer
from midwatch.adapters.fakes.trackers import FakeGitHub, FakeGitLab, FakeJira, FakeTracker
from midwatch.adapters.testing_trackers import (
    check_tracker_failure,
    check_tracker_files_once,
    check_tracker_says_once,
    sample_issue,
)
from midwatch.adapters.trackers.github import GitHubTracker
from midwatch.adapters.trackers.gitlab import GitLabTracker
from midwatch.adapters.trackers.jira import JiraTracker
from midwatch.model.ports import Tracker

KINDS = ("github", "gitlab", "jira", "jira data center")
PEOPLE = {"payments": "17"}


@contextmanager
def tracker(kind: str, token: str = "tracker-token") -> Iterator[tuple[Tracker, FakeTracker]]:
    made: FakeTracker
    match kind:
        case "github":
            made = FakeGitHub()
            with made as fake:
                yield GitHubTracker("code", "shop/ops", lambda: token, people=PEOPLE, api_url=fake.url), fake
        case "gitlab":
            made = FakeGitLab()
            with made as fake:
                yield GitLabTracker("code", "shop/ops", lambda: token, people=PEOPLE, api_url=fake.url), fake
        case _:
            cloud = kind == "jira"
            made = FakeJira(cloud=cloud)
            with made as fake:
                user = (lambda: "bot@example.org") if cloud else None
                yield JiraTracker("code", fake.url, "OPS", lambda: token, user=user, people=PEOPLE), fake


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_is_filed_once(kind: str) -> None:
    with tracker(kind) as (one, fake):
        filed = asyncio.run(check_tracker_files_once(one, sample_issue(), lambda: len(fake.issues)))
        assert filed.url.endswith(filed.ref) and filed.url.startswith("http")
        asyncio.run(check_tracker_says_once(one, filed.ref, lambda: len(fake.comments.get(1, []))))
        assert asyncio.run(one.closed(filed.ref)) == ""
        fake.close(1)  # type: ignore[attr-defined]
        assert asyncio.run(one.closed(filed.ref)) in ("completed", "closed", "done")


def test_what_each_is_told_about_owner_and_due_date() -> None:
    with tracker("github") as (one, fake):
        asyncio.run(one.file(sample_issue()))
        assert fake.issues[1]["assignees"] == [{"login": "17"}] and "payments" in fake.issues[1]["body"]
    with tracker("gitlab") as (one, fake):
        asyncio.run(one.file(sample_issue()))
        assert fake.issues[1]["due_date"] == "2026-12-24" and fake.issues[1]["assignees"] == [{"id": 17}]
    with tracker("jira") as (one, fake):
        asyncio.run(one.file(sample_issue()))
        assert fake.issues[1]["fields"]["duedate"] == "2026-12-24"
        assert fake.issues[1]["fields"]["assignee"] == {"accountId": "17"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_item_is_taken(kind: str) -> None:
    with tracker(kind) as (one, fake):
        asyncio.run(one.file(sample_issue(title="t" * 900, body="b" * 200_000)))
        assert len(fake.issues) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_failures_say_why_without_the_token(kind: str) -> None:
    with tracker(kind, "wrong-token") as (one, fake):
        if not kind.startswith("jira"):
            asyncio.run(
                check_tracker_failure(one, sample_issue(), retryable=False, says="401", secrets=["wrong-token"])
            )
        fake.answers += [Answer(403, {"message": "no", "errorMessages": ["wrong-token"]})]
        asyncio.run(check_tracker_failure(one, sample_issue(), retryable=False, says="403", secrets=["wrong-token"]))
        fake.answers += [Answer(429, None, {"Retry-After": "9"})]
        asyncio.run(check_tracker_failure(one, sample_issue(), retryable=True, says="429", secrets=["wrong-token"]))
        fake.answers += [Answer(503)]
        asyncio.run(check_tracker_failure(one, sample_issue(), retryable=True, secrets=["wrong-token"]))


def test_an_answer_that_makes_no_sense_is_no_issue() -> None:
    with tracker("jira") as (one, fake):
        fake.answers += [Answer(200, {"issues": []}), Answer(201, [])]
        asyncio.run(check_tracker_failure(one, sample_issue(), retryable=True, says="does not say which"))
