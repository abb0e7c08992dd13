"""The monthly report on promises, written down: as Markdown, and as one HTML page that needs nothing from elsewhere.

``month_report(state, ledgers, month, now=...)`` gathers the facts (``core/slo/report.py``), ``render(facts, form)`` writes
them as ``md`` or ``html``. Whoever has counts of a longer past than the ledgers (the store) makes the accounts and calls
``core.slo.report.report``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from midwatch.core.memory import Ledger
from midwatch.core.slo.budget import blind_why
from midwatch.core.slo.month import Account, Kept, Month, MonthReport
from midwatch.core.slo.report import corrections, report
from midwatch.model.adjustments import Adjustment
from midwatch.model.findings import Incident
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.shell import plots
from midwatch.shell.markdown import bars, cell
from midwatch.shell.plots import Mark

TEMPLATES: Final = Path(__file__).parent / "templates"
ADJUSTED: Final = {"exclude": "left out", "give_back": "given back"}
Form = Literal["md", "html"]


def month_report(
    state: State, ledgers: Mapping[str, Ledger], month: str, *, now: float, time_zone: str = "UTC"
) -> MonthReport:
    """The facts of ``month`` (``2026-10``) for every promise of ``state``, from its ledgers (33 days of hours) and what the
    journal knows of incidents and changes. ``now`` in unix seconds. Raises ValueError for what is no month or no zone."""
    groups: dict[str, list[str]] = {}
    for key in sorted(ledgers):
        groups.setdefault(key.partition("{")[0], []).append(key)
    accounts = [
        ledger_account(
            slo, ledgers.get(key), now, key=key, adjustments=state.adjustments, gap=blind_why(state, slo, key)
        )
        for slo in state.slos
        for key in (groups.get(slo.name) or [slo.name])
    ]
    return report(
        accounts, month, incidents=state.incidents.values(), changes=state.changes, now=now, time_zone=time_zone
    )


def ledger_account(
    slo: Slo,
    ledger: Ledger | None,
    now: float,
    *,
    key: str = "",
    adjustments: Sequence[Adjustment] = (),
    gap: str = "",
) -> Account:
    """What a ledger knows; a promise without a ledger was never counted."""
    empty, key = np.empty(0), key or slo.name
    if ledger is None:
        return Account(slo, empty, empty, empty, 3600.0, first_at=now, seen_until=now, gap=gap, key=key)
    (step, size), head = ledger.levels[-1], ledger.head_at[-1]
    return Account(
        slo,
        empty,
        empty,
        empty,
        step,
        first_at=max(ledger.first_at, head - (size - 1) * step),
        seen_until=ledger.seen_until,
        gap=gap,
        corrections=tuple(corrections(adjustments, slo.name, key, ledger)),
        key=key,
        ledger=ledger,
    )


def render(facts: MonthReport, form: Form = "md") -> str:
    """The report as text: ``md`` (Markdown) or ``html`` (one page, plots inside, nothing fetched, fit to print)."""
    return html(facts) if form == "html" else markdown(facts)


def html(facts: MonthReport) -> str:
    """One HTML page."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = ZoneInfo(facts.time_zone)
    env.filters.update(
        adjusted=lambda kind: ADJUSTED.get(kind, kind),
        percent=percent,
        count=count,
        signed=signed,
        span=span,
        target=target,
    )
    env.filters["when"] = lambda at: when(at, zone)
    said = Counter(words for kept in facts.promises for words in kept.unknown)
    shared = [words for words, times in said.items() if times > 1 and times > len(facts.promises) / 2]
    return env.get_template("report.html").render(
        shared=shared,
        facts=facts,
        title=title(facts),
        headline=headline(facts),
        style=Markup(plots.standalone_style()),
        rows=[_row(kept, facts) for kept in facts.promises],
    )


def _row(kept: Kept, facts: MonthReport) -> dict[str, Any]:
    """What the template shows of one promise."""
    return {
        "kept": kept,
        "left": left_words(kept),
        "result": result(kept, facts),
        "tone": tone(kept.month.standing),
        "before": before_words(kept),
        "burn": Markup(burn_plot(kept, facts)),
        "bars": Markup(day_plot(kept)),
        "incidents": [incident_words(i, facts) for i in kept.incidents],
    }


