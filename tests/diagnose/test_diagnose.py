"""Each case is drawn by hand: what the telemetry of one fault looks like, and which cause must come first."""

from __future__ import annotations

import numpy as np
import pytest
from tests.worlds import START, STEP, after, flat, make_world

from midwatch.core.decide.propose import target_of
from midwatch.core.diagnose.case import make_case
from midwatch.core.diagnose.diagnose import diagnose
from midwatch.model import faults, signals
from midwatch.model.findings import Finding, Hypothesis
from midwatch.model.world import Change, LogPattern, World

ONSET = 40
GATEWAY, PAYMENT, CHECKOUT, DB = "service:gateway", "service:payment", "service:checkout", "database:shop"


def symptom(kind: str = "error_shift", entity: str = GATEWAY, value: float = 0.15) -> Finding:
    return Finding(f"{kind}|{entity}|", kind, entity, START + ONSET * STEP, value, 0.0, "ratio")


def ranked(world: World, *findings: Finding, changes: tuple[Change, ...] = ()) -> tuple[tuple[Hypothesis, ...], float]:
    ranking = diagnose(world, START + ONSET * STEP, [f.entity for f in findings], findings, changes)
    assert ranking is not None
    return ranking.hypotheses, ranking.unknown


def healthy() -> dict[tuple[str, str], np.ndarray]:
    """gateway -> checkout -> payment -> shop, 100 requests a step, nothing wrong."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for name in (GATEWAY, CHECKOUT, PAYMENT, DB):
        found[name, signals.REQUESTS] = flat(100)
        found[name, signals.ERRORS] = flat(0)
        found[name, signals.SELF_MS] = flat(300)
        found[name, signals.ORIGIN_ERRORS] = flat(0)
        found[f"{GATEWAY}>{name}", signals.ROOT_ERRORS] = flat(0)
        found[f"{GATEWAY}>{name}", signals.ROOT_SELF_MS] = flat(300)
    for edge in (f"{GATEWAY}>{CHECKOUT}", f"{CHECKOUT}>{PAYMENT}", f"{PAYMENT}>{DB}"):
        found[edge, signals.CALLS] = flat(100)
        found[edge, signals.CALL_MS] = flat(1000)
        found[edge, signals.SERVER_MS] = flat(900)
        found[edge, signals.ANSWERED] = flat(100)
        found[edge, signals.CALL_ERRORS] = flat(0)
    found[GATEWAY, signals.TIME_MS] = flat(1200)
    return found


def failing_in(entity: str, each: float = 15) -> dict[tuple[str, str], np.ndarray]:
    found = healthy()
    found[entity, signals.ORIGIN_ERRORS] = after(0, each, ONSET)
    found[entity, signals.ERRORS] = after(0, each, ONSET)
    found[GATEWAY, signals.ERRORS] = after(0, each, ONSET)
    found[f"{GATEWAY}>{entity}", signals.ROOT_ERRORS] = after(0, each, ONSET)
    return found


def test_a_full_pool_is_named_with_its_numbers() -> None:
    series = failing_in(PAYMENT)
    series[PAYMENT, signals.POOL_WAITING] = after(0, 18, ONSET)
    series[PAYMENT, signals.POOL_USED] = after(2, 5, ONSET)
    series[PAYMENT, signals.POOL_LIMIT] = flat(5)
    hypotheses, unknown = ranked(make_world(series), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.POOL_EXHAUSTED)
    assert hypotheses[0].probability > 0.8 > unknown
    assert "18 waiting for a connection, 5 of 5 in use" in hypotheses[0].evidence[0].text
    assert hypotheses[0].path == (PAYMENT, CHECKOUT, GATEWAY)


def test_the_last_change_elsewhere_is_no_answer_key() -> None:
    deploy = Change("c1", START + ONSET * STEP - 5, "deploy", "service:checkout", before="1.0", after="1.1")
    hypotheses, _ = ranked(make_world(failing_in(PAYMENT)), symptom(), changes=(deploy,))
    assert hypotheses[0].entity == PAYMENT


def test_a_deploy_of_the_service_where_errors_begin_is_suspected() -> None:
    deploy = Change("c1", START + ONSET * STEP - 5, "deploy", PAYMENT, before="1.0", after="1.1")
    hypotheses, _ = ranked(make_world(failing_in(PAYMENT)), symptom(), changes=(deploy,))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.BAD_DEPLOY)
    assert hypotheses[0].scope["change"] == "c1"


def test_errors_that_nothing_explains_leave_room_for_doubt() -> None:
    hypotheses, unknown = ranked(make_world(failing_in(PAYMENT)), symptom())
    assert hypotheses[0].entity == PAYMENT
    assert hypotheses[0].kind == faults.ERRORS_INSIDE
    assert unknown > 0.1


def test_a_lock_explains_the_pools_in_front_of_it() -> None:
    series = failing_in(PAYMENT)
    series[PAYMENT, signals.POOL_WAITING] = after(0, 18, ONSET)
    series[PAYMENT, signals.POOL_USED] = after(2, 5, ONSET)
    series[PAYMENT, signals.POOL_LIMIT] = flat(5)
    series[f"{PAYMENT}>{DB}", signals.CALL_MS] = after(1000, 90000, ONSET)
    series[DB, signals.SESSIONS_BLOCKED] = after(0, 5, ONSET)
    hypotheses, _ = ranked(make_world(series), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (DB, faults.LOCK_CONTENTION)


def test_time_on_the_way_is_the_network() -> None:
    series = healthy()
    edge = f"{CHECKOUT}>{PAYMENT}"
    series[edge, signals.CALL_MS] = after(1000, 60000, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_SELF_MS] = after(300, 59000, ONSET)
    series[CHECKOUT, signals.SELF_MS] = after(300, 59000, ONSET)
    series[PAYMENT, signals.TIME_MS] = flat(900)
    hypotheses, _ = ranked(make_world(series), symptom("latency_shift", value=0.6))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.NETWORK_FAULT)
    assert hypotheses[0].scope["caller"] == "checkout"


def test_a_starved_callee_explains_the_wait_on_the_way_to_it() -> None:
    series = healthy()
    edge = f"{CHECKOUT}>{PAYMENT}"
    series[edge, signals.CALL_MS] = after(1000, 60000, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_SELF_MS] = after(300, 59000, ONSET)
    series[CHECKOUT, signals.SELF_MS] = after(300, 59000, ONSET)
    series[PAYMENT, signals.TIME_MS] = flat(900)
    series["instance:payment-1", signals.CPU_THROTTLED_RATIO] = after(0, 0.9, ONSET)
    world = make_world(series, labels={"instance:payment-1": {"service": "payment"}})
    hypotheses, _ = ranked(world, symptom("latency_shift", value=0.6))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.CPU_STARVED)
    assert hypotheses[0].probability > 0.8 and all(h.kind != faults.NETWORK_FAULT for h in hypotheses)


def test_without_normal_time_there_is_no_case() -> None:
    world = make_world(failing_in(PAYMENT))
    assert make_case(world, START + STEP, (GATEWAY,), (), ()) is None


def test_probabilities_add_up_to_one() -> None:
    hypotheses, unknown = ranked(make_world(failing_in(PAYMENT)), symptom())
    assert abs(sum(h.probability for h in hypotheses) + unknown - 1) < 1e-9


def test_a_crash_loop_that_came_with_a_deploy_knows_the_deploy() -> None:
    series = failing_in(PAYMENT)
    series[PAYMENT, signals.RESTARTS] = after(0, 1, ONSET)
    deploy = Change("c1", START + ONSET * STEP - 60, "deploy", PAYMENT, before="1.0", after="1.1")
    hypotheses, _ = ranked(make_world(series), symptom(), changes=(deploy,))
    crash = next(h for h in hypotheses if h.kind == faults.CRASH_LOOP)
    assert crash.entity == PAYMENT and crash.scope["change"] == "c1"


def losing(*callees: str) -> dict[tuple[str, str], np.ndarray]:
    """checkout's calls to ``callees`` break without an answer; they answer gateway, and are well by their own account."""
    series = healthy()
    for callee in callees:
        for caller in (CHECKOUT, GATEWAY):
            series[f"{caller}>{callee}", signals.CALLS] = flat(100)
            series[f"{caller}>{callee}", signals.CALL_ERRORS] = flat(0)
            series[f"{caller}>{callee}", signals.UNANSWERED_ERRORS] = flat(0)
        series[callee, signals.REQUESTS] = flat(100)
        series[callee, signals.TIME_MS] = flat(900)
        series[callee, signals.ERRORS] = flat(0)
        series[f"{CHECKOUT}>{callee}", signals.UNANSWERED_ERRORS] = after(0, 15, ONSET)
        series[f"{CHECKOUT}>{callee}", signals.CALL_ERRORS] = after(0, 15, ONSET)
        series[callee, signals.ORIGIN_ERRORS] = after(0, 15, ONSET)
        series[f"{GATEWAY}>{callee}", signals.ROOT_ERRORS] = after(0, 15, ONSET)
    series[CHECKOUT, signals.ERRORS] = after(0, 15 * len(callees), ONSET)
    series[GATEWAY, signals.ERRORS] = after(0, 15 * len(callees), ONSET)
    return series


