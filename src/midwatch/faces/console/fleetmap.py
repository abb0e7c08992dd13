"""The fleet as a drawing: nodes in layers by call depth, edges routed between them. Pure geometry, no markup.

Layers come from the longest path of calls from where requests enter (back edges of cycles are ignored); inside a layer
the order is the one with few crossings that a few barycentre sweeps find (Sugiyama's method, without its last polish).
Two shapes: ``wide`` (left to right) and ``tall`` (top to bottom, for a phone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from midwatch.faces.console import words
from midwatch.faces.console.pulse import Fleet, Flow, Pulse

MAX_NODES = 60  # above this the page lists the worst ones instead of drawing
LIST_NODES = 24

WIDE_W, WIDE_H, WIDE_GAP_X, WIDE_GAP_Y = 138.0, 58.0, 84.0, 18.0
TALL_WIDTH, TALL_W, TALL_H, TALL_GAP_X, TALL_GAP_Y, TALL_PER_ROW = 344.0, 108.0, 56.0, 10.0, 26.0, 3


class Node(Struct, frozen=True):
    pulse: Pulse
    x: float
    y: float
    width: float
    height: float
    hot: bool = False

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


class Line(Struct, frozen=True):
    """One edge: an SVG ``path``, and its ``label`` ("" when there is no room for it: the table and the tooltip have it).
    ``toward`` is the end that the harm goes to, where the edge is part of its way: ``caller`` or ``callee``."""

    flow: Flow
    path: str
    weight: float
    hot: bool = False
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    toward: str = ""


class Drawing(Struct, frozen=True):
    width: float
    height: float
    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]


class FleetMap(Struct, frozen=True):
    """Either two drawings, or (for a large fleet) the worst entities first and how many more there are."""

    wide: Drawing | None
    tall: Drawing | None
    worst: tuple[Pulse, ...]
    total: int


Trail = Mapping[frozenset[str], str]
"""The two ends of an edge -> the one that the harm goes to."""


def draw(fleet: Fleet, hot: frozenset[str] = frozenset(), trail: Trail | None = None) -> FleetMap:
    """The map of ``fleet``; entities in ``hot`` and edges of ``trail`` lie on the path of a likely cause."""
    trail = trail or {}
    ranked = sorted(fleet.pulses.values(), key=lambda p: p.order)
    if len(ranked) > MAX_NODES:
        return FleetMap(None, None, tuple(ranked[:LIST_NODES]), len(ranked))
    flows = [f for f in fleet.flows if f.caller in fleet.pulses and f.callee in fleet.pulses and f.caller != f.callee]
    depth = layers(list(fleet.pulses), flows, fleet.entries)
    return FleetMap(
        _wide(fleet.pulses, flows, depth, hot, trail),
        _tall(fleet.pulses, flows, depth, hot, trail),
        tuple(ranked),
        len(ranked),
    )


def layers(keys: Sequence[str], flows: Sequence[Flow], entries: Sequence[str]) -> dict[str, int]:
    """Depth of every key: the longest path of calls that leads to it, back edges left out."""
    callees: dict[str, list[str]] = {k: [] for k in keys}
    called: set[str] = set()
    for flow in flows:
        callees[flow.caller].append(flow.callee)
        called.add(flow.callee)
    roots = [k for k in entries if k in callees] + [k for k in keys if k not in called]
    order: list[str] = []
    state: dict[str, int] = {}  # 1 on the stack, 2 finished
    back: set[tuple[str, str]] = set()
    for root in [*roots, *keys]:
        if root in state:
            continue
        stack = [(root, iter(callees[root]))]
        state[root] = 1
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                stack.pop()
                state[node] = 2
                order.append(node)
            elif state.get(step) == 1:
                back.add((node, step))
            elif step not in state:
                state[step] = 1
                stack.append((step, iter(callees[step])))
    depth = dict.fromkeys(keys, 0)
    for node in reversed(order):
        for callee in callees[node]:
            if (node, callee) not in back:
                depth[callee] = max(depth[callee], depth[node] + 1)
    return depth


def _ordered(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The same layers, reordered so that few links between neighbouring layers cross."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    for sweep in range(8):
        down = sweep % 2 == 0
        neighbours = before if down else after
        for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = rows[i - 1] if down else rows[i + 1]
            size = max(1, len(fixed) - 1)
            at = {k: n / size for n, k in enumerate(fixed)}
            now = {k: n / max(1, len(rows[i]) - 1) for n, k in enumerate(rows[i])}

            def place(k: str, at: Mapping[str, float] = at, now: Mapping[str, float] = now) -> float:
                seen = [at[n] for n in neighbours.get(k, ()) if n in at]  # noqa: B023
                return sum(seen) / len(seen) if seen else now[k]

            rows[i] = sorted(rows[i], key=lambda k: (place(k), k))
    return rows


def _weight(flow: Flow, peak: float) -> float:
    """Stroke width of an edge, 1..3.5 by its share of the busiest edge."""
    if not (flow.rate > 0 and peak > 0):
        return 1.0
    return round(1.0 + 2.5 * math.sqrt(flow.rate / peak), 2)


def _peak(flows: Sequence[Flow]) -> float:
    return max((f.rate for f in flows if math.isfinite(f.rate)), default=0.0)


def _toward(flow: Flow, trail: Trail) -> str:
    end = trail.get(frozenset((flow.caller, flow.callee)), "")
    return "" if not end else "caller" if end == flow.caller else "callee"


def _wide(
    pulses: Mapping[str, Pulse], flows: Sequence[Flow], depth: Mapping[str, int], hot: frozenset[str], trail: Trail
) -> Drawing:
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key in sorted(pulses):
        columns[depth[key]].append(key)
    links: list[tuple[str, str]] = []
    routes: dict[tuple[str, str], list[str]] = {}
    for n, flow in enumerate(flows):  # a long edge passes through a place of its own in every layer between
        a, b = depth[flow.caller], depth[flow.callee]
        chain = [flow.caller]
        for level in range(a + 1, b):
            dummy = f"\0{n}.{level}"
            columns[level].append(dummy)
            chain.append(dummy)
        chain.append(flow.callee)
        routes[flow.caller, flow.callee] = chain
        if b > a:
            links += pairwise(chain)
    columns = _ordered(columns, links)

    def height(key: str) -> float:
        return WIDE_H if key in pulses else 8.0

    totals = [sum(height(k) + WIDE_GAP_Y for k in column) - WIDE_GAP_Y for column in columns]
    tallest = max(totals, default=0.0)
    spots: dict[str, tuple[float, float]] = {}
    for level, column in enumerate(columns):
        y = 12.0 + (tallest - totals[level]) / 2
        for key in column:
            spots[key] = (8.0 + level * (WIDE_W + WIDE_GAP_X), y)
            y += height(key) + WIDE_GAP_Y
    peak = _peak(flows)
    lines: list[Line] = []
    routed: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for flow in flows:
        chain = routes[flow.caller, flow.callee]
        x0, y0 = spots[flow.caller]
        x, y = x0 + WIDE_W, y0 + WIDE_H / 2
        if depth[flow.callee] <= depth[flow.caller]:  # a cycle's way back: an arc below
            x1, y1 = spots[flow.callee]
            low = max(y0, y1) + WIDE_H + 40
            path = f"M{x0 + WIDE_W / 2:.0f} {y0 + WIDE_H:.0f}C{x0:.0f} {low:.0f} {x1 + WIDE_W:.0f} {low:.0f} "
            path += f"{x1 + WIDE_W / 2:.0f} {y1 + WIDE_H:.0f}"
            toward = _toward(flow, trail)
            lines.append(Line(flow, path, 1.0, bool(toward), toward=toward))
            continue
        path, bends = f"M{x:.0f} {y:.0f}", []
        for key in chain[1:]:
            x1, y1 = spots[key]
            y1 += height(key) / 2
            bend = (x1 - x) * 0.5
            path += f"C{x + bend:.0f} {y:.0f} {x1 - bend:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
            bends.append((x, y, x1, y1))
            x, y = x1, y1
            if key not in pulses:
                x += WIDE_W
                path += f"L{x:.0f} {y:.0f}"
        toward = _toward(flow, trail)
        lines.append(Line(flow, path, _weight(flow, peak), bool(toward), toward=toward))
        routed[flow.caller, flow.callee] = bends
    nodes = tuple(Node(pulses[k], *spots[k], WIDE_W, WIDE_H, k in hot) for k in spots if k in pulses)
    width = 16.0 + len(columns) * (WIDE_W + WIDE_GAP_X) - WIDE_GAP_X
    return Drawing(max(width, 200.0), tallest + 24, nodes, _labelled(_cold_first(lines), routed, nodes))


def _labelled(
    lines: Sequence[Line],
    routed: Mapping[tuple[str, str], list[tuple[float, float, float, float]]],
    nodes: Sequence[Node],
) -> tuple[Line, ...]:
    """Rate (and error share) beside each edge where a place is free: what matters chooses first."""
    taken = [(n.x - 2, n.y - 10, n.x + n.width + 2, n.y + n.height) for n in nodes]
    placed: list[Line] = []
    for line in reversed(lines):
        flow = line.flow
        bends = routed.get((flow.caller, flow.callee), [])
        if not math.isfinite(flow.rate) or not bends:
            placed.append(line)
            continue
        text = f"{words.rate(flow.rate)}/s"
        if flow.tone in ("bad", "warn"):
            text += f" {words.percent(flow.error_share)}"
        half = len(text) * 3.1 + 2
        spots = [(b, t) for b in (bends[-1], bends[0]) for t in (0.5, 0.62, 0.38, 0.75, 0.25)]
        for (x0, y0, x1, y1), t in spots:
            x, y = _on_bend(x0, x1, t), y0 + (y1 - y0) * (3 * t * t - 2 * t * t * t)
            box = (x - half, y - 13, x + half, y)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                line = replace(line, label=text, label_x=x, label_y=y - 3)
                break
        placed.append(line)
    return tuple(reversed(placed))


def _on_bend(x0: float, x1: float, t: float) -> float:
    """x of the cubic from x0 to x1 whose handles lie half way, at parameter ``t``."""
    handle = (x1 - x0) * 0.5
    u = 1 - t
    return u**3 * x0 + 3 * u * u * t * (x0 + handle) + 3 * u * t * t * (x1 - handle) + t**3 * x1


def _tall(
    pulses: Mapping[str, Pulse], flows: Sequence[Flow], depth: Mapping[str, int], hot: frozenset[str], trail: Trail
) -> Drawing:
    layered: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key in sorted(pulses):
        layered[depth[key]].append(key)
    layered = _ordered(layered, [(f.caller, f.callee) for f in flows if depth[f.callee] == depth[f.caller] + 1])
    rows = [row for layer in layered for row in _rows(layer, hot)]
    spots: dict[str, tuple[float, float]] = {}
    for n, row in enumerate(rows):
        span = len(row) * (TALL_W + TALL_GAP_X) - TALL_GAP_X
        for i, key in enumerate(row):
            spots[key] = ((TALL_WIDTH - span) / 2 + i * (TALL_W + TALL_GAP_X), 6 + n * (TALL_H + TALL_GAP_Y))
    peak = _peak(flows)
    lines = []
    for flow in flows:
        (x0, y0), (x1, y1) = spots[flow.caller], spots[flow.callee]
        x0, x1 = x0 + TALL_W / 2, x1 + TALL_W / 2
        y0, y1 = (y0 + TALL_H, y1) if y1 > y0 else (y0, y1 + TALL_H)
        bend = (y1 - y0) * 0.45
        path = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
        toward = _toward(flow, trail)
        lines.append(Line(flow, path, min(2.4, _weight(flow, peak)), bool(toward), toward=toward))
    nodes = tuple(Node(pulses[k], *spots[k], TALL_W, TALL_H, k in hot) for k in spots)
    return Drawing(TALL_WIDTH, 12 + len(rows) * (TALL_H + TALL_GAP_Y) - TALL_GAP_Y, nodes, _cold_first(lines))


def _rows(layer: list[str], hot: frozenset[str]) -> list[list[str]]:
    """A layer in rows; what is hot comes into the first, next to its callers, so that nothing lies over the way."""
    first = sorted(layer, key=lambda key: key not in hot)
    return [
        sorted(first[i : i + TALL_PER_ROW], key=layer.index) for i in range(0, len(layer), TALL_PER_ROW)
    ]  # fmt: skip


def _cold_first(lines: list[Line]) -> tuple[Line, ...]:
    """What matters is drawn last, on top."""
    rank = {"ok": 0, "idle": 0, "nodata": 1, "warn": 2, "bad": 3}
    return tuple(sorted(lines, key=lambda line: (line.hot, rank[line.flow.tone])))
