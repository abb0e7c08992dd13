"""A back-test as a picture: when one or two alert policies would have fired over a history, with its incidents marked, and
how they score. One HTML page that needs nothing from elsewhere.

``render([Played(slo, series, score, against)], ...)`` gives the page; ``against`` is the second policy's score, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from midwatch.core.slo.score_alerts import Estimate, Found, Page, Score
from midwatch.core.slo.simulate import Series
from midwatch.faces.console import slo_words, words
from midwatch.faces.console.render import TEMPLATES
from midwatch.model.slo import Slo
from midwatch.model.world import Floats
from midwatch.shell import plots
from midwatch.shell.plots import Frame

BINS: Final = 480
LANE: Final = 44.0
GRAPH: Final = 120.0
MAX_ROWS: Final = 200
MAX_DRAWN: Final = 2000


@dataclass(frozen=True)
class Played:
    """One promise's back-test: ``series`` (of one promise: ``bad`` and ``total`` of shape (steps,)) is the history that
    was played, ``score`` what the policy made of it, ``against`` what another one did."""

    slo: Slo
    series: Series
    score: Score
    against: Score | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        return (self.score,) if self.against is None else (self.score, self.against)


def render(played: Sequence[Played], *, made_at: float, title: str = "", time_zone: str = "UTC") -> str:
    """The page. ``made_at`` in unix seconds."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = ZoneInfo(time_zone)
    env.filters.update(
        when=lambda at: datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M"),
        estimate=estimate,
        per_month=per_month,
        duration=lambda s: "–" if s is None else words.duration(s),
        percent=words.percent,
    )
    names = list(dict.fromkeys(s.policy for one in played for s in one.scores))
    return env.get_template("backtest.html").render(
        title=title or "Back-test of " + " against ".join(names) if names else "Back-test of nothing",
        parts=[_part(one, time_zone) for one in played],
        style=Markup(plots.standalone_style()),
        made_at=made_at,
        time_zone=time_zone,
    )


def _part(one: Played, time_zone: str) -> dict[str, Any]:
    b = one.against
    found = [
        (f, b.incidents[n] if b is not None and n < len(b.incidents) else None)
        for n, f in enumerate(one.score.incidents)
    ]
    false = sorted(
        ((page, score.policy) for score in one.scores for page in score.pages if not page.true),
        key=lambda pair: pair[0].start_at,
    )
    return {
        "slo": one.slo,
        "promise": slo_words.promise(one.slo),
        "scores": one.scores,
        "verdict": verdict(one),
        "picture": Markup(picture(one, time_zone)),
        "found": found[:MAX_ROWS],
        "found_more": max(0, len(found) - MAX_ROWS),
        "false": false[:MAX_ROWS],
        "false_more": max(0, len(false) - MAX_ROWS),
        "notes": list(dict.fromkeys(note for score in one.scores for note in score.notes)),
        "days": one.series.days,
    }


def verdict(one: Played) -> str:
    """The comparison in a sentence, every number from the scores."""
    said = "; ".join(_said(score) for score in one.scores)
    return f"Over {one.series.days:.0f} days with {_many(len(one.score.incidents), 'incident')}: {said}."


def _said(score: Score) -> str:
    found = sum(f.found for f in score.incidents)
    false = sum(not page.true for page in score.pages)
    return (
        f"{score.policy} found {found} and paged {_many(len(score.pages), 'time')}, {false or 'none'} of them falsely"
    )


