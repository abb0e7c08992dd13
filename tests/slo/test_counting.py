"""Live counting: every event once, whatever comes late, twice, from many groups, or cannot be true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.slo.turns import GATEWAY, counts, requests_world, source_world, state_of, turn_of
from tests.worlds import START, STEP, make_world

from midwatch.core.detect.gaps import MAX_GAPS, gaps
from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import blind_why
from midwatch.core.slo.counting import count, own_counts
from midwatch.core.turn import Turn
from midwatch.gym.simulator.checkers import good_and_total
from midwatch.model import signals
from midwatch.model.events import GapClosed, GapOpened, Recorded
from midwatch.model.fold import fold
from midwatch.model.indicators import Composite, EventRatio, Part, Slices
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import Gap

OK = Slo("ok", GATEWAY, "ratio", 0.99)
FAST = Slo("fast", GATEWAY, "latency", 0.9, 100.0)
SHOP = Slo("shop", GATEWAY, "source", 0.99, indicator=EventRatio("t", "g"))
MONTH = 30 * 86400.0


def all_of(memory: Memory, key: str) -> tuple[float, float]:
    ledger = memory.ledgers[key]
    return books.sums(ledger, MONTH, ledger.seen_until)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_comes_late_and_in_any_order_counts_once(data: st.DataObject) -> None:
    """Each event belongs to a step and is delivered at some later look; in the end the ledger holds all of them."""
    steps = 40
    events = data.draw(st.lists(st.tuples(st.integers(0, steps - 1), st.integers(0, 12), st.booleans()), max_size=80))
    every = data.draw(st.integers(1, 7))
    memory = Memory(started_at=START - 1000)
    for until in [*range(every, steps, every), steps, steps]:
        total, errors = np.zeros(until), np.zeros(until)
        for step, delay, failed in events:
            if step < until and (step + delay < until or until == steps):
                total[step] += 1
                errors[step] += failed
        memory = count(turn_of(state_of(OK), requests_world(total, errors), memory)).memory
    bad = sum(failed for *_, failed in events)
    assert all_of(memory, "ok") == (len(events) - bad, len(events))
    assert memory.ledgers["ok"].late <= len(events)
    ring = memory.ledgers["ok"].counts[0]
    assert (ring[0] <= ring[1]).all() and (ring >= 0).all()


def test_late_events_are_told_apart() -> None:
    memory = count(turn_of(state_of(OK), requests_world([5, 5, 0], [0, 0, 0]))).memory
    memory = count(turn_of(state_of(OK), requests_world([5, 5, 4, 1], [0, 0, 4, 0]), memory)).memory
    assert all_of(memory, "ok") == (11, 15)
    assert memory.ledgers["ok"].late == 4


def test_a_service_that_fell_silent_takes_nothing_back() -> None:
    nan = float("nan")
    memory = count(turn_of(state_of(OK), requests_world([5, 5, 5], [0, 1, 0]))).memory
    memory = count(turn_of(state_of(OK), requests_world([nan, nan, nan, nan], [nan] * 4), memory)).memory
    assert all_of(memory, "ok") == (14, 15)
    assert memory.ledgers["ok"].heard_at == START + 3 * STEP, "and says when it was last heard"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_many_at_once_count_like_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"service:s{n}" for n in range(5)]
    series = {}
    for name in names:
        requests = rng.integers(0, 9, 30).astype(float)
        requests[rng.random(30) < 0.2] = np.nan
        series[(name, signals.REQUESTS)] = requests
        if rng.random() < 0.7:
            series[(name, signals.ERRORS)] = np.minimum(requests, rng.integers(0, 3, 30))
    lag = rng.uniform(0, 2, 30)
    lag[rng.random(30) < 0.3] = np.nan
    series[("queue:q", signals.QUEUE_LAG_SECONDS)] = lag
    buckets = rng.integers(0, 3, (30, len(signals.LATENCY_BOUNDS_MS) + 1)).astype(float)
    series[(names[0], signals.REQUESTS)] = buckets.sum(axis=1)
    world = make_world(series, latency={names[0]: buckets})
    slos = [Slo(f"r{n}", name, "ratio", 0.9) for n, name in enumerate(names)]
    slos += [Slo(f"l{ms}", names[0], "latency", 0.9, ms) for ms in (3.0, 100.0, 99_999.0)]
    slos += [Slo("unseen", "service:none", "ratio", 0.9), Slo("unmeasured", names[1], "latency", 0.9, 5.0)]
    slos += [Slo("q", "queue:q", "freshness", 0.9, 1000.0)]
    found = own_counts(world, slos)
    assert {slo.name for slo in slos} - {slo.name for slo in found.slos} == {"unseen", "unmeasured"}
    for row, slo in enumerate(found.slos):
        alone = good_and_total(world, slo)
        assert alone is not None
        np.testing.assert_array_equal(found.good[row], alone[0])
        np.testing.assert_array_equal(found.total[row], alone[1])


def test_more_bad_than_all_counts_as_bad_and_is_said() -> None:
    turn = gaps(count(turn_of(state_of(OK), requests_world([5, 5, 5], [0, 9, 0]))))
    assert all_of(turn.memory, "ok") == (10, 15)
    (gap,) = [event for event in turn.events if isinstance(event, GapOpened)]
    assert gap.subject == "counts:ok" and "4 more bad events than events" in gap.reason


@pytest.mark.parametrize(
    ("good", "total", "words"),
    [(12, 10, "12 good of 10"), (-1, 10, "-1 good"), (float("nan"), 10, "nan good"), (1, -1, "of -1")],
)
def test_what_a_source_says_and_cannot_be_is_left_out_and_said(good: float, total: float, words: str) -> None:
    given_counts = counts("shop", [START, START + 60, START + 120], [9, good, 8], [10, total, 10], START + 180)
    turn = gaps(count(turn_of(state_of(SHOP), source_world(given_counts))))
    assert all_of(turn.memory, "shop") == (17, 20)
    ledger = turn.memory.ledgers["shop"]
    assert ledger.impossible == 1 and words in ledger.impossible_why
    assert [event.subject for event in turn.events if isinstance(event, GapOpened)] == ["counts:shop"]
    later = replace(counts("shop", [], [], [], START + 5000), gap="")
    turn = gaps(count(turn_of(turn.state, source_world(later), turn.memory)))
    assert [event.subject for event in turn.events if isinstance(event, GapClosed)] == ["counts:shop"]


def test_what_a_source_says_twice_counts_once() -> None:
    memory = Memory(started_at=START - 1000)
    for end in (60, 120, 120, 180):
        at = [START + n for n in range(0, end, 60)]
        said = counts("shop", at, [9.0] * len(at), [10.0] * len(at), START + end)
        memory = count(turn_of(state_of(SHOP), source_world(said), memory)).memory
    assert all_of(memory, "shop") == (27, 30)


def test_a_gap_without_steps_leaves_what_was_missed_to_be_read_back() -> None:
    before = counts("shop", [START], [9], [10], START + 60)
    memory = count(turn_of(state_of(SHOP), source_world(before))).memory
    down = counts("shop", [], [], [], START + 600, gap="does not answer")
    memory = count(turn_of(state_of(SHOP), source_world(down), memory)).memory
    assert memory.ledgers["shop"].seen_until == START + 60
    back = counts("shop", [START + 60, START + 600], [0, 10], [10, 10], START + 660)
    memory = count(turn_of(state_of(SHOP), source_world(back), memory)).memory
    assert all_of(memory, "shop") == (19, 30)


def test_a_source_that_is_down_is_a_gap_and_many_promises_make_one() -> None:
    slos = [replace_name(SHOP, f"s{n}") for n in range(6)]
    said = [counts(slo.name, [], [], [], START, gap="does not answer") for slo in slos]
    turn = gaps(count(turn_of(state_of(*slos), source_world(*said))))
    assert [event.subject for event in turn.events] == ["source:default"]
    turn = gaps(count(turn_of(state_of(*slos[:2]), source_world(*said[:2]))))
    assert [event.subject for event in turn.events] == ["slo:s0", "slo:s1"]


def test_a_source_that_fails_in_two_ways_leaves_room_for_the_gaps_of_the_world() -> None:
    slos = [replace_name(SHOP, f"s{n}") for n in range(1000)]

    def look(state: State, *reasons: str, dark: bool = False) -> Turn:
        said = [counts(s.name, [], [], [], START, gap=reasons[min(n, len(reasons) - 1)]) for n, s in enumerate(slos)]
        world = source_world(*said)
        if dark:
            world = replace(world, gaps=(Gap("telemetry", START, "nothing arrives at all"),))
        turn = gaps(count(turn_of(state, world)))
        opened = [event.subject for event in turn.events if isinstance(event, GapOpened)]
        assert len(opened) < 210, "bounded"
        for event in turn.events:
            turn = replace(turn, state=fold(turn.state, Recorded(turn.state.seq + 1, START, event)))
        return turn

    turn = look(state_of(*slos, OK), "refused", "timed out")
    assert turn.state.gaps == {"source:default": "timed out", "slo:s0": "refused"}
    turn = look(turn.state, *["refused"] * 9, "timed out")
    assert turn.state.gaps == {"source:default": "refused; timed out"}
    turn = look(turn.state, *[f"no series match {n}" for n in range(1000)])
    assert len(turn.state.gaps) == MAX_GAPS
    turn = look(turn.state, *[f"no series match m{n}" for n in range(1000)], dark=True)
    assert turn.state.gaps["slo:s7"] == "no series match m7", "said again, however many are open"
    assert blind_why(turn.state, OK) == "nothing arrives at all"


def replace_name(slo: Slo, name: str, **changes: object) -> Slo:
    from msgspec.structs import replace as struct_replace

    return struct_replace(slo, name=name, **changes)


def test_each_group_has_a_ledger_and_the_bound_is_said() -> None:
    slo = replace_name(SHOP, "shop", group_by=("tenant",), max_groups=2)
    said = [counts("shop", [START], [n], [n + 1], START + 60, group={"tenant": f"t{n}"}) for n in range(1, 6)]
    turn = gaps(count(turn_of(state_of(slo), source_world(*said))))
    assert set(turn.memory.ledgers) == {"shop", "shop{tenant=t5}", "shop{tenant=t4}", "shop{tenant=(other)}"}
    assert all_of(turn.memory, "shop") == (15, 20)
    assert all_of(turn.memory, "shop{tenant=(other)}") == (6, 9)
    (gap,) = [event for event in turn.events if isinstance(event, GapOpened)]
    assert gap.subject == "groups:shop" and "5 groups, the bound is 2" in gap.reason
    # A group that has a ledger keeps it, however loud the others get.
    loud = [
        counts("shop", [START + 60], [90], [90], START + 120, group={"tenant": f"t{n}"}) if n < 4
        else counts("shop", [], [], [], START + 120, group={"tenant": f"t{n}"})
        for n in range(1, 6)
    ]  # fmt: skip
    memory = count(turn_of(turn.state, source_world(*loud), turn.memory)).memory
    assert set(memory.ledgers) == set(turn.memory.ledgers)
    assert all_of(memory, "shop") == (15 + 270, 20 + 270)
    assert all_of(memory, "shop{tenant=(other)}") == (6 + 270, 9 + 270)


def test_slices_count_alike_and_one_without_events_counts_nothing() -> None:
    sliced = replace_name(SHOP, "shop", slices=Slices(60.0, 0.9))
    at = [START + 10 * n for n in range(24)]  # four minutes
    good = [10] * 6 + [8] * 6 + [0] * 6 + [1000] * 6
    total = [10] * 6 + [10] * 6 + [0] * 6 + [1000] * 6
    memory = count(turn_of(state_of(sliced), source_world(counts("shop", at, good, total, START + 240)))).memory
    assert all_of(memory, "shop") == (1, 2), "the newest slices may still get late events"
    memory = count(turn_of(state_of(sliced), source_world(counts("shop", [], [], [], START + 400)), memory)).memory
    assert all_of(memory, "shop") == (2, 3)
    by_ratio = replace_name(SHOP, "shop", slices=Slices(60.0, 0.0, "ratio"))
    memory = count(turn_of(state_of(by_ratio), source_world(counts("shop", at, good, total, START + 400)))).memory
    assert all_of(memory, "shop") == pytest.approx((2.8, 3))


def test_a_composite_of_a_composite_and_no_way_round_in_circles() -> None:
    a, b = replace_name(SHOP, "a"), replace_name(SHOP, "b")
    inner = replace_name(SHOP, "inner", indicator=Composite((Part("a"), Part("b")), "all"))
    outer = replace_name(SHOP, "outer", indicator=Composite((Part("inner", 1.0), Part("a", 3.0)), "weighted"))
    ring = [replace_name(SHOP, name, indicator=Composite((Part(other),))) for name, other in (("x", "y"), ("y", "x"))]
    at = [START + 10 * n for n in range(60)]
    said = (
        counts("a", at, [9.0] * 60, [10.0] * 60, START + 600),
        counts("b", at, [4.0] * 60, [5.0] * 60, START + 600),
    )
    turn = gaps(count(turn_of(state_of(outer, inner, a, b, *ring), source_world(*said))))
    good, total = all_of(turn.memory, "inner")
    assert good / total == pytest.approx(0.9 * 0.8) and total == 300
    good, total = all_of(turn.memory, "outer")
    assert good / total == pytest.approx((0.72 + 3 * 0.9) / 4)
    assert "x" not in turn.memory.ledgers and "y" not in turn.memory.ledgers
    assert {e.subject for e in turn.events} >= {"groups:x"}


def test_promises_of_no_source_and_unknown_services_stand_still() -> None:
    memory = count(turn_of(state_of(SHOP, FAST), make_world({}))).memory
    assert "shop" not in memory.ledgers
    assert all_of(memory, "fast") == (0.0, 0.0)
