"""TrainTicket's archive, drawn small: minute files in, the pod at fault out, and nothing read from after the window."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from midwatch.gym.benchmarks.nezha import bench, service_of
from midwatch.model.errors import UsageError

DAY = "2031-05-06"
PODS = {name: f"ts-{name}-service-6f6cfc45b-h5m2{name[0]}" for name in ("gate", "order", "price")}
SPANS = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano")
LOGS = ("Timestamp", "TraceID", "SpanID", "PodName", "Log")
METRICS = ("TimeStamp", "PodName", "CpuUsageRate(%)", "MemoryUsage(Mi)")


def minute(root: Path, name: str, broken: bool, cpu: float = 1.0) -> None:
    """The minute before ``name`` and nine seconds into it, 30 requests gate -> order -> price. ``broken``: order throws
    after its first line and never asks for the price."""
    at = datetime.fromisoformat(f"{DAY} {name.replace('_', ':')}:00").replace(tzinfo=UTC).timestamp() - 50
    spans: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for number in range(30):
        begin, trace = at + 2 * number * 0.95, f"{name}-{number}"
        way = ("gate", "order") if broken else ("gate", "order", "price")
        for depth, pod in enumerate(way):
            span, parent = f"{trace}-{depth}", f"{trace}-{depth - 1}" if depth else "root"
            row = (
                trace,
                span,
                parent,
                PODS[pod],
                f"/{pod}",
                int((begin + depth * 0.01) * 1e9),
                int((begin + 0.1) * 1e9),
            )
            spans.append(dict(zip(SPANS, row, strict=True)))
            said = ["INFO t.s.Impl#10 begins", "INFO t.s.Impl#20 has it"]
            for place, text in enumerate(said[:1] if broken and pod == "order" else said):
                when = datetime.fromtimestamp(begin + depth * 0.01 + place * 0.001, UTC).isoformat()
                log = json.dumps({"log": text.replace("Impl", pod.title())})
                lines.append(dict(zip(LOGS, (when, trace, span, PODS[pod], log), strict=True)))
    for kind, rows, heads in (("trace", spans, SPANS), ("log", lines, LOGS)):
        path = root / kind / f"{name}_{kind}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, heads)
            writer.writeheader()
            writer.writerows(rows)
    for pod in PODS.values():
        path = root / "metric" / f"{pod}_metric.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, METRICS)
            if new:
                writer.writeheader()
            used = cpu if "price" in pod else 1.0
            writer.writerow(dict(zip(METRICS, (at + 60.2, pod, used, 300.0), strict=True)))


def archive(root: Path, broken: bool, cpu: float = 1.0, later: bool = False) -> Path:
    calm, day = root / "construct_data" / DAY, root / "rca_data" / DAY
    minute(calm, "08_30", False)
    for number, name in enumerate(("09_00", "09_01", "09_02", *(("09_03",) if later else ()))):
        minute(day, name, broken and number > 0, cpu if number > 1 else 1.0)
    fault = {
        "inject_time": f"{DAY} 09:00:10",
        "inject_pod": PODS["order" if broken else "price"],
        "inject_type": "return",
    }
    (day / f"{DAY}-fault_list.json").write_text(json.dumps({"09": [fault]}))
    return root


def run(data: Path) -> Any:
    return bench(data, progress=lambda line: None)


def test_requests_that_leave_their_course_name_their_service(tmp_path: Path) -> None:
    result = run(archive(tmp_path, broken=True))
    case, calm = result.cases
    assert case.truth == "ts-order-service" == case.ranked[0].entity
    assert case.ranked[0].probability > 0.8
    assert calm.truth is None and (not calm.ranked or calm.ranked[0].probability < 0.5)


def test_the_row_of_the_last_minute_is_seen(tmp_path: Path) -> None:
    case, *_ = run(archive(tmp_path, broken=False, cpu=99.0)).cases
    assert case.truth == "ts-price-service" == case.ranked[0].entity


def test_nothing_after_the_window_is_looked_at(tmp_path: Path) -> None:
    before, after = (run(archive(tmp_path / n, True, later=later)).cases[0] for n, later in (("a", False), ("b", True)))
    assert [(r.entity, r.probability) for r in before.ranked] == [(r.entity, r.probability) for r in after.ranked]


def test_a_pod_names_its_service() -> None:
    assert service_of("ts-order-other-service-5b67c48447-mv5hb") == "ts-order-other-service"


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout"):
        run(tmp_path)