def burn_plot(kept: Kept, facts: MonthReport) -> str:
    """How the month's budget went, with its incidents and changes; empty when there is no budget to speak of."""
    if kept.way is None:
        return ""
    marks = [
        Mark(i.onset_at, "incident", i.id, incident_words(i, facts), i.resolved_at or min(facts.made_at, facts.end_at))
        for i in kept.incidents
    ]
    marks += [Mark(c.at, "change", c.kind, f"{c.kind} of {c.entity}: {c.summary}") for c in kept.changes]
    words = f"Budget of {kept.name} over {facts.month}: {left_words(kept)}"
    return plots.burn_down_svg(kept.way, words, marks=marks, width=960, height=240, time_zone=facts.time_zone)


def day_plot(kept: Kept) -> str:
    """The share of the month's budget that went on each day."""
    if kept.month.allowed is None or not kept.days:
        return ""
    days = round((kept.way.end_at - kept.way.start_at) / 86400) if kept.way else len(kept.days)
    worst = f"; the worst day was {kept.worst[0].date}" if kept.worst else "; no day had a failure"
    return plots.day_bars_svg(
        [day.date[8:].lstrip("0") for day in kept.days],
        [day.spent if day.seen else None for day in kept.days],
        f"Budget of {kept.name} spent per day{worst}",
        columns=days,
        limit=1 / days,
        width=960,
        height=130,
    )


def markdown(facts: MonthReport) -> str:
    """The report as Markdown (CommonMark and tables)."""
    zone = ZoneInfo(facts.time_zone)
    lines = [f"# {title(facts)}", "", headline(facts), ""]
    if facts.promises:
        lines += [
            "| promise | target | measured | budget spent | month before | result |",
            "|---|---:|---:|---:|---:|---|",
        ]
        lines += [
            f"| {cell(k.name)} | {target(k.slo.target)} | {percent(k.month.sli)} | {percent(k.month.spent)} "
            f"| {before_words(k)} | {result(k, facts)} |"
            for k in facts.promises
        ]
    for kept in facts.promises:
        lines += ["", f"## {cell(kept.name)}", "", *_section(kept, facts, zone)]
    made = when(facts.made_at, zone)
    lines += ["", f"Written {made} by midwatch; times are {facts.time_zone}.", ""]
    return "\n".join(lines)


def _section(kept: Kept, facts: MonthReport, zone: ZoneInfo) -> list[str]:
    month, slo = kept.month, kept.slo
    lines = [f"**{result(kept, facts).capitalize()}.** {left_words(kept)}."]
    if slo.owner or slo.description:
        lines += [
            "",
            " ".join(p for p in (cell(slo.description), f"Owner: {cell(slo.owner)}." if slo.owner else "") if p),
        ]
    lines += [
        "",
        f"- Target {target(slo.target)}, measured {percent(month.sli)}: {count(month.good)} good of {count(month.total)}.",
        f"- Budget spent: {percent(month.spent)}; the month before: {before_words(kept)}.",
    ]
    if kept.days and month.allowed is not None:
        lines.append(f"- Budget per day, from the 1st on: `{bars([d.spent if d.seen else None for d in kept.days])}`")
    for day in kept.worst:
        lines.append(
            f"- Bad day: {day.date}, {count(day.bad)} of {count(day.total)} failed, {percent(day.spent)} of the budget."
        )
    lines += [f"- Incident: {cell(incident_words(i, facts))}" for i in kept.incidents]
    lines += [
        f"- Change: {when(c.at, zone)}, {cell(c.kind)} of {cell(c.entity)}{': ' + cell(c.summary) if c.summary else ''}"
        for c in kept.changes
    ]
    lines += [
        f"- Adjustment ({cell(ADJUSTED.get(c.kind, c.kind))}): {when(c.since_at, zone)} to {when(c.until_at, zone)}, "
        f"by {cell(c.by)}: {cell(c.reason)} ({signed(c.good)} good, {signed(c.total)} in all)"
        for c in kept.corrections
    ]
    if kept.corrections:
        lines.append(
            f"- Without the adjustments: measured {percent(kept.raw.sli)}, budget spent {percent(kept.raw.spent)}."
        )
    lines += [f"- Not known: {cell(said)}" for said in kept.unknown]
    return lines


