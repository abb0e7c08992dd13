"""The books of a fleet that tells totals only: requests, failures and time per entity, and who calls whom.

Where neither traces nor calls are measured, a callee's excess is passed on to its callers in proportion to their requests.
What an entity shows above what was passed on to it is its own. An excess counts only as far as it stands out from what the
same sum does in windows of normal time of the same length, so that an entity which wanders by itself (few requests, long
ones) carries no blame for wandering.

The harm then flows down from where it is felt: each entity keeps its own part and passes the rest to its callees by their
parts. So only what the symptom depends on can be blamed, shares add up to one, and a cycle of calls ends where it began.
Parallel calls and retries blur this, as they blur every sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np

from midwatch.core.diagnose.case import Case
from midwatch.model import signals
from midwatch.model.entity import edge_key
from midwatch.model.world import Floats

NOISE_Z: Final = 2.0  # an excess counts from twice its usual wandering on
UNREPORTED_Z: Final = 4.0  # what nobody reported as a symptom must stand out twice as far to count as harm
MIN_WINDOWS: Final = 4  # windows of normal time that say how an excess wanders; with fewer it is borrowed
DEPTH: Final = 32  # calls deep; harm further down stays where it is
FELT_AS: Final = {"error_shift": signals.ERRORS, "latency_shift": signals.TIME_MS}
LEAST: Final = 1e-3  # of the harm: less is not followed


def totals_only(case: Case) -> bool:
    """Whether there is a call graph and no call on it was ever measured, so that books must be kept from totals."""
    carried = case.world.series.index.subjects_by_signal
    return bool(case.world.edges) and signals.CALLS not in carried and signals.ROOT_SELF_MS not in carried


def harm_by_entity(case: Case, signal: str) -> dict[str, float]:
    """Excess of ``signal`` (``ERRORS`` or ``TIME_MS``) felt at the entry points, by the entity where it begins; in the
    signal's unit, over the bad window. Entities that carry none are left out."""

    @cache
    def excess(entity: str) -> float:
        return notable(case, entity, signal) if entity in case.world.entities else 0.0

    found: dict[str, float] = {}
    felt = signal in {FELT_AS.get(finding.kind) for finding in case.findings}
    for entry in case.world.entries:
        # A symptom that was reported is believed, and its causes may stand out where it itself hardly does.
        amount = max(1.0, surplus(case, entry, signal)) if felt else notable(case, entry, signal, UNREPORTED_Z)
        if amount > 0:
            _flow(case, excess, entry, amount, LEAST * amount, (entry,), found)
    return found


def _flow(
    case: Case,
    excess: Callable[[str], float],
    entity: str,
    amount: float,
    least: float,
    path: tuple[str, ...],
    found: dict[str, float],
) -> None:
    """Split ``amount`` of harm at ``entity`` into its own part and those of its callees, and follow these."""
    passed = {
        callee: excess(callee) * _part(case, entity, callee)
        for callee in case.world.callees.get(entity, ())
        if callee not in path and excess(callee) > 0
    }
    whole = sum(passed.values())
    own = max(0.0, excess(entity) - whole)
    if whole + own <= 0 or whole <= 0 or len(path) >= DEPTH:
        found[entity] = found.get(entity, 0.0) + amount
        return
    found[entity] = found.get(entity, 0.0) + amount * own / (own + whole)
    for callee, part in passed.items():
        share = amount * part / (own + whole)
        if share >= least:
            _flow(case, excess, callee, share, least, (*path, callee), found)


def _part(case: Case, caller: str, callee: str) -> float:
    """The caller's part of the callee's requests: measured calls where there are any, else by the callers' requests."""
    callers = [one for one in case.world.callers.get(callee, ()) if one != callee]
    for signal, subjects in (
        (signals.CALLS, {one: edge_key(one, callee) for one in callers}),
        (signals.REQUESTS, {one: one for one in callers}),
    ):
        amounts = {one: case.sum(subject, signal, case.bad) for one, subject in subjects.items()}
        whole = sum(amounts.values())
        if whole > 0:
            return amounts.get(caller, 0.0) / whole
    return 1.0 / max(len(callers), 1)


def notable(case: Case, entity: str, signal: str, z: float = NOISE_Z) -> float:
    """Excess of a sum per request over its usual value, less ``z`` times its usual wandering; at least 0."""
    now = case.per(entity, signal, signals.REQUESTS, case.bad)
    count = case.sum(entity, signals.REQUESTS, case.bad)
    usual, spread = usual_per_request(case, entity, signal)
    if math.isnan(now) or math.isnan(usual) or count <= 0:
        return 0.0
    return max(0.0, (now - usual) - z * spread) * count


def surplus(case: Case, entity: str, signal: str) -> float:
    """Excess of a sum over what its usual value per request makes of the bad window's requests; may be negative."""
    usual, _ = usual_per_request(case, entity, signal)
    amount = case.sum(entity, signal, case.bad) - usual * case.sum(entity, signals.REQUESTS, case.bad)
    return 0.0 if math.isnan(amount) else amount


def usual_per_request(case: Case, entity: str, signal: str) -> tuple[float, float]:
    """Mean of ``signal`` per request in normal time, and its standard deviation over windows as long as the bad one."""
    width = case.bad.stop - case.bad.start
    part, whole = case.values(entity, signal, case.normal), case.values(entity, signals.REQUESTS, case.normal)
    if not part.size or not whole.size or np.nansum(whole) <= 0:
        return math.nan, math.nan
    mean = float(np.nansum(part) / np.nansum(whole))
    ratios = _windows(part, whole, width)
    if ratios.size >= MIN_WINDOWS:
        return mean, float(ratios.std(ddof=1))
    steps = _windows(part, whole, 1)
    # Too few windows to see it wander: take that of single steps, as if they were independent.
    return mean, float(steps.std(ddof=1)) / math.sqrt(width) if steps.size >= 2 else mean


def _windows(part: Floats, whole: Floats, width: int) -> Floats:
    """``part / whole`` over consecutive windows of ``width`` steps, newest last; those without requests are left out."""
    count = part.size // width
    if count == 0:
        return np.empty(0)
    part, whole = part[part.size - count * width :], whole[whole.size - count * width :]
    sums = np.nansum(part.reshape(count, width), axis=1)
    counts = np.nansum(whole.reshape(count, width), axis=1)
    return np.asarray(sums[counts > 0] / counts[counts > 0])