def test_who_loses_calls_to_many_that_answer_everybody_else_loses_them_itself() -> None:
    hypotheses, _ = ranked(make_world(losing(PAYMENT, "service:user", "service:cart")), symptom())
    assert hypotheses[0].entity == CHECKOUT
    time_out = Change("c1", START + ONSET * STEP + 2, "config", CHECKOUT, before="timeout=2200", after="timeout=1")
    hypotheses, _ = ranked(make_world(losing(PAYMENT, "service:user", "service:cart")), symptom(), changes=(time_out,))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (CHECKOUT, faults.BAD_CONFIG)
    assert hypotheses[0].probability > 0.8


def test_calls_lost_to_one_callee_are_the_way_unless_the_caller_has_just_changed() -> None:
    world = make_world(losing(PAYMENT))
    hypotheses, _ = ranked(world, symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.NETWORK_FAULT)
    host = Change("c1", START + ONSET * STEP - 2, "config", CHECKOUT, before="host=payment", after="host=paymnet")
    beside = Change("c2", START + ONSET * STEP - 6, "deploy", PAYMENT, before="1.0", after="1.1")
    hypotheses, _ = ranked(world, symptom(), changes=(host, beside))
    assert [(h.entity, h.kind) for h in hypotheses[:2]] == [
        (CHECKOUT, faults.BAD_CONFIG), (PAYMENT, faults.NETWORK_FAULT),
    ]  # fmt: skip
    assert hypotheses[0].probability > 0.7
    suspected = [h.probability for h in hypotheses if (h.entity, h.kind) == (PAYMENT, faults.BAD_DEPLOY)]
    assert max(suspected, default=0.0) < 0.1, "its own deploy would have met its other callers, too"


