"""What every actuator shares: the check of an action against its declaration, and the memory of what was done.

An actuator never trusts its caller: an action whose verb, target kind or parameters lie outside what the manifest
declares is refused here, before a byte leaves the process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from midwatch.model.actions import Action, Outcome, ParameterSpec, Scalar, VerbSpec
from midwatch.model.entity import kind_of, name_of
from midwatch.model.errors import ActuatorError

MAX_REMEMBERED: Final = 512

_TYPES: Final[dict[str, tuple[type, ...]]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def check(verbs: Mapping[str, VerbSpec], action: Action) -> VerbSpec:
    """The declaration of ``action``'s verb; raises ActuatorError when the action lies outside of it."""
    spec = verbs.get(action.verb)
    if spec is None:
        raise ActuatorError(f"no such verb here: {action.verb}")
    if kind_of(action.target) not in spec.targets or not name_of(action.target):
        raise ActuatorError(f"{action.verb} does not act on {action.target or 'nothing'}")
    for name in action.parameters:
        if name not in spec.parameters:
            raise ActuatorError(f"{action.verb} has no parameter {name}")
    for name, parameter in spec.parameters.items():
        if name in action.parameters:
            _check_value(action.verb, name, parameter, action.parameters[name])
        elif parameter.required:
            raise ActuatorError(f"{action.verb} needs {name}")
    return spec


def _check_value(verb: str, name: str, spec: ParameterSpec, value: Scalar) -> None:
    wrong_bool = isinstance(value, bool) and spec.type != "bool"
    if wrong_bool or not isinstance(value, _TYPES[spec.type]):
        raise ActuatorError(f"{verb}: {name} must be {spec.type}, not {type(value).__name__}")
    if spec.choices and value not in spec.choices:
        raise ActuatorError(f"{verb}: {name} must be one of {', '.join(spec.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A NaN fails both comparisons, so it is asked whether the value lies within, not whether it lies outside.
        low = spec.minimum if spec.minimum is not None else float("-inf")
        high = spec.maximum if spec.maximum is not None else float("inf")
        if not low <= value <= high:
            raise ActuatorError(f"{verb}: {name} = {value} is outside {low:g}..{high:g}")
    if isinstance(value, str) and (len(value) > 4096 or "\0" in value):
        raise ActuatorError(f"{verb}: {name} is too long or holds a NUL")


class Done:
    """Outcomes by idempotency key, newest ``MAX_REMEMBERED``: the same key is answered, never repeated."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def get(self, key: str) -> Outcome | None:
        return self._outcomes.get(key)

    def put(self, key: str, outcome: Outcome) -> Outcome:
        self._outcomes[key] = outcome
        while len(self._outcomes) > MAX_REMEMBERED:
            self._outcomes.popitem(last=False)
        return outcome


def by_verb(*specs: VerbSpec) -> dict[str, VerbSpec]:
    return {spec.verb: spec for spec in specs}
