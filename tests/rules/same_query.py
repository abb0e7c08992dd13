"""Whether two queries say the same, however they are laid out."""

from __future__ import annotations

import math
from typing import Any

import promql_parser as promql

from midwatch.core.slo.promql import _children, _moved, _name, _parse


def same(a: str, b: str) -> bool:
    """Whether two queries are equal as syntax trees: layout, brackets that change nothing and the order of matchers and
    labels do not count; numbers are equal within 1e-9 of each other."""
    return _alike(_shape(_parse(a)), _shape(_parse(b)))


def _shape(node: Any) -> Any:
    """A node as nested tuples of plain values: what makes two trees the same."""
    if isinstance(node, promql.ParenExpr):
        return _shape(node.expr)
    if isinstance(node, promql.NumberLiteral | promql.StringLiteral):
        return node.val
    if isinstance(node, promql.VectorSelector):
        groups = [node.matchers.matchers, *node.matchers.or_matchers]
        matchers = tuple(tuple(sorted((m.name, _name(m.op), m.value) for m in group)) for group in groups)
        return ("selector", node.name or "", matchers, _moved(node))
    if isinstance(node, promql.MatrixSelector):
        return ("range", _shape(node.vector_selector), node.range.total_seconds())
    own: tuple[Any, ...] = ()
    if isinstance(node, promql.SubqueryExpr):
        step = -1.0 if node.step is None else node.step.total_seconds()
        own = ("subquery", node.range.total_seconds() if node.range else -1.0, step, _moved(node))
    elif isinstance(node, promql.Call):
        own = ("call", node.func.name)
    elif isinstance(node, promql.AggregateExpr):
        how = node.modifier
        own = (
            "aggregate",
            str(node.op),
            *(() if how is None or not how.labels else (_name(how.type), *sorted(how.labels))),
        )
        if how is not None and not how.labels and how.type == promql.AggModifierType.Without:
            own = (*own, "Without")
    elif isinstance(node, promql.BinaryExpr):
        own = ("binary", str(node.op), *_match_shape(node.modifier))
    else:
        own = (type(node).__name__,)
    return (*own, *(_shape(child) for child in _children(node)))


def _match_shape(how: Any) -> tuple[Any, ...]:
    if how is None:
        return ("OneToOne", False, (), ())
    matching = () if how.matching is None else (_name(how.matching.type), *sorted(how.matching.labels))
    return (_name(how.card), bool(how.return_bool), matching, tuple(sorted(how.group_labels or ())))


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
