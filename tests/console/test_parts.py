"""The pure parts: layout, plots, words, contrast of the colours."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.faces.console import charts, words
from midwatch.faces.console.app import STATIC
from midwatch.faces.console.fakes import FakeWatch
from midwatch.faces.console.fleetmap import draw, layers
from midwatch.faces.console.pulse import Fleet, Flow, Pulse, read_fleet

KEYS = [f"service:s{n}" for n in range(12)]


def _fleet(pairs: list[tuple[int, int]], entries: tuple[str, ...] = ()) -> Fleet:
    flows = tuple(Flow(KEYS[a], KEYS[b], 1.0, 0.0, "ok") for a, b in dict.fromkeys(pairs))
    return Fleet({k: Pulse(k, "service", k[8:], "ok", "ok") for k in KEYS}, flows, entries, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40))
def test_any_call_graph_is_drawn_inside_its_box(pairs: list[tuple[int, int]]) -> None:
    drawn = draw(_fleet(pairs))
    for drawing in (drawn.wide, drawn.tall):
        assert drawing is not None and len(drawing.nodes) == len(KEYS)
        boxes = [(n.x, n.y, n.x + n.width, n.y + n.height) for n in drawing.nodes]
        for i, a in enumerate(boxes):
            assert a[0] >= 0 and a[2] <= drawing.width and a[1] >= 0 and a[3] <= drawing.height
            for b in boxes[i + 1 :]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_layers_follow_the_longest_path_and_survive_cycles() -> None:
    fleet = _fleet([(0, 1), (1, 2), (0, 2), (2, 1), (2, 3)], (KEYS[0],))
    depth = layers(KEYS, fleet.flows, fleet.entries)
    assert [depth[k] for k in KEYS[:4]] == [0, 1, 2, 3]


def test_edge_labels_do_not_cover_each_other_or_a_node() -> None:
    watch = FakeWatch("incident", 1_790_000_000.0)
    drawing = draw(read_fleet(watch.state, watch.world, watch.now)).wide
    assert drawing is not None
    labels = [
        (line.label_x - len(line.label) * 3, line.label_y - 9, line.label_x + len(line.label) * 3, line.label_y + 2)
        for line in drawing.lines
        if line.label
    ]
    assert len(labels) > 20
    boxes = labels + [(n.x, n.y, n.x + n.width, n.y + n.height) for n in drawing.nodes]
    for i, a in enumerate(labels):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_gap_stays_a_gap_in_the_line() -> None:
    drawn = charts.spark(np.array([1.0, 2.0, np.nan, np.nan, 3.0, 1.0]))
    assert drawn.path.count("M") == 2
    assert charts.spark(np.array([np.nan, np.nan])).empty and charts.spark(np.array([])).path == ""
    assert charts.numbers(np.array([1.0, np.nan, np.inf])) == [1.0, None, None]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_can_be_said(value: float) -> None:
    for said in (words.number(value), words.percent(value), words.measured(value, "bytes"), words.rate(value)):
        assert isinstance(said, str)
    if math.isnan(value):
        assert words.number(value) == words.percent(value) == words.duration(value) == "no data"


def test_numbers_as_people_say_them() -> None:
    plain = {
        words.percent(0.153): "15 %",
        words.percent(0.0015): "0.15 %",
        words.percent(0.00002): "< 0.01 %",
        words.target_percent(0.9995): "99.95 %",
        words.measured(2.5e9, "bytes"): "2.5 GB",
        words.duration(7500): "2 h 5 min",
        words.ago(100, 160): "60 s ago",
        words.number(0.42, "x"): "0.42 x",
    }
    assert [k.replace("\u00a0", " ") for k in plain] == list(plain.values())


def _tokens(dark: bool) -> dict[str, str]:
    css = (STATIC / "console.css").read_text("utf-8")
    light_part, dark_part = css.split("@media screen and (prefers-color-scheme: dark)", 1)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", light_part))
    if dark:
        found.update(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", dark_part.split("}\n}", 1)[0]))
    return found


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two ``#rrggbb`` colours."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_keeps_its_contrast(dark: bool) -> None:
    tokens = _tokens(dark)
    surfaces = [tokens[s] for s in ("bg", "panel", "panel2")]
    for text in ("ink", "muted", "accent", "link", "ok", "warn", "bad", "idle", "nodata", "info"):
        for surface in surfaces:
            assert contrast(tokens[text], surface) >= 4.5, (text, surface)
    for tone in ("ok", "warn", "bad", "nodata", "info"):
        assert contrast(tokens[tone], tokens[f"{tone}-soft"]) >= 4.5, tone
        assert contrast(tokens["ink"], tokens[f"{tone}-soft"]) >= 4.5, tone
    for ink, surface in (("on-lamp", "lamp"), ("top-ink", "top"), ("top-muted", "top")):
        assert contrast(tokens[ink], tokens[surface]) >= 4.5, (ink, surface)


def test_vendored_files_are_the_ones_that_are_written_down() -> None:
    import hashlib

    table = (STATIC / "vendor" / "VENDORED.md").read_text("utf-8")
    for name, digest in re.findall(r"^\| `([^`]+)` .* ([0-9a-f]{64}) \|$", table, re.M):
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name