# words


def title(facts: MonthReport) -> str:
    name = datetime.strptime(facts.month, "%Y-%m").strftime("%B %Y")
    return f"Promises in {name}" + ("" if facts.over else ", so far")


def headline(facts: MonthReport) -> str:
    """One sentence: how many were kept, missed, or are not known."""
    if not facts.promises:
        return "No promise was made."
    parts = []
    for standings, words in (
        (("kept", "no errors"), "kept"),
        (("missed",), "missed"),
        (("no traffic",), "without traffic"),
        (("no data",), "without data"),
    ):
        if number := facts.count(*standings):
            parts.append(f"{number} {words}")
    many = len(facts.promises)
    happened = len(facts.incidents)
    return (
        f"Of {many} promise{'s' if many > 1 else ''}: {', '.join(parts)}. "
        f"{happened or 'No'} incident{'' if happened == 1 else 's'}, {len(facts.changes) or 'no'} "
        f"change{'' if len(facts.changes) == 1 else 's'} known."
    )


def result(kept: Kept, facts: MonthReport) -> str:
    """``kept``, ``missed``, ``no errors``, ``no traffic`` or ``no data``; with what restricts it."""
    standing = kept.month.standing
    if standing in ("no data", "no traffic", "missed"):
        return standing
    if not facts.over:
        return f"{standing} so far"
    return standing if kept.month.whole else f"{standing}, as far as seen"


def tone(standing: str) -> str:
    return {"missed": "bad", "no data": "nodata", "no traffic": "idle"}.get(standing, "ok")


def left_words(kept: Kept) -> str:
    """What was left of the month's budget, in events."""
    month = kept.month
    if month.standing in ("no data", "no traffic") or month.allowed is None:
        return f"{month.standing[:1].upper()}{month.standing[1:]} in this month"
    if month.spent is None:
        return f"{count(month.bad)} failed, none was allowed"
    if month.spent >= 1:
        return f"{count(month.bad)} failed, {count(month.allowed)} were allowed"
    return f"{count(month.allowed - month.bad)} of {count(month.allowed)} failures left"


def before_words(kept: Kept) -> str:
    """The month before in a few words; one that was seen only in part says so."""
    before: Month | None = kept.before
    if before is None:
        return "no data"
    said = before.standing if before.spent is None else f"{percent(before.spent)} spent"
    return said if before.whole else f"{said}, {span(before.covered_seconds)} of it seen"


def incident_words(incident: Incident, facts: MonthReport) -> str:
    zone = ZoneInfo(facts.time_zone)
    lasted = (
        f"lasted {span(incident.resolved_at - incident.onset_at)}"
        if incident.resolved_at is not None
        else "not resolved"
    )
    spent = incident.impact.budget_spent if incident.impact else 0.0
    cost = f", {percent(spent)} of the budget" if spent > 0 else ""
    return f"{incident.id}, SEV{incident.worst}, {when(incident.onset_at, zone)}, {lasted}{cost}: {incident.title}"


def percent(ratio: float | None) -> str:
    """``0.9987`` -> ``99.87 %``; None is "not known"."""
    if ratio is None or not math.isfinite(ratio):
        return "not known"
    value = ratio * 100
    digits = 3 if 99 < value < 100 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def target(ratio: float) -> str:
    return f"{ratio * 100:.6f}".rstrip("0").rstrip(".") + " %"


def count(value: float) -> str:
    """Events: ``1,240``; fractions (a budget of 4.3 failures) keep one digit when small."""
    return f"{value:,.1f}" if abs(value) < 100 and value != round(value) else f"{value:,.0f}"


def signed(value: float) -> str:
    """What a correction adds or takes away: ``+18``, ``-54,000``."""
    return f"{value:+,.0f}" if value else "0"


def span(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f} d"


def when(at: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")
