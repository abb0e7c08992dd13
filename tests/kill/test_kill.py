"""kill -9 before and after every append and every effect of one incident.

Whatever the moment: after the restart the journal verifies and state is its fold, every page that was ordered arrives and
none is repeated that was answered, no action is carried out twice, and the incident ends by one fix.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import missing
from tests.kill.drive import Driver, Run, told_as_text

from midwatch.model.events import (
    ActionEnded,
    ActionOrdered,
    IncidentAcknowledged,
    IncidentMitigated,
    IncidentOpened,
    IncidentResolved,
    PageEnded,
    PageOrdered,
    WatchStarted,
)
from midwatch.model.fold import fold_all
from midwatch.shell.journal.sqlite import open_readonly

AT_ONCE = 4
POINTS = [
    *(f"{side}_append:{n}" for n in range(1, 15) for side in ("before", "after")),
    *(f"{side}_effect:{n}" for n in range(1, 4) for side in ("before", "after")),
]
# The trouble has begun and nothing was done about it yet: only the store remembers what was normal before.
FROM_THE_STORE = {"before_append:3", "after_append:3", "before_append:4", "after_append:4", "before_append:5"}
# How many appends an incident takes varies a little with timing: these may lie beyond its end.
LAST = {f"{side}_append:{n}" for n in (12, 13, 14) for side in ("before", "after")}
Runs = dict[str, Future[Run]]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """An incident for each point that is asked for, a few at a time."""
    wanted = [
        item.callspec.params["point"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    has_store = importlib.util.find_spec("chdb") is not None
    folder = tmp_path_factory.mktemp("kill")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield {
            point: threads.submit(_run, folder / point.replace(":", "-"), point)
            for point in wanted
            if has_store or point not in FROM_THE_STORE
        }
        threads.shutdown(cancel_futures=True)


def _run(folder: Path, point: str) -> Run:
    store = "embedded" if point in FROM_THE_STORE else "none"
    return Driver(folder, crash_at=point, store=store).until_resolved(150)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_there_nothing_is_lost_and_nothing_happens_twice(runs: Runs, point: str) -> None:
    if point not in runs:
        missing("chdb: pip install 'midwatch[store]'")
    run = runs[point].result()
    print(f"{point}: {run.seconds:.0f} s")
    story = f"{point}\n{told_as_text(run.entries)}\n{run.stderr}"
    assert run.died == 1 or (point in LAST and run.died == 0), story
    assert len(run.events(WatchStarted)) >= 1 + run.died - (point in LAST) - (point == "before_append:1"), story
    check(run, story)


def check(run: Run, story: str) -> None:
    """What holds for every incident, however often the watch died."""
    outside = run.outside
    assert outside is not None
    journal = open_readonly(run.folder / "journal.sqlite")
    try:
        assert journal.verify().ok, story
        state = fold_all(run.entries)
        assert repr(journal.load_state()) == repr(state), "state is the fold of the journal"
    finally:
        journal.close()

    # one incident, over, by one fix that was seen to help
    assert len(run.events(IncidentOpened)) == len(run.events(IncidentResolved)) == 1, story
    (incident,) = state.incidents.values()
    met = [r for r in state.actions.values() if r.status == "met"]
    assert len(met) == 1 and [e.by for e in run.events(IncidentMitigated)] == [met[0].action.id], story

    # no action twice, none without an end; what a crash left in doubt was asked about, not repeated
    ordered = [state.actions[e.action_id].action for e in run.events(ActionOrdered)]
    applied = outside.of("apply")
    assert len({one.key for one in applied}) == len(applied) == 1, story
    assert {one.key for one in applied} <= {action.key for action in ordered}, "intent before effect"
    ends = {e.action_id: e for e in run.events(ActionEnded)}
    for action in ordered:
        assert action.id in ends, story
        if ends[action.id].reconciled:
            assert any(one.key == action.key for one in outside.of("observe")), story

    # every page that was ordered arrived, none came again after it was known to have arrived
    received = outside.of("page")
    pages = run.events(PageOrdered)
    assert {page.key for page in pages} == {one.key for one in received}, story
    assert any(one.body["incident"] == incident.id and one.body["repeat"] == 0 for one in received), story
    delivered = {e.event.page: e.seq for e in run.entries if isinstance(e.event, PageEnded)}
    for page in pages:
        times = sum(one.key == page.key for one in received)
        assert page.page in delivered and 1 <= times <= 1 + run.died, story
    if run.died:
        killed_at = next(e.seq for e in run.entries[::-1] if isinstance(e.event, WatchStarted))
        known = {page for page, seq in delivered.items() if seq < killed_at}
        for page in pages:
            assert page.page not in known or sum(one.key == page.key for one in received) == 1, story

    # what somebody acknowledged is not paged about again
    answered: set[str] = set()
    told: dict[str, float] = {}
    for entry in run.entries:
        if isinstance(entry.event, PageOrdered):
            assert not set(entry.event.topics) <= answered, story
            told.update(dict.fromkeys(entry.event.topics, entry.at))
        elif isinstance(entry.event, IncidentAcknowledged):  # nobody answers what is said in the same instant
            answered |= {topic for topic, at in told.items() if at < entry.at}
