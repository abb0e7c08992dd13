"""What a guard may look at, and its shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from midwatch.core.memory import Memory
from midwatch.model.actions import Action, Playbook, VerbSpec, Verdict
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.policy import GuardLimits
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import World


@dataclass(frozen=True)
class Context:
    """What a guard may look at. ``approved_by`` are the people who said yes, ``credentials`` what they showed for it ("" is
    the shared token); ``hypothesis`` and ``playbook`` are None for an undo."""

    state: State
    memory: Memory
    world: World
    now: float
    incident: Incident | None
    hypothesis: Hypothesis | None = None
    playbook: Playbook | None = None
    approved_by: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    @property
    def limits(self) -> GuardLimits:
        return self.state.policy.limits

    def spec(self, action: Action) -> VerbSpec | None:
        return self.state.policy.verbs.get(action.verb)

    def others(self, action: Action) -> tuple[ActionRecord, ...]:
        """Every other action, without the one that ``action`` takes back."""
        return tuple(r for r in self.state.actions.values() if r.action.id not in (action.id, action.undo_of))


Guard = Callable[[Action, Context], Verdict | None]
