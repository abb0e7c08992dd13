"""The course of requests: where do they no longer go on as they used to?

A request that throws, or is answered with nothing, need not be marked as failed anywhere. But it leaves its course: after
one line of the log the next one does not come, a call is not made, a warning appears. So the steps that follow each other
within a service's part of a request (line after line, call after call) are counted in normal and in bad time. A step that
nearly always followed and now does not, or a new warning, is a *departure*; that a share wanders with what is asked for is
not. A request that departs in a caller because a callee departed has its origin in the callee: the deepest departure counts.

The idea of comparing such pairs of events is Nezha's (Yu et al., FSE 2023); here they are tested against wandering shares
and settled along the calls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.diagnose.case import Case
from midwatch.model.visit import Visit
from midwatch.model.world import Floats, Ints

WANDERS: Final = 1.0  # standard deviation, in logits, of the share at a fork from one time to another
NO_FORK: Final = 0.8  # of all steps; .80 to .87 in a fault-free minute of TrainTicket
LOST_LINE: Final = 0.002  # of the lines, on their way here
MIN_VISITS: Final = 3  # on both sides, to say anything
MIN_NATS: Final = 1.5
GRID: Final = (np.arange(21) + 0.5) / 21
NORMAL_GRID: Final = np.array([NormalDist().inv_cdf(float(q)) for q in GRID])
BEGIN, END = "the beginning", "the end"

Place = tuple[str, str, str]  # service, operation, step
Shape = tuple[str, str, tuple[str, ...], tuple[str, ...]]  # service, operation, lines, calls
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Departure:
    """In ``service``, within ``operation``: after ``step``, ``then`` came in ``before`` of ``before_of`` requests of normal
    time and in ``now`` of ``now_of`` of bad time. ``nats``: how much more likely that is when something broke."""

    service: str
    operation: str
    step: str
    then: str
    lost: bool
    before: int
    before_of: int
    now: int
    now_of: int
    nats: float


@dataclass(frozen=True)
class Courses:
    """``departures``, the clearest first; ``origin[service]`` requests of bad time, more than usual, that left their course
    there and nowhere deeper."""

    departures: tuple[Departure, ...] = ()
    origin: Mapping[str, float] = field(default_factory=dict)


def courses(case: Case) -> Courses:
    """Departures of the case's visits and the requests that they are the origin of; empty where no visits are kept."""
    everything = case.world.visits
    if not everything:
        return Courses()
    times = case.world.series.times
    step = case.world.series.step_seconds
    at = np.array([visit.at for visit in everything])
    sides = [(at >= times[w.start]) & (at < times[w.stop - 1] + step) for w in (case.normal, case.bad)]
    shapes, number = _shaped(everything)
    warnings = frozenset(text for visit in everything for text in visit.warned)
    counts = [np.bincount(number[side], minlength=len(shapes)) for side in sides]
    found = _departures(shapes, counts[0], counts[1], warnings)
    odd = _departing(shapes, found)[number]
    origins = [_origins(everything, np.flatnonzero(side & odd)) for side in sides]
    scale = counts[1].sum() / max(counts[0].sum(), 1)
    excess = {service: amount - scale * origins[0][service] for service, amount in origins[1].items()}
    return Courses(found, {service: float(amount) for service, amount in excess.items() if amount > 0})


def _shaped(visits: Sequence[Visit]) -> tuple[list[Shape], Ints]:
    """Every way that a visit went, once, and which of them each visit is: there are few ways and many visits."""
    known: dict[Shape, int] = {}
    number = [known.setdefault((v.service, v.operation, v.lines, v.calls), len(known)) for v in visits]
    return list(known), np.array(number, dtype=np.intp)


def _departures(shapes: Sequence[Shape], normal: Ints, bad: Ints, warnings: frozenset[str]) -> tuple[Departure, ...]:
    """Steps that no longer follow, and warnings that are new, by at least ``MIN_NATS``; ``normal`` and ``bad`` are how
    many visits had each shape."""
    (before_of, before), (now_of, now) = _counted(shapes, normal), _counted(shapes, bad)
    keys = [
        key for key in {**before, **now}
        if before_of[key[0]] >= MIN_VISITS and now_of[key[0]] >= MIN_VISITS and key[1] != END
        and (key[1] not in warnings or now[key] > 0)
    ]  # fmt: skip
    if not keys:
        return ()
    k0, n0 = np.array([before[k] for k in keys], dtype=float), np.array([before_of[k[0]] for k in keys], dtype=float)
    k1, n1 = np.array([now[k] for k in keys], dtype=float), np.array([now_of[k[0]] for k in keys], dtype=float)
    warns = np.array([key[1] in warnings for key in keys])
    nats = log_bayes(k0, n0, k1, n1, warns)
    found = [
        Departure(
            *place, then, not bool(warns[i]), int(k0[i]), int(n0[i]), int(k1[i]), int(n1[i]), float(nats[i])
        )
        for i, (place, then) in enumerate(keys) if nats[i] >= MIN_NATS
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda d: (-d.nats, d.service, d.step, d.then)))


