"""Traces: collected in a bounded buffer, then judged whole.

A trace is finished when nothing came for ``idle_seconds``, at the latest ``linger_seconds`` after its first span, and
sooner when it is plainly complete. Time is the arrival time that callers pass in. At the bound the oldest trace is
finished early and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from midwatch.shell.ingest.critical import exclusive_ms, is_async
from midwatch.shell.ingest.rows import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    STATUS_ERROR,
    Limits,
    Resource,
    Span,
)
from midwatch.shell.ingest.spans import callers_own_fault, failed, gave_up, http_status, is_database, trouble

QUIET_SECONDS: Final = 0.6  # a trace that looks complete is finished after this
_REMEMBERED: Final = 20_000


@dataclass(slots=True)
class OpenTrace:
    spans: list[Span]
    first_at: float
    last_at: float
    looked: bool = False
    late: bool = False  # part of it was finished before


class TraceBuffer:
    """Spans by trace until the trace is finished. ``counters`` say how traces ended."""

    def __init__(self, limits: Limits, idle_seconds: float = 2.5, linger_seconds: float = 15.0) -> None:
        self._limits, self._idle, self._linger = limits, idle_seconds, linger_seconds
        self._open: OrderedDict[str, OpenTrace] = OrderedDict()  # least recently added to first
        self._by_age: OrderedDict[str, float] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._spans = 0
        self.counters: dict[str, int] = dict.fromkeys(
            ("finished", "finished_early", "spans_over_bound", "late_fragments"), 0
        )

    def __len__(self) -> int:
        return len(self._open)

    def add(self, span: Span, at: float) -> None:
        """Keep ``span``, which arrived ``at``."""
        trace = self._open.get(span.trace_id)
        if trace is None:
            trace = self._open[span.trace_id] = OpenTrace([], at, at, late=span.trace_id in self._done)
            self._by_age[span.trace_id] = at
            if trace.late:
                self.counters["late_fragments"] += 1
        elif len(trace.spans) >= self._limits.spans_per_trace:
            self.counters["spans_over_bound"] += 1
            return
        else:
            self._open.move_to_end(span.trace_id)
        trace.spans.append(span)
        trace.last_at, trace.looked = max(at, trace.last_at), False
        self._spans += 1

    def finished(self, now: float) -> Iterator[OpenTrace]:
        """The traces that are finished at ``now``, removed from the buffer."""
        while self._open and (len(self._open) > self._limits.open_traces or self._spans > self._limits.open_spans):
            self.counters["finished_early"] += 1
            yield self._take(next(iter(self._by_age)))
        while self._by_age:
            trace_id, first_at = next(iter(self._by_age.items()))
            if now - first_at < self._linger:
                break
            yield self._take(trace_id)
        complete: list[str] = []
        idle: list[str] = []
        for trace_id, trace in self._open.items():
            quiet = now - trace.last_at
            if quiet >= self._idle:
                idle.append(trace_id)
            elif quiet < QUIET_SECONDS:
                break
            elif not trace.looked:
                trace.looked = True
                if looks_complete(trace.spans):
                    complete.append(trace_id)
        for trace_id in (*idle, *complete):
            yield self._take(trace_id)

    def flush(self) -> Iterator[OpenTrace]:
        """Everything that is still open: the end of a recording."""
        while self._open:
            yield self._take(next(iter(self._open)))

    def _take(self, trace_id: str) -> OpenTrace:
        trace = self._open.pop(trace_id)
        del self._by_age[trace_id]
        self._spans -= len(trace.spans)
        self._done[trace_id] = None
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        self.counters["finished"] += 1
        return trace


def looks_complete(spans: list[Span]) -> bool:
    """A root is there, every parent is there, and every call to a service was answered by a server span."""
    ids = {span.span_id for span in spans}
    parents = {span.parent_id for span in spans}
    if "" not in parents or not parents - {""} <= ids:
        return False
    return all(s.span_id in parents or is_database(s) for s in spans if s.kind == CLIENT)


@dataclass(slots=True)
class Call:
    """A client span and, where one was seen, the server span that answered it. ``unanswered`` says that it failed and
    no answer came back."""

    span: Span
    server: Span | None
    failed: bool
    unanswered: bool


@dataclass(slots=True)
class Root:
    """A request where it entered: at ``entry`` (entity key), which is the first service behind a proxy. ``self_ms`` by
    entity key; ``origin`` is where its error began, or the entity with the longest self time; ``path`` leads from the
    entry there. ``refused``: the proxy could not hand it over, the entry itself knows nothing of it."""

    span: Span
    entry: str
    failed: bool
    self_ms: dict[str, float]
    origin: str = ""
    message: str = ""
    path: tuple[str, ...] = ()
    refused: bool = False


@dataclass(slots=True)
class Judged:
    """What a finished trace says. ``self_ms`` and ``origins``: (span, entity key, resource of the instance or None when
    the entity is a callee that reports nothing itself, milliseconds)."""

    calls: list[Call] = field(default_factory=list)
    self_ms: list[tuple[Span, str, Resource | None, float]] = field(default_factory=list)
    origins: list[tuple[Span, str, Resource | None]] = field(default_factory=list)
    roots: list[Root] = field(default_factory=list)


class _Tree:
    """The spans of one trace with their relations."""

    def __init__(self, spans: list[Span], callee_of: Callable[[Span, Span | None], str]) -> None:
        unique: dict[str, int] = {}
        self.spans: list[Span] = []
        for span in spans:
            if span.span_id not in unique:  # senders retry
                unique[span.span_id] = len(self.spans)
                self.spans.append(span)
        self.parent = [unique.get(s.parent_id, -1) if s.parent_id else -1 for s in self.spans]
        self.children: list[list[int]] = [[] for _ in self.spans]  # that the parent waits for
        self.tops: list[int] = []  # roots, and what nobody waits for
        self.server: list[int] = [-1] * len(self.spans)
        for number, span in enumerate(self.spans):
            above = self.parent[number]
            if above < 0 or above == number or is_async(self.spans[above], span):
                self.tops.append(number)
            else:
                self.children[above].append(number)
                if self.spans[above].kind == CLIENT and (span.kind == SERVER or _elsewhere(self.spans[above], span)):
                    self.server[above] = number
        self.failed = [failed(s) for s in self.spans]
        self._callee_of = callee_of

    def callee(self, number: int) -> str:
        answer = self.server[number]
        return self._callee_of(self.spans[number], self.spans[answer] if answer >= 0 else None)

    def below(self, top: int) -> list[int]:
        """Span numbers of the tree under ``top``."""
        found, stack, seen = [], [top], {top}
        while stack:
            number = stack.pop()
            found.append(number)
            for child in self.children[number]:
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
        return found

    def calls_of(self, number: int) -> list[int]:
        """Client spans that ``spans[number]`` makes, directly or from within its own service."""
        service = self.spans[number].resource.service
        found: list[int] = []
        stack, seen = list(self.children[number]), {number}  # parents in a circle must not hang us
        while stack:
            child = stack.pop()
            if child in seen:
                continue
            seen.add(child)
            if self.spans[child].kind == CLIENT:
                found.append(child)
            elif self.spans[child].resource.service == service:
                stack.extend(self.children[child])
        return found


def _elsewhere(client: Span, child: Span) -> bool:
    """An internal child of a client span that another service reports: it answered without a server span."""
    return child.kind <= INTERNAL and child.resource.service != client.resource.service


def judge(trace: OpenTrace, callee_of: Callable[[Span, Span | None], str]) -> Judged:
    """Take a finished trace apart. ``callee_of(client span, its server span or None)`` names who was called."""
    tree = _Tree(trace.spans, callee_of)
    found = Judged()
    for number, span in enumerate(tree.spans):
        if span.kind == CLIENT:
            found.calls.append(_call(tree, number))
        if tree.failed[number] and not _has_failing_child(tree, number) and _counts(tree, number):
            entity, resource = _origin(tree, number)
            found.origins.append((span, entity, resource))
    for top in tree.tops:
        own = exclusive_ms(tree.spans, tree.children, top)
        by_entity: dict[str, float] = {}
        for number, milliseconds in own.items():
            if milliseconds <= 0.0:
                continue
            entity, resource = _whose_time(tree, number)
            found.self_ms.append((tree.spans[number], entity, resource, milliseconds))
            by_entity[entity] = by_entity.get(entity, 0.0) + milliseconds
        span = tree.spans[top]
        if span.kind == SERVER and tree.parent[top] < 0 and not trace.late:
            found.roots.extend(_roots(tree, top, by_entity))
    return found


def _call(tree: _Tree, number: int) -> Call:
    answer = tree.server[number]
    span, bad = tree.spans[number], tree.failed[number]
    server = tree.spans[answer] if answer >= 0 else None
    lost = bad and not callers_own_fault(span) and (server is None or _answer_lost(tree, number))
    return Call(span, server, bad, lost)


def _answer_lost(tree: _Tree, number: int) -> bool:
    """The callee finished its work well and in time, yet the call failed."""
    answer = tree.server[number]
    server, client = tree.spans[answer], tree.spans[number]
    if tree.failed[answer] or http_status(client.attributes):
        return False
    return not _cut_off(client, server)


def _cut_off(client: Span, server: Span) -> bool:
    """The caller gave up while the callee was still working."""
    return server.end_at >= client.end_at - 0.001 or (gave_up(client) and server.duration_ms > 0.9 * client.duration_ms)


def _has_failing_child(tree: _Tree, number: int) -> bool:
    return any(tree.failed[child] for child in tree.children[number])


def _counts(tree: _Tree, number: int) -> bool:
    """An internal failure that its own request survived was handled: no error began there."""
    if tree.spans[number].kind not in (0, INTERNAL):
        return True
    above = tree.parent[number]
    service = tree.spans[number].resource.service
    hops = 0
    while above >= 0 and tree.spans[above].resource.service == service and hops < 100:
        if tree.spans[above].kind in (SERVER, CONSUMER):
            return tree.failed[above]
        above, hops = tree.parent[above], hops + 1
    return True


def _own(span: Span) -> tuple[str, Resource | None]:
    return span.resource.entity, span.resource


def _origin(tree: _Tree, number: int) -> tuple[str, Resource | None]:
    """Where the error of a failing span without failing children began."""
    span = tree.spans[number]
    if span.kind not in (CLIENT, PRODUCER) or callers_own_fault(span):
        return _own(span)
    answer = tree.server[number]
    if answer < 0:
        return (tree.callee(number) or span.resource.entity), None
    if not _cut_off(span, tree.spans[answer]):
        rejected = http_status(span.attributes) in (408, 429)
        return _own(tree.spans[answer]) if rejected else _own(span)
    return _still_working(tree, answer, span.end_at)


def _still_working(tree: _Tree, number: int, cut_at: float) -> tuple[str, Resource | None]:
    """The deepest callee that had not answered when the caller gave up: that is what the caller was waiting for."""
    for _ in range(len(tree.spans)):
        waiting = [c for c in tree.calls_of(number) if tree.spans[c].end_at >= cut_at - 0.001]
        if not waiting:
            return _own(tree.spans[number])
        call = max(waiting, key=lambda c: tree.spans[c].duration_ms)
        if tree.server[call] < 0:
            return (tree.callee(call) or tree.spans[call].resource.entity), None
        number = tree.server[call]
    return _own(tree.spans[number])


def _whose_time(tree: _Tree, number: int) -> tuple[str, Resource | None]:
    """Exclusive time is the service's own, except that of a call which nobody answered with spans: that is the
    callee's. What an answered call spends on the way stays with the caller, which waited."""
    span = tree.spans[number]
    if span.kind != PRODUCER and (span.kind != CLIENT or tree.server[number] >= 0):
        return _own(span)
    if tree.failed[number] and callers_own_fault(span):
        return _own(span)
    return (tree.callee(number) or span.resource.entity), None


