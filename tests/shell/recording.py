"""A small recording as the Collector's file exporter writes it: storefront calls payment, which calls its database."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

START = 1_790_000_000.0
NORMAL_SECONDS, FAULT_SECONDS = 60, 60


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    def typed(value: Any) -> dict[str, Any]:
        return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}

    return [{"key": key, "value": typed(value)} for key, value in values.items()]


def _resource(service: str, version: str) -> dict[str, Any]:
    said = {"service.name": service, "service.instance.id": f"{service}-eu-1", "service.version": version}
    return {"attributes": _attributes(said)}


def _span(
    trace: str, ident: str, parent: str, kind: int, at: float, ms: float, failed: bool, **more: Any
) -> dict[str, Any]:
    span = {
        "traceId": trace,
        "spanId": ident,
        "parentSpanId": parent,
        "name": "POST /pay",
        "kind": kind,
        "startTimeUnixNano": str(int(at * 1e9)),
        "endTimeUnixNano": str(int((at + ms / 1e3) * 1e9)),
        "attributes": _attributes(
            {"http.request.method": "POST", "http.response.status_code": 500 if failed else 200, **more}
        ),
        "status": {"code": 2} if failed else {},
    }
    if failed and kind == 2 and parent:
        words = {"exception.type": "PoolTimeout", "exception.message": "no connection within 2 s"}
        span["events"] = [{"name": "exception", "timeUnixNano": str(int(at * 1e9)), "attributes": _attributes(words)}]
    return span


def write_recording(folder: Path, seed: int = 1, per_second: int = 20, failing: float = 0.4) -> Path:
    """Normal for a minute, then ``failing`` of payment's requests fail for a minute, right after a deploy of it."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(seed)
    lines: list[str] = []
    for second in range(NORMAL_SECONDS + FAULT_SECONDS):
        spans: dict[str, list[dict[str, Any]]] = {"storefront": [], "payment": []}
        for number in range(per_second):
            at = START + second + number / per_second
            trace = f"{dice.getrandbits(128):032x}"
            root, call, served = (f"{dice.getrandbits(64):016x}" for _ in range(3))
            failed = second >= NORMAL_SECONDS and dice.random() < failing
            ms = dice.uniform(8, 12)
            spans["storefront"].append(_span(trace, root, "", 2, at, ms + 6, failed, **{"http.route": "/buy"}))
            spans["storefront"].append(
                _span(trace, call, root, 3, at + 0.001, ms + 2, failed, **{"peer.service": "payment"})
            )
            spans["payment"].append(_span(trace, served, call, 2, at + 0.002, ms, failed, **{"http.route": "/pay"}))
        resources = [
            {
                "resource": _resource(service, "v2" if service == "payment" and second >= NORMAL_SECONDS - 2 else "v1"),
                "scopeSpans": [{"scope": {"name": "t"}, "spans": many}],
            }
            for service, many in spans.items()
        ]
        lines.append(json.dumps({"resourceSpans": resources}))
    with gzip.open(folder / "traces.jsonl.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    change = {
        "id": "d-7",
        "at": START + NORMAL_SECONDS - 2,
        "kind": "deploy",
        "entity": "service:payment",
        "summary": "v2",
        "after": "v2",
    }
    (folder / "changes.jsonl").write_text(json.dumps(change) + "\n")
    return folder