def log_bayes(k0: Floats, n0: Floats, k1: Floats, n1: Floats, gained: Bools) -> Floats:
    """Log-likelihood ratio, in nats, of ``k1`` of ``n1`` after ``k0`` of ``n0``, shape (m,) each: that any part of the
    requests broke (``gained``: began to) against a share that stayed.

    A share stays in one of two ways. Most code has no fork: what always followed (or, ``gained``, never came) always
    will. Where there is a fork the share wanders with what is asked for, normal in logits around what it was."""
    p0 = (k0 + 0.5) / (n0 + 1.0)
    middle = np.log(p0 / (1 - p0))
    spread = np.sqrt(1 / (k0 + 0.5) + 1 / (n0 - k0 + 0.5) + WANDERS**2)
    forked = _mean_likelihood(1 / (1 + np.exp(-(middle[:, None] + spread[:, None] * NORMAL_GRID))), k1, n1)
    kept = np.where(gained, LOST_LINE, 1 - LOST_LINE)[:, None]
    straight = _mean_likelihood(kept, k1, n1)
    # Which of the two it is, by normal time: no fork has the share ``kept``, a fork any share.
    no_fork = math.log(NO_FORK) + _mean_likelihood(kept, k0, n0)
    a_fork = math.log(1 - NO_FORK) + _mean_likelihood(GRID[None, :], k0, n0)
    either = np.logaddexp(no_fork, a_fork)
    stayed = np.logaddexp(no_fork - either + straight, a_fork - either + forked)
    part = GRID[None, :]
    broke = np.where(gained[:, None], p0[:, None] + (1 - p0[:, None]) * part, p0[:, None] * (1 - part))
    return np.asarray(_mean_likelihood(broke, k1, n1) - stayed)


def _mean_likelihood(p: Floats, k: Floats, n: Floats) -> Floats:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    each = k[:, None] * np.log(p) + (n - k)[:, None] * np.log1p(-p)
    top = each.max(axis=1)
    return np.asarray(top + np.log(np.exp(each - top[:, None]).mean(axis=1)))


def _pairs(shape: Shape) -> set[tuple[str, str]]:
    """What followed what, each pair once."""
    _, _, lines, calls = shape
    found: set[tuple[str, str]] = set()
    for chain in (lines, calls):
        found.update(zip((BEGIN, *chain), (*chain, END), strict=True))
    return found


def _counted(shapes: Sequence[Shape], times: Ints) -> tuple[Counter[Place], Counter[tuple[Place, str]]]:
    """Visits that came to a place, and those that went on from it to the next step."""
    came: Counter[Place] = Counter()
    went: Counter[tuple[Place, str]] = Counter()
    for shape, count in zip(shapes, times.tolist(), strict=True):
        if not count:
            continue
        pairs = _pairs(shape)
        for step in {step for step, _ in pairs}:
            came[shape[0], shape[1], step] += count
        for step, then in pairs:
            went[(shape[0], shape[1], step), then] += count
    return came, went


def _departing(shapes: Sequence[Shape], found: Iterable[Departure]) -> Bools:
    """Which shapes depart."""
    known: dict[tuple[str, str], list[Departure]] = {}
    for departure in found:
        known.setdefault((departure.service, departure.operation), []).append(departure)
    return np.array([_departs(shape, known.get((shape[0], shape[1]), ())) for shape in shapes], dtype=bool)


def _departs(shape: Shape, known: Iterable[Departure]) -> bool:
    if not known:
        return False
    pairs = _pairs(shape)
    steps = {step for step, _ in pairs}
    return any(d.step in steps and ((d.step, d.then) in pairs) != d.lost for d in known)


def _origins(everything: Sequence[Visit], odd: Ints) -> Counter[str]:
    """Requests that depart, by the service that is the deepest to do so; a request counts once per service. ``odd`` are the
    places of the visits that depart."""
    departing = [everything[place] for place in odd.tolist()]
    explained = {id(above) for visit in departing for above in _callers(everything, visit)}
    left = {(v.service, v.trace_id) for v in departing if id(v) not in explained}
    return Counter(service for service, _ in left)


def _callers(everything: Sequence[Visit], visit: Visit) -> Iterator[Visit]:
    """Those above, nearest first; a circle ends where it began."""
    seen: set[int] = set()
    while visit.caller >= 0 and visit.caller not in seen:
        seen.add(visit.caller)
        visit = everything[visit.caller]
        yield visit
