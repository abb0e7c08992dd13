"""``midwatch slo`` on files alone: check, list, rules, convert, alerts, back-tests and suggestions from CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.test_cli import midwatch as run
from typer.testing import Result

from midwatch.faces.cli.slo.common import percent

SPEC = """version: prometheus/v1
service: shop
labels: {owner: team-pay}
slos:
- name: orders
  objective: 99.9
  sli:
    events:
      error_query: sum(rate(orders_total{code=~"5.."}[{{.window}}]))
      total_query: sum(rate(orders_total[{{.window}}]))
  alerting: {name: OrdersFail}
"""
AT = 1_790_000_000 // 86400 * 86400
DAYS = 14
OUTAGE = AT + 9 * 86400 + 3600


def midwatch(*words: object) -> Result:
    return run("slo", *words)


def said(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, f"{result.exit_code}: {result.output}"
    return json.loads(result.stdout)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two weeks of a hundred orders a minute, one in ten thousand bad; twenty minutes in which half of them fail."""
    at = AT + 60 * np.arange(DAYS * 1440)
    bad = (np.arange(at.size) % 100 == 0).astype(float)
    bad[(at >= OUTAGE) & (at < OUTAGE + 1200)] = 50
    file = tmp_path / "history.csv"
    rows = (f"{a},{100 - b:g},100,shop-orders" for a, b in zip(at.tolist(), bad.tolist(), strict=True))
    file.write_text("at,good,total,slo\n" + "\n".join(rows) + "\n")
    return file


@pytest.fixture
def incidents(tmp_path: Path) -> Path:
    file = tmp_path / "incidents.yaml"
    file.write_text(f"incidents:\n- {{start: {OUTAGE}, end: {OUTAGE + 1200}, name: bad deploy}}\n")
    return file


def test_specs_are_listed_and_converted(spec: Path, tmp_path: Path) -> None:
    (row,) = said(midwatch("list", spec, "--json"))
    assert row["name"] == "shop-orders" and row["target"] == 0.999
    assert "shop-orders" in midwatch("list", spec).stdout
    to = tmp_path / "openslo.yaml"
    assert midwatch("convert", spec, "--out", to).exit_code == 0
    assert "apiVersion: openslo/v1" in to.read_text()
    (again,) = said(midwatch("list", to, "--json"))
    assert again["target"] == 0.999 and again["indicator"] == row["indicator"], "what was written reads as the same"


def test_rules_in_every_form(spec: Path, tmp_path: Path) -> None:
    to = tmp_path / "rules.yaml"
    assert midwatch("rules", spec, "--out", to).exit_code == 0 and "slo:sli_total:count5m" in to.read_text()
    assert "sloth_service" in midwatch("rules", spec, "--compat", "sloth").stdout
    assert "kind: PrometheusRule" in midwatch("rules", spec, "--form", "crd").stdout
    assert json.loads(midwatch("rules", spec, "--form", "grafana").stdout)["panels"]
    short = said(midwatch("rules", spec, "--period", "28d", "--json"))
    assert "4w" in short["rules"] and "30d" not in short["rules"] and short["left_out"] == {}
    for wrong in (["--compat", "pyrra"], ["--form", "pdf"], ["--period", "soon"], ["--out", tmp_path / "no" / "file"]):
        result = midwatch("rules", spec, *wrong)
        assert result.exit_code == 2 and "error: " in result.stderr and "Traceback" not in result.output, wrong


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(spec: Path, tmp_path: Path) -> None:
    spec.write_text(f"{SPEC}---\n{SPEC.replace('99.9', '120').replace('orders', 'broken')}")
    result = midwatch("rules", spec)
    assert result.exit_code == 1 and "left out: " in result.stderr and "objective" in result.stderr
    assert "shop-orders" in result.stdout
    assert said(midwatch("convert", spec, "--json"), 1)["problems"][0]["line"] == 18
    spec.write_text(f"{SPEC.replace('99.9', '120')}---\n{SPEC.replace('99.9', '0').replace('orders', 'broken')}")
    result = midwatch("rules", spec)
    assert result.exit_code == 2 and result.stderr.count("objective: ") == 2, "each of them is said"
    spec.write_text("nothing: here\n")
    for command in ("rules", "convert", "list"):
        assert midwatch(command, spec).exit_code == 2, command
    assert midwatch("rules", tmp_path / "nowhere.yaml").exit_code == 2


def test_check_finds_what_will_not_do_what_was_meant(spec: Path) -> None:
    fine = midwatch("check", spec)
    assert fine.exit_code == 0 and "Nothing is wrong" in fine.stdout and "checks that lack a fact" in fine.stdout
    assert "no source was asked for orders_total" in midwatch("check", spec, "-v").stdout
    spec.write_text(SPEC.replace("99.9", "90"))
    found = said(midwatch("check", spec, "--json"), 1)
    assert "dead-tier" in {r["rule"] for r in found["remarks"] if r["level"] == "error"} and found["problems"] == []
    dead = midwatch("check", spec)
    assert dead.exit_code == 1 and "can never fire" in dead.stdout
    spec.write_text(SPEC.replace("objective", "objektive"))
    assert said(midwatch("check", spec, "--json"), 2)["problems"][0]["code"]