def silent_region(door_dies: bool) -> World:
    """Everything behind the us door loses its traffic; the door itself dies of memory, or lives on."""
    names = [GATEWAY, CHECKOUT, PAYMENT, "service:user", "service:cart"]
    series: dict[tuple[str, str], np.ndarray] = {}
    labels = {}
    for name in names:
        short = name.removeprefix("service:")
        for region, then in (("eu", 50), ("us", 0)):
            instance = f"instance:{short}-{region}"
            labels[instance] = {"service": short, "region": region}
            series[instance, signals.REQUESTS] = after(50, then, ONSET)
            series[instance, signals.UP] = flat(1)
        series[name, signals.REQUESTS] = after(100, 50, ONSET)
        series[name, signals.ERRORS] = flat(0)
    series[GATEWAY, signals.ERRORS] = after(0, 20, ONSET)
    series[f"{GATEWAY}>{GATEWAY}", signals.ROOT_ERRORS] = after(0, 20, ONSET)
    if door_dies:
        memory = np.concatenate([np.full(20, 70e6), np.linspace(70e6, 200e6, 20), np.full(20, np.nan)])
        series["instance:gateway-us", signals.MEMORY_BYTES] = memory
        series["instance:gateway-us", signals.MEMORY_LIMIT_BYTES] = flat(201e6)
        series["instance:gateway-us", signals.UP] = after(1, np.nan, ONSET)
    return make_world(series, labels=labels)