def _roots(tree: _Tree, top: int, self_ms: dict[str, float]) -> list[Root]:
    """The request as the first service saw it. A proxy is where requests pass, not what they are for."""
    if tree.spans[top].resource.kind != "proxy":
        return [_root(tree, top, self_ms)]
    roots: list[Root] = []
    level, seen = [top], {top}
    while level:
        number = level.pop()
        for child in tree.children[number]:
            if child in seen:
                continue
            seen.add(child)
            span = tree.spans[child]
            if span.kind == SERVER and span.resource.kind != "proxy":
                own: dict[str, float] = {}
                for each, milliseconds in exclusive_ms(tree.spans, tree.children, child).items():
                    entity, _ = _whose_time(tree, each)
                    own[entity] = own.get(entity, 0.0) + milliseconds
                roots.append(_root(tree, child, own))
            elif span.kind == CLIENT and tree.server[child] < 0 and span.status == STATUS_ERROR:
                # 503 without an error is load shed on purpose; this is a request that found nobody.
                entry = tree.callee(child)
                if entry:
                    time = {entry: span.duration_ms}
                    roots.append(Root(span, entry, True, time, entry, trouble(span)[:300], (entry,), refused=True))
            else:
                level.append(child)
    return roots


def _root(tree: _Tree, top: int, self_ms: dict[str, float]) -> Root:
    root = Root(tree.spans[top], tree.spans[top].resource.entity, tree.failed[top], self_ms)
    number = top
    if root.failed:
        for _ in range(len(tree.spans)):
            following = _failing_child(tree, number)
            if following < 0:
                break
            number = following
        root.origin, _ = _origin(tree, number)
        root.message = trouble(tree.spans[number])[:300]
    elif self_ms:
        root.origin = max(self_ms, key=lambda entity: self_ms[entity])
        number = next((n for n in tree.below(top) if _whose_time(tree, n)[0] == root.origin), top)
    path: list[str] = [root.origin] if root.origin else []
    for _ in range(len(tree.spans)):
        entity = tree.spans[number].resource.entity
        if not path or path[-1] != entity:
            path.append(entity)
        if number == top or tree.parent[number] < 0:
            break
        number = tree.parent[number]
    root.path = tuple(reversed(path))
    return root


def _failing_child(tree: _Tree, number: int) -> int:
    """The failing child that made the span fail: the last to end before its parent did (earlier ones were retried or
    answered by a fallback); -1 when there is none."""
    end_at = tree.spans[number].end_at + 0.005
    failing = [c for c in tree.children[number] if tree.failed[c]]
    in_time = [c for c in failing if tree.spans[c].end_at <= end_at] or failing
    return max(in_time, key=lambda c: tree.spans[c].end_at, default=-1)
