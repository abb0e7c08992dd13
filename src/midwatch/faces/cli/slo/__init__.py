"""``midwatch slo``: promises. One file for each group of commands; this one only puts them together."""

from __future__ import annotations

import typer

from midwatch.faces.cli.slo import files, future, month, past, standing

slo = typer.Typer(help="Promises (SLOs): budgets, alerts, rules, back-tests.", no_args_is_help=True)

slo.command("list")(standing.list_all)
slo.command("show")(standing.show)
slo.command("budget")(standing.budget)
slo.command("alerts")(standing.alerts)
slo.command("adjust")(standing.adjust)
slo.command("forecast")(future.forecast)
slo.command("suggest")(future.suggest)
slo.command("report")(month.report)
slo.command("check")(files.check)
slo.command("rules")(files.rules)
slo.command("convert")(files.convert)
slo.command("backtest")(past.backtest)