def test_a_region_is_dark_unless_its_front_door_fell_over() -> None:
    hypotheses, _ = ranked(silent_region(door_dies=False), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == ("region:us", faults.REGION_DARK)
    assert hypotheses[0].scope == {"region": "us"}
    hypotheses, _ = ranked(silent_region(door_dies=True), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (GATEWAY, faults.MEMORY_LEAK)
    assert all(h.kind != faults.REGION_DARK for h in hypotheses)


def test_a_region_whose_instances_a_roll_out_replaced_is_not_dark() -> None:
    series: dict[tuple[str, str], np.ndarray] = {}
    labels = {}
    for short in ("gateway", "checkout", "payment", "user", "cart"):
        for name, region, requests, up in (
            (f"{short}-eu", "eu", flat(50), flat(1)),
            (f"{short}-us-new", "us", after(0, 50, ONSET), after(np.nan, 1, ONSET)),
            (f"{short}-us-old", "us", after(50, 0, ONSET), after(1, 0, ONSET)),
        ):
            labels[f"instance:{name}"] = {"service": short, "region": region}
            series[f"instance:{name}", signals.REQUESTS] = requests
            series[f"instance:{name}", signals.UP] = up
        series[f"service:{short}", signals.REQUESTS] = flat(100)
        series[f"service:{short}", signals.ERRORS] = flat(0)
    series[GATEWAY, signals.ERRORS] = after(0, 20, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_ERRORS] = after(0, 20, ONSET)
    hypotheses, _ = ranked(make_world(series, labels=labels), symptom())
    assert all(h.kind != faults.REGION_DARK for h in hypotheses)


def test_a_zone_that_falls_silent_is_dark_though_the_other_starves_with_it() -> None:
    """The door of the zone is gone with the rest, and what waits for it elsewhere gets no further, but speaks."""
    series: dict[tuple[str, str], np.ndarray] = {}
    labels = {}
    for short in ("gateway", "checkout", "payment", "user", "cart"):
        for zone, requests, up in (("eu-1a", 50 if short == "gateway" else 10, 1), ("eu-1b", 0, 0)):
            instance = f"instance:{short}-{zone}"
            labels[instance] = {"service": short, "region": "eu", "zone": zone}
            series[instance, signals.REQUESTS] = after(50, requests, ONSET)
            series[instance, signals.UP] = after(1, up, ONSET)
        series[f"service:{short}", signals.REQUESTS] = after(100, requests, ONSET)
        series[f"service:{short}", signals.ERRORS] = flat(0)
    series[GATEWAY, signals.ERRORS] = after(0, 20, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_ERRORS] = after(0, 20, ONSET)
    hypotheses, _ = ranked(make_world(series, labels=labels), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == ("region:eu-1b", faults.REGION_DARK)
    assert hypotheses[0].scope == {"zone": "eu-1b"}, "nothing drains a zone as if it were a region"


@pytest.mark.parametrize(
    "words",
    [
        "HikariPool-1 - Connection is not available, request timed out after 3000ms.",
        "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        "context deadline exceeded: failed to acquire connection",
        "The connection pool has been exhausted, either raise 'Max Pool Size' or 'Timeout'",
        "timeout exceeded when trying to connect",
    ],
)
def test_what_drivers_say_of_a_pool_that_has_nothing_left(words: str) -> None:
    pattern = LogPattern("t1", PAYMENT, 17, words, words, START + ONSET * STEP)
    hypotheses, _ = ranked(make_world(failing_in(PAYMENT), logs=[(pattern, after(0, 15, ONSET))]), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.POOL_EXHAUSTED)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("call to checkout failed: connection refused", faults.POOL_EXHAUSTED),
        ("ImmatureSignatureError: The token is not yet valid (nbf)", faults.CERT_EXPIRED),
    ],
)
def test_words_that_only_sound_like_a_pool_or_a_certificate(words: str, kind: str) -> None:
    pattern = LogPattern("t1", PAYMENT, 17, words, words, START + ONSET * STEP)
    hypotheses, _ = ranked(make_world(failing_in(PAYMENT), logs=[(pattern, after(0, 15, ONSET))]), symptom())
    assert not any(one.kind == "logs" for h in hypotheses if h.kind == kind for one in h.evidence)


def test_instances_that_a_roll_out_replaced_are_neither_bad_nor_down() -> None:
    """New pods take over; one of the old failed a few requests before it went."""
    series = failing_in(PAYMENT)
    labels = {}
    for name, before, now, errors, up in (
        ("old-1", 50, 0, 2, np.nan),
        ("old-2", 50, 0, 0, np.nan),
        ("new-1", 0, 100, 15, 1),
    ):
        instance = f"instance:payment-{name}"
        labels[instance] = {"service": "payment"}
        series[instance, signals.REQUESTS] = after(before, now, ONSET)
        series[instance, signals.ERRORS] = series[instance, signals.ORIGIN_ERRORS] = after(0, errors, ONSET)
        series[instance, signals.UP] = after(1, up, ONSET)
    change = Change("c1", START + ONSET * STEP - 5, "deploy", PAYMENT, "9.1.0 where 1.7.4 did", "1.7.4", "9.1.0")
    hypotheses, _ = ranked(make_world(series, labels=labels), symptom(), changes=(change,))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.BAD_DEPLOY)
    assert all(h.kind != faults.BAD_INSTANCE for h in hypotheses)


