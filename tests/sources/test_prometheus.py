"""The Prometheus source against a real Prometheus: what it counts, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec import Struct
from tests.sources.prom import Sample, backfill, prometheus

from midwatch.adapters.sources.prometheus import client as client_module
from midwatch.adapters.sources.prometheus.client import Client
from midwatch.adapters.sources.prometheus.source import PrometheusSource
from midwatch.adapters.testing import Receiver, check_source_counts, check_source_fails, check_source_silent
from midwatch.core.slo.exact import exact
from midwatch.model.errors import SourceError
from midwatch.model.indicators import EventRatio, RawRatio
from midwatch.model.slo import Slo

START = 1_790_000_000 // 3600 * 3600
HOURS = 6
SCRAPE = 15.0
STEP = 60.0


class Queries(Struct, frozen=True):
    good: str
    total: str


def plain(slo: Slo, step_seconds: float) -> Queries:
    """The queries as they stand, with the step for ``$w``."""
    indicator = slo.indicator
    assert isinstance(indicator, EventRatio)
    w = f"{step_seconds:g}s"
    return Queries(indicator.good.replace("$w", w), indicator.total.replace("$w", w))


def exactly(slo: Slo, step_seconds: float) -> Queries:
    asked = plain(slo, step_seconds)
    return Queries(exact(asked.good, step_seconds), exact(asked.total, step_seconds))


def ratio(good: str, total: str, name: str = "api", **more: object) -> Slo:
    return Slo(name, "service:api", "source", 0.99, indicator=EventRatio(total=total, good=good), **more)  # type: ignore[arg-type]


API = ratio('sum(increase(http_requests_total{code!="500"}[$w]))', "sum(increase(http_requests_total[$w]))")


class Shop:
    """Three instances whose every request is known: bursts, idle minutes, a restart, errors that appear and vanish."""

    def __init__(self) -> None:
        draw = random.Random(7)
        self.samples: list[Sample] = []
        self.events = self.bad = 0
        for instance in range(3):
            offset = 3.21 + 4 * instance
            good = bad = 0
            for tick in range(int(HOURS * 3600 / SCRAPE)):
                at = START + offset + tick * SCRAPE
                minute = tick // 4
                # The first scrape sets the mark: what a counter held before anybody looked is nobody's event.
                if tick:
                    more = 0 if minute % 60 in range(20, 30) else draw.randrange(4)
                    more += 400 if draw.random() < 0.004 else 0
                    failed = draw.randrange(30) if minute in (100, 101, 230) else 0
                    if instance == 1 and minute == 150 and tick % 4 == 2:  # a restart: both counters from nothing
                        good = bad = 0
                    good, bad = good + more, bad + failed
                    self.events, self.bad = self.events + more + failed, self.bad + failed
                where = f'instance="shop-{instance}",job="shop"'
                self.samples.append((f'http_requests_total{{code="200",{where}}}', at, good))
                if bad:
                    self.samples.append((f'http_requests_total{{code="500",{where}}}', at, bad))
                self.samples.append((f"up{{{where}}}", at, 1))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    backfill(folder, shop.samples)
    with prometheus(folder) as url:
        yield url


def source(url: str, counting: object = exactly, **options: object) -> PrometheusSource:
    return PrometheusSource("prom", Client(url, **options), counting)  # type: ignore[arg-type]


@pytest.mark.integration
def test_every_event_is_counted_once(url: str, shop: Shop) -> None:
    until = START + HOURS * 3600 + 120.0
    asyncio.run(check_source_counts(source(url), API, START, until, STEP, events=shop.events, bad=shop.bad))


@pytest.mark.integration
def test_increase_alone_would_not_have_been_right(url: str, shop: Shop) -> None:
    """Why the queries are rewritten: over the same history Prometheus's increase is off by more than the budget may be."""
    (found,) = asyncio.run(source(url, plain).counts(API, START, START + HOURS * 3600 + 120.0, STEP))
    total, bad = found.total.sum(), (found.total - found.good).sum()
    assert abs(total / shop.events - 1) > 0.005 or abs(bad / shop.bad - 1) > 0.005


