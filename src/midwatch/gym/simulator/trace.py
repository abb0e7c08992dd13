"""What one simulated run leaves behind for the checkers: the journal, and what really happened outside of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from midwatch.core.memory import Memory
from midwatch.gym.simulator.scenario import Scenario
from midwatch.model.events import Event, Recorded
from midwatch.model.state import State
from midwatch.model.world import World


@dataclass(frozen=True)
class Tried:
    """One call that left midwatch: ``what`` is apply, observe or send; ``seq`` the journal's head when it left."""

    what: str
    at: float
    seq: int
    key: str
    ident: str
    stopped: bool = False  # hands were off at that moment
    unjournaled: bool = False  # the journal was full: a page without an order
    delivered: bool = False


@dataclass(frozen=True)
class Ticked:
    """One turn: when, which entries it appended, and whether any telemetry came in the last 30 s."""

    at: float
    first_seq: int
    last_seq: int
    data: bool


@dataclass(frozen=True)
class Amnesia:
    """A loss of the working set, and the next turns: ``without`` is what was decided, ``with_memory`` what the same turns
    would have decided on the same state had nothing been lost."""

    at: float
    how: str
    with_memory: list[tuple[Event, ...]]
    without: list[tuple[Event, ...]]


@dataclass
class Trace:
    scenario: Scenario
    journal: list[Recorded] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    ticks: list[Ticked] = field(default_factory=list)
    executed: dict[str, int] = field(default_factory=dict)  # idempotency key -> times carried out
    crashes: list[tuple[float, int, str]] = field(default_factory=list)  # at, seq, where
    folds: list[tuple[int, bool]] = field(default_factory=list)  # seq, live state == fold of the journal
    amnesias: list[Amnesia] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)  # when the journal could not be written
    unanswered: int = 0  # effects still under way at the end
    state: State = field(default_factory=State)
    memory: Memory = field(default_factory=Memory)
    world: World | None = None
    truth: World | None = None  # every step that was ever fed
    received: dict[str, int] = field(default_factory=dict)  # page key -> times that the receiver got it
    started_at: float = 0.0
    ended_at: float = 0.0
    crash_points: int = 0  # how many points were passed
    pain: list[tuple[float, float]] = field(
        default_factory=list
    )  # per step: at, true share of failing gateway requests
    cured_at: float | None = None
    broken: str = ""  # the run itself broke: a traceback
