"""Spans into the ring: requests, calls, self time, where errors begin.

What one span says alone (requests, calls, durations) is counted on arrival; what needs the whole trace when it is
finished.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Container
from typing import Final

from midwatch.model import signals as sig
from midwatch.model.entity import edge_key, kind_of
from midwatch.model.signals import LATENCY_BOUNDS_MS
from midwatch.model.world import TraceExemplar
from midwatch.shell.ingest import spans as meaning
from midwatch.shell.ingest.patterns import Patterns
from midwatch.shell.ingest.registry import Registry, Reporter
from midwatch.shell.ingest.resources import host_of, is_bare_address
from midwatch.shell.ingest.ring import ANYONE, LATE, Ring
from midwatch.shell.ingest.rows import CLIENT, CONSUMER, PRODUCER, SERVER, Limits, Resource, Span
from midwatch.shell.ingest.traces import Call, Judged, OpenTrace, Root, TraceBuffer, judge

Red = tuple[int, int, int, int]  # rows of requests, errors, time; latency row
CallRows = tuple[int, int, int, int, int, int]
_REMEMBERED_ADDRESSES: Final = 5000


class Requests:
    """``count`` on arrival of a span, ``sweep`` to judge the traces that are finished."""

    def __init__(self, ring: Ring, registry: Registry, limits: Limits, traces: TraceBuffer, patterns: Patterns) -> None:
        self._ring, self._registry, self._limits, self.traces = ring, registry, limits, traces
        self._patterns = patterns
        self._reds: dict[str, Red] = {}
        self._calls: dict[str, CallRows] = {}
        self._answers: dict[str, str] = {}  # peer name or address -> callee key, "" when it is ambiguous
        self._typical_ms: dict[str, float] = {}
        self._statements: dict[str, set[str]] = {}  # per database or cache that reports nothing itself
        self.metered_queues: set[str] = set()  # queues whose consumed messages a metric counts
        self.entries: dict[str, int] = {}  # service key -> requests that entered there
        self._failing: deque[TraceExemplar] = deque(maxlen=max(1, limits.exemplars * 3 // 5))
        self._slow: deque[TraceExemplar] = deque(maxlen=max(1, limits.exemplars * 2 // 5))

    def forget_rows(self) -> None:
        """The ring renumbered its rows."""
        self._reds.clear()
        self._calls.clear()

    def forget(self, entities: Container[str]) -> None:
        """What is known of others than these ``entities`` is over."""
        self.entries = {key: count for key, count in self.entries.items() if key in entities}
        self._typical_ms = {key: typical for key, typical in self._typical_ms.items() if key in entities}
        self._statements = {key: known for key, known in self._statements.items() if key in entities}
        self.metered_queues &= {key for key in self.metered_queues if key in entities}

    def exemplars(self, since_at: float) -> tuple[TraceExemplar, ...]:
        """Failing and slow requests, oldest first."""
        return tuple(sorted((e for e in (*self._failing, *self._slow) if e.at >= since_at), key=lambda e: e.at))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _red(self, subject: str, owner: int) -> Red:
        found = self._reds.get(subject)
        if found is None:
            row = self._ring.row
            found = self._reds[subject] = (
                row(subject, sig.REQUESTS, owner),
                row(subject, sig.ERRORS, owner),
                row(subject, sig.TIME_MS, owner),
                self._ring.latency_row(subject),
            )
            if kind_of(subject) != "endpoint":
                row(subject, sig.SELF_MS, owner)
                row(subject, sig.ORIGIN_ERRORS, owner)
        return found

    def _call_rows(self, edge: str, owner: int) -> CallRows:
        found = self._calls.get(edge)
        if found is None:
            row = self._ring.row
            found = self._calls[edge] = (
                row(edge, sig.CALLS, owner),
                row(edge, sig.CALL_ERRORS, owner),
                row(edge, sig.CALL_MS, owner),
                row(edge, sig.SERVER_MS, owner),
                row(edge, sig.ANSWERED, owner),
                row(edge, sig.UNANSWERED_ERRORS, owner),
            )
        return found

    def red(self, subject: str, owner: int, column: int, requests: float, errors: float, time_ms: float) -> int:
        """Add requests that were measured elsewhere (histograms); returns the latency row."""
        rows = self._red(subject, owner)
        values = self._ring.values
        values[rows[0], column] += requests
        values[rows[1], column] += errors
        values[rows[2], column] += time_ms
        return rows[3]

    def _one(self, rows: Red, column: int, milliseconds: float, bucket: int, bad: bool) -> None:
        values = self._ring.values
        values[rows[0], column] += 1.0
        values[rows[2], column] += milliseconds
        if bad:
            values[rows[1], column] += 1.0
        self._ring.latency[rows[3], column, bucket] += 1.0

    def _add(self, subject: str, signal: str, owner: int, column: int, amount: float) -> None:
        self._ring.add(subject, signal, owner, column, amount)

    # --- on arrival ---------------------------------------------------------------------------------------------------

    def count(self, span: Span, reporter: Reporter, column: int, at: float) -> None:
        """Count what ``span`` says by itself, and keep it for its trace."""
        kind = span.kind
        if kind == SERVER:
            reporter.service.spans_at = at
            self._served(span, reporter, column, at, meaning.route_of(span))
        elif kind == CONSUMER:
            if not meaning.only_receives(span):
                reporter.service.spans_at = at
                queue = meaning.queue_of(span)
                self._served(span, reporter, column, at, queue.partition(":")[2])
                if self._told_apart(reporter, queue, "queues", at):
                    bad = meaning.failed(span)
                    self._called(queue, reporter.entity, "", ANYONE, ANYONE, column, span.duration_ms, bad, at)
                    if queue not in self.metered_queues:
                        self._add(queue, sig.CONSUMED, ANYONE, column, 1.0)
        elif kind in (CLIENT, PRODUCER):
            callee = self._early_callee(span)
            if callee:
                self._call(span, reporter, callee, column, at)
        self.traces.add(span, at)

    def endpoint(self, reporter: Reporter, route: str, at: float) -> str:
        """The key of an endpoint of ``reporter``'s service, "" beyond the bound."""
        if route not in reporter.service.endpoints:
            if len(reporter.service.endpoints) >= self._limits.endpoints_per_service:
                self._registry.over(reporter.entity, "endpoints", at)
                return ""
            reporter.service.endpoints.add(route)
        return f"endpoint:{reporter.service.name}{'' if route.startswith('/') else '/'}{route}"

    def _served(self, span: Span, reporter: Reporter, column: int, at: float, route: str) -> None:
        milliseconds = span.duration_ms
        bucket = bisect_left(LATENCY_BOUNDS_MS, milliseconds)
        bad = meaning.failed(span)
        self._one(self._red(reporter.entity, reporter.service_owner), column, milliseconds, bucket, bad)
        if reporter.instance:
            self._one(self._red(reporter.instance, reporter.instance_owner), column, milliseconds, bucket, bad)
        if reporter.region:
            self._one(self._red(reporter.region, ANYONE), column, milliseconds, bucket, bad)
        endpoint = self.endpoint(reporter, route, at)
        if endpoint:
            self._registry.ensure(endpoint)
            self._one(self._red(endpoint, reporter.service_owner), column, milliseconds, bucket, bad)

    def _call(self, span: Span, reporter: Reporter, callee: str, column: int, at: float) -> None:
        if not self._told_apart(reporter, callee, "callees", at):
            return
        span.callee = callee
        bad = meaning.failed(span)
        milliseconds = span.duration_ms
        self._called(
            reporter.entity, callee, reporter.instance, reporter.service_owner, reporter.instance_owner, column,
            milliseconds, bad, at,
        )  # fmt: skip
        if span.kind == CLIENT and callee.startswith(("database:", "cache:")):
            if bad and meaning.callers_own_fault(span):
                bad = False
            bucket = bisect_left(LATENCY_BOUNDS_MS, milliseconds)
            self._one(self._red(callee, ANYONE), column, milliseconds, bucket, bad)
            statement = meaning.statement_of(span)
            store = self._registry.services.get(callee)
            known = self._statements.setdefault(callee, set()) if store is None else store.endpoints
            if statement and (statement in known or len(known) < self._limits.endpoints_per_service):
                known.add(statement)
                endpoint = self._registry.ensure(f"endpoint:{callee.partition(':')[2]}/{statement}")
                self._one(self._red(endpoint, ANYONE), column, milliseconds, bucket, bad)
            elif statement:
                self._registry.over(callee, "endpoints", at)

    def _told_apart(self, reporter: Reporter, other: str, what: str, at: float) -> bool:
        """Whether ``other``, which the service calls or reads from, has an edge of its own: not beyond the bound."""
        known = reporter.service.callees
        if other not in known:
            if len(known) >= self._limits.callees_per_service:
                self._registry.over(reporter.entity, what, at)
                return False
            known.add(other)
        return True

    def _called(
        self,
        caller: str,
        callee: str,
        instance: str,
        owner: int,
        instance_owner: int,
        column: int,
        milliseconds: float,
        bad: bool,
        at: float,
    ) -> None:
        values = self._ring.values
        for edge, who in (
            (self._registry.edge(caller, callee), owner),
            (edge_key(instance, callee) if instance else "", instance_owner),
        ):
            if edge:
                rows = self._call_rows(edge, who)
                values = self._ring.values
                values[rows[0], column] += 1.0
                values[rows[2], column] += milliseconds
                if bad:
                    values[rows[1], column] += 1.0

    # --- who was called -----------------------------------------------------------------------------------------------

    def _names(self, span: Span) -> tuple[str, str]:
        """What the span calls its peer: (peer.service, address), "" for each that it does not say."""
        attributes = span.attributes
        peer = attributes.get("peer.service") or attributes.get("service.peer.name") or ""
        address = (
            attributes.get("server.address") or attributes.get("net.peer.name") or attributes.get("http.host") or ""
        )
        return meaning.clean(peer), meaning.clean(host_of(str(address)))

    def _early_callee(self, span: Span) -> str:
        """The callee as far as it can be told without the answer, "" when the trace must tell."""
        store = meaning.store_of(span)
        if store:
            return self._registry.stores_by_name.get(store.partition(":")[2], store)
        if span.kind == PRODUCER:
            return meaning.queue_of(span)
        if "messaging.system" in span.attributes:
            return ""
        peer, address = self._names(span)
        for name in (peer, address):
            if name:
                known = self._registry.by_name.get(name)
                if known is not None:
                    return known
                found = self._answers.get(name, "")
                if found:
                    return found
        return ""

    def _callee(self, span: Span, server: Span | None) -> str:
        """The callee of a client span once its trace is finished."""
        if span.callee:
            return span.callee
        early = self._early_callee(span)
        if server is not None:
            answered = server.resource.entity
            if not early:
                for name in self._names(span):
                    if name:
                        self._learn(name, answered)
            return answered
        if early:
            return early
        peer, address = self._names(span)
        if peer:
            self._learn(peer, f"service:{peer}")
            return f"service:{peer}"
        if address:
            first = self._registry.by_name.get(address.partition(".")[0])
            return first if first is not None and not is_bare_address(address) else f"external:{address}"
        return ""

    def _learn(self, name: str, callee: str) -> None:
        known = self._answers.get(name)
        if known is None:
            if len(self._answers) < _REMEMBERED_ADDRESSES:
                self._answers[name] = callee
        elif known != callee:
            guessed = known == f"service:{name}"
            self._answers[name] = callee if guessed else ""

    # --- whole traces -------------------------------------------------------------------------------------------------

    def sweep(self, now: float, everything: bool = False) -> None:
        """Judge the traces that are finished at ``now`` (all of them at the end of a recording)."""
        for trace in self.traces.flush() if everything else self.traces.finished(now):
            self._finish(trace, now)

    def _column(self, span: Span, now: float) -> int:
        return self._ring.column(min(span.end_at, now))

    def _finish(self, trace: OpenTrace, now: float) -> None:
        judged: Judged = judge(trace, self._callee)
        for call in judged.calls:
            self._answered(call, now)
        for span, entity, resource, milliseconds in judged.self_ms:
            self._spread(sig.SELF_MS, span, entity, resource, milliseconds, now)
        for span, entity, resource in judged.origins:
            writer = self._registry.known(span.resource)
            if writer is not None:
                self._patterns.add_trouble(span, writer, min(span.end_at, now))
            self._spread(sig.ORIGIN_ERRORS, span, entity, resource, 1.0, now)
        for root in judged.roots:
            self._entered(root, now)

    def _answered(self, call: Call, now: float) -> None:
        span = call.span
        column = self._column(span, now)
        if column == LATE:
            return
        reporter = self._registry.known(span.resource)
        if reporter is None:
            return
        if not span.callee:
            callee = self._callee(span, call.server)
            if not callee:
                return
            self._call(span, reporter, callee, column, now)
            if not span.callee:
                return
        if call.server is None and not call.unanswered:
            return
        edges = [(edge_key(reporter.entity, span.callee), reporter.service_owner)]
        if reporter.instance:
            edges.append((edge_key(reporter.instance, span.callee), reporter.instance_owner))
        for edge, owner in edges:
            rows = self._call_rows(edge, owner)
            values = self._ring.values
            if call.server is not None:
                values[rows[3], column] += call.server.duration_ms
                values[rows[4], column] += 1.0
            if call.unanswered and not span.callee.startswith(("database:", "cache:")):
                values[rows[5], column] += 1.0

    def _spread(
        self, signal: str, span: Span, entity: str, resource: Resource | None, amount: float, now: float
    ) -> None:
        column = self._column(span, now)
        if column == LATE:
            return
        reporter = self._registry.known(resource) if resource is not None else None
        if reporter is None:
            owner = ANYONE if kind_of(entity) in ("database", "cache") else self._registry.owner_of(entity)
            self._add(self._registry.ensure(entity), signal, owner, column, amount)
            return
        self._add(reporter.entity, signal, reporter.service_owner, column, amount)
        if reporter.instance:
            self._add(reporter.instance, signal, reporter.instance_owner, column, amount)
        if reporter.region:
            self._add(reporter.region, signal, ANYONE, column, amount)

    def _refused(self, root: Root, owner: int, column: int) -> None:
        """A request that a proxy could not hand over is a failing request of the service that it was for."""
        milliseconds = root.span.duration_ms
        bucket = bisect_left(LATENCY_BOUNDS_MS, milliseconds)
        self._one(self._red(self._registry.ensure(root.entry), owner), column, milliseconds, bucket, True)
        instance = f"instance:{self._names(root.span)[1]}"
        if instance in self._registry.entities:
            self._one(self._red(instance, ANYONE), column, milliseconds, bucket, True)

    def _entered(self, root: Root, now: float) -> None:
        entry = root.entry
        column = self._column(root.span, now)
        if column == LATE or entry in self._registry.called:
            return
        self.entries[entry] = self.entries.get(entry, 0) + 1
        owner = self._registry.owner_of(entry)
        if root.refused:
            self._refused(root, owner, column)
        for entity, milliseconds in root.self_ms.items():
            self._add(edge_key(entry, entity), sig.ROOT_SELF_MS, owner, column, milliseconds)
        if root.failed and root.origin:
            self._add(edge_key(entry, root.origin), sig.ROOT_ERRORS, owner, column, 1.0)
        duration = root.span.duration_ms
        typical = self._typical_ms.get(entry, duration)
        self._typical_ms[entry] = typical + 0.02 * (min(duration, 5 * typical) - typical)
        if root.failed or duration > 2.0 * typical:
            shown = TraceExemplar(
                root.span.trace_id, entry, root.span.end_at, duration, root.failed, root.origin, root.message, root.path
            )
            (self._failing if root.failed else self._slow).append(shown)
