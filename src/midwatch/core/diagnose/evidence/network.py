"""The same call seen from both ends. A slow client of a healthy server means trouble on the way.

The gap (client time minus server time, per answered call) is normally a millisecond or two. It also grows when one end
is starved of CPU, so the clue needs the callee to be well for its other callers, and the caller to be well with its
other callees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.calls import MIN_CALLS, answers, lost_by, way_ms, way_share
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.core.diagnose.evidence.processes import kept_from_cpu
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of, name_of, split_edge
from midwatch.model.world import Floats

MIN_GAP_MS: Final = 20.0
MIN_STEPS: Final = 3


def network(case: Case, blame: Blame) -> Iterator[Clue]:
    lossy = {edge: harm for edge in case.world.edges if (harm := _harm(case, edge)) > 0}
    own = {caller: mine for caller in case.services if len(mine := lost_by(case, caller)) >= 2}
    for caller, mine in own.items():
        yield _of_the_caller(case, caller, mine)
    for edge in lossy:
        caller, callee = split_edge(edge)
        if kind_of(caller) != "service" or kind_of(callee) != "service" or callee in own.get(caller, ()):
            continue
        beside = [
            e for e in lossy if e != edge and split_edge(e)[1] == callee and kind_of(split_edge(e)[0]) == "service"
        ]
        siblings = [
            edge_key(other, callee)
            for other in case.world.callers.get(callee, ())
            if other != caller and kind_of(other) == "service"
            and case.sum(edge_key(other, callee), signals.CALLS, case.bad) >= MIN_CALLS
        ]  # fmt: skip
        from_caller = [e for e in lossy if e != edge and split_edge(e)[0] == caller]
        if not answers(case, callee) or kept_from_cpu(case, callee) or kept_from_cpu(case, caller):
            continue  # a starved end makes its calls wait as a bad way does
        weight = 3.5 + (1.0 if siblings and not beside else 0.0) - (2.0 if from_caller else 0.0) - 1.5 * bool(beside)
        gap, before = way_ms(case, edge, case.bad), way_ms(case, edge, case.normal)
        lost = case.excess(edge, signals.UNANSWERED_ERRORS)
        text = f"calls from {name_of(caller)} to {name_of(callee)}"
        slow = gap > before + MIN_GAP_MS
        if slow:
            text += f" spend {gap:.0f} ms on the way, {before:.0f} ms before"
        if lost >= 3:
            text += f"{' and' if slow else ''} break without an answer ({lost:.0f} times)"
        text += f", while {name_of(callee)} itself answers as usual"
        booked = (blame.of_failures(callee) if lost >= 3 else 0.0) + (blame.of_waiting(callee) if slow else 0.0)
        share = min(1.0, booked + way_share(case, blame, edge))
        yield clue(
            callee, faults.NETWORK_FAULT, weight, "network", text, value=gap, baseline=before, unit="ms",
            share=share, scope={"caller": name_of(caller), **_place(case, caller, callee)}, seen_at=edge,
        )  # fmt: skip


def _of_the_caller(case: Case, caller: str, mine: Mapping[str, float]) -> Clue:
    """One end of many broken ways: its network, or what it does with its calls."""
    names = ", ".join(sorted(name_of(callee) for callee in mine))
    text = f"calls from {name_of(caller)} to {names} break without an answer ({sum(mine.values()):.0f} times), "
    text += "while each of them answers everybody else"
    return clue(
        caller, faults.NETWORK_FAULT, 1.5, "network", text, value=sum(mine.values()), baseline=0.0, unit="count",
        scope={"caller": name_of(caller), **_place(case, caller, max(mine, key=lambda k: (mine[k], k)))},
    )  # fmt: skip


def _harm(case: Case, edge: str) -> float:
    """ms lost on the way plus a second per broken call, over the bad window; 0 where the way is well."""
    gap, before = way_ms(case, edge, case.bad), way_ms(case, edge, case.normal)
    calls = case.sum(edge, signals.CALLS, case.bad)
    lost = case.excess(edge, signals.UNANSWERED_ERRORS)
    slow = 0.0
    if gap >= before + MIN_GAP_MS and gap >= 3 * before and _stands_out(case, edge):
        slow = gap - before
    return slow * calls + (1000.0 * lost if lost >= 3 and lost > 0.02 * calls else 0.0)


def _stands_out(case: Case, edge: str) -> bool:
    """Whether the way takes longer in most steps than it did in nine of ten before: a few slow calls are no bad way."""
    now, before = _ways(case, edge, case.bad), _ways(case, edge, case.normal)
    if min(now.size, before.size) < MIN_STEPS:
        return True
    return bool(np.median(now) > np.quantile(before, 0.9))


def _ways(case: Case, edge: str, which: slice) -> Floats:
    """``way_ms`` of each step that had calls with an answer."""
    seen = [case.values(edge, s, which) for s in (signals.CALL_MS, signals.CALLS, signals.SERVER_MS, signals.ANSWERED)]
    if any(not values.size for values in seen):
        return np.empty(0)
    call_ms, calls, server_ms, answered = seen
    usable = (calls > 0) & (answered > 0)
    return np.asarray(call_ms[usable] / calls[usable] - server_ms[usable] / answered[usable])


def _place(case: Case, caller: str, callee: str) -> dict[str, str]:
    """The one instance of the caller (and its region) from which the calls break, where it is one."""
    harm = [(_harm(case, edge_key(i.key, callee)), i) for i in case.instances(caller)]
    total = sum(amount for amount, _ in harm)
    if len(harm) < 2 or total <= 0:
        return {}
    most, worst = max(harm, key=lambda pair: (pair[0], pair[1].name))
    if most < 0.8 * total:
        return {}
    region = worst.labels.get("region", "")
    return {"instance": worst.name, **({"region": region} if region else {})}
