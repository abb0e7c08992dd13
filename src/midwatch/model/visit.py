"""One request as a service lived it: what the World keeps of whole traces, where a source has them."""

from __future__ import annotations

from msgspec import Struct


class Visit(Struct, frozen=True):
    """From when ``service`` (an entity key) was asked for ``operation``, ``at`` unix seconds, until it answered.

    ``calls`` (callee and its operation) and ``lines`` (log templates) are in the order of time; ``warned`` are those of
    ``lines`` that were warnings or worse. ``caller`` is the place, in the tuple that holds both, of the visit that asked;
    -1 where nobody did, or nobody knows.
    """

    service: str
    operation: str
    at: float
    calls: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    warned: frozenset[str] = frozenset()
    caller: int = -1
    trace_id: str = ""
