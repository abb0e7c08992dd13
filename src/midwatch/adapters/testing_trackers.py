"""The conformance kit for trackers: as ``testing.py``, for connectors of ours and of others, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from midwatch.adapters.testing import check_redacted
from midwatch.model.errors import TrackerError
from midwatch.model.items import Filed, Issue
from midwatch.model.ports import Tracker


def sample_issue(key: str = "AI-1/INC-1/1790000000.000", **changes: str) -> Issue:
    """With quotes, umlauts, emoji and markup in it."""
    values = {
        "key": key,
        "title": 'INC-1: make it last: "resized the pool" of payment, größer ✅',
        "body": "make it last\n\n- Incident: INC-1\n- <b>Owner</b>: payments | `x`",
        "owner": "payments",
        "due": "2026-12-24",
    }
    return Issue(**{**values, **changes})


async def check_tracker_files_once(tracker: Tracker, issue: Issue, issues: Callable[[], int]) -> Filed:
    """The same key makes one issue, whatever is made beside it; another key makes another."""
    assert tracker.name, "a tracker needs a name"
    before = issues()
    first = await tracker.file(issue)
    assert first.ref and issues() == before + 1, "nothing was filed"
    other = await tracker.file(Issue(f"{issue.key}-other", issue.title, issue.body, issue.owner, issue.due))
    assert other.ref != first.ref and issues() == before + 2, "two keys, one issue"
    again = await tracker.file(issue)
    assert again == first and issues() == before + 2, "the same key was filed twice"
    return first


async def check_tracker_says_once(tracker: Tracker, ref: str, comments: Callable[[], int]) -> None:
    before = comments()
    await tracker.say(ref, "AI-1/late/1", "This was due.")
    await tracker.say(ref, "AI-1/late/1", "This was due.")
    assert comments() == before + 1, "the same comment came twice, or not at all"
    await tracker.say(ref, "AI-1/late/2", "This was due.")
    assert comments() == before + 2, "another key is another comment"


async def check_tracker_failure(
    tracker: Tracker, issue: Issue, *, retryable: bool, says: str = "", secrets: Iterable[str] = ()
) -> None:
    """It raises TrackerError of the right kind, with the tracker's own words and none of ``secrets``."""
    try:
        await tracker.file(issue)
    except TrackerError as error:
        assert (error.retry_after_seconds is not None) == retryable, str(error)
        assert says in str(error), f"{says!r} is missing from {error}"
        check_redacted(error, secrets)
        return
    raise AssertionError("it failed, and nobody was told")
