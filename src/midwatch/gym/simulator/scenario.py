"""One simulated incident, drawn from its seed: the fleet, what breaks, what people do, and how the world misbehaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from midwatch.gym.simulator.faults import CONTROLS, FAULTS, Fault, draw_fault
from midwatch.gym.simulator.fleet import Fleet, draw_fleet
from midwatch.gym.simulator.telemetry import Blackout

EPOCH: Final = 1_760_000_000.0
STEP_SECONDS: Final = 5.0
DEFAULT_TICKS: Final = 72


@dataclass(frozen=True)
class Rates:
    """How often things go wrong, as probabilities per effect."""

    apply_fails: float = 0.0
    apply_doubt: float = 0.0
    apply_slow: float = 0.0
    observe_fails: float = 0.0
    page_fails: float = 0.0
    page_lost: float = 0.0  # no answer, though it may have been delivered


@dataclass(frozen=True)
class Scenario:
    """``warm_steps`` of telemetry exist before the first tick. Ticks are counted from 0. ``crash_at`` are ordinal
    numbers of crash points passed (from 1); ``jumps`` maps a tick to the steps that the clock leaps over before it."""

    seed: int
    ticks: int
    fleet: Fleet
    faults: tuple[Fault, ...]
    mode: str
    warm_steps: int
    window_steps: int
    written_slos: bool
    rates: Rates
    stubborn: bool = False  # nothing that midwatch may do cures it: expectations are missed, undo follows
    blackouts: tuple[Blackout, ...] = ()
    full: tuple[tuple[float, float], ...] = ()
    jumps: dict[int, int] = field(default_factory=dict)
    crash_at: tuple[int, ...] = ()
    forget_at: frozenset[int] = frozenset()
    hands_off: tuple[tuple[float, float, str], ...] = ()
    people: float = 0.0  # how eagerly people ack, approve and meddle, per tick
    nonsense: float = 0.0  # malformed and duplicated inputs, per tick

    @property
    def started_at(self) -> float:
        return EPOCH + self.warm_steps * STEP_SECONDS

    @property
    def kind(self) -> str:
        return self.faults[0].kind if self.faults else "healthy"

    @property
    def healthy(self) -> bool:
        return all(fault.kind in CONTROLS for fault in self.faults)


def draw(seed: int, ticks: int = DEFAULT_TICKS) -> Scenario:
    """The scenario of ``seed``. Kinds take turns, so that any run of seeds covers all of them."""
    rng = np.random.default_rng((seed, 0x5EED))
    fleet = draw_fleet(rng)
    menu = (*FAULTS, *CONTROLS)
    kind = menu[seed % len(menu)]
    warm = int(rng.choice([0, 12, 48, 60]))
    started_at = EPOCH + warm * STEP_SECONDS
    onset = started_at + STEP_SECONDS * int(rng.integers(10, 17))
    faults = [draw_fault(kind, fleet, rng, onset)]
    if rng.random() < 0.1 and kind not in CONTROLS:
        second = str(rng.choice(FAULTS))
        faults.append(draw_fault(second, fleet, rng, onset + float(rng.uniform(0, 120))))
    trouble = rng.random() < 0.6
    length = ticks * STEP_SECONDS
    rates = Rates(
        apply_fails=0.15 * rng.random(),
        apply_doubt=0.3 * rng.random(),
        apply_slow=0.3 * rng.random(),
        observe_fails=0.3 * rng.random(),
        page_fails=0.6 * rng.random(),
        page_lost=0.2 * rng.random(),
    )
    mode = str(rng.choice(["auto", "auto", "auto", "auto", "ask", "canary", "suggest", "shadow"]))
    base = Scenario(
        seed=seed,
        ticks=ticks,
        fleet=fleet,
        faults=tuple(faults),
        mode=mode,
        warm_steps=warm,
        window_steps=int(rng.choice([60, 96, 120])),
        written_slos=bool(rng.random() < 0.7),
        rates=rates if trouble else Rates(),
        stubborn=bool(rng.random() < 0.25),
    )
    return _troubled(base, rng, started_at, length) if trouble else base


def _troubled(base: Scenario, rng: np.random.Generator, started_at: float, length: float) -> Scenario:
    def moment(low: float = 0.2, high: float = 0.95) -> float:
        return float(started_at + length * rng.uniform(low, high))

    blackouts, full, hands_off = [], [], []
    if rng.random() < 0.35:
        start = moment()
        some = frozenset(str(k) for k in rng.choice(base.fleet.keys, 4, replace=False))
        whole = rng.random() < 0.5
        blackouts.append(Blackout(start, start + float(rng.uniform(10, 90)), frozenset() if whole else some))
    if rng.random() < 0.3:
        start = moment()
        full.append((start, start + float(rng.uniform(5, 60))))
    if rng.random() < 0.35:
        start = moment()
        via = "file" if rng.random() < 0.4 else "cli"
        hands_off.append((start, start + float(rng.uniform(10, 120)), via))
    jumps = {int(rng.integers(5, base.ticks)): int(rng.integers(2, 40))} if rng.random() < 0.15 else {}
    crashes = sorted(int(n) for n in rng.integers(1, 120, int(rng.integers(1, 4)))) if rng.random() < 0.6 else []
    forget = frozenset(int(t) for t in rng.integers(15, max(16, base.ticks - 8), 2))
    return replace(
        base,
        blackouts=tuple(blackouts),
        full=tuple(full),
        hands_off=tuple(hands_off),
        jumps=jumps,
        crash_at=tuple(crashes),
        forget_at=forget,
        people=float(rng.uniform(0, 0.3)),
        nonsense=float(rng.uniform(0, 0.15)),
    )
