"""Samples and native histograms into a real Prometheus, at any time one likes: remote write (prompb.WriteRequest, snappy),
written by hand because text exposition has no native histograms."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping

import httpx
from tests.sources.prom import Sample

OPTIONS = ("--web.enable-remote-write-receiver", "--enable-feature=native-histograms")
LABEL = re.compile(r'(\w+)="([^"]*)"')
SCHEMA = 3  # bounds at powers of 2 ** (1 / 8)

HistogramSample = tuple[str, float, Mapping[int, int]]
"""A series, a time in unix seconds, and how many were observed so far by the number of the bucket: bucket i holds what lies
in (2 ** ((i - 1) / 8), 2 ** (i / 8)]."""


def write(url: str, samples: Iterable[Sample] = (), histograms: Iterable[HistogramSample] = ()) -> None:
    """Each series' samples in order of time."""
    series: dict[str, list[bytes]] = {}
    for name, at, value in samples:
        series.setdefault(name, []).append(_field(2, struct.pack("<Bd", 9, value) + _number(2, round(at * 1000))))
    for name, at, buckets in histograms:
        series.setdefault(name, []).append(_field(4, _histogram(at, buckets)))
    body = b"".join(_field(1, _labels(name) + b"".join(rows)) for name, rows in series.items())
    answer = httpx.post(
        url + "/api/v1/write",
        content=_snappy(body),
        headers={"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 204, answer.text


def _labels(series: str) -> bytes:
    name, _, rest = series.partition("{")
    labels = {"__name__": name, **dict(LABEL.findall(rest))}
    return b"".join(_field(1, _text(1, key) + _text(2, labels[key])) for key in sorted(labels))


def _histogram(at: float, buckets: Mapping[int, int]) -> bytes:
    """Integer counts: one span for each bucket, each count as its difference to the one before."""
    total = sum(buckets.values())
    out = _number(1, total) + struct.pack("<Bd", 25, sum(n * 2 ** (i / 8) for i, n in buckets.items()))
    out += _number(4, _zigzag(SCHEMA)) + _number(6, 0)
    behind, before, deltas = 0, 0, b""
    for bucket in sorted(buckets):
        out += _field(11, _number(1, _zigzag(bucket - behind)) + _number(2, 1))
        deltas += _varint(_zigzag(buckets[bucket] - before))
        behind, before = bucket + 1, buckets[bucket]
    return out + _field(12, deltas) + _number(15, round(at * 1000))


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _snappy(body: bytes) -> bytes:
    """Snappy's block format with literals only."""
    parts = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    return _varint(len(body)) + b"".join(bytes([61 << 2]) + (len(p) - 1).to_bytes(2, "little") + p for p in parts)
