"""Messages that nobody takes: the consumer stopped while messages keep coming."""

from __future__ import annotations

import math
from collections.abc import Iterator

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of, name_of


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
        stopped = [
            c
            for c in consumers
            if _took(case, queue, c, case.bad) < 0.3 * _took(case, queue, c, case.normal) * case.scale
        ]
        for consumer in stopped or consumers[:1]:
            why = f"; {name_of(consumer)} took {_took(case, queue, consumer, case.bad):.0f} messages since"
            weight = 4.0 if consumer in stopped and len(stopped) == 1 else 3.0
            yield clue(
                consumer, faults.QUEUE_STUCK, weight, "queue", text + why, value=lag, baseline=usual, unit="seconds",
                share=share / max(len(stopped), 1), seen_at=queue,
                scope={"queue": name_of(queue), "service": name_of(consumer)},
            )  # fmt: skip
        if not consumers:
            yield clue(
                queue, faults.QUEUE_STUCK, 3.0, "queue", text, value=lag, baseline=usual, unit="seconds", share=share
            )


def _took(case: Case, queue: str, consumer: str, which: slice) -> float:
    """Messages that the consumer took: by its own counter, else by the spans of its receptions."""
    counted = case.sum(consumer, signals.CONSUMED, which)
    return counted if counted > 0 else case.sum(edge_key(queue, consumer), signals.CALLS, which)
