"""``midwatch slo backtest``: how would these alerts have behaved?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import AsJson, Folder, err, folder_of, friendly, out, print_json
from midwatch.faces.cli.slo import tables
from midwatch.faces.cli.slo.common import bar, chosen, duration, put, read, when
from midwatch.faces.cli.slo.histories import read_history
from midwatch.model.errors import UsageError
from midwatch.model.slo import Slo
from midwatch.shell.history import History

Where = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        help="A CSV file, the address of a Prometheus-compatible API, the name of a source in settings.yaml, or: watch.",
    ),
]
Since = Annotated[str, typer.Option(help="From: 30d (ago), or 2026-10-01T00:00:00Z.")]
Until = Annotated[str, typer.Option(help="To: now, 1d (ago), or a moment.")]
Step = Annotated[str, typer.Option(help="One count of an API for so long.")]


def backtest(
    specs: Annotated[list[Path], typer.Option("--slo", metavar="FILE", help="Specs. May be given again.")],
    history: Where,
    name: Annotated[str, typer.Option(help="Only this promise of the files.")] = "",
    incidents: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled incidents, YAML or CSV: start, end, name, slo.")
    ] = None,
    policy: Annotated[
        str,
        typer.Option(help="guarded, textbook, averaged, file (the spec's tiers), or a file; guarded:fast,slow picks."),
    ] = "guarded",
    against: Annotated[str, typer.Option(help="Compare with this policy.")] = "",
    since: Since = "30d",
    until: Until = "now",
    step: Step = "60s",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="The comparison as a picture.")] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Play an alert policy over history and score it against labelled incidents: precision, recall, delay, budget, pages."""
    with friendly(as_json):
        from midwatch.shell.alert_policies import read_policy
        from midwatch.shell.files.incidents import Incident, read_incidents

        slos = chosen(read(specs, quiet=as_json).slos, name)
        a, b = read_policy(policy), read_policy(against) if against else None
        labelled: tuple[Incident, ...] = read_incidents(incidents) if incidents else ()
        now = time.time()
        span = (when(since, "since", now), when(until, "until", now))
        found = read_history(
            history,
            slos,
            span,
            duration(step, "step"),
            folder=folder_of(folder),
            quiet=as_json,
            windowed=since != "30d",
        )
        played = []
        with bar("Playing", off=as_json) as progress:
            task = progress.add_task("play", total=len(slos))
            for slo in slos:
                if (one := _play(slo, found, labelled, a(slo), b(slo) if b else None)) is not None:
                    played.append(one)
                progress.advance(task)
        if not played:
            raise UsageError("no promise has a history there", hint="; ".join(found.notes[:3]))
        if html is not None:
            from midwatch.faces.console.backtest import render

            put(render(played, made_at=now), html)
        _print(played, found, as_json)


def _play(slo: Slo, found: History, labelled: Any, a: Any, b: Any) -> Any:
    """One promise's back-test; None without a history."""
    from midwatch.core.slo.score_alerts import Labelled
    from midwatch.core.slo.score_alerts import backtest as scored
    from midwatch.core.slo.simulate import series_of
    from midwatch.faces.console.backtest import Played

    counts = found.of(slo.name)
    if counts is None or counts.at.size == 0:
        return None
    try:
        series = series_of(counts)
    except ValueError as error:
        raise UsageError(f"{slo.name}: {error}", hint="give a longer --step") from None
    mine = [Labelled(i.start_at, i.end_at, i.name) for i in labelled if i.slo in ("", slo.name)]
    against = scored(series, slo, b, mine) if b is not None else None
    return Played(slo, series, scored(series, slo, a, mine), against)


def _print(played: list[Any], found: History, as_json: bool) -> None:
    from midwatch.core.slo.score_alerts import Score
    from midwatch.shell.queries import plain

    def row(score: Score) -> dict[str, Any]:
        return dict(plain(score))

    if as_json:
        rows = [{"slo": p.slo.name, "scores": [row(score) for score in p.scores]} for p in played]
        print_json({"notes": list(found.notes), "backtests": rows})
        return
    for note in found.notes:
        err.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    for one in played:
        for score in one.scores:
            tables.print_score(row(score))
        if one.against is not None:
            out.print(Text(f"\n{_verdict(one.score, one.against)}", style="bold"), soft_wrap=True)


def _verdict(a: Any, b: Any) -> str:
    """Which of two policies found what, in a sentence."""
    pairs = list(zip(a.incidents, b.incidents, strict=True))
    only_a = sum(x.found and not y.found for x, y in pairs)
    only_b = sum(y.found and not x.found for x, y in pairs)
    false = [sum(not page.true for page in score.pages) for score in (a, b)]
    return (
        f"{a.policy} found {only_a} that {b.policy} missed, and missed {only_b} that it found; "
        f"false pages: {false[0]} and {false[1]}."
    )
