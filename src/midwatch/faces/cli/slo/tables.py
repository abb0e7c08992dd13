"""Tables of budgets, alerts and scores for the terminal."""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.common import out
from midwatch.faces.cli.slo.common import number, percent, span

STYLE: Final = {
    "spent": "bold red",
    "burning": "red",
    "no_data": "yellow",
    "no_traffic": "dim",
    "no_errors": "green",
    "ok": "green",
}
ORDER: Final = ("spent", "burning", "no_data", "ok", "no_errors", "no_traffic")
BAR: Final = 20


def plain_table(*names: str, right: tuple[str, ...] = ()) -> Table:
    """Only the first column folds on a narrow terminal: names may be long, and numbers must be read at a glance."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=at > 0, justify="right" if name in right else "left")
    return table


def bar_of(left: float, size: int = BAR) -> str:
    """What is left of a budget as a bar of ``size`` signs."""
    full = round(size * min(1.0, max(0.0, left)))
    return "█" * full + "░" * (size - full)


def budgets(rows: list[dict[str, Any]]) -> Table:
    """Trouble first."""
    table = plain_table("promise", "state", "target", "good", "left", "", "burn", "alert", right=("left", "burn"))
    for row in sorted(rows, key=lambda r: (ORDER.index(r["state"]), r["left"] if r["left"] is not None else 2.0)):
        style = STYLE.get(row["state"], "")
        table.add_row(
            Text(row["key"]),
            Text(row["state"].replace("_", " "), style=style),
            percent(row["target"]),
            percent(row["sli"], 3),
            percent(row["left"], 1),
            Text(bar_of(row["left"], 10) if row["left"] is not None else "", style=style),
            "-" if row["burn"] is None else f"{row['burn']:.2g} x",
            Text(row["alert"], style="bold red" if row["alert"] == "page" else "yellow"),
        )
    return table


def window(seconds: float) -> str:
    """A length as people choose them: ``5 min``, ``6 h``, ``3 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0 and (unit != "d" or seconds > size):
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def print_alerts(found: dict[str, Any]) -> None:
    traffic = f"{number(found['per_minute'])} requests a minute" if found["per_minute"] else "traffic not known"
    period = span(found["period_seconds"])
    head = f"{found['slo']}: {percent(found['target'])} over {period}, {traffic}, policy {found['policy']}"
    out.print(Text(head, style="bold"), soft_wrap=True)
    if found["habit"]:
        clump = f"one hour in sixty brings {number(found['habit'])} failures more than independent ones would"
        out.print(Text(f"{clump}: counted in below, as failures that come together", style="dim"), soft_wrap=True)
    for gone in found["gone_seconds"]:
        ratio = gone["error_ratio"]
        out.print(f"\n{percent(ratio)} of requests fail: the budget is gone in {span(gone['seconds'])}")
        table = plain_table("tier", "at", "windows", "fires after", "silent after", "budget spent")
        rows = [row for row in found["rows"] if row["error_ratio"] == ratio]
        for row in rows:
            windows = f"{window(row['long_seconds'])} / {window(row['short_seconds'])}"
            fires = span(row["detect_seconds"]) if row["state"] == "fires" else row["state"]
            table.add_row(
                Text(row["tier"], style="bold" if row["pages"] else ""),
                f"{row['factor']:g} x" if row["factor"] else "",
                windows,
                Text(fires, style="" if row["state"] == "fires" else "dim"),
                span(row["reset_seconds"]),
                percent(row["spent"], 2),
            )
        out.print(table)
        for row in (row for row in rows if row["why"]):
            out.print(Text(f"  {row['tier']}: {row['why']}", style="dim"), soft_wrap=True)


def print_score(score: dict[str, Any]) -> None:
    """One policy's back-test."""
    out.print(Text(f"\n{score['slo']}, policy {score['policy']}, {score['days']:.1f} days", style="bold"))
    table = plain_table("", "measured", "95 % interval")
    for name, key, show in (
        ("precision (pages that were right)", "precision", percent),
        ("recall (incidents that were paged)", "recall", percent),
        ("pages per 30 days", "pages_per_30_days", number),
        ("false pages per 30 days", "false_pages_per_30_days", number),
        ("tickets per 30 days", "tickets_per_30_days", number),
    ):
        one = score[key]
        known = one["value"] is not None
        digits = {"digits": 1} if show is percent else {}
        interval = f"{show(one['low'], **digits)} to {show(one['high'], **digits)}" if known else ""
        table.add_row(name, show(one["value"], **digits) if known else "not known", interval)
    table.add_row(
        "detection delay, median", span(score["delay_seconds"]), f"worst {span(score['delay_worst_seconds'])}"
    )
    table.add_row("budget spent at detection, median", percent(score["budget_spent"], 2), "")
    out.print(table)
    for one in score["incidents"]:
        said = f"found after {span(one['delay_seconds'])} by {one['by']}" if one["found"] else "missed"
        style = "" if one["found"] else "red"
        out.print(Text(f"  {one['name']}: {said}, {percent(one['budget_spent'], 2)} of the budget", style=style))
    for note in score["notes"]:
        out.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
