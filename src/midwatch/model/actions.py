"""What midwatch may do (VerbSpec, Playbook), wants to do (Action), may do now (Verdict) and did (Outcome)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Scalar = str | int | float | bool
ActionClass = Literal["reversible", "transient", "irreversible"]
AutonomyLevel = Literal["shadow", "suggest", "ask", "canary", "auto"]
AUTONOMY_LADDER: tuple[str, ...] = ("shadow", "suggest", "ask", "canary", "auto")


class ParameterSpec(Struct, frozen=True):
    """One parameter of a verb: its type and its bounds (inclusive, numbers only) or choices."""

    type: Literal["str", "int", "float", "bool"]
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    description: str = ""


class VerbSpec(Struct, frozen=True):
    """What an actuator declares of a verb, before anybody may use it.

    ``undo`` names the verb that takes it back ("" when there is none); ``targets`` the entity kinds that it accepts;
    ``blast_radius`` how many entities one use can touch; ``cost_seconds`` how long the target is disturbed at most;
    ``timeout_seconds`` bounds the effect and is shorter than the leader's lease.
    """

    verb: str
    description: str
    action_class: ActionClass
    permissions: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    undo: str = ""
    blast_radius: int = 1
    cost_seconds: float = 0.0
    timeout_seconds: float = 8.0
    promoting: bool = False  # moves forward (a deploy, an upgrade): blocked on a spent budget, unlike a mitigation


class Check(Struct, frozen=True):
    """A claim about the World: ``signal`` of ``subject`` compared with ``threshold`` in ``unit``.

    ``signal`` is a series signal or a derived one: ``error_ratio`` and ``slow_ratio`` (of the last ``window_seconds``).
    """

    subject: str
    signal: str
    comparison: Literal["<", "<=", ">", ">="]
    threshold: float
    unit: str = ""
    window_seconds: float = 15.0


class Expectation(Struct, frozen=True):
    """All ``checks`` hold, for ``hold_seconds`` on end, at the latest ``within_seconds`` after the effect."""

    checks: tuple[Check, ...]
    within_seconds: float = 60.0
    hold_seconds: float = 15.0


class Action(Struct, frozen=True):
    """One intended change of the world. ``key`` is its idempotency key: the same key is never carried out twice."""

    id: str
    key: str
    incident: str
    playbook: str
    verb: str
    target: str
    parameters: dict[str, Scalar] = field(default_factory=dict)
    action_class: ActionClass = "reversible"
    permissions: tuple[str, ...] = ()
    blast_radius: int = 1
    undo_verb: str = ""
    undo_of: str = ""  # id of the action that this one takes back
    expectation: Expectation | None = None
    why: str = ""
    hypothesis_kind: str = ""
    hypothesis_entity: str = ""
    probability: float = 0.0
    timeout_seconds: float = 8.0


class Verdict(Struct, frozen=True):
    """What the guards said: ``decision``, the ``rule`` that decided, and ``why`` in a sentence. ``rehearse`` means that it
    is written down as what would be done, and nothing is touched."""

    decision: Literal["run", "rehearse", "ask", "refuse"]
    rule: str
    why: str


class Outcome(Struct, frozen=True):
    """What the actuator reported. ``in_doubt`` means nobody knows whether it took effect; ``undo_parameters`` is what
    the undo verb needs (the value before). ``result`` is short, without secrets. ``untouched``: it failed because nothing
    was ever done (it was stopped right before, or a crash came first), so it was not tried."""

    status: Literal["done", "failed", "in_doubt"]
    result: str = ""
    undo_parameters: dict[str, Scalar] = field(default_factory=dict)
    untouched: bool = False


class ParameterRule(Struct, frozen=True):
    """How a playbook fills one parameter: a fixed ``value``, or ``signal`` of the target times ``times`` plus ``plus``,
    rounded up and bounded, or ``scope`` (a key of the hypothesis' scope)."""

    value: Scalar | None = None
    signal: str = ""
    times: float = 1.0
    plus: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    scope: str = ""


class Playbook(Struct, frozen=True):
    """A fix that was written down: when diagnosis says ``kinds`` with at least ``min_probability``, do ``verb`` to
    ``target`` (``entity``, or a scope key such as ``instance`` or ``region``)."""

    name: str
    kinds: tuple[str, ...]
    verb: str
    target: str = "entity"
    target_kinds: tuple[str, ...] = ()
    parameters: dict[str, ParameterRule] = field(default_factory=dict)
    min_probability: float = 0.5
    priority: int = 100
    autonomy: AutonomyLevel = "ask"
    requires_scope: tuple[str, ...] = ()
    expect_within_seconds: float = 60.0
    expect_hold_seconds: float = 15.0
    expect_checks: tuple[Check, ...] = ()
    description: str = ""
    source: str = ""
    accepts_downtime: bool = False  # it may stop the only instance of something without asking