def picture(one: Played, time_zone: str = "UTC", width: int = 1080) -> str:
    """The share of bad events over time above a lane for each policy. Incidents are bands through all of it; a page is
    filled when it was right and hollow when it was not; tickets are the thin line below."""
    series, lanes = one.series, one.scores
    end = series.start_at + series.steps * series.step_seconds
    height = round(22 + GRAPH + 14 + LANE * len(lanes) + 24)
    foot = 24 + 14 + LANE * len(lanes)
    edges, ratio = binned(series)
    known = ratio[np.isfinite(ratio)]
    top = max(float(known.max()) if known.size else 0.0, 2 * (1 - one.slo.target), 1e-9)
    graph = Frame(width, height, series.start_at, end, 0.0, top, left_pad=128.0, foot_pad=foot)
    whole = Frame(width, height, series.start_at, end, 0.0, 1.0, left_pad=128.0)
    parts = [_band(whole, f) for f in one.score.incidents[:MAX_DRAWN]]
    parts += [_tick(graph, v, words.percent(v)) for v in (0.0, top)]
    parts.append(_bars(graph, edges, ratio))
    parts.append(f'<text class="p-label" x="4" y="{graph.top_pad + 14}">bad events</text>')
    for number, score in enumerate(lanes):
        y = 22 + GRAPH + 14 + LANE * number
        parts.append(f'<text class="p-label" x="4" y="{y + 16:.1f}">{escape(_short(score.policy))}</text>')
        parts.append(f'<text class="p-tick" x="4" y="{y + 31:.1f}">{_many(len(score.pages), "page")}</text>')
        parts.append(f'<path class="p-rule" d="M{whole.left_pad} {y + 30:.1f}H{width - whole.right_pad}"/>')
        parts += [_page(whole, page, y) for page in score.pages[:MAX_DRAWN]]
        tickets = [f for f in score.firings if not f.pages][:MAX_DRAWN]
        parts += [_block(whole, f.start_at, f.end_at, y + 31, 4.0, "p-ticket", f"{f.tier}, a ticket") for f in tickets]
    parts += plots.dates(whole, time_zone)
    return plots.svg(whole, parts, verdict(one))


def binned(series: Series, bins: int = BINS) -> tuple[Floats, Floats]:
    """(edges, shape (n + 1,) in unix seconds; bad of total per bin, shape (n,), NaN without events). Each bin shows its
    worst step or at least five-minute stretch, so that a short outage is not averaged away."""
    per = max(1, round(300.0 / series.step_seconds))
    size = -(-series.steps // per)
    bad, total = (np.zeros(size * per) for _ in range(2))
    bad[: series.steps], total[: series.steps] = series.bad, series.total
    bad, total = bad.reshape(size, per).sum(axis=1), total.reshape(size, per).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(total > 0, bad / total, -1.0)
    each = max(1, -(-size // bins))
    padded = np.full(-(-size // each) * each, -1.0)
    padded[:size] = ratio
    worst = padded.reshape(-1, each).max(axis=1)
    edges = series.start_at + np.arange(worst.size + 1) * each * per * series.step_seconds
    return edges, np.where(worst < 0, np.nan, worst)


def _bars(frame: Frame, edges: Floats, ratio: Floats) -> str:
    path = []
    for left, right, value in zip(edges[:-1].tolist(), edges[1:].tolist(), ratio.tolist(), strict=True):
        if value == value and value > 0:
            path.append(
                f"M{frame.x(left):.1f} {frame.y(0):.1f}V{frame.y(value):.1f}H{frame.x(right):.1f}V{frame.y(0):.1f}Z"
            )
    return f'<path class="p-errors" d="{"".join(path)}"/>'


def _tick(frame: Frame, value: float, label: str) -> str:
    y = frame.y(value)
    return (
        f'<path class="p-rule" d="M{frame.left_pad} {y:.1f}H{frame.width - frame.right_pad}"/>'
        f'<text class="p-tick" text-anchor="end" x="{frame.left_pad - 6}" y="{y + 4:.1f}">{label}</text>'
    )


def _band(frame: Frame, incident: Found) -> str:
    x = frame.x(incident.start_at)
    wide = max(frame.x(incident.end_at) - x, 2.0)
    foot = frame.height - frame.foot_pad
    return (
        f'<rect class="p-incident" x="{x:.1f}" y="{frame.top_pad}" width="{wide:.1f}" height="{foot - frame.top_pad:.1f}">'
        f"<title>{escape(incident.name or 'incident')}</title></rect>"
    )


def _page(frame: Frame, page: Page, y: float) -> str:
    what = f"{', '.join(page.tiers)}: " + (
        f"right about {page.incident or 'an incident'}" if page.true else "a false page"
    )
    return _block(frame, page.start_at, page.end_at, y + 4, 22.0, "p-true" if page.true else "p-false", what)


def _block(frame: Frame, start: float, end: float, y: float, high: float, name: str, what: str) -> str:
    x = frame.x(start)
    wide = max(frame.x(end) - x, 3.0)
    where = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect class="{name}" {where}><title>{escape(what)}</title></rect>'


def estimate(value: Estimate) -> str:
    """``80 % (49 to 94 %)``; nothing to measure it on is said."""
    if value.value is None or value.low is None or value.high is None:
        return "not known"
    return f"{value.value * 100:.0f} % ({value.low * 100:.0f} to {value.high * 100:.0f} %)"


def per_month(value: Estimate) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "not known"
    return f"{value.value:.1f} ({value.low:.1f} to {value.high:.1f})"


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