def test_a_few_exceptions_do_not_explain_that_requests_are_slow() -> None:
    series = healthy()
    series[PAYMENT, signals.SELF_MS] = series[f"{GATEWAY}>{PAYMENT}", signals.ROOT_SELF_MS] = after(300, 90_000, ONSET)
    series[GATEWAY, signals.TIME_MS] = after(1200, 91_000, ONSET)
    words = "ValueError: unexpected state"
    pattern = LogPattern("t1", PAYMENT, 17, words, words, START + ONSET * STEP)
    hypotheses, _ = ranked(make_world(series, logs=[(pattern, after(0, 0.5, ONSET))]), symptom("latency_shift"))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.SLOW_SERVICE)


def test_an_expired_certificate_is_more_than_a_bad_way_where_the_errors_say_so() -> None:
    series = failing_in(PAYMENT)
    series[PAYMENT, signals.ERRORS] = series[PAYMENT, signals.ORIGIN_ERRORS] = flat(0)
    series[PAYMENT, signals.TIME_MS] = flat(900)
    series[f"{CHECKOUT}>{PAYMENT}", signals.UNANSWERED_ERRORS] = after(0, 15, ONSET)
    words = "x509: certificate has expired or is not yet valid"
    pattern = LogPattern("t1", CHECKOUT, 17, words, words, START + ONSET * STEP)
    hypotheses, _ = ranked(make_world(series, logs=[(pattern, after(0, 15, ONSET))]), symptom())
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.CERT_EXPIRED)


def one_slow_store(own: float, store_ms: float, throttled: float = 0.0) -> World:
    """payment waits for the store; two other callers do not. ``own``: payment's own time per step from the onset on."""
    series = healthy()
    for other in ("service:user", "service:cart"):
        series[f"{other}>{DB}", signals.CALLS] = flat(100)
        series[f"{other}>{DB}", signals.CALL_MS] = flat(300)
    series[f"{PAYMENT}>{DB}", signals.CALL_MS] = after(300, store_ms, ONSET)
    series[PAYMENT, signals.SELF_MS] = after(300, own, ONSET)
    series[PAYMENT, signals.CPU_THROTTLED_RATIO] = after(0, throttled, ONSET)
    series[f"{GATEWAY}>{DB}", signals.ROOT_SELF_MS] = after(300, store_ms, ONSET)
    series[f"{GATEWAY}>{PAYMENT}", signals.ROOT_SELF_MS] = after(300, own, ONSET)
    return make_world(series)


def test_a_store_that_slowed_down_far_more_than_its_caller_is_slow_itself() -> None:
    starved, _ = ranked(one_slow_store(own=6000, store_ms=9000), symptom("latency_shift", value=0.6))
    assert starved[0].entity == PAYMENT  # everything takes longer there, twenty and thirty times
    slow, _ = ranked(one_slow_store(own=900, store_ms=20000), symptom("latency_shift", value=0.6))
    assert slow[0].entity == DB  # it waits a little for a connection to ask with
    kept, _ = ranked(one_slow_store(own=900, store_ms=20000, throttled=0.9), symptom("latency_shift", value=0.6))
    assert kept[0].entity == PAYMENT


