"""The poller, under a clock of the test's own: what it asks for, what it keeps, and what it says while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shell.conftest import make_settings

from midwatch.model.errors import ConfigError, SourceError
from midwatch.model.indicators import Composite, EventRatio, Part
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts, empty_world
from midwatch.shell.config import SourceSettings, load_settings
from midwatch.shell.poller import Poller
from midwatch.shell.reading_back import COARSE_SECONDS, FINE_SPAN_SECONDS, pieces
from midwatch.shell.served import AT_ONCE, DOWN_AFTER
from midwatch.shell.sources import build_source

NOW = 1_790_003_600.0 // 3600 * 3600
HOUR = 3600.0


def slo(name: str = "api", **more: Any) -> Slo:
    values: dict[str, Any] = {"indicator": EventRatio("t", "g"), "period_seconds": HOUR}
    return Slo(name, "service:api", "source", 0.99, **{**values, **more})


class Counted:
    """A source that counts one event for each step that it is asked for, and remembers the spans."""

    name = "prom"

    def __init__(self) -> None:
        self.spans: list[tuple[float, float, float]] = []
        self.error: SourceError | None = None
        self.gate: asyncio.Event | None = None
        self.now_asking = self.most_asking = 0
        self.groups: tuple[tuple[tuple[str, str], ...], ...] = ((),)
        self.silent_after = float("inf")

    async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
        self.now_asking += 1
        self.most_asking = max(self.most_asking, self.now_asking)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.now_asking -= 1
        self.spans.append((since_at, until_at, step_seconds))
        at = np.arange(since_at, min(until_at, max(self.silent_after, since_at)), step_seconds)
        seen = float(at[-1] + step_seconds) if at.size else since_at
        gap = "prom: no series match" if seen < until_at else ""
        return [SliCounts(slo.name, group, at, np.ones_like(at), np.ones_like(at), seen, gap) for group in self.groups]


class Scene:
    def __init__(self, *slos: Slo, source: Counted | None = None, **settings: Any) -> None:
        self.now = NOW
        self.source = source or Counted()
        self.slos: tuple[Slo, ...] = slos or (slo(),)
        self.taken: dict[str, float] = {}
        self.begun: dict[str, float] = {}  # where a ledger begins; not given: early enough
        self.troubles: dict[str, str] = {}
        self.waiting = False
        given = SourceSettings(url="http://prom:9090", delay_seconds=15, **settings)
        self.poller = Poller(
            {"prom": (self.source, given)},
            slos=lambda: self.slos,
            span=self.span,
            trouble=self.troubles.__setitem__,
            clock=lambda: self.now,
            wait=lambda: self.waiting,
        )

    def span(self, key: str) -> tuple[float, float] | None:
        return (self.begun.get(key, -np.inf), self.taken[key]) if key in self.taken else None

    def take(self, found: dict[str, SliCounts]) -> None:
        """What a turn of the loop does: the ledgers have counted all of it."""
        for key, one in found.items():
            if one.at.size:
                self.taken[key] = one.seen_until
                self.begun[key] = min(self.begun.get(key, np.inf), float(one.at[0]))

    async def poll(self, after_seconds: float = 0.0) -> dict[str, SliCounts]:
        self.now += after_seconds
        self.poller.begin()
        await self.poller.settle()
        return self.poller.counts()


def run(scene: Callable[[], Any]) -> None:
    asyncio.run(scene())


def test_it_begins_with_the_period_and_goes_on_where_it_stopped() -> None:
    async def go() -> None:
        scene = Scene()
        found = await scene.poll()
        last = NOW - 60  # the step that ended 15 s ago is the newest
        assert scene.source.spans == [(last - HOUR, last, 60.0)]
        assert found["api"].total.sum() == 60 and found["api"].seen_until == last and not found["api"].gap
        await scene.poll(20)
        assert len(scene.source.spans) == 2 and scene.source.spans[-1] == (last, last + 60, 60.0)
        await scene.poll(20)
        assert len(scene.source.spans) == 2, "no new step, no question"
        found = await scene.poll(40)
        assert found["api"].at.size == 62 and (np.diff(found["api"].at) == 60).all(), "each step once"
        assert scene.poller.shown(empty_world(NOW)).sli["api"].total.sum() == 62

    run(go)


def test_what_the_ledger_has_is_not_asked_for_again_nor_kept_for_long() -> None:
    async def go() -> None:
        scene = Scene(slo(period_seconds=30 * 86400.0))
        scene.taken["api"] = NOW - 600
        found = await scene.poll()
        assert scene.source.spans == [(NOW - 600, NOW - 60, 60.0)]
        scene.taken["api"] = found["api"].seen_until
        found = await scene.poll(HOUR)
        assert found["api"].at[0] >= found["api"].seen_until - HOUR, "as much as nobody has taken yet"
        scene.taken["api"] = found["api"].seen_until
        found = await scene.poll(60)
        assert 20 <= found["api"].at.size <= 21, "the World's window"
        scene.taken.clear()  # the working set is lost
        asked = len(scene.source.spans)
        for _ in range(12):
            scene.take(await scene.poll(1))
        spans = scene.source.spans[asked:]
        assert spans[0][1] == scene.source.spans[asked - 1][1] and spans[0][1] - spans[0][0] < FINE_SPAN_SECONDS + HOUR
        assert sum(end - begin for begin, end, _ in spans) > 29 * 86400, "and all is read back, the newest first"

    run(go)


@given(st.integers(0, 40 * 1440), st.integers(0, 40 * 1440), st.sampled_from([10.0, 30.0, 60.0, 100.0, 300.0]))
def test_pieces_cover_the_span_once(first: int, length: int, step: float) -> None:
    since = NOW // step * step - first * step
    until = since + length * step
    parts = pieces(since, until, step)
    assert [p[0] for p in parts] + [until] == ([since] + [p[1] for p in parts] if parts else [until])
    for begin, end, width in parts:
        assert begin < end and (end - begin) / width <= 10_000
        assert begin % width == 0 and end % width == 0, "no step on both sides of a joint"
        assert width in (step, COARSE_SECONDS)
        assert width == step or end <= until - 6 * HOUR, "what the ledger keeps fine is read fine"


def test_a_source_that_is_down_leaves_the_last_counts_with_the_reason_and_comes_back() -> None:
    async def go() -> None:
        scene = Scene(*(slo(f"s{i}") for i in range(5)))
        before = await scene.poll()
        scene.source.error = SourceError("prom cannot be reached", hint="is it running?")
        asked = len(scene.source.spans)
        during = await scene.poll(60)
        assert scene.troubles["source prom"] == "the source prom cannot be reached"
        assert all("cannot be reached (is it running?)" in one.gap for one in during.values())
        for key, one in during.items():
            assert one.seen_until == before[key].seen_until and one.total.sum() == 60, "the last known value stays"
        failures = scene.poller.counters["source_failures"]
        for _ in range(600):
            await scene.poll(1)
        more = scene.poller.counters["source_failures"] - failures
        assert 3 <= more <= 12, f"{more} questions in ten minutes: one promise asks for all, ever more rarely"
        scene.source.error = None
        for _ in range(302):
            after = await scene.poll(1)
        assert scene.troubles["source prom"] == "" and not any(one.gap for one in after.values())
        assert len(scene.source.spans) > asked
        for one in after.values():
            assert (np.diff(one.at) == 60).all(), "what was missed is read back, each step once"
            assert one.seen_until >= scene.now - 135

    run(go)


def test_those_in_the_queue_do_not_ask_a_source_that_went_down_meanwhile() -> None:
    async def go() -> None:
        scene = Scene(*(slo(f"s{i}") for i in range(100)))
        scene.source.error = SourceError("prom does not answer")
        found = await scene.poll()
        assert scene.poller.counters["source_failures"] <= AT_ONCE + DOWN_AFTER
        assert len(found) == 100 and all(one.gap == "prom does not answer" for one in found.values())
        scene.source.error = None
        for _ in range(10):
            found = await scene.poll(1)
        assert len(found) == 100 and not any(one.gap for one in found.values())

    run(go)


def test_a_restart_while_the_source_is_down_reads_the_outage_back_for_all() -> None:
    async def go() -> None:
        scene = Scene(*(slo(f"s{i}") for i in range(20)))
        stood = NOW - 1200
        scene.taken.update({one.name: stood for one in scene.slos})
        scene.source.error = SourceError("prom cannot be reached")
        for _ in range(300):
            for key, one in (await scene.poll(1)).items():
                scene.taken[key] = max(scene.taken[key], one.seen_until)
            assert set(scene.taken.values()) == {stood}, "what nobody asked for was not seen"
        scene.source.error = None
        for _ in range(400):
            found = await scene.poll(1)
        for one in scene.slos:
            assert found[one.name].at[0] == stood and (np.diff(found[one.name].at) == 60).all()

    run(go)


def test_a_promise_whose_source_is_gone_stands_where_its_ledger_is() -> None:
    async def go() -> None:
        scene = Scene(slo(data_source="renamed"))
        scene.taken["api"] = NOW - 600
        assert (await scene.poll())["api"].seen_until == NOW - 600

    run(go)


def test_while_the_store_is_read_back_only_ledgers_that_are_there_go_on() -> None:
    async def go() -> None:
        scene = Scene(slo("there"), slo("later"))
        scene.taken["there"] = NOW - 600
        scene.waiting = True
        assert set(await scene.poll()) == {"there"} and scene.source.spans == [(NOW - 600, NOW - 60, 60.0)]
        scene.taken["later"] = NOW - 1200  # it came
        found = await scene.poll()
        assert scene.source.spans[1:] == [(NOW - 1200, NOW - 60, 60.0)] and found["later"].at[0] == NOW - 1200

    run(go)


def test_one_promise_that_is_refused_harms_no_other() -> None:
    class Picky(Counted):
        async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
            if slo.name == "bad":
                raise SourceError("prom refuses the query (400): parse error")
            return await super().counts(slo, since_at, until_at, step_seconds)

    async def go() -> None:
        scene = Scene(slo("good"), slo("bad"), slo("other"), source=Picky())
        for _ in range(10):
            found = await scene.poll(60)
        assert "parse error" in found["bad"].gap and found["bad"].at.size == 0
        assert not found["good"].gap and found["good"].seen_until >= scene.now - 135
        assert scene.troubles.get("source prom", "") == ""

    run(go)


def test_series_that_end_are_no_data_since_then() -> None:
    async def go() -> None:
        scene = Scene()
        scene.source.silent_after = NOW
        await scene.poll()
        for _ in range(10):
            found = await scene.poll(60)
        assert found["api"].seen_until == NOW and found["api"].gap == "prom: no series match"
        scene.source.silent_after = float("inf")
        found = await scene.poll(60)
        assert not found["api"].gap and (np.diff(found["api"].at) == 60).all()

    run(go)


def test_groups_come_and_go() -> None:
    async def go() -> None:
        scene = Scene(slo(group_by=("tenant",)))
        scene.source.groups = ((("tenant", "a"),), (("tenant", "b"),))
        await scene.poll()
        scene.source.groups = ((("tenant", "b"),),)
        found = await scene.poll(60)
        assert set(found) == {"api{tenant=a}", "api{tenant=b}"}
        assert found["api{tenant=a}"].seen_until == found["api{tenant=b}"].seen_until, "a silent group had no events"

    run(go)


def test_labels_that_change_all_the_time_do_not_gather() -> None:
    async def go() -> None:
        scene = Scene(slo(group_by=("pod",), max_groups=2))
        lasting = [(("pod", "a"),), (("pod", "b"),)]
        scene.source.groups = tuple(lasting)
        found = await scene.poll()
        for n in range(60):
            scene.source.groups = tuple((("pod", f"{n}-{i}"),) for i in range(10))
            found = await scene.poll(60)
            assert {f"api{{pod={n}-{i}}}" for i in range(10)} <= set(found), "whoever had events just now is there"
            if n >= 30:  # nobody counts for half an hour, then the ledgers do
                scene.taken.update(dict.fromkeys(("api", "api{pod=a}", "api{pod=b}"), scene.now - 75))
            elif n == 29:
                assert len(found) == 2 + 300, "what no ledger has is kept"
        assert len(found) <= 2 + 10 * 22, "twenty minutes of them"
        assert {"api{pod=a}", "api{pod=b}"} <= set(found), "a silent group with a ledger stays, and is seen"
        assert found["api{pod=a}"].seen_until == found["api{pod=59-0}"].seen_until

    run(go)


def test_only_so_many_questions_at_a_time_and_none_waits_for_another_turn() -> None:
    async def go() -> None:
        scene = Scene(*(slo(f"s{i}") for i in range(50)))
        scene.source.gate = asyncio.Event()
        scene.poller.begin()
        scene.poller.begin()  # what is being asked is not asked again
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.source.now_asking == AT_ONCE and scene.poller.counts() == {}
        scene.source.gate.set()
        await scene.poller.settle()
        assert len(scene.source.spans) == 50 and scene.source.most_asking == AT_ONCE

    run(go)


def test_what_no_source_counts_says_so() -> None:
    async def go() -> None:
        journey = slo("journey", indicator=Composite((Part("api"),)))
        scene = Scene(slo("api", data_source="other"), journey, Slo("own", "service:x", "ratio", 0.9))
        found = await scene.poll()
        assert list(found) == ["api"] and "no source 'other'; known: prom" in found["api"].gap
        none = Poller({}, slos=lambda: [slo()], span=lambda _: None, trouble=lambda *_: None, clock=lambda: NOW)
        none.begin()
        assert none.counts()["api"].gap == "settings.yaml names no source to count it"

    run(go)


def test_foreign_code_that_raises_anything_is_a_failure_and_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Counted):
        async def counts(self, *_: Any) -> Sequence[SliCounts]:
            raise RuntimeError("boom")

    async def go() -> None:
        scene = Scene(source=Odd())
        assert (await scene.poll())["api"].gap == "RuntimeError"

    run(go)


def test_settings_of_a_source(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        "sources:\n  prom:\n    kind: prometheus\n    url: http://prom:9090\n    bearer_token: env:TOKEN_OF_PROM\n"
        "    headers: {X-Key: env:KEY_OF_PROM}\n    tenant: team-a\n    step_seconds: 30\n"
    )
    one = load_settings(tmp_path).sources["prom"]
    assert (one.step_seconds, one.tenant, one.arithmetic) == (30, "team-a", "exact")
    for wrong, says in (
        ("bearer_token: hunter2", "reference"),
        ("headers: {X-Key: hunter2}", "reference"),
        ("url: http://me:hunter2@prom", "password"),
        ("url: prom:9090", "http"),
        ("step_seconds: 7", "must be one of"),
        ("kind: graphite", "prometheus"),
        ("colour: red", "colour"),
    ):
        key = wrong.partition(":")[0]
        url = "" if key == "url" else "    url: http://prom:9090\n"
        file.write_text(f"sources:\n  prom:\n{url}    {wrong}\n")
        with pytest.raises(ConfigError, match=says) as found:
            load_settings(tmp_path)
        assert found.value.line >= 2 and "hunter2" not in str(found.value)
    lacking = build_source("prom", SourceSettings(url="http://127.0.0.1:1", bearer_token="env:NOT_THERE_AT_ALL"))
    with pytest.raises(SourceError, match=r"prom .*lacks a secret: .*NOT_THERE_AT_ALL"):
        asyncio.run(lacking.counts(slo(), NOW - 600, NOW, 60))


def test_a_watch_begins_with_its_sources(tmp_path: Path) -> None:
    from midwatch.shell.run import Watch

    watch = Watch(make_settings(tmp_path, sources={"prom": {"url": "http://127.0.0.1:1"}}))
    assert "midwatch_sources 1" in watch.metrics()
