"""The fleet's parts that need no process: encoding, recording, certificates, configuration."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from midwatch.gym.fleet.certs import Authority
from midwatch.gym.fleet.proxy import Proxy
from midwatch.gym.fleet.record import to_json_line
from midwatch.gym.fleet.telemetry import CLIENT, SERVER, Telemetry, parse_traceparent
from midwatch.gym.fleet.topology import BY_NAME, INDEXES, SERVICES, TABLES, instance_name, split_instance


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
@settings(max_examples=50, deadline=None)
def test_traceparent_is_read_back(trace: int, span: int) -> None:
    assert parse_traceparent(f"00-{trace:032x}-{span:016x}-01") == (trace, span)


@given(st.text(max_size=80))
@settings(max_examples=50, deadline=None)
def test_a_malformed_traceparent_is_none(header: str) -> None:
    assert parse_traceparent(header) == (0, 0)


def test_spans_are_encoded_and_recorded_with_hex_ids() -> None:
    telemetry = Telemetry("", {"service.name": "payment"})
    with (
        telemetry.span("POST /authorize", SERVER, {"http.route": "/authorize"}) as outer,
        pytest.raises(KeyError),
        telemetry.span("POST /check", CLIENT, {"peer.service": "fraud"}),
    ):
        raise KeyError("currency")
    body = telemetry.encode_spans()
    spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    inner, root = spans
    assert inner.parent_span_id == root.span_id and inner.trace_id == root.trace_id
    assert inner.status.code == 2 and inner.events[0].name == "exception" and root.status.code == 0
    line = json.loads(to_json_line("traces", body))
    assert line["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["traceId"] == f"{outer.trace_id:032x}"


def test_spans_are_bounded() -> None:
    telemetry = Telemetry("", {})
    for _ in range(25_000):
        telemetry.end_span(telemetry.start_span("x", SERVER, {}))
    assert len(telemetry.spans) == 20_000


def test_a_certificate_expires_when_it_says() -> None:
    authority = Authority.new()
    good = x509.load_pem_x509_certificate(authority.issue(["payment.eu.gym"], 3600).encode())
    bad = x509.load_pem_x509_certificate(authority.issue(["payment.eu.gym"], -1).encode())
    assert bad.not_valid_after_utc.timestamp() < time.time() < good.not_valid_after_utc.timestamp()
    good.verify_directly_issued_by(authority.certificate)


def test_the_topology_hangs_together() -> None:
    assert len(SERVICES) == 16
    for spec in SERVICES:
        assert set(spec.calls) <= set(BY_NAME)
        assert set(spec.tables) <= set(TABLES)
    assert {index["table"] for index in INDEXES.values()} <= set(TABLES)
    assert split_instance(instance_name("payment", "eu", 2)) == ("payment", "eu", 2)


def test_the_proxy_prefers_its_own_region(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, ["gateway", "payment"], ["eu", "us"])
    backend = proxy.configuration().split("\nbackend b_payment_eu\n")[1].split("\nfrontend")[0]
    lines = [line.split() for line in backend.splitlines() if "server payment" in line]
    assert [("backup" in line) for line in lines] == [False] * 3 + [True] * 3
    assert all(line[1].startswith("payment-us") for line in lines if "backup" in line)
