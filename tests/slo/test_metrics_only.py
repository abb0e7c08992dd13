"""A promise on latency where only duration histograms arrive, one export a minute, and no span: the ledger counts every
request although each export describes steps that have been looked at long before."""

from __future__ import annotations

import pytest
from tests.slo.turns import state_of, turn_of

from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.counting import count
from midwatch.model.slo import Slo
from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.decode import decode
from midwatch.shell.ingest.rows import Limits

SLOS = (
    Slo("fast", "service:shop", "latency", 0.9, 250.0),
    Slo("works", "service:shop", "ratio", 0.99),
)
START = 1_800_000_000.0


def export(at: float, ok: int, slow: int, failed: int, kind: str) -> bytes:
    """Cumulative counts since START: ``ok`` requests of 20 ms, ``slow`` of 3 s, ``failed`` with status 500 of 20 ms."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    block = request.resource_metrics.add()
    attribute = block.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    metric = block.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    data = metric.histogram if kind == "explicit" else metric.exponential_histogram
    data.aggregation_temporality = 2
    for status, quick, late in ((200, ok, slow), (500, failed, 0)):
        point = data.data_points.add(
            start_time_unix_nano=int(START * 1e9),
            time_unix_nano=int(at * 1e9),
            count=quick + late,
            sum=0.02 * quick + 3.0 * late,
        )
        point.attributes.add(key="http.response.status_code").value.int_value = status
        if kind == "explicit":
            point.explicit_bounds.extend([0.025, 0.25, 2.5, 5.0])
            point.bucket_counts.extend([quick, 0, 0, late, 0])
        else:  # base 2: bucket -6 holds 15.6 to 31.2 ms, bucket 1 holds 2 to 4 s
            point.scale = 0
            point.positive.offset = -6
            point.positive.bucket_counts.extend([quick, 0, 0, 0, 0, 0, 0, late])
    return request.SerializeToString()


@pytest.mark.parametrize("kind", ["explicit", "exponential"])
def test_every_request_of_an_export_a_minute_is_counted_once(kind: str) -> None:
    builder, memory = WorldBuilder(), Memory(started_at=START - 100)
    state, now, exported = state_of(*SLOS), START, 0
    while now < START + 600:
        now += 5.0
        minute = int((now - START) // 60)
        if minute > exported:
            body = export(START + 60 * minute, 1000 * minute, 50 * minute, 10 * minute, kind)
            builder.add(decode("metrics", body, "application/x-protobuf", "", Limits()), now)
            exported = minute
        world = builder.world(now)
        memory = count(turn_of(state, world, memory, now)).memory
    now += 7.0
    memory = count(turn_of(state, builder.world(now), memory, now)).memory
    good, total = books.sums(memory.ledgers["fast"], 3600, now)
    assert total == pytest.approx(9 * 1060), "the first export only says where the counting stands"
    assert (total - good) / total == pytest.approx(50 / 1060, rel=1e-6)
    good, total = books.sums(memory.ledgers["works"], 3600, now)
    assert (total - good) / total == pytest.approx(10 / 1060, rel=1e-6)
    assert memory.ledgers["fast"].late > 0.5 * total, "most of it came after its step had been looked at"
