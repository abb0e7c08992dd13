"""Log patterns: how many lines of each template each service wrote, step by step, with the newest line as an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import structs

from midwatch.model.world import LogPattern, LogSet
from midwatch.shell.ingest.registry import Registry, Reporter, ServiceState
from midwatch.shell.ingest.ring import LATE, Ring
from midwatch.shell.ingest.rows import Limits, LogLine, Span
from midwatch.shell.ingest.severity import message_in
from midwatch.shell.ingest.spans import trouble
from midwatch.shell.ingest.templates import OTHER, Template, Templates

WARN: Final = 13
ERROR: Final = 17
_MAX_PATTERNS: Final = 5000
# Templates that a service may add: more than its patterns, as several become one once enough of them were seen.
_TEMPLATES_PER_PATTERN: Final = 5


class Patterns:
    """Counts in a ring of ``steps`` of ``step_seconds``. Lines below WARN count only as events."""

    def __init__(self, steps: int, step_seconds: float, registry: Registry, limits: Limits) -> None:
        self._registry, self._limit = registry, limits.patterns_per_service
        self._ring = Ring(steps, step_seconds, _MAX_PATTERNS)
        self._templates = Templates(_MAX_PATTERNS, _TEMPLATES_PER_PATTERN * limits.patterns_per_service)
        self._patterns: dict[tuple[str, str], LogPattern] = {}

    def __len__(self) -> int:
        return len(self._templates)

    @property
    def templates(self) -> Templates:
        return self._templates

    def add(self, line: LogLine, reporter: Reporter, at: float) -> None:
        """Count ``line`` at time ``at`` (unix seconds)."""
        if line.severity >= WARN:
            reporter.service.complains = True
            exception = str(line.attributes.get("exception.type", ""))
            self._count(line, self._templates.find(message_in(line.body), exception, reporter.entity), reporter, at)
        elif line.event:
            self._count(line, self._templates.find(f"event {line.event}", "", reporter.entity), reporter, at)

    def add_trouble(self, span: Span, reporter: Reporter, at: float) -> None:
        """Count what the span in which an error began says of it, where the service's own lines do not tell."""
        if (span.exception_message or span.message) and not reporter.service.complains:
            line = LogLine(span.resource, span.end_at, ERROR, trouble(span), {}, span.trace_id, span.span_id)
            self._count(line, self._templates.find(line.body, "", reporter.entity), reporter, at)

    def _count(self, line: LogLine, template: Template, reporter: Reporter, at: float) -> None:
        if self._templates.merges:
            self._join()
        entity, identity = reporter.entity, template.id
        patterns = reporter.service.patterns
        if identity not in patterns:
            if len(patterns) >= self._limit:
                self._registry.over(entity, "patterns", at)
                identity = OTHER
            patterns.add(identity)
        column = self._ring.column(at)
        if column == LATE:
            return
        row = self._ring.row(entity, identity, summed=True)
        self._ring.values[row, column] += 1.0
        key = (entity, identity)
        known = self._patterns.get(key)
        if known is None or known.exemplar != line.body:
            first_seen = at if known is None else known.first_seen_at
            severity = line.severity if known is None else max(line.severity, known.severity)
            text = template.text if identity != OTHER else "(other lines)"
            self._patterns[key] = LogPattern(
                identity, entity, severity, text, line.body, first_seen, reporter.instance, line.trace_id
            )

    def _join(self) -> None:
        """What was counted under a template that became a part of another counts there, so that nothing looks new for it."""
        merges = self._templates.merges
        while merges:
            part = merges.popleft()
            for entity in [entity for entity, identity in self._patterns if identity == part.id]:
                self._move(entity, part.id, part.now())
        self._ring.forget(self._ring.head)

    def _move(self, entity: str, part: str, whole: Template) -> None:
        target = self._ring.row(entity, whole.id, summed=True)
        source = self._ring.rows.get((entity, part))
        if source is not None:
            self._ring.values[target] += self._ring.values[source]
            self._ring.values[source] = 0.0
        moved = self._patterns.pop((entity, part))
        known = self._patterns.get((entity, whole.id), moved)
        self._patterns[entity, whole.id] = structs.replace(
            known,
            id=whole.id,
            template=whole.text,
            severity=max(moved.severity, known.severity),
            first_seen_at=min(moved.first_seen_at, known.first_seen_at),
        )
        service = self._registry.services.get(entity)
        if service is not None:
            service.patterns.discard(part)
            service.patterns.add(whole.id)

    def forget(self, services: Mapping[str, ServiceState]) -> None:
        """What has left the window."""
        self._ring.forget(self._ring.head)
        alive = set(self._ring.rows)
        self._patterns = {key: pattern for key, pattern in self._patterns.items() if key in alive}
        for key, service in services.items():
            service.patterns = {identity for entity, identity in alive if entity == key}
        self._templates.keep({identity for _, identity in alive})

    def log_set(self, first: int, last: int, width: int) -> LogSet:
        """The patterns and their counts in the steps ``first`` to ``last``; ``width`` of them where nothing was written."""
        ring = self._ring
        if ring.head < 0:
            return LogSet((), np.empty((0, width)))
        if ring.head < last:
            ring.advance(last)
        ring.first = first
        one, two = ring.window_slices(last)
        count = len(ring.subjects)
        counts = np.concatenate((ring.values[1:count, one], ring.values[1:count, two]), axis=1)
        patterns = tuple(self._patterns[pair] for pair in zip(ring.subjects[1:], ring.signals[1:], strict=True))
        return LogSet(patterns, counts)
