"""Counts over one step that add up: what a counter grew by, as far as its samples tell, with nothing guessed in between.

``increase(x[w])`` sees only the samples inside the window: what grew between the last sample of one window and the first of
the next is replaced by an extrapolation. Right on the average, wrong for each burst, and a series that appears loses its
first value. A budget is a sum over thousands of steps, so the query is rewritten on its syntax tree::

    ((x - x offset w) >= 0 unless resets(x[w]) > 0)      grew, or stood still: neighbouring steps telescope
    or ((x < x offset w) unless resets(x[w]) > 0)        began anew before the window's first sample: its value since then
    or ((x unless last_over_time(x[1h] offset w)) and on (job, instance) (up offset w == 1))
                                                         appeared at a target that was there: it began at zero
    or increase(x[w])                                    anything else: Prometheus's own arithmetic

``rate(x[w])`` is the same divided by the window's seconds. Only ranges that are exactly the window are rewritten, and no
query with a function over histograms in it (their samples cannot be compared).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import promql_parser as promql

GONE: Final = "1h"
"""A series that was there so lately has not begun at zero: it was only away."""


def exact(query: str, window_seconds: float) -> str:
    """``query`` with every increase and rate over ``window_seconds`` (whole seconds) counted from differences. What cannot
    be rewritten stays as it is. Raises ValueError when ``query`` is not PromQL."""
    tree = promql.parse(query)
    names: list[str] = []
    promql.walk(tree, lambda node: names.append(node.func.name) if isinstance(node, promql.Call) else None)
    if any(name.startswith("histogram_") for name in names):
        return query
    window = timedelta(seconds=window_seconds)
    # The new texts stand in for names until the tree is written: parsing their ten selectors, each with its patterns
    # compiled, would take ten times as long as all the rest.
    texts: dict[str, str] = {}

    def grown(node: promql.Expr) -> promql.Expr | None:
        if not isinstance(node, promql.Call) or node.func.name not in ("increase", "rate"):
            return None
        (ranged,) = node.args
        if not isinstance(ranged, promql.MatrixSelector) or ranged.range != window:
            return None
        selector = ranged.vector_selector
        if selector.offset is not None or selector.at is not None or not selector.name:
            return None  # several metrics at once would have to be told apart by their names
        counted = _growth(selector.prettify(), promql.display_duration(window))
        name = f"midwatch_grown_{len(texts)}_"
        texts[name] = counted if node.func.name == "increase" else f"({counted} / {window_seconds:g})"
        return promql.parse(name)

    found = promql.transform(tree, None, grown).prettify()  # its str() escapes no quotes and drops a subquery's colon
    for name, text in texts.items():
        found = found.replace(name, text)
    return found


def _growth(x: str, w: str) -> str:
    steady = f"unless resets({x}[{w}]) > 0"
    return (
        f"(((({x} - {x} offset {w}) >= 0) {steady})"
        f" or (({x} < {x} offset {w}) {steady})"
        f" or (({x} unless last_over_time({x}[{GONE}] offset {w})) and on (job, instance) (up offset {w} == 1))"
        f" or increase({x}[{w}]))"
    )
