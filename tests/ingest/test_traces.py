"""Whole traces: exclusive time, where errors begin, when a trace is finished."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.shell.ingest.rows import Limits, Resource, Span
from midwatch.shell.ingest.traces import OpenTrace, TraceBuffer, judge

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5


def callee(span: Span, server: Span | None) -> str:
    if server is not None:
        return server.resource.entity
    return str(span.attributes.get("to", ""))


def judged(*spans: Span) -> Any:
    return judge(OpenTrace(list(spans), 0.0, 0.0), callee)


def self_ms(*spans: Span) -> dict[str, float]:
    found: dict[str, float] = {}
    for _, entity, _, milliseconds in judged(*spans).self_ms:
        found[entity] = round(found.get(entity, 0.0) + milliseconds, 3)
    return {entity: milliseconds for entity, milliseconds in found.items() if milliseconds > 0}  # clocks tick 0.2 us


def origins(*spans: Span) -> list[str]:
    return [entity for _, entity, _ in judged(*spans).origins]


def call(
    otlp: Any, parent: Span, to: str, at: float, ms: float, error: str = "", server_ms: float | None = None
) -> Any:
    client = otlp.span(parent.resource, CLIENT, at, ms, parent, error=error, to=f"service:{to}")
    if server_ms is None:
        return client, None
    return client, otlp.span(to, SERVER, at + (ms - server_ms) / 2000, server_ms, client, error=error)


def test_parallel_children_count_once(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100)
    one, served_one = call(otlp, root, "b", 0.010, 60, server_ms=60)
    two, served_two = call(otlp, root, "c", 0.010, 80, server_ms=80)
    # The answer of c is waited for; b works in its shadow.
    assert self_ms(root, one, served_one, two, served_two) == {"service:a": 20.0, "service:c": 80.0}


def test_overlapping_children_share_the_path(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100)
    one, served_one = call(otlp, root, "b", 0.0, 60, server_ms=60)
    two, served_two = call(otlp, root, "c", 0.040, 60, server_ms=60)
    assert self_ms(root, one, served_one, two, served_two) == {"service:b": 40.0, "service:c": 60.0}


def test_retries_each_take_their_time(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100)
    first, served_first = call(otlp, root, "b", 0.0, 30, error="503", server_ms=30)
    second, served_second = call(otlp, root, "b", 0.040, 50, server_ms=40)
    spans = (root, first, served_first, second, served_second)
    assert self_ms(*spans) == {"service:a": 30.0, "service:b": 70.0}
    assert origins(*spans) == ["service:b"]
    assert not judged(*spans).roots[0].failed


def test_a_missing_server_span_is_the_callees_time_and_error(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100, error="502")
    client, _ = call(otlp, root, "b", 0.010, 80, error="ConnectError")
    found = judged(root, client)
    assert self_ms(root, client) == {"service:a": 20.0, "service:b": 80.0}
    assert origins(root, client) == ["service:b"]
    assert found.calls[0].unanswered and found.roots[0].origin == "service:b"


def test_a_full_pool_is_the_callers_own(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100, error="500")
    query = otlp.span(
        "a", CLIENT, 0.01, 80, root, error="PoolTimeout: no connection", to="database:shop", db__system="postgresql"
    )
    assert origins(root, query) == ["service:a"]
    assert self_ms(root, query) == {"service:a": 100.0}


def test_a_broken_statement_is_the_callers_own_and_a_lost_connection_is_not(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100, error="500")
    for error, origin in (("UndefinedColumn", "service:a"), ("server closed the connection", "database:shop")):
        query = otlp.span("a", CLIENT, 0.01, 8, root, error=error, to="database:shop", db__system="postgresql")
        assert origins(root, query) == [origin]


def test_a_timeout_is_blamed_on_who_was_still_working(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 110, error="504")
    to_b = otlp.span("a", CLIENT, 0.0, 100, root, error="TimeoutError", to="service:b")
    in_b = otlp.span("b", SERVER, 0.001, 400, to_b)
    to_c = otlp.span("b", CLIENT, 0.002, 390, in_b, to="service:c")
    in_c = otlp.span("c", SERVER, 0.003, 380, to_c)
    found = judged(root, to_b, in_b, to_c, in_c)
    assert [entity for _, entity, _ in found.origins] == ["service:c"]
    assert found.roots[0].origin == "service:c"
    assert not found.calls[0].unanswered


def test_an_answer_that_got_lost_is_unanswered(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 110, error="502")
    to_b = otlp.span("a", CLIENT, 0.0, 100, root, error="ConnectionResetError", to="service:b")
    in_b = otlp.span("b", SERVER, 0.001, 20, to_b)
    assert judged(root, to_b, in_b).calls[0].unanswered


def test_client_errors_are_not_errors_and_handled_exceptions_begin_nothing(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 50, http__response__status_code=404)
    inner = otlp.span("a", INTERNAL, 0.01, 5, root, error="NotFound")
    client = otlp.span("a", CLIENT, 0.02, 5, root, error="404", http__response__status_code=404)
    assert origins(root, inner, client) == []


def test_the_last_attempt_and_not_the_fallback_made_the_request_fail(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100, error="500")
    recommend, served_recommend = call(otlp, root, "recommend", 0.0, 10, error="500", server_ms=9)
    payment, served_payment = call(otlp, root, "payment", 0.05, 40, error="500", server_ms=39)
    (found,) = judged(root, recommend, served_recommend, payment, served_payment).roots
    assert found.origin == "service:payment"
    assert found.path == ("service:a", "service:payment")


def test_consumers_are_not_waited_for(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 50)
    sent = otlp.span("a", PRODUCER, 0.01, 5, root, to="queue:q")
    taken = otlp.span("n", CONSUMER, 0.012, 20, sent, error="boom")
    assert self_ms(root, sent, taken) == {"service:a": 45.0, "queue:q": 5.0, "service:n": 20.0}
    assert origins(root, sent, taken) == ["service:n"]


def test_clocks_that_differ(otlp: Any) -> None:
    root = otlp.span("a", SERVER, 0, 100)
    client = otlp.span("a", CLIENT, 0.01, 80, root)
    served = otlp.span("b", SERVER, 5.0, 60, client)  # five seconds ahead
    below = otlp.span("b", CLIENT, 5.01, 20, served, to="database:d", db__system="x")
    assert self_ms(root, client, served, below) == {"service:a": 40.0, "service:b": 40.0, "database:d": 20.0}


def test_circles_doubles_and_orphans_do_not_hang(otlp: Any) -> None:
    one = otlp.span("a", SERVER, 0, 10, error="x")
    two = otlp.span("b", CLIENT, 0, 10, one, error="x")
    one.parent_id = two.span_id
    own = otlp.span("c", SERVER, 0, 10, trace=one.trace_id, error="y")
    own.parent_id = own.span_id
    judged(one, two, own, own)


@st.composite
def trees(draw: st.DrawFn) -> list[Span]:
    count = draw(st.integers(1, 14))
    resources = [Resource(name, f"{name}-1") for name in "abc"]
    spans: list[Span] = []
    for number in range(count):
        parent = spans[draw(st.integers(0, number - 1))] if number else None
        kind = draw(st.sampled_from([SERVER, CLIENT, INTERNAL])) if parent is not None else SERVER
        start, ms = draw(st.floats(0, 0.2)), draw(st.floats(0, 300))
        spans.append(
            Span(
                draw(st.sampled_from(resources)), "t", str(number), parent.span_id if parent is not None else "", "n",
                kind, 1000.0 + start, ms, draw(st.sampled_from([0, 2])), "", {"to": "service:z"},
            )
        )  # fmt: skip
    return spans


@settings(max_examples=100, deadline=None)
@given(trees())
def test_exclusive_times_add_up_to_the_roots_duration(spans: list[Span]) -> None:
    found = judged(*spans)
    assert sum(ms for *_, ms in found.self_ms) == pytest.approx(spans[0].duration_ms, abs=1e-3)
    if spans[0].status == 2:
        assert found.origins, "a failing request has a place where its error began"


def test_when_a_trace_is_finished(otlp: Any) -> None:
    buffer = TraceBuffer(Limits())
    root = otlp.span("a", SERVER, 0, 10)
    complete, _ = call(otlp, root, "b", 0, 5, server_ms=4)
    buffer.add(root, 100.0)
    buffer.add(complete, 100.0)  # a call without its answer: wait for it
    assert not list(buffer.finished(101.0))
    assert len(list(buffer.finished(102.6))) == 1
    buffer.add(otlp.span("b", SERVER, 0, 4, complete), 103.0)  # too late: a fragment, no entry
    (late,) = buffer.finished(106.0)
    assert late.late and not judge(late, callee).roots
    buffer.add(otlp.span("a", SERVER, 0, 10), 110.0)
    assert not list(buffer.finished(110.5))
    assert len(list(buffer.finished(110.7))) == 1  # plainly complete
    long = otlp.span("a", SERVER, 0, 10)
    for number in range(20):
        buffer.add(otlp.span("a", CLIENT, 0, 1, long), 120.0 + number)
        finished = list(buffer.finished(120.0 + number))
        assert bool(finished) == (number == 15)
    assert buffer.counters["late_fragments"] == 2


def test_the_buffer_is_bounded(otlp: Any) -> None:
    buffer = TraceBuffer(Limits(open_traces=10, spans_per_trace=3))
    first = otlp.span("a", SERVER, 0, 10)
    for number in range(12):
        buffer.add(otlp.span("a", SERVER, 0, 1) if number else first, 100.0)
    for _ in range(5):
        buffer.add(otlp.span("a", INTERNAL, 0, 1, first), 100.0)
    early = list(buffer.finished(100.0))
    assert len(early) == 2 and early[0].spans[0] is first
    assert buffer.counters["finished_early"] == 2 and buffer.counters["spans_over_bound"] == 3
