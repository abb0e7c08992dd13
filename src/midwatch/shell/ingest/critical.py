"""Exclusive time on the critical path.

Walk each span backwards from its end: the child that ends last is what the span waited for; the time between that
child's end and the cursor is the span's own; continue from the child's start. Parallel children are so counted once,
and the exclusive times of a tree add up to its root's duration.
"""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.shell.ingest.rows import CLIENT, CONSUMER, PRODUCER, SERVER, Span


def is_async(parent: Span, child: Span) -> bool:
    """True when the parent does not wait for the child: messages."""
    return child.kind == CONSUMER or (parent.kind == PRODUCER and child.kind == SERVER)


def exclusive_ms(spans: Sequence[Span], children: Sequence[Sequence[int]], root: int) -> dict[int, float]:
    """Exclusive milliseconds on the critical path of the tree under ``spans[root]``, by span number.

    ``children[i]`` are the numbers of the spans that ``spans[i]`` waited for. A server span that lies outside the client
    span that called it (clocks differ) is moved to its middle when it fits, and cut when it does not.
    """
    own: dict[int, float] = {}
    # Milliseconds since the root's start: floats of unix seconds would lose precision in differences.
    origin = spans[root].start_at
    stack = [(root, 0.0, spans[root].duration_ms, 0.0)]
    while stack:
        number, low, high, shift = stack.pop()
        parent = spans[number]
        windows: list[tuple[float, float, int, float]] = []
        for child_number in children[number]:
            child = spans[child_number]
            moved = shift
            begin = (child.start_at - origin) * 1000.0 + moved
            end = begin + child.duration_ms
            if (begin < low or end > high) and parent.kind == CLIENT and child.kind == SERVER:
                room = (high - low) - child.duration_ms
                if room >= 0.0:
                    moved += low + room / 2.0 - begin
                    begin = low + room / 2.0
                    end = begin + child.duration_ms
            windows.append((end, begin, child_number, moved))
        windows.sort(reverse=True)
        cursor, mine = high, 0.0
        for end, begin, child_number, moved in windows:
            end, begin = min(end, cursor), max(begin, low)
            if end <= begin:
                continue
            mine += cursor - end
            stack.append((child_number, begin, end, moved))
            cursor = begin
        own[number] = mine + max(cursor - low, 0.0)
    return own
