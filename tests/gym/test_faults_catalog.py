"""The catalogue: every fault can be drawn, from a seed, over everything that is eligible, with fixes that exist."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from midwatch.adapters.actuators.common import check
from midwatch.adapters.actuators.registry import VERBS
from midwatch.gym.faults.base import Fault
from midwatch.gym.faults.catalog import BY_NAME, CONTROLS, FAULTS, draw_case, touched
from midwatch.gym.faults.shop import shop
from midwatch.model import faults
from midwatch.model.actions import Action
from midwatch.model.entity import ENTITY_KINDS, is_edge, kind_of, split_edge

SHOP = shop()
EVERY = [pytest.param(fault, id=fault.name) for fault in (*FAULTS, *CONTROLS)]


def test_there_are_faults_of_at_least_sixteen_kinds_and_three_controls() -> None:
    assert len({f.kind for f in FAULTS}) >= 16
    assert len(CONTROLS) >= 3
    assert len(BY_NAME) == len(FAULTS) + len(CONTROLS)
    assert not any(f.harmful for f in CONTROLS)


def test_a_restart_cures_at_most_half() -> None:
    assert sum(f.restart_cures for f in FAULTS) <= len(FAULTS) / 2


@pytest.mark.parametrize("fault", EVERY)
def test_a_drawn_case_is_complete(fault: Fault) -> None:
    entities = set()
    for seed in range(60):
        case = draw_case(seed, 0, fault, SHOP)
        assert case == draw_case(seed, 0, fault, SHOP)
        truth = case.truth
        entities.add(truth.entity)
        for end in split_edge(truth.entity) if is_edge(truth.entity) else (truth.entity,):
            assert kind_of(end) in ENTITY_KINDS
        if truth.harmful:
            assert truth.kind in faults.FAULT_KINDS and truth.kind in truth.kinds
            assert truth.fixes
        for fix in truth.fixes:
            assert fix.target.partition(":")[0] in VERBS[fix.verb].targets
            needed = {name: 1 for name, p in VERBS[fix.verb].parameters.items() if p.required}
            assert set(fix.parameters) <= set(VERBS[fix.verb].parameters), needed
        restarts = [fix for fix in truth.fixes if fix.verb == "restart"]
        assert bool(restarts) == fault.restart_cures
        assert case.normal_seconds >= 60
        before = [r for r in case.routines if r.at_seconds < 0]
        after = [r for r in case.routines if r.at_seconds >= 0]
        assert before and after
        assert not {r.service for r in after} & touched(truth, SHOP)
    eligible = set(fault.eligible(SHOP))
    assert entities <= eligible
    assert len(entities) >= min(len(eligible), 3), "the draw does not reach what is eligible"


@pytest.mark.parametrize("fault", EVERY)
def test_an_entity_can_be_asked_for(fault: Fault) -> None:
    wanted = list(fault.eligible(SHOP))[-1]
    assert draw_case(1, 0, fault, SHOP, entity=wanted).truth.entity == wanted
    with pytest.raises(LookupError):
        draw_case(1, 0, fault, SHOP, entity="service:nobody")


class Recorder:
    """A fleet that writes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.dark = self

    async def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((op, arguments))
        return {}

    async def op(
        self, verb: str, target: str, parameters: dict[str, Any] | None = None, *, key: str = "", by: str = "operator"
    ) -> dict[str, Any]:
        # What people do goes through the same declarations as what midwatch does.
        check(VERBS, Action("A", "k", "I", "b", verb, f"service:{target}", parameters=parameters or {}))
        self.asked.append((verb, parameters or {}))
        return {"status": "done"}

    async def state(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("fault", EVERY)
def test_what_is_asked_of_the_fleet_is_plain_data(fault: Fault) -> None:
    for seed in range(5):
        fleet = Recorder()
        case = draw_case(seed, 0, fault, SHOP)
        asyncio.run(fault.prepare(fleet, case.truth))
        asyncio.run(fault.inject(fleet, case.truth))
        assert fleet.asked
        json.dumps(fleet.asked)
        asyncio.run(fault.clear(fleet))
        assert fleet.asked[-1][0] == "clear"
