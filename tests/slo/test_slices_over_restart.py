"""Time slices that were under way when a watch stopped: judged once, on all their events, by the one that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.slo.turns import GATEWAY, counts, requests_world, source_world, state_of, turn_of
from tests.worlds import START, STEP

from midwatch.core.memory import Memory
from midwatch.core.slo.budget import budget
from midwatch.core.slo.counting import count
from midwatch.core.slo.slices import SETTLE_SECONDS
from midwatch.model.indicators import EventRatio, Slices
from midwatch.model.slo import Slo
from midwatch.shell.keeper import rows_of
from midwatch.shell.store.slo_counts import FINE, Rows
from midwatch.shell.warm_ledgers import ledger_of

SOURCE = Slo("shop", GATEWAY, "source", 0.99, indicator=EventRatio("t", "g"), slices=Slices(60.0, 0.9))
OWN = Slo("shop", GATEWAY, "ratio", 0.99, slices=Slices(60.0, 0.9))
STEPS = 240  # of five seconds: twenty minutes


def read_back(memory: Memory, slo: Slo) -> Memory:
    """What a restart makes of what the store has."""
    found, _ = rows_of("shop", memory.ledgers["shop"], None, partly=True)
    fine = [one for one in found if one[1] == FINE]
    if not fine:
        return Memory()
    at, good, total = (np.array([one[n] for one in fine], float) for n in (2, 3, 4))
    order = np.argsort(at)
    step = np.full(at.size, float(FINE))
    rows = Rows(at[order], good[order], total[order], step, max(one[5] for one in fine) / 1e3)
    return Memory(ledgers={"shop": ledger_of(slo, rows)})


def at_once(slo: Slo, bad: set[int]) -> tuple[float, float]:
    """Good and all slices, by a watch that never stops."""
    return judged(turns(slo, bad, [STEPS]))


def judged(memory: Memory) -> tuple[float, float]:
    ring = memory.ledgers["shop"].counts[1]
    return float(ring[0].sum()), float(ring[1].sum())


def turns(slo: Slo, bad: set[int], upto: list[int], *, restarts: bool = False) -> Memory:
    """Four events a step, one of which is bad in the steps ``bad``; seen after ``upto`` steps each."""
    total = np.full(STEPS, 4.0)
    errors = np.array([1.0 if n in bad else 0.0 for n in range(STEPS)])
    memory = Memory(started_at=START - 1000)
    for n in upto:
        if slo.sli == "source":
            at = START + STEP * np.arange(n)
            end = START + n * STEP
            world = source_world(counts("shop", at, (total - errors)[:n], total[:n], end), now=end)
        else:
            world = requests_world(total[:n], errors[:n])
        memory = count(turn_of(state_of(slo), world, memory)).memory
        if restarts and "shop" in memory.ledgers:
            memory = read_back(memory, slo)
    return memory


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([SOURCE, OWN]),
    st.sets(st.integers(0, STEPS - 1), max_size=60),
    st.lists(st.integers(13, STEPS - 1), min_size=1, max_size=4, unique=True),
)
def test_a_slice_is_judged_once_and_on_all_its_events(slo: Slo, bad: set[int], stops: list[int]) -> None:
    expected = at_once(slo, bad)
    assert expected[1] == (STEPS * STEP - SETTLE_SECONDS) // 60
    assert judged(turns(slo, bad, [*sorted(stops), STEPS], restarts=True)) == expected


def test_a_slice_of_which_the_begin_was_not_seen_is_left_out() -> None:
    """The World begins half a minute into a slice: one of its own is no whole one."""
    memory = Memory(started_at=START - 1000)
    world = requests_world(np.full(60, 4.0), np.zeros(60), start_at=START + 30)
    memory = count(turn_of(state_of(OWN), world, memory)).memory
    assert judged(memory) == (3, 3), "those from START + 60 to START + 240"


@pytest.mark.parametrize("width", [60.0, 3600.0])
def test_a_promise_by_the_hour_is_not_without_data_while_the_hour_lasts(width: float) -> None:
    slo = structs.replace(SOURCE, slices=Slices(width, 0.9))
    ledger = turns(slo, set(), [STEPS]).ledgers["shop"]
    lag = width + SETTLE_SECONDS
    assert budget(slo, replace(ledger, seen_until=START), (), START + lag).state != "no_data"
    assert budget(slo, replace(ledger, seen_until=START), (), START + lag + 700).state == "no_data"
