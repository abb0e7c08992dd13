"""``midwatch slo`` with a running watch and a real Prometheus that holds thirty days: budgets read back, adjusted, foreseen,
reported; back-tests and suggestions from its API."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.test_cli import midwatch as run
from tests.shell.conftest import make_settings
from tests.sources.prom import Sample, backfill, prometheus
from typer.testing import Result

from midwatch.faces.api.app import api_app
from midwatch.model.policy import Policy
from midwatch.shell.files.specs import read_specs
from midwatch.shell.run import Watch

SPEC = """version: prometheus/v1
service: shop
slos:
- name: orders
  objective: 99.5
  sli:
    events:
      error_query: sum(rate(orders_total{code="500"}[{{.window}}]))
      total_query: sum(rate(orders_total[{{.window}}]))
  alerting: {name: OrdersFail}
"""
SCRAPE = 60.0
DAYS = 30.0


@dataclass
class Truth:
    """What happened, known to the last event: ``at`` of each scrape, events and failures since the one before."""

    at: np.ndarray[Any, Any]
    events: np.ndarray[Any, Any]
    bad: np.ndarray[Any, Any]
    outage: tuple[float, float]

    def samples(self) -> list[Sample]:
        where = 'instance="shop-0",job="shop"'
        good, bad = np.cumsum(self.events - self.bad), np.cumsum(self.bad)
        rows: list[Sample] = []
        for at, g, b in zip(self.at.tolist(), good.tolist(), bad.tolist(), strict=True):
            rows.append((f'orders_total{{code="200",{where}}}', at, g))
            rows.append((f'orders_total{{code="500",{where}}}', at, b))
            rows.append((f"up{{{where}}}", at, 1))
        return rows


def truth_until(now: float) -> Truth:
    draw = np.random.default_rng(11)
    at = now - 20 - SCRAPE * np.arange(int(DAYS * 86400 / SCRAPE))[::-1]
    events = draw.poisson(200 * (1 + 0.5 * np.sin(at / 86400 * 2 * np.pi)))
    share = np.full(at.size, 0.0005)
    begin = (now - 6 * 86400) // 3600 * 3600  # ledgers know hours so far back: what is given back is whole ones
    outage = (begin, begin + 3600)
    share[(at >= outage[0]) & (at < outage[1])] = 0.3
    bad = draw.binomial(events, share)
    events[0] = bad[0] = 0  # the first scrape sets the mark
    return Truth(at, events, bad, outage)


@dataclass
class Scene:
    url: str
    spec: Path
    folder: Path
    truth: Truth

    def midwatch(self, *words: object) -> Result:
        return run("slo", *words, "--folder", self.folder)

    def said(self, *words: object, code: int = 0) -> Any:
        result = self.midwatch(*words, "--json")
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    where = tmp_path_factory.mktemp("slo")
    truth = truth_until(time.time())
    backfill(where, truth.samples())
    spec = where / "shop.yaml"
    spec.write_text(SPEC)
    with prometheus(where) as url:
        sources = {"prom": {"url": url, "timeout_seconds": 60}}
        settings = make_settings(where, tick_seconds=0.5, sources=sources)
        (settings.folder / "settings.yaml").parent.mkdir(parents=True)
        (settings.folder / "settings.yaml").write_text(f"sources: {{prom: {{url: '{url}', timeout_seconds: 60}}}}\n")
        with on_watch(Watch(settings, policy=Policy(slos=read_specs([spec]).slos), console=api_app)):
            yield Scene(url, spec, settings.folder, truth)


class on_watch:
    """The watch on a loop of its own, so that commands can be asked from here; ready when the past has been read back."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._ready, self._error = watch, threading.Event(), ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stand()), daemon=True)

    async def _stand(self) -> None:
        try:
            await self._watch.start()
            running = asyncio.get_running_loop().create_task(self._watch.run())
            while not running.done():
                ledger = self._watch.memory.ledgers.get("shop-orders")
                now = time.time()
                if ledger is not None and now - ledger.seen_until < 400 and now - ledger.first_at > (DAYS - 1) * 86400:
                    self._ready.set()  # the newest hours come first, the rest of the period behind them
                await asyncio.sleep(0.1)
        finally:
            await self._watch.stop()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(180), "the past was not read back"

    def __exit__(self, *_: object) -> None:
        self._watch.request_stop()
        self._thread.join(30)


@pytest.mark.integration
@pytest.mark.slow
def test_thirty_days_are_read_back_to_the_event(scene: Scene) -> None:
    (row,) = scene.said("list")
    assert row["state"] == "ok" and row["since_at"] < scene.truth.at[2]
    assert row["total"] == pytest.approx(scene.truth.events.sum(), rel=0.005)
    assert row["bad"] == pytest.approx(scene.truth.bad.sum(), rel=0.005)
    spent = scene.truth.bad.sum() / (0.005 * scene.truth.events.sum())
    assert 1 - row["left"] == pytest.approx(spent, rel=0.01)
    assert "shop-orders" in scene.midwatch("list").stdout and "period allows" in scene.midwatch("budget").stdout


