"""Telemetry in, Worlds out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from midwatch.model import signals as sig
from midwatch.model.world import Change
from midwatch.shell.ingest.builder import WorldBuilder, sending_steps
from midwatch.shell.ingest.rows import Batch, Limits, Point

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


def total(world: Any, subject: str, signal: str) -> float:
    series = world.series.get(subject, signal)
    assert series is not None, (subject, signal)
    return float(np.nansum(series))


def request(otlp: Any, at: float, fail: str = "", answered: bool = True) -> list[Any]:
    """gateway -> payment -> database, 100 ms, 60 ms, 20 ms."""
    root = otlp.span("gateway", SERVER, at, 100, http__route="/pay", http__response__status_code=500 if fail else 200)
    call = otlp.span("gateway", CLIENT, at + 0.01, 80, root, error=fail, peer__service="payment")
    if not answered:
        return [root, call]
    served = otlp.span("payment", SERVER, at + 0.02, 60, call, error=fail, http__route="/charge")
    query = otlp.span(
        "payment", CLIENT, at + 0.03, 20, served,
        db__system__name="postgresql", peer__service="shop-db", db__namespace="shop", db__query__summary="SELECT cards",
    )  # fmt: skip
    return [root, call, served, query]


def feed(builder: WorldBuilder, otlp: Any, seconds: float, every: float = 0.5, **how: Any) -> float:
    at = 0.0
    while at < seconds:
        builder.add(otlp.batch(*request(otlp, at, **how)), otlp.start + at + 0.2)
        at += every
    return otlp.start + at


def test_requests_edges_self_time_and_entries(otlp: Any) -> None:
    builder = WorldBuilder()
    now = feed(builder, otlp, 40)
    world = builder.world(now + 10)
    assert world.entries == ("service:gateway",)
    assert set(world.edges) == {"service:gateway>service:payment", "service:payment>database:shop-db"}
    assert total(world, "service:payment", sig.REQUESTS) == 80
    assert total(world, "instance:payment-eu-1", sig.REQUESTS) == 80
    assert total(world, "region:eu", sig.REQUESTS) == 160
    assert total(world, "endpoint:payment/charge", sig.REQUESTS) == 80
    assert total(world, "endpoint:shop-db/SELECT_cards", sig.REQUESTS) == 80
    assert total(world, "database:shop-db", sig.TIME_MS) == pytest.approx(1600)
    assert total(world, "service:payment", sig.SELF_MS) == pytest.approx(80 * 40)
    # 20 ms of its own and 20 ms waiting on the way to payment
    assert total(world, "service:gateway", sig.SELF_MS) == pytest.approx(80 * 40)
    assert total(world, "database:shop-db", sig.SELF_MS) == pytest.approx(80 * 20)
    edge = "service:gateway>service:payment"
    assert [total(world, edge, s) for s in (sig.CALLS, sig.CALL_MS, sig.SERVER_MS, sig.ANSWERED)] == [
        80,
        6400,
        4800,
        80,
    ]
    assert total(world, "instance:gateway-eu-1>service:payment", sig.CALLS) == 80
    roots = [
        total(world, f"service:gateway>{entity}", sig.ROOT_SELF_MS)
        for entity in ("service:gateway", "service:payment", "database:shop-db")
    ]
    assert sum(roots) == pytest.approx(8000)
    slow = world.latency.slower_than("service:payment", 50.0)
    assert slow is not None and slow.sum() == 80
    assert np.nanmin(world.series.get("instance:payment-eu-1", sig.UP)) == 1.0


def test_errors_begin_where_the_deepest_failing_span_is(otlp: Any) -> None:
    builder = WorldBuilder()
    world = builder.world(feed(builder, otlp, 20, fail="KeyError") + 10)
    assert total(world, "service:payment", sig.ORIGIN_ERRORS) == 40
    assert total(world, "service:gateway", sig.ORIGIN_ERRORS) == 0
    assert total(world, "service:gateway", sig.ERRORS) == 40
    assert total(world, "service:gateway>service:payment", sig.ROOT_ERRORS) == 40
    assert world.exemplars[-1].path == ("service:gateway", "service:payment")


def test_a_call_that_nobody_answers_is_blamed_on_the_callee(otlp: Any) -> None:
    builder = WorldBuilder()
    world = builder.world(feed(builder, otlp, 20, fail="ConnectError", answered=False) + 10)
    assert total(world, "service:gateway>service:payment", sig.UNANSWERED_ERRORS) == 40
    assert total(world, "instance:gateway-eu-1>service:payment", sig.UNANSWERED_ERRORS) == 40
    assert total(world, "service:payment", sig.ORIGIN_ERRORS) == 40


def test_only_complete_steps_and_a_shared_index(otlp: Any) -> None:
    builder = WorldBuilder()
    builder.add(otlp.batch(*request(otlp, 1.0)), otlp.start + 1.5)
    assert builder.world(otlp.start + 6.0).series.steps == 0
    first = builder.world(otlp.start + 6.5)
    assert first.series.end_at == otlp.start + 5.0
    builder.add(otlp.batch(*request(otlp, 7.0)), otlp.start + 7.2)
    builder.world(otlp.start + 20)
    second, third = builder.world(otlp.start + 21), builder.world(otlp.start + 26)
    assert second.series.index is third.series.index
    with pytest.raises(ValueError, match="read-only"):
        third.series.values[0, 0] = 1.0


def test_silence_is_nan_a_gap_and_not_up(otlp: Any) -> None:
    builder = WorldBuilder()
    feed(builder, otlp, 60, every=1.0)
    at = 60.0
    while at < 120:  # payment is gone, the gateway goes on
        builder.add(otlp.batch(otlp.span("gateway", SERVER, at, 10)), otlp.start + at + 0.1)
        at += 1.0
    world = builder.world(otlp.start + 121.5)
    requests = world.series.get("service:payment", sig.REQUESTS)
    assert requests is not None and np.isnan(requests[-1]) and requests[0] == 5
    up = world.series.get("instance:payment-eu-1", sig.UP)
    assert up is not None and up[0] == 1 and up[-1] == 0
    assert [gap.subject for gap in world.gaps] == ["service:payment"]
    later = builder.world(otlp.start + 200)  # now nothing at all arrives: that is not known to be down
    up = later.series.get("instance:payment-eu-1", sig.UP)
    assert up is not None and np.isnan(up[-1])
    assert later.gaps[0].subject == "telemetry"


def test_gauges_of_instances_add_up_for_their_service(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(0, 30, 5):
        for name, used, waiting in (("payment-eu-1", 5, 18), ("payment-us-1", 2, 0)):
            who = otlp.resource("payment", name)
            builder.add(
                otlp.batch(
                    otlp.gauge(who, "db.client.connection.count", at, used, db__client__connection__state="used"),
                    otlp.gauge(who, "db.client.connection.count", at, 1, db__client__connection__state="idle"),
                    otlp.gauge(who, "db.client.connection.max", at, 5),
                    otlp.gauge(who, "db_client_connection_pending_requests", at, waiting),
                    otlp.gauge(who, "process.memory.usage", at, 1e6, "By"),
                    otlp.gauge(who, "my.own.thing", at, 3.0),
                ),
                otlp.start + at + 1,
            )
    world = builder.world(otlp.start + 40)

    def newest(subject: str, signal: str) -> float:
        series = world.series.get(subject, signal)
        assert series is not None
        return float(series[np.isfinite(series)][-1])

    assert newest("instance:payment-eu-1", sig.POOL_USED) == 5
    assert newest("service:payment", sig.POOL_USED) == 7
    assert newest("service:payment", sig.POOL_LIMIT) == 10
    assert newest("service:payment", sig.POOL_WAITING) == 18
    assert newest("service:payment", sig.MEMORY_BYTES) == 2e6
    assert newest("service:payment", "metric:my.own.thing") == 3.0


def test_counters_rates_resets_and_restarts(otlp: Any) -> None:
    builder = WorldBuilder()
    who = otlp.resource("order")
    hits, cpu = [100.0, 150.0, 220.0, 30.0, 60.0], [10.0, 12.5, 15.0, 1.0, 3.5]
    for number in range(5):
        at = 5.0 * number + 2
        uptime = at if number < 3 else at - 17.0 + 1.0
        builder.add(
            otlp.batch(
                otlp.counter(who, "redis.keyspace.hits", at, hits[number]),
                otlp.counter(who, "process.cpu.time", at, cpu[number], "s"),
                otlp.gauge(who, "process.uptime", at, uptime, "s"),
            ),
            otlp.start + at,
        )
    world = builder.world(otlp.start + 40)
    assert total(world, "service:order", sig.CACHE_HITS) == pytest.approx(50 + 70 + 30 + 30)
    cores = world.series.get("instance:order-eu-1", sig.CPU_CORES)
    assert cores is not None
    assert cores[np.isfinite(cores)] == pytest.approx([0.5, 0.5, 0.2, 0.5])
    assert total(world, "service:order", sig.RESTARTS) == 1
    assert builder.stats["stream_resets"] == 2


@pytest.mark.parametrize("delta", [True, False])
def test_histograms_give_requests_where_there_are_no_spans(otlp: Any, delta: bool) -> None:
    builder = WorldBuilder()
    who = otlp.resource("legacy")
    for number in range(1, 7):
        for status, per_report in ((200, 90.0), (503, 10.0)):
            times = 1 if delta else number
            point = Point(
                who, "http.server.request.duration", "s", "histogram", otlp.start + number * 10.0,
                otlp.start + (number - 1) * 10.0 if delta else otlp.start, per_report * 0.2 * times,
                {"http.route": "/old", "http.response.status_code": status}, True, delta, per_report * times,
                (0.1, 0.25, 0.5), (0.0, per_report * times, 0.0, 0.0),
            )  # fmt: skip
            builder.add(otlp.batch(point), point.at)
    world = builder.world(otlp.start + 70)
    reports = 6 if delta else 5
    assert total(world, "service:legacy", sig.REQUESTS) == pytest.approx(100 * reports)
    assert total(world, "service:legacy", sig.ERRORS) == pytest.approx(10 * reports)
    assert total(world, "service:legacy", sig.TIME_MS) == pytest.approx(100 * reports * 200)
    slow = world.latency.slower_than("service:legacy", 100.0)
    assert slow is not None and slow.sum() == pytest.approx(100 * reports)
    assert world.entries == ("service:legacy",)


def test_spans_win_over_histograms(otlp: Any) -> None:
    builder = WorldBuilder()
    who = otlp.resource("payment")
    feed(builder, otlp, 10)
    point = Point(
        who, "http.server.request.duration", "s", "histogram", otlp.start + 9.0, otlp.start, 1.0, {}, True, True, 20.0
    )
    builder.add(otlp.batch(point), otlp.start + 10)
    assert total(builder.world(otlp.start + 20), "service:payment", sig.REQUESTS) == 20


def test_a_new_version_is_a_change_that_was_seen(otlp: Any) -> None:
    builder = WorldBuilder()
    for at, version in ((0, "1.0"), (5, "1.0"), (10, "1.1")):
        who = otlp.resource("pricing", **{"service.version": version})
        builder.add(otlp.batch(otlp.span(who, SERVER, at, 5)), otlp.start + at + 0.1)
    world = builder.world(otlp.start + 20)
    (change,) = world.changes
    assert (change.kind, change.entity, change.before, change.after, change.source) == (
        "deploy", "service:pricing", "1.0", "1.1", "seen",
    )  # fmt: skip
    assert world.entities["instance:pricing-eu-1"].labels["version"] == "1.1"
    builder.add_change(Change("d1", otlp.start + 9, "deploy", "service:pricing", "", "1.0", "1.1", "ada"))
    assert [c.id for c in builder.world(otlp.start + 21).changes] == ["d1"]


def test_what_a_failing_span_says_counts_as_a_line_where_no_logs_tell(otlp: Any) -> None:
    builder = WorldBuilder()
    for number in range(20):
        builder.add(otlp.batch(*request(otlp, number, fail="connection refused", answered=False)), otlp.start + number)
        builder.add(otlp.batch(*request(otlp, number)), otlp.start + number)
    (pattern,) = builder.world(otlp.start + 40).logs.patterns
    assert (pattern.entity, pattern.template) == ("service:gateway", "connection refused")
    builder.add(otlp.batch(otlp.log("gateway", 41, "upstream failed")), otlp.start + 41)
    for number in range(42, 50):
        failing = request(otlp, number, fail="no route to host", answered=False)
        builder.add(otlp.batch(*failing), otlp.start + number)
    assert len(builder.world(otlp.start + 60).logs.patterns) == 2


def test_the_age_of_the_oldest_message_follows_from_what_waits_and_what_is_sent(otlp: Any) -> None:
    """Kafka tells how many messages wait, and not for how long."""
    builder = WorldBuilder()
    kafka = otlp.resource("kafka")
    for at in range(60):
        root = otlp.span("shop", SERVER, at, 20)
        sent = otlp.span(
            "shop", PRODUCER, at, 2, root, messaging__system="kafka", messaging__destination__name="orders"
        )
        builder.add(otlp.batch(root, sent), otlp.start + at + 0.5)
        if at % 5 == 0:
            waiting = 2.0 if at < 30 else at - 15.0
            lag = otlp.gauge(kafka, "kafka.consumer_group.lag_sum", at, waiting, topic="orders", group="billing")
            builder.add(otlp.batch(lag), otlp.start + at + 0.5)
    ages = builder.world(otlp.start + 70).series.get("queue:orders", sig.QUEUE_LAG_SECONDS)
    assert ages is not None
    told = ages[np.isfinite(ages)]
    assert told[:6].tolist() == [0.0] * 6, "a few are always on the way"
    assert told[-1] == pytest.approx(40, rel=0.1), "40 wait and one is sent in a second"


def test_a_queue_whose_age_has_no_room_among_the_series_blinds_nobody(otlp: Any) -> None:
    builder = WorldBuilder(limits=Limits(series=3))
    waiting = otlp.gauge(otlp.resource("kafka"), "kafka.consumer_group.lag_sum", 1, 40, topic="orders")
    builder.add(otlp.batch(waiting), otlp.start + 1.5)
    world = builder.world(otlp.start + 10)
    assert total(world, "queue:orders", sig.QUEUE_DEPTH) == 40
    assert world.series.get("queue:orders", sig.QUEUE_LAG_SECONDS) is None
    assert any("bound of 3 series" in gap.reason for gap in world.gaps)


def test_logs_become_patterns(otlp: Any) -> None:
    builder = WorldBuilder()
    for number in range(20):
        builder.add(
            otlp.batch(
                otlp.log("payment", number, f"PoolTimeout: no connection for order {number} within 30.0 s"),
                otlp.log("payment", number, f"served order {number}", severity=9),
            ),
            otlp.start + number + 0.5,
        )
    world = builder.world(otlp.start + 30)
    (pattern,) = world.logs.patterns
    assert pattern.entity == "service:payment"
    assert pattern.template == "PoolTimeout: no connection for order <*> within <*> s"
    assert world.logs.counts.shape == (1, world.series.steps)
    assert world.logs.counts.sum() == 20


def test_queues_connect_producers_and_consumers(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(20):
        root = otlp.span("order", SERVER, at, 20)
        sent = otlp.span("order", PRODUCER, at + 0.01, 2, root, messaging__destination__name="orders")
        taken = otlp.span("notification", CONSUMER, at + 0.2, 500, sent, messaging__destination__name="orders")
        builder.add(otlp.batch(root, sent, taken), otlp.start + at + 0.8)
    monitor = otlp.resource("order")
    builder.add(
        otlp.batch(
            otlp.gauge(monitor, "messaging.queue.depth", 18, 7, messaging__destination__name="orders"),
            otlp.gauge(monitor, "messaging.queue.oldest_age", 18, 2.5, "s", messaging__destination__name="orders"),
        ),
        otlp.start + 19,
    )
    world = builder.world(otlp.start + 30)
    assert set(world.edges) == {"service:order>queue:orders", "queue:orders>service:notification"}
    assert total(world, "queue:orders", sig.CONSUMED) == 20
    assert total(world, "queue:orders", sig.QUEUE_LAG_SECONDS) == 2.5
    assert total(world, "service:notification", sig.REQUESTS) == 20
    # Messages are not waited for: the consumer's half second is no part of the order's request.
    assert total(world, "service:order>service:order", sig.ROOT_SELF_MS) == pytest.approx(20 * 18)
    assert world.entries == ("service:order",)


def test_skewed_late_and_absurd_data_is_survived_and_counted(otlp: Any) -> None:
    builder = WorldBuilder(steps=24)
    builder.add(otlp.batch(otlp.span("a", SERVER, 3600.0, 10)), otlp.start + 200)
    builder.add(otlp.batch(otlp.span("a", SERVER, 10.0, 10)), otlp.start + 201)
    builder.add(otlp.batch(otlp.span("a", SERVER, -1e8, 1e11 + 2e5)), otlp.start + 202)
    builder.add(otlp.batch(otlp.span("a", SERVER, 150.0, 10)), otlp.start + 100)  # our own clock was set back
    world = builder.world(otlp.start + 210)
    assert total(world, "service:a", sig.REQUESTS) == 2
    stats = builder.stats
    assert (stats["clock_ahead"], stats["late"], stats["absurd_duration"], stats["time_went_back"]) == (1, 1, 1, 1)


def test_cardinality_is_bounded_and_said(otlp: Any) -> None:
    limits = Limits(endpoints_per_service=5, instances_per_service=3, metrics_per_service=4, patterns_per_service=3)
    builder = WorldBuilder(limits=limits)
    for number in range(50):
        who = otlp.resource("noisy", f"noisy-{number}")
        builder.add(
            otlp.batch(
                otlp.span(who, SERVER, number / 10, 5, http__route=f"/item/{number}"),
                otlp.gauge(who, f"custom.{number}", number / 10, 1.0),
                otlp.log("noisy", number / 10, " ".join(["word" + chr(97 + number % 26) * (1 + number // 26)] * 3)),
            ),
            otlp.start + number / 10 + 0.1,
        )
    world = builder.world(otlp.start + 20)
    assert total(world, "service:noisy", sig.REQUESTS) == 50
    assert sum(key.startswith("endpoint:") for key in world.entities) == 5
    assert len(world.instances["service:noisy"]) == 3
    assert len(world.logs.patterns) == 4 and world.logs.counts.sum() == 50
    assert {gap.reason.split(":")[0] for gap in world.gaps} == {
        "too many endpoints", "too many instances", "too many metrics", "too many patterns",
    }  # fmt: skip


def test_callees_are_found_without_peer_service(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(20):
        root = otlp.span("gateway", SERVER, at, 50)
        call = otlp.span("gateway", CLIENT, at, 40, root, server__address="10.0.0.7")
        served = otlp.span("cart", SERVER, at, 30, call)
        out = otlp.span("gateway", CLIENT, at + 0.041, 5, root, server__address="api.bank.example:443")
        builder.add(otlp.batch(root, call, served, out), otlp.start + at + 0.3)
    world = builder.world(otlp.start + 30)
    assert total(world, "service:gateway>service:cart", sig.CALLS) == 20
    assert total(world, "service:gateway>external:api.bank.example", sig.CALLS) == 20
    assert set(world.edges) == {"service:gateway>service:cart", "service:gateway>external:api.bank.example"}


def test_the_window_slides_and_forgets(otlp: Any) -> None:
    builder = WorldBuilder(steps=24)
    feed(builder, otlp, 30)
    for at in range(30, 600, 2):
        builder.add(otlp.batch(otlp.span("solo", SERVER, at, 5)), otlp.start + at + 0.1)
    world = builder.world(otlp.start + 602)
    assert world.series.steps == 24
    assert "service:payment" not in set(world.series.index.subjects)
    assert "instance:payment-eu-1" not in world.entities
    assert total(world, "service:solo", sig.REQUESTS) == pytest.approx(60, abs=3)


def test_who_comes_and_goes_leaves_nothing_behind(otlp: Any) -> None:
    """Pods that live for two minutes, each on a host of its own, and a job each minute that calls what they serve."""
    builder = WorldBuilder(steps=24)
    known: list[tuple[int, int, int]] = []
    for minute in range(3 * 70):
        for at in (60 * minute, 60 * minute + 30):
            pod = otlp.resource("web", f"web-{minute // 2}", **{"host.name": f"node-{minute // 2}"})
            job = otlp.span(f"job-{minute}", CLIENT, at, 9, peer__service="web", server__address="web")
            builder.add(otlp.batch(job, otlp.span(pod, SERVER, at, 5, job)), otlp.start + at + 0.1)
        if minute % 70 == 69:
            world = builder.world(otlp.start + 60 * minute + 35)
            known.append((len(world.entities), len(world.edges), len(builder._ring.last_heard)))
    assert known[1] == known[2], known
    assert "service:job-209>service:web" in world.edges and "service:job-0>service:web" not in world.edges
    for at in range(60 * 210, 60 * 290, 5):
        builder.add(otlp.batch(otlp.span("web", SERVER, at, 5)), otlp.start + at + 0.1)
    world = builder.world(otlp.start + 60 * 290)
    assert set(world.entities) == {"service:web", "instance:web-eu-1", "region:eu", "endpoint:web/things"}
    assert world.entries == ("service:web",), "nobody calls it any more"


def test_a_consumer_of_ever_new_queues_stays_within_its_bound(otlp: Any) -> None:
    builder = WorldBuilder(limits=Limits(callees_per_service=5))
    for at in range(40):
        read = otlp.span("worker", CONSUMER, at, 5, messaging__destination__name=f"reply-to-{'abcdefghij'[at % 10]}")
        builder.add(otlp.batch(read), otlp.start + at + 0.1)
    world = builder.world(otlp.start + 45)
    assert len(world.edges) == 5
    assert "too many queues: the newer ones are not told apart" in {gap.reason for gap in world.gaps}


def test_a_world_of_two_thousand_series_is_cheap(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(0, 1200, 5):
        batch = Batch()
        for service in range(40):
            who = otlp.resource(f"s{service}")
            batch.points.extend(otlp.gauge(who, f"g{number}", at, 1.0) for number in range(24))
            batch.spans.append(otlp.span(who, SERVER, at, 5))
        builder.add(batch, otlp.start + at + 0.5)
    world = builder.world(otlp.start + 1203)
    assert len(world.series.index) > 2000
    began = time.process_time()  # what else runs on this machine does not count
    for extra in range(5):
        builder.world(otlp.start + 1203 + extra)
    assert (time.process_time() - began) / 5 < 0.1  # 20 ms


def test_the_entry_is_the_service_behind_the_proxy(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(20):
        edge = otlp.span("haproxy", SERVER, at, 100)
        call = otlp.span("haproxy", CLIENT, at, 100, edge, peer__service="gateway", server__address="gateway-eu-1")
        served = otlp.span("gateway", SERVER, at + 0.01, 80, call)
        refused = otlp.span("haproxy", SERVER, at, 5, error="503", http__response__status_code=503)
        lost = otlp.span(
            "haproxy", CLIENT, at, 5, refused, error="503", http__response__status_code=503,
            peer__service="gateway", server__address="gateway-eu-1",
        )  # fmt: skip
        shed = otlp.span("haproxy", SERVER, at, 0, http__response__status_code=503)
        shed_call = otlp.span("haproxy", CLIENT, at, 0, shed, http__response__status_code=503, peer__service="gateway")
        builder.add(otlp.batch(edge, call, served, refused, lost, shed, shed_call), otlp.start + at + 0.3)
    world = builder.world(otlp.start + 30)
    assert world.entries == ("service:gateway",)
    assert total(world, "service:gateway", sig.REQUESTS) == 40
    assert total(world, "service:gateway", sig.ERRORS) == 20
    assert total(world, "instance:gateway-eu-1", sig.ERRORS) == 20
    assert total(world, "service:gateway>service:gateway", sig.ROOT_ERRORS) == 20
    assert total(world, "service:gateway>service:gateway", sig.ROOT_SELF_MS) == pytest.approx(20 * 85)


def test_a_container_that_is_measured_is_not_a_process_that_lives(otlp: Any) -> None:
    builder = WorldBuilder()
    who = otlp.resource("recommend")
    for at in range(0, 100, 5):
        rows = [otlp.gauge(who, "container.memory.limit", at, 1e9), otlp.span("other", SERVER, at, 1)]
        if at < 40:
            rows.append(otlp.gauge(who, "process.memory.usage", at, 1e8))
        rows.append(otlp.counter(who, "container.restarts", at, 3.0 if at < 60 else 4.0))
        builder.add(otlp.batch(*rows), otlp.start + at + 0.1)
    world = builder.world(otlp.start + 101.5)
    up = world.series.get("instance:recommend-eu-1", sig.UP)
    assert up is not None and up[0] == 1 and up[-1] == 0
    assert total(world, "service:recommend", sig.RESTARTS) == 1


def test_what_waits_is_as_old_as_the_time_in_which_as_many_were_sent() -> None:
    sent = np.array([10.0] * 20 + [200.0, 200.0] + [10.0] * 3)
    waiting = np.full(25, np.nan)
    waiting[[5, 20, 22, 24]] = [30.0, 150.0, 290.0, 270.0]
    age = sending_steps(waiting, sent)
    assert age[[5, 20, 22, 24]] == pytest.approx([3.0, 0.75, 2.4, 4.2]), "a burst is as young as it is"
    assert np.isnan(np.delete(age, [5, 20, 22, 24])).all()
    assert sending_steps(np.array([50.0, 50.0]), np.array([0.0, 5.0]))[1] == 20.0, "as fast before as since"
    assert np.isnan(sending_steps(np.array([50.0]), np.zeros(1))).all()
