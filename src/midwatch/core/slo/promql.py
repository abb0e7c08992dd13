"""Queries as teams write them, handled as syntax trees: how many events does one count in a window?

A query has one of two shapes. A *template* has ``{{.window}}`` in it, as Sloth's do; what it says is taken at its word,
but a ``rate`` is per second and is multiplied by the window's seconds. A *bare* expression is over counters, as Pyrra's
and OpenSLO's are: each counter is looked at through ``increase(counter[window])``.

Every function takes text and gives text. What is no PromQL, or counts nothing, raises ConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

import promql_parser as promql

from midwatch.model.errors import ConfigError

# A Go template, not PromQL: that is why an expression may read it.
_WINDOW: Final = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
_PER_SECOND: Final = frozenset({"rate", "irate", "deriv"})
_ADDS_UP: Final = frozenset({"increase", "sum_over_time", "count_over_time", "changes", "resets"})
_NO_LABELS: Final = frozenset({"vector", "scalar", "time", "absent", "absent_over_time", "pi"})
_GROUPABLE: Final = frozenset({"sum", "count", "min", "max", "avg", "group", "stddev", "stdvar", "quantile"})
_MATCH: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def is_template(query: str) -> bool:
    """Whether the query has ``{{.window}}`` in it."""
    return _WINDOW.search(query) is not None


def substitute(template: str, window: str) -> str:
    """The template with every ``{{.window}}`` replaced by ``window`` (a PromQL duration), otherwise as written."""
    return _WINDOW.sub(window, template)


def seconds(window: str) -> float:
    """A PromQL duration ("5m", "1d12h") in seconds."""
    try:
        return promql.parse_duration(window).total_seconds()
    except ValueError as error:
        raise ConfigError(
            f"no duration: {window!r} ({error})", hint='write one as Prometheus does: "5m", "30d"'
        ) from None


def duration(window_seconds: float) -> str:
    """Seconds as Prometheus and people write them: the largest unit that divides them (2592000 is "30d")."""
    whole = round(window_seconds)
    if whole <= 0:
        raise ConfigError(f"a window of {window_seconds:g} s", hint="a window is at least a second long")
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def selectors(query: str) -> tuple[str, ...]:
    """The distinct vector selectors of a query or template, without range and offset, in order of appearance."""
    found = (_selector(n) for n in _nodes(_parse(substitute(query, "5m"))) if isinstance(n, promql.VectorSelector))
    return tuple(dict.fromkeys(found))


def events(query: str, window: str, by: tuple[str, ...] = ()) -> str:
    """PromQL for the number of events in the last ``window`` ("5m"): one series, or one for each value of the ``by``
    labels. Raises ConfigError when the query counts nothing that adds up, or cannot be grouped."""
    tree, per_second = _counted(query, window)
    if by:
        tree = _grouped(tree, by, query)
    # Parsing is dear where matchers have patterns: what can be said around the tree is said in text.
    text = f"{_wrapped(tree)} * {seconds(window):g}" if per_second else str(tree.prettify())
    return text if _labels(tree) == frozenset(by) else f"sum{_by(by)} ({text})"


def ratio(query: str, window: str, by: tuple[str, ...] = ()) -> str:
    """PromQL for a query that is a ratio already, over ``window``: the mean where it is bare, else as the template says.
    Several series are averaged into one (one for each value of the ``by`` labels)."""
    written = _parse(substitute(query, window))
    tree = written if is_template(query) else _parse(f"avg_over_time(({written.prettify()})[{window}:])")
    if by:
        tree = _grouped(tree, by, query)
    if _labels(tree) != frozenset(by):
        tree = _parse(f"avg{_by(by)} ({tree.prettify()})")
    return str(tree.prettify())


def value(query: str, window: str, by: tuple[str, ...] = ()) -> str:
    """PromQL for the query's value now, as written; a template sees ``window``, and the ``by`` labels are kept."""
    tree = _parse(substitute(query, window))
    return str((_grouped(tree, by, query) if by else tree).prettify())


def matched(selector: str, **labels: str) -> str:
    """A plain selector with more equality matchers: ``matched('x{a="1"}', le="0.3")`` is ``x{a="1",le="0.3"}``."""
    extra = [promql.Matcher(promql.MatchOp.Equal, name, value) for name, value in labels.items()]
    return _with_matchers(selector, extra)