@pytest.mark.integration
@pytest.mark.slow
def test_a_window_is_given_back_and_taken_again(scene: Scene) -> None:
    (before,) = scene.said("budget", "orders")
    begin, end = scene.truth.outage
    answer = scene.said("adjust", "orders", "--from", f"{begin:.0f}", "--to", f"{end:.0f}", "--kind", "false-positive",
                        "--reason", "the probe was broken", "--by", "ada")  # fmt: skip
    assert answer["verb"] == "adjust"
    (after,) = _until(lambda: scene.said("budget", "orders"), lambda rows: rows[0]["adjusted"] > 0)
    assert after["left"] > before["left"]
    inside = (scene.truth.at > begin) & (scene.truth.at <= end)
    assert before["bad"] - after["bad"] == pytest.approx(scene.truth.bad[inside].sum(), rel=0.05)
    (kept,) = scene.said("show", "orders")["adjustments"]
    assert (kept["by"], kept["reason"], kept["kind"]) == ("ada", "the probe was broken", "give_back")
    assert "the probe was broken" in scene.midwatch("show", "orders").stdout
    scene.said("adjust", kept["id"], "--withdraw", "--reason", "it was not")
    (again,) = _until(lambda: scene.said("budget", "orders"), lambda rows: rows[0]["adjusted"] == 0)
    assert again["bad"] == pytest.approx(before["bad"], rel=0.01)
    for wrong in (["--from", "1h", "--to", "2h"], ["--kind", "theft", "--from", "1h"], []):
        assert scene.midwatch("adjust", "orders", *wrong, "--reason", "x").exit_code == 2, wrong
    assert scene.midwatch("adjust", "nothing", "--from", "1h", "--reason", "x").exit_code == 2


def _until(ask: Any, true: Any, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true(found := ask()):
            return found
        time.sleep(0.3)
    raise AssertionError(f"it did not come to pass: {found}")


@pytest.mark.integration
@pytest.mark.slow
def test_what_comes_and_what_was(scene: Scene) -> None:
    result = scene.midwatch("forecast", "orders", "--json")
    found = json.loads(result.stdout)
    assert found["days"] >= 28 and found["spent"] is not None and 0 <= found["chance"] <= 1
    assert result.exit_code == (1 if found["state"] in ("spent", "may run out") else 0)
    month = time.strftime("%Y-%m", time.gmtime(scene.truth.outage[0]))
    report = scene.midwatch("report", "--month", month).stdout
    assert "shop-orders" in report and report.startswith("# Promises in")
    page = scene.folder / "report.html"
    assert scene.midwatch("report", "--month", month, "--format", "html", "--out", page).exit_code == 0
    assert "<svg" in page.read_text()
    assert scene.midwatch("report", "--month", "soon").exit_code == 2
    assert scene.midwatch("alerts", "orders", "--per-minute", "10").exit_code == 0


@pytest.mark.integration
@pytest.mark.slow
def test_backtests_from_the_api_by_address_by_name_and_from_the_watch(scene: Scene, tmp_path: Path) -> None:
    begin, end = scene.truth.outage
    incidents = tmp_path / "incidents.csv"
    incidents.write_text(f"start,end,name\n{begin:.0f},{end:.0f},outage\n")
    words = ("backtest", "--slo", scene.spec, "--incidents", incidents, "--since", "29d")
    scores = {}
    for where, step in ((scene.url, "60s"), ("prom", "300s"), ("watch", "300s")):
        found = scene.said(*words, "--history", where, "--step", step, "--against", "textbook")
        (one,) = found["backtests"]
        guarded, _ = one["scores"]
        assert guarded["recall"]["value"] == 1 and guarded["precision"]["value"] == 1, where
        assert guarded["days"] == pytest.approx(29, abs=0.2)
        scores[where] = guarded["incidents"][0]["delay_seconds"]
    # 14.4 x 0.5 % x an hour / 30 % is 14.4 minutes at steady traffic; here it has a tide.
    assert scores[scene.url] == pytest.approx(864, rel=0.25)


@pytest.mark.integration
@pytest.mark.slow
def test_facts_for_lint_and_a_target_from_history(scene: Scene, tmp_path: Path) -> None:
    found = scene.said("check", scene.spec, "--source", "prom")
    levels = {(r["rule"], r["level"]) for r in found["remarks"]}
    assert ("matches-nothing", "not checked") not in levels and ("good-above-total", "not checked") not in levels
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SPEC.replace("orders_total", "odrers_total"))
    remarks = scene.said("check", wrong, "--source", scene.url, code=1)["remarks"]
    assert any(r["rule"] == "matches-nothing" and r["level"] == "error" for r in remarks)
    wrong.write_text(SPEC.replace("sum(rate(orders_total[", "0.5 * sum(rate(orders_total[").replace('{code="500"}', ""))
    remarks = scene.said("check", wrong, "--source", scene.url, code=1)["remarks"]
    levels = {(r["rule"], r["level"]) for r in remarks}
    assert ("good-above-total", "error") in levels and ("starved-tier", "not checked") in levels, (
        "no step tells how many"
    )
    (one,) = scene.said("suggest", "--history", scene.url, "--slo", scene.spec, "--since", "29d")["promises"]
    assert 0.95 <= one["suggestions"][0]["slo"]["target"] <= 0.999