def test_a_flag_reaches_every_instance_and_so_does_its_fault() -> None:
    series = failing_in(PAYMENT)
    labels = {f"instance:payment-{r}": {"service": "payment", "region": r} for r in ("eu", "us")}
    for region, errors in (("eu", 15), ("us", 0)):
        series[f"instance:payment-{region}", signals.REQUESTS] = flat(50)
        series[f"instance:payment-{region}", signals.TIME_MS] = flat(450)
        series[f"instance:payment-{region}", signals.ERRORS] = after(0, errors, ONSET)
        series[f"instance:payment-{region}", signals.ORIGIN_ERRORS] = after(0, errors, ONSET)
    flag = Change("c1", START + ONSET * STEP - 47, "flag", PAYMENT, before="fast=off", after="fast=on")
    hypotheses, _ = ranked(make_world(series, labels=labels), symptom(), changes=(flag,))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.BAD_INSTANCE)
    assert hypotheses[0].probability > 0.6
    series["instance:payment-us", signals.ERRORS] = series["instance:payment-us", signals.ORIGIN_ERRORS] = after(
        0, 15, ONSET
    )
    hypotheses, _ = ranked(make_world(series, labels=labels), symptom(), changes=(flag,))
    assert (hypotheses[0].entity, hypotheses[0].kind) == (PAYMENT, faults.BAD_FLAG)


def test_a_surge_names_the_service_where_it_gets_stuck() -> None:
    series = {key: after(float(v[0]), 4 * float(v[0]), ONSET) for key, v in failing_in(PAYMENT, 0).items()}
    series[PAYMENT, signals.ORIGIN_ERRORS] = series[PAYMENT, signals.ERRORS] = after(0, 150, ONSET)
    series[GATEWAY, signals.ERRORS] = series[f"{GATEWAY}>{PAYMENT}", signals.ROOT_ERRORS] = after(0, 150, ONSET)
    world = make_world(series)
    (top, *_), _ = ranked(world, symptom())
    assert (top.entity, top.kind, top.scope) == (GATEWAY, faults.TRAFFIC_SURGE, {"service": "payment"})
    assert target_of(world, top, "service") == PAYMENT, "hands are added where they are missing"
    assert target_of(world, top, "entity") == GATEWAY, "and requests are turned away where they come in"


QUEUE, SHIPPING, MAILS = "queue:orders", "service:shipping", "service:mails"


def stuck_queue(shipping_takes: float, mails_take: float) -> World:
    """A queue with two consumers, whose oldest message gets older; what each takes of a step's ten messages since then."""
    series = healthy()
    for consumer, takes in ((SHIPPING, shipping_takes), (MAILS, mails_take)):
        series[f"{QUEUE}>{consumer}", signals.CALLS] = after(10, takes, ONSET)
        series[consumer, signals.CONSUMED] = after(10, takes, ONSET)
        series[consumer, signals.REQUESTS] = flat(10)
        series[consumer, signals.ERRORS] = flat(0)
    series[f"{CHECKOUT}>{QUEUE}", signals.CALLS] = flat(10)
    series[QUEUE, signals.QUEUE_LAG_SECONDS] = np.concatenate([np.full(ONSET, 0.5), np.linspace(5, 100, 60 - ONSET)])
    return make_world(series)


@pytest.mark.parametrize(("takes", "sure"), [(0.0, True), (5.0, True), (10.0, False)])
def test_the_consumer_that_takes_less_is_the_one_that_is_stuck(takes: float, sure: bool) -> None:
    """And where each takes as before, nobody is named with certainty."""
    hypotheses, _ = ranked(stuck_queue(takes, 10.0), symptom("queue_lag", QUEUE, 60.0))
    found = {h.entity: h.probability for h in hypotheses if h.kind == faults.QUEUE_STUCK}
    if sure:
        assert hypotheses[0].entity == SHIPPING and found[SHIPPING] > 0.8 and found.get(MAILS, 0.0) < 0.1
    else:
        assert max(found.values()) < 0.6, "no fix is tried on a guess"