def matched_any(selector: str, label: str, values: Iterable[str]) -> str:
    """A plain selector whose ``label`` has one of ``values``."""
    pattern = "|".join(re.escape(value) for value in values)
    return _with_matchers(selector, [promql.Matcher(promql.MatchOp.Re, label, pattern)])


def _with_matchers(selector: str, extra: list[Any]) -> str:
    node = _parse(selector)
    if not isinstance(node, promql.VectorSelector):
        raise ConfigError(f"not a plain selector: {selector}", hint="a metric's name and matchers, nothing around them")
    names = {matcher.name for matcher in extra}
    return _selector(node, [*(m for m in node.matchers.matchers if m.name not in names), *extra])


def quoted(text: str) -> str:
    """A PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _parse(query: str) -> Any:  # the stubs know promql.Expr, whose attributes differ per node
    """A new tree each time: its nodes can be written to."""
    try:
        return promql.parse(query)
    except ValueError as error:
        raise ConfigError(f"not PromQL: {error}: {' '.join(query.split())}") from None


def _counted(query: str, window: str) -> tuple[Any, bool]:
    """The tree that counts events in ``window``, with whatever labels the query leaves, and whether it says them per
    second."""
    if not is_template(query):
        return _bare(query, window), False
    tree = _parse(substitute(query, window))
    if isinstance(tree, promql.MatrixSelector | promql.SubqueryExpr | promql.StringLiteral):
        raise _refused("it gives no instant vector", query)
    kinds = {name in _PER_SECOND for name in _outer_calls(tree) if name in _PER_SECOND | _ADDS_UP}
    if len(kinds) > 1:
        raise _refused("it mixes rates per second with counts", query)
    return tree, True in kinds


def _bare(query: str, window: str) -> Any:
    """A bare expression seen through ``window``: bare counters through an increase; what has a range of its own (somebody
    wrote ``rate(x[5m])``) through the same function over ``window``."""
    depth = 0

    def enter(node: Any) -> None:
        nonlocal depth
        depth += isinstance(node, promql.MatrixSelector | promql.SubqueryExpr)

    def leave(node: Any) -> Any:
        nonlocal depth
        if isinstance(node, promql.MatrixSelector | promql.SubqueryExpr):
            depth -= 1
            return _parse(_ranged(node, window)) if depth == 0 else None
        if isinstance(node, promql.VectorSelector) and depth == 0:
            return _parse(f"increase({_ranged(node, window)})")
        if (
            isinstance(node, promql.Call)
            and depth == 0
            and any(isinstance(a, promql.MatrixSelector) for a in node.args)
        ):
            if node.func.name in _PER_SECOND:
                return _parse(f"increase({node.args[0].prettify()})")
            if node.func.name not in _ADDS_UP:
                raise _refused(f"what {node.func.name} gives does not add up to a count of events", query)
        return None

    tree = _parse(query)
    if not any(isinstance(node, promql.VectorSelector) for node in _nodes(tree)):
        raise _refused("it selects no series", query)
    return promql.transform(tree, enter, leave)


def _grouped(tree: Any, by: tuple[str, ...], query: str) -> Any:
    """The tree with the ``by`` labels kept by every aggregation and match in it."""

    def keep(node: Any) -> Any:
        if isinstance(node, promql.Call) and node.func.name in _NO_LABELS:
            raise _refused(f"cannot be grouped by {', '.join(by)}: {node.func.name}() has no labels", query)
        if isinstance(node, promql.AggregateExpr):
            return _aggregate(node, by, query)
        if isinstance(node, promql.BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            return _matching(node, by, query)
        return None

    return promql.transform(tree, None, keep)


def _aggregate(node: Any, by: tuple[str, ...], query: str) -> Any:
    if str(node.op) not in _GROUPABLE:
        raise _refused(f"cannot be grouped by {', '.join(by)}: {node.op} stands in the way", query)
    labels: list[str] = [] if node.modifier is None else list(node.modifier.labels)
    if node.modifier is not None and node.modifier.type == promql.AggModifierType.Without:
        if set(labels) & set(by):
            raise _refused(f"cannot be grouped by {', '.join(by)}: it sums without them", query)
        return None
    param = "" if node.param is None else f"{node.param.prettify()}, "
    return _parse(f"{node.op}{_by(dict.fromkeys([*labels, *by]))} ({param}{node.expr.prettify()})")


def _matching(node: Any, by: tuple[str, ...], query: str) -> Any:
    how = node.modifier
    if how.matching.type == promql.LabelModifierType.Exclude:
        if set(how.matching.labels) & set(by):
            raise _refused(f"cannot be grouped by {', '.join(by)}: it matches ignoring them", query)
        return None
    on = ", ".join(dict.fromkeys([*how.matching.labels, *by]))
    side = {"ManyToOne": "group_left", "OneToMany": "group_right"}.get(_name(how.card), "")
    side = f"{side} ({', '.join(label for label in how.group_labels or [] if label not in by)})" if side else ""
    word = "bool" if how.return_bool else ""
    return _parse(f"{_wrapped(node.lhs)} {node.op} {word} on ({on}) {side} {_wrapped(node.rhs)}")


def _labels(node: Any) -> frozenset[str] | None:
    """The labels that the series of ``node`` have, when the tree alone tells."""
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return _labels(node.expr)
    if isinstance(node, promql.NumberLiteral):
        return frozenset()
    if isinstance(node, promql.AggregateExpr) and str(node.op) in _GROUPABLE:
        if node.modifier is None:
            return frozenset()
        return frozenset(node.modifier.labels) if node.modifier.type == promql.AggModifierType.By else None
    if isinstance(node, promql.Call):
        if node.func.name in ("vector", "scalar", "time", "pi"):
            return frozenset()
        keeps = len(node.args) == 1 and not node.func.name.startswith("absent")
        return _labels(node.args[0]) if keeps else None
    if isinstance(node, promql.BinaryExpr):
        left, right = _labels(node.lhs), _labels(node.rhs)
        if isinstance(node.rhs, promql.NumberLiteral):
            return left
        return left if left == right and (node.modifier is None or _name(node.modifier.card) != "ManyToMany") else None
    return None


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node, parents first."""
    found: list[Any] = []
    promql.walk(tree, found.append)
    return iter(found)


