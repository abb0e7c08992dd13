"""What this source is, and every bound that it keeps to."""

from __future__ import annotations

from typing import Final

KIND: Final = "prometheus"
DESCRIPTION: Final = "any API that answers /api/v1/query_range: Prometheus 2.x and 3.x, Thanos, Mimir, VictoriaMetrics"

MAX_POINTS: Final = 10_000
"""Steps of one query. Prometheus refuses more than 11,000 for each series; longer spans are asked for in pieces."""

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""An answer that is longer is dropped while it comes in: what counts a promise is one number for each step and group."""

MAX_SERIES: Final = 2_000
"""Groups of one promise; more are refused. ``Slo.max_groups`` lies far below."""

EARLIER_SECONDS: Final = 0.001
"""Queries are evaluated this much before a step's end: a range is closed on both ends in Prometheus 2, and a sample that
lies right on a boundary (recording rules and backfilled data do) would belong to two steps."""
