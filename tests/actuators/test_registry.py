"""Walks every declared verb: nothing that midwatch may do is half declared."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.adapters.actuators.common import check
from midwatch.adapters.actuators.registry import MANIFESTS, VERBS, permissions
from midwatch.model.actions import Action, ActionClass, VerbSpec
from midwatch.model.entity import ENTITY_KINDS
from midwatch.model.errors import ActuatorError
from midwatch.shell.files import shipped_playbooks

EVERY = [pytest.param(spec, id=spec.verb) for spec in VERBS.values()]
# Longest effect that a leader's lease must outlast.
LONGEST_EFFECT_SECONDS = 30.0


def test_no_verb_is_declared_twice() -> None:
    assert sum(len(m) for m in MANIFESTS.values()) == len(VERBS)
    assert all(verb == spec.verb for verb, spec in VERBS.items())


@pytest.mark.parametrize("spec", EVERY)
def test_a_verb_is_declared_in_full(spec: VerbSpec) -> None:
    assert spec.description and not spec.description.endswith(".")
    assert spec.action_class in get_args(ActionClass)
    assert spec.permissions and all("." in p for p in spec.permissions)
    assert spec.targets and set(spec.targets) <= ENTITY_KINDS
    assert 1 <= spec.blast_radius <= 10
    assert 0 < spec.timeout_seconds <= LONGEST_EFFECT_SECONDS
    for name, parameter in spec.parameters.items():
        assert parameter.description, name
        if parameter.type in ("int", "float"):
            assert parameter.minimum is not None and parameter.maximum is not None, f"{name} has no bounds"


@pytest.mark.parametrize("spec", EVERY)
def test_what_can_be_undone_says_how_and_what_cannot_says_what_it_costs(spec: VerbSpec) -> None:
    if spec.action_class == "reversible":
        back = VERBS[spec.undo]
        assert back.action_class == "reversible"
        assert set(back.targets) >= set(spec.targets)
        assert back.undo == spec.verb or back.undo in VERBS
    else:
        assert spec.undo == ""
        assert spec.cost_seconds > 0


def test_permissions_are_complete() -> None:
    assert set(permissions()) == {p for spec in VERBS.values() for p in spec.permissions}


def action(verb: str, target: str, **parameters: object) -> Action:
    return Action("A1", "k1", "I1", "book", verb, target, parameters=parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        action("format_disk", "service:payment"),
        action("resize_pool", "database:shop", size=5),
        action("resize_pool", "service:", size=5),
        action("resize_pool", "", size=5),
        action("resize_pool", "service:payment"),
        action("resize_pool", "service:payment", size=0),
        action("resize_pool", "service:payment", size=51),
        action("resize_pool", "service:payment", size=True),
        action("resize_pool", "service:payment", size="5"),
        action("resize_pool", "service:payment", size=5, force=True),
        action("shed_load", "service:payment", ratio=float("nan")),
        action("set_flag", "service:payment", flag="x" * 5000, on=True),
        action("set_flag", "service:payment", flag="fast", on=1),
    ],
    ids=lambda a: f"{a.verb}-{a.target}-{sorted(a.parameters)}",
)
def test_an_action_outside_its_declaration_is_refused(wrong: Action) -> None:
    with pytest.raises(ActuatorError):
        check(VERBS, wrong)


@settings(max_examples=50, deadline=None)
@given(st.integers(-(10**12), 10**12))
def test_bounds_hold_for_every_number(size: int) -> None:
    asked = action("resize_pool", "service:payment", size=size)
    if 1 <= size <= 50:
        assert check(VERBS, asked).verb == "resize_pool"
    else:
        with pytest.raises(ActuatorError):
            check(VERBS, asked)


def test_every_playbook_uses_a_verb_that_exists() -> None:
    """The shipped playbooks: their verbs exist, act on the right kind of target, and get the parameters they need."""
    books = shipped_playbooks()
    assert books
    for book in books:
        spec = VERBS[book.verb]
        assert set(book.target_kinds) <= set(spec.targets), book.name
        assert set(book.parameters) <= set(spec.parameters), book.name
        needed = {name for name, parameter in spec.parameters.items() if parameter.required}
        assert needed <= set(book.parameters), book.name
