"""The HTTP side: one range query, bounded in time and size, with every way to fail told in plain words."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import numpy as np
from msgspec import Struct

from midwatch.adapters.bounded import beginning
from midwatch.adapters.channels.redact import redact
from midwatch.adapters.sources.prometheus.manifest import MAX_ANSWER_BYTES, MAX_SERIES
from midwatch.model.errors import SourceError
from midwatch.model.world import Floats

Headers = Callable[[], Mapping[str, str]]


class Series(Struct, frozen=True):
    """One series of an answer: ``at`` in unix seconds, ``values`` may hold NaN and Inf, shape (n,) each."""

    labels: dict[str, str]
    at: Floats
    values: Floats


class Client:
    """Asks ``url`` (without ``/api/v1``). ``headers`` is called at each request, so that a rotated token needs no restart
    and none is kept. Redirects are not followed: the token goes where the settings say."""

    def __init__(self, url: str, headers: Headers | None = None, *, timeout_seconds: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._headers, self._timeout = headers or dict, timeout_seconds

    async def query_range(self, query: str, start_at: float, end_at: float, step_seconds: float) -> list[Series]:
        """``query`` at start_at, start_at + step, ... up to end_at. Raises SourceError."""
        span = {"start": f"{start_at:.3f}", "end": f"{end_at:.3f}", "step": f"{step_seconds:g}"}
        # Thanos answers with what it has when a store is away, VictoriaMetrics moves the steps to where its cache has
        # them; both are switched off. Others ignore the two.
        said = await self._ask(
            "/api/v1/query_range", {"query": query, **span, "partial_response": "false", "nocache": "1"}
        )
        return _series(said, "matrix")

    async def query(self, query: str, at: float) -> list[Series]:
        """``query`` at one moment: a point for each series. Raises SourceError."""
        said = await self._ask("/api/v1/query", {"query": query, "time": f"{at:.3f}", "partial_response": "false"})
        return _series(said, "vector")

    async def retention(self) -> str:
        """How long a Prometheus keeps its data, as it was told (``15d``); "" when it does not say. Raises SourceError when
        it is not there."""
        try:
            said = await self._ask("/api/v1/status/flags", None)
        except SourceError as error:
            if "404" in str(error):
                return ""
            raise
        told = str(said.get("storage.tsdb.retention.time", "")) if isinstance(said, dict) else ""
        return "15d" if told in ("0s", "0") else told

    async def _ask(self, path: str, form: Mapping[str, str] | None) -> Any:
        """``data`` of a successful answer."""
        headers = dict(await asyncio.to_thread(self._headers))  # a command may be asked for them
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout, follow_redirects=False) as http,
                http.stream("POST" if form else "GET", self.url + path, data=form, headers=headers) as answer,
            ):
                body = await _read(answer)
        except httpx.TimeoutException as error:
            raise SourceError(
                f"did not answer within {self._timeout:g} s",
                hint="a recording rule makes a heavy query cheap (midwatch slo rules); or raise the source's timeout",
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise SourceError("its url is no http or https address", hint="url: http://prometheus:9090") from error
        except httpx.HTTPError as error:
            why = redact(str(error) or type(error).__name__, (self.url, *headers.values()))
            raise SourceError(f"cannot be reached: {why}", hint="is it running, and is its url right?") from error
        except ValueError as error:  # a header or an address that cannot be written down at all
            raise SourceError("its url or one of its headers cannot be sent") from error
        return _data(answer.status_code, body, answer.headers.get("content-type", ""))


async def _read(answer: httpx.Response) -> bytes:
    body = await beginning(answer, MAX_ANSWER_BYTES)
    if len(body) > MAX_ANSWER_BYTES:
        raise SourceError(
            f"answers with more than {MAX_ANSWER_BYTES // 1024 // 1024} MB",
            hint="sum in the query: what is counted is one number for each step and group",
        )
    return body


_HINTS: Final[dict[int, str]] = {
    401: "give it a token: bearer_token: env:NAME in settings.yaml",
    403: "its token may not read this",
    404: "its url must end before /api/v1 (Mimir's ends in /prometheus)",
    422: "it may be too heavy; a recording rule makes it cheap (midwatch slo rules)",
    429: "it is asked too often: raise step_seconds",
}


def _data(status: int, body: bytes, content_type: str) -> Any:
    """``data`` of the answer's JSON. Raises SourceError with the source's own words."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if isinstance(said, dict) and said.get("status") == "error":
        words = redact(f"{said.get('errorType', 'error')}: {said.get('error', '')}")
        kind = "refuses the query" if status in (400, 422) else "fails"
        raise SourceError(f"{kind} ({status}): {words}", hint=_HINTS.get(status, ""))
    if not 200 <= status < 300:
        words = redact(body[:200].decode("utf-8", "replace")) if content_type.startswith("text/plain") else ""
        raise SourceError(f"answered {status}" + (f": {words}" if words else ""), hint=_HINTS.get(status, ""))
    if not isinstance(said, dict) or said.get("status") != "success" or "data" not in said:
        raise SourceError("answers, but not as Prometheus does", hint=_HINTS[404])
    for warning in said.get("warnings") or ():
        # Prometheus 3 warns about a query's style with "PromQL ..."; anything else means that a part is missing.
        if not str(warning).startswith("PromQL"):
            raise SourceError(f"says that its answer is not complete: {redact(str(warning))}")
    return said["data"]


def _series(data: Any, kind: str) -> list[Series]:
    if not isinstance(data, dict) or data.get("resultType") not in (kind, "scalar"):
        found = data.get("resultType") if isinstance(data, dict) else type(data).__name__
        raise SourceError(f"answers with a {found}, not with a {kind}", hint="a query must give numbers over time")
    result = data.get("result")
    if data["resultType"] == "scalar":
        result = [{"metric": {}, "value": result}]
    if not isinstance(result, list):
        raise SourceError("answers, but not as Prometheus does")
    if len(result) > MAX_SERIES:
        raise SourceError(
            f"answers with {len(result)} series, more than {MAX_SERIES}",
            hint="sum in the query, or group by fewer labels",
        )
    try:
        return [_one(row) for row in result]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"answers with what is no series: {redact(str(error))}") from error


def _one(row: dict[str, Any]) -> Series:
    points = row["values"] if "values" in row else [row["value"]] if "value" in row else None
    if points is None:
        if "histograms" in row or "histogram" in row:
            raise ValueError("a native histogram, where a number is needed")
        raise ValueError("a series without values")
    labels = {str(name): str(value) for name, value in row["metric"].items()}
    at = np.array([float(point[0]) for point in points], dtype=np.float64)
    values = np.array([float(point[1]) for point in points], dtype=np.float64)
    if not all(map(math.isfinite, at)):
        raise ValueError("a time that is none")
    return Series(labels, at, values)