@pytest.mark.integration
def test_groups_are_counted_apart(url: str, shop: Shop) -> None:
    by = ratio(
        'sum by (instance) (increase(http_requests_total{code!="500"}[$w]))',
        "sum by (instance) (increase(http_requests_total[$w]))",
        group_by=("instance",),
    )
    until = START + HOURS * 3600 + 120.0
    found = asyncio.run(check_source_counts(source(url), by, START, until, STEP, events=shop.events, bad=shop.bad))
    assert [one.key for one in found] == [f"api{{instance=shop-{i}}}" for i in range(3)]


@pytest.mark.integration
def test_a_query_that_matches_nothing_is_no_data_and_says_so(url: str) -> None:
    nothing = ratio("sum(increase(no_such[$w]))", "sum(increase(no_such_either[$w]))")
    assert "no series match" in asyncio.run(check_source_silent(source(url), nothing, START, START + 3600, STEP))
    misspelt = ratio('sum(increase(http_requests_total{cod="200"}[$w]))', "sum(increase(http_requests_total[$w]))")
    assert "misspelt" in asyncio.run(check_source_silent(source(url), misspelt, START, START + 3600, STEP))


@pytest.mark.integration
def test_where_the_series_end_nothing_is_seen(url: str) -> None:
    end = START + HOURS * 3600
    (found,) = asyncio.run(source(url).counts(API, end - 600, end + 3600, STEP))
    assert end <= found.seen_until <= end + 360, "the newest sample is looked back to for five minutes"
    assert "any more" in found.gap


@pytest.mark.integration
def test_idle_minutes_are_no_traffic_not_a_gap(url: str) -> None:
    (found,) = asyncio.run(source(url).counts(API, START + 22 * 60, START + 28 * 60, STEP))
    assert found.total.tolist() == [0.0] * 6 and found.seen_until == START + 28 * 60 and not found.gap


