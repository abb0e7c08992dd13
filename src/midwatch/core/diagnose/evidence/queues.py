"""Messages that nobody takes: the consumer stopped while messages keep coming."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of, name_of

STOPPED: Final = 0.3
AS_USUAL: Final = 0.8
"""Of the messages that a consumer took before."""


def queues(case: Case, blame: Blame) -> Iterator[Clue]:
    lagging = {f.entity: f for f in case.findings if f.kind == "queue_lag"}
    for queue in case.world.entities:
        if kind_of(queue) != "queue":
            continue
        lag = case.peak(queue, signals.QUEUE_LAG_SECONDS, case.bad)
        before = case.level(queue, signals.QUEUE_LAG_SECONDS, case.normal)
        usual = 0.0 if math.isnan(before) else before
        if queue not in lagging and not lag > 4 * usual + 8:
            continue
        share = 1.0 if queue in lagging and not blame.share else 0.6
        text = f"the oldest message in {name_of(queue)} waits for {lag:.0f} s, {usual:.1f} s before"
        consumers = [c for c in case.world.callees.get(queue, ()) if kind_of(c) == "service"]
        taking = {c: _taking(case, queue, c) for c in consumers}
        stopped = [c for c, share in taking.items() if share < STOPPED]
        # Where the trouble is so young that nobody is seen to have stopped: whoever takes less, or nobody knows which.
        suspects = stopped or [c for c, share in taking.items() if share < AS_USUAL] or consumers
        for consumer in suspects:
            why = f"; {name_of(consumer)} took {_took(case, queue, consumer, case.bad):.0f} messages since"
            weight = 4.0 if consumer in stopped and len(stopped) == 1 else 3.0
            yield clue(
                consumer, faults.QUEUE_STUCK, weight, "queue", text + why, value=lag, baseline=usual, unit="seconds",
                share=share / len(suspects), seen_at=queue,
                scope={"queue": name_of(queue), "service": name_of(consumer)},
            )  # fmt: skip
        if not consumers:
            yield clue(
                queue, faults.QUEUE_STUCK, 3.0, "queue", text, value=lag, baseline=usual, unit="seconds", share=share
            )


def _taking(case: Case, queue: str, consumer: str) -> float:
    """What the consumer takes as a share of what it used to take; 1 where it never took anything."""
    usual = _took(case, queue, consumer, case.normal) * case.scale
    return _took(case, queue, consumer, case.bad) / usual if usual > 0 else 1.0


def _took(case: Case, queue: str, consumer: str, which: slice) -> float:
    """Messages that the consumer took: by its own counter, else by the spans of its receptions."""
    counted = case.sum(consumer, signals.CONSUMED, which)
    return counted if counted > 0 else case.sum(edge_key(queue, consumer), signals.CALLS, which)
