"""What nobody may do, whoever says yes: hands are off, or the action is not what its verb declares and the policy grants."""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.decide.guards.context import Context
from midwatch.model.actions import Action, ParameterSpec, Scalar, Verdict
from midwatch.model.entity import kind_of


def hands_off(action: Action, context: Context) -> Verdict | None:
    if not context.state.hands_off:
        return None
    by = context.state.hands_off_by or "somebody"
    return Verdict("refuse", "hands_off", f"hands off, said {by}: midwatch touches nothing until hands-on")


def unknown_verb(action: Action, context: Context) -> Verdict | None:
    if context.spec(action) is not None:
        return None
    return Verdict("refuse", "unknown_verb", f"no actuator declares the verb {action.verb!r}")


def empty_target(action: Action, context: Context) -> Verdict | None:
    if action.target.partition(":")[2].strip():
        return None
    return Verdict("refuse", "empty_target", f"{action.verb} names no target, and an empty target matches nothing")


def target_kind(action: Action, context: Context) -> Verdict | None:
    spec = context.spec(action)
    kind = kind_of(action.target)
    if spec is not None and kind in spec.targets and ">" not in action.target:
        return None
    accepted = " or ".join(spec.targets) if spec and spec.targets else "nothing"
    return Verdict("refuse", "target_kind", f"{action.verb} works on {accepted}, not on {action.target}")


def declared(action: Action, context: Context) -> Verdict | None:
    """The action must be what its verb declares; what claims to be reversible must have an undo."""
    spec = context.spec(action)
    if spec is None or action.undo_of:
        return None
    if action.action_class != spec.action_class or set(action.permissions) != set(spec.permissions):
        why = f"it says {action.action_class}, {action.verb} is declared {spec.action_class}"
        return Verdict("refuse", "declared", why)
    if action.action_class == "reversible" and not action.undo_verb:
        return Verdict("refuse", "declared", f"{action.verb} is called reversible and names no undo")
    return None


def parameter_limits(action: Action, context: Context) -> Verdict | None:
    spec = context.spec(action)
    if spec is None:
        return None
    for name in action.parameters:
        if name not in spec.parameters:
            return Verdict("refuse", "parameters", f"{action.verb} has no parameter {name!r}")
    for name, declared_as in spec.parameters.items():
        if name not in action.parameters:
            if declared_as.required:
                return Verdict("refuse", "parameters", f"{name} is needed and nothing says what it should be")
            continue
        why = _misfit(name, action.parameters[name], declared_as)
        if why:
            return Verdict("refuse", "parameters", why)
    return None


_TYPES: Final[dict[str, tuple[type, ...]]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _misfit(name: str, value: Scalar, spec: ParameterSpec) -> str:
    if not isinstance(value, _TYPES[spec.type]) or (isinstance(value, bool) and spec.type != "bool"):
        return f"{name} must be of type {spec.type}, not {value!r}"
    if isinstance(value, str):
        bad = spec.choices and value not in spec.choices
        return f"{name} must be one of {', '.join(spec.choices)}, not {value!r}" if bad else ""
    if isinstance(value, bool):
        return ""
    if not math.isfinite(value):
        return f"{name} is not a number"
    if spec.minimum is not None and value < spec.minimum:
        return f"{name} = {value:g} is below the least that is allowed, {spec.minimum:g}"
    if spec.maximum is not None and value > spec.maximum:
        return f"{name} = {value:g} is above the most that is allowed, {spec.maximum:g}"
    return ""


def protected(action: Action, context: Context) -> Verdict | None:
    if action.target not in context.limits.protected:
        return None
    return Verdict("refuse", "protected", f"{action.target} is protected: midwatch never touches it")


def permissions(action: Action, context: Context) -> Verdict | None:
    granted = context.limits.permissions
    missing = [p for p in action.permissions if not any(_grants(g, p) for g in granted)]
    if not missing:
        return None
    return Verdict("refuse", "permissions", f"{action.verb} needs {', '.join(missing)}, which midwatch was not granted")


def _grants(granted: str, wanted: str) -> bool:
    """Equal, or ``area.*`` for everything in an area. Nothing matches an empty grant."""
    return bool(granted) and (granted == wanted or (granted.endswith(".*") and wanted.startswith(granted[:-1])))


def blast_radius(action: Action, context: Context) -> Verdict | None:
    most = context.limits.max_blast_radius
    if action.blast_radius <= most:
        return None
    return Verdict("refuse", "blast_radius", f"it can touch {action.blast_radius} entities, {most} are allowed")