def _outer_calls(node: Any) -> Iterator[str]:
    """Names of the functions that no range or subquery stands around: what they give is what the query gives."""
    if isinstance(node, promql.MatrixSelector | promql.SubqueryExpr):
        return
    if isinstance(node, promql.Call):
        yield node.func.name
    for child in _children(node):
        yield from _outer_calls(child)


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.AggregateExpr):
        return [node.expr] if node.param is None else [node.param, node.expr]
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return [node.expr]
    return []


def _selector(node: Any, matchers: Iterable[Any] | None = None) -> str:
    """A vector selector's name and matchers, without offset and @ (the parser's own str() leaves quotes unescaped)."""
    groups = [list(node.matchers.matchers if matchers is None else matchers), *node.matchers.or_matchers]
    inside = " or ".join(
        ",".join(f"{m.name}{_MATCH[_name(m.op)]}{quoted(m.value)}" for m in group) for group in groups if group
    )
    return f"{node.name or ''}{{{inside}}}" if inside or not node.name else str(node.name)


def _ranged(node: Any, window: str) -> str:
    """A vector, matrix or subquery node as a range of ``window``, with its offset and @ kept."""
    inner = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
    if isinstance(node, promql.SubqueryExpr):
        step = "" if node.step is None else promql.display_duration(node.step)
        return f"{_wrapped(node.expr)}[{window}:{step}]{_moved(node)}"
    return f"{_selector(inner)}[{window}]{_moved(inner)}"


def _moved(node: Any) -> str:
    parts = ""
    if node.at is not None:
        fixed = {"Start": "start()", "End": "end()"}.get(_name(node.at.type))
        parts += f" @ {fixed or format(node.at.at.timestamp(), '.3f')}"
    if node.offset is not None:
        sign = "-" if node.offset < timedelta(0) else ""
        parts += f" offset {sign}{promql.display_duration(abs(node.offset))}"
    return parts


def _wrapped(node: Any) -> str:
    return str(node.prettify()) if isinstance(node, promql.ParenExpr) else f"({node.prettify()})"


def _by(labels: Iterable[str]) -> str:
    listed = ", ".join(labels)
    return f" by ({listed})" if listed else ""


def _name(value: Any) -> str:
    """Of the parser's enumerations, which are none of Python's: "Equal" of MatchOp.Equal."""
    return str(value).rpartition(".")[2]


def _refused(why: str, query: str) -> ConfigError:
    return ConfigError(f"{why}: {' '.join(query.split())}")