@pytest.mark.integration
def test_more_steps_than_one_query_may_have(url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same counts in pieces as at once; and a piece as long as it may be is accepted by a real Prometheus."""
    from midwatch.adapters.sources.prometheus import source as source_module

    (long,) = asyncio.run(source(url).counts(API, START - 12_000 * 10, START + 3600, 10))
    monkeypatch.setattr(source_module, "MAX_POINTS", 100)
    (short,) = asyncio.run(source(url).counts(API, START, START + 3600, 10))
    assert short.at.tolist() == long.at.tolist() and short.total.tolist() == long.total.tolist()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("total", "says"),
    [
        ("sum(increase(x[$w])", ["refuses the query (400)", "parse error"]),
        ("increase(http_requests_total[$w])", ["several series"]),
        ("count_values('x', http_requests_total)", ["several series"]),
        ('"text"', ["refuses the query (400)"]),
    ],
)
def test_a_query_that_it_refuses_is_told_in_its_own_words(url: str, total: str, says: list[str]) -> None:
    slo = ratio("sum(increase(http_requests_total[$w]))", total)
    if "several series" in says:
        with pytest.raises(SourceError, match="several series"):
            asyncio.run(source(url, plain).counts(slo, START, START + 600, STEP))
    else:
        asyncio.run(check_source_fails(source(url, plain), slo, says=says))


@pytest.mark.integration
def test_impossible_numbers_are_handed_on(url: str) -> None:
    """Good above total, NaN and Inf are for the ledger to report; only a ratio of nothing by nothing is no event."""
    more = ratio("sum(increase(http_requests_total[$w])) * 2", "sum(increase(http_requests_total[$w]))")
    (found,) = asyncio.run(source(url).counts(more, START + 600, START + 1200, STEP))
    assert (found.good > found.total).any()
    infinite = ratio("sum(increase(http_requests_total[$w]))", "vector(1) / vector(0)")
    (found,) = asyncio.run(source(url).counts(infinite, START + 600, START + 660, STEP))
    assert np.isinf(found.total).all()
    nan = ratio("vector(0) / vector(0)", "vector(0) / vector(0)")
    (found,) = asyncio.run(source(url).counts(nan, START + 600, START + 660, STEP))
    assert np.isnan(found.total).all()
    raw = Slo("r", "service:api", "source", 0.99, indicator=RawRatio("x"))
    nothing = source(url, lambda slo, step: Queries("vector(0) / vector(0)", "vector(1)"))
    (found,) = asyncio.run(nothing.counts(raw, START, START + 600, STEP))
    assert found.at.size == 0 and found.seen_until == START + 600 and not found.gap


def test_a_source_that_is_down_slow_or_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cr3t-token"
    headers = {"Authorization": f"Bearer {secret}", "X-Scope-OrgID": "team-a"}

    async def fails(url: str, *says: str, **options: float) -> None:
        client = Client(url, lambda: headers, timeout_seconds=options.get("timeout", 5.0))
        await check_source_fails(
            PrometheusSource("prom", client, plain), API, says=says, secrets=[secret], within_seconds=3
        )

    with Receiver() as gone:
        down = gone.url
    asyncio.run(fails(down, "cannot be reached"))
    asyncio.run(fails("no-scheme:9090", "no http or https address"))
    with Receiver(silent_seconds=5) as slow:
        asyncio.run(fails(slow.url, "did not answer within 0.3 s", timeout=0.3))
    for status, words in (
        (503, "answered 503"),
        (401, "bearer_token"),
        (404, "before /api/v1"),
        (429, "step_seconds"),
    ):
        with Receiver(answers=[(status, {})]) as ill:
            asyncio.run(fails(ill.url, words))
            sent = ill.received[0]
            assert sent.headers["authorization"] == f"Bearer {secret}" and sent.headers["x-scope-orgid"] == "team-a"
    with Receiver(answers=[(302, {"Location": "http://127.0.0.1:1/"})]) as elsewhere:
        asyncio.run(fails(elsewhere.url, "answered 302"))
    error = {"status": "error", "errorType": "execution", "error": f"query timed out with {secret} in it"}
    with Receiver(answers=[(503, {})], body=json.dumps({**error, "error": "query timed out"}).encode()) as ill:
        asyncio.run(fails(ill.url, "fails (503): execution: query timed out"))
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1024 * 1024)
    with Receiver(body=b" " * 1_100_000) as huge:
        asyncio.run(fails(huge.url, "more than 1 MB", "sum in the query"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>", "not as Prometheus does"),
        ("[]", "not as Prometheus does"),
        ('{"status":"success"}', "not as Prometheus does"),
        ('{"status":"success","data":{"resultType":"streams","result":[]}}', "answers with a streams"),
        ('{"status":"success","data":{"resultType":"matrix","result":{}}}', "not as Prometheus does"),
        ('{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}]}}', "without values"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[]}]}}',
            "native histogram",
        ),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}',
            "no series",
        ),
        ('{"status":"success","data":{"resultType":"matrix","result":[7]}}', "no series"),
        (
            '{"status":"success","warnings":["store-2 is away"],"data":{"resultType":"matrix","result":[]}}',
            "not complete: store-2 is away",
        ),
    ],
)
def test_an_answer_that_cannot_be_used(body: str, says: str) -> None:
    with Receiver(body=body.encode()) as odd:
        asyncio.run(check_source_fails(source(odd.url, plain), API, says=[says]))


def test_a_remark_on_style_is_no_failure() -> None:
    body = {"status": "success", "warnings": ["PromQL info: might not be a counter"]}
    with Receiver(body=json.dumps({**body, "data": {"resultType": "matrix", "result": []}}).encode()) as remarks:
        (found,) = asyncio.run(source(remarks.url, plain).counts(API, START, START + 600, STEP))
        form = remarks.received[0].body.decode()
    assert found.at.size == 0 and "partial_response=false" in form and "nocache=1" in form


def test_no_whole_step_is_no_question() -> None:
    (found,) = asyncio.run(source("http://127.0.0.1:1", plain).counts(API, START, START + 59, STEP))
    assert found.at.size == 0 and found.seen_until == START