def test_the_table_of_alerts(spec: Path) -> None:
    found = said(midwatch("alerts", "orders", "--slo", spec, "--per-minute", "1000", "--json"))
    fast = next(r for r in found["rows"] if r["tier"] == "fast" and r["error_ratio"] == 0.1)
    # FINDINGS of the workbook's recipe: 8.6 minutes to detect, 4.3 to reset, 2 % of the budget, at 10 % errors.
    assert fast["detect_seconds"] / 60 == pytest.approx(8.64, abs=0.05)
    assert fast["reset_seconds"] / 60 == pytest.approx(4.28, abs=0.05)
    assert fast["spent"] == pytest.approx(0.02, abs=0.0005)
    shown = midwatch("alerts", "orders", "--slo", spec).stdout
    assert "1 h / 5 min" in shown and "traffic not known" in shown
    only = said(midwatch("alerts", "orders", "--slo", spec, "--policy", "textbook:fast", "--json"))
    assert {r["tier"] for r in only["rows"]} == {"fast"}
    assert midwatch("alerts", "nothing", "--slo", spec).exit_code == 2
    assert midwatch("alerts", "orders", "--slo", spec, "--policy", "mine").exit_code == 2


def test_a_backtest_on_a_file(spec: Path, history: Path, incidents: Path, tmp_path: Path) -> None:
    words = ("--slo", spec, "--history", history, "--incidents", incidents)
    (one,) = said(midwatch("backtest", *words, "--against", "textbook", "--json"))["backtests"]
    guarded, textbook = one["scores"]
    assert guarded["days"] == DAYS and guarded["precision"]["value"] == 1 and guarded["recall"]["value"] == 1
    assert guarded["incidents"][0]["name"] == "bad deploy" and guarded["delay_seconds"] <= 120
    assert guarded["false_pages_per_30_days"]["value"] == 0 and textbook["policy"] == "textbook"
    page = tmp_path / "page.html"
    shown = midwatch("backtest", *words, "--against", "textbook:slow", "--html", page)
    assert shown.exit_code == 0 and "found after" in shown.stdout and "false pages: 0" in shown.stdout
    assert "<svg" in page.read_text() and "bad deploy" in page.read_text()


def test_a_backtest_that_cannot_be_made(spec: Path, history: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("at,good,total,slo\n0,1,1,another\n")
    for where, says in ((other, "no promise has a history"), ("elsewhere", "no history"), ("watch", "no watch runs")):
        result = midwatch("backtest", "--slo", spec, "--history", where, "--folder", tmp_path)
        assert result.exit_code in (2, 3) and says in result.stderr.replace("there is no", "no"), result.stderr
    wrong = midwatch("backtest", "--slo", spec, "--history", history, "--since", "yesterday")
    assert wrong.exit_code == 2 and "--since" in wrong.stderr
    down = midwatch("backtest", "--slo", spec, "--history", "http://127.0.0.1:1", "--since", "1h", "--folder", tmp_path)
    assert down.exit_code == 4 and "error: http://127.0.0.1:1: the source cannot be reached" in down.stderr
    down = midwatch("check", spec, "--source", "http://127.0.0.1:1", "--folder", tmp_path)
    assert down.exit_code == 4 and "error: http://127.0.0.1:1: cannot be reached" in down.stderr
    for command in (("check", spec, "--source"), ("suggest", "--slo", spec, "--history")):
        told = midwatch(*command, "http://ada:secret@127.0.0.1:1", "--folder", tmp_path)
        assert told.exit_code == 2 and "holds a password" in told.stderr and "secret" not in told.output


def test_a_target_is_suggested_from_a_file(history: Path) -> None:
    (one,) = said(midwatch("suggest", "--history", history, "--json"))["promises"]
    (proposed,) = one["suggestions"]
    assert one["slo"] == "shop-orders" and 0.99 <= proposed["slo"]["target"] < 0.9999
    assert proposed["low"] <= proposed["sli"] <= proposed["high"] and proposed["kept"] >= 0.9
    shown = midwatch("suggest", "--history", history).stdout
    assert "assumed: " in shown and "failures a period" in shown
    assert f"{100 * proposed['kept']:.0f} % of them keep it" in shown, "none of its digits is lost"
    assert (percent(1.0, 0), percent(0.2, 0), percent(0.9990, 3), percent(0.9, 1)) == (
        "100 %",
        "20 %",
        "99.9 %",
        "90 %",
    )


def test_without_a_watch_it_says_so(tmp_path: Path) -> None:
    for words in (["list"], ["show", "x"], ["budget"], ["report"], ["forecast", "x"], ["alerts", "x"]):
        result = midwatch(*words, "--folder", tmp_path)
        assert result.exit_code == 3 and "no watch runs" in result.stderr, words
    assert midwatch("adjust", "x", "--from", "1h", "--folder", tmp_path).exit_code == 2, "a reason comes first"
