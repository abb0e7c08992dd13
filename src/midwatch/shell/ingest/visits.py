"""Whole traces and their log lines to visits: what each service did with each request, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from midwatch.model.entity import name_of
from midwatch.model.visit import Visit
from midwatch.shell.ingest.rows import LogLine, Span
from midwatch.shell.ingest.templates import Templates

_WARN: Final = 13
_LONGEST: Final = 200  # calls, and lines, that are kept of one visit


def visits(spans: Iterable[Span], lines: Iterable[LogLine], templates: Templates) -> tuple[Visit, ...]:
    """The visits that ``spans`` are parts of: a visit begins with a span whose parent is another service's, or missing, and
    takes in all that follows within the service. Lines count where their span is known."""
    by_id = {span.span_id: span for span in spans}
    heads: dict[str, str] = {}
    for span in by_id.values():
        _head(span, by_id, heads)
    place = {head: number for number, head in enumerate(dict.fromkeys(heads.values()))}
    calls: list[list[tuple[float, str]]] = [[] for _ in place]
    callers = [-1] * len(place)
    for head, number in place.items():
        span = by_id[head]
        asked_by = heads.get(span.parent_id, "")
        if asked_by:
            callers[number] = place[asked_by]
            calls[place[asked_by]].append((span.start_at, f"{name_of(span.resource.entity)} {span.name}"))
    written: list[list[tuple[float, str]]] = [[] for _ in place]
    warned: list[set[str]] = [set() for _ in place]
    kept = [line for line in lines if line.span_id in heads]
    for line in kept:  # templates grow while lines are read: their names are asked for when all are known
        _name(line, templates)
    for line in kept:
        number = place[heads[line.span_id]]
        text = _name(line, templates)
        written[number].append((line.at, text))
        if line.severity >= _WARN:
            warned[number].add(text)
    return tuple(
        Visit(
            by_id[head].resource.entity,
            by_id[head].name,
            by_id[head].start_at,
            _ordered(calls[number]),
            _ordered(written[number]),
            frozenset(warned[number]),
            callers[number],
            by_id[head].trace_id,
        )
        for head, number in place.items()
    )


def _name(line: LogLine, templates: Templates) -> str:
    """The statement that wrote the line, where the record says so, else the line's template."""
    where = line.attributes.get("code.function.name") or line.attributes.get("code.file.path")
    number = line.attributes.get("code.line.number")
    if where and number:
        return f"{where}:{number}"
    return templates.find(line.body, str(line.attributes.get("exception.type", ""))).text


def _head(span: Span, by_id: Mapping[str, Span], heads: dict[str, str]) -> None:
    """Note for ``span``, and for all on the way, the span with which its service's part begins."""
    path: list[str] = []
    while span.span_id not in heads:
        path.append(span.span_id)
        above = by_id.get(span.parent_id)
        if above is None or above.resource.entity != span.resource.entity or above.span_id in path:
            heads[span.span_id] = span.span_id
            break
        span = above
    head = heads[span.span_id]
    for span_id in path:
        heads[span_id] = head


def _ordered(items: list[tuple[float, str]]) -> tuple[str, ...]:
    return tuple(text for _, text in sorted(items, key=lambda item: item[0])[:_LONGEST])
