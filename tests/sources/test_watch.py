"""A watch over a real Prometheus that scrapes a real exporter: the budget falls when errors come, and when the source goes
the last known value stays with its age and the reason."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.shell.conftest import make_settings
from tests.sources.prom import Exporter, prometheus
from typer.testing import CliRunner, Result

from midwatch.faces.api.app import api_app
from midwatch.faces.cli.app import app
from midwatch.model.policy import Policy
from midwatch.shell.files.specs import read_specs
from midwatch.shell.run import Watch

SPEC = """
version: prometheus/v1
service: shop
slos:
- name: orders
  objective: 99
  sli:
    events:
      error_query: sum(rate(orders_total{code="500"}[{{.window}}]))
      total_query: sum(rate(orders_total[{{.window}}]))
  alerting: {name: OrdersFail}
- name: misspelt
  objective: 99
  sli:
    events:
      error_query: sum(rate(odrers_total{code="500"}[{{.window}}]))
      total_query: sum(rate(odrers_total[{{.window}}]))
  alerting: {name: Nothing}
"""


def midwatch(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["slo", *words, "--folder", str(folder)], env={"COLUMNS": "160"})


class Load:
    """Forty orders a second, a share of which fails."""

    def __init__(self, exporter: Exporter) -> None:
        self.failing = 0.0
        self._exporter, self._over = exporter, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._exporter.add('orders_total{code="200"}', 1000)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            bad = round(4 * self.failing)
            self._exporter.add('orders_total{code="200"}', 4 - bad)
            if bad:
                self._exporter.add('orders_total{code="500"}', bad)


async def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        await asyncio.sleep(0.2)
    raise AssertionError("it did not come to pass")


@pytest.mark.integration
@pytest.mark.slow
def test_the_budget_falls_when_errors_come_and_stays_when_the_source_goes(tmp_path: Path) -> None:
    spec = tmp_path / "slos.yaml"
    spec.write_text(SPEC)
    slos = tuple(replace(slo, period_seconds=86400.0) for slo in read_specs([spec]).slos)
    folder = tmp_path / "watch"

    def row(name: str = "shop-orders") -> dict[str, Any]:
        said = midwatch(folder, "list", "--json")
        assert said.exit_code in (0, 1), said.output
        return next(one for one in json.loads(said.stdout) if one["key"] == name)

    async def go(watch: Watch, load: Load, stop_prometheus: Callable[[], None]) -> None:
        await watch.start()
        running = asyncio.get_running_loop().create_task(watch.run())
        try:
            await until(lambda: "shop-orders" in watch.memory.ledgers)
            calm = await asyncio.to_thread(row)
            assert calm["state"] == "no_errors" and calm["left"] == 1 and calm["total"] > 0 and calm["alert"] == ""
            load.failing = 0.5
            await until(lambda: any(f.slo == "shop-orders" for f in watch.state.findings.values()))
            burning = await asyncio.to_thread(row)
            assert burning["bad"] > 0 and burning["left"] < calm["left"] and burning["alert"] == "page"
            shown = await asyncio.to_thread(midwatch, folder, "show", "orders")
            assert shown.exit_code == 0 and "99 %" in shown.stdout and "No alert fires" not in shown.stdout
            table = await asyncio.to_thread(midwatch, folder, "alerts", "orders", "--json")
            assert json.loads(table.stdout)["per_minute"] is None or json.loads(table.stdout)["per_minute"] > 600
            await until(lambda: "no series match" in watch.state.gaps.get("slo:shop-misspelt", ""))
            lost = await asyncio.to_thread(midwatch, folder, "budget", "misspelt")
            assert "no data yet: " in lost.stdout and "no series match" in lost.stdout
            stop_prometheus()
            gone = await until(lambda: [why for why in watch.state.gaps.values() if "cannot be reached" in why])
            assert gone
            told = await asyncio.to_thread(midwatch, folder, "budget", "orders")
            assert "no data since" in told.stdout and "last known" in told.stdout and "left" in told.stdout
            blind = await asyncio.to_thread(row)
            assert blind["state"] == "no_data" and blind["bad"] >= burning["bad"] and blind["age_seconds"] is not None
        finally:
            watch.request_stop()
            await running
            await watch.stop()

    prometheus_folder = tmp_path / "prometheus"
    prometheus_folder.mkdir()
    with Exporter() as exporter, Load(exporter) as load:
        context = prometheus(prometheus_folder, targets=[exporter.target])
        url = context.__enter__()
        stopped = False

        def stop() -> None:
            nonlocal stopped
            if not stopped:
                stopped = True
                context.__exit__(None, None, None)

        source = {"url": url, "step_seconds": 10, "delay_seconds": 2, "timeout_seconds": 20}
        settings = make_settings(tmp_path, tick_seconds=0.5, sources={"prom": source})
        try:
            asyncio.run(go(Watch(settings, policy=Policy(slos=slos), console=api_app), load, stop))
        finally:
            stop()
